//! Jobs: a stream for each room, with one group of workers, and the ids of all jobs that were ever stored.
//!
//! A job is stored where its room is, by the script that causes it, and the rooms are many. So that a worker need not
//! ask each of them, the directory keeps a hint: the rooms that have jobs. A room is noted there *before* its job is
//! stored, and dropped when it has none and was noted longer ago than any call takes. Whatever is wrong with the hint
//! (it lies elsewhere than the jobs, so a failover may lose it alone; earlier versions did not write it) is put right
//! by a look at all rooms, with the first call and then each minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::keys::{CODES, ROOMS_WITH_JOBS, RoomKeys};
use super::link::Link;
use super::{fault, scripts};
use crate::domain::LedgerMs;
use crate::domain::ids::RoomId;
use crate::domain::jobs::Job;
use crate::ledger::{Backlog, LedgerError, TakenJob};

/// Name of the group.
const WORKERS: &str = "workers";
/// Several times as long as a call may take, in ms: a room that was noted longer ago has got its job, or gets none.
const ON_ITS_WAY_MS: u64 = 10_000;

/// An entry of a stream: its id, and its fields.
type Entry = (String, Vec<(String, String)>);

/// When all rooms were last looked at.
pub(super) struct AllRooms {
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl AllRooms {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, last: Mutex::new(None) }
    }

    fn are_due(&self) -> bool {
        self.last.lock().expect("the lock is never poisoned").is_none_or(|last| last.elapsed() >= self.every)
    }

    fn were_seen(&self, when: Instant) {
        *self.last.lock().expect("the lock is never poisoned") = Some(when);
    }
}

/// Ids and JSON, as the scripts take them.
pub(super) fn texts(jobs: &[Job]) -> Result<Vec<String>, LedgerError> {
    let mut texts = Vec::with_capacity(jobs.len() * 2);
    for job in jobs {
        let json = serde_json::to_string(job)
            .map_err(|e| LedgerError::NotApplied(format!("job {} has no JSON: {e}", job.id)))?;
        texts.extend([job.id.clone(), json]);
    }
    Ok(texts)
}

/// Notes rooms that have jobs, or are about to: comes before any job is stored.
pub(super) async fn mention(redis: &mut MultiplexedConnection, rooms: &[String]) -> Result<(), LedgerError> {
    if rooms.is_empty() {
        return Ok(());
    }
    Ok(scripts::MENTION_JOBS.key(ROOMS_WITH_JOBS).arg(rooms).invoke_async(redis).await?)
}

/// Drops rooms that were found without jobs.
async fn forget(redis: &mut MultiplexedConnection, rooms: &[String]) -> Result<(), LedgerError> {
    if rooms.is_empty() {
        return Ok(());
    }
    Ok(scripts::FORGET_JOBS.key(ROOMS_WITH_JOBS).arg(ON_ITS_WAY_MS).arg(rooms).invoke_async(redis).await?)
}

pub(super) async fn enqueue(link: &Link, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError> {
    let texts = texts(jobs)?;
    let keys = RoomKeys(room);
    let mut call = scripts::ENQUEUE.key(keys.jobs());
    call.key(keys.job_ids()).arg(texts);
    link.change(|mut redis| async move {
        mention(&mut redis, &[room.to_string()]).await?;
        Ok(call.invoke_async(&mut redis).await?)
    })
    .await
}

/// One command, as long as no room has jobs and not all rooms are due.
pub(super) async fn backlog(link: &Link, all: &AllRooms) -> Result<Vec<Backlog>, LedgerError> {
    let began = Instant::now();
    let all_are_due = all.are_due();
    let found = link
        .run(|mut redis| async move {
            let rooms: Vec<String> = match all_are_due {
                true => redis.hvals(CODES).await?,
                false => redis.zrange(ROOMS_WITH_JOBS, 0, -1).await?,
            };
            let found = try_join_all(rooms.iter().map(|room| of_room(redis.clone(), room))).await?;
            let (busy, idle): (Vec<_>, Vec<_>) = rooms.iter().zip(&found).partition(|(_, backlog)| backlog.is_some());
            let ids = |rooms: Vec<(&String, _)>| rooms.into_iter().map(|(room, _)| room.clone()).collect::<Vec<_>>();
            match all_are_due {
                true => mention(&mut redis, &ids(busy)).await?,
                false => forget(&mut redis, &ids(idle)).await?,
            }
            Ok(found.into_iter().flatten().collect())
        })
        .await?;
    if all_are_due {
        all.were_seen(began);
    }
    Ok(found)
}

async fn of_room(mut redis: MultiplexedConnection, room: &str) -> Result<Option<Backlog>, LedgerError> {
    let Ok(room) = RoomId::parse(room) else { return Ok(None) };
    let key = RoomKeys(&room).jobs();
    let mut read = redis::pipe();
    read.cmd("XLEN").arg(&key).cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
    let (waiting, first): (u64, Vec<Entry>) = match read.query_async(&mut redis).await.map_err(LedgerError::from) {
        // whoever takes a job that makes no sense is told so; other rooms have theirs
        Err(LedgerError::Corrupt(_)) => return Ok(Some(Backlog { room, waiting: 1, since: LedgerMs::MAX })),
        read => read?,
    };
    // an entry's id begins with the time when it was stored
    let since = first.first().and_then(|(entry, _)| entry.split('-').next()?.parse().ok());
    Ok(since.map(|since| Backlog { room, waiting, since }))
}

pub(super) async fn take(
    link: &Link,
    room: &RoomId,
    worker: &str,
    lease: std::time::Duration,
) -> Result<Option<TakenJob>, LedgerError> {
    let key = RoomKeys(room).jobs();
    let mut call = scripts::TAKE_JOB.key(&key);
    call.arg(worker).arg(lease.as_millis() as u64);
    let taken: Vec<String> = link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await?;
    let [entry, json, attempts] = taken.as_slice() else { return Ok(None) };
    let job = serde_json::from_str(json).map_err(|e| fault::corrupt(&format!("no job ({e})"), &key))?;
    let attempts = attempts.parse().map_err(|_| fault::corrupt("no number of attempts", &key))?;
    Ok(Some(TakenJob { entry: entry.clone(), job, attempts }))
}

pub(super) async fn finish(link: &Link, room: &RoomId, job: &TakenJob) -> Result<(), LedgerError> {
    let key = RoomKeys(room).jobs();
    link.change(|mut redis| async move {
        let mut finish = redis::pipe();
        finish.atomic().cmd("XACK").arg(&key).arg(WORKERS).arg(&job.entry).ignore();
        finish.cmd("XDEL").arg(&key).arg(&job.entry).ignore();
        Ok(finish.query_async(&mut redis).await?)
    })
    .await
}
