//! Rooms that go for good.

use redb::ReadableTable;

use super::tables::{BEHIND_ALL_IDS, StoreError};
use super::work::Work;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::Room;

impl Work<'_> {
    /// Removes all that is kept of a room, in one step.
    pub fn purge_room(&mut self, room: &Room) -> Result<(), StoreError> {
        self.purge_parts(&room.id, &room.code, room.reference.as_deref())?;
        self.tables.rooms.remove(room.id.as_str())?;
        Ok(())
    }

    /// Removes all but the record, and the entries of the directory that lead to it.
    pub fn purge_parts(&mut self, id: &RoomId, code: &RoomCode, reference: Option<&str>) -> Result<(), StoreError> {
        let id = id.as_str();
        let tables = &mut self.tables;
        let own = |holder: Option<redb::AccessGuard<'_, &'static str>>| holder.is_some_and(|h| h.value() == id);
        if own(tables.codes.get(code.as_str())?) {
            tables.codes.remove(code.as_str())?;
        }
        if let Some(reference) = reference
            && own(tables.refs.get(reference)?)
        {
            tables.refs.remove(reference)?;
        }
        let within = (id, "")..(id, BEHIND_ALL_NAMES);
        for table in [&mut tables.names, &mut tables.cards, &mut tables.invited] {
            table.retain_in(within.clone(), |_, _| false)?;
        }
        for table in [&mut tables.voters, &mut tables.invites] {
            table.retain_in(within.clone(), |_, _| false)?;
        }
        tables.job_ids.retain_in(within, |_, _| false)?;
        tables.gates.retain_in((id, 0)..=(id, u16::MAX), |_, _| false)?;
        tables.acknowledged.retain_in((id, 0, "")..(id, u16::MAX, BEHIND_ALL_NAMES), |_, _| false)?;
        let ballots = (id, 0, 0, 0, "")..(id, u16::MAX, u16::MAX, u16::MAX, BEHIND_ALL_IDS);
        tables.ballots.retain_in(ballots, |_, _| false)?;
        tables.rankings.retain_in((id, 0, 0)..=(id, u64::MAX, u32::MAX), |_, _| false)?;
        tables.jobs.retain_in((id, 0)..=(id, u64::MAX), |_, _| false)?;
        tables.headcounts.remove(id)?;
        Ok(())
    }
}

/// Behind every name, whatever its letters: the last character there is.
const BEHIND_ALL_NAMES: &str = "\u{10FFFF}\u{10FFFF}";
