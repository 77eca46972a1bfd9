//! Rooms that come from another installation. Each is written under a claim, and is here when its record is.

use std::time::Duration;

use redb::ReadableTable;

use super::claims::Running;
use super::rooms::load_room;
use super::tables::{IMPORT_KEY, StoreError, load, parse, store};
use super::work::Work;
use crate::domain::LedgerMs;
use crate::domain::ballot::Ballot;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::domain::room::Room;
use crate::ledger::{Claimed, ImportClaim, Part, SLICE};

const LOST: StoreError = StoreError::Misused("this import was given up, for its claim had run out; begin again");

impl Work<'_> {
    /// Claims id, code and `ref` of a room that is to be brought in.
    pub fn begin_import(&mut self, room: &Room, lease: Duration) -> Result<Claimed, StoreError> {
        let id = room.id.as_str();
        if let Some(here) = load_room(&self.tables.rooms, id)? {
            return Ok(Claimed::Exists(here));
        }
        if self.is_importing(id)? {
            return Ok(Claimed::Running);
        }
        let mut deleted = None;
        if let Some(reference) = &room.reference
            && let Some(holder) = self.tables.refs.get(reference.as_str())?.map(|holder| holder.value().to_owned())
        {
            if self.is_importing(&holder)? {
                return Ok(Claimed::Running);
            }
            let holder = self.holder_of_reference(&holder)?;
            if holder.deleted_at.is_none() {
                return Ok(Claimed::RefTaken(holder));
            }
            deleted = Some(holder);
        }
        if let Some(holder) = self.tables.codes.get(room.code.as_str())?.map(|holder| holder.value().to_owned()) {
            return Ok(if self.is_importing(&holder)? { Claimed::Running } else { Claimed::CodeTaken });
        }
        if let Some(holder) = deleted {
            self.take_reference_from(holder)?;
        }
        let token = self.tables.meta.get(IMPORT_KEY)?.map_or(0, |last| last.value()) + 1;
        self.tables.meta.insert(IMPORT_KEY, token)?;
        self.tables.codes.insert(room.code.as_str(), id)?;
        if let Some(reference) = &room.reference {
            self.tables.refs.insert(reference.as_str(), id)?;
        }
        let until = self.now + lease.as_millis() as LedgerMs;
        let running = Running { token, until, code: room.code.clone(), reference: room.reference.clone() };
        store(&mut self.tables.imports, id, &running)?;
        Ok(Claimed::Held(ImportClaim { room: room.id.clone(), partitions: room.partitions, token, lease }))
    }

    /// Writes parts of a room that has no record yet, and renews the claim.
    pub fn write_parts(&mut self, claim: &ImportClaim, parts: &[Part]) -> Result<(), StoreError> {
        if parts.len() > SLICE {
            return Err(StoreError::Misused("at most 1,000 parts are written at once"));
        }
        let running = self.claimed(claim)?.ok_or(LOST)?;
        let until = self.now + claim.lease.as_millis() as LedgerMs;
        store(&mut self.tables.imports, claim.room.as_str(), &Running { until, ..running })?;
        parts.iter().try_for_each(|part| self.write_part(&claim.room, claim.partitions, part))
    }

    fn write_part(&mut self, room: &RoomId, partitions: u16, part: &Part) -> Result<(), StoreError> {
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
            Part::Ranking { ranking, slice, entries } => self.store_ranking(room, *ranking, *slice, entries),
        }
    }

    /// Stores the record of a room that is here whole, and gives the claim back.
    pub fn finish_import(&mut self, claim: &ImportClaim, room: &Room) -> Result<Room, StoreError> {
        self.claimed(claim)?.ok_or(LOST)?;
        let room = Room { seq: (room.seq + 1).max(self.now), ..room.clone() };
        store(&mut self.tables.rooms, room.id.as_str(), &room)?;
        self.tables.imports.remove(room.id.as_str())?;
        Ok(room)
    }

    /// Takes back what was written under the claim, if it was not finished.
    pub fn drop_import(&mut self, claim: &ImportClaim) -> Result<(), StoreError> {
        match self.claimed(claim)? {
            Some(running) => self.take_back(&claim.room, &running),
            None => Ok(()),
        }
    }

    /// Takes back every import whose claim has run out.
    pub fn sweep_imports(&mut self) -> Result<usize, StoreError> {
        let mut over = vec![];
        for entry in self.tables.imports.iter()? {
            let (id, running) = entry?;
            let running: Running = parse(running.value())?;
            if running.until <= self.now {
                let id = RoomId::parse(id.value()).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                over.push((id, running));
            }
        }
        over.iter().try_for_each(|(id, running)| self.take_back(id, running))?;
        Ok(over.len())
    }

    fn take_back(&mut self, id: &RoomId, running: &Running) -> Result<(), StoreError> {
        self.purge_parts(id, &running.code, running.reference.as_deref())?;
        self.tables.imports.remove(id.as_str())?;
        Ok(())
    }

    fn is_importing(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.tables.imports.get(id)?.is_some())
    }

    fn claimed(&self, claim: &ImportClaim) -> Result<Option<Running>, StoreError> {
        let running: Option<Running> = load(&self.tables.imports, claim.room.as_str())?;
        Ok(running.filter(|running| running.token == claim.token))
    }
}
