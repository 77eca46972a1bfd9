//! Rooms in quarantine: the ledger has a record of them that is not valid. The other rooms go on without them, and
//! nothing of them is deleted.
//!
//! Whoever meets such a room adds it. It is logged once, counted in the metrics and shown to emcees. The scan of all
//! rooms, twice a minute, releases it once it can be read again.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{IntCounter, IntGauge};

use crate::domain::ids::{RoomCode, RoomId};
use crate::ledger::execute::{ExecuteError, reconcile_room};
use crate::ledger::{Ledger, LedgerError, Listing, Unreadable};
use crate::metrics::Metrics;
use crate::wire::server::UnreadableView;

/// See the [module](self).
pub struct Quarantine {
    /// By room id.
    rooms: Mutex<BTreeMap<String, Unreadable>>,
    /// What was logged once about a room.
    logged: Mutex<HashSet<(RoomId, &'static str)>>,
    /// Rooms in quarantine.
    gauge: IntGauge,
    /// Rooms that were ever added.
    found: IntCounter,
}

impl Quarantine {
    /// An empty one, which keeps `metrics` up to date.
    pub fn new(metrics: &Metrics) -> Self {
        let found = metrics.ledger_errors.with_label_values(&["corrupt"]);
        let gauge = metrics.rooms_unreadable.clone();
        Self { rooms: Mutex::default(), logged: Mutex::default(), gauge, found }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Unreadable>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Unreadable> {
        self.lock().values().cloned().collect()
    }

    /// All rooms in quarantine, as emcees are shown them.
    pub fn views(&self) -> Vec<UnreadableView> {
        let view = |room: Unreadable| UnreadableView { id: room.id, room: room.code.map(String::from) };
        self.all().into_iter().map(view).collect()
    }

    /// Adds a room, and logs it if it is new.
    pub fn add(&self, room: Unreadable) {
        let mut rooms = self.lock();
        if let Some(known) = rooms.get_mut(&room.id) {
            known.code = known.code.take().or(room.code);
            return;
        }
        tracing::error!(
            room = room.id,
            code = room.code.as_ref().map_or("", RoomCode::as_str),
            why = room.why,
            "a room cannot be read and is quarantined; nothing of it is deleted, and the other rooms go on"
        );
        rooms.insert(room.id.clone(), room);
        self.found.inc();
        self.gauge.set(rooms.len() as i64);
    }

    /// Adds the room if `error` says that its record is not valid.
    pub fn add_if_corrupt(&self, id: &RoomId, code: Option<&RoomCode>, error: &LedgerError) {
        if let LedgerError::Corrupt(why) = error {
            self.add(Unreadable { id: id.to_string(), code: code.cloned(), why: why.clone() });
        }
    }

    /// Logs an error about a room the first time that it is met.
    pub fn log_once(&self, room: &RoomId, what: &'static str, error: &LedgerError) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.insert((room.clone(), what)) {
            tracing::error!(%room, %error, "{what}");
        }
    }

    /// Lists all rooms, and adds those that cannot be read.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn list_rooms(&self, ledger: &dyn Ledger) -> Result<Listing, LedgerError> {
        let listing = ledger.rooms().await?;
        listing.unreadable.iter().for_each(|room| self.add(room.clone()));
        Ok(listing)
    }

    /// Releases the rooms that can be read again or are gone.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn review(&self, ledger: &dyn Ledger, listing: &Listing) -> Result<(), LedgerError> {
        for room in self.all() {
            if listing.unreadable.iter().any(|unreadable| unreadable.id == room.id) {
                continue;
            }
            if let Ok(id) = RoomId::parse(&room.id) {
                match reconcile_room(ledger, &id).await {
                    Err(ExecuteError::Ledger(LedgerError::Corrupt(_))) => continue,
                    Err(ExecuteError::Ledger(error)) => return Err(error),
                    _ => {}
                }
            }
            let mut rooms = self.lock();
            rooms.remove(&room.id);
            self.gauge.set(rooms.len() as i64);
            tracing::info!(room = room.id, "a quarantined room can be read again, or is gone");
        }
        Ok(())
    }
}
