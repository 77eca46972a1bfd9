//! The one cast of a socket that may be unanswered, shared by its session, its reader and its subscription.
//!
//! The session starts a cast. The registry shard takes the outcome and writes the answer straight to the socket; the
//! session hears of it only if it waits for that.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::messages::CastOutcome;
use crate::domain::ballot::Refusal;
use crate::traces::ActiveSpan;
use crate::wire::server::BallotView;

/// A cast without an outcome for this long is answered `busy`. The shards look once a second, so every cast is answered
/// within the five seconds of the contract.
pub const OVERDUE: Duration = Duration::from_millis(3_700);

/// See the [module](self).
#[derive(Default)]
pub struct InFlightCast {
    started: Cell<Option<Started>>,
    /// Number of the last cast that was started.
    number: Cell<u32>,
    /// The session has something to do once the cast is answered.
    session_waits: Cell<bool>,
    /// The last ballot that this socket was told, for outcomes that carry none.
    known: RefCell<Option<BallotView>>,
    /// The cast's span, if it is traced.
    span: Cell<Option<ActiveSpan>>,
}

/// A cast without an answer.
#[derive(Debug, Clone, Copy)]
struct Started {
    at: Instant,
    round: u16,
    take: u16,
}

/// What the socket is told.
#[derive(Debug)]
pub enum CastReply {
    /// The voter's ballot.
    Ballot {
        /// Never less of its take than this socket was told before.
        view: BallotView,
        /// True if the cast added to it: the voter's other sockets must be told.
        grew: bool,
        /// From frame to answer.
        took: Duration,
    },
    /// The voter was removed.
    Removed,
}

impl InFlightCast {
    /// True while a cast is unanswered.
    pub fn is_open(&self) -> bool {
        self.started.get().is_some()
    }

    /// Starts a cast. Returns its number, which its outcome must carry.
    pub fn start(&self, round: u16, take: u16) -> u32 {
        self.started.set(Some(Started { at: Instant::now(), round, take }));
        self.number.set(self.number.get().wrapping_add(1));
        self.number.get()
    }

    /// Sets the span of the cast that was just started. It ends with the answer.
    pub fn set_span(&self, span: Option<ActiveSpan>) {
        self.span.set(span);
    }

    /// The session must be told when the cast is answered.
    pub fn set_session_waits(&self) {
        self.session_waits.set(true);
    }

    /// Returns whether the session waits for the answer that was just given, and resets it.
    pub fn take_session_waits(&self) -> bool {
        self.session_waits.take()
    }

    /// Takes the outcome of cast `number`. `None` if that one was answered already: it was overdue, and a later cast may
    /// be in flight.
    pub fn answer(
        &self,
        number: u32,
        outcome: CastOutcome,
        votes_per_round: impl FnOnce() -> u16,
    ) -> Option<CastReply> {
        if number != self.number.get() {
            return None;
        }
        let Started { at, round, take } = self.started.take()?;
        if let Some(span) = self.span.take() {
            span.end(outcome.label());
        }
        Some(match outcome {
            CastOutcome::Removed => CastReply::Removed,
            CastOutcome::Busy => {
                let view = self.busy(round, take, votes_per_round());
                CastReply::Ballot { view, grew: false, took: at.elapsed() }
            }
            CastOutcome::Ballot { view, grew } => {
                CastReply::Ballot { view: self.newest(view), grew, took: at.elapsed() }
            }
        })
    }

    /// The number of the cast in flight if it is [`OVERDUE`] at `now`.
    pub fn overdue(&self, now: Instant) -> Option<u32> {
        let started = self.started.get()?;
        (now.saturating_duration_since(started.at) >= OVERDUE).then(|| self.number.get())
    }

    /// Notes a ballot that the socket is about to be told, and returns true; or returns false if it was told as much of
    /// that take before. Answers, and messages about the voter's other sockets, may overtake each other.
    pub fn note_ballot(&self, view: &BallotView) -> bool {
        let mut known = self.known.borrow_mut();
        let is_news = known.as_ref().is_none_or(|known| {
            (known.round, known.take) != (view.round, view.take) || known.votes.len() < view.votes.len()
        });
        if is_news {
            *known = Some(view.stored());
        }
        is_news
    }

