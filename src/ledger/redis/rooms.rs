//! Room records, and the directory that leads to them.
//!
//! `seq` lies beside the record, where a script can read it; the one inside the JSON is that of the version before.

use futures_util::future::try_join_all;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::keys::{CODES, IMPORTS, REFS, RoomKeys, control_channel};
use super::link::Link;
use super::{fault, jobs, scripts};
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::jobs::Job;
use crate::domain::room::Room;
use crate::ledger::{Creation, LedgerError, Listing, Replacement, Unreadable};

/// The record first, then its entry in the directory: a crash in between leaves a record that nobody knows of. The same
/// room again is a repeat, and answered with what is stored.
pub(super) async fn create(link: &Link, room: &Room) -> Result<Creation, LedgerError> {
    let json = encode(room)?;
    link.change(|mut redis| async move {
        let key = RoomKeys(&room.id).record();
        let (seq, record): (u64, String) =
            scripts::CREATE_ROOM.key(&key).arg(&json).arg(room.seq).invoke_async(&mut redis).await?;
        let stored = decode(&room.id, seq, &record)?;
        let mut claim = scripts::CLAIM_CODE.key(CODES);
        claim.key(REFS).arg(stored.id.as_str()).arg(stored.code.as_str());
        if let Some(reference) = &stored.reference {
            claim.arg(reference);
        }
        let (outcome, owner): (String, String) = claim.invoke_async(&mut redis).await?;
        if outcome == "claimed" {
            return Ok(Creation::Created(stored));
        }
        // its code leads elsewhere, so nobody has ever seen it
        let () = redis.unlink(&key).await?;
        if outcome == "code_taken" {
            return Ok(Creation::CodeTaken);
        }
        let owner = RoomId::parse(&owner).map_err(|_| fault::corrupt("no room id", REFS))?;
        match read(&mut redis, &owner).await? {
            Some(owner) => Ok(Creation::RefTaken(owner)),
            None if is_importing(&mut redis, owner.as_str()).await? => {
                Err(LedgerError::NotApplied("a room with this ref is just being brought in; say it again".into()))
            }
            None => Err(fault::corrupt("a room that is gone", REFS)),
        }
    })
    .await
}

/// Takes its reference from a deleted room: it may be given out again, and the room comes back without it.
pub(super) async fn free_reference(link: &Link, owner: &Room) -> Result<(), LedgerError> {
    let Some(reference) = &owner.reference else { return Ok(()) };
    let without = Room { reference: None, ..owner.clone() };
    if let Replacement::Changed(_) = replace(link, &without, &[]).await? {
        return Err(LedgerError::NotApplied("the deleted room with this ref has just changed".into()));
    }
    let mut release = scripts::RELEASE_CODE.key(REFS);
    release.arg(owner.id.as_str()).arg(reference);
    link.change(|mut redis| async move { Ok(release.invoke_async(&mut redis).await?) }).await
}

/// A room that makes no sense is no reason to do without the others.
pub(super) async fn all(link: &Link) -> Result<Listing, LedgerError> {
    link.run(|mut redis| async move {
        let codes: Vec<(String, String)> = redis.hgetall(CODES).await?;
        let reads = codes.iter().map(|(_, id)| {
            let mut redis = redis.clone();
            async move {
                let parsed = RoomId::parse(id).map_err(|_| fault::corrupt("no room id", CODES));
                match async { read(&mut redis, &parsed?).await }.await {
                    Ok(None) if !is_importing(&mut redis, id).await? => Ok(Err("its record is gone".to_owned())),
                    Ok(room) => Ok(Ok(room)),
                    Err(LedgerError::Corrupt(why)) => Ok(Err(why)),
                    Err(error) => Err(error),
                }
            }
        });
        let mut listing = Listing::default();
        for ((code, id), read) in codes.iter().zip(try_join_all(reads).await?) {
            match read {
                Ok(room) => listing.rooms.extend(room),
                Err(why) => {
                    listing.unreadable.push(Unreadable { id: id.clone(), code: RoomCode::parse(code).ok(), why });
                }
            }
        }
        Ok(listing)
    })
    .await
}

async fn is_importing(redis: &mut MultiplexedConnection, id: &str) -> Result<bool, LedgerError> {
    Ok(redis.hexists(IMPORTS, id).await?)
}

pub(super) async fn find(link: &Link, code: &RoomCode) -> Result<Option<Room>, LedgerError> {
    link.run(|mut redis| async move {
        let id: Option<String> = redis.hget(CODES, code.as_str()).await?;
        let Some(id) = id else { return Ok(None) };
        let id = RoomId::parse(&id).map_err(|_| fault::corrupt("no room id", CODES))?;
        match read(&mut redis, &id).await? {
            None if !is_importing(&mut redis, id.as_str()).await? => Err(fault::corrupt("a room that is gone", CODES)),
            room => Ok(room),
        }
    })
    .await
}

pub(super) async fn get(link: &Link, id: &RoomId) -> Result<Option<Room>, LedgerError> {
    link.run(|mut redis| async move { read(&mut redis, id).await }).await
}

pub(super) async fn replace(link: &Link, room: &Room, jobs: &[Job]) -> Result<Replacement, LedgerError> {
    let json = encode(room)?;
    let channel = control_channel(link.database());
    let texts = jobs::texts(jobs)?;
    link.change(|mut redis| async move {
        let keys = RoomKeys(&room.id);
        let key = keys.record();
        let mut call = scripts::REPLACE_ROOM.key(&key);
        call.key(keys.jobs()).key(keys.job_ids());
        call.arg(room.seq).arg(&json).arg(&channel).arg(room.id.as_str()).arg(&texts);
        if !texts.is_empty() {
            jobs::mention(&mut redis, &[room.id.to_string()]).await?;
        }
        let (outcome, seq, record): (String, u64, String) = call.invoke_async(&mut redis).await?;
        match outcome.as_str() {
            "stored" => Ok(Replacement::Stored(decode(&room.id, seq, &record)?)),
            "changed" => Ok(Replacement::Changed(decode(&room.id, seq, &record)?)),
            _ => Err(LedgerError::NotApplied(format!("there is no room {}", room.id))),
        }
    })
    .await
}

async fn read(redis: &mut MultiplexedConnection, id: &RoomId) -> Result<Option<Room>, LedgerError> {
    let key = RoomKeys(id).record();
    let (seq, record): (Option<u64>, Option<String>) = redis.hmget(&key, &["seq", "record"]).await?;
    match (seq, record) {
        (None, None) => Ok(None),
        (Some(seq), Some(record)) => decode(id, seq, &record).map(Some),
        _ => Err(fault::corrupt("half a room", &key)),
    }
}

pub(super) fn encode(room: &Room) -> Result<String, LedgerError> {
    serde_json::to_string(room).map_err(|e| LedgerError::NotApplied(format!("room {} has no JSON: {e}", room.id)))
}

/// Every record is read by this, and holds to the rules of the domain.
pub(super) fn decode(id: &RoomId, seq: u64, record: &str) -> Result<Room, LedgerError> {
    let corrupt = |what: String| fault::corrupt(&what, RoomKeys(id).record());
    let room: Room = serde_json::from_str(record).map_err(|e| corrupt(format!("no room ({e})")))?;
    let room = Room { seq, ..room };
    room.validate().map_err(|e| corrupt(format!("no room ({e})")))?;
    if room.id == *id { Ok(room) } else { Err(corrupt(format!("the record of room {}", room.id))) }
}
