//! Jobs as the ledger keeps them: a queue for each room.

use std::time::Duration;

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::LedgerMs;
use crate::domain::ids::RoomId;
use crate::domain::jobs::Job;

/// The jobs of a room that are not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The room.
    pub room: RoomId,
    /// How many jobs, taken ones included.
    pub waiting: u64,
    /// When the oldest of them was stored; [`LedgerMs::MAX`] if that is not known.
    pub since: LedgerMs,
}

/// A job that a worker has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenJob {
    /// Where the ledger keeps it.
    pub entry: String,
    /// The job.
    pub job: Job,
    /// How often it was taken, this time included.
    pub attempts: u64,
}

/// The job queues of all rooms.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Stores jobs of a room. A job whose id was ever stored before is left out.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn enqueue(&self, room: &RoomId, jobs: &[Job]) -> Result<(), LedgerError>;

    /// Rooms that have jobs. In a ledger of several servers a room may be missing for a minute after a failover that
    /// lost data.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn backlog(&self) -> Result<Vec<Backlog>, LedgerError>;

    /// Takes the oldest job of a room that is free, or was taken longer than `lease` ago.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn take_job(&self, room: &RoomId, worker: &str, lease: Duration) -> Result<Option<TakenJob>, LedgerError>;

    /// Removes a job that is done. Its id is kept.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn finish_job(&self, room: &RoomId, job: &TakenJob) -> Result<(), LedgerError>;
}
