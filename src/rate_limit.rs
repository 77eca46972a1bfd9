//! Rate limits: a burst at once, then one more in each interval. The crate `governor` counts (it calls this GCRA).

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How many events are allowed.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Events allowed at once, at least 1.
    pub burst: u32,
    /// The time after which one more is allowed, more than zero.
    pub interval: Duration,
}

impl Limit {
    /// # Panics
    /// The burst or the interval is zero. Limits are constants, so the first use of one shows it.
    fn quota(self) -> Quota {
        let burst = NonZeroU32::new(self.burst).expect("a limit allows at least one event");
        Quota::with_period(self.interval).expect("the interval of a limit is not zero").allow_burst(burst)
    }
}

/// Limits one source of events, for example the frames of a socket. It takes 40 bytes and no lock.
pub struct RateLimit<C: Clock = MonotonicClock>(
    RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>,
);

impl RateLimit {
    /// A limit whose whole burst is available.
    pub fn new(limit: Limit) -> Self {
        Self::with_clock(limit, MonotonicClock)
    }
}

impl<C: Clock> RateLimit<C> {
    /// The same with another clock, for tests.
    pub fn with_clock(limit: Limit, clock: C) -> Self {
        Self(RateLimiter::direct_with_clock(limit.quota(), clock))
    }

    /// Counts an event. False if it is over the limit; then it is not counted.
    pub fn allows(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// Limits many sources, each by its key. All threads share it.
pub struct KeyedRateLimit<K: Hash + Eq + Clone>(DefaultKeyedRateLimiter<K>);

impl<K: Hash + Eq + Clone> KeyedRateLimit<K> {
    /// A limit whose whole burst is available to every key.
    pub fn new(limit: Limit) -> Self {
        Self(DefaultKeyedRateLimiter::keyed(limit.quota()))
    }

    /// Counts an event of a key. False if it is over the limit; then it is not counted.
    pub fn allows(&self, key: &K) -> bool {
        self.0.check_key(key).is_ok()
    }

    /// Frees the memory of keys whose whole burst is available again.
    pub fn remove_idle_keys(&self) {
        self.0.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const PINGS: Limit = Limit { burst: 5, interval: Duration::from_secs(1) };

    #[test]
    fn a_burst_is_allowed_at_once_and_then_one_event_in_each_interval() {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::with_clock(PINGS, clock.clone());
        assert_eq!((0..10).filter(|_| limit.allows()).count(), 5);
        clock.advance(Duration::from_millis(999));
        assert!(!limit.allows());
        clock.advance(Duration::from_millis(1));
        assert!(limit.allows() && !limit.allows());
        clock.advance(Duration::from_secs(3_600));
        assert_eq!((0..10).filter(|_| limit.allows()).count(), 5, "an hour saves up one burst");
    }

    #[test]
    fn keys_are_limited_apart_from_each_other() {
        let limit = KeyedRateLimit::new(PINGS);
        assert_eq!((0..10).filter(|_| limit.allows(&"a")).count(), 5);
        assert!(limit.allows(&"b"));
        limit.remove_idle_keys();
        assert!(!limit.allows(&"a"), "a key that has events to wait for is kept");
    }

    #[test]
    fn a_limit_for_one_source_is_small() {
        assert!(size_of::<RateLimit>() <= 40, "{} bytes, of which every socket has three", size_of::<RateLimit>());
    }
}
