//! One partition of a room: what waits for its next commit, what is under way, and what is to be snapshot afterwards.

use super::commit_queue::CommitQueue;
use crate::ledger::PartitionWriter;
use crate::metrics::Metrics;

/// The way to one partition's gate, and who waits for it.
pub(super) struct Partition {
    /// Away while a commit is under way.
    pub(super) writer: Option<Box<dyn PartitionWriter>>,
    pub(super) waiting: CommitQueue,
    /// Slips of this partition stored anew whose reply came, since the start.
    pub(super) acknowledged: u64,
    /// As much of `acknowledged` as the ledger was told.
    pub(super) reported: u64,
    /// The version of a commit that was not published yet.
    pub(super) unpublished: Option<u64>,
    /// Pending is armed.
    pub(super) pending: Option<Pending>,
}

impl Partition {
    pub(super) fn new(writer: Box<dyn PartitionWriter>, metrics: &Metrics) -> Self {
        Self {
            writer: Some(writer),
            waiting: CommitQueue::new(metrics.casts_waiting.clone()),
            acknowledged: 0,
            reported: 0,
            unpublished: None,
            pending: None,
        }
    }
}

/// What a writer is to settle when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// Publish the counts of this version: a tick after its commit, unless somebody does so meanwhile.
    Publish(u64),
    /// Report what was acknowledged. Nobody waits for that, and the next commit carries it anyway.
    Report,
}
