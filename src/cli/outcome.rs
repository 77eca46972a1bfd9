//! How a command ends, and where its results go.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// How a command ended. Scripts rely on the codes, which docs/event-files.md lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as it should be.
    Fine = 0,
    /// The command failed: bad arguments, no server, a refusal.
    Failed = 1,
    /// `plan` found a difference.
    Differs = 2,
    /// `audit` or `check` found something wrong.
    Wrong = 3,
    /// `audit` or `check` found nothing wrong, but could not check everything.
    Unseen = 4,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}

/// Writes a result to stdout: in colour on a terminal, unless `NO_COLOR` is set (no-color.org), and else as plain text. A
/// reader that closes stdout early, as `head` does, is not an error.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(result: impl Display) -> anyhow::Result<()> {
    match writeln!(anstream::stdout(), "{result}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
