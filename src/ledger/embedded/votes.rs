//! Votes: gates, and the ballots that are judged, counted and stored in one step.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable};

use super::ledger::EmbeddedLedger;
use super::rooms::load_room;
use super::store::Store;
use super::tables::{AFTER_ALL_IDS, BALLOTS, BallotKey, GATES, HEADCOUNTS, Json, ROOMS, StoreError, load, store};
use super::write_transaction::WriteTransaction;
use crate::domain::LedgerMs;
use crate::domain::ballot::{Ballot, judge};
use crate::domain::gate::{DesiredGate, Gate, partition_of};
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{Batch, Commit, GateSnapshot, LedgerError, PartitionWriter, SLICE, Verdict, VoteStore, Voter};

#[async_trait]
impl VoteStore for EmbeddedLedger {
    async fn set_gates(
        &self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), LedgerError> {
        let (room, desired) = (room.clone(), desired.clone());
        let set = move |transaction: &mut WriteTransaction<'_>| transaction.set_gates(&room, partitions, &desired);
        self.store.write(usize::from(partitions), set).await
    }

    async fn gate_snapshot(&self, room: &RoomId, partitions: u16) -> Result<Option<GateSnapshot>, LedgerError> {
        let (id, store) = (room.clone(), Arc::clone(&self.store));
        let read = move |transaction: &ReadTransaction| {
            let now = store.now();
            let Some(room) = load_room(&transaction.open_table(ROOMS)?, id.as_str())? else { return Ok(None) };
            let gates = transaction.open_table(GATES)?;
            let gates = (0..partitions).map(|partition| load_gate(&gates, &id, partition)).collect::<Result<_, _>>()?;
            let voters = transaction.open_table(HEADCOUNTS)?.get(id.as_str())?.map_or(0, |count| count.value());
            Ok(Some(GateSnapshot { now, seq: room.seq, gates, voters }))
        };
        self.store.read(read).await
    }

    fn partition_writer(&self, room: &RoomId, partition: u16, pod: &str) -> Box<dyn PartitionWriter> {
        let address = Address { room: room.clone(), partition, pod: pod.to_owned() };
        Box::new(EmbeddedPartitionWriter { store: Arc::clone(&self.store), address })
    }

    async fn ballots_of(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        takes: &[(u16, u16)],
    ) -> Result<Vec<Ballot>, LedgerError> {
        let (room, voter, takes) = (room.clone(), voter.clone(), takes.to_vec());
        let read = move |transaction: &ReadTransaction| {
            let ballots = transaction.open_table(BALLOTS)?;
            let partition = partition_of(voter.as_str(), partitions);
            let key = |(round, take)| (room.as_str(), partition, round, take, voter.as_str());
            takes.iter().map(|take| stored_ballot(&ballots, key(*take))).collect()
        };
        self.store.read(read).await
    }

    /// The cursor is the last voter of the slice.
    async fn ballots(
        &self,
        room: &RoomId,
        partition: u16,
        (round, take): (u16, u16),
        cursor: Option<String>,
    ) -> Result<(Vec<(VoterId, Ballot)>, Option<String>), LedgerError> {
        let room = room.clone();
        let read = move |transaction: &ReadTransaction| {
            let table = transaction.open_table(BALLOTS)?;
            let key = |voter| (room.as_str(), partition, round, take, voter);
            let after = cursor.as_deref().unwrap_or_default();
            let range = (Bound::Excluded(key(after)), Bound::Excluded(key(AFTER_ALL_IDS)));
            let mut slice = vec![];
            for entry in table.range::<Key<'_>>(range)?.take(SLICE) {
                let (key, text) = entry?;
                let (.., voter) = key.value();
                let voter = VoterId::parse(voter).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                slice.push((voter, decode_ballot(text.value())?));
            }
            let next = slice.last().filter(|_| slice.len() == SLICE).map(|(voter, _)| voter.to_string());
            Ok((slice, next))
        };
        self.store.read(read).await
    }
}

/// Which gate a writer commits to, and for which pod.
#[derive(Debug, Clone)]
struct Address {
    room: RoomId,
    partition: u16,
    pod: String,
}

struct EmbeddedPartitionWriter {
    store: Arc<Store>,
    address: Address,
}

