//! Rooms that come from another installation.
//!
//! A room lies in several units: the room's own and one for each partition. The directory hands out claims, each with a
//! higher **token** than all before. An import first leaves its token in every unit, and each of its writes is a script
//! that finds it there, or writes nothing. So an import that was given up, and wakes up later, cannot write into a room
//! that somebody else has brought in meanwhile; and what nobody finishes is found by its claim and taken back.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::gate_codec::{FIELDS, to_line};
use super::keys::{CODES, IMPORT_TOKEN, IMPORTS, PartitionKeys, REFS, RoomKeys};
use super::link::Link;
use super::purge::scan;
use super::{fault, people, rooms, scripts};
use crate::domain::ballot::Ballot;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::domain::room::Room;
use crate::ledger::{Claimed, ImportClaim, LedgerError, Part, SLICE};

/// How long a take-back may pause between two steps before somebody else goes on with it.
const TAKE_BACK_LEASE: Duration = Duration::from_secs(30);

/// A unit of a room's keys: its own, or that of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Room,
    Partition(u16),
}

impl Unit {
    fn of(claim: &ImportClaim) -> impl Iterator<Item = Self> {
        std::iter::once(Self::Room).chain((0..claim.partitions).map(Self::Partition))
    }

    fn claim(self, room: &RoomId) -> String {
        match self {
            Self::Room => RoomKeys(room).claim(),
            Self::Partition(partition) => PartitionKeys::new(room, partition).claim(),
        }
    }
}

