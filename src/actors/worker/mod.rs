//! `Worker`: does jobs. One for each process of role `all` or `worker`.
//!
//! In: the ledger's backlog, read each second. Out: posts to the chat webhook, seals, archives, purges; twice a minute it
//! also takes back imports that were cut off. Nobody sends to its mailbox but itself.
//!
//! **At least once**: a job is taken under a lease, done, and then removed. A worker that dies or fails in between leaves
//! it to the next one, so a job may be done twice, under the same id. An archive replaces the one before, a take is sealed
//! once and a purge resumes where it was, so only a webhook's receiver can see a repeat.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::pod::{AbortOnPanic, Pod};
use crate::audit;
use crate::domain::Refused;
use crate::domain::command::Command;
use crate::domain::ids::RoomId;
use crate::domain::jobs::{Job, Task};
use crate::domain::room::Room;
use crate::ledger::archive::Archive;
use crate::ledger::execute::{ExecuteError, HashedBallots, execute, hash_ballots, run_blocking};
use crate::ledger::{LedgerError, TakenJob};

mod webhook;

pub use webhook::Webhook;

/// Between two reads of the backlog.
const TICK: Duration = Duration::from_secs(1);
/// Between two searches for imports that were cut off.
const SWEEP: Duration = Duration::from_secs(30);
/// A job is given up after this many attempts.
const MAX_ATTEMPTS: u64 = 20;

/// How a worker does its jobs.
#[derive(Clone)]
pub struct WorkerOptions {
    /// The chat that is told; `None`: no chat.
    pub webhook: Option<Webhook>,
    /// Directory of the archives; `None`: none are kept.
    pub export_dir: Option<PathBuf>,
    /// For how long a taken job is kept from other workers.
    pub lease: Duration,
}

/// See [module](self).
pub struct Worker {
    pod: Arc<Pod>,
    options: Arc<WorkerOptions>,
    working: bool,
    /// When imports that were cut off were last looked for.
    swept: Option<Instant>,
    _abort_on_panic: AbortOnPanic,
}

impl Worker {
    /// Starts it on the calling thread.
    pub fn begin(pod: Arc<Pod>, options: WorkerOptions) -> Addr<Self> {
        Self { pod, options: Arc::new(options), working: false, swept: None, _abort_on_panic: AbortOnPanic("worker") }
            .start()
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.working || self.pod.health.is_draining() {
            return;
        }
        self.working = true;
        let sweep = self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP);
        if sweep {
            self.swept = Some(Instant::now());
        }
        let (pod, options) = (self.pod.clone(), self.options.clone());
        let round = async move {
            if sweep {
                sweep_imports(&pod).await;
            }
            work(pod, options).await;
        };
        ctx.spawn(round.into_actor(self).map(|(), worker, _| worker.working = false));
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, Self::tick);
    }
}

/// Takes back imports whose process has gone.
async fn sweep_imports(pod: &Pod) {
    match pod.ledger.sweep_imports().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "imports that were cut off were taken back"),
        Err(error) => tracing::warn!(%error, "imports that were cut off cannot be looked for"),
    }
}

/// Does the jobs that wait, room by room.
async fn work(pod: Arc<Pod>, options: Arc<WorkerOptions>) {
    let backlog = match pod.ledger.backlog().await {
        Ok(backlog) => backlog,
        Err(error) => return tracing::warn!(%error, "the jobs cannot be read"),
    };
    pod.metrics.jobs_waiting.set(backlog.iter().map(|backlog| backlog.waiting as i64).sum());
    let oldest = backlog.iter().map(|backlog| pod.clock.now().saturating_sub(backlog.since)).max().unwrap_or_default();
    pod.metrics.oldest_job.set(oldest as f64 / 1_000.0);
    for backlog in backlog {
        // no more than waited at first: a job that keeps failing must not keep other rooms waiting
        for _ in 0..backlog.waiting {
            if pod.health.is_draining() {
                return;
            }
            match pod.ledger.take_job(&backlog.room, &pod.name, options.lease).await {
                Ok(Some(taken)) => {
                    pod.metrics.jobs_running.inc();
                    run_job(&pod, &options, &backlog.room, taken).await;
                    pod.metrics.jobs_running.dec();
                }
                Ok(None) => break,
                // other rooms have jobs too
                Err(error @ LedgerError::Corrupt(_)) => {
                    pod.quarantine.log_once(
                        &backlog.room,
                        "a job of a room is not valid, so the room's jobs wait",
                        &error,
                    );
                    break;
                }
                Err(error) => return tracing::warn!(%error, "a job cannot be taken"),
            }
        }
    }
}

