//! `loadtest plan`: estimates pods, Redis and network for a number of voters.

mod model;

use anyhow::Context;

use crate::cli::PlanArguments;
use crate::console::{aligned, print, usage_error};
use model::{Constants, Need, Question, need};

/// What `make bench` measured, as of the build of this program.
const CONSTANTS: &str = include_str!("../../../bench/constants.toml");
/// Voters of `--table`.
const SIZES: [f64; 5] = [1e3, 1e4, 1e5, 1e6, 1e7];

/// A row of the table: its name, and its value of an estimate.
type Row = (&'static str, fn(&Need) -> String);

const ROWS: [Row; 19] = [
    ("voters", |n| count(n.voters)),
    ("taps per second", |n| count(n.taps_per_second)),
    ("pods", |n| count(n.pods)),
    ("  decided by", |n| n.pods_by.to_owned()),
    ("tallies per second, to each", |n| number(n.tallies_per_second)),
    ("server cores, voting", |n| number(n.voting_cores)),
    ("server cores, joining", |n| number(n.joining_cores)),
    ("share of the pods' cores", |n| format!("{:.0} %", n.utilisation * 100.0)),
    ("server memory", |n| bytes(n.server_bytes)),
    ("kernel memory, sockets", |n| bytes(n.kernel_bytes)),
    ("partitions", |n| count(n.partitions)),
    ("Redis commits per second", |n| count(n.redis_calls_per_second)),
    ("Redis cores, everysec", |n| number(n.redis_cores_everysec)),
    ("Redis cores, always", |n| number(n.redis_cores_always)),
    ("Redis memory", |n| bytes(n.redis_bytes)),
    ("publishes per second", |n| count(n.publishes_per_second)),
    ("  to all pods", |n| format!("{} ({} Mbit/s)", count(n.feed_messages_per_second), number(n.feed_mbit_per_second))),
    ("network in, Mbit/s", |n| number(n.in_mbit_per_second)),
    ("network out, Mbit/s", |n| number(n.out_mbit_per_second)),
];

/// Prints the estimate, and what it is based on.
///
/// # Errors
/// An option is out of its range.
pub fn plan(arguments: &PlanArguments) -> anyhow::Result<()> {
    let constants = constants()?;
    let sizes = if arguments.table { SIZES.to_vec() } else { vec![arguments.voters as f64] };
    let needs = sizes
        .into_iter()
        .map(|voters| Ok(need(question(arguments, voters)?, &constants)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let rows =
        ROWS.iter().map(|(name, value)| [(*name).to_owned()].into_iter().chain(needs.iter().map(value)).collect());
    print(&format!("{}\n{}\n{CONSTANTS}", aligned(&[], 1, rows), assumptions()));
    Ok(())
}

fn constants() -> anyhow::Result<Constants> {
    toml::from_str(CONSTANTS).context("bench/constants.toml")
}

fn question(arguments: &PlanArguments, voters: f64) -> anyhow::Result<Question> {
    let tick_seconds = arguments.tick.as_secs_f64();
    let taps_per_second = arguments.taps_per_second.unwrap_or(voters / 10.0);
    if !(0.02..=2.0).contains(&tick_seconds) {
        return Err(usage_error("--tick must be from 20ms to 2s, as the server's server.tick_ms"));
    }
    if !taps_per_second.is_finite() || taps_per_second < 0.0 {
        return Err(usage_error("--taps-per-second must be 0 or more"));
    }
    Ok(Question { voters, taps_per_second, tick_seconds, pods: arguments.pods.map(|pods| pods as f64) })
}

fn assumptions() -> String {
    format!(
        "{:.0} % of a core or of memory may be in use; a pod has {} core and {}, and at most {} voters (open files)\n\
         everybody joins within {} s and sends a ping every {} s; {} rounds are kept\n\
         a commit takes {} ms, and {} µs of Redis in addition to its votes\n\
         at most {} publishes per second and partition, each delivered to every pod ({} µs); {} bytes of headers around a frame\n\
         docs/loadtest.md has the formulas\n",
        model::MAX_UTILISATION * 100.0,
        model::POD_CORES,
        bytes(model::POD_BYTES),
        count(model::MAX_POD_SOCKETS),
        model::JOIN_SECONDS,
        model::PING_SECONDS,
        model::ROUNDS,
        model::COMMIT_SECONDS * 1000.0,
        model::CALL_US,
        model::PUBLISHES,
        model::DELIVERY_US,
        model::PACKET_BYTES,
    )
}

fn number(number: f64) -> String {
    match number {
        n if n >= 100.0 => count(n),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// A whole number with commas.
fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.round());
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn bytes(bytes: f64) -> String {
    match bytes / 1024f64.powi(2) {
        mib if mib >= 10_240.0 => format!("{:.1} GiB", mib / 1024.0),
        mib => format!("{mib:.0} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([count(1_234_567.0), count(999.6), count(0.0)], ["1,234,567", "1,000", "0"]);
        assert_eq!([number(0.428), number(12.34), number(1234.5)], ["0.43", "12.3", "1,235"]);
        assert_eq!([bytes(536_870_912.0), bytes(2e10)], ["512 MiB", "18.6 GiB"]);
    }

    #[test]
    fn the_shipped_constants_can_be_read() {
        let shipped = constants().unwrap();
        assert!(shipped.frame_us > 0.0 && shipped.voter_bytes > 0.0);
    }
}
