//! Frozen rankings, in slices.

use redis::AsyncCommands;

use super::fault;
use super::keys::RoomKeys;
use super::link::Link;
use crate::domain::ids::RoomId;
use crate::ledger::{LedgerError, RankEntry, SLICE};

pub(super) async fn store(
    link: &Link,
    room: &RoomId,
    ranking: u64,
    slice: u32,
    entries: &[RankEntry],
) -> Result<(), LedgerError> {
    if entries.len() > SLICE {
        return Err(LedgerError::NotApplied("a slice holds at most 1,000 entries".into()));
    }
    let json = serde_json::to_string(entries)
        .map_err(|e| LedgerError::NotApplied(format!("slice {slice} of a ranking has no JSON: {e}")))?;
    let key = RoomKeys(room).ranking(ranking);
    link.run(|mut redis| async move { Ok(redis.hset(&key, slice, json).await?) }).await
}

pub(super) async fn get(link: &Link, room: &RoomId, ranking: u64, slice: u32) -> Result<Vec<RankEntry>, LedgerError> {
    let key = RoomKeys(room).ranking(ranking);
    link.run(|mut redis| async move {
        let json: Option<String> = redis.hget(&key, slice).await?;
        let Some(json) = json else { return Ok(vec![]) };
        serde_json::from_str(&json).map_err(|e| fault::corrupt(&format!("no ranking ({e})"), &key))
    })
    .await
}

pub(super) async fn discard(link: &Link, room: &RoomId, ranking: u64) -> Result<(), LedgerError> {
    let key = RoomKeys(room).ranking(ranking);
    link.run(|mut redis| async move { Ok(redis.unlink(&key).await?) }).await
}
