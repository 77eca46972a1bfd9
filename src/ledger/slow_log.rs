//! What a ledger says of its own slow commands.

use std::time::Duration;

use crate::domain::LedgerMs;

/// The slow log of a ledger's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowLog {
    /// The commands it remembers, newest first. A restart of the server forgets them.
    pub commands: Vec<SlowCommand>,
    /// One start of the server: another value says that it was restarted, or that another has taken its place.
    pub server_run: Option<String>,
    /// Commands that take longer are remembered; `None`: the server does not say.
    pub longer_than: Option<Duration>,
    /// Why there is nothing to read, for people; `None`: the commands were read.
    pub unreadable_because: Option<String>,
}

/// A command that took long. Never what was in it: keys and values may tell who voted for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowCommand {
    /// Rises by one with each slow command, from 0 at each start of the server.
    pub id: u64,
    /// When it was done, by the ledger's clock, in whole seconds.
    pub at: LedgerMs,
    /// How long the server did nothing else.
    pub took: Duration,
    /// Its name; of a script of ours the script's, as in `EVALSHA commit`.
    pub command: String,
}

/// How far a slow log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowSeen {
    /// The id of its newest command; `None`: it is empty.
    pub newest: Option<u64>,
    /// How many commands lie in it.
    pub entries: u64,
}

impl SlowLog {
    /// One that cannot be read.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self { commands: vec![], server_run: None, longer_than: None, unreadable_because: Some(why.into()) }
    }
}
