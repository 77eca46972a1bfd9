//! What a process writes: log lines, one a fact, as text for people or as JSON for machines.
//!
//! What was done to a room, by whom, is the audit log: its lines carry `"stream": "audit"`, so that a collector can
//! part them from operating logs, and no filter hides them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Target of the audit log.
pub const AUDIT: &str = "audit";
/// Target of what a process says of itself: what has started, and why it failed. No filter hides it.
pub const PROCESS: &str = "process";

/// Writes a line of the audit log: what happened, then fields as in `tracing`.
#[macro_export]
macro_rules! audit {
    ($event:literal, $($fields:tt)*) => {
        tracing::info!(target: $crate::telemetry::AUDIT, stream = "audit", event = $event, $($fields)*)
    };
}

/// Who reads what this process writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// People at a terminal: links with the key on standard output, log lines as text on standard error.
    Terminal,
    /// People, later: log lines as text on standard error, and nothing on standard output.
    File,
    /// Machines: one JSON object a line on standard output, and nothing else.
    Machine,
}

impl Reader {
    /// Whom the settings and standard output are for.
    pub fn of(format: LogFormat) -> Self {
        match (format, std::io::stdout().is_terminal()) {
            (LogFormat::Json, _) | (LogFormat::Auto, false) => Self::Machine,
            (LogFormat::Auto | LogFormat::Text, true) => Self::Terminal,
            (LogFormat::Text, false) => Self::File,
        }
    }

    /// Says why the process ends.
    pub fn told_why(self, error: &anyhow::Error) {
        match self {
            Self::Terminal | Self::File => eprintln!("tallycast: {error:#}"),
            Self::Machine => tracing::error!(target: PROCESS, "{error:#}"),
        }
    }
}

/// Starts logging, once a process.
///
/// # Errors
/// The filter is malformed: lines are written nevertheless, so that this can be said.
pub fn init(settings: &LogSettings, reader: Reader) -> anyhow::Result<()> {
    let always = format!("{AUDIT}=info,{PROCESS}=info");
    let wanted = EnvFilter::try_new(format!("{},{always}", settings.filter));
    let wrong = wanted.as_ref().err().map(|error| anyhow::anyhow!("settings: log.filter cannot be read: {error}"));
    let lines = tracing_subscriber::fmt().with_env_filter(wanted.unwrap_or_else(|_| EnvFilter::new(always)));
    let started = match reader {
        Reader::Machine => lines.json().flatten_event(true).with_writer(std::io::stdout).try_init(),
        Reader::Terminal | Reader::File => lines.with_target(false).with_writer(std::io::stderr).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))?;
    wrong.map_or(Ok(()), Err)
}
