//! The types of an archive.

use serde::{Deserialize, Serialize};

use crate::domain::LedgerMs;
use crate::domain::gate::Gate;
use crate::domain::ids::{RoomCode, VoterId};
use crate::domain::room::Room;
use crate::ledger::ranking::RankEntry;
use crate::ledger::voters::{Invited, Voter};

/// The version of the format that is written; a higher one is refused.
pub(super) const VERSION: u32 = 1;

/// The first line of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the format.
    pub version: u32,
    /// The room's join code.
    pub room: RoomCode,
    /// The room's title.
    pub title: String,
    /// The organiser's own name for it.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// True if names, cards, invites and the token key were left out.
    pub masked: bool,
    /// When the archive was written.
    pub exported_at: LedgerMs,
}

/// A part of a room besides its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A partition's gate.
    Gate {
        /// The partition.
        partition: u16,
        /// The gate.
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
        /// The voter's id.
        voter: VoterId,
        /// The letters.
        votes: String,
        /// See [`crate::domain::ballot::Ballot::time_ms`].
        time_ms: LedgerMs,
    },
    /// A slice of the frozen ranking. In the text, each entry is a line of its own.
    #[serde(skip)]
    Ranking {
        /// Number of the ranking.
        ranking: u64,
        /// Number of the slice, from 0.
        slice: u32,
        /// At most [`crate::ledger::SLICE`] entries.
        entries: Vec<RankEntry>,
    },
}

/// A whole room, see the [module](super).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The first line.
    pub head: Head,
    /// The room record.
    pub room: Room,
    pub(super) parts: Vec<Part>,
    /// The frozen ranking while one is shown, best first.
    pub(super) ranking: Vec<RankEntry>,
}
