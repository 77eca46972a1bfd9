//! Ninety thousand voters over five pods, by the load test with several processes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::lab::{Lab, Store};
use crate::room::EMCEE_KEY;
use crate::server::BOTH_CORES;

const SCENARIO: &str = "loadtest/scenarios/ninety-thousand.toml";
const SUMMARY: &str = "target/bench/ninety-thousand.json";
const PODS: usize = 5;
const PROCESSES: usize = 5;
/// Local addresses of the load test.
const SOURCES: usize = 10;

/// Number of errors and refusals, and the end of the load test in words. Without an exact audit the number is infinite.
pub fn ninety_thousand(lab: &Lab) -> Result<(f64, String)> {
    // a tally per second, and space for just over a fifth of the voters on each pod
    let settings = [("TALLYCAST__SERVER__TICK_MS", "1000"), ("TALLYCAST__SERVER__MAX_SOCKETS", "18500")];
    let (pods, _redis) = lab.tallycast(Store::RedisAlways, PODS, BOTH_CORES, &settings)?;
    let mut command = Command::new("taskset");
    command.args(["-c", BOTH_CORES]).arg(&lab.options.loadtest).args(["run", SCENARIO, "--key", EMCEE_KEY]);
    command.args(["--processes", &PROCESSES.to_string(), "--json", SUMMARY]);
    for pod in &pods {
        command.args(["--url", &pod.url("http")]);
    }
    // not the address that pods and Redis use
    let sources: Vec<String> = (2..2 + SOURCES).map(|host| format!("127.0.0.{host}")).collect();
    command.args(["--source", &sources.join(",")]);
    let done = command.status().with_context(|| format!("starting {}", lab.options.loadtest.display()))?;
    ensure!(done.code().is_some(), "the load test was ended by a signal");
    let text = std::fs::read(Path::new(SUMMARY)).context("the load test wrote no summary")?;
    let summary: Value = serde_json::from_slice(&text)?;

    let is_exact = summary["audit"]["exact"].as_bool().context("audit.exact in the summary")?;
    let errors = summary["errors"].as_object().context("errors in the summary")?;
    let errors: f64 = errors.values().filter_map(Value::as_f64).sum();
    let audit = if is_exact { "exact" } else { "not exact" };
    let note = format!("audit {audit}; exit code {}", done.code().unwrap_or(-1));
    Ok((if is_exact { errors } else { f64::INFINITY }, note))
}
