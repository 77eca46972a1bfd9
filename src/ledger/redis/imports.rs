//! Imports, with fencing tokens.
//!
//! The keys of a room form several units: the room's own, and one for each partition. The directory hands out claims,
//! each with a higher **token** than all before. An import first stores its token in every unit, and each of its writes
//! is a script that writes nothing unless it finds the token there. So an import that was given up, and continues
//! later, cannot write into a room that another import has finished. An import that is never finished is found by its
//! claim and dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::import_units::{Fenced, Unit, Writes, add_part, carry_out, claim_lost, fence_all};
use super::keys::{CODES, IMPORT_TOKEN, IMPORTS, REFS, RoomKeys};
use super::ledger::RedisLedger;
use super::purge::scan;
use super::{error, rooms, scripts};
use crate::domain::ids::RoomId;
use crate::domain::room::Room;
use crate::ledger::{Claimed, ImportClaim, ImportStore, LedgerError, Part, RoomStore, SLICE};

/// A take-over that pauses for longer than this between two steps is continued by another process.
const TAKE_OVER_LEASE: Duration = Duration::from_secs(30);

/// What a process does with the stored claim of an import.
#[derive(Clone, Copy)]
enum HoldMode {
    /// Renew it: the import goes on.
    Renew,
    /// Take it over, to drop the import.
    TakeOver,
    /// The same, but only if it has expired.
    TakeOverExpired,
}

impl HoldMode {
    /// The word for `hold_import.lua`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::TakeOver => "take_over",
            Self::TakeOverExpired => "take_over_expired",
        }
    }
}

/// What happens to the code and the `ref` when a claim is released.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DirectoryEntries {
    /// They stay: the room is stored.
    Keep,
    /// They are removed: the import was dropped.
    Remove,
}

#[async_trait]
impl ImportStore for RedisLedger {
    /// The `ref` of a deleted room can be used again.
    async fn begin_import(&self, room: &Room, lease: Duration) -> Result<Claimed, LedgerError> {
        match self.begin_once(room, lease).await? {
            Claimed::RefTaken(owner) if owner.deleted_at.is_some() => {
                self.take_reference_from(&owner).await?;
                self.begin_once(room, lease).await
            }
            claimed => Ok(claimed),
        }
    }

    async fn write_parts(&self, claim: &ImportClaim, parts: &[Part]) -> Result<(), LedgerError> {
        if parts.len() > SLICE {
            return Err(LedgerError::NotApplied("at most 1,000 parts are written at once".into()));
        }
        let mut writes = Writes::default();
        parts.iter().try_for_each(|part| add_part(&mut writes, claim, part))?;
        let write = |mut redis: MultiplexedConnection| async move {
            let mut renew = scripts::HOLD_IMPORT.key(IMPORTS);
            renew.key(IMPORT_TOKEN).arg(claim.room.as_str()).arg(claim.token);
            renew.arg(claim.lease.as_millis() as u64).arg(HoldMode::Renew.as_str());
            let held: String = renew.invoke_async(&mut redis).await?;
            if held.is_empty() {
                return Err(claim_lost());
            }
            carry_out(&mut redis, claim, &writes).await.map_err(error::after_first_step)
        };
        self.connections.change(write).await
    }

    async fn finish_import(&self, claim: &ImportClaim, room: &Room) -> Result<Room, LedgerError> {
        let key = RoomKeys(&claim.room).record();
        let mut call = scripts::FINISH_IMPORT.key(Unit::Room.claim(&claim.room));
        call.key(&key).arg(claim.token).arg(rooms::encode_room(room)?).arg(room.seq);
        let finish = |mut redis: MultiplexedConnection| async move { Ok(call.invoke_async(&mut redis).await?) };
        let stored: Vec<String> = self.connections.change(finish).await?;
        let [seq, record] = stored.as_slice() else { return Err(claim_lost()) };
        let seq = seq.parse().map_err(|_| error::corrupt("invalid seq", &key))?;
        let room = rooms::decode_room(&claim.room, seq, record)?;
        // the room is stored; a claim that is left over is released when it has expired
        if let Err(error) = self.release_claim(claim, DirectoryEntries::Keep).await {
            tracing::debug!(room = %claim.room, %error, "the claim of a finished import could not be released yet");
        }
        Ok(room)
    }

    async fn drop_import(&self, claim: &ImportClaim) -> Result<(), LedgerError> {
        self.take_over(&claim.room, claim.token, HoldMode::TakeOver).await.map(drop)
    }

    async fn sweep_imports(&self) -> Result<usize, LedgerError> {
        let read = |mut redis: MultiplexedConnection| async move { Ok(redis.hgetall(IMPORTS).await?) };
        let claims: BTreeMap<String, String> = self.connections.run(read).await?;
        let mut swept = 0;
        for (id, claim) in claims {
            let token = claim.split(' ').next().and_then(|token| token.parse().ok());
            let (Ok(id), Some(token)) = (RoomId::parse(&id), token) else {
                tracing::warn!(id, "the stored claim of an import is invalid");
                continue;
            };
            swept += usize::from(self.take_over(&id, token, HoldMode::TakeOverExpired).await?);
        }
        Ok(swept)
    }
}

