//! Votes: all gates of a room, and the ballots behind them.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::gate_codec::{self, FIELDS};
use super::keys::{PartitionKeys, RoomKeys, gates_channel};
use super::ledger::RedisLedger;
use super::partition_writer::{RedisPartitionWriter, gate_label};
use super::{error, health, scripts};
use crate::domain::LedgerMs;
use crate::domain::ballot::Ballot;
use crate::domain::gate::{Deadline, DesiredGate, Gate};
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{GateSnapshot, LedgerError, PartitionWriter, SLICE, VoteStore};

#[async_trait]
impl VoteStore for RedisLedger {
    /// One script per gate, all at once. When one of them fails, other gates may have followed.
    async fn set_gates(
        &self,
        room: &RoomId,
        partitions: u16,
        desired: &DesiredGate,
    ) -> Result<(LedgerMs, Vec<Gate>), LedgerError> {
        let set_all = |redis: MultiplexedConnection| async move {
            let calls = (0..partitions).map(|partition| set_gate(redis.clone(), room, partition, desired));
            let set = try_join_all(calls).await;
            if partitions > 1 { set.map_err(error::after_first_step) } else { set }
        };
        let set = self.connections.change(set_all).await?;
        let now = set.iter().map(|(now, _)| *now).max().unwrap_or_default();
        Ok((now, set.into_iter().map(|(_, gate)| gate).collect()))
    }

    async fn gate_snapshot(&self, room: &RoomId, partitions: u16) -> Result<Option<GateSnapshot>, LedgerError> {
        let keys = RoomKeys(room);
        let read = |redis: MultiplexedConnection| async move {
            let (mut a, mut b, mut c, mut d) = (redis.clone(), redis.clone(), redis.clone(), redis.clone());
            let gates = try_join_all((0..partitions).map(|partition| read_gate(redis.clone(), room, partition)));
            let record = keys.record();
            let (seq, joined, removed, gates, now) = tokio::join!(
                a.hget::<_, _, Option<u64>>(&record, "seq"),
                b.hlen::<_, u64>(keys.voters()),
                c.scard::<_, u64>(keys.removed()),
                gates,
                health::time(&mut d),
            );
            let Some(seq) = seq? else { return Ok(None) };
            Ok(Some(GateSnapshot { now: now?, seq, gates: gates?, voters: joined?.saturating_sub(removed?) }))
        };
        self.connections.run(read).await
    }

    fn partition_writer(&self, room: &RoomId, partition: u16, pod: &str) -> Box<dyn PartitionWriter> {
        Box::new(RedisPartitionWriter::new(self.connections.clone(), room, partition, pod, self.tick_ms))
    }

    async fn ballots_of(
        &self,
        room: &RoomId,
        partitions: u16,
        voter: &VoterId,
        takes: &[(u16, u16)],
    ) -> Result<Vec<Ballot>, LedgerError> {
        if takes.is_empty() {
            return Ok(vec![]);
        }
        let keys = PartitionKeys::of(room, partitions, voter);
        let read = |mut redis: MultiplexedConnection| async move {
            let mut reads = redis::pipe();
            for take in takes {
                reads.hget(keys.ballots(*take), voter.as_str());
            }
            let stored: Vec<Option<String>> = reads.query_async(&mut redis).await?;
            let ballots = stored.iter().zip(takes);
            ballots.map(|(text, take)| decode_ballot(&keys.ballots(*take), text.as_deref())).collect()
        };
        self.connections.run(read).await
    }

    async fn ballots(
        &self,
        room: &RoomId,
        partition: u16,
        take: (u16, u16),
        cursor: Option<String>,
    ) -> Result<(Vec<(VoterId, Ballot)>, Option<String>), LedgerError> {
        let key = PartitionKeys::new(room, partition).ballots(take);
        let read = |mut redis: MultiplexedConnection| async move {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&key).arg(cursor.as_deref().unwrap_or("0")).arg("COUNT").arg(SLICE);
            let (next, stored): (String, Vec<(String, String)>) = scan.query_async(&mut redis).await?;
            let ballots = stored.iter().map(|(voter, text)| {
                let voter = VoterId::parse(voter).map_err(|_| error::corrupt("invalid voter id", &key))?;
                Ok((voter, decode_ballot(&key, Some(text))?))
            });
            Ok((ballots.collect::<Result<_, LedgerError>>()?, Some(next).filter(|next| next != "0")))
        };
        self.connections.run(read).await
    }
}

async fn set_gate(
    mut redis: MultiplexedConnection,
    room: &RoomId,
    partition: u16,
    desired: &DesiredGate,
) -> Result<(LedgerMs, Gate), LedgerError> {
    let (open, ms) = match desired.open {
        None => ("closed", 0),
        Some(Deadline::Never) => ("never", 0),
        Some(Deadline::After(ms)) => ("after", ms),
        Some(Deadline::At(time)) => ("at", time),
    };
    let key = PartitionKeys::new(room, partition).gate();
    let mut call = scripts::SET_GATE.key(&key);
    call.arg(desired.command_seq).arg(desired.round).arg(desired.take);
    call.arg(desired.choices).arg(desired.votes_per_round);
    call.arg(open).arg(ms).arg(gates_channel(room)).arg(gate_label(room, partition));
    let (now, line): (LedgerMs, String) = call.invoke_async(&mut redis).await?;
    Ok((now, gate_codec::from_line(&line).ok_or_else(|| error::corrupt("invalid gate", &key))?))
}

async fn read_gate(mut redis: MultiplexedConnection, room: &RoomId, partition: u16) -> Result<Gate, LedgerError> {
    let key = PartitionKeys::new(room, partition).gate();
    let fields: Vec<Option<String>> = redis.hmget(&key, &FIELDS).await?;
    gate_codec::from_fields(&fields).ok_or_else(|| error::corrupt("invalid gate", &key))
}

/// Decodes a stored ballot; an empty one where there is none.
pub(super) fn decode_ballot(key: &str, text: Option<&str>) -> Result<Ballot, LedgerError> {
    match text {
        None => Ok(Ballot::default()),
        Some(text) => Ballot::decode(text).ok_or_else(|| error::corrupt("invalid ballot", key)),
    }
}
