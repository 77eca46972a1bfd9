//! Rooms that are set apart: something that is stored of them makes no sense. The other rooms go on without them, and
//! nothing of them is deleted.
//!
//! A room is set apart by whoever meets it, named in the log once, counted in the metrics and told to emcees. The look at
//! all rooms, twice a minute, takes it back when it can be read again.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pod::Pod;
use crate::domain::ids::{RoomCode, RoomId};
use crate::ledger::conduct::{ConductError, settle};
use crate::ledger::{LedgerError, Listing, Unreadable};
use crate::wire::server::UnreadableView;

/// See the [module](self).
#[derive(Default)]
pub struct SetApart {
    /// By room id.
    rooms: Mutex<BTreeMap<String, Unreadable>>,
    /// What else was said once of a room.
    named: Mutex<HashSet<(RoomId, &'static str)>>,
}

impl SetApart {
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
}

impl Pod {
    /// Sets a room apart, and names it in the log if that is new.
    pub fn set_apart(&self, room: Unreadable) {
        let mut apart = self.apart.lock();
        let known = apart.get_mut(&room.id);
        if let Some(known) = known {
            known.code = known.code.take().or(room.code);
            return;
        }
        tracing::error!(
            room = room.id,
            code = room.code.as_ref().map_or("", RoomCode::as_str),
            why = room.why,
            "a room can not be read and is set apart; nothing of it is deleted, and the others go on"
        );
        apart.insert(room.id.clone(), room);
        self.metrics.ledger_errors.with_label_values(&["corrupt"]).inc();
        self.metrics.rooms_unreadable.set(apart.len() as i64);
    }

    /// Sets the room apart, if a call about it has failed because what is stored of it makes no sense.
    pub fn set_apart_if_corrupt(&self, id: &RoomId, code: Option<&RoomCode>, error: &LedgerError) {
        if let LedgerError::Corrupt(why) = error {
            self.set_apart(Unreadable { id: id.to_string(), code: code.cloned(), why: why.clone() });
        }
    }

    /// Says something of a room in the log once, however often it is met.
    pub fn name_once(&self, room: &RoomId, what: &'static str, error: &LedgerError) {
        let mut named = self.apart.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.insert((room.clone(), what)) {
            tracing::error!(%room, %error, "{what}");
        }
    }

    /// All rooms. Those that can not be read are set apart.
    ///
    /// # Errors
    /// The ledger can not be asked.
    pub async fn list_rooms(&self) -> Result<Listing, LedgerError> {
        let listing = self.ledger.rooms().await?;
        listing.unreadable.iter().for_each(|room| self.set_apart(room.clone()));
        Ok(listing)
    }

    /// Takes back into the others whatever was set apart and can be read again, or is gone.
    ///
    /// # Errors
    /// The ledger can not be asked.
    pub async fn review_apart(&self, listing: &Listing) -> Result<(), LedgerError> {
        for room in self.apart.all() {
            if listing.unreadable.iter().any(|unreadable| unreadable.id == room.id) {
                continue;
            }
            if let Ok(id) = RoomId::parse(&room.id) {
                match settle(&*self.ledger, &id).await {
                    Err(ConductError::Ledger(LedgerError::Corrupt(_))) => continue,
                    Err(ConductError::Ledger(error)) => return Err(error),
                    _ => {}
                }
            }
            let mut apart = self.apart.lock();
            apart.remove(&room.id);
            self.metrics.rooms_unreadable.set(apart.len() as i64);
            tracing::info!(room = room.id, "a room that was set apart can be read again, or is gone");
        }
        Ok(())
    }
}
