//! Votes: judged, counted and stored in one step, and read again.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable};

use super::rooms::gate;
use super::store::Store;
use super::tables::{BALLOTS, BEHIND_ALL_IDS, BallotKey, StoreError, load, store};
use super::work::Work;
use crate::domain::ballot::{Ballot, judge};
use crate::domain::gate::{Gate, partition_of};
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{Batch, Commit, LedgerError, PartitionWriter, SLICE, Verdict, Voter};

/// Where a commit goes, and from whom.
#[derive(Debug, Clone)]
pub struct Address {
    /// The room.
    pub room: RoomId,
    /// The partition.
    pub partition: u16,
    /// The pod.
    pub pod: String,
}

/// One partition's way to its gate. See [`PartitionWriter`].
pub struct EmbeddedPartitionWriter {
    store: Arc<Store>,
    address: Address,
}

impl EmbeddedPartitionWriter {
    /// To the gate at `address`.
    pub fn new(store: Arc<Store>, address: Address) -> Self {
        Self { store, address }
    }
}

#[async_trait]
impl PartitionWriter for EmbeddedPartitionWriter {
    async fn commit(&mut self, batch: &Batch) -> Result<Commit, LedgerError> {
        let (address, batch) = (self.address.clone(), batch.clone());
        self.store.change(batch.casts().len() + 1, move |work| work.commit(&address, &batch)).await
    }

    async fn publish_pending(&mut self, acknowledged: u64, committed: u64) -> Result<Gate, LedgerError> {
        let address = self.address.clone();
        self.store.change(1, move |work| work.publish_pending(&address, acknowledged, committed)).await
    }
}

impl Work<'_> {
    /// Judges a batch against its gate, stores the ballots that grew, and counts what was added.
    fn commit(&mut self, at: &Address, batch: &Batch) -> Result<Commit, StoreError> {
        let mut gate = gate(&self.tables.gates, &at.room, at.partition)?;
        let now = gate.time(self.now);
        let gate_check = gate.check(batch.round, batch.take, now);
        let mut verdicts = Vec::with_capacity(batch.casts().len());
        let mut grown = false;
        for (voter, cast) in batch.casts() {
            if self.is_removed(&at.room, voter)? {
                verdicts.push(Verdict::Removed);
                continue;
            }
            let key = (at.room.as_str(), at.partition, batch.round, batch.take, voter.as_str());
            let mut ballot = stored_ballot(&self.tables.ballots, key)?;
            let judgement = judge(&ballot.votes, cast, gate_check);
            if !judgement.append.is_empty() {
                gate.count(judgement.append, ballot.votes.is_empty(), now);
                ballot.votes.push_str(judgement.append);
                ballot.time_ms = now.saturating_sub(gate.opened_at);
                self.tables.ballots.insert(key, ballot.encode().as_str())?;
                grown = true;
            }
            let added = judgement.append.len() as u16;
            verdicts.push(Verdict::Ballot { votes: ballot.votes, added, refused: judgement.refused });
        }
        let reported = self.report(at, batch.acknowledged, &mut gate)?;
        if reported || grown {
            store(&mut self.tables.gates, (at.room.as_str(), at.partition), &gate)?;
        }
        let published = self.publish_in_turn(&at.room, at.partition, &gate);
        Ok(Commit { now, gate, verdicts, published })
    }

    /// Stores what a pod has acknowledged, and publishes the gate unless version `committed` or a newer one was.
    fn publish_pending(&mut self, at: &Address, acknowledged: u64, committed: u64) -> Result<Gate, StoreError> {
        let mut gate = gate(&self.tables.gates, &at.room, at.partition)?;
        if self.report(at, acknowledged, &mut gate)? {
            store(&mut self.tables.gates, (at.room.as_str(), at.partition), &gate)?;
        }
        if self.published_version(&at.room, at.partition) < committed {
            self.publish(&at.room, at.partition, &gate);
        }
        Ok(gate)
    }

    /// Notes a pod's own count, which only rises, and adds the difference to the gate's sum. True if it rose.
    fn report(&mut self, at: &Address, acknowledged: u64, gate: &mut Gate) -> Result<bool, StoreError> {
        let key = (at.room.as_str(), at.partition, at.pod.as_str());
        let before = self.tables.acknowledged.get(key)?.map_or(0, |count| count.value());
        if acknowledged <= before {
            return Ok(false);
        }
        self.tables.acknowledged.insert(key, acknowledged)?;
        gate.acknowledged += acknowledged - before;
        Ok(true)
    }

    fn is_removed(&self, room: &RoomId, voter: &VoterId) -> Result<bool, StoreError> {
        let voter: Option<Voter> = load(&self.tables.voters, (room.as_str(), voter.as_str()))?;
        Ok(voter.is_some_and(|voter| voter.removed))
    }
}

type Key<'k> = (&'k str, u16, u16, u16, &'k str);

/// The ballot under a key; empty where there is none.
pub fn stored_ballot(
    ballots: &impl ReadableTable<BallotKey, &'static str>,
    key: Key<'_>,
) -> Result<Ballot, StoreError> {
    match ballots.get(key)? {
        Some(text) => decode(text.value()),
        None => Ok(Ballot::default()),
    }
}

fn decode(text: &str) -> Result<Ballot, StoreError> {
    Ballot::decode(text).ok_or_else(|| StoreError::Corrupt("a stored ballot is none".into()))
}

/// A voter's ballots in the given rounds and takes.
pub fn ballots_of(
    transaction: &ReadTransaction,
    room: &RoomId,
    partitions: u16,
    voter: &VoterId,
    takes: &[(u16, u16)],
) -> Result<Vec<Ballot>, StoreError> {
    let ballots = transaction.open_table(BALLOTS)?;
    let partition = partition_of(voter.as_str(), partitions);
    let key = |(round, take)| (room.as_str(), partition, round, take, voter.as_str());
    takes.iter().map(|take| stored_ballot(&ballots, key(*take))).collect()
}

/// Ballots, and where to go on.
pub type Slice = (Vec<(VoterId, Ballot)>, Option<String>);

/// A slice of a partition's ballots, behind the voter that `cursor` names.
pub fn ballots(
    transaction: &ReadTransaction,
    room: &RoomId,
    partition: u16,
    (round, take): (u16, u16),
    cursor: Option<&str>,
) -> Result<Slice, StoreError> {
    let table = transaction.open_table(BALLOTS)?;
    let key = |voter| (room.as_str(), partition, round, take, voter);
    let range = (Bound::Excluded(key(cursor.unwrap_or_default())), Bound::Excluded(key(BEHIND_ALL_IDS)));
    let mut slice = vec![];
    for entry in table.range::<Key<'_>>(range)?.take(SLICE) {
        let (key, text) = entry?;
        let (.., voter) = key.value();
        let voter = VoterId::parse(voter).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        slice.push((voter, decode(text.value())?));
    }
    let next = slice.last().filter(|_| slice.len() == SLICE).map(|(voter, _)| voter.to_string());
    Ok((slice, next))
}
