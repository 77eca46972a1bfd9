//! What pods tell each other, and leave for each other to see. Nothing here is worth more than the seconds it lives.

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::keys::{RoomKeys, control_channel, gates_channel, signed_out};
use super::link::Link;
use super::partition_writer::label;
use super::{fault, gate_codec};
use crate::domain::LedgerMs;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{FeedEvent, LedgerError, SLICE};

/// A pod that has noted nothing for so long has no voters.
const FORGOTTEN_MS: i64 = 10_000;

pub(super) async fn announce(link: &Link, event: &FeedEvent) -> Result<(), LedgerError> {
    let channel = control_channel(link.database());
    link.run(|mut redis| async move {
        match event {
            FeedEvent::Gate { room, partition, gate } => {
                let line = format!("{} {}", label(room, *partition), gate_codec::to_line(gate));
                Ok(redis.publish(gates_channel(room), line).await?)
            }
            // a feed makes these itself
            FeedEvent::Lost | FeedEvent::Resumed => Ok(()),
            event => publish(&mut redis, &channel, event).await,
        }
    })
    .await
}

/// Publishes what is not a gate.
pub(super) async fn publish(
    redis: &mut MultiplexedConnection,
    channel: &str,
    event: &FeedEvent,
) -> Result<(), LedgerError> {
    let json =
        serde_json::to_string(event).map_err(|e| LedgerError::NotApplied(format!("a message has no JSON: {e}")))?;
    Ok(redis.publish(channel, json).await?)
}

/// Notes who left, then who came: whoever did both is here.
pub(super) async fn note_present(
    link: &Link,
    room: &RoomId,
    pod: &str,
    came: &[VoterId],
    left: &[VoterId],
) -> Result<(), LedgerError> {
    let key = RoomKeys(room).present(pod);
    let mut note = redis::pipe();
    note.atomic();
    for slice in left.chunks(SLICE) {
        note.srem(&key, texts(slice)).ignore();
    }
    for slice in came.chunks(SLICE) {
        note.sadd(&key, texts(slice)).ignore();
    }
    note.pexpire(&key, FORGOTTEN_MS).ignore();
    link.run(|mut redis| async move { Ok(note.query_async(&mut redis).await?) }).await
}

pub(super) async fn present(
    link: &Link,
    room: &RoomId,
    pods: &[String],
    voters: &[VoterId],
) -> Result<Vec<bool>, LedgerError> {
    let mut present = vec![false; voters.len()];
    if pods.is_empty() || voters.is_empty() {
        return Ok(present);
    }
    let mut reads = redis::pipe();
    for pod in pods {
        reads.cmd("SMISMEMBER").arg(RoomKeys(room).present(pod)).arg(texts(voters));
    }
    let seen: Vec<Vec<bool>> = link.run(|mut redis| async move { Ok(reads.query_async(&mut redis).await?) }).await?;
    for pod in seen {
        for (present, here) in present.iter_mut().zip(pod) {
            *present |= here;
        }
    }
    Ok(present)
}

fn texts(voters: &[VoterId]) -> Vec<&str> {
    voters.iter().map(VoterId::as_str).collect()
}

pub(super) async fn sign_out(link: &Link, sign_in: &str, until: LedgerMs) -> Result<(), LedgerError> {
    let channel = control_channel(link.database());
    link.change(|mut redis| async move {
        let mut end = redis::cmd("SET");
        end.arg(signed_out(sign_in)).arg(1).arg("PXAT").arg(until.max(1));
        let () = end.query_async(&mut redis).await?;
        publish(&mut redis, &channel, &FeedEvent::SignedOut { sign_in: sign_in.to_owned() })
            .await
            .map_err(fault::after_a_step)
    })
    .await
}

pub(super) async fn is_signed_out(link: &Link, sign_in: &str) -> Result<bool, LedgerError> {
    link.run(|mut redis| async move { Ok(redis.exists(signed_out(sign_in)).await?) }).await
}
