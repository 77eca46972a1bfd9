//! Latencies of the last seconds. A histogram over the whole run of a process would not show the present.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::buckets::FAST;

/// Seconds that count, including the current one.
const WINDOW_SECS: usize = 10;
/// Reported if the percentile lies above the last bucket, in seconds.
const ABOVE_BUCKETS_SECS: f64 = 10.0;

/// A histogram for each of the last seconds.
pub struct RecentLatencies {
    start: Instant,
    seconds: Mutex<[Second; WINDOW_SECS]>,
}

#[derive(Default, Clone, Copy)]
struct Second {
    /// Which second, counted from the start.
    number: u64,
    /// By bucket; the last one holds what is above all bounds.
    counts: [u32; FAST.len() + 1],
}

impl RecentLatencies {
    /// Without observations.
    pub fn new(start: Instant) -> Self {
        Self { start, seconds: Mutex::default() }
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }

    /// Records a latency that was measured at `now`.
    pub fn observe(&self, took: Duration, now: Instant) {
        let number = self.number(now);
        let mut seconds = self.seconds.lock().expect("the lock is never poisoned");
        let second = &mut seconds[number as usize % WINDOW_SECS];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second.counts[FAST.partition_point(|edge| *edge < took.as_secs_f64())] += 1;
    }

    /// The 99th percentile of the last 10 s, in ms, as the upper bound of its bucket; 10,000 above the last bucket, and 0
    /// without observations.
    pub fn p99_ms(&self, now: Instant) -> f64 {
        let number = self.number(now);
        let seconds = self.seconds.lock().expect("the lock is never poisoned");
        let recent = seconds.iter().filter(|second| number - second.number.min(number) < WINDOW_SECS as u64);
        let mut counts = [0_u64; FAST.len() + 1];
        for second in recent {
            counts.iter_mut().zip(second.counts).for_each(|(sum, count)| *sum += u64::from(count));
        }
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return 0.0;
        }
        let wanted = (all as f64 * 0.99).ceil() as u64;
        let mut reached = 0;
        let bucket = counts.iter().position(|count| {
            reached += count;
            reached >= wanted
        });
        bucket.and_then(|bucket| FAST.get(bucket)).unwrap_or(&ABOVE_BUCKETS_SECS) * 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn latencies_count_for_ten_seconds() {
        let start = Instant::now();
        let recent = RecentLatencies::new(start);
        assert_eq!(recent.p99_ms(start), 0.0, "no observations yet");
        recent.observe(ms(400), start + ms(500));
        for at in 1..30_u64 {
            recent.observe(ms(3), start + ms(500 + at * 1_000));
        }
        // one in ten is slow as long as it counts
        assert_eq!(recent.p99_ms(start + ms(29_900)), 5.0);
        recent.observe(ms(400), start + ms(30_000));
        assert_eq!(recent.p99_ms(start + ms(39_900)), 500.0);
        assert_eq!(recent.p99_ms(start + ms(40_000)), 0.0, "no observations for ten seconds");
    }

    #[test]
    fn one_in_a_hundred_may_be_slow() {
        let start = Instant::now();
        let recent = RecentLatencies::new(start);
        (0..99).for_each(|_| recent.observe(ms(1), start));
        recent.observe(ms(60_000), start);
        assert_eq!(recent.p99_ms(start), 1.0);
        recent.observe(ms(60_000), start);
        assert_eq!(recent.p99_ms(start), 10_000.0, "above the last bucket");
    }
}
