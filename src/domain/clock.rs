//! The ledger's clock as a process knows it, from answers that say what time it was.
//!
//! The ledger has read its clock at some moment between the question and the answer. So each answer bounds by how much
//! its clock is ahead of ours, the quickest one most tightly. The tightest bounds are kept, and widened as time goes
//! by, for clocks drift. A slow answer has wide bounds: it changes nothing, however late it comes.

use super::LedgerMs;

/// Microseconds of the process's own monotonic clock, from any start.
pub type LocalUs = u64;

/// Two clocks drift apart by at most one part in so many: more than computers do that are set by network time.
const DRIFT: u64 = 1_000;

/// What is known of the ledger's clock.
///
/// # Invariants
/// The time told is never behind the ledger's, so nothing is shown a moment too long, and it never goes back but by
/// [`ClockEstimate::set_back`]. With an answer that took `d` it is ahead by at most `d`, and 1 ms in 1 s of drift.
#[derive(Debug, Clone)]
pub struct ClockEstimate {
    /// By how much the ledger is ahead before it has said anything, in µs.
    guess: i64,
    bounds: Option<Bounds>,
    /// The latest time told.
    told: LedgerMs,
}

/// By how much the ledger is ahead, in µs: the least and the most, at one moment of the local clock.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: i64,
    most: i64,
    at: LocalUs,
}

impl Bounds {
    fn of_answer(sent: LocalUs, received: LocalUs, said: LedgerMs) -> Self {
        // the ledger says whole milliseconds, those that have passed
        let (from, to) = (micros(said), micros(said) + 999);
        Self { least: from - received as i64, most: to - sent as i64, at: sent }.at(received)
    }

    /// The same at a later moment.
    fn at(self, local: LocalUs) -> Self {
        let drift = local.saturating_sub(self.at).div_ceil(DRIFT) as i64;
        Self { least: self.least - drift, most: self.most + drift, at: local.max(self.at) }
    }
}

impl ClockEstimate {
    /// Before the first answer: the ledger's clock is thought to say `guess` at `local`.
    pub fn new(local: LocalUs, guess: LedgerMs) -> Self {
        Self { guess: micros(guess) - local as i64, bounds: None, told: 0 }
    }

    /// The latest that the ledger's clock may say at `local`; before the first answer what it is thought to say.
    pub fn now(&mut self, local: LocalUs) -> LedgerMs {
        let Some(bounds) = self.bounds else { return millis(self.guess + local as i64) };
        self.told = self.told.max(millis(bounds.at(local).most + local as i64));
        self.told
    }

    /// Takes an answer: the ledger said `said` at some moment from `sent` to `received`.
    ///
    /// `false`: its clock is behind all that was known, so it was set back, or another server has taken its place.
    /// Nothing was changed; see [`ClockEstimate::set_back`].
    #[must_use]
    pub fn observe(&mut self, sent: LocalUs, received: LocalUs, said: LedgerMs) -> bool {
        let answer = Bounds::of_answer(sent, received, said);
        let Some(known) = self.bounds else {
            self.bounds = Some(answer);
            return true;
        };
        // answers may be taken in another order than they came
        let (known, answer) = (known.at(received), answer.at(known.at));
        if answer.most < known.least {
            return false;
        }
        let set_forward = answer.least > known.most;
        let both = Bounds { least: answer.least.max(known.least), most: answer.most.min(known.most), at: known.at };
        self.bounds = Some(if set_forward { answer } else { both });
        true
    }

    /// Goes by this answer alone, also backwards.
    pub fn set_back(&mut self, sent: LocalUs, received: LocalUs, said: LedgerMs) {
        self.bounds = Some(Bounds::of_answer(sent, received, said));
        self.told = 0;
    }
}

fn micros(ms: LedgerMs) -> i64 {
    ms as i64 * 1_000
}

