//! Logs: one line a fact, text for people on a terminal, JSON for machines.
//!
//! What was done to a room, by whom, is the audit log: its lines carry `"stream": "audit"`, so that a collector can
//! part them from operating logs, and no filter hides them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Target of the audit log.
pub const AUDIT: &str = "audit";

/// Writes a line of the audit log: what happened, then fields as in `tracing`.
#[macro_export]
macro_rules! audit {
    ($event:literal, $($fields:tt)*) => {
        tracing::info!(target: $crate::telemetry::AUDIT, stream = "audit", event = $event, $($fields)*)
    };
}

/// Starts logging, once a process.
///
/// # Errors
/// The filter is malformed, or logging was started before.
pub fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{},{AUDIT}=info", settings.filter))
        .map_err(|error| anyhow::anyhow!("settings: log.filter can not be read: {error}"))?;
    let json = match settings.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    let started = if json {
        lines.json().flatten_event(true).with_writer(std::io::stdout).try_init()
    } else {
        // people read the links on stdout; log lines stay beside them
        lines.with_target(false).with_writer(std::io::stderr).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))
}
