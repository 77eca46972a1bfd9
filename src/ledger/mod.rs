//! The ledger: what is stored for good, and the only clock that decides anything.
//!
//! One contract, [`Ledger`], and two implementations that pass one test suite (`tests/ledger_contract.rs`) and one
//! state-machine test against a plain reference: [`embedded`], a file, and [`redis`], shared by many pods.
//!
//! # The contract
//! - A call that answers `Ok` has stored what it says, durably, before it answers.
//! - A change is atomic: all of it or nothing. It checks everything first and writes last.
//! - Everything may be said again. A commit repeated finds its letters on the ballots and counts nothing twice; a
//!   desired repeated moves no gate; a join repeated with the same card is the same voter.
//! - Votes are judged by [`crate::domain::ballot::judge`] against the gate, by the ledger's own clock, in the same
//!   step that stores them.
//! - Versions and `seq` are `max(previous + 1, ledger time in ms)`: they never fall.
//! - What is published on the feed is absolute and versioned, so messages may be lost, repeated and reordered.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::LedgerMs;
use crate::domain::ballot::{Ballot, Cast, Refusal};
use crate::domain::gate::{DesiredGate, Gate};
use crate::domain::ids::{Card, Invite, RoomCode, RoomId, VoterId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;

pub mod archive;
pub mod embedded;
pub mod execute;
mod feed;
mod jobs;
mod people;
pub mod redis;
mod slow_log;

pub use archive::format::Part;
pub use feed::{Beacon, DeskSeen, Feed, FeedEvent, RoomBeacon, StageSeen};
pub use jobs::{Backlog, TakenJob};
pub use people::{Greeting, Invited, JoinOutcome, JoinRequest, RankEntry, Renaming, Voter, VotersPage, VotersQuery};
pub use slow_log::{SlowCommand, SlowLog, SlowSeen};

/// Most casts of one commit: Lua's `unpack` fails near 8,000 items, and a script blocks everybody else.
pub const MAX_CASTS: usize = 1_000;
/// Most ballots, voters or ranking entries of one read.
pub const SLICE: usize = 1_000;

/// A handle that everybody shares.
pub type SharedLedger = Arc<dyn Ledger>;

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// It certainly did not happen: answer, and go on.
    #[error("not applied: {0}")]
    NotApplied(String),
    /// It may have happened: say it again.
    #[error("may be applied: {0}")]
    MaybeApplied(String),
    /// What is stored makes no sense: stop.
    #[error("the ledger is corrupt: {0}")]
    Corrupt(String),
}

/// Outcome of [`Ledger::create_room`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// Stored, with its first `seq`.
    Created(Room),
    /// Another room has the code: choose another.
    CodeTaken,
    /// Another room has the `ref`: this one.
    RefTaken(Room),
}

/// Outcome of [`Ledger::replace_room`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// Stored, with its new `seq`.
    Stored(Room),
    /// Somebody was faster; this is what is stored now.
    Changed(Room),
}

/// All rooms of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Those that can be read, deleted ones too.
    pub rooms: Vec<Room>,
    /// Those that cannot. Nothing of them is deleted, and the others go on without them.
    pub unreadable: Vec<Unreadable>,
}

/// A room of which something makes no sense as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id, as the ledger has it.
    pub id: String,
    /// Its join code, if that is known.
    pub code: Option<RoomCode>,
    /// What makes no sense, for the log.
    pub why: String,
}

/// The right to bring a room in. Nobody else writes parts of it meanwhile: an older claim is refused wherever a newer
/// one has been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportClaim {
    /// The room.
    pub room: RoomId,
    /// Its partitions.
    pub partitions: u16,
    /// Rises with every claim.
    pub token: u64,
    /// It runs out when nothing was written for so long.
    pub lease: Duration,
}

/// Outcome of [`Ledger::begin_import`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The caller may write.
    Held(ImportClaim),
    /// The room is here.
    Exists(Room),
    /// Another import has claimed the id, the code or the `ref`.
    Running,
    /// Another room has the code.
    CodeTaken,
    /// Another room has the `ref`: this one.
    RefTaken(Room),
}