fn millis(us: i64) -> LedgerMs {
    us.max(0) as LedgerMs / 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: LocalUs = 1_000_000;

    #[test]
    fn a_slow_answer_changes_nothing_however_late_it_comes() {
        let mut clock = ClockEstimate::new(0, 5);
        assert_eq!(clock.now(0), 5);
        assert!(clock.observe(10 * SECOND, 10 * SECOND + 400, 70_000));
        assert_eq!(clock.now(10 * SECOND + 400), 70_001);
        // asked a second later, answered after two more: it says what the time was then
        assert!(clock.observe(11 * SECOND, 13 * SECOND, 71_000));
        assert!((73_000..=73_005).contains(&clock.now(13 * SECOND)));
        // this one was read at the last moment before it came
        assert!(clock.observe(13 * SECOND, 15 * SECOND, 75_000));
        assert!((75_000..=75_007).contains(&clock.now(15 * SECOND)));
    }

    #[test]
    fn a_quicker_answer_makes_it_exact_and_the_time_told_does_not_go_back() {
        let mut clock = ClockEstimate::new(0, 0);
        assert!(clock.observe(0, 2 * SECOND, 50_000), "slow: read at any moment of two seconds");
        assert_eq!(clock.now(2 * SECOND), 52_002);
        assert!(clock.observe(2 * SECOND, 2 * SECOND + 1_000, 51_000));
        assert_eq!(clock.now(2 * SECOND + 1_000), 52_002, "it stands still");
        assert_eq!(clock.now(2 * SECOND + 900_000), 52_002, "until the ledger's clock is there");
        assert!((53_000..=53_003).contains(&clock.now(4 * SECOND)));
    }

    #[test]
    fn a_clock_that_was_set_forward_is_followed_at_once() {
        let mut clock = ClockEstimate::new(0, 0);
        assert!(clock.observe(0, 1_000, 50_000));
        assert!(clock.observe(SECOND, SECOND + 1_000, 3_651_000));
        assert!((3_651_000..=3_651_002).contains(&clock.now(SECOND + 1_000)));
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed_only_when_told_to() {
        let mut clock = ClockEstimate::new(0, 0);
        assert!(clock.observe(0, 1_000, 50_000));
        assert!(!clock.observe(SECOND, SECOND + 1_000, 20_000));
        assert!((51_000..=51_003).contains(&clock.now(SECOND + 1_000)));
        clock.set_back(SECOND, SECOND + 1_000, 20_000);
        assert!((20_000..=20_002).contains(&clock.now(SECOND + 1_000)));
        assert!(clock.observe(2 * SECOND, 2 * SECOND + 1_000, 21_000));
    }

    /// What goes on between two answers: local time passes, and the ledger's clock drifts from it.
    #[derive(Debug, Clone)]
    struct Exchange {
        pause: LocalUs,
        there: LocalUs,
        back: LocalUs,
        drift_ppm: i64,
    }

    fn exchange() -> impl Strategy<Value = Exchange> {
        let way = || prop_oneof![3 => 0..3_000_u64, 1 => 0..2 * SECOND];
        (0..3 * SECOND, way(), way(), -1_000..=1_000_i64).prop_map(|(pause, there, back, drift_ppm)| Exchange {
            pause,
            there,
            back,
            drift_ppm,
        })
    }

    /// The ledger's clock, in µs.
    struct Ledger {
        local: LocalUs,
        time: i64,
    }

    impl Ledger {
        fn pass(&mut self, us: LocalUs, drift_ppm: i64) {
            self.local += us;
            self.time += us as i64 + us as i64 * drift_ppm / 1_000_000;
        }

        fn says(&self) -> LedgerMs {
            millis(self.time)
        }
    }

    proptest! {
        #[test]
        fn the_time_told_is_never_behind_nor_goes_back_and_is_as_exact_as_the_quickest_answer(
            start in 1_000_000..4_000_000_000_000_u64,
            guess in 0..4_000_000_000_000_u64,
            exchanges in prop::collection::vec(exchange(), 1..40),
        ) {
            let mut ledger = Ledger { local: 0, time: micros(start) };
            let mut clock = ClockEstimate::new(0, guess);
            // the most by which the time told may be ahead, in µs, and the last time told
            let (mut most, mut last) = (i64::MAX, 0);
            for Exchange { pause, there, back, drift_ppm } in exchanges {
                ledger.pass(pause, drift_ppm);
                let sent = ledger.local;
                ledger.pass(there, drift_ppm);
                let said = ledger.says();
                ledger.pass(back, drift_ppm);
                prop_assert!(clock.observe(sent, ledger.local, said), "no clock was set");

                let told = clock.now(ledger.local);
                prop_assert!(told >= ledger.says(), "{told} is behind {}", ledger.says());
                prop_assert!(told >= last, "{told} after {last}");
                // a time that was told when less was known stands until it is reached
                let stands_still = told == std::mem::replace(&mut last, told);
                let took = (there + back) as i64;
                // each side may drift, there and in the estimate; and whole milliseconds
                let drift = |us: i64| us / 500 + 2;
                most = most.saturating_add(drift(pause as i64 + took)).min(took + drift(took) + 1_000);
                let ahead = micros(told) - ledger.time;
                prop_assert!(ahead <= most || stands_still, "{ahead} µs ahead, at most {most}");
            }
        }
    }
}
