//! Voters as the ledger keeps them, and what is asked about them.

use serde::{Deserialize, Serialize};

use crate::domain::LedgerMs;
use crate::domain::ids::{Card, Invite, VoterId};
use crate::domain::room::JoinMode;
use crate::domain::text::Name;

/// A voter of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// The id that ballots are kept under.
    pub voter: VoterId,
    /// Unique in the room without regard to case.
    pub name: Name,
    /// The way back.
    pub card: Card,
    /// No votes are taken from a removed voter, who has no place in the ranking.
    #[serde(default)]
    pub removed: bool,
}

/// Somebody wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The id that a new voter gets; that of the token, if there is one.
    pub voter: VoterId,
    /// `voter` comes from a valid token of this room.
    pub has_token: bool,
    /// The name asked for; may be left out by whoever is known or invited.
    pub name: Option<Name>,
    /// The card that leads back to a known voter, or that a new one gets.
    pub card: Card,
    /// An invitation.
    pub invite: Option<Invite>,
    /// The room's rule at this moment.
    pub mode: JoinMode,
    /// Names to offer if the one asked for is taken, best first.
    pub suggestions: Vec<Name>,
}

/// What became of a join or a renaming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinOutcome {
    /// A new voter, or a new name.
    Done(Voter),
    /// The voter was here before: token, card or used invite.
    Known(Voter),
    /// The voter was removed.
    Removed,
    /// Somebody else has the name; this one is free.
    NameTaken(Option<Name>),
    /// A new voter needs a name.
    NameMissing,
    /// Only with an invite.
    InviteNeeded,
    /// No such invite.
    BadInvite,
    /// Nobody new may join.
    Closed,
    /// No such voter.
    NoSuchVoter,
}

/// Somebody who was invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// What the invitation says.
    pub invite: Invite,
    /// The name that it reserves.
    pub name: Name,
    /// Who has used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voter: Option<VoterId>,
}

/// A voter with a valid token says hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Who the token says.
    pub voter: VoterId,
    /// The name in the token.
    pub name: Name,
    /// The card to give if the voter must be written again.
    pub card: Card,
    /// Round and take of the ballot to answer with.
    pub take: Option<(u16, u16)>,
}

/// Another name for a voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renaming {
    /// Who.
    pub voter: VoterId,
    /// The new name.
    pub name: Name,
    /// Names to offer if it is taken.
    pub suggestions: Vec<Name>,
}

/// What the emcee looks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VotersQuery {
    /// Part of the name, without regard to case; empty: all.
    pub text: String,
    /// Go on behind this voter.
    pub after: Option<VoterId>,
    /// At most so many, 1 to 1,000.
    pub limit: usize,
}

/// A page of voters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VotersPage {
    /// Sorted by id, so that pages neither overlap nor skip while others join.
    pub voters: Vec<Voter>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<VoterId>,
}

/// One voter of a frozen ranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankEntry {
    /// First place of the group.
    pub place: u32,
    /// Who.
    pub voter: VoterId,
    /// The name when the ranking was frozen.
    pub name: Name,
    /// Votes on winners.
    pub score: u64,
    /// The tie-breaker.
    pub time_ms: LedgerMs,
    /// Round number and votes on its winner.
    pub rounds: Vec<(u16, u16)>,
}
