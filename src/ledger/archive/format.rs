//! What an archive holds.

use serde::{Deserialize, Serialize};

use crate::domain::LedgerMs;
use crate::domain::gate::Gate;
use crate::domain::ids::{RoomCode, VoterId};
use crate::domain::room::Room;
use crate::ledger::people::{Invited, RankEntry, Voter};

/// The form that is written; a higher one is refused.
pub(super) const VERSION: u32 = 1;

/// What an archive is, in its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the form.
    pub version: u32,
    /// The room's join code.
    pub room: RoomCode,
    /// Its title.
    pub title: String,
    /// The organiser's own name for it.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Names, cards, invites and the key of the tokens were left out.
    pub masked: bool,
    /// When it was written.
    pub exported_at: LedgerMs,
}

/// A part of a room that is not its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A partition's gate.
    Gate {
        /// Which.
        partition: u16,
        /// All of it.
        gate: Box<Gate>,
    },
    /// A voter.
    Voter(Voter),
    /// An invite.
    Invited(Invited),
    /// A ballot.
    Ballot {
        /// Round number, from 1.
        round: u16,
        /// Take number, from 1.
        take: u16,
        /// Whose.
        voter: VoterId,
        /// The letters.
        votes: String,
        /// See [`Ballot::time_ms`].
        time_ms: LedgerMs,
    },
    /// A slice of the frozen ranking. In the text each entry is a line of its own.
    #[serde(skip)]
    Ranking {
        /// Its number.
        ranking: u64,
        /// Which slice, from 0.
        slice: u32,
        /// At most [`crate::ledger::SLICE`].
        entries: Vec<RankEntry>,
    },
}

/// A room as an archive holds it; see [`super`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The first line.
    pub head: Head,
    /// The record.
    pub room: Room,
    pub(super) parts: Vec<Part>,
    /// The frozen ranking, while one is shown; best first.
    pub(super) ranking: Vec<RankEntry>,
}