#[async_trait]
impl PartitionWriter for EmbeddedPartitionWriter {
    async fn commit(&mut self, batch: &Batch) -> Result<Commit, LedgerError> {
        let (address, batch) = (self.address.clone(), batch.clone());
        self.store.write(batch.casts().len() + 1, move |transaction| transaction.commit(&address, &batch)).await
    }

    async fn publish_pending(&mut self, acknowledged: u64, committed: u64) -> Result<Gate, LedgerError> {
        let address = self.address.clone();
        let publish = move |transaction: &mut WriteTransaction<'_>| {
            transaction.publish_pending(&address, acknowledged, committed)
        };
        self.store.write(1, publish).await
    }
}

impl WriteTransaction<'_> {
    /// Applies a desired state to every gate, and publishes the gates that have changed.
    fn set_gates(
        &mut self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), StoreError> {
        let gates = (0..partitions).map(|partition| load_gate(&self.tables.gates, room, partition));
        let mut gates = gates.collect::<Result<Vec<_>, _>>()?;
        for (gate, partition) in gates.iter_mut().zip(0..) {
            if gate.follow(desired, self.now) {
                store(&mut self.tables.gates, (room.as_str(), partition), gate)?;
                self.publish(room, partition, gate);
            }
        }
        Ok((self.now, gates))
    }

    /// Judges a batch against its gate, stores the ballots that have grown, and counts the added letters.
    fn commit(&mut self, at: &Address, batch: &Batch) -> Result<Commit, StoreError> {
        let mut gate = load_gate(&self.tables.gates, &at.room, at.partition)?;
        let now = gate.time(self.now);
        let gate_check = gate.check(batch.round, batch.take, now);
        let mut verdicts = Vec::with_capacity(batch.casts().len());
        let mut has_grown = false;
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
                has_grown = true;
            }
            let added = judgement.append.len() as u16;
            verdicts.push(Verdict::Ballot { votes: ballot.votes, added, refused: judgement.refused });
        }
        let has_acknowledged = self.acknowledge(at, batch.acknowledged, &mut gate)?;
        if has_acknowledged || has_grown {
            store(&mut self.tables.gates, (at.room.as_str(), at.partition), &gate)?;
        }
        let published = self.publish_throttled(&at.room, at.partition, &gate);
        Ok(Commit { now, gate, verdicts, published })
    }

    fn publish_pending(&mut self, at: &Address, acknowledged: u64, committed: u64) -> Result<Gate, StoreError> {
        let mut gate = load_gate(&self.tables.gates, &at.room, at.partition)?;
        if self.acknowledge(at, acknowledged, &mut gate)? {
            store(&mut self.tables.gates, (at.room.as_str(), at.partition), &gate)?;
        }
        if self.published_version(&at.room, at.partition) < committed {
            self.publish(&at.room, at.partition, &gate);
        }
        Ok(gate)
    }

    /// Stores a pod's own count, which only rises, and adds the difference to the gate's sum. True if it rose.
    fn acknowledge(&mut self, at: &Address, acknowledged: u64, gate: &mut Gate) -> Result<bool, StoreError> {
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

/// Reads and validates the gate of a partition, which is idle until a desired state reaches it.
fn load_gate(
    gates: &impl ReadableTable<(&'static str, u16), Json>,
    room: &RoomId,
    partition: u16,
) -> Result<Gate, StoreError> {
    let gate: Gate = load(gates, (room.as_str(), partition))?.unwrap_or_default();
    let corrupt = |error| StoreError::Corrupt(format!("gate {partition} of room {room}: {error}"));
    gate.validate().map_err(corrupt)?;
    Ok(gate)
}

type Key<'k> = (&'k str, u16, u16, u16, &'k str);

/// The ballot under a key; an empty one where there is none.
///
/// # Errors
/// See [`StoreError`].
pub fn stored_ballot(
    ballots: &impl ReadableTable<BallotKey, &'static str>,
    key: Key<'_>,
) -> Result<Ballot, StoreError> {
    match ballots.get(key)? {
        Some(text) => decode_ballot(text.value()),
        None => Ok(Ballot::default()),
    }
}

fn decode_ballot(text: &str) -> Result<Ballot, StoreError> {
    Ballot::decode(text).ok_or_else(|| StoreError::Corrupt("a stored ballot is invalid".into()))
}
