//! Rooms that come from another installation, and rooms that go for good.

use redb::ReadableTable;

use super::tables::{BEHIND_ALL_IDS, Trouble, store};
use super::writer::Work;
use crate::domain::ballot::Ballot;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::domain::room::Room;
use crate::ledger::{Part, SLICE};

impl Work<'_> {
    /// Writes parts of a room that has no record yet.
    pub fn write_parts(&mut self, room: &RoomId, partitions: u16, parts: &[Part]) -> Result<(), Trouble> {
        if parts.len() > SLICE {
            return Err(Trouble::Misused("at most 1,000 parts are written at once"));
        }
        parts.iter().try_for_each(|part| self.write_part(room, partitions, part))
    }

    fn write_part(&mut self, room: &RoomId, partitions: u16, part: &Part) -> Result<(), Trouble> {
        match part {
            Part::Gate { partition, gate } => store(&mut self.tables.gates, (room.as_str(), *partition), gate),
            Part::Voter(voter) => self.bring_voter(room, voter),
            Part::Invited(invited) => self.bring_invite(room, invited),
            Part::Ballot { round, take, voter, votes, time_ms } => {
                let id = voter.as_str();
                let ballot = Ballot { votes: votes.clone(), time_ms: *time_ms }.encode();
                let key = (room.as_str(), partition_of(id, partitions), *round, *take, id);
                self.tables.ballots.insert(key, ballot.as_str())?;
                Ok(())
            }
        }
    }

    /// Removes all that is kept of a room, in one step.
    pub fn purge_room(&mut self, room: &Room) -> Result<(), Trouble> {
        let id = room.id.as_str();
        let tables = &mut self.tables;
        let own = |holder: Option<redb::AccessGuard<'_, &'static str>>| holder.is_some_and(|h| h.value() == id);
        if own(tables.codes.get(room.code.as_str())?) {
            tables.codes.remove(room.code.as_str())?;
        }
        if let Some(reference) = &room.reference
            && own(tables.refs.get(reference.as_str())?)
        {
            tables.refs.remove(reference.as_str())?;
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
        tables.rooms.remove(id)?;
        Ok(())
    }
}

/// Behind every name, whatever its letters: the last character there is.
const BEHIND_ALL_NAMES: &str = "\u{10FFFF}\u{10FFFF}";
