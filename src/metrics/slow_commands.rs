//! Counts the commands that Redis logs as slow, from the state of its slow log at some moments.

use std::sync::Mutex;

use prometheus::IntCounter;

use crate::ledger::SlowSeen;

/// Counts each entry of the slow log once, except those that were there at the first reading.
pub struct SlowCommands {
    counter: IntCounter,
    /// The first id that was not read yet; `None` before the first reading.
    next: Mutex<Option<u64>>,
}

impl SlowCommands {
    /// Counts with `counter`.
    pub fn new(counter: IntCounter) -> Self {
        Self { counter, next: Mutex::default() }
    }

    /// Records a reading of the log.
    pub fn note(&self, seen: SlowSeen) {
        let mut next = self.next.lock().expect("the lock is never poisoned");
        let first_reading = next.is_none();
        let fresh = fresh(next.get_or_insert(0), seen);
        if !first_reading {
            self.counter.inc_by(fresh);
        }
    }
}

/// How many entries are new since `next`, at most as many as the log holds: it may have been emptied meanwhile. Ids rise by
/// one until Redis restarts.
fn fresh(next: &mut u64, seen: SlowSeen) -> u64 {
    let Some(newest) = seen.newest else { return 0 };
    let from = if newest + 1 < *next { 0 } else { *next };
    *next = newest + 1;
    (newest + 1 - from).min(seen.entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(newest: u64, entries: u64) -> SlowSeen {
        SlowSeen { newest: Some(newest), entries }
    }

    #[test]
    fn each_entry_after_the_first_reading_is_counted_once() {
        let counter = IntCounter::new("slow", "slow").unwrap();
        let slow = SlowCommands::new(counter.clone());
        let readings = [
            (log(40, 41), 0),                           // there before the first reading
            (log(40, 41), 0),                           // nothing new
            (log(43, 44), 3),                           // three new ones
            (SlowSeen { newest: None, entries: 0 }, 3), // the log was emptied
            (log(44, 1), 4),                            // and one is new
            (log(1, 2), 6),                             // Redis was restarted
            (log(301, 256), 262),                       // more than the log holds
        ];
        for (seen, counted) in readings {
            slow.note(seen);
            assert_eq!(counter.get(), counted, "{seen:?}");
        }
    }

    #[test]
    fn an_empty_log_counts_as_the_first_reading() {
        let counter = IntCounter::new("slow", "slow").unwrap();
        let slow = SlowCommands::new(counter.clone());
        slow.note(SlowSeen { newest: None, entries: 0 });
        slow.note(log(0, 1));
        assert_eq!(counter.get(), 1);
    }
}
