//! Row 14: ninety thousand voters over five pods, by the load test with several processes.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::lab::{Aof, Lab, Store};
use crate::procs::BOTH_CORES;
use crate::table::{Limit, Row};
use crate::tallycast::EMCEE_KEY;

const SCENARIO: &str = "loadtest/scenarios/ninety-thousand.toml";
const PODS: usize = 5;
const PROCESSES: usize = 5;
/// Local addresses of the load test.
const SOURCES: usize = 10;

/// Row 14.
pub fn ninety_thousand(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    // a tally per second, and space for just over a fifth of the voters on each pod
    let settings = [("TALLYCAST__SERVER__TICK_MS", "1000"), ("TALLYCAST__SERVER__MAX_SOCKETS", "18500")];
    let deployment = lab.deploy_with(Store::Redis(Aof::Always), PODS, BOTH_CORES, &settings)?;
    let summary = lab.options.root.join("target/bench/ninety-thousand.json");
    let mut command = Command::new("taskset");
    command
        .args(["-c", BOTH_CORES])
        .arg(&lab.options.loadtest)
        .arg("run")
        .arg(lab.options.root.join(SCENARIO))
        .args(["--key", EMCEE_KEY]);
    command.args(["--processes", &PROCESSES.to_string()]).arg("--json").arg(&summary);
    for port in deployment.ports() {
        command.args(["--url", &format!("http://127.0.0.1:{port}")]);
    }
    // not the address that pods and Redis use
    let sources: Vec<String> = (2..2 + SOURCES).map(|host| format!("127.0.0.{host}")).collect();
    command.args(["--source", &sources.join(",")]);
    let done = command.status().with_context(|| format!("starting {}", lab.options.loadtest.display()))?;
    ensure!(done.code().is_some(), "the load test was ended by a signal");
    let text = std::fs::read(&summary).context("the load test wrote no summary")?;
    let summary: Value = serde_json::from_slice(&text)?;

    let exact = summary["audit"]["exact"].as_bool().context("audit.exact in the summary")?;
    let errors = summary["errors"].as_object().context("errors in the summary")?;
    let errors = errors.values().filter_map(Value::as_f64).fold(0.0, |sum, count| sum + count);
    let row = Row::new(14, "90,000 voters over five pods: errors and refusals", "", errors);
    let note = format!("audit {}; exit code {}", if exact { "exact" } else { "not exact" }, done.code().unwrap_or(-1));
    // without an exact audit there is no result
    let row = Row { ours: if exact { errors } else { f64::NAN }, ..row };
    report(row.must([Limit::most(0.0)]).note(note));
    Ok(())
}
