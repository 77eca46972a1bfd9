//! Jobs: a stream for each room, with one group of workers, and the ids of all jobs that were ever stored.

use futures_util::future::try_join_all;
use redis::AsyncCommands;

use super::keys::{CODES, RoomKeys};
use super::link::Link;
use super::{fault, scripts};
use crate::domain::ids::RoomId;
use crate::domain::jobs::Job;
use crate::ledger::{Backlog, LedgerError, TakenJob};

/// Name of the group.
const WORKERS: &str = "workers";

/// An entry of a stream: its id, and its fields.
type Entry = (String, Vec<(String, String)>);

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

pub(super) async fn enqueue(link: &Link, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError> {
    let texts = texts(jobs)?;
    let keys = RoomKeys(room);
    let mut call = scripts::ENQUEUE.key(keys.jobs());
    call.key(keys.job_ids()).arg(texts);
    link.change(|mut redis| async move { Ok(call.invoke_async(&mut redis).await?) }).await
}

pub(super) async fn backlog(link: &Link) -> Result<Vec<Backlog>, LedgerError> {
    link.run(|mut redis| async move {
        let ids: Vec<String> = redis.hvals(CODES).await?;
        let reads = ids.iter().map(|id| {
            let mut redis = redis.clone();
            async move {
                let room = RoomId::parse(id).map_err(|_| fault::corrupt("no room id", CODES))?;
                let key = RoomKeys(&room).jobs();
                let mut read = redis::pipe();
                read.cmd("XLEN").arg(&key).cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
                let (waiting, first): (u64, Vec<Entry>) = read.query_async(&mut redis).await?;
                // an entry's id begins with the time when it was stored
                let since = first.first().and_then(|(entry, _)| entry.split('-').next()?.parse().ok());
                Ok::<_, LedgerError>(since.map(|since| Backlog { room, waiting, since }))
            }
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    })
    .await
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
