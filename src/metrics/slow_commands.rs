//! How many commands Redis has logged as slow, counted from what its slow log says now and then.

use std::sync::Mutex;

use prometheus::IntCounter;

use crate::ledger::SlowSeen;

/// Counts each entry of the slow log once. Those from before the first look are not this process's business.
pub struct SlowCommands {
    counter: IntCounter,
    /// The first id that was not seen yet; `None` before the first look.
    next: Mutex<Option<u64>>,
}

impl SlowCommands {
    /// Counts with `counter`.
    pub fn new(counter: IntCounter) -> Self {
        Self { counter, next: Mutex::default() }
    }

    /// Takes in what the log says now.
    pub fn note(&self, seen: SlowSeen) {
        let mut next = self.next.lock().expect("the lock is never poisoned");
        let first_look = next.is_none();
        let fresh = fresh(next.get_or_insert(0), seen);
        if !first_look {
            self.counter.inc_by(fresh);
        }
    }
}

/// How many entries came since `next`. Ids rise by one until Redis starts anew; the log may be emptied meanwhile, so no
/// more can have come than lie in it.
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
    fn each_entry_is_counted_once_from_the_first_look_on() {
        let counter = IntCounter::new("slow", "slow").unwrap();
        let slow = SlowCommands::new(counter.clone());
        let looks = [
            (log(40, 41), 0),                           // they were there before
            (log(40, 41), 0),                           // nothing new
            (log(43, 44), 3),                           // three came
            (SlowSeen { newest: None, entries: 0 }, 3), // the log was emptied
            (log(44, 1), 4),                            // and one came
            (log(1, 2), 6),                             // Redis was started anew
            (log(301, 256), 262),                       // more than the log holds
        ];
        for (seen, counted) in looks {
            slow.note(seen);
            assert_eq!(counter.get(), counted, "{seen:?}");
        }
    }

    #[test]
    fn a_log_that_is_empty_at_first_is_a_look_too() {
        let counter = IntCounter::new("slow", "slow").unwrap();
        let slow = SlowCommands::new(counter.clone());
        slow.note(SlowSeen { newest: None, entries: 0 });
        slow.note(log(0, 1));
        assert_eq!(counter.get(), 1);
    }
}
