//! Votes: the gates that accept them, and the ballots behind the gates.

use std::collections::HashSet;

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::LedgerMs;
use crate::domain::ballot::{Ballot, Cast, Refusal};
use crate::domain::gate::{DesiredGate, Gate};
use crate::domain::ids::{RoomId, VoterId};

/// Most casts of one commit: Lua's `unpack` fails near 8,000 items, and a running script blocks every other client.
pub const MAX_CASTS: usize = 1_000;

/// All gates of a room, read together with what tells whether its record has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSnapshot {
    /// The ledger's time when they were read.
    pub now: LedgerMs,
    /// Version of the room record.
    pub seq: u64,
    /// All gates, by partition.
    pub gates: Vec<Gate>,
    /// Voters who have joined, without the removed ones.
    pub voters: u64,
}

/// Casts of one round and take, for one partition.
///
/// # Invariants
/// At most one cast of each voter: a second one would be appended to the same old ballot. At most [`MAX_CASTS`].
#[derive(Debug, Clone)]
pub struct Batch {
    /// Round number, from 1.
    pub round: u16,
    /// Take number, from 1.
    pub take: u16,
    /// Slips of this partition that this pod has newly stored and received the reply for, since the pod started.
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
    /// The casts break the invariants of a batch: a bug of the caller.
    pub fn of(round: u16, take: u16, acknowledged: u64, casts: impl IntoIterator<Item = (VoterId, Cast)>) -> Self {
        let mut batch = Self::new(round, take, acknowledged);
        for (voter, cast) in casts {
            assert!(batch.push(&voter, &cast), "{voter} does not fit");
        }
        batch
    }

    /// True if no further cast fits.
    pub fn is_full(&self) -> bool {
        self.casts.len() == MAX_CASTS
    }

    /// Adds a cast. `false` if it does not fit: the batch has a cast of this voter already, or is full.
    #[must_use]
    pub fn push(&mut self, voter: &VoterId, cast: &Cast) -> bool {
        let fits = !self.is_full() && self.voters.insert(voter.clone());
        if fits {
            self.casts.push((voter.clone(), cast.clone()));
        }
        fits
    }

    /// The casts, in the order in which they were added.
    pub fn casts(&self) -> &[(VoterId, Cast)] {
        &self.casts
    }
}

/// The outcome of one cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The cast was judged by the cast rule.
    Ballot {
        /// The voter's whole ballot in the batch's round and take, as stored for good.
        votes: String,
        /// Letters that this commit added.
        added: u16,
        /// Why something of the cast was not stored.
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
    /// The gate after the commit, with counts that include it.
    pub gate: Gate,
    /// One for each cast, in the order of the casts.
    pub verdicts: Vec<Verdict>,
    /// True if the gate was published with this commit. If not, [`PartitionWriter::publish_pending`] must be called
    /// soon.
    pub published: bool,
}

/// Commits batches to one partition, one at a time, over a connection of its own.
#[async_trait]
pub trait PartitionWriter: Send {
    /// Judges and stores a batch in one step, and publishes the gate unless it was published within the tick.
    ///
    /// # Errors
    /// See [`LedgerError`]. Without an answer it is [`LedgerError::MaybeApplied`], within two seconds: every cast of
    /// the batch is `busy`.
    async fn commit(&mut self, batch: &Batch) -> Result<Commit, LedgerError>;

    /// Stores the pod's count of acknowledged slips. Publishes the gate unless its version `committed` or a newer one
    /// was published already, by a later commit of any pod.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn publish_pending(&mut self, acknowledged: u64, committed: u64) -> Result<Gate, LedgerError>;
}

/// The gates and the ballots of all rooms.
#[async_trait]
pub trait VoteStore: Send + Sync + 'static {
    /// Applies a desired state to every gate. Returns the ledger's time and all gates, each of them at that state or a
    /// later one.
    ///
    /// # Errors
    /// Some gate could not be reached; others may have followed already.
    async fn set_gates(
        &self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), LedgerError>;

    /// All gates of a room, with the version of its record; `None` if there is no such room.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn gate_snapshot(&self, room: &RoomId, partitions: u16) -> Result<Option<GateSnapshot>, LedgerError>;

    /// A writer to one partition, on behalf of `pod`.
    fn partition_writer(&self, room: &RoomId, partition: u16, pod: &str) -> Box<dyn PartitionWriter>;

    /// A voter's ballots in these rounds and takes, in that order; an empty ballot where there is none.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn ballots_of(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        takes: &[(u16, u16)],
    ) -> Result<Vec<Ballot>, LedgerError>;

    /// About [`SLICE`](super::SLICE) ballots of one partition and take, and the cursor of the next slice. `None` starts
    /// the scan, and is returned at its end. While votes are being stored a ballot may be returned twice.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn ballots(
        &self,
        room: &RoomId,
        partition: u16,
        take: (u16, u16),
        cursor: Option<String>,
    ) -> Result<(Vec<(VoterId, Ballot)>, Option<String>), LedgerError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_one_cast_of_each_voter_and_at_most_max_casts() {
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
