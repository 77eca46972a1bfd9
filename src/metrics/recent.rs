//! How long something took within the last seconds: a histogram of a whole life tells nothing of now.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::buckets::FAST;

/// Seconds that are looked at, the one that is not over yet among them.
const WINDOW: usize = 10;
/// What is told where the percentile lies beyond the last edge, in s.
const BEYOND: f64 = 10.0;

/// A histogram for each of the last seconds.
pub struct Recent {
    start: Instant,
    seconds: Mutex<[Second; WINDOW]>,
}

#[derive(Default, Clone, Copy)]
struct Second {
    /// Which, from the start.
    number: u64,
    /// By bucket: up to each edge, and beyond the last.
    counts: [u32; FAST.len() + 1],
}

impl Recent {
    /// Nothing was observed yet.
    pub fn new(start: Instant) -> Self {
        Self { start, seconds: Mutex::default() }
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }

    /// Notes that something which is over at `now` took so long.
    pub fn observe(&self, took: Duration, now: Instant) {
        let number = self.number(now);
        let mut seconds = self.seconds.lock().expect("the lock is never poisoned");
        let second = &mut seconds[number as usize % WINDOW];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second.counts[FAST.partition_point(|edge| *edge < took.as_secs_f64())] += 1;
    }

    /// The 99th percentile of the last 10 s, in ms: the upper edge of the bucket that it lies in; 10,000 beyond the last
    /// edge; 0 if there was nothing.
    pub fn p99_ms(&self, now: Instant) -> f64 {
        let number = self.number(now);
        let seconds = self.seconds.lock().expect("the lock is never poisoned");
        let recent = seconds.iter().filter(|second| number - second.number.min(number) < WINDOW as u64);
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
        bucket.and_then(|bucket| FAST.get(bucket)).unwrap_or(&BEYOND) * 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_was_slow_ten_seconds_ago_is_forgotten() {
        let start = Instant::now();
        let recent = Recent::new(start);
        assert_eq!(recent.p99_ms(start), 0.0, "nothing was committed yet");
        recent.observe(ms(400), start + ms(500));
        for at in 1..30_u64 {
            recent.observe(ms(3), start + ms(500 + at * 1_000));
        }
        // one in ten is slow for as long as it is among them
        assert_eq!(recent.p99_ms(start + ms(29_900)), 5.0);
        recent.observe(ms(400), start + ms(30_000));
        assert_eq!(recent.p99_ms(start + ms(39_900)), 500.0);
        assert_eq!(recent.p99_ms(start + ms(40_000)), 0.0, "then nothing came any more");
    }

    #[test]
    fn one_in_a_hundred_may_be_slow() {
        let start = Instant::now();
        let recent = Recent::new(start);
        (0..99).for_each(|_| recent.observe(ms(1), start));
        recent.observe(ms(60_000), start);
        assert_eq!(recent.p99_ms(start), 1.0);
        recent.observe(ms(60_000), start);
        assert_eq!(recent.p99_ms(start), 10_000.0, "beyond the last edge");
    }
}
