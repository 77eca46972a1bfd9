//! Frozen rankings: a hash for each, with slices of entries as JSON.

use std::ops::Range;

use async_trait::async_trait;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::error;
use super::keys::RoomKeys;
use super::ledger::RedisLedger;
use super::purge::unlink_matching;
use crate::domain::ids::RoomId;
use crate::ledger::{LedgerError, RankEntry, RankingStore, SLICE};

#[async_trait]
impl RankingStore for RedisLedger {
    async fn store_ranking(
        &self,
        room: &RoomId,
        ranking: u64,
        slice: u32,
        entries: &[RankEntry],
    ) -> Result<(), LedgerError> {
        if entries.len() > SLICE {
            return Err(LedgerError::NotApplied("a slice holds at most 1,000 entries".into()));
        }
        let json = encode(slice, entries)?;
        let key = RoomKeys(room).ranking(ranking);
        let store = |mut redis: MultiplexedConnection| async move { Ok(redis.hset(&key, slice, json).await?) };
        self.connections.change(store).await
    }

    async fn ranking(&self, room: &RoomId, ranking: u64, slice: u32) -> Result<Vec<RankEntry>, LedgerError> {
        let key = RoomKeys(room).ranking(ranking);
        let read = |mut redis: MultiplexedConnection| async move {
            let json: Option<String> = redis.hget(&key, slice).await?;
            let Some(json) = json else { return Ok(vec![]) };
            serde_json::from_str(&json).map_err(|e| error::corrupt(&format!("invalid ranking ({e})"), &key))
        };
        self.connections.run(read).await
    }

    /// Finds the rankings by scanning for their keys, because nothing lists them: it happens once or twice an evening.
    async fn drop_rankings(&self, room: &RoomId, rankings: Range<u64>) -> Result<(), LedgerError> {
        let keys = RoomKeys(room);
        let is_dropped = |key: &String| keys.ranking_number(key).is_some_and(|number| rankings.contains(&number));
        unlink_matching(&self.connections, &keys.rankings(), is_dropped).await
    }
}

/// The JSON of one slice.
pub(super) fn encode(slice: u32, entries: &[RankEntry]) -> Result<String, LedgerError> {
    serde_json::to_string(entries)
        .map_err(|e| LedgerError::NotApplied(format!("slice {slice} of a ranking cannot be encoded: {e}")))
}