/// Writes to be made, by unit and key: the command, and its arguments.
#[derive(Default)]
struct Writes(BTreeMap<Unit, BTreeMap<String, (&'static str, Vec<String>)>>);

impl Writes {
    fn add<const N: usize>(&mut self, unit: Unit, key: String, command: &'static str, arguments: [&str; N]) {
        let (_, all) = self.0.entry(unit).or_default().entry(key).or_insert((command, vec![]));
        all.extend(arguments.map(str::to_owned));
    }
}

/// What became of closing a unit to older claims.
enum Fenced {
    Held,
    Lost,
    Exists,
}

fn lost() -> LedgerError {
    LedgerError::NotApplied("this import was given up, for its claim had run out; begin again".into())
}

pub(super) async fn begin(link: &Link, room: &Room, lease: Duration) -> Result<Claimed, LedgerError> {
    if let Some(here) = rooms::get(link, &room.id).await? {
        return Ok(Claimed::Exists(here));
    }
    let mut call = scripts::BEGIN_IMPORT.key(IMPORTS);
    call.key(IMPORT_TOKEN).key(CODES).key(REFS);
    call.arg(room.id.as_str()).arg(lease.as_millis() as u64).arg(room.partitions).arg(room.code.as_str());
    if let Some(reference) = &room.reference {
        call.arg(reference);
    }
    let (outcome, detail): (String, String) =
        link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await?;
    match outcome.as_str() {
        "held" => {}
        "running" => return Ok(Claimed::Running),
        "code_taken" => return Ok(Claimed::CodeTaken),
        _ => {
            let holder = RoomId::parse(&detail).map_err(|_| fault::corrupt("no room id", REFS))?;
            let holder = rooms::get(link, &holder).await?;
            return Ok(Claimed::RefTaken(holder.ok_or_else(|| fault::corrupt("a room that is gone", REFS))?));
        }
    }
    let token = detail.parse().map_err(|_| fault::corrupt("no token", IMPORT_TOKEN))?;
    let claim = ImportClaim { room: room.id.clone(), partitions: room.partitions, token, lease };
    // from here on nothing older can write; and if the room was finished between the look and the claim, it stays
    let fenced = link.change(|redis| fence_all(redis, &claim)).await.map_err(fault::after_a_step)?;
    match fenced {
        Fenced::Held => Ok(Claimed::Held(claim)),
        Fenced::Lost => Err(lost()),
        Fenced::Exists => {
            end(link, &claim, false).await?;
            let here = rooms::get(link, &room.id).await?;
            here.map(Claimed::Exists).ok_or_else(lost)
        }
    }
}

/// Leaves the token in every unit, the room's own first.
async fn fence_all(mut redis: MultiplexedConnection, claim: &ImportClaim) -> Result<Fenced, LedgerError> {
    for unit in Unit::of(claim) {
        let mut call = scripts::FENCE_IMPORT.key(unit.claim(&claim.room));
        if unit == Unit::Room {
            call.key(RoomKeys(&claim.room).record());
        }
        let outcome: String = call.arg(claim.token).invoke_async(&mut redis).await?;
        match outcome.as_str() {
            "held" => {}
            "exists" => return Ok(Fenced::Exists),
            _ => return Ok(Fenced::Lost),
        }
    }
    Ok(Fenced::Held)
}

pub(super) async fn write(link: &Link, claim: &ImportClaim, parts: &[Part]) -> Result<(), LedgerError> {
    if parts.len() > SLICE {
        return Err(LedgerError::NotApplied("at most 1,000 parts are written at once".into()));
    }
    let mut writes = Writes::default();
    parts.iter().try_for_each(|part| add(&mut writes, claim, part))?;
    link.change(|mut redis| async move {
        let mut renew = scripts::HOLD_IMPORT.key(IMPORTS);
        renew.key(IMPORT_TOKEN).arg(claim.room.as_str()).arg(claim.token);
        let held: String = renew.arg(claim.lease.as_millis() as u64).arg("renew").invoke_async(&mut redis).await?;
        if held.is_empty() {
            return Err(lost());
        }
        carry_out(&mut redis, claim, &writes).await.map_err(fault::after_a_step)
    })
    .await
}

/// One script for each unit.
async fn carry_out(redis: &mut MultiplexedConnection, claim: &ImportClaim, writes: &Writes) -> Result<(), LedgerError> {
    for (unit, keys) in &writes.0 {
        let mut call = scripts::WRITE_IMPORT.key(unit.claim(&claim.room));
        call.arg(claim.token);
        for (key, (command, arguments)) in keys {
            call.key(key).arg(*command).arg(arguments.len()).arg(arguments);
        }
        let written: bool = call.invoke_async(redis).await?;
        if !written {
            return Err(lost());
        }
    }
    Ok(())
}

fn add(writes: &mut Writes, claim: &ImportClaim, part: &Part) -> Result<(), LedgerError> {
    let keys = RoomKeys(&claim.room);
    let partition_keys = |partition| (Unit::Partition(partition), PartitionKeys::new(&claim.room, partition));
    match part {
        Part::Gate { partition, gate } => {
            let (unit, keys) = partition_keys(*partition);
            let line = to_line(gate);
            for (field, word) in FIELDS.into_iter().zip(line.split(' ')) {
                writes.add(unit, keys.gate(), "HSET", [field, word]);
            }
        }
        Part::Voter(voter) => {
            let id = voter.voter.as_str();
            let stored = format!("{}{}", voter.card, people::person(&voter.name));
            writes.add(Unit::Room, keys.voters(), "HSET", [id, &stored]);
            writes.add(Unit::Room, keys.names(), "HSET", [&voter.name.folded(), id]);
            writes.add(Unit::Room, keys.cards(), "HSET", [voter.card.as_str(), id]);
            writes.add(Unit::Room, keys.roster(), "ZADD", ["0", id]);
            if voter.removed {
                let (unit, partition) = partition_keys(partition_of(id, claim.partitions));
                writes.add(Unit::Room, keys.removed(), "SADD", [id]);
                writes.add(unit, partition.removed(), "SADD", [id]);
            }
        }
        Part::Invited(invited) => {
            let invite = invited.invite.as_str();
            writes.add(Unit::Room, keys.invites(), "HSET", [invite, &people::person(&invited.name)]);
            writes.add(Unit::Room, keys.invited(), "HSET", [&invited.name.folded(), invite]);
            if let Some(voter) = &invited.voter {
                writes.add(Unit::Room, keys.invite_voters(), "HSET", [invite, voter.as_str()]);
            }
        }
        Part::Ballot { round, take, voter, votes, time_ms } => {
            let ballot = Ballot { votes: votes.clone(), time_ms: *time_ms }.encode();
            let (unit, keys) = partition_keys(partition_of(voter.as_str(), claim.partitions));
            writes.add(unit, keys.ballots((*round, *take)), "HSET", [voter.as_str(), &ballot]);
        }
        Part::Ranking { ranking, slice, entries } => {
            let json = serde_json::to_string(entries)
                .map_err(|e| LedgerError::NotApplied(format!("slice {slice} of a ranking has no JSON: {e}")))?;
            writes.add(Unit::Room, keys.ranking(*ranking), "HSET", [&slice.to_string(), &json]);
        }
    }
    Ok(())
}

pub(super) async fn finish(link: &Link, claim: &ImportClaim, room: &Room) -> Result<Room, LedgerError> {
    let key = RoomKeys(&claim.room).record();
    let mut call = scripts::FINISH_IMPORT.key(Unit::Room.claim(&claim.room));
    call.key(&key).arg(claim.token).arg(rooms::encode(room)?).arg(room.seq);
    let stored: Vec<String> = link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await?;
    let [seq, record] = stored.as_slice() else { return Err(lost()) };
    let seq = seq.parse().map_err(|_| fault::corrupt("no seq", &key))?;
    let room = rooms::decode(&claim.room, seq, record)?;
    // the room is here; a claim that is left is given back when it has run out
    if let Err(error) = end(link, claim, false).await {
        tracing::debug!(room = %claim.room, %error, "the claim of an import was not given back yet");
    }
    Ok(room)
}

async fn end(link: &Link, claim: &ImportClaim, come_to_nothing: bool) -> Result<(), LedgerError> {
    let mut call = scripts::END_IMPORT.key(IMPORTS);
    call.key(CODES).key(REFS).arg(claim.room.as_str()).arg(claim.token).arg(u8::from(come_to_nothing));
    link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await
}

pub(super) async fn abandon(link: &Link, claim: &ImportClaim) -> Result<(), LedgerError> {
    take_back(link, &claim.room, claim.token, "take").await.map(drop)
}

pub(super) async fn sweep(link: &Link) -> Result<usize, LedgerError> {
    let claims: BTreeMap<String, String> =
        link.run(|mut redis| async move { Ok(redis.hgetall(IMPORTS).await?) }).await?;
    let mut swept = 0;
    for (id, claim) in claims {
        let token = claim.split(' ').next().and_then(|token| token.parse().ok());
        let (Ok(id), Some(token)) = (RoomId::parse(&id), token) else {
            tracing::warn!(id, "this is no claim of an import");
            continue;
        };
        swept += usize::from(take_back(link, &id, token, "take_if_over").await?);
    }
    Ok(swept)
}

/// Takes the claim over, closes every unit to its writer, removes what is there, and gives the claim back: in this order,
/// so that whoever dies in between leaves a claim that runs out. False if the claim is another's by now.
async fn take_back(link: &Link, room: &RoomId, token: u64, how: &str) -> Result<bool, LedgerError> {
    let mut call = scripts::HOLD_IMPORT.key(IMPORTS);
    call.key(IMPORT_TOKEN).arg(room.as_str()).arg(token).arg(TAKE_BACK_LEASE.as_millis() as u64).arg(how);
    let held: String = link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await?;
    if held.is_empty() {
        return Ok(false);
    }
    let mut words = held.split(' ');
    let (token, partitions) = (words.next().and_then(|w| w.parse().ok()), words.nth(1).and_then(|w| w.parse().ok()));
    let (Some(token), Some(partitions)) = (token, partitions) else { return Err(fault::corrupt("no claim", IMPORTS)) };
    let claim = ImportClaim { room: room.clone(), partitions, token, lease: TAKE_BACK_LEASE };
    match link.change(|redis| fence_all(redis, &claim)).await? {
        Fenced::Held => {}
        Fenced::Lost => return Ok(false),
        Fenced::Exists => {
            end(link, &claim, false).await?;
            return Ok(false);
        }
    }
    unlink_all(link, &claim).await?;
    end(link, &claim, true).await?;
    Ok(true)
}

/// Removes every key of the room, the claims last.
async fn unlink_all(link: &Link, claim: &ImportClaim) -> Result<(), LedgerError> {
    let keys = RoomKeys(&claim.room);
    let mut cursor = String::from("0");
    loop {
        let (next, found) = link.run(|redis| scan(redis, cursor, keys.pattern())).await?;
        let mut writes = Writes::default();
        for key in found {
            let unit = keys.partition_of(&key).map_or(Unit::Room, Unit::Partition);
            if key != unit.claim(&claim.room) {
                writes.add(unit, key, "UNLINK", []);
            }
        }
        link.change(|mut redis| async move { carry_out(&mut redis, claim, &writes).await }).await?;
        if next == "0" {
            break;
        }
        cursor = next;
    }
    let mut claims = Writes::default();
    Unit::of(claim).for_each(|unit| claims.add(unit, unit.claim(&claim.room), "UNLINK", []));
    link.change(|mut redis| async move { carry_out(&mut redis, claim, &claims).await }).await
}
