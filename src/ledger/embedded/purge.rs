//! Purge: everything that is stored of a room, removed in one transaction.

use redb::ReadableTable;

use super::tables::{AFTER_ALL_IDS, StoreError};
use super::write_transaction::WriteTransaction;
use crate::domain::ids::{RoomCode, RoomId};

impl WriteTransaction<'_> {
    /// Removes everything of a room except its record: its data, and its entries in the directory.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn purge_parts(&mut self, id: &RoomId, code: &RoomCode, reference: Option<&str>) -> Result<(), StoreError> {
        let id = id.as_str();
        let tables = &mut self.tables;
        let is_own =
            |owner: Option<redb::AccessGuard<'_, &'static str>>| owner.is_some_and(|owner| owner.value() == id);
        if is_own(tables.codes.get(code.as_str())?) {
            tables.codes.remove(code.as_str())?;
        }
        if let Some(reference) = reference
            && is_own(tables.refs.get(reference)?)
        {
            tables.refs.remove(reference)?;
        }
        let within = (id, "")..(id, AFTER_ALL_NAMES);
        for table in [&mut tables.names, &mut tables.cards, &mut tables.invited] {
            table.retain_in(within.clone(), |_, _| false)?;
        }
        for table in [&mut tables.voters, &mut tables.invites] {
            table.retain_in(within.clone(), |_, _| false)?;
        }
        tables.job_ids.retain_in(within, |_, _| false)?;
        tables.gates.retain_in((id, 0)..=(id, u16::MAX), |_, _| false)?;
        tables.acknowledged.retain_in((id, 0, "")..(id, u16::MAX, AFTER_ALL_NAMES), |_, _| false)?;
        let ballots = (id, 0, 0, 0, "")..(id, u16::MAX, u16::MAX, u16::MAX, AFTER_ALL_IDS);
        tables.ballots.retain_in(ballots, |_, _| false)?;
        tables.rankings.retain_in((id, 0, 0)..=(id, u64::MAX, u32::MAX), |_, _| false)?;
        tables.jobs.retain_in((id, 0)..=(id, u64::MAX), |_, _| false)?;
        tables.headcounts.remove(id)?;
        Ok(())
    }
}

/// Sorts after every name: names hold no character beyond the last one of Unicode.
const AFTER_ALL_NAMES: &str = "\u{10FFFF}\u{10FFFF}";
