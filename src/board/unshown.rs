//! Votes that are stored and not shown yet, and since when the oldest of them waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Votes that were stored within this time of each other share a step.
const STEP: Duration = Duration::from_millis(10);
/// Most steps. When there are more, neighbours are put together: the oldest stays exact.
const MAX_STEPS: usize = 64;

/// The way that the count of stored slips has gone since the last that was shown.
///
/// # Invariants
/// Counts and times rise from step to step; the first step ends above what is shown, the last one at what is stored.
#[derive(Default)]
pub struct Unshown(VecDeque<Step>);

struct Step {
    /// Slips stored at its end.
    upto: u64,
    /// When its first slip was stored.
    since: Instant,
}

impl Unshown {
    /// Takes in that `stored` slips are stored at `now`, and that all who listen were sent `shown` of them. `None`:
    /// nobody listens, so nothing waits.
    pub fn update(&mut self, stored: u64, shown: Option<u64>, now: Instant) {
        let Some(shown) = shown else { return self.0.clear() };
        while self.0.front().is_some_and(|first| first.upto <= shown) {
            self.0.pop_front();
        }
        // a failover may have taken slips away: those wait no more
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

    /// How long the oldest vote waits at `now`; zero if none does.
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
    fn the_oldest_vote_that_is_not_shown_counts_and_no_older_one() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        unshown.update(5, Some(0), t);
        unshown.update(8, Some(0), t + ms(100));
        unshown.update(9, Some(0), t + ms(200));
        assert_eq!(unshown.age(t + ms(250)), ms(250));
        // a tally that was on its way when more came
        unshown.update(9, Some(5), t + ms(300));
        assert_eq!(unshown.age(t + ms(300)), ms(200));
        unshown.update(9, Some(7), t + ms(310));
        assert_eq!(unshown.age(t + ms(310)), ms(210), "the eighth waits since then");
        unshown.update(9, Some(9), t + ms(320));
        assert_eq!(unshown.age(t + ms(900)), Duration::ZERO);
    }

    #[test]
    fn votes_that_never_pause_are_as_old_as_the_last_tally_and_no_older() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        for moment in 0..60_000_u64 {
            // a vote each ms; each tenth of a second a tally goes out that is 9 ms old
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
    fn a_long_halt_takes_no_more_memory_and_its_beginning_stays_exact() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        for moment in 0..600_000_u64 {
            unshown.update(moment + 1, Some(0), t + ms(moment));
        }
        assert_eq!(unshown.age(t + ms(600_000)), ms(600_000));
        assert!(unshown.0.len() <= MAX_STEPS && unshown.0.capacity() <= 2 * MAX_STEPS);
        // when it goes on, what came last is not taken for much older than it is
        unshown.update(600_000, Some(599_999), t + ms(600_000));
        assert!(unshown.age(t + ms(600_000)) <= 2 * STEP, "{:?}", unshown.age(t + ms(600_000)));
    }

    #[test]
    fn without_listeners_nothing_waits_and_what_was_stored_meanwhile_was_never_unshown() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        unshown.update(5, Some(3), t);
        unshown.update(7, None, t + ms(50));
        assert_eq!(unshown.age(t + ms(60)), Duration::ZERO);
        // somebody comes, and is told seven
        unshown.update(7, Some(7), t + ms(70));
        assert_eq!(unshown.age(t + ms(80)), Duration::ZERO);
        unshown.update(8, Some(7), t + ms(90));
        assert_eq!(unshown.age(t + ms(100)), ms(10));
    }

    #[test]
    fn votes_that_a_failover_took_away_do_not_wait() {
        let (mut unshown, t) = (Unshown::default(), Instant::now());
        unshown.update(5, Some(0), t);
        unshown.update(9, Some(0), t + ms(100));
        unshown.update(7, Some(0), t + ms(200));
        unshown.update(7, Some(5), t + ms(210));
        assert_eq!(unshown.age(t + ms(300)), ms(200), "the sixth and seventh are left");
        unshown.update(5, Some(5), t + ms(310));
        assert_eq!(unshown.age(t + ms(320)), Duration::ZERO);
        unshown.update(9, Some(5), t + ms(400));
        assert_eq!(unshown.age(t + ms(410)), ms(10), "they are cast again, and new");
    }
}
