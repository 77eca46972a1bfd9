//! The units of a room that is being imported, and writes to them that are fenced by a token.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;

use super::gate_codec::{FIELDS, to_line};
use super::keys::{PartitionKeys, RoomKeys};
use super::voter_codec::person;
use super::{ranking, scripts};
use crate::domain::ballot::Ballot;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::ledger::{ImportClaim, LedgerError, Part};

/// A group of keys with one hash tag: the room's own, or those of one partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Room,
    Partition(u16),
}

impl Unit {
    /// All units of the claimed room, its own first.
    pub(super) fn of(claim: &ImportClaim) -> impl Iterator<Item = Self> {
        std::iter::once(Self::Room).chain((0..claim.partitions).map(Self::Partition))
    }

    /// The key of the unit's token.
    pub(super) fn claim(self, room: &RoomId) -> String {
        match self {
            Self::Room => RoomKeys(room).claim(),
            Self::Partition(partition) => PartitionKeys::new(room, partition).claim(),
        }
    }
}

/// Planned writes, by unit and key: the command, and its arguments.
#[derive(Default)]
pub(super) struct Writes(BTreeMap<Unit, BTreeMap<String, (&'static str, Vec<String>)>>);

impl Writes {
    /// Adds a write to a key. All writes to one key have the same command.
    pub(super) fn add<const N: usize>(&mut self, unit: Unit, key: String, command: &'static str, arguments: [&str; N]) {
        let (_, all) = self.0.entry(unit).or_default().entry(key).or_insert((command, vec![]));
        all.extend(arguments.map(str::to_owned));
    }
}

/// The outcome of storing a token in the units of a room.
pub(super) enum Fenced {
    /// Stored in all units.
    Held,
    /// Some unit has a newer token.
    Lost,
    /// The room has its record already.
    Exists,
}

/// Another import has taken the claim over.
pub(super) fn claim_lost() -> LedgerError {
    LedgerError::NotApplied("this import was given up because its claim has expired; start it again".into())
}

/// Stores the token in every unit, the room's own first.
pub(super) async fn fence_all(mut redis: MultiplexedConnection, claim: &ImportClaim) -> Result<Fenced, LedgerError> {
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

/// Carries out the writes: one script for each unit.
pub(super) async fn carry_out(
    redis: &mut MultiplexedConnection,
    claim: &ImportClaim,
    writes: &Writes,
) -> Result<(), LedgerError> {
    for (unit, keys) in &writes.0 {
        let mut call = scripts::WRITE_IMPORT.key(unit.claim(&claim.room));
        call.arg(claim.token);
        for (key, (command, arguments)) in keys {
            call.key(key).arg(*command).arg(arguments.len()).arg(arguments);
        }
        let written: bool = call.invoke_async(redis).await?;
        if !written {
            return Err(claim_lost());
        }
    }
    Ok(())
}

/// Plans the writes of one part.
pub(super) fn add_part(writes: &mut Writes, claim: &ImportClaim, part: &Part) -> Result<(), LedgerError> {
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
            let stored = format!("{}{}", voter.card, person(&voter.name));
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
            writes.add(Unit::Room, keys.invites(), "HSET", [invite, &person(&invited.name)]);
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
        Part::Ranking { ranking: number, slice, entries } => {
            let json = ranking::encode(*slice, entries)?;
            writes.add(Unit::Room, keys.ranking(*number), "HSET", [&slice.to_string(), &json]);
        }
    }
    Ok(())
}
