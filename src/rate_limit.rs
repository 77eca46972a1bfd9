//! Rate limits: a burst at once, then one more in each interval. The crate `governor` counts (it calls this GCRA).

use std::cell::Cell;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
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
///
/// The caller passes the time: one reading of the clock serves all frames of a read, and tests need not sleep.
pub struct RateLimit(RateLimiter<NotKeyed, InMemoryState, CallTime, NoOpMiddleware<Nanos>>);

impl RateLimit {
    /// A limit whose whole burst is available.
    pub fn new(limit: Limit) -> Self {
        Self(RateLimiter::direct_with_clock(limit.quota(), CallTime::starting_now()))
    }

    /// Counts an event. False if it is over the limit; then it is not counted. `now` must not be before the limit was made.
    pub fn allows(&self, now: Instant) -> bool {
        self.0.clock().set(now);
        self.0.check().is_ok()
    }
}

/// The time of the last call, as governor's clock. It counts from the moment at which the process makes its first limit, so
/// 8 bytes are enough.
struct CallTime(Cell<Nanos>);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl CallTime {
    fn starting_now() -> Self {
        Self(Cell::new(START.elapsed().into()))
    }

    fn set(&self, now: Instant) {
        self.0.set(now.saturating_duration_since(*START).into());
    }
}

impl Clock for CallTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get()
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
    use super::*;

    const PINGS: Limit = Limit { burst: 5, interval: Duration::from_secs(1) };

    #[test]
    fn a_burst_is_allowed_at_once_and_then_one_event_in_each_interval() {
        let (limit, start) = (RateLimit::new(PINGS), Instant::now());
        let allowed = |now| (0..10).filter(|_| limit.allows(now)).count();
        assert_eq!(allowed(start), 5);
        assert_eq!(allowed(start + Duration::from_millis(999)), 0);
        assert_eq!(allowed(start + Duration::from_secs(1)), 1);
        assert_eq!(allowed(start + Duration::from_secs(3_600)), 5, "an hour saves up one burst");
    }

    #[test]
    fn keys_are_limited_apart_from_each_other() {
        let limit = KeyedRateLimit::new(PINGS);
        assert_eq!((0..10).filter(|_| limit.allows(&"a")).count(), 5);
        assert!(limit.allows(&"b"));
        limit.remove_idle_keys();
        assert!(!limit.allows(&"a"), "a key that has used its burst is kept");
    }

    #[test]
    fn a_limit_for_one_source_is_small() {
        assert_eq!(size_of::<RateLimit>(), 40, "every socket has three of them");
    }
}
