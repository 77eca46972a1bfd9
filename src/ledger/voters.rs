//! Voters: joins, names, cards, invites and removals.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::LedgerError;
use crate::domain::ballot::Ballot;
use crate::domain::ids::{Card, Invite, RoomId, VoterId};
use crate::domain::room::JoinMode;
use crate::domain::text::Name;

/// A voter of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// The id that ballots are kept under.
    pub voter: VoterId,
    /// Unique in the room without regard to case.
    pub name: Name,
    /// Leads back to this voter from another phone, or from one that was cleared.
    pub card: Card,
    /// A removed voter cannot vote, and has no place in the ranking.
    #[serde(default)]
    pub removed: bool,
}

/// A new card, made of random bytes, for a voter who has none.
pub fn fresh_card() -> Card {
    Card::from_entropy(rand::random())
}

/// A request to join a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The id for a new voter, or the id in the token if there is one.
    pub voter: VoterId,
    /// `voter` comes from a valid token of this room.
    pub has_token: bool,
    /// The name asked for; a known or invited voter may leave it out.
    pub name: Option<Name>,
    /// The card of a known voter, or the one to give to a new voter.
    pub card: Card,
    /// An invitation.
    pub invite: Option<Invite>,
    /// Who may join the room at the moment.
    pub mode: JoinMode,
    /// Names to offer if the one asked for is taken, best first.
    pub suggestions: Vec<Name>,
}

/// The outcome of a [`JoinRequest`] or a [`RenameRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinOutcome {
    /// A new voter, or a new name.
    Done(Voter),
    /// The voter is known, by token, card or used invite.
    Known(Voter),
    /// The voter was removed.
    Removed,
    /// Somebody else has the name; this one is free.
    NameTaken(Option<Name>),
    /// A new voter needs a name.
    NameMissing,
    /// The room can be joined only with an invite.
    InviteNeeded,
    /// There is no such invite.
    BadInvite,
    /// No new voter may join.
    Closed,
    /// There is no such voter.
    NoSuchVoter,
}

/// An invitation, and its use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// The invitation's code.
    pub invite: Invite,
    /// The name that it reserves.
    pub name: Name,
    /// The voter who has used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voter: Option<VoterId>,
}

/// A request of a voter with a valid token to go on, at the hello of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeRequest {
    /// The voter in the token.
    pub voter: VoterId,
    /// The name in the token.
    pub name: Name,
    /// The card to give if the ledger has lost the voter.
    pub card: Card,
    /// Round and take of the ballot to answer with.
    pub take: Option<(u16, u16)>,
}

/// A request for another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameRequest {
    /// The voter.
    pub voter: VoterId,
    /// The new name.
    pub name: Name,
    /// Names to offer if it is taken, best first.
    pub suggestions: Vec<Name>,
}

/// A search in the emcee's list of voters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VotersQuery {
    /// Part of the name, without regard to case; empty for all voters.
    pub text: String,
    /// Start after this voter.
    pub after: Option<VoterId>,
    /// Size of the page, 1 to 1,000.
    pub limit: usize,
}

/// A page of voters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VotersPage {
    /// Sorted by id, so that pages neither overlap nor skip while others join.
    pub voters: Vec<Voter>,
    /// Where the next page starts; `None` if this is the last one.
    pub next: Option<VoterId>,
}

/// The voters of all rooms.
#[async_trait]
pub trait VoterStore: Send + Sync + 'static {
    /// Joins a voter, in one step. A repeat with the same card is the same voter.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn join(&self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, LedgerError>;

    /// The voters of at most [`SLICE`](super::SLICE) valid tokens and their ballots, in the order of the requests. A
    /// voter whom the ledger has lost is written again.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn resume(
        &self,
        room: &RoomId,
        partitions: u16,
        requests: &[ResumeRequest],
    ) -> Result<Vec<(Voter, Ballot)>, LedgerError>;

    /// A voter by id.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, LedgerError>;

    /// A page of voters, for the emcee's list.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn voters(&self, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, LedgerError>;

    /// Gives a voter another name.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn rename(&self, room: &RoomId, request: &RenameRequest) -> Result<JoinOutcome, LedgerError>;

    /// Removes a voter, or takes that back; `None` if there is no such voter. A removal is announced on the feed.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn set_removed(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        removed: bool,
    ) -> Result<Option<Voter>, LedgerError>;

    /// Invites people, and returns the invite of each. A name that was invited before keeps its invite, any other name
    /// gets the one given with it.
    ///
    /// # Errors
    /// See [`LedgerError`]; [`LedgerError::NotApplied`] also if a given invite belongs to another name.
    async fn invite(&self, room: &RoomId, people: &[(Name, Invite)]) -> Result<Vec<Invite>, LedgerError>;

    /// All invites.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn invites(&self, room: &RoomId) -> Result<Vec<Invited>, LedgerError>;
}
