//! Room records, and the directory of codes and `ref`s that leads to them.
//!
//! `seq` is stored beside the record, where a script can read it. The `seq` inside the JSON is that of the version
//! before.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::keys::{CODES, IMPORTS, REFS, RoomKeys, control_channel};
use super::ledger::RedisLedger;
use super::purge::unlink_matching;
use super::{error, job_hints, jobs, scripts};
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::ledger::{Creation, LedgerError, Listing, Replacement, RoomStore, Unreadable};

#[async_trait]
impl RoomStore for RedisLedger {
    /// The `ref` of a deleted room can be used again.
    async fn create_room(&self, room: &Room) -> Result<Creation, LedgerError> {
        match self.create_once(room).await? {
            Creation::RefTaken(owner) if owner.deleted_at.is_some() => {
                self.take_reference_from(&owner).await?;
                self.create_once(room).await
            }
            creation => Ok(creation),
        }
    }

    async fn rooms(&self) -> Result<Listing, LedgerError> {
        let read = |mut redis: MultiplexedConnection| async move {
            let codes: Vec<(String, String)> = redis.hgetall(CODES).await?;
            let reads = try_join_all(codes.iter().map(|(_, id)| read_listed(redis.clone(), id))).await?;
            let mut listing = Listing::default();
            for ((code, id), read) in codes.iter().zip(reads) {
                match read {
                    Ok(room) => listing.rooms.extend(room),
                    Err(why) => {
                        listing.unreadable.push(Unreadable { id: id.clone(), code: RoomCode::parse(code).ok(), why });
                    }
                }
            }
            Ok(listing)
        };
        self.connections.run(read).await
    }

    async fn find_room(&self, code: &RoomCode) -> Result<Option<Room>, LedgerError> {
        let find = |mut redis: MultiplexedConnection| async move {
            let id: Option<String> = redis.hget(CODES, code.as_str()).await?;
            let Some(id) = id else { return Ok(None) };
            let id = RoomId::parse(&id).map_err(|_| error::corrupt("invalid room id", CODES))?;
            match read_room(&mut redis, &id).await? {
                None if !is_importing(&mut redis, id.as_str()).await? => {
                    Err(error::corrupt("entry of a room that does not exist", CODES))
                }
                room => Ok(room),
            }
        };
        self.connections.run(find).await
    }

    async fn room(&self, id: &RoomId) -> Result<Option<Room>, LedgerError> {
        self.connections.run(|mut redis| async move { read_room(&mut redis, id).await }).await
    }

    async fn replace_room(&self, room: &Room, jobs: &[Job]) -> Result<Replacement, LedgerError> {
        let json = encode_room(room)?;
        let channel = control_channel(self.connections.database());
        let jobs = jobs::encode(jobs)?;
        let replace = |mut redis: MultiplexedConnection| async move {
            let keys = RoomKeys(&room.id);
            let key = keys.record();
            let mut call = scripts::REPLACE_ROOM.key(&key);
            call.key(keys.jobs()).key(keys.job_ids());
            call.arg(room.seq).arg(&json).arg(&channel).arg(room.id.as_str()).arg(&jobs);
            if !jobs.is_empty() {
                job_hints::add(&mut redis, &[room.id.to_string()]).await?;
            }
            let (outcome, seq, record): (String, u64, String) = call.invoke_async(&mut redis).await?;
            match outcome.as_str() {
                "stored" => Ok(Replacement::Stored(decode_room(&room.id, seq, &record)?)),
                "changed" => Ok(Replacement::Changed(decode_room(&room.id, seq, &record)?)),
                _ => Err(LedgerError::NotApplied(format!("there is no room {}", room.id))),
            }
        };
        self.connections.change(replace).await
    }

    /// The record and the jobs go last: as long as they exist, an interrupted purge can be started again.
    async fn purge_room(&self, room: &Room) -> Result<(), LedgerError> {
        let keys = RoomKeys(&room.id);
        let last = [keys.record(), keys.jobs(), keys.job_ids()];
        unlink_matching(&self.connections, &keys.pattern(), |key| !last.contains(key)).await?;
        let finish = |mut redis: MultiplexedConnection| async move {
            let mut release = scripts::RELEASE_CODE.key(CODES);
            release.key(REFS).arg(room.id.as_str()).arg(room.code.as_str());
            if let Some(reference) = &room.reference {
                release.arg(reference);
            }
            let () = release.invoke_async(&mut redis).await?;
            Ok(redis.unlink::<_, ()>(&last).await?)
        };
        self.connections.change(finish).await
    }
}

