//! The directory's hint which rooms have jobs.
//!
//! A job is stored where its room is, by the script that causes it, and there are many rooms. The hint spares workers
//! from asking each of them. A room is added to it *before* its job is stored, and dropped when it is found without
//! jobs and was added longer ago than any call takes. The hint can be wrong: a failover may lose it alone, because it
//! is stored elsewhere than the jobs, and earlier versions did not write it. So all rooms are asked with the first call
//! and then each minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use super::keys::ROOMS_WITH_JOBS;
use super::scripts;
use crate::ledger::LedgerError;

/// A room that was added this long ago has got its job by now, or never gets it: several times the timeout of a call.
const GRACE_MS: u64 = 10_000;

/// When all rooms were last asked for their jobs.
pub(super) struct FullScans {
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl FullScans {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, last: Mutex::new(None) }
    }

    pub(super) fn is_due(&self) -> bool {
        self.last.lock().expect("the lock is never poisoned").is_none_or(|last| last.elapsed() >= self.every)
    }

    /// Notes a scan that started `at` this time.
    pub(super) fn done(&self, at: Instant) {
        *self.last.lock().expect("the lock is never poisoned") = Some(at);
    }
}

/// Adds rooms that have jobs or are about to get some. Must be called before a job is stored.
pub(super) async fn add(redis: &mut MultiplexedConnection, rooms: &[String]) -> Result<(), LedgerError> {
    if rooms.is_empty() {
        return Ok(());
    }
    Ok(scripts::ADD_JOB_HINTS.key(ROOMS_WITH_JOBS).arg(rooms).invoke_async(redis).await?)
}

/// Drops rooms that were found without jobs, except those that were added a moment ago.
pub(super) async fn drop_idle(redis: &mut MultiplexedConnection, rooms: &[String]) -> Result<(), LedgerError> {
    if rooms.is_empty() {
        return Ok(());
    }
    Ok(scripts::DROP_JOB_HINTS.key(ROOMS_WITH_JOBS).arg(GRACE_MS).arg(rooms).invoke_async(redis).await?)
}
