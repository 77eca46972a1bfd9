//! `loadtest plan`: estimates pods, Redis and network for a number of voters.

mod check;
mod constants;
mod model;
mod table;

use serde_json::json;

use crate::cli::PlanArguments;
use crate::console::{print, usage_error};
use constants::Constants;
use model::{Question, need};

/// Voters of `--table`.
const SIZES: [f64; 5] = [1e3, 1e4, 1e5, 1e6, 1e7];

/// Prints the estimate.
///
/// # Errors
/// An option is out of its range, or the file of `--check` is not a summary.
pub fn plan(arguments: &PlanArguments) -> anyhow::Result<()> {
    let constants = Constants::shipped()?;
    if let Some(path) = &arguments.check {
        let checked = check::check(path, &constants)?;
        match arguments.json {
            true => print(&format!("{:#}\n", json!({"checked": checked, "constants": constants}))),
            false => print(&format!("{}{}", table::checked(&checked), table::basis(&constants))),
        }
        return Ok(());
    }
    let sizes = if arguments.table { SIZES.to_vec() } else { vec![arguments.voters as f64] };
    let questions = sizes.into_iter().map(|voters| question(arguments, voters)).collect::<anyhow::Result<Vec<_>>>()?;
    let needs: Vec<_> = questions.into_iter().map(|question| need(question, &constants)).collect();
    match arguments.json {
        true => print(&format!("{:#}\n", json!({"needs": needs, "constants": constants}))),
        false => print(&format!("{}{}", table::needs(&needs), table::basis(&constants))),
    }
    Ok(())
}

fn question(arguments: &PlanArguments, voters: f64) -> anyhow::Result<Question> {
    let tick_seconds = arguments.tick.0.as_secs_f64();
    let taps_per_second = arguments.taps_per_second.unwrap_or(voters / 10.0);
    if voters < 1.0 {
        return Err(usage_error("--voters must be 1 or more"));
    }
    if !(0.02..=2.0).contains(&tick_seconds) {
        return Err(usage_error("--tick must be from 20ms to 2s, as the server's server.tick_ms"));
    }
    if !taps_per_second.is_finite() || taps_per_second < 0.0 {
        return Err(usage_error("--taps-per-second must be 0 or more"));
    }
    if arguments.pods == Some(0) {
        return Err(usage_error("--pods must be 1 or more"));
    }
    Ok(Question { voters, taps_per_second, tick_seconds, pods: arguments.pods.map(|pods| pods as f64) })
}
