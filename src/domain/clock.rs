//! An estimate of the ledger's clock, from replies that contain its time.
//!
//! The ledger reads its clock at some moment between request and reply. So each reply bounds by how much its clock is
//! ahead of ours, and the fastest reply bounds it most tightly. The tightest bounds are kept, and widened as time
//! passes, because clocks drift. A slow reply has wide bounds, so it changes nothing, however late it comes.

use super::LedgerMs;

/// Microseconds of the process's monotonic clock, from any start.
pub type LocalUs = u64;

/// Two clocks drift apart by at most one part in this many: more than computers with network time do.
const MAX_DRIFT: u64 = 1_000;

/// An estimate of the ledger's clock.
///
/// # Invariants
/// The estimated time is never behind the ledger's, so nothing is shown too long, and it never goes back except by
/// [`ClockEstimate::set_back`]. After a reply that took `d` it is ahead by at most `d`, plus 1 ms of drift per second.
#[derive(Debug, Clone)]
pub struct ClockEstimate {
    /// By how much the ledger's clock is assumed to be ahead before the first reply, in µs.
    guess_us: i64,
    bounds: Option<Bounds>,
    /// The latest time that was returned.
    latest: LedgerMs,
}

/// By how much the ledger's clock is ahead, in µs: at least and at most, at one moment of the local clock.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    min: i64,
    max: i64,
    at: LocalUs,
}

impl Bounds {
    fn of_reply(sent: LocalUs, received: LocalUs, time: LedgerMs) -> Self {
        // the ledger's time is rounded down to whole milliseconds
        let (from, to) = (micros(time), micros(time) + 999);
        Self { min: from - received as i64, max: to - sent as i64, at: sent }.at(received)
    }

    /// The bounds at a later moment.
    fn at(self, local: LocalUs) -> Self {
        let drift = local.saturating_sub(self.at).div_ceil(MAX_DRIFT) as i64;
        Self { min: self.min - drift, max: self.max + drift, at: local.max(self.at) }
    }
}

impl ClockEstimate {
    /// An estimate before the first reply: the ledger's clock is assumed to show `guess` at `local`.
    pub fn new(local: LocalUs, guess: LedgerMs) -> Self {
        Self { guess_us: micros(guess) - local as i64, bounds: None, latest: 0 }
    }

    /// The latest time that the ledger's clock can show at `local`; before the first reply, the time that is assumed.
    pub fn now(&mut self, local: LocalUs) -> LedgerMs {
        let Some(bounds) = self.bounds else { return millis(self.guess_us + local as i64) };
        self.latest = self.latest.max(millis(bounds.at(local).max + local as i64));
        self.latest
    }

    /// Takes a reply into account: the ledger's clock showed `time` at some moment between `sent` and `received`.
    ///
    /// `false` if its clock is behind everything that is known: it was set back, or another server has taken over. Then
    /// the estimate is unchanged, see [`ClockEstimate::set_back`].
    #[must_use]
    pub fn observe(&mut self, sent: LocalUs, received: LocalUs, time: LedgerMs) -> bool {
        let reply = Bounds::of_reply(sent, received, time);
        let Some(known) = self.bounds else {
            self.bounds = Some(reply);
            return true;
        };
        // replies may be processed in another order than they came in
        let (known, reply) = (known.at(received), reply.at(known.at));
        if reply.max < known.min {
            return false;
        }
        let was_set_forward = reply.min > known.max;
        let both = Bounds { min: reply.min.max(known.min), max: reply.max.min(known.max), at: known.at };
        self.bounds = Some(if was_set_forward { reply } else { both });
        true
    }

