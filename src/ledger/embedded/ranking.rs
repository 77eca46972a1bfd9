//! Frozen rankings, in slices.

use std::ops::Range;

use redb::ReadTransaction;

use super::tables::{RANKINGS, StoreError, load, store};
use super::work::Work;
use crate::domain::ids::RoomId;
use crate::ledger::{RankEntry, SLICE};

impl Work<'_> {
    /// Stores one slice.
    pub fn store_ranking(
        &mut self,
        room: &RoomId,
        ranking: u64,
        slice: u32,
        entries: &[RankEntry],
    ) -> Result<(), StoreError> {
        if entries.len() > SLICE {
            return Err(StoreError::Misused("a slice holds at most 1,000 entries"));
        }
        store(&mut self.tables.rankings, (room.as_str(), ranking, slice), &entries)
    }

    /// Drops all slices of these rankings.
    pub fn drop_rankings(&mut self, room: &RoomId, rankings: &Range<u64>) -> Result<(), StoreError> {
        let slices = (room.as_str(), rankings.start, 0)..(room.as_str(), rankings.end, 0);
        Ok(self.tables.rankings.retain_in(slices, |_, _| false)?)
    }
}

/// One slice; empty behind the last.
pub fn ranking(
    transaction: &ReadTransaction,
    room: &RoomId,
    ranking: u64,
    slice: u32,
) -> Result<Vec<RankEntry>, StoreError> {
    let entries = load(&transaction.open_table(RANKINGS)?, (room.as_str(), ranking, slice))?;
    Ok(entries.unwrap_or_default())
}
