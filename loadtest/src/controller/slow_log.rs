//! Reads the slow log of the ledger's server during a run, through the server under test: slow commands, and restarts. A
//! restart empties the slow log, so it is read after every step.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use crate::metrics::{Counter, Measures};
use crate::target::Target;

const PATH: &str = "ledger/slow-log";
/// Time for reading it during a run. It may fail while a server restarts.
const QUICK_TIMEOUT: Duration = Duration::from_secs(3);

/// `GET /ledger/slow-log`, as far as it is needed.
#[derive(Debug, Deserialize)]
struct SlowLog {
    /// Identifies one start of the ledger's server.
    server_run: Option<String>,
    commands: Vec<SlowCommand>,
    /// Why it cannot be read.
    unreadable: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SlowCommand {
    /// Counts up from 0 at each start of the ledger's server.
    id: u64,
}

/// See [module](self).
#[derive(Debug, Default)]
pub struct SlowLogReader {
    /// Commands that were there before the run: the start that ran each, and its id there.
    before: BTreeSet<(String, u64)>,
    seen: BTreeSet<(String, u64)>,
    /// Starts of the server, in order.
    starts: Vec<String>,
    unreadable: Option<String>,
}

impl SlowLogReader {
    /// Begins; commands in the log by now are not part of the run.
    pub async fn begin(target: &Target) -> Self {
        let mut reader = Self::default();
        if let Ok(log) = target.get(PATH).await {
            reader.add(log);
            reader.before = std::mem::take(&mut reader.seen);
        }
        reader
    }

    /// Reads the log.
    pub async fn read(&mut self, target: &Target) {
        if let Ok(Ok(log)) = timeout(QUICK_TIMEOUT, target.get(PATH)).await {
            self.add(log);
        }
    }

    fn add(&mut self, log: SlowLog) {
        let start = log.server_run.unwrap_or_default();
        if !start.is_empty() && self.starts.last() != Some(&start) {
            self.starts.push(start.clone());
        }
        let commands = log.commands.iter().map(|command| (start.clone(), command.id));
        self.seen.extend(commands.filter(|command| !self.before.contains(command)));
        self.unreadable = log.unreadable;
    }

    /// Reads the log for the last time and adds to the counters. Gives a remark if the log could not be read: then nothing
    /// is counted, and thresholds on it do not hold.
    pub async fn end(mut self, target: &Target, measures: &mut Measures) -> Option<String> {
        match target.get(PATH).await {
            Ok(log) => self.add(log),
            Err(error) => self.unreadable = Some(format!("{error:#}")),
        }
        if let Some(restarts) = self.starts.len().checked_sub(1) {
            measures.count(Counter::LedgerRestarts, restarts as u64);
        }
        if self.unreadable.is_none() {
            measures.count(Counter::SlowCommands, self.seen.len() as u64);
        }
        self.unreadable.map(|why| format!("the ledger's slow log was not read: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_before_a_restart_are_counted_once() {
        let mut reader = SlowLogReader { before: [("a".to_owned(), 1)].into(), ..SlowLogReader::default() };
        for (start, ids) in [("a", &[1][..]), ("a", &[2, 1]), ("a", &[3, 2, 1]), ("b", &[]), ("b", &[1, 0])] {
            let commands = ids.iter().map(|id| SlowCommand { id: *id }).collect();
            reader.add(SlowLog { server_run: Some(start.to_owned()), commands, unreadable: None });
        }
        assert_eq!(reader.starts, ["a", "b"]);
        let seen: Vec<_> = reader.seen.iter().map(|(start, id)| (start.as_str(), *id)).collect();
        assert_eq!(seen, [("a", 2), ("a", 3), ("b", 0), ("b", 1)]);
    }
}