/// A room's moving parts, read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSnapshot {
    /// The ledger's time at the reading.
    pub now: LedgerMs,
    /// Version of the room record.
    pub seq: u64,
    /// All gates, by partition.
    pub gates: Vec<Gate>,
    /// Voters joined, removed ones not counted.
    pub voters: u64,
}

/// How the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The ledger's time.
    pub now: LedgerMs,
    /// Why an acknowledged vote might not survive a power cut; `None`: it does, checked.
    pub unsafe_because: Option<String>,
    /// How far its slow log has come; `None`: there is none, or it is not shown.
    pub slow_log: Option<SlowSeen>,
}

/// Casts of one round and take, for one partition.
///
/// # Invariants
/// Each voter at most once: a second cast would be appended to the same old ballot. At most [`MAX_CASTS`].
#[derive(Debug, Clone)]
pub struct Batch {
    /// Round number, from 1.
    pub round: u16,
    /// Take number, from 1.
    pub take: u16,
    /// Slips of this partition that this pod has stored anew and got the reply for, since the pod started.
    pub acknowledged: u64,
    casts: Vec<(VoterId, Cast)>,
    voters: HashSet<VoterId>,
}

impl Batch {
    /// An empty batch.
    pub fn new(round: u16, take: u16, acknowledged: u64) -> Self {
        Self { round, take, acknowledged, casts: vec![], voters: HashSet::new() }
    }

    /// A batch of these casts.
    ///
    /// # Panics
    /// A voter comes twice, or there are too many: a mistake of the caller.
    pub fn of(round: u16, take: u16, acknowledged: u64, casts: impl IntoIterator<Item = (VoterId, Cast)>) -> Self {
        let mut batch = Self::new(round, take, acknowledged);
        for (voter, cast) in casts {
            assert!(batch.push(&voter, &cast), "{voter} does not fit");
        }
        batch
    }

    /// True if it takes no more casts.
    pub fn is_full(&self) -> bool {
        self.casts.len() == MAX_CASTS
    }

    /// Adds a cast. `false` if it does not fit: there is one of that voter already, or the batch is full.
    #[must_use]
    pub fn push(&mut self, voter: &VoterId, cast: &Cast) -> bool {
        let fits = !self.is_full() && self.voters.insert(voter.clone());
        if fits {
            self.casts.push((voter.clone(), cast.clone()));
        }
        fits
    }

    /// The casts, in order.
    pub fn casts(&self) -> &[(VoterId, Cast)] {
        &self.casts
    }
}

/// What became of one cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Judged.
    Ballot {
        /// The voter's whole ballot in the batch's round and take, as stored for good.
        votes: String,
        /// Letters that this commit added.
        added: u16,
        /// What was not stored, and why.
        refused: Option<Refusal>,
    },
    /// The voter was removed: nothing was judged or stored.
    Removed,
}

/// The reply to a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The ledger's time.
    pub now: LedgerMs,
    /// The gate after the commit, with the counts that include it.
    pub gate: Gate,
    /// One for each cast, in order.
    pub verdicts: Vec<Verdict>,
    /// True if the gate was published with this commit; else somebody must call [`PartitionWriter::publish_pending`] soon.
    pub published: bool,
}

/// One partition's way to its gate: one commit at a time, over a connection of its own.
#[async_trait]
pub trait PartitionWriter: Send {
    /// Judges and stores a batch in one step, and publishes the gate unless it was published within the tick.
    ///
    /// # Errors
    /// [`LedgerError::MaybeApplied`] within two seconds if no answer came: every cast of the batch is `busy`.
    async fn commit(&mut self, batch: &Batch) -> Result<Commit, LedgerError>;

    /// Stores the pod's count of acknowledged slips, and publishes the gate unless its version `committed` or a newer
    /// one was: another pod's commit may have done so meanwhile.
    async fn publish_pending(&mut self, acknowledged: u64, committed: u64) -> Result<Gate, LedgerError>;
}

