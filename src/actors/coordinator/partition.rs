//! One partition of a room: what waits for its next commit, what is under way, and what is to be settled afterwards.

use super::commit_queue::CommitQueue;
use crate::ledger::Lane;
use crate::metrics::Metrics;

/// The way to one partition's gate, and who waits for it.
pub(super) struct Partition {
    /// Away while a commit is under way.
    pub(super) lane: Option<Box<dyn Lane>>,
    pub(super) waiting: CommitQueue,
    /// Slips of this partition stored anew whose reply came, since the start.
    pub(super) acknowledged: u64,
    /// As much of `acknowledged` as the ledger was told.
    pub(super) reported: u64,
    /// The version of a commit that was not published yet.
    pub(super) unpublished: Option<u64>,
    /// Settling is armed.
    pub(super) settling: Option<Settling>,
}

impl Partition {
    pub(super) fn new(lane: Box<dyn Lane>, metrics: &Metrics) -> Self {
        Self {
            lane: Some(lane),
            waiting: CommitQueue::new(metrics.casts_waiting.clone()),
            acknowledged: 0,
            reported: 0,
            unpublished: None,
            settling: None,
        }
    }
}

/// What a lane is to settle when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settling {
    /// Publish the counts of this version: a tick after its commit, unless somebody does so meanwhile.
    Publish(u64),
    /// Report what was acknowledged. Nobody waits for that, and the next commit carries it anyway.
    Report,
}
