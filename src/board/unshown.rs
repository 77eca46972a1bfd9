//! How long the oldest stored vote waits until it is shown.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Votes stored within this time of each other share a step.
const STEP: Duration = Duration::from_millis(10);
/// Steps that are kept. At this number neighbours are merged: the age of the oldest stays exact.
const MAX_STEPS: usize = 64;

/// How the number of stored slips has grown since the last one that was shown.
///
/// # Invariants
/// Numbers and times rise from step to step. The first step ends above what is shown, the last one at what is stored.
#[derive(Default)]
pub struct Unshown(VecDeque<Step>);

struct Step {
    /// Slips stored at the end of the step.
    upto: u64,
    /// When the first slip of the step was stored.
    since: Instant,
}

impl Unshown {
    /// At `now`, `stored` slips are stored and every socket was sent `shown` of them. `None`: there are no sockets, so
    /// nothing waits.
    pub fn update(&mut self, stored: u64, shown: Option<u64>, now: Instant) {
        let Some(shown) = shown else { return self.0.clear() };
        while self.0.front().is_some_and(|first| first.upto <= shown) {
            self.0.pop_front();
        }
        // slips that a failover has lost do not wait any more
        while let Some(last) = self.0.pop_back_if(|last| last.upto > stored) {
            if self.end(shown) < stored {
                self.0.push_back(Step { upto: stored, ..last });
            }
        }
        if self.end(shown) < stored {
            self.grow(stored, now);
        }
    }

    fn end(&self, shown: u64) -> u64 {
        self.0.back().map_or(shown, |last| last.upto)
    }

    fn grow(&mut self, stored: u64, now: Instant) {
        if let Some(last) = self.0.back_mut().filter(|last| now.saturating_duration_since(last.since) < STEP) {
            last.upto = stored;
            return;
        }
        if self.0.len() == MAX_STEPS {
            let pairs = self.0.make_contiguous().chunks(2);
            self.0 = pairs.map(|pair| Step { upto: pair[pair.len() - 1].upto, since: pair[0].since }).collect();
        }
        self.0.push_back(Step { upto: stored, since: now });
    }

    /// Age of the oldest unshown vote at `now`; zero if there is none.
    pub fn age(&self, now: Instant) -> Duration {
        self.0.front().map_or(Duration::ZERO, |first| now.saturating_duration_since(first.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_age_is_that_of_the_oldest_unshown_vote() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        unshown.update(5, Some(0), t);
        unshown.update(8, Some(0), t + ms(100));
        unshown.update(9, Some(0), t + ms(200));
        assert_eq!(unshown.age(t + ms(250)), ms(250));
        // a tally that was under way when more votes were stored
        unshown.update(9, Some(5), t + ms(300));
        assert_eq!(unshown.age(t + ms(300)), ms(200));
        unshown.update(9, Some(7), t + ms(310));
        assert_eq!(unshown.age(t + ms(310)), ms(210), "the eighth vote was stored then");
        unshown.update(9, Some(9), t + ms(320));
        assert_eq!(unshown.age(t + ms(900)), Duration::ZERO);
    }

    #[test]
    fn under_steady_votes_the_age_is_that_of_the_last_tally() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        for moment in 0..60_000_u64 {
            // one vote each ms; every 100 ms a tally goes out that is 9 ms old
            let shown = (moment / 100 * 100).saturating_sub(9);
            unshown.update(moment, Some(shown), t + ms(moment));
            assert!(
                unshown.age(t + ms(moment)) <= ms(100 + 9) + STEP,
                "at {moment}: {:?}",
                unshown.age(t + ms(moment))
            );
        }
    }

    #[test]
    fn a_long_stall_takes_bounded_memory_and_its_start_stays_exact() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        for moment in 0..600_000_u64 {
            unshown.update(moment + 1, Some(0), t + ms(moment));
        }
        assert_eq!(unshown.age(t + ms(600_000)), ms(600_000));
        assert!(unshown.0.len() <= MAX_STEPS && unshown.0.capacity() <= 2 * MAX_STEPS);
        // afterwards the last votes do not look much older than they are
        unshown.update(600_000, Some(599_999), t + ms(600_000));
        assert!(unshown.age(t + ms(600_000)) <= 2 * STEP, "{:?}", unshown.age(t + ms(600_000)));
    }

    #[test]
    fn without_sockets_no_vote_is_unshown() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        unshown.update(5, Some(3), t);
        unshown.update(7, None, t + ms(50));
        assert_eq!(unshown.age(t + ms(60)), Duration::ZERO);
        // a socket connects and is sent seven
        unshown.update(7, Some(7), t + ms(70));
        assert_eq!(unshown.age(t + ms(80)), Duration::ZERO);
        unshown.update(8, Some(7), t + ms(90));
        assert_eq!(unshown.age(t + ms(100)), ms(10));
    }

    #[test]
    fn votes_that_a_failover_lost_do_not_wait() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        unshown.update(5, Some(0), t);
        unshown.update(9, Some(0), t + ms(100));
        unshown.update(7, Some(0), t + ms(200));
        unshown.update(7, Some(5), t + ms(210));
        assert_eq!(unshown.age(t + ms(300)), ms(200), "the sixth and seventh vote are left");
        unshown.update(5, Some(5), t + ms(310));
        assert_eq!(unshown.age(t + ms(320)), Duration::ZERO);
        unshown.update(9, Some(5), t + ms(400));
        assert_eq!(unshown.age(t + ms(410)), ms(10), "they were cast again, so they are new");
    }
}