/// See the [module](self).
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// `embedded` or `redis`.
    fn kind(&self) -> &'static str;

    /// Asks the ledger for its time and whether it keeps what it is told.
    async fn check(&self) -> Result<Health, LedgerError>;

    /// Which commands the ledger's server found slow.
    async fn slow_log(&self) -> Result<SlowLog, LedgerError>;

    // --- rooms -------------------------------------------------------------------------------------------------

    /// Stores a new room with its code and `ref`.
    async fn create_room(&self, room: &Room) -> Result<Creation, LedgerError>;
    /// All rooms, deleted ones too.
    ///
    /// # Errors
    /// The ledger cannot be asked. A room that makes no sense is no error of the others, see [`Listing::unreadable`].
    async fn rooms(&self) -> Result<Listing, LedgerError>;
    /// The room of a code, also if it is deleted. One that is being brought in is not here yet.
    async fn find_room(&self, code: &RoomCode) -> Result<Option<Room>, LedgerError>;
    /// A room by its id.
    async fn room(&self, id: &RoomId) -> Result<Option<Room>, LedgerError>;
    /// Stores `room` if the stored record still has `room.seq`, raises `seq`, and announces the change. The jobs that
    /// this causes are stored in the same step.
    async fn replace_room(&self, room: &Room, jobs: &[Job]) -> Result<Replacement, LedgerError>;
    /// Removes all that is kept of a room, its record and code last. Whoever dies in between begins again.
    async fn purge_room(&self, room: &Room) -> Result<(), LedgerError>;

    // --- rooms from elsewhere ------------------------------------------------------------------------------------

    /// Claims the id, code and `ref` of a room that is to be brought in, for `lease` from each write.
    async fn begin_import(&self, room: &Room, lease: Duration) -> Result<Claimed, LedgerError>;
    /// Writes parts, at most [`SLICE`], and renews the claim. The same again changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::NotApplied`], too, if the claim was taken back: it had run out.
    async fn write_parts(&self, claim: &ImportClaim, parts: &[Part]) -> Result<(), LedgerError>;
    /// Stores the record and gives the claim back: from now on the room is here.
    ///
    /// # Errors
    /// As [`Ledger::write_parts`].
    async fn finish_import(&self, claim: &ImportClaim, room: &Room) -> Result<Room, LedgerError>;
    /// Takes back what was written under the claim, and nothing else. A room that was finished stays.
    async fn drop_import(&self, claim: &ImportClaim) -> Result<(), LedgerError>;
    /// Takes back every import whose claim has run out. Returns how many there were.
    async fn sweep_imports(&self) -> Result<usize, LedgerError>;

    // --- gates and ballots -------------------------------------------------------------------------------------

    /// Puts a desired state on every gate and answers the time and all gates, each at the desired or beyond it.
    ///
    /// # Errors
    /// Some gate could not be reached; others may have followed already.
    async fn set_gates(
        &self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), LedgerError>;
    /// The moving parts of a room; `None` if there is no such room.
    async fn snapshot(&self, room: &RoomId, partitions: u16) -> Result<Option<GateSnapshot>, LedgerError>;
    /// A way to one gate, for `pod`.
    fn partition_writer(&self, room: &RoomId, partition: u16, pod: &str) -> Box<dyn PartitionWriter>;
    /// A voter's ballots in the given rounds and takes, in that order; empty where there is none.
    async fn ballots_of(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        takes: &[(u16, u16)],
    ) -> Result<Vec<Ballot>, LedgerError>;
    /// About [`SLICE`] ballots of a partition's take, and where to go on: `None` begins, and ends. A ballot may come
    /// twice while votes are being stored.
    async fn ballots(
        &self,
        room: &RoomId,
        partition: u16,
        take: (u16, u16),
        cursor: Option<String>,
    ) -> Result<(Vec<(VoterId, Ballot)>, Option<String>), LedgerError>;

    // --- people ------------------------------------------------------------------------------------------------

    /// Joins a voter, in one step, repeat-safe by card.
    async fn join(&self, room: &RoomId, request: &JoinRequest) -> Result<JoinOutcome, LedgerError>;
    /// Receives voters who hold valid tokens, at most [`SLICE`], and writes those again whom the ledger has lost. The
    /// answers are in order.
    async fn greet(
        &self,
        room: &RoomId,
        partitions: u16,
        greetings: &[Greeting],
    ) -> Result<Vec<(Voter, Ballot)>, LedgerError>;
    /// A voter by id.
    async fn voter(&self, room: &RoomId, voter: &VoterId) -> Result<Option<Voter>, LedgerError>;
    /// Voters by name, for the emcee's list.
    async fn voters(&self, room: &RoomId, query: &VotersQuery) -> Result<VotersPage, LedgerError>;
    /// Gives a voter another name.
    async fn rename(&self, room: &RoomId, renaming: &Renaming) -> Result<JoinOutcome, LedgerError>;
    /// Removes a voter or takes that back; `None` if there is no such voter. Announced on the feed.
    async fn set_removed(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        removed: bool,
    ) -> Result<Option<Voter>, LedgerError>;
    /// Invites people: a name that was invited before keeps its invite, others get the one given with them.
    async fn invite(
        &self,
        room: &RoomId,
        people: &[(crate::domain::text::Name, Invite)],
    ) -> Result<Vec<Invite>, LedgerError>;

    /// All invites.
    async fn invites(&self, room: &RoomId) -> Result<Vec<Invited>, LedgerError>;

    // --- jobs --------------------------------------------------------------------------------------------------

    /// Stores jobs of a room; those whose ids were stored before are left out.
    async fn enqueue(&self, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError>;
    /// Rooms that have jobs which are not done. A ledger of several servers may be a minute late with a room if it has
    /// lost something in a failover.
    async fn backlog(&self) -> Result<Vec<Backlog>, LedgerError>;
    /// Takes the oldest job of a room that nobody has, or whose taker was silent for longer than `lease`.
    async fn take_job(&self, room: &RoomId, worker: &str, lease: Duration) -> Result<Option<TakenJob>, LedgerError>;
    /// The job is done; nobody takes it again.
    async fn finish_job(&self, room: &RoomId, job: &TakenJob) -> Result<(), LedgerError>;

    // --- the frozen ranking ------------------------------------------------------------------------------------

    /// Stores one slice of a frozen ranking, best first, at most [`SLICE`] entries.
    async fn store_ranking(
        &self,
        room: &RoomId,
        ranking: u64,
        slice: u32,
        entries: &[RankEntry],
    ) -> Result<(), LedgerError>;
    /// One slice of a frozen ranking; empty behind the last.
    async fn ranking(&self, room: &RoomId, ranking: u64, slice: u32) -> Result<Vec<RankEntry>, LedgerError>;
    /// Drops the room's frozen rankings of these numbers. Nobody may show one of them.
    async fn drop_rankings(&self, room: &RoomId, rankings: Range<u64>) -> Result<(), LedgerError>;

    // --- pods --------------------------------------------------------------------------------------------------

    /// The feed of this ledger, for one pod.
    fn feed(&self) -> Box<dyn Feed>;
    /// Tells all pods.
    async fn announce(&self, event: &FeedEvent) -> Result<(), LedgerError>;
    /// Notes which voters came to and left `pod`; forgotten 10 s after the pod's last note.
    async fn note_present(
        &self,
        room: &RoomId,
        pod: &str,
        came: &[VoterId],
        left: &[VoterId],
    ) -> Result<(), LedgerError>;
    /// Which of these voters are present on any of these pods.
    async fn present(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Result<Vec<bool>, LedgerError>;
    /// Ends an emcee's sign-in before its time, and tells all pods.
    async fn sign_out(&self, sign_in: &str, until: LedgerMs) -> Result<(), LedgerError>;
    /// True if the sign-in was ended.
    async fn is_signed_out(&self, sign_in: &str) -> Result<bool, LedgerError>;
}

/// The card that a voter gets who has none: made of random bytes.
pub fn fresh_card() -> Card {
    Card::from_entropy(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_each_voter_once_and_no_more_than_fit() {
        let cast = Cast::parse(1, "a".into()).unwrap();
        let voter = |n: usize| VoterId::parse(&format!("v{n}")).unwrap();
        let mut batch = Batch::new(1, 1, 0);
        assert!(batch.push(&voter(0), &cast));
        assert!(!batch.push(&voter(0), &cast), "the same voter");
        assert!((1..MAX_CASTS).all(|n| batch.push(&voter(n), &cast)));
        assert!(batch.is_full() && !batch.push(&voter(MAX_CASTS), &cast));
        assert_eq!(batch.casts().len(), MAX_CASTS);
    }
}
