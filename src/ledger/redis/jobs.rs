//! Jobs: a stream for each room with one consumer group, and the ids of all jobs that were ever stored.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::keys::{CODES, ROOMS_WITH_JOBS, RoomKeys};
use super::ledger::RedisLedger;
use super::{error, job_hints, scripts};
use crate::domain::LedgerMs;
use crate::domain::ids::RoomId;
use crate::domain::jobs::Job;
use crate::ledger::{Backlog, JobStore, LedgerError, TakenJob};

/// Name of the consumer group.
const WORKERS: &str = "workers";

/// An entry of a stream: its id, and its fields.
type Entry = (String, Vec<(String, String)>);

#[async_trait]
impl JobStore for RedisLedger {
    async fn enqueue(&self, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError> {
        let encoded = encode(jobs)?;
        let keys = RoomKeys(room);
        let mut call = scripts::ENQUEUE.key(keys.jobs());
        call.key(keys.job_ids()).arg(encoded);
        let enqueue = |mut redis: MultiplexedConnection| async move {
            job_hints::add(&mut redis, &[room.to_string()]).await?;
            Ok(call.invoke_async(&mut redis).await?)
        };
        self.connections.change(enqueue).await
    }

    /// A single command, unless rooms have jobs or a full scan is due.
    async fn backlog(&self) -> Result<Vec<Backlog>, LedgerError> {
        let started = Instant::now();
        let is_full_scan = self.full_scans.is_due();
        let read = |mut redis: MultiplexedConnection| async move {
            let rooms: Vec<String> = match is_full_scan {
                true => redis.hvals(CODES).await?,
                false => redis.zrange(ROOMS_WITH_JOBS, 0, -1).await?,
            };
            let found = try_join_all(rooms.iter().map(|room| room_backlog(redis.clone(), room))).await?;
            let (busy, idle): (Vec<_>, Vec<_>) = rooms.iter().zip(&found).partition(|(_, backlog)| backlog.is_some());
            let ids = |rooms: Vec<(&String, _)>| rooms.into_iter().map(|(room, _)| room.clone()).collect::<Vec<_>>();
            match is_full_scan {
                true => job_hints::add(&mut redis, &ids(busy)).await?,
                false => job_hints::drop_idle(&mut redis, &ids(idle)).await?,
            }
            Ok(found.into_iter().flatten().collect())
        };
        let found = self.connections.run(read).await?;
        if is_full_scan {
            self.full_scans.done(started);
        }
        Ok(found)
    }

    async fn take_job(&self, room: &RoomId, worker: &str, lease: Duration) -> Result<Option<TakenJob>, LedgerError> {
        let key = RoomKeys(room).jobs();
        let mut call = scripts::TAKE_JOB.key(&key);
        call.arg(worker).arg(lease.as_millis() as u64);
        let take = |mut redis: MultiplexedConnection| async move { Ok(call.invoke_async(&mut redis).await?) };
        let taken: Vec<String> = self.connections.change(take).await?;
        let [entry, json, attempts] = taken.as_slice() else { return Ok(None) };
        let job = serde_json::from_str(json).map_err(|e| error::corrupt(&format!("invalid job ({e})"), &key))?;
        let attempts = attempts.parse().map_err(|_| error::corrupt("invalid number of attempts", &key))?;
        Ok(Some(TakenJob { entry: entry.clone(), job, attempts }))
    }

    async fn finish_job(&self, room: &RoomId, job: &TakenJob) -> Result<(), LedgerError> {
        let key = RoomKeys(room).jobs();
        let finish = |mut redis: MultiplexedConnection| async move {
            let mut finish = redis::pipe();
            finish.atomic().cmd("XACK").arg(&key).arg(WORKERS).arg(&job.entry).ignore();
            finish.cmd("XDEL").arg(&key).arg(&job.entry).ignore();
            Ok(finish.query_async(&mut redis).await?)
        };
        self.connections.change(finish).await
    }
}

/// Ids and JSON of jobs, as the scripts take them.
pub(super) fn encode(jobs: &[Job]) -> Result<Vec<String>, LedgerError> {
    let mut encoded = Vec::with_capacity(jobs.len() * 2);
    for job in jobs {
        let json = serde_json::to_string(job)
            .map_err(|e| LedgerError::NotApplied(format!("job {} cannot be encoded: {e}", job.id)))?;
        encoded.extend([job.id.clone(), json]);
    }
    Ok(encoded)
}

async fn room_backlog(mut redis: MultiplexedConnection, room: &str) -> Result<Option<Backlog>, LedgerError> {
    let Ok(room) = RoomId::parse(room) else { return Ok(None) };
    let key = RoomKeys(&room).jobs();
    let mut read = redis::pipe();
    read.cmd("XLEN").arg(&key).cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
    let (waiting, first): (u64, Vec<Entry>) = match read.query_async(&mut redis).await.map_err(LedgerError::from) {
        // the worker that takes a job of this room gets the error; the jobs of other rooms go on
        Err(LedgerError::Corrupt(_)) => return Ok(Some(Backlog { room, waiting: 1, since: LedgerMs::MAX })),
        read => read?,
    };
    // the id of an entry begins with the time when it was stored
    let since = first.first().and_then(|(entry, _)| entry.split('-').next()?.parse().ok());
    Ok(since.map(|since| Backlog { room, waiting, since }))
}
