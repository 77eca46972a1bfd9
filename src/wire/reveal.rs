//! What of a ranking is shown, and a voter's own place in it.

use serde::Serialize;

/// What of a ranking is shown: all groups so far, best first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevealView {
    /// Rises with every change.
    pub seq: u64,
    /// Groups that begin at this place or better are shown in the end.
    pub top: u32,
    /// Voters who have a place.
    pub of: u64,
    /// Groups at this place or worse are shown.
    pub place: u32,
    /// Place of the group to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// Groups shown.
    pub shown: Vec<GroupView>,
    /// Its own pace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_ms: Option<u64>,
    /// All are shown.
    pub done: bool,
}

/// Voters who share a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// First place of the group.
    pub place: u32,
    /// Votes on winners.
    pub score: u64,
    /// All of them.
    pub names: Vec<String>,
}

/// A voter's own place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingView {
    /// From 1.
    pub place: u32,
    /// Votes on winners.
    pub score: u64,
    /// Voters who have a place.
    pub of: u64,
    /// Where the score comes from.
    pub rounds: Vec<StandingRound>,
}

/// One round of a standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingRound {
    /// Round number.
    pub round: u16,
    /// Votes on its winner.
    pub on_winner: u16,
}
