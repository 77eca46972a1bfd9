//! Rooms that are set apart: something that is stored of them makes no sense. The other rooms go on without them, and
//! nothing of them is deleted.
//!
//! A room is set set_apart by whoever meets it, named in the log once, counted in the metrics and told to emcees. The look at
//! all rooms, twice a minute, takes it back when it can be read again.

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
    /// What else was said once of a room.
    named: Mutex<HashSet<(RoomId, &'static str)>>,
    /// How many there are.
    gauge: IntGauge,
    /// Rooms found so far.
    found: IntCounter,
}

impl Quarantine {
    /// None yet; these metrics tell of them.
    pub fn new(metrics: &Metrics) -> Self {
        let found = metrics.ledger_errors.with_label_values(&["corrupt"]);
        let gauge = metrics.rooms_unreadable.clone();
        Self { rooms: Mutex::default(), named: Mutex::default(), gauge, found }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Unreadable>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Unreadable> {
        self.lock().values().cloned().collect()
    }

    /// All of them, as emcees are told.
    pub fn views(&self) -> Vec<UnreadableView> {
        let view = |room: Unreadable| UnreadableView { id: room.id, room: room.code.map(String::from) };
        self.all().into_iter().map(view).collect()
    }

    /// Sets a room set_apart, and names it in the log if that is new.
    pub fn add(&self, room: Unreadable) {
        let mut set_apart = self.lock();
        let known = set_apart.get_mut(&room.id);
        if let Some(known) = known {
            known.code = known.code.take().or(room.code);
            return;
        }
        tracing::error!(
            room = room.id,
            code = room.code.as_ref().map_or("", RoomCode::as_str),
            why = room.why,
            "a room cannot be read and is set set_apart; nothing of it is deleted, and the others go on"
        );
        set_apart.insert(room.id.clone(), room);
        self.found.inc();
        self.gauge.set(set_apart.len() as i64);
    }

    /// Sets the room set_apart, if a call about it has failed because what is stored of it makes no sense.
    pub fn add_if_corrupt(&self, id: &RoomId, code: Option<&RoomCode>, error: &LedgerError) {
        if let LedgerError::Corrupt(why) = error {
            self.add(Unreadable { id: id.to_string(), code: code.cloned(), why: why.clone() });
        }
    }

    /// Says something of a room in the log once, however often it is met.
    pub fn name_once(&self, room: &RoomId, what: &'static str, error: &LedgerError) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.insert((room.clone(), what)) {
            tracing::error!(%room, %error, "{what}");
        }
    }

    /// All rooms. Those that cannot be read are set set_apart.
    ///
    /// # Errors
    /// The ledger cannot be asked.
    pub async fn list_rooms(&self, ledger: &dyn Ledger) -> Result<Listing, LedgerError> {
        let listing = ledger.rooms().await?;
        listing.unreadable.iter().for_each(|room| self.add(room.clone()));
        Ok(listing)
    }

    /// Takes back into the others whatever was set set_apart and can be read again, or is gone.
    ///
    /// # Errors
    /// The ledger cannot be asked.
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
            let mut set_apart = self.lock();
            set_apart.remove(&room.id);
            self.gauge.set(set_apart.len() as i64);
            tracing::info!(room = room.id, "a room that was set set_apart can be read again, or is gone");
        }
        Ok(())
    }
}
