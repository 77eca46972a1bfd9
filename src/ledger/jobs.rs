//! Jobs as the ledger keeps them, by room.

use crate::domain::LedgerMs;
use crate::domain::ids::RoomId;
use crate::domain::jobs::Job;

/// Jobs of a room that are not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Whose they are.
    pub room: RoomId,
    /// How many.
    pub waiting: u64,
    /// When the oldest of them was stored; [`LedgerMs::MAX`]: what is stored does not say.
    pub since: LedgerMs,
}

/// A job, taken by a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenJob {
    /// Where the ledger keeps it.
    pub entry: String,
    /// The job.
    pub job: Job,
    /// How often it was taken, this time included.
    pub attempts: u64,
}