/// Does one job and removes it, unless it must be tried again.
async fn run_job(pod: &Arc<Pod>, options: &WorkerOptions, room: &RoomId, taken: TakenJob) {
    let (id, kind, attempts) = (taken.job.id.as_str(), taken.job.task.kind(), taken.attempts);
    let span = pod.traces.job(room, kind, attempts);
    let performed = perform(pod, options, room, &taken.job).await;
    if let Some(span) = span {
        span.end(if performed.is_ok() { "done" } else { "failed" });
    }
    match performed {
        Ok(()) => {
            pod.metrics.jobs_done.with_label_values(&[kind]).inc();
            audit!("job_done", job = id, kind, attempts);
        }
        Err(error) => {
            pod.metrics.jobs_failed.with_label_values(&[kind]).inc();
            let give_up = attempts >= MAX_ATTEMPTS;
            tracing::warn!(job = id, kind, attempts, give_up, error = format!("{error:#}"), "a job failed");
            if !give_up {
                return;
            }
        }
    }
    if let Err(error) = pod.ledger.finish_job(room, &taken).await {
        // it is done once more, under the same id
        tracing::warn!(job = id, kind, %error, "a job that is done could not be struck off");
    }
}

async fn perform(pod: &Arc<Pod>, options: &WorkerOptions, room: &RoomId, job: &Job) -> anyhow::Result<()> {
    match (&job.task, &options.webhook, &options.export_dir) {
        (Task::Message { text }, Some(webhook), _) => webhook.post(&job.id, text).await,
        (Task::Seal, ..) => seal(pod, room).await,
        (Task::Archive, _, Some(folder)) => keep_archive(pod, room, folder.clone()).await,
        (Task::Purge { seq }, ..) => purge(pod, room, *seq).await,
        // nobody wants to know, so it is done
        (Task::Message { .. }, None, _) | (Task::Archive, _, None) => Ok(()),
    }
}

/// Seals every closed take that has no seal, in the order of the closes. If another worker does the same, each seal is still
/// stored once: the record takes it only if it is the next.
async fn seal(pod: &Arc<Pod>, id: &RoomId) -> anyhow::Result<()> {
    while let Some(room) = pod.ledger.room(id).await?
        && let Some((round, take)) = room.next_to_seal()
    {
        let (ledger, salts, record) = (pod.ledger.clone(), pod.token_key(&room).salts(), room.clone());
        let hashed = run_blocking(async move { hash_ballots(&*ledger, &record, (round, take), &salts).await });
        let HashedBallots { tree, tally } = hashed.await?;
        let known = room.round(round).and_then(|round| round.takes.iter().find(|known| known.take == take));
        if known.is_some_and(|known| (&known.tally.votes, known.tally.voters) != (&tally.votes, tally.voters)) {
            // sealed all the same: the seal covers both, so the difference stays visible, and later takes are sealed too
            let what = format!("the ballots of round {round}, take {take} do not add up to its record; audit the room");
            raise_alarm(pod, &room, &format!("ballots-{round}-{take}"), &what).await;
        }
        let command = Command::Seal { round, take, root: tree.root(), leaves: tree.size() };
        match execute(&pod.ledger, id, &command).await {
            Err(ExecuteError::NoSuchRoom) => break,
            executed => executed?,
        };
    }
    Ok(())
}

/// Puts a room's archive in the place of the one before.
async fn keep_archive(pod: &Arc<Pod>, room: &RoomId, folder: PathBuf) -> anyhow::Result<()> {
    let Some(record) = pod.ledger.room(room).await? else { return Ok(()) };
    let (ledger, key, id) = (pod.ledger.clone(), pod.token_key(&record), room.clone());
    let text =
        run_blocking(async move { Ok::<_, ExecuteError>(Archive::of(&*ledger, &id, key.expose()).await?.write()?) });
    let text = text.await?;
    let name = format!("{}.ndjson", record.code);
    tokio::task::spawn_blocking(move || crate::atomic_file::replace(&folder.join(name), text.as_bytes())).await??;
    Ok(())
}

async fn purge(pod: &Arc<Pod>, room: &RoomId, seq: u64) -> anyhow::Result<()> {
    match execute(&pod.ledger, room, &Command::BeginPurge { seq }).await {
        Ok(snapshot) => {
            pod.ledger.purge_room(&snapshot.room).await?;
            audit!("purged", room = %room, code = %snapshot.room.code, title = %snapshot.room.title);
            Ok(())
        }
        Err(ExecuteError::NoSuchRoom) => Ok(()),
        Err(ExecuteError::Refused(refused @ Refused::NotPurgeable)) => {
            tracing::warn!(room = %room, %refused, "a purge was not done");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Raises an alarm about a room, once for each `occasion` over all processes. A process for the audience logs it and stores
/// nothing, because it may not write jobs.
pub async fn raise_alarm(pod: &Pod, room: &Room, occasion: &str, what: &str) {
    tracing::error!(room = %room.id, occasion, what, "ALARM");
    if !pod.keeps_records {
        return;
    }
    if let Err(error) = pod.ledger.enqueue(&room.id, &[Job::alarm(room, occasion, what)]).await {
        tracing::warn!(room = %room.id, %error, "an alarm could not be stored");
    }
}