impl RedisLedger {
    async fn begin_once(&self, room: &Room, lease: Duration) -> Result<Claimed, LedgerError> {
        if let Some(stored) = self.room(&room.id).await? {
            return Ok(Claimed::Exists(stored));
        }
        let mut call = scripts::BEGIN_IMPORT.key(IMPORTS);
        call.key(IMPORT_TOKEN).key(CODES).key(REFS);
        call.arg(room.id.as_str()).arg(lease.as_millis() as u64).arg(room.partitions).arg(room.code.as_str());
        if let Some(reference) = &room.reference {
            call.arg(reference);
        }
        let begin = |mut redis: MultiplexedConnection| async move { Ok(call.invoke_async(&mut redis).await?) };
        let (outcome, detail): (String, String) = self.connections.change(begin).await?;
        match outcome.as_str() {
            "held" => {}
            "running" => return Ok(Claimed::Running),
            "code_taken" => return Ok(Claimed::CodeTaken),
            _ => {
                let owner = RoomId::parse(&detail).map_err(|_| error::corrupt("invalid room id", REFS))?;
                let owner = self.room(&owner).await?;
                let gone = || error::corrupt("entry of a room that does not exist", REFS);
                return Ok(Claimed::RefTaken(owner.ok_or_else(gone)?));
            }
        }
        let token = detail.parse().map_err(|_| error::corrupt("invalid token", IMPORT_TOKEN))?;
        let claim = ImportClaim { room: room.id.clone(), partitions: room.partitions, token, lease };
        // from here on no older import can write. If the room was finished between the read and the claim, it stays.
        let fenced = self.connections.change(|redis| fence_all(redis, &claim)).await;
        match fenced.map_err(error::after_first_step)? {
            Fenced::Held => Ok(Claimed::Held(claim)),
            Fenced::Lost => Err(claim_lost()),
            Fenced::Exists => {
                self.release_claim(&claim, DirectoryEntries::Keep).await?;
                let stored = self.room(&room.id).await?;
                stored.map(Claimed::Exists).ok_or_else(claim_lost)
            }
        }
    }

    async fn release_claim(&self, claim: &ImportClaim, entries: DirectoryEntries) -> Result<(), LedgerError> {
        let mut call = scripts::END_IMPORT.key(IMPORTS);
        call.key(CODES).key(REFS).arg(claim.room.as_str()).arg(claim.token);
        call.arg(u8::from(entries == DirectoryEntries::Remove));
        self.connections.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await
    }

    /// Takes a claim over and drops its import: fences every unit against the old token, removes what is stored, and
    /// releases the claim, in this order. If this is interrupted, the claim is still there, and expires. False if the
    /// claim is not this one any more, or the room is finished.
    async fn take_over(&self, room: &RoomId, token: u64, mode: HoldMode) -> Result<bool, LedgerError> {
        let mut call = scripts::HOLD_IMPORT.key(IMPORTS);
        call.key(IMPORT_TOKEN).arg(room.as_str()).arg(token);
        call.arg(TAKE_OVER_LEASE.as_millis() as u64).arg(mode.as_str());
        let hold = |mut redis: MultiplexedConnection| async move { Ok(call.invoke_async(&mut redis).await?) };
        let held: String = self.connections.change(hold).await?;
        if held.is_empty() {
            return Ok(false);
        }
        let mut words = held.split(' ');
        let token = words.next().and_then(|word| word.parse().ok());
        let partitions = words.nth(1).and_then(|word| word.parse().ok());
        let (Some(token), Some(partitions)) = (token, partitions) else {
            return Err(error::corrupt("invalid claim", IMPORTS));
        };
        let claim = ImportClaim { room: room.clone(), partitions, token, lease: TAKE_OVER_LEASE };
        match self.connections.change(|redis| fence_all(redis, &claim)).await? {
            Fenced::Held => {}
            Fenced::Lost => return Ok(false),
            Fenced::Exists => {
                self.release_claim(&claim, DirectoryEntries::Keep).await?;
                return Ok(false);
            }
        }
        self.unlink_all(&claim).await?;
        self.release_claim(&claim, DirectoryEntries::Remove).await?;
        Ok(true)
    }

    /// Removes every key of the room, the tokens last.
    async fn unlink_all(&self, claim: &ImportClaim) -> Result<(), LedgerError> {
        let keys = RoomKeys(&claim.room);
        let mut cursor = String::from("0");
        loop {
            let (next, found) = self.connections.run(|redis| scan(redis, cursor, keys.pattern())).await?;
            let mut writes = Writes::default();
            for key in found {
                let unit = keys.partition_of(&key).map_or(Unit::Room, Unit::Partition);
                if key != unit.claim(&claim.room) {
                    writes.add(unit, key, "UNLINK", []);
                }
            }
            self.connections.change(|mut redis| async move { carry_out(&mut redis, claim, &writes).await }).await?;
            if next == "0" {
                break;
            }
            cursor = next;
        }
        let mut tokens = Writes::default();
        Unit::of(claim).for_each(|unit| tokens.add(unit, unit.claim(&claim.room), "UNLINK", []));
        self.connections.change(|mut redis| async move { carry_out(&mut redis, claim, &tokens).await }).await
    }
}
