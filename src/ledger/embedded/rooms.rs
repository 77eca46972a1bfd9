//! Room records and the gates that follow them.

use redb::{ReadTransaction, ReadableTable};

use super::tables::{CODES, GATES, HEADCOUNTS, Json, ROOMS, Trouble, load, parse, store};
use super::writer::Work;
use crate::domain::LedgerMs;
use crate::domain::gate::{Gate, Target};
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::ledger::{Creation, FeedEvent, Replacement, Snapshot};

/// The gate of a partition, which is idle until a target reaches it.
pub fn gate(
    gates: &impl ReadableTable<(&'static str, u16), Json>,
    room: &RoomId,
    partition: u16,
) -> Result<Gate, Trouble> {
    Ok(load(gates, (room.as_str(), partition))?.unwrap_or_default())
}

impl Work<'_> {
    /// Stores a new room. The same room again is a repeat, and answered with what is stored.
    pub fn create_room(&mut self, room: &Room) -> Result<Creation, Trouble> {
        let tables = &mut self.tables;
        if let Some(stored) = load(&tables.rooms, room.id.as_str())? {
            return Ok(Creation::Created(stored));
        }
        let mut deleted = None;
        if let Some(reference) = &room.reference
            && let Some(holder) = tables.refs.get(reference.as_str())?
        {
            let holder: Room = load(&tables.rooms, holder.value())?.ok_or_else(|| dangling("ref"))?;
            if holder.deleted_at.is_none() {
                return Ok(Creation::RefTaken(holder));
            }
            deleted = Some(holder);
        }
        if tables.codes.get(room.code.as_str())?.is_some() {
            return Ok(Creation::CodeTaken);
        }
        // a deleted room's reference may be given out again; the room comes back without it
        if let Some(holder) = deleted {
            let holder = Room { reference: None, seq: (holder.seq + 1).max(self.now), ..holder };
            store(&mut tables.rooms, holder.id.as_str(), &holder)?;
        }
        let room = Room { seq: (room.seq + 1).max(self.now), ..room.clone() };
        store(&mut tables.rooms, room.id.as_str(), &room)?;
        tables.codes.insert(room.code.as_str(), room.id.as_str())?;
        if let Some(reference) = &room.reference {
            tables.refs.insert(reference.as_str(), room.id.as_str())?;
        }
        Ok(Creation::Created(room))
    }

    /// Compare-and-set of the record, by its `seq`, with the jobs that this causes.
    pub fn replace_room(&mut self, room: &Room, jobs: &[Job]) -> Result<Replacement, Trouble> {
        let stored: Option<Room> = load(&self.tables.rooms, room.id.as_str())?;
        let stored = stored.ok_or(Trouble::Misused("there is no such room"))?;
        if stored.seq != room.seq {
            return Ok(Replacement::Changed(stored));
        }
        let room = Room { seq: (stored.seq + 1).max(self.now), ..room.clone() };
        store(&mut self.tables.rooms, room.id.as_str(), &room)?;
        self.enqueue(&room.id, jobs)?;
        self.announce(FeedEvent::RoomChanged { room: room.id.clone(), seq: room.seq });
        Ok(Replacement::Stored(room))
    }

    /// Puts a target on every gate; those that follow it are published.
    pub fn aim(&mut self, room: &RoomId, partitions: u16, target: &Target) -> Result<(LedgerMs, Vec<Gate>), Trouble> {
        let gates = (0..partitions).map(|partition| gate(&self.tables.gates, room, partition));
        let mut gates = gates.collect::<Result<Vec<_>, _>>()?;
        for (gate, partition) in gates.iter_mut().zip(0..) {
            if gate.follow(target, self.now) {
                store(&mut self.tables.gates, (room.as_str(), partition), gate)?;
                self.publish(room, partition, gate);
            }
        }
        Ok((self.now, gates))
    }
}

/// All rooms.
pub fn rooms(transaction: &ReadTransaction) -> Result<Vec<Room>, Trouble> {
    let rooms = transaction.open_table(ROOMS)?;
    rooms.iter()?.map(|entry| parse(entry?.1.value())).collect()
}

/// A room by its id.
pub fn room(transaction: &ReadTransaction, id: &RoomId) -> Result<Option<Room>, Trouble> {
    load(&transaction.open_table(ROOMS)?, id.as_str())
}

/// A room by its code.
pub fn find_room(transaction: &ReadTransaction, code: &RoomCode) -> Result<Option<Room>, Trouble> {
    let Some(id) = transaction.open_table(CODES)?.get(code.as_str())? else { return Ok(None) };
    let room = load(&transaction.open_table(ROOMS)?, id.value())?;
    room.map(Some).ok_or_else(|| dangling("code"))
}

/// A room's moving parts, as they were together at one moment.
pub fn snapshot(
    transaction: &ReadTransaction,
    now: LedgerMs,
    id: &RoomId,
    partitions: u16,
) -> Result<Option<Snapshot>, Trouble> {
    let Some(room) = room(transaction, id)? else { return Ok(None) };
    let gates = transaction.open_table(GATES)?;
    let gates = (0..partitions).map(|partition| gate(&gates, id, partition)).collect::<Result<_, _>>()?;
    let voters = transaction.open_table(HEADCOUNTS)?.get(id.as_str())?.map_or(0, |count| count.value());
    Ok(Some(Snapshot { now, seq: room.seq, gates, voters }))
}

fn dangling(what: &str) -> Trouble {
    Trouble::Corrupt(format!("a {what} leads to no room"))
}
