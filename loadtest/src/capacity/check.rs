//! `loadtest plan --check`: compares the model with a measured run.

use std::path::Path;

use serde::Serialize;

use super::constants::Constants;
use super::model::BASE_BYTES;
use crate::console::usage_error;
use crate::report::summary::{PhaseSummary, Summary};

/// A phase, estimated and measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Its name.
    pub phase: String,
    /// Estimated CPU seconds.
    pub planned_cpu_seconds: f64,
    /// Measured CPU seconds.
    pub measured_cpu_seconds: f64,
    /// Estimated memory.
    pub planned_bytes: f64,
    /// Measured memory at the end of the phase.
    pub measured_bytes: f64,
}

/// Compares every phase with a measured server.
///
/// # Errors
/// The file is not a summary, or the server was not measured.
pub fn check(path: &Path, constants: &Constants) -> anyhow::Result<Vec<Checked>> {
    let wrong = |why: String| usage_error(format!("--check {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("{error}; write one with `run --json`")))?;
    let summary: Summary = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("this is not a summary ({error}); write one with `run --json`")))?;
    let checked: Vec<_> = summary.phases.iter().filter_map(|phase| compare(phase, constants)).collect();
    match checked.is_empty() {
        true => Err(wrong("the server was not measured in this run; use --start, or name it with --pid".into())),
        false => Ok(checked),
    }
}

fn compare(phase: &PhaseSummary, c: &Constants) -> Option<Checked> {
    let used = phase.server?;
    let connected = phase.connected.max(0) as f64;
    let frames = phase.frames.saturating_sub(phase.casts) as f64;
    let planned_us = frames * c.frame_us
        + phase.casts as f64 * c.vote_us
        + phase.joins as f64 * (c.join_us + c.hello_us)
        + phase.reconnects as f64 * c.hello_us
        + connected * phase.seconds * c.idle_us_per_voter_s;
    Some(Checked {
        phase: phase.name.clone(),
        planned_cpu_seconds: planned_us / 1e6,
        measured_cpu_seconds: used.cpu_seconds,
        planned_bytes: BASE_BYTES + connected * c.voter_bytes,
        measured_bytes: used.rss_bytes as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Usage;

    #[test]
    fn the_estimate_of_a_phase_is_the_sum_of_its_parts() {
        let constants = Constants::shipped().unwrap();
        let mut phase = PhaseSummary { casts: 1000, frames: 11_000, ..PhaseSummary::default() };
        assert_eq!(compare(&phase, &constants), None);
        phase.server = Some(Usage { cpu_seconds: 0.1, rss_bytes: 1 });
        let checked = compare(&phase, &constants).unwrap();
        let expected = (10_000.0 * constants.frame_us + 1000.0 * constants.vote_us) / 1e6;
        assert!((checked.planned_cpu_seconds - expected).abs() < 1e-9);
    }
}
