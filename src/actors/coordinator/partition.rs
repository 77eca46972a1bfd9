//! What a coordinator knows of one partition of its room.

use super::commit_queue::CommitQueue;
use crate::ledger::PartitionWriter;
use crate::metrics::Metrics;

/// One partition: its writer, the casts that wait for it, and what still has to be told to the ledger.
pub(super) struct Partition {
    /// `None` while a commit or a publish is under way: at most one at a time.
    pub(super) writer: Option<Box<dyn PartitionWriter>>,
    pub(super) queue: CommitQueue,
    /// Slips of this partition that this process has stored anew and got the reply for, since its start.
    pub(super) acknowledged: u64,
    /// The part of `acknowledged` that the ledger was told.
    pub(super) reported: u64,
    /// Version of the newest commit that was not published yet.
    pub(super) unpublished: Option<u64>,
    /// The publish or report for which a timer runs.
    pub(super) scheduled: Option<Pending>,
}

impl Partition {
    /// An idle partition.
    pub(super) fn new(writer: Box<dyn PartitionWriter>, metrics: &Metrics) -> Self {
        Self {
            writer: Some(writer),
            queue: CommitQueue::new(metrics.casts_waiting.clone()),
            acknowledged: 0,
            reported: 0,
            unpublished: None,
            scheduled: None,
        }
    }

    /// What has to be told to the ledger although no cast waits.
    pub(super) fn pending(&self) -> Option<Pending> {
        match self.unpublished {
            Some(version) => Some(Pending::Publish(version)),
            None if self.reported < self.acknowledged => Some(Pending::Report),
            None => None,
        }
    }
}

/// What a partition has to tell the ledger when no further commit does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// Publish the counts of this version, one tick after its commit, unless another process does so before.
    Publish(u64),
    /// Report the number of acknowledged slips. Nobody waits for it, and the next commit carries it anyway.
    Report,
}
