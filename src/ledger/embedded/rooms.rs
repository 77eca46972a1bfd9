//! Room records, and the directory of codes and `ref`s.

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable};

use super::claims::is_importing;
use super::ledger::EmbeddedLedger;
use super::tables::{CODES, Json, ROOMS, StoreError, parse, store};
use super::write_transaction::WriteTransaction;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::ledger::{Creation, FeedEvent, LedgerError, Listing, Replacement, RoomStore, Unreadable};

/// How much work a purge is, in casts: it is a transaction of its own.
pub const PURGE_WEIGHT: usize = 4_000;

#[async_trait]
impl RoomStore for EmbeddedLedger {
    async fn create_room(&self, room: &Room) -> Result<Creation, LedgerError> {
        let room = room.clone();
        self.store.write(1, move |transaction| transaction.create_room(&room)).await
    }

    async fn rooms(&self) -> Result<Listing, LedgerError> {
        self.store.read(list_rooms).await
    }

    async fn find_room(&self, code: &RoomCode) -> Result<Option<Room>, LedgerError> {
        let code = code.clone();
        let find = move |transaction: &ReadTransaction| {
            let Some(id) = transaction.open_table(CODES)?.get(code.as_str())? else { return Ok(None) };
            match load_room(&transaction.open_table(ROOMS)?, id.value())? {
                None if !is_importing(transaction, id.value())? => Err(dangling("code")),
                room => Ok(room),
            }
        };
        self.store.read(find).await
    }

    async fn room(&self, id: &RoomId) -> Result<Option<Room>, LedgerError> {
        let id = id.clone();
        self.store.read(move |transaction| load_room(&transaction.open_table(ROOMS)?, id.as_str())).await
    }

    async fn replace_room(&self, room: &Room, jobs: &[Job]) -> Result<Replacement, LedgerError> {
        let (room, jobs) = (room.clone(), jobs.to_vec());
        self.store.write(1, move |transaction| transaction.replace_room(room, &jobs)).await
    }

    async fn purge_room(&self, room: &Room) -> Result<(), LedgerError> {
        let room = room.clone();
        let purge = move |transaction: &mut WriteTransaction<'_>| {
            transaction.purge_parts(&room.id, &room.code, room.reference.as_deref())?;
            transaction.tables.rooms.remove(room.id.as_str())?;
            Ok(())
        };
        self.store.write(PURGE_WEIGHT, purge).await
    }
}

/// Reads and validates a room record. All records are read by this function.
///
/// # Errors
/// See [`StoreError`].
pub fn load_room(rooms: &impl ReadableTable<&'static str, Json>, id: &str) -> Result<Option<Room>, StoreError> {
    rooms.get(id)?.map(|json| decode_room(id, json.value())).transpose()
}

fn decode_room(id: &str, json: &[u8]) -> Result<Room, StoreError> {
    let room: Room = parse(json)?;
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("the record of room {id}: {error}"));
    room.validate().map_err(|error| corrupt(&error))?;
    if room.id.as_str() == id { Ok(room) } else { Err(corrupt(&format!("is that of room {}", room.id))) }
}

/// A directory entry whose room is gone.
fn dangling(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a {what} leads to a room that does not exist"))
}

fn list_rooms(transaction: &ReadTransaction) -> Result<Listing, StoreError> {
    let (rooms, codes) = (transaction.open_table(ROOMS)?, transaction.open_table(CODES)?);
    let unreadable = |id: &str, why: String| -> Result<Unreadable, StoreError> {
        let mut code = None;
        for entry in codes.iter()? {
            let (text, owner) = entry?;
            if owner.value() == id {
                code = RoomCode::parse(text.value()).ok();
            }
        }
        Ok(Unreadable { id: id.to_owned(), code, why })
    };
    let mut listing = Listing::default();
    for entry in rooms.iter()? {
        let (id, json) = entry?;
        match decode_room(id.value(), json.value()) {
            Ok(room) => listing.rooms.push(room),
            Err(StoreError::Corrupt(why)) => listing.unreadable.push(unreadable(id.value(), why)?),
            Err(error) => return Err(error),
        }
    }
    for entry in codes.iter()? {
        let (_, id) = entry?;
        if rooms.get(id.value())?.is_none() && !is_importing(transaction, id.value())? {
            listing.unreadable.push(unreadable(id.value(), "its record is gone".to_owned())?);
        }
    }
    Ok(listing)
}

impl WriteTransaction<'_> {
    fn create_room(&mut self, room: &Room) -> Result<Creation, StoreError> {
        if let Some(stored) = load_room(&self.tables.rooms, room.id.as_str())? {
            return Ok(Creation::Created(stored));
        }
        let mut deleted = None;
        if let Some(reference) = &room.reference
            && let Some(owner) = self.tables.refs.get(reference.as_str())?
        {
            if self.tables.imports.get(owner.value())?.is_some() {
                return Err(StoreError::Misused("a room with this ref is being imported; try again later"));
            }
            let owner = self.owner_of_reference(owner.value())?;
            if owner.deleted_at.is_none() {
                return Ok(Creation::RefTaken(owner));
            }
            deleted = Some(owner);
        }
        if self.tables.codes.get(room.code.as_str())?.is_some() {
            return Ok(Creation::CodeTaken);
        }
        if let Some(owner) = deleted {
            self.take_reference_from(owner)?;
        }
        let tables = &mut self.tables;
        let room = Room { seq: (room.seq + 1).max(self.now), ..room.clone() };
        store(&mut tables.rooms, room.id.as_str(), &room)?;
        tables.codes.insert(room.code.as_str(), room.id.as_str())?;
        if let Some(reference) = &room.reference {
            tables.refs.insert(reference.as_str(), room.id.as_str())?;
        }
        Ok(Creation::Created(room))
    }

    /// The room that a `ref` leads to.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn owner_of_reference(&self, id: &str) -> Result<Room, StoreError> {
        load_room(&self.tables.rooms, id)?.ok_or_else(|| dangling("ref"))
    }

    /// Removes the `ref` from a deleted room, so that another room can have it. If the room is restored, it has none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn take_reference_from(&mut self, owner: Room) -> Result<(), StoreError> {
        let owner = Room { reference: None, seq: (owner.seq + 1).max(self.now), ..owner };
        store(&mut self.tables.rooms, owner.id.as_str(), &owner)
    }

    fn replace_room(&mut self, room: Room, jobs: &[Job]) -> Result<Replacement, StoreError> {
        let stored = load_room(&self.tables.rooms, room.id.as_str())?;
        let stored = stored.ok_or(StoreError::Misused("there is no such room"))?;
        if stored.seq != room.seq {
            return Ok(Replacement::Changed(stored));
        }
        let room = Room { seq: (stored.seq + 1).max(self.now), ..room };
        store(&mut self.tables.rooms, room.id.as_str(), &room)?;
        self.enqueue(&room.id, jobs)?;
        self.announce(FeedEvent::RoomChanged { room: room.id.clone(), seq: room.seq });
        Ok(Replacement::Stored(room))
    }
}
