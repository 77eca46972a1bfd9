//! Imports. Each is written under a claim, and its room is visible as soon as the record is stored.

use std::time::Duration;

use async_trait::async_trait;
use redb::ReadableTable;

use super::claims::{StoredClaim, has_imports};
use super::ledger::EmbeddedLedger;
use super::rooms::{PURGE_WEIGHT, load_room};
use super::tables::{IMPORT_KEY, StoreError, load, parse, store};
use super::write_transaction::WriteTransaction;
use crate::domain::LedgerMs;
use crate::domain::ballot::Ballot;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::domain::room::Room;
use crate::ledger::{Claimed, ImportClaim, ImportStore, LedgerError, Part, SLICE};

const CLAIM_LOST: StoreError =
    StoreError::Misused("this import was given up because its claim has expired; start it again");

#[async_trait]
impl ImportStore for EmbeddedLedger {
    async fn begin_import(&self, room: &Room, lease: Duration) -> Result<Claimed, LedgerError> {
        let room = room.clone();
        self.store.write(1, move |transaction| transaction.begin_import(&room, lease)).await
    }

    async fn write_parts(&self, claim: &ImportClaim, parts: &[Part]) -> Result<(), LedgerError> {
        let (claim, parts) = (claim.clone(), parts.to_vec());
        self.store.write(parts.len(), move |transaction| transaction.write_parts(&claim, &parts)).await
    }

    async fn finish_import(&self, claim: &ImportClaim, room: &Room) -> Result<Room, LedgerError> {
        let (claim, room) = (claim.clone(), room.clone());
        let finish = move |transaction: &mut WriteTransaction<'_>| {
            transaction.held_claim(&claim)?.ok_or(CLAIM_LOST)?;
            let room = Room { seq: (room.seq + 1).max(transaction.now), ..room };
            store(&mut transaction.tables.rooms, room.id.as_str(), &room)?;
            transaction.tables.imports.remove(room.id.as_str())?;
            Ok(room)
        };
        self.store.write(1, finish).await
    }

    async fn drop_import(&self, claim: &ImportClaim) -> Result<(), LedgerError> {
        let claim = claim.clone();
        let drop_claimed = move |transaction: &mut WriteTransaction<'_>| match transaction.held_claim(&claim)? {
            Some(stored) => transaction.drop_parts(&claim.room, &stored),
            None => Ok(()),
        };
        self.store.write(PURGE_WEIGHT, drop_claimed).await
    }

    async fn sweep_imports(&self) -> Result<usize, LedgerError> {
        if !self.store.read(has_imports).await? {
            return Ok(0);
        }
        self.store.write(PURGE_WEIGHT, |transaction| transaction.sweep_imports()).await
    }
}

impl WriteTransaction<'_> {
    fn begin_import(&mut self, room: &Room, lease: Duration) -> Result<Claimed, StoreError> {
        let id = room.id.as_str();
        if let Some(stored) = load_room(&self.tables.rooms, id)? {
            return Ok(Claimed::Exists(stored));
        }
        if self.is_importing(id)? {
            return Ok(Claimed::Running);
        }
        let mut deleted = None;
        if let Some(reference) = &room.reference
            && let Some(owner) = self.tables.refs.get(reference.as_str())?.map(|owner| owner.value().to_owned())
        {
            if self.is_importing(&owner)? {
                return Ok(Claimed::Running);
            }
            let owner = self.owner_of_reference(&owner)?;
            if owner.deleted_at.is_none() {
                return Ok(Claimed::RefTaken(owner));
            }
            deleted = Some(owner);
        }
        if let Some(owner) = self.tables.codes.get(room.code.as_str())?.map(|owner| owner.value().to_owned()) {
            return Ok(if self.is_importing(&owner)? { Claimed::Running } else { Claimed::CodeTaken });
        }
        if let Some(owner) = deleted {
            self.take_reference_from(owner)?;
        }
        let token = self.tables.meta.get(IMPORT_KEY)?.map_or(0, |last| last.value()) + 1;
        self.tables.meta.insert(IMPORT_KEY, token)?;
        self.tables.codes.insert(room.code.as_str(), id)?;
        if let Some(reference) = &room.reference {
            self.tables.refs.insert(reference.as_str(), id)?;
        }
        let until = self.now + lease.as_millis() as LedgerMs;
        let claim = StoredClaim { token, until, code: room.code.clone(), reference: room.reference.clone() };
        store(&mut self.tables.imports, id, &claim)?;
        Ok(Claimed::Held(ImportClaim { room: room.id.clone(), partitions: room.partitions, token, lease }))
    }

    fn write_parts(&mut self, claim: &ImportClaim, parts: &[Part]) -> Result<(), StoreError> {
        if parts.len() > SLICE {
            return Err(StoreError::Misused("at most 1,000 parts are written at once"));
        }
        let stored = self.held_claim(claim)?.ok_or(CLAIM_LOST)?;
        let until = self.now + claim.lease.as_millis() as LedgerMs;
        store(&mut self.tables.imports, claim.room.as_str(), &StoredClaim { until, ..stored })?;
        parts.iter().try_for_each(|part| self.write_part(&claim.room, claim.partitions, part))
    }

    fn write_part(&mut self, room: &RoomId, partitions: u16, part: &Part) -> Result<(), StoreError> {
        match part {
            Part::Gate { partition, gate } => store(&mut self.tables.gates, (room.as_str(), *partition), gate),
            Part::Voter(voter) => self.import_voter(room, voter),
            Part::Invited(invited) => self.import_invite(room, invited),
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

    fn sweep_imports(&mut self) -> Result<usize, StoreError> {
        let mut expired = vec![];
        for entry in self.tables.imports.iter()? {
            let (id, claim) = entry?;
            let claim: StoredClaim = parse(claim.value())?;
            if claim.until <= self.now {
                let id = RoomId::parse(id.value()).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                expired.push((id, claim));
            }
        }
        expired.iter().try_for_each(|(id, claim)| self.drop_parts(id, claim))?;
        Ok(expired.len())
    }

    /// Removes what an import has written, and its claim.
    fn drop_parts(&mut self, id: &RoomId, claim: &StoredClaim) -> Result<(), StoreError> {
        self.purge_parts(id, &claim.code, claim.reference.as_deref())?;
        self.tables.imports.remove(id.as_str())?;
        Ok(())
    }

    fn is_importing(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.tables.imports.get(id)?.is_some())
    }

    /// The stored claim, if it is this one. `None` if it was released, or another import has taken over.
    fn held_claim(&self, claim: &ImportClaim) -> Result<Option<StoredClaim>, StoreError> {
        let stored: Option<StoredClaim> = load(&self.tables.imports, claim.room.as_str())?;
        Ok(stored.filter(|stored| stored.token == claim.token))
    }
}
