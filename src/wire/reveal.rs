//! The part of a ranking that is shown, and a voter's own place in it.

use serde::Serialize;

/// The part of a ranking that is shown: all groups so far, best first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevealView {
    /// Rises with every change.
    pub seq: u64,
    /// Groups at this place or better are shown in the end.
    pub top: u32,
    /// Voters who have a place.
    pub of: u64,
    /// Groups at this place or worse are shown.
    pub place: u32,
    /// Place of the next group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// The groups that are shown.
    pub shown: Vec<GroupView>,
    /// Time between two automatic steps, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_ms: Option<u64>,
    /// True if all groups are shown.
    pub done: bool,
}

/// Voters who share a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// First place of the group.
    pub place: u32,
    /// Votes on winners.
    pub score: u64,
    /// The names of all voters of the group.
    pub names: Vec<String>,
}

/// A voter's own place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingView {
    /// The place, from 1.
    pub place: u32,
    /// Votes on winners.
    pub score: u64,
    /// Voters who have a place.
    pub of: u64,
    /// The votes on winners, by round.
    pub rounds: Vec<StandingRound>,
}

/// One round of a [`StandingView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingRound {
    /// Round number.
    pub round: u16,
    /// Votes on its winner.
    pub on_winner: u16,
}
