//! What pods share: the feed, presence, ended sign-ins. All of it is worth only the seconds for which it is valid.

use async_trait::async_trait;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::feed::RedisFeed;
use super::keys::{RoomKeys, beacons_channel, control_channel, gates_channel, signed_out};
use super::ledger::RedisLedger;
use super::partition_writer::gate_label;
use super::{error, gate_codec};
use crate::domain::LedgerMs;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{Feed, FeedEvent, LedgerError, PodStore, SLICE};

/// The note of a pod expires this long after it was written, and its voters count as gone.
const PRESENCE_EXPIRY_MS: i64 = 10_000;

#[async_trait]
impl PodStore for RedisLedger {
    fn feed(&self) -> Box<dyn Feed> {
        Box::new(RedisFeed::new(self.connections.clone()))
    }

    async fn announce(&self, event: &FeedEvent) -> Result<(), LedgerError> {
        let database = self.connections.database();
        let announce = |mut redis: MultiplexedConnection| async move {
            match event {
                FeedEvent::Gate { room, partition, gate } => {
                    let line = format!("{} {}", gate_label(room, *partition), gate_codec::to_line(gate));
                    Ok(redis.publish(gates_channel(room), line).await?)
                }
                // made by each feed itself
                FeedEvent::Lost | FeedEvent::Resumed => Ok(()),
                FeedEvent::Beacon(_) => publish(&mut redis, &beacons_channel(database), event).await,
                event => publish(&mut redis, &control_channel(database), event).await,
            }
        };
        self.connections.run(announce).await
    }

    /// Notes who left, then who came: a voter in both lists is present.
    async fn note_present(
        &self,
        room: &RoomId,
        pod: &str,
        came: &[VoterId],
        left: &[VoterId],
    ) -> Result<(), LedgerError> {
        let key = RoomKeys(room).present(pod);
        let mut note = redis::pipe();
        note.atomic();
        for slice in left.chunks(SLICE) {
            note.srem(&key, ids(slice)).ignore();
        }
        for slice in came.chunks(SLICE) {
            note.sadd(&key, ids(slice)).ignore();
        }
        note.pexpire(&key, PRESENCE_EXPIRY_MS).ignore();
        let note = |mut redis: MultiplexedConnection| async move { Ok(note.query_async(&mut redis).await?) };
        self.connections.run(note).await
    }

    async fn present(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Result<Vec<bool>, LedgerError> {
        let mut present = vec![false; voters.len()];
        if pods.is_empty() || voters.is_empty() {
            return Ok(present);
        }
        let mut reads = redis::pipe();
        for pod in pods {
            reads.cmd("SMISMEMBER").arg(RoomKeys(room).present(pod)).arg(ids(voters));
        }
        let read = |mut redis: MultiplexedConnection| async move { Ok(reads.query_async(&mut redis).await?) };
        let noted: Vec<Vec<bool>> = self.connections.run(read).await?;
        for pod in noted {
            for (present, is_noted) in present.iter_mut().zip(pod) {
                *present |= is_noted;
            }
        }
        Ok(present)
    }

    async fn sign_out(&self, sign_in: &str, until: LedgerMs) -> Result<(), LedgerError> {
        let channel = control_channel(self.connections.database());
        let sign_out = |mut redis: MultiplexedConnection| async move {
            let mut end = redis::cmd("SET");
            end.arg(signed_out(sign_in)).arg(1).arg("PXAT").arg(until.max(1));
            let () = end.query_async(&mut redis).await?;
            publish(&mut redis, &channel, &FeedEvent::SignedOut { sign_in: sign_in.to_owned() })
                .await
                .map_err(error::after_first_step)
        };
        self.connections.change(sign_out).await
    }

    async fn is_signed_out(&self, sign_in: &str) -> Result<bool, LedgerError> {
        let read = |mut redis: MultiplexedConnection| async move { Ok(redis.exists(signed_out(sign_in)).await?) };
        self.connections.run(read).await
    }
}

/// Publishes an event other than a gate.
pub(super) async fn publish(
    redis: &mut MultiplexedConnection,
    channel: &str,
    event: &FeedEvent,
) -> Result<(), LedgerError> {
    let json = serde_json::to_string(event)
        .map_err(|e| LedgerError::NotApplied(format!("a feed message cannot be encoded: {e}")))?;
    Ok(redis.publish(channel, json).await?)
}

fn ids(voters: &[VoterId]) -> Vec<&str> {
    voters.iter().map(VoterId::as_str).collect()
}
