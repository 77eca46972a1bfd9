//! How a command ends, and where its results go.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// How a command ended. What stands in docs/event-files.md is what scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it should be.
    Fine = 0,
    /// It could not be done: bad arguments, no server, a refusal.
    Failed = 1,
    /// `plan` found a difference.
    Differs = 2,
    /// `audit` or `check` found something wrong.
    Wrong = 3,
    /// `check` found nothing wrong, and could not see everything.
    Unseen = 4,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}

/// Writes a result to stdout. Whoever has read enough of it, as `head` does, may go.
pub fn say(result: impl Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{result}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
