//! Rooms that come from another installation, and rooms that go for good.

use redis::AsyncCommands;

use super::gate::{FIELDS, to_line};
use super::keys::{CODES, PartitionKeys, REFS, RoomKeys};
use super::link::Link;
use super::{people, scripts};
use crate::domain::ballot::Ballot;
use crate::domain::ids::RoomId;
use crate::domain::room::Room;
use crate::ledger::{LedgerError, Part, SLICE};

/// Plain writes: the room has no record yet, so nobody else looks at them.
pub(super) async fn write_parts(
    link: &Link,
    room: &RoomId,
    partitions: u16,
    parts: &[Part],
) -> Result<(), LedgerError> {
    if parts.len() > SLICE {
        return Err(LedgerError::NotApplied("at most 1,000 parts are written at once".into()));
    }
    let keys = RoomKeys(room);
    let mut writes = redis::pipe();
    for part in parts {
        match part {
            Part::Gate { partition, gate } => {
                let line = to_line(gate);
                let fields: Vec<(&str, &str)> = FIELDS.into_iter().zip(line.split(' ')).collect();
                writes.hset_multiple(PartitionKeys::new(room, *partition).gate(), &fields).ignore();
            }
            Part::Voter(voter) => {
                let id = voter.voter.as_str();
                let person = people::person(&voter.name);
                writes.hset(keys.voters(), id, format!("{}{person}", voter.card)).ignore();
                writes.hset(keys.names(), voter.name.folded(), id).ignore();
                writes.hset(keys.cards(), voter.card.as_str(), id).ignore();
                writes.zadd(keys.roster(), id, 0).ignore();
                if voter.removed {
                    writes.sadd(keys.removed(), id).ignore();
                    writes.sadd(PartitionKeys::of(room, partitions, &voter.voter).removed(), id).ignore();
                }
            }
            Part::Invited(invited) => {
                let invite = invited.invite.as_str();
                writes.hset(keys.invites(), invite, people::person(&invited.name)).ignore();
                writes.hset(keys.invited(), invited.name.folded(), invite).ignore();
                if let Some(voter) = &invited.voter {
                    writes.hset(keys.invite_voters(), invite, voter.as_str()).ignore();
                }
            }
            Part::Ballot { round, take, voter, votes, time_ms } => {
                let ballot = Ballot { votes: votes.clone(), time_ms: *time_ms }.encode();
                let key = PartitionKeys::of(room, partitions, voter).ballots((*round, *take));
                writes.hset(key, voter.as_str(), ballot).ignore();
            }
        }
    }
    link.change(|mut redis| async move { Ok(writes.query_async(&mut redis).await?) }).await
}

/// Everything but the record and the jobs first: as long as those are there, whoever purges can begin again.
pub(super) async fn purge(link: &Link, room: &Room) -> Result<(), LedgerError> {
    let keys = RoomKeys(&room.id);
    let last = [keys.record(), keys.jobs(), keys.job_ids()];
    unlink_matching(link, &keys.pattern(), |key| !last.contains(key)).await?;
    link.change(|mut redis| async move {
        let mut release = scripts::RELEASE_CODE.key(CODES);
        release.key(REFS).arg(room.id.as_str()).arg(room.code.as_str());
        if let Some(reference) = &room.reference {
            release.arg(reference);
        }
        let () = release.invoke_async(&mut redis).await?;
        Ok(redis.unlink::<_, ()>(&last).await?)
    })
    .await
}

/// Unlinks the keys that match a pattern and are meant.
pub(super) async fn unlink_matching(
    link: &Link,
    pattern: &str,
    is_meant: impl Fn(&String) -> bool,
) -> Result<(), LedgerError> {
    let mut cursor = String::from("0");
    loop {
        // a call for each step: a large installation has more keys than one call has time for
        let (next, mut found) = link.run(|redis| scan(redis, cursor, pattern.to_owned())).await?;
        found.retain(&is_meant);
        if !found.is_empty() {
            link.change(|mut redis| async move { Ok(redis.unlink::<_, ()>(&found).await?) }).await?;
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

async fn scan(
    mut redis: redis::aio::MultiplexedConnection,
    cursor: String,
    pattern: String,
) -> Result<(String, Vec<String>), LedgerError> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SLICE);
    Ok(scan.query_async(&mut redis).await?)
}