    /// What the socket is told of a judged cast. A refusal is told as it is: it shows what a failover may have lost.
    fn newest(&self, view: BallotView) -> BallotView {
        if view.refused.is_some() {
            *self.known.borrow_mut() = Some(view.stored());
            return view;
        }
        if self.note_ballot(&view) {
            return view;
        }
        self.known.borrow().clone().unwrap_or(view)
    }

    /// The answer `busy`, with the last ballot that this socket was told of that take.
    fn busy(&self, round: u16, take: u16, votes_per_round: u16) -> BallotView {
        let known = self.known.borrow();
        let known = known.as_ref().filter(|known| (known.round, known.take) == (round, take));
        let votes = known.map_or_else(String::new, |known| known.votes.clone());
        BallotView::new(round, take, votes, votes_per_round, Some(Refusal::Busy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(votes: &str) -> CastOutcome {
        CastOutcome::Ballot { view: BallotView::new(1, 1, votes.into(), 10, None), grew: true }
    }

    #[test]
    fn an_answer_is_taken_once_and_only_for_the_cast_under_way() {
        let in_flight = InFlightCast::default();
        let first = in_flight.start(1, 1);
        assert!(in_flight.is_open());
        assert!(matches!(in_flight.answer(first, stored("a"), || 10), Some(CastReply::Ballot { grew: true, .. })));
        assert!(!in_flight.is_open());
        assert!(in_flight.answer(first, stored("a"), || 10).is_none(), "the same outcome twice");
        let second = in_flight.start(1, 1);
        assert!(in_flight.answer(first, stored("a"), || 10).is_none(), "late");
        assert!(in_flight.is_open());
        assert!(
            in_flight
                .answer(second, CastOutcome::Removed, || 10)
                .is_some_and(|reply| matches!(reply, CastReply::Removed))
        );
    }

    #[test]
    fn a_socket_is_never_told_less_of_a_ballot_than_before() {
        let told = |in_flight: &InFlightCast, answer| match in_flight.answer(in_flight.start(1, 1), answer, || 10) {
            Some(CastReply::Ballot { view, .. }) => view.votes,
            other => panic!("{other:?}"),
        };
        let view = |round, votes: &str, refused| BallotView::new(round, 1, votes.into(), 10, refused);
        let in_flight = InFlightCast::default();
        assert_eq!(told(&in_flight, stored("aaaa")), "aaaa");
        assert!(!in_flight.note_ballot(&view(1, "aaa", None)), "the answer overtook the other socket's ballot");
        assert!(in_flight.note_ballot(&view(1, "aaaaa", None)));
        assert_eq!(told(&in_flight, stored("aaaa")), "aaaaa", "the other socket's ballot overtook the answer");
        let gap = CastOutcome::Ballot { view: view(1, "aa", Some(Refusal::Gap)), grew: false };
        assert_eq!(told(&in_flight, gap), "aa", "a failover has lost the others, and the phone must know");
        assert_eq!(told(&in_flight, stored("aaa")), "aaa");
        assert!(in_flight.note_ballot(&view(2, "", None)), "another round starts empty");
    }

    #[test]
    fn busy_carries_the_last_known_ballot_of_that_take() {
        let in_flight = InFlightCast::default();
        in_flight.answer(in_flight.start(1, 1), stored("ab"), || 10);
        let busy = |round| match in_flight.answer(in_flight.start(round, 1), CastOutcome::Busy, || 10) {
            Some(CastReply::Ballot { view, .. }) => (view.votes, view.left, view.refused),
            other => panic!("{other:?}"),
        };
        assert_eq!(busy(1), ("ab".to_owned(), 8, Some(Refusal::Busy)));
        assert_eq!(busy(2), (String::new(), 10, Some(Refusal::Busy)));
    }

    #[test]
    fn a_cast_is_overdue_early_enough_for_a_sweep_each_second() {
        let in_flight = InFlightCast::default();
        assert_eq!(in_flight.overdue(Instant::now() + OVERDUE), None, "nothing is in flight");
        let number = in_flight.start(1, 1);
        let started = Instant::now();
        assert_eq!(in_flight.overdue(started), None);
        assert_eq!(in_flight.overdue(started + Duration::from_millis(3_900)), Some(number));
    }
}
