//! Reads the slow log of the ledger's server during a run, through the server under test: slow commands, and restarts. A
//! restart empties the slow log, so it is read after every step.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::{Counter, Measures};
use crate::pool::messages::MAX_SLOW_ACKS;
use crate::report::summary::SlowCommand;
use crate::target::{SlowLog, Target};

/// A command: the start of the server that ran it, and its id there.
type Key = (String, u64);

/// See [module](self).
#[derive(Debug, Default)]
pub struct SlowLogReader {
    before: BTreeSet<Key>,
    seen: BTreeMap<Key, SlowCommand>,
    /// Starts of the server, in order.
    starts: Vec<String>,
    unreadable: Option<String>,
}

impl SlowLogReader {
    /// Begins; commands in the log by now are not part of the run.
    pub async fn begin(target: &Target) -> Self {
        let mut reader = Self::default();
        if let Ok(log) = target.slow_log().await {
            reader.before = log.commands.iter().map(|slow| (log.start(), slow.id)).collect();
            reader.add(log);
        }
        reader
    }

    /// Reads the log. It may fail while a server restarts.
    pub async fn read(&mut self, target: &Target) {
        if let Ok(log) = target.quick_slow_log().await {
            self.add(log);
        }
    }

    fn add(&mut self, log: SlowLog) {
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

    /// Reads the log for the last time and adds to the counters. Gives the slowest commands, and a remark if the log could
    /// not be read: then nothing is counted, and thresholds on it do not hold.
    pub async fn end(mut self, target: &Target, measures: &mut Measures) -> (Vec<SlowCommand>, Option<String>) {
        match target.slow_log().await {
            Ok(log) => self.add(log),
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
        slowest.truncate(MAX_SLOW_ACKS);
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
    fn commands_before_a_restart_are_counted_once() {
        let mut reader = SlowLogReader { before: [("a".to_owned(), 1)].into(), ..SlowLogReader::default() };
        for seen in [log("a", &[1]), log("a", &[2, 1]), log("a", &[3, 2, 1]), log("b", &[]), log("b", &[1, 0])] {
            reader.add(seen);
        }
        assert_eq!(reader.starts, ["a", "b"]);
        let seen: Vec<_> = reader.seen.keys().map(|(start, id)| (start.as_str(), *id)).collect();
        assert_eq!(seen, [("a", 2), ("a", 3), ("b", 0), ("b", 1)]);
    }
}
