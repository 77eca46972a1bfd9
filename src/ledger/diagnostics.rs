//! How the ledger is doing: its health, and its own slow commands.

use std::time::Duration;

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::LedgerMs;

/// The result of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The ledger's time.
    pub now: LedgerMs,
    /// Why an acknowledged vote might not survive a power cut; `None` if it would, which was checked.
    pub unsafe_because: Option<String>,
    /// How far the slow log has come; `None` if there is none, or if it cannot be read.
    pub slow_log: Option<SlowSeen>,
}

/// The slow log of a ledger's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowLog {
    /// The logged commands, newest first. A restart of the server clears them.
    pub commands: Vec<SlowCommand>,
    /// Identifies one run of the server: it differs after a restart, and on another server.
    pub server_run: Option<String>,
    /// Commands that take longer are logged; `None` if the server does not tell.
    pub longer_than: Option<Duration>,
    /// Why there is nothing to read, for people; `None` if the commands were read.
    pub unreadable_because: Option<String>,
}

/// A slow command. Its keys and values are left out: they may tell who voted for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowCommand {
    /// Rises by one with each slow command, from 0 at each start of the server.
    pub id: u64,
    /// When it was done, by the ledger's clock, in whole seconds.
    pub at: LedgerMs,
    /// How long the server was busy with it.
    pub took: Duration,
    /// The command's name; for one of our scripts with the script's name, as in `EVALSHA commit`.
    pub command: String,
}

/// How far a slow log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowSeen {
    /// The id of its newest command; `None` if it is empty.
    pub newest: Option<u64>,
    /// How many commands it holds.
    pub entries: u64,
}

impl SlowLog {
    /// A slow log that cannot be read.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self { commands: vec![], server_run: None, longer_than: None, unreadable_because: Some(why.into()) }
    }
}

/// How the ledger is doing.
#[async_trait]
pub trait Diagnostics: Send + Sync + 'static {
    /// `embedded` or `redis`.
    fn kind(&self) -> &'static str;

    /// Asks the ledger for the cheapest answer it can give.
    ///
    /// # Errors
    /// The ledger does not answer.
    async fn ping(&self) -> Result<(), LedgerError>;

    /// Asks the ledger for its time, and checks that it takes writes and keeps them.
    ///
    /// # Errors
    /// The ledger does not answer, or does not take writes.
    async fn check(&self) -> Result<Health, LedgerError>;

    /// Which commands the ledger's server found slow.
    ///
    /// # Errors
    /// See [`LedgerError`]. A slow log that is missing or forbidden is not an error, see
    /// [`SlowLog::unreadable_because`].
    async fn slow_log(&self) -> Result<SlowLog, LedgerError>;
}
