//! The ledger's clock: the system clock, but never slower than the monotonic clock and never behind a stored time.
//!
//! If the system clock were followed when it is set back, the ledger's time would stand still until it catches up:
//! rounds would not close, and votes would share one time. A system clock that is set forward is followed: that is what
//! happens when a machine wakes up.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use crate::domain::LedgerMs;

/// The readings of two clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The system clock, in ms since 1970: it can be set.
    pub system_ms: LedgerMs,
    /// The monotonic clock, in ms from any start: it only rises.
    pub elapsed_ms: u64,
}

/// Reads both clocks.
pub type Clocks = Box<dyn Fn() -> Reading + Send + Sync>;

/// The clocks of this process.
pub fn clocks() -> Clocks {
    let start = Instant::now();
    Box::new(move || {
        let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Reading { system_ms: system.as_millis() as LedgerMs, elapsed_ms: start.elapsed().as_millis() as u64 }
    })
}

/// See the [module](self).
pub struct Clock {
    clocks: Clocks,
    /// By how much the ledger's clock is ahead of the monotonic clock; only rises.
    ahead_ms: AtomicI64,
    /// The latest time that was returned.
    latest: AtomicU64,
}

impl Clock {
    /// A clock that continues from `stored`.
    pub fn new(stored: LedgerMs, clocks: Clocks) -> Self {
        let ahead = stored as i64 - clocks().elapsed_ms as i64;
        Self { clocks, ahead_ms: AtomicI64::new(ahead), latest: AtomicU64::new(stored) }
    }

    /// The ledger's time.
    pub fn now(&self) -> LedgerMs {
        let Reading { system_ms, elapsed_ms } = (self.clocks)();
        let ahead = system_ms as i64 - elapsed_ms as i64;
        let ahead = self.ahead_ms.fetch_max(ahead, Ordering::AcqRel).max(ahead);
        let now = (elapsed_ms as i64 + ahead).max(0) as LedgerMs;
        // another thread may have read the clocks later, and got here first
        self.latest.fetch_max(now, Ordering::AcqRel).max(now)
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use super::*;

    /// Clocks that a test sets.
    #[derive(Clone, Default)]
    pub struct SetClocks(Arc<(AtomicU64, AtomicU64)>);

    impl SetClocks {
        /// Time passes on both clocks.
        pub fn pass(&self, ms: u64) {
            self.0.0.fetch_add(ms, Ordering::Relaxed);
            self.0.1.fetch_add(ms, Ordering::Relaxed);
        }

        /// The system clock is set.
        pub fn set_system(&self, ms: LedgerMs) {
            self.0.0.store(ms, Ordering::Relaxed);
        }

        /// The same clocks, for a ledger.
        pub fn clocks(&self) -> Clocks {
            let set = self.clone();
            Box::new(move || Reading {
                system_ms: set.0.0.load(Ordering::Relaxed),
                elapsed_ms: set.0.1.load(Ordering::Relaxed),
            })
        }
    }

    #[test]
    fn the_clock_continues_when_the_system_clock_is_set_back_and_jumps_when_it_is_set_forward() {
        let set = SetClocks::default();
        set.set_system(5_000_000);
        let clock = Clock::new(0, set.clocks());
        assert_eq!(clock.now(), 5_000_000);
        set.pass(10);
        assert_eq!(clock.now(), 5_000_010);
        set.set_system(1_400_000);
        assert_eq!(clock.now(), 5_000_010);
        set.pass(10);
        assert_eq!(clock.now(), 5_000_020);
        set.set_system(8_600_000);
        assert_eq!(clock.now(), 8_600_000);
        set.set_system(5_000_020);
        set.pass(1);
        assert_eq!(clock.now(), 8_600_001);
    }

    #[test]
    fn the_clock_starts_at_the_stored_time_when_the_system_clock_is_behind_it() {
        let set = SetClocks::default();
        set.set_system(1_400_000);
        set.pass(70);
        let clock = Clock::new(5_000_000, set.clocks());
        assert_eq!(clock.now(), 5_000_000);
        set.pass(10);
        assert_eq!(clock.now(), 5_000_010);
    }
}
