//! Frozen rankings: computed once when a reveal begins, then read by every step of it.

use std::ops::Range;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::LedgerError;
use crate::domain::LedgerMs;
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::text::Name;

/// One voter of a frozen ranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankEntry {
    /// First place of the group, from 1.
    pub place: u32,
    /// The voter's id.
    pub voter: VoterId,
    /// The name when the ranking was frozen.
    pub name: Name,
    /// Votes on winners.
    pub score: u64,
    /// The tie-breaker, in ms: less is better.
    pub time_ms: LedgerMs,
    /// Round number and votes on its winner.
    pub rounds: Vec<(u16, u16)>,
}

/// The frozen rankings of all rooms, in slices.
#[async_trait]
pub trait RankingStore: Send + Sync + 'static {
    /// Stores one slice of a frozen ranking, best first, at most [`SLICE`](super::SLICE) entries.
    ///
    /// # Errors
    /// See [`LedgerError`]; [`LedgerError::NotApplied`] also if the slice is too large.
    async fn store_ranking(
        &self,
        room: &RoomId,
        ranking: u64,
        slice: u32,
        entries: &[RankEntry],
    ) -> Result<(), LedgerError>;

    /// One slice of a frozen ranking; empty after the last.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn ranking(&self, room: &RoomId, ranking: u64, slice: u32) -> Result<Vec<RankEntry>, LedgerError>;

    /// Drops the room's frozen rankings with these numbers. None of them may be on show.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn drop_rankings(&self, room: &RoomId, rankings: Range<u64>) -> Result<(), LedgerError>;
}
