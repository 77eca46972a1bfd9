//! The one cast that a socket may have unanswered, as its session, its reader and its subscription share it.
//!
//! The session asks; the shard of the registry hands the answer out, straight to the socket, without the session. The
//! session is told only when it has something to do afterwards.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::messages::CastOutcome;
use crate::domain::ballot::Refusal;
use crate::traces::Running;
use crate::wire::server::BallotView;

/// A cast without an answer for so long is `busy`. The shards look once a second, so every cast has an answer within
/// five.
pub const OVERDUE: Duration = Duration::from_millis(3_700);

/// See [module](self).
#[derive(Default)]
pub struct InFlightCast {
    asked: Cell<Option<Asked>>,
    /// Of the last cast asked.
    number: Cell<u32>,
    /// The session has something to do as soon as the cast is answered.
    wanted: Cell<bool>,
    /// The last ballot that this socket was told, for answers that know of none.
    known: RefCell<Option<BallotView>>,
    /// The span of the cast under way, if it is traced.
    span: Cell<Option<Running>>,
}

/// A cast under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    since: Instant,
    round: u16,
    take: u16,
}

/// What the socket is told.
#[derive(Debug)]
pub enum CastReply {
    /// The ballot, after this time. `grew`: the voter's other sockets want to know.
    Ballot {
        /// For the wire.
        view: BallotView,
        /// The cast added to it.
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
        self.asked.get().is_some()
    }

    /// A cast goes out now. Its answer bears the number given here.
    pub fn ask(&self, round: u16, take: u16) -> u32 {
        self.asked.set(Some(Asked { since: Instant::now(), round, take }));
        self.number.set(self.number.get().wrapping_add(1));
        self.number.get()
    }

    /// The cast under way is traced, or not.
    pub fn carry(&self, span: Option<Running>) {
        self.span.set(span);
    }

    /// The session wants to hear of the answer.
    pub fn want(&self) {
        self.wanted.set(true);
    }

    /// True if the session wanted to hear of the answer that was just given.
    pub fn take_wanted(&self) -> bool {
        self.wanted.take()
    }

    /// Takes an answer. `None` if nobody waits for it any more: it was answered `busy`, and a later cast may be under
    /// way.
    pub fn answer(&self, number: u32, answer: CastOutcome, votes_per_round: impl FnOnce() -> u16) -> Option<CastReply> {
        if number != self.number.get() {
            return None;
        }
        let Asked { since, round, take } = self.asked.take()?;
        if let Some(span) = self.span.take() {
            span.end(answer.outcome());
        }
        Some(match answer {
            CastOutcome::Removed => CastReply::Removed,
            CastOutcome::Busy => {
                let view = self.busy(round, take, votes_per_round());
                CastReply::Ballot { view, grew: false, took: since.elapsed() }
            }
            CastOutcome::Ballot { view, grew } => {
                CastReply::Ballot { view: self.newest(view), grew, took: since.elapsed() }
            }
        })
    }

    /// The number of a cast that has waited too long.
    pub fn overdue(&self, now: Instant) -> Option<u32> {
        let asked = self.asked.get()?;
        (now.saturating_duration_since(asked.since) >= OVERDUE).then(|| self.number.get())
    }

    /// Notes a ballot that the socket is about to be told, unless it was told more of that take: answers and the word of
    /// another socket come by different ways and may overtake each other. True if it is news.
    pub fn know(&self, view: &BallotView) -> bool {
        let mut known = self.known.borrow_mut();
        let is_news = known.as_ref().is_none_or(|known| {
            (known.round, known.take) != (view.round, view.take) || known.votes.len() < view.votes.len()
        });
        if is_news {
            *known = Some(view.stored());
        }
        is_news
    }

    /// What the socket is told of its stored cast: never less of that take than before. A refusal is told as it is, for
    /// it shows what a failover may have lost.
    fn newest(&self, view: BallotView) -> BallotView {
        if view.refused.is_some() {
            *self.known.borrow_mut() = Some(view.stored());
            return view;
        }
        if self.know(&view) {
            return view;
        }
        self.known.borrow().clone().unwrap_or(view)
    }

    /// No promise; the ballot is the last that this socket was told of that take.
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
        let first = in_flight.ask(1, 1);
        assert!(in_flight.is_open());
        assert!(matches!(in_flight.answer(first, stored("a"), || 10), Some(CastReply::Ballot { grew: true, .. })));
        assert!(!in_flight.is_open());
        assert!(in_flight.answer(first, stored("a"), || 10).is_none(), "said twice");
        let second = in_flight.ask(1, 1);
        assert!(in_flight.answer(first, stored("a"), || 10).is_none(), "late");
        assert!(in_flight.is_open());
        assert!(
            in_flight
                .answer(second, CastOutcome::Removed, || 10)
                .is_some_and(|told| matches!(told, CastReply::Removed))
        );
    }

    #[test]
    fn what_comes_by_two_ways_never_takes_back_what_was_told() {
        let told = |in_flight: &InFlightCast, answer| match in_flight.answer(in_flight.ask(1, 1), answer, || 10) {
            Some(CastReply::Ballot { view, .. }) => view.votes,
            other => panic!("{other:?}"),
        };
        let view = |round, votes: &str, refused| BallotView::new(round, 1, votes.into(), 10, refused);
        let in_flight = InFlightCast::default();
        assert_eq!(told(&in_flight, stored("aaaa")), "aaaa");
        assert!(!in_flight.know(&view(1, "aaa", None)), "the word of another socket was overtaken by the answer");
        assert!(in_flight.know(&view(1, "aaaaa", None)));
        assert_eq!(told(&in_flight, stored("aaaa")), "aaaaa", "the answer was overtaken by the word");
        let gap = CastOutcome::Ballot { view: view(1, "aa", Some(Refusal::Gap)), grew: false };
        assert_eq!(told(&in_flight, gap), "aa", "a failover has lost the others, and the phone must hear of it");
        assert_eq!(told(&in_flight, stored("aaa")), "aaa");
        assert!(in_flight.know(&view(2, "", None)), "another round begins anew");
    }

    #[test]
    fn busy_tells_the_last_known_ballot_of_that_take() {
        let in_flight = InFlightCast::default();
        in_flight.answer(in_flight.ask(1, 1), stored("ab"), || 10);
        let busy = |round| match in_flight.answer(in_flight.ask(round, 1), CastOutcome::Busy, || 10) {
            Some(CastReply::Ballot { view, .. }) => (view.votes, view.left, view.refused),
            other => panic!("{other:?}"),
        };
        assert_eq!(busy(1), ("ab".to_owned(), 8, Some(Refusal::Busy)));
        assert_eq!(busy(2), (String::new(), 10, Some(Refusal::Busy)));
    }

    #[test]
    fn a_cast_is_overdue_before_five_seconds_with_a_look_each_second() {
        let in_flight = InFlightCast::default();
        assert_eq!(in_flight.overdue(Instant::now() + OVERDUE), None, "nothing is asked");
        let number = in_flight.ask(1, 1);
        let asked = Instant::now();
        assert_eq!(in_flight.overdue(asked), None);
        assert_eq!(in_flight.overdue(asked + Duration::from_millis(3_900)), Some(number));
    }
}
