//! Frozen rankings, in slices.

use std::ops::Range;

use redis::AsyncCommands;

use super::fault;
use super::keys::RoomKeys;
use super::link::Link;
use super::purge::unlink_matching;
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
    link.change(|mut redis| async move { Ok(redis.hset(&key, slice, json).await?) }).await
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

/// Nothing lists the rankings of a room but their keys: there are few of them, and they go once or twice an evening.
pub(super) async fn discard(link: &Link, room: &RoomId, rankings: Range<u64>) -> Result<(), LedgerError> {
    let keys = RoomKeys(room);
    let is_meant = |key: &String| keys.ranking_number(key).is_some_and(|number| rankings.contains(&number));
    unlink_matching(link, &keys.rankings(), is_meant).await
}