    /// Starts again from this reply alone, even if time goes back.
    pub fn set_back(&mut self, sent: LocalUs, received: LocalUs, time: LedgerMs) {
        self.bounds = Some(Bounds::of_reply(sent, received, time));
        self.latest = 0;
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
    fn a_slow_reply_changes_nothing_however_late_it_comes() {
        let mut clock = ClockEstimate::new(0, 5);
        assert_eq!(clock.now(0), 5);
        assert!(clock.observe(10 * SECOND, 10 * SECOND + 400, 70_000));
        assert_eq!(clock.now(10 * SECOND + 400), 70_001);
        // sent a second later, received two seconds after that: the clock was read at the start
        assert!(clock.observe(11 * SECOND, 13 * SECOND, 71_000));
        assert!((73_000..=73_005).contains(&clock.now(13 * SECOND)));
        // here the clock was read at the end
        assert!(clock.observe(13 * SECOND, 15 * SECOND, 75_000));
        assert!((75_000..=75_007).contains(&clock.now(15 * SECOND)));
    }

    #[test]
    fn a_faster_reply_makes_the_estimate_exact_and_its_time_does_not_go_back() {
        let mut clock = ClockEstimate::new(0, 0);
        assert!(clock.observe(0, 2 * SECOND, 50_000), "slow: the clock was read at some moment of two seconds");
        assert_eq!(clock.now(2 * SECOND), 52_002);
        assert!(clock.observe(2 * SECOND, 2 * SECOND + 1_000, 51_000));
        assert_eq!(clock.now(2 * SECOND + 1_000), 52_002, "the estimate stands still");
        assert_eq!(clock.now(2 * SECOND + 900_000), 52_002, "until the ledger's clock has caught up");
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
    fn a_clock_that_was_set_back_is_followed_only_by_set_back() {
        let mut clock = ClockEstimate::new(0, 0);
        assert!(clock.observe(0, 1_000, 50_000));
        assert!(!clock.observe(SECOND, SECOND + 1_000, 20_000));
        assert!((51_000..=51_003).contains(&clock.now(SECOND + 1_000)));
        clock.set_back(SECOND, SECOND + 1_000, 20_000);
        assert!((20_000..=20_002).contains(&clock.now(SECOND + 1_000)));
        assert!(clock.observe(2 * SECOND, 2 * SECOND + 1_000, 21_000));
    }

    /// One request: local time passes before, on the way there and on the way back, and the ledger's clock drifts.
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

        fn shows(&self) -> LedgerMs {
            millis(self.time)
        }
    }

    proptest! {
        #[test]
        fn the_estimate_is_never_behind_never_goes_back_and_is_as_exact_as_the_fastest_reply(
            start in 1_000_000..4_000_000_000_000_u64,
            guess in 0..4_000_000_000_000_u64,
            exchanges in prop::collection::vec(exchange(), 1..40),
        ) {
            let mut ledger = Ledger { local: 0, time: micros(start) };
            let mut clock = ClockEstimate::new(0, guess);
            // by how much the estimate may be ahead, in µs, and its last time
            let (mut most, mut last) = (i64::MAX, 0);
            for Exchange { pause, there, back, drift_ppm } in exchanges {
                ledger.pass(pause, drift_ppm);
                let sent = ledger.local;
                ledger.pass(there, drift_ppm);
                let time = ledger.shows();
                ledger.pass(back, drift_ppm);
                prop_assert!(clock.observe(sent, ledger.local, time), "no clock was set");

                let estimate = clock.now(ledger.local);
                prop_assert!(estimate >= ledger.shows(), "{estimate} is behind {}", ledger.shows());
                prop_assert!(estimate >= last, "{estimate} after {last}");
                // an earlier, less exact estimate stands still until the ledger's clock has caught up
                let stands_still = estimate == std::mem::replace(&mut last, estimate);
                let took = (there + back) as i64;
                // drift of the clock and of the bounds, and rounding to milliseconds
                let drift = |us: i64| us / 500 + 2;
                most = most.saturating_add(drift(pause as i64 + took)).min(took + drift(took) + 1_000);
                let ahead = micros(estimate) - ledger.time;
                prop_assert!(ahead <= most || stands_still, "{ahead} µs ahead, at most {most}");
            }
        }
    }
}