impl RedisLedger {
    /// Stores the record first, then its entry in the directory: a crash in between leaves a record that nothing leads
    /// to. The same room again changes nothing, and is answered as it is stored.
    async fn create_once(&self, room: &Room) -> Result<Creation, LedgerError> {
        let json = encode_room(room)?;
        let create = |mut redis: MultiplexedConnection| async move {
            let key = RoomKeys(&room.id).record();
            let (seq, record): (u64, String) =
                scripts::CREATE_ROOM.key(&key).arg(&json).arg(room.seq).invoke_async(&mut redis).await?;
            let stored = decode_room(&room.id, seq, &record)?;
            let mut claim = scripts::CLAIM_CODE.key(CODES);
            claim.key(REFS).arg(stored.id.as_str()).arg(stored.code.as_str());
            if let Some(reference) = &stored.reference {
                claim.arg(reference);
            }
            let (outcome, owner): (String, String) = claim.invoke_async(&mut redis).await?;
            if outcome == "claimed" {
                return Ok(Creation::Created(stored));
            }
            // nothing leads to the record, so nobody has seen it
            let () = redis.unlink(&key).await?;
            if outcome == "code_taken" {
                return Ok(Creation::CodeTaken);
            }
            let owner = RoomId::parse(&owner).map_err(|_| error::corrupt("invalid room id", REFS))?;
            match read_room(&mut redis, &owner).await? {
                Some(owner) => Ok(Creation::RefTaken(owner)),
                None if is_importing(&mut redis, owner.as_str()).await? => {
                    Err(LedgerError::NotApplied("a room with this ref is being imported; try again later".into()))
                }
                None => Err(error::corrupt("entry of a room that does not exist", REFS)),
            }
        };
        self.connections.change(create).await
    }

    /// Removes the `ref` from a deleted room, so that another room can have it. If the room is restored, it has none.
    pub(super) async fn take_reference_from(&self, owner: &Room) -> Result<(), LedgerError> {
        let Some(reference) = &owner.reference else { return Ok(()) };
        let without = Room { reference: None, ..owner.clone() };
        if let Replacement::Changed(_) = self.replace_room(&without, &[]).await? {
            return Err(LedgerError::NotApplied("the deleted room with this ref has just changed".into()));
        }
        let mut release = scripts::RELEASE_CODE.key(REFS);
        release.arg(owner.id.as_str()).arg(reference);
        let release = |mut redis: MultiplexedConnection| async move { Ok(release.invoke_async(&mut redis).await?) };
        self.connections.change(release).await
    }
}

async fn is_importing(redis: &mut MultiplexedConnection, id: &str) -> Result<bool, LedgerError> {
    Ok(redis.hexists(IMPORTS, id).await?)
}

/// Reads one room of the directory: the room, `None` if it is being imported, or why it cannot be read.
async fn read_listed(mut redis: MultiplexedConnection, id: &str) -> Result<Result<Option<Room>, String>, LedgerError> {
    let read = match RoomId::parse(id) {
        Ok(id) => read_room(&mut redis, &id).await,
        Err(_) => Err(error::corrupt("invalid room id", CODES)),
    };
    match read {
        Ok(None) if !is_importing(&mut redis, id).await? => Ok(Err("its record is gone".to_owned())),
        Ok(room) => Ok(Ok(room)),
        Err(LedgerError::Corrupt(why)) => Ok(Err(why)),
        Err(error) => Err(error),
    }
}

async fn read_room(redis: &mut MultiplexedConnection, id: &RoomId) -> Result<Option<Room>, LedgerError> {
    let key = RoomKeys(id).record();
    let (seq, record): (Option<u64>, Option<String>) = redis.hmget(&key, &["seq", "record"]).await?;
    match (seq, record) {
        (None, None) => Ok(None),
        (Some(seq), Some(record)) => decode_room(id, seq, &record).map(Some),
        _ => Err(error::corrupt("half a room record", &key)),
    }
}

pub(super) fn encode_room(room: &Room) -> Result<String, LedgerError> {
    serde_json::to_string(room).map_err(|e| LedgerError::NotApplied(format!("room {} cannot be encoded: {e}", room.id)))
}

/// Decodes and validates a room record. All records are read by this function.
pub(super) fn decode_room(id: &RoomId, seq: u64, record: &str) -> Result<Room, LedgerError> {
    let corrupt = |what: String| error::corrupt(&what, RoomKeys(id).record());
    let room: Room = serde_json::from_str(record).map_err(|e| corrupt(format!("invalid room record ({e})")))?;
    let room = Room { seq, ..room };
    room.validate().map_err(|e| corrupt(format!("invalid room record ({e})")))?;
    if room.id == *id { Ok(room) } else { Err(corrupt(format!("the record of room {}", room.id))) }
}
