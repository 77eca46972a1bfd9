//! Room records and the gates that follow them.

use redb::{ReadTransaction, ReadableTable};

use super::claims::is_importing;
use super::tables::{CODES, GATES, HEADCOUNTS, Json, ROOMS, StoreError, load, parse, store};
use super::work::Work;
use crate::domain::LedgerMs;
use crate::domain::gate::{DesiredGate, Gate};
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::ledger::{Creation, FeedEvent, GateSnapshot, Listing, Replacement, Unreadable};

/// The gate of a partition, which is idle until a desired state reaches it.
pub fn gate(
    gates: &impl ReadableTable<(&'static str, u16), Json>,
    room: &RoomId,
    partition: u16,
) -> Result<Gate, StoreError> {
    let gate: Gate = load(gates, (room.as_str(), partition))?.unwrap_or_default();
    let corrupt = |error| StoreError::Corrupt(format!("gate {partition} of room {room}: {error}"));
    gate.validate().map_err(corrupt)?;
    Ok(gate)
}

/// A room record. Every one is read by this, and holds to the rules of the domain.
pub fn load_room(rooms: &impl ReadableTable<&'static str, Json>, id: &str) -> Result<Option<Room>, StoreError> {
    rooms.get(id)?.map(|json| read_room(id, json.value())).transpose()
}

fn read_room(id: &str, json: &[u8]) -> Result<Room, StoreError> {
    let room: Room = parse(json)?;
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("the record of room {id}: {error}"));
    room.validate().map_err(|error| corrupt(&error))?;
    if room.id.as_str() == id { Ok(room) } else { Err(corrupt(&format!("is that of room {}", room.id))) }
}

impl Work<'_> {
    /// Stores a new room. The same room again is a repeat, and answered with what is stored.
    pub fn create_room(&mut self, room: &Room) -> Result<Creation, StoreError> {
        if let Some(stored) = load_room(&self.tables.rooms, room.id.as_str())? {
            return Ok(Creation::Created(stored));
        }
        let mut deleted = None;
        if let Some(reference) = &room.reference
            && let Some(holder) = self.tables.refs.get(reference.as_str())?
        {
            if self.tables.imports.get(holder.value())?.is_some() {
                return Err(StoreError::Misused("a room with this ref is just being brought in; say it again"));
            }
            let holder = self.holder_of_reference(holder.value())?;
            if holder.deleted_at.is_none() {
                return Ok(Creation::RefTaken(holder));
            }
            deleted = Some(holder);
        }
        if self.tables.codes.get(room.code.as_str())?.is_some() {
            return Ok(Creation::CodeTaken);
        }
        if let Some(holder) = deleted {
            self.take_reference_from(holder)?;
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
    pub fn holder_of_reference(&self, id: &str) -> Result<Room, StoreError> {
        load_room(&self.tables.rooms, id)?.ok_or_else(|| dangling("ref"))
    }

    /// A deleted room's `ref` may be given out again; the room comes back without it.
    pub fn take_reference_from(&mut self, holder: Room) -> Result<(), StoreError> {
        let holder = Room { reference: None, seq: (holder.seq + 1).max(self.now), ..holder };
        store(&mut self.tables.rooms, holder.id.as_str(), &holder)
    }

    /// Compare-and-set of the record, by its `seq`, with the jobs that this causes.
    pub fn replace_room(&mut self, room: &Room, jobs: &[Job]) -> Result<Replacement, StoreError> {
        let stored = load_room(&self.tables.rooms, room.id.as_str())?;
        let stored = stored.ok_or(StoreError::Misused("there is no such room"))?;
        if stored.seq != room.seq {
            return Ok(Replacement::Changed(stored));
        }
        let room = Room { seq: (stored.seq + 1).max(self.now), ..room.clone() };
        store(&mut self.tables.rooms, room.id.as_str(), &room)?;
        self.enqueue(&room.id, jobs)?;
        self.announce(FeedEvent::RoomChanged { room: room.id.clone(), seq: room.seq });
        Ok(Replacement::Stored(room))
    }

    /// Puts a desired state on every gate; those that follow it are published.
    pub fn set_gates(
        &mut self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), StoreError> {
        let gates = (0..partitions).map(|partition| gate(&self.tables.gates, room, partition));
        let mut gates = gates.collect::<Result<Vec<_>, _>>()?;
        for (gate, partition) in gates.iter_mut().zip(0..) {
            if gate.follow(desired, self.now) {
                store(&mut self.tables.gates, (room.as_str(), partition), gate)?;
                self.publish(room, partition, gate);
            }
        }
        Ok((self.now, gates))
    }
}

/// All rooms.
pub fn rooms(transaction: &ReadTransaction) -> Result<Listing, StoreError> {
    let (rooms, codes) = (transaction.open_table(ROOMS)?, transaction.open_table(CODES)?);
    let mut listing = Listing::default();
    let mut set_apart = |id: &str, why: String| -> Result<(), StoreError> {
        let mut code = None;
        for entry in codes.iter()? {
            let (text, holder) = entry?;
            if holder.value() == id {
                code = RoomCode::parse(text.value()).ok();
            }
        }
        listing.unreadable.push(Unreadable { id: id.to_owned(), code, why });
        Ok(())
    };
    let mut found = vec![];
    for entry in rooms.iter()? {
        let (id, json) = entry?;
        match read_room(id.value(), json.value()) {
            Ok(room) => found.push(room),
            Err(StoreError::Corrupt(why)) => set_apart(id.value(), why)?,
            Err(error) => return Err(error),
        }
    }
    for entry in codes.iter()? {
        let (_, id) = entry?;
        if rooms.get(id.value())?.is_none() && !is_importing(transaction, id.value())? {
            set_apart(id.value(), "its record is gone".to_owned())?;
        }
    }
    listing.rooms = found;
    Ok(listing)
}

/// A room by its id.
pub fn room(transaction: &ReadTransaction, id: &RoomId) -> Result<Option<Room>, StoreError> {
    load_room(&transaction.open_table(ROOMS)?, id.as_str())
}

/// A room by its code.
pub fn find_room(transaction: &ReadTransaction, code: &RoomCode) -> Result<Option<Room>, StoreError> {
    let Some(id) = transaction.open_table(CODES)?.get(code.as_str())? else { return Ok(None) };
    match load_room(&transaction.open_table(ROOMS)?, id.value())? {
        None if !is_importing(transaction, id.value())? => Err(dangling("code")),
        room => Ok(room),
    }
}

/// A room's moving parts, as they were together at one moment.
pub fn snapshot(
    transaction: &ReadTransaction,
    now: LedgerMs,
    id: &RoomId,
    partitions: u16,
) -> Result<Option<GateSnapshot>, StoreError> {
    let Some(room) = room(transaction, id)? else { return Ok(None) };
    let gates = transaction.open_table(GATES)?;
    let gates = (0..partitions).map(|partition| gate(&gates, id, partition)).collect::<Result<_, _>>()?;
    let voters = transaction.open_table(HEADCOUNTS)?.get(id.as_str())?.map_or(0, |count| count.value());
    Ok(Some(GateSnapshot { now, seq: room.seq, gates, voters }))
}

fn dangling(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a {what} leads to no room"))
}
