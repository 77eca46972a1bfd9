//! Frozen rankings, in slices.

use std::ops::Range;

use async_trait::async_trait;
use redb::ReadTransaction;

use super::ledger::EmbeddedLedger;
use super::tables::{RANKINGS, StoreError, load, store};
use super::write_transaction::WriteTransaction;
use crate::domain::ids::RoomId;
use crate::ledger::{LedgerError, RankEntry, RankingStore, SLICE};

#[async_trait]
impl RankingStore for EmbeddedLedger {
    async fn store_ranking(
        &self,
        room: &RoomId,
        ranking: u64,
        slice: u32,
        entries: &[RankEntry],
    ) -> Result<(), LedgerError> {
        let (room, entries) = (room.clone(), entries.to_vec());
        let weight = entries.len();
        self.store.write(weight, move |transaction| transaction.store_ranking(&room, ranking, slice, &entries)).await
    }

    async fn ranking(&self, room: &RoomId, ranking: u64, slice: u32) -> Result<Vec<RankEntry>, LedgerError> {
        let room = room.clone();
        let read = move |transaction: &ReadTransaction| {
            let entries = load(&transaction.open_table(RANKINGS)?, (room.as_str(), ranking, slice))?;
            Ok(entries.unwrap_or_default())
        };
        self.store.read(read).await
    }

    async fn drop_rankings(&self, room: &RoomId, rankings: Range<u64>) -> Result<(), LedgerError> {
        let room = room.clone();
        let drop_all = move |transaction: &mut WriteTransaction<'_>| {
            let slices = (room.as_str(), rankings.start, 0)..(room.as_str(), rankings.end, 0);
            Ok(transaction.tables.rankings.retain_in(slices, |_, _| false)?)
        };
        self.store.write(1, drop_all).await
    }
}

impl WriteTransaction<'_> {
    /// Stores one slice.
    ///
    /// # Errors
    /// See [`StoreError`].
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
}
