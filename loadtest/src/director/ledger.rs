//! Watches the ledger's server during a run, through the server under test: which of its commands were slow, and whether
//! it was restarted. A restart forgets the slow log, so it is read again and again.

use std::collections::{BTreeMap, BTreeSet};

use crate::crew::shared::SLOWEST;
use crate::metrics::{Counter, Measures};
use crate::report::summary::SlowCommand;
use crate::target::{SlowLog, Target};

/// One command: the start of the server that did it, and its number there.
type Key = (String, u64);

/// See [module](self).
#[derive(Debug, Default)]
pub struct LedgerWatch {
    before: BTreeSet<Key>,
    seen: BTreeMap<Key, SlowCommand>,
    /// Starts of the server, in the order in which they were met.
    starts: Vec<String>,
    unreadable: Option<String>,
}

impl LedgerWatch {
    /// What was slow before the run is not the run's.
    pub async fn begin(target: &Target) -> Self {
        let mut watch = Self::default();
        if let Ok(log) = target.slow_log().await {
            watch.before = log.commands.iter().map(|slow| (log.start(), slow.id)).collect();
            watch.take(log);
        }
        watch
    }

    /// Looks in passing: it may fail while something is being restarted.
    pub async fn look(&mut self, target: &Target) {
        if let Ok(log) = target.glance_at_slow_log().await {
            self.take(log);
        }
    }

    fn take(&mut self, log: SlowLog) {
        let start = log.start();
        if !start.is_empty() && self.starts.last() != Some(&start) {
            self.starts.push(start.clone());
        }
        for slow in log.commands {
            let key = (start.clone(), slow.id);
            if !self.before.contains(&key) {
                let micros = i64::try_from(slow.us).unwrap_or(i64::MAX);
                let at_unix = i64::try_from(slow.at / 1000).unwrap_or(i64::MAX);
                self.seen.insert(key, SlowCommand { at_unix, micros, command: slow.command });
            }
        }
        self.unreadable = log.unreadable;
    }

    /// Looks for the last time, counts what was found, and gives the slowest commands, and what could not be seen. What
    /// could not be read is not counted: a threshold on it does not hold then.
    pub async fn end(mut self, target: &Target, measures: &mut Measures) -> (Vec<SlowCommand>, Option<String>) {
        match target.slow_log().await {
            Ok(log) => self.take(log),
            Err(error) => self.unreadable = Some(format!("{error:#}")),
        }
        if let Some(restarts) = self.starts.len().checked_sub(1) {
            measures.count(Counter::LedgerRestarts, restarts as u64);
        }
        if let Some(why) = self.unreadable {
            return (vec![], Some(format!("the ledger's slow log was not read: {why}")));
        }
        measures.count(Counter::SlowCommands, self.seen.len() as u64);
        let mut slowest: Vec<_> = self.seen.into_values().collect();
        slowest.sort_by_key(|slow| std::cmp::Reverse(slow.micros));
        slowest.truncate(SLOWEST);
        (slowest, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(start: &str, ids: &[u64]) -> SlowLog {
        let commands: Vec<_> = ids
            .iter()
            .map(|id| serde_json::json!({"id": id, "at": 1_795_186_968_000_u64, "us": 10 * id, "command": "EVALSHA commit"}))
            .collect();
        serde_json::from_value(serde_json::json!({"ledger": "redis", "server_run": start, "commands": commands}))
            .unwrap()
    }

    #[test]
    fn what_a_restart_forgets_was_read_before_and_counts_once() {
        let mut watch = LedgerWatch { before: [("a".to_owned(), 1)].into(), ..LedgerWatch::default() };
        for seen in [log("a", &[1]), log("a", &[2, 1]), log("a", &[3, 2, 1]), log("b", &[]), log("b", &[1, 0])] {
            watch.take(seen);
        }
        assert_eq!(watch.starts, ["a", "b"]);
        let seen: Vec<_> = watch.seen.keys().map(|(start, id)| (start.as_str(), *id)).collect();
        assert_eq!(seen, [("a", 2), ("a", 3), ("b", 0), ("b", 1)]);
    }
}
