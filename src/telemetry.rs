//! Logs: lines of text for people, or of JSON for machines.
//!
//! The audit log says what was done to a room, and by whom. Its lines have `"stream": "audit"`, so that a collector can
//! separate them from operating logs, and no filter hides them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// The target of the audit log.
pub const AUDIT: &str = "audit";
/// The target of what a process reports about itself: that it has started, and why it failed. No filter hides it.
pub const PROCESS: &str = "process";

/// Writes a line of the audit log: the event, then fields as in `tracing`.
#[macro_export]
macro_rules! audit {
    ($event:literal, $($fields:tt)*) => {
        tracing::info!(target: $crate::telemetry::AUDIT, stream = "audit", event = $event, $($fields)*)
    };
}

/// How this process writes, by who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// For people at a terminal: URLs with the key on standard output, log lines as text on standard error.
    Terminal,
    /// For people who read a file later: log lines as text on standard error, and nothing on standard output.
    File,
    /// For machines: one JSON object a line on standard output, and nothing else.
    Machine,
}

impl OutputMode {
    /// The mode for the setting `log.format`. It also depends on whether standard output is a terminal.
    pub fn of(format: LogFormat) -> Self {
        match (format, std::io::stdout().is_terminal()) {
            (LogFormat::Json, _) | (LogFormat::Auto, false) => Self::Machine,
            (LogFormat::Auto | LogFormat::Text, true) => Self::Terminal,
            (LogFormat::Text, false) => Self::File,
        }
    }

    /// Reports why the process ends.
    pub fn report_failure(self, error: &anyhow::Error) {
        match self {
            Self::Terminal | Self::File => eprintln!("tallycast: {error:#}"),
            Self::Machine => tracing::error!(target: PROCESS, "{error:#}"),
        }
    }
}

/// Starts logging. It must be called once in a process.
///
/// # Errors
/// The filter is not valid. Lines are written nevertheless, so that this error can be reported.
pub fn init(settings: &LogSettings, output: OutputMode) -> anyhow::Result<()> {
    let always = format!("{AUDIT}=info,{PROCESS}=info");
    let wanted = EnvFilter::try_new(format!("{},{always}", settings.filter));
    let invalid = wanted.as_ref().err().map(|error| anyhow::anyhow!("settings: log.filter cannot be read: {error}"));
    let lines = tracing_subscriber::fmt().with_env_filter(wanted.unwrap_or_else(|_| EnvFilter::new(always)));
    let started = match output {
        OutputMode::Machine => lines.json().flatten_event(true).with_writer(std::io::stdout).try_init(),
        OutputMode::Terminal | OutputMode::File => lines.with_target(false).with_writer(std::io::stderr).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))?;
    invalid.map_or(Ok(()), Err)
}
