//! The casts that wait for a partition's next commit. The queue is bounded, and while a ledger stalls it drops the casts
//! that were answered `busy` meanwhile: their clients send them again.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use prometheus::IntGauge;

use crate::actors::in_flight::OVERDUE;
use crate::actors::messages::{Cast, CastOutcome, ReplyTo};
use crate::ledger::{Batch, MAX_CASTS};
use crate::traces::CastTrace;

/// Casts that may wait for one partition: about what a stalled ledger commits in its first minute back. One takes some
/// 250 bytes, so this is 8 MB.
const MAX_WAITING: usize = 32 * MAX_CASTS;

/// See the [module](self).
///
/// # Invariants
/// Casts lie in the order in which they were received, to within one turn of a thread.
pub(super) struct CommitQueue {
    waiting: VecDeque<Cast>,
    /// Casts in the queues of all rooms and partitions of this process.
    gauge: IntGauge,
}

impl CommitQueue {
    /// An empty queue that adds to `gauge`.
    pub fn new(gauge: IntGauge) -> Self {
        Self { waiting: VecDeque::new(), gauge }
    }

    /// True if no cast waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a cast at the end.
    ///
    /// # Errors
    /// The queue is full; the cast comes back.
    pub fn push(&mut self, cast: Cast) -> Result<(), Cast> {
        if self.waiting.len() == MAX_WAITING {
            return Err(cast);
        }
        self.waiting.push_back(cast);
        self.gauge.inc();
        Ok(())
    }

    /// Drops the casts that have waited for [`OVERDUE`]. Those of sockets were answered `busy` by the registry's sweep,
    /// those of callers over HTTP are answered here.
    pub fn drop_overdue(&mut self, now: Instant) {
        let is_overdue = |cast: &Cast| now.saturating_duration_since(cast.asked_at) >= OVERDUE;
        while let Some(cast) = self.waiting.pop_front_if(|cast| is_overdue(cast)) {
            self.gauge.dec();
            if let ReplyTo::Caller(caller) = cast.reply_to {
                // a caller that has hung up needs no answer
                let _ = caller.send(CastOutcome::Busy);
            }
        }
    }

    /// Takes the casts that can be committed together: of one round and take, at most one of each voter, at most as many
    /// as a batch holds. The others keep their order. `acknowledged` is as in [`Batch`]. Returns, beside the batch, who
    /// asked, in the same order, and the traces of the casts that are traced.
    pub fn next_batch(&mut self, acknowledged: u64) -> (Batch, Vec<ReplyTo>, Vec<CastTrace>) {
        let (round, take) = self.waiting.front().map_or((0, 0), |first| (first.round, first.take));
        let mut batch = Batch::new(round, take, acknowledged);
        let (mut reply_to, mut traced, mut rest) = (vec![], vec![], VecDeque::new());
        // voters with a cast that has to wait: their later ones wait behind it, whatever round they are for
        let mut held = HashSet::new();
        while !batch.is_full()
            && let Some(cast) = self.waiting.pop_front()
        {
            let fits = (cast.round, cast.take) == (round, take) && !held.contains(&cast.voter);
            if fits && batch.push(&cast.voter, &cast.votes) {
                reply_to.push(cast.reply_to);
                traced.extend(cast.trace);
            } else {
                held.insert(cast.voter.clone());
                rest.push_back(cast);
            }
        }
        rest.append(&mut self.waiting);
        self.waiting = rest;
        self.gauge.sub(reply_to.len() as i64);
        (batch, reply_to, traced)
    }
}

impl Drop for CommitQueue {
    fn drop(&mut self) {
        self.gauge.sub(self.waiting.len() as i64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::domain::ballot::Cast as Votes;
    use crate::domain::ids::VoterId;

    fn cast(voter: &str, round: u16, asked_at: Instant) -> (Cast, oneshot::Receiver<CastOutcome>) {
        let (answer, receiver) = oneshot::channel();
        let votes = Votes::parse(1, "a".into()).unwrap();
        let reply_to = ReplyTo::Caller(answer);
        (
            Cast { voter: VoterId::parse(voter).unwrap(), round, take: 1, votes, reply_to, asked_at, trace: None },
            receiver,
        )
    }

    fn queue_of(casts: impl IntoIterator<Item = Cast>) -> CommitQueue {
        let mut queue = CommitQueue::new(IntGauge::new("waiting", "waiting").unwrap());
        for cast in casts {
            assert!(queue.push(cast).is_ok());
        }
        queue
    }

    fn names(batch: &Batch) -> Vec<&str> {
        batch.casts().iter().map(|(voter, _)| voter.as_str()).collect()
    }

    #[test]
    fn a_batch_holds_each_voter_once_and_keeps_the_order_of_the_rest() {
        let casts = [("anna", 1), ("bela", 1), ("anna", 1), ("cleo", 2), ("cleo", 1), ("dora", 1)];
        let mut queue = queue_of(casts.map(|(voter, round)| cast(voter, round, Instant::now()).0));
        let (batch, reply_to, _) = queue.next_batch(0);
        assert_eq!(names(&batch), ["anna", "bela", "dora"]);
        assert_eq!(reply_to.len(), 3);
        let batch = queue.next_batch(0).0;
        assert_eq!((names(&batch), batch.round), (vec!["anna"], 1));
        let batch = queue.next_batch(0).0;
        assert_eq!((names(&batch), batch.round), (vec!["cleo"], 2));
        let batch = queue.next_batch(0).0;
        assert_eq!((names(&batch), batch.round), (vec!["cleo"], 1));
        assert!(queue.is_empty());
        assert_eq!(queue.gauge.get(), 0);
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut queue = queue_of((0..2_500).map(|n| cast(&format!("v{n}"), 1, Instant::now()).0));
        let sizes = [(); 3].map(|()| queue.next_batch(0).0.casts().len());
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }

    #[test]
    fn an_overdue_cast_is_answered_busy_and_dropped() {
        let start = Instant::now();
        let (old, mut answer) = cast("anna", 1, start);
        let (new, _receiver) = cast("anna", 1, start + Duration::from_millis(4_000));
        let mut queue = queue_of([old, new]);
        queue.drop_overdue(start + OVERDUE - Duration::from_millis(1));
        assert_eq!(queue.gauge.get(), 2, "it is not overdue yet");
        queue.drop_overdue(start + OVERDUE);
        assert_eq!(queue.gauge.get(), 1);
        assert_eq!(answer.try_recv(), Ok(CastOutcome::Busy));
        assert_eq!(names(&queue.next_batch(0).0), ["anna"]);
    }

    #[test]
    fn a_full_queue_gives_the_cast_back() {
        let now = Instant::now();
        let mut queue = queue_of((0..MAX_WAITING).map(|_| cast("anna", 1, now).0));
        assert!(queue.push(cast("bela", 1, now).0).is_err_and(|cast| cast.voter.as_str() == "bela"));
        queue.next_batch(0);
        assert!(queue.push(cast("bela", 1, now).0).is_ok());
    }
}
