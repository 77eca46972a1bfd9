//! The casts that wait for a partition's next commit. While a ledger stalls they are answered `busy` elsewhere and sent
//! again, so this queue forgets them then, and it is bounded.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use prometheus::IntGauge;

use crate::actors::in_flight::OVERDUE;
use crate::actors::messages::{Cast, ReplyTo};
use crate::ledger::{Batch, MAX_CASTS};
use crate::traces::CastTrace;

/// Most casts that wait for one partition: what a stalled ledger takes in about a minute once it is back. A cast takes
/// some 250 bytes, so this is 8 MB.
const MAX_WAITING: usize = 32 * MAX_CASTS;

/// See [module](self).
///
/// # Invariants
/// Casts lie in the order in which they were asked, to within one turn of a thread.
pub(super) struct CommitQueue {
    waiting: VecDeque<Cast>,
    /// Casts in the queues of all rooms and partitions of this pod.
    gauge: IntGauge,
}

impl CommitQueue {
    /// An empty queue that `gauge` counts.
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

    /// Drops the casts that were answered `busy` meanwhile because they had waited too long: their senders may have
    /// sent the same again.
    pub fn drop_overdue(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|cast| now.saturating_duration_since(cast.asked_at) >= OVERDUE) {
            self.waiting.pop_front();
            self.gauge.dec();
        }
    }

    /// Takes the casts that can go together: of one round and take, each voter once, as many as a batch holds. The
    /// others wait in their order. `acknowledged` as in [`Batch`]. With it come those who asked, and which casts are traced.
    pub fn next_batch(&mut self, acknowledged: u64) -> (Batch, Vec<ReplyTo>, Vec<CastTrace>) {
        let (round, take) = self.waiting.front().map_or((0, 0), |first| (first.round, first.take));
        let mut batch = Batch::new(round, take, acknowledged);
        let (mut asked, mut traced, mut rest) = (vec![], vec![], VecDeque::new());
        // whose cast waits: their later ones wait behind it, whatever round they are for
        let mut held = HashSet::new();
        while !batch.is_full()
            && let Some(cast) = self.waiting.pop_front()
        {
            let fits = (cast.round, cast.take) == (round, take) && !held.contains(&cast.voter);
            if fits && batch.push(&cast.voter, &cast.votes) {
                asked.push(cast.reply_to);
                traced.extend(cast.trace);
            } else {
                held.insert(cast.voter.clone());
                rest.push_back(cast);
            }
        }
        rest.append(&mut self.waiting);
        self.waiting = rest;
        self.gauge.sub(asked.len() as i64);
        (batch, asked, traced)
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
    use crate::actors::messages::CastOutcome;
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
        let (batch, asked, _) = queue.next_batch(0);
        assert_eq!(names(&batch), ["anna", "bela", "dora"]);
        assert_eq!(asked.len(), 3);
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
    fn a_cast_that_was_answered_busy_waits_no_more() {
        let start = Instant::now();
        let (old, mut told) = cast("anna", 1, start);
        let (new, _receiver) = cast("anna", 1, start + Duration::from_millis(4_000));
        let mut queue = queue_of([old, new]);
        queue.drop_overdue(start + OVERDUE - Duration::from_millis(1));
        assert_eq!(queue.gauge.get(), 2, "not yet");
        queue.drop_overdue(start + OVERDUE);
        assert_eq!(queue.gauge.get(), 1);
        assert!(told.try_recv().is_err(), "a caller without an answer is busy");
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
