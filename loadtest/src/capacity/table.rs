//! Tables of `loadtest plan` for the terminal.

use super::check::Checked;
use super::constants::Constants;
use super::model::{self, Need};
use crate::console::aligned;

/// A row's name, and its value of an estimate.
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

/// A column for each estimate.
pub fn needs(needs: &[Need]) -> String {
    let rows = ROWS
        .iter()
        .map(|(name, read)| [(*name).to_owned()].into_iter().chain(needs.iter().map(read)).collect::<Vec<_>>());
    aligned(&[], 1, rows)
}

/// The constants and the assumptions.
pub fn basis(c: &Constants) -> String {
    format!(
        "\nconstants of {} ({}, commit {}):\n  server: {} µs a tally frame, {} µs a vote, {} µs a hello, {} µs a join, {} µs a voter and second\n  \
         Redis: {} µs a vote (everysec), {} µs (always); memory: {} bytes a voter, {} in the kernel; in Redis {} a voter, {} a ballot\n\
         assumed: {:.0} % of a core or of memory may be in use; pods of {} core and {}; {} voters a pod at most (open files)\n  \
         everybody joins within {} s and sends a ping every {} s; {} rounds are kept; a commit takes {} ms, and {} µs of Redis in addition to its votes\n  \
         at most {} publishes per second and partition, each delivered to every pod ({} µs); {} bytes of headers around a frame\n\
         docs/loadtest.md has the formulas\n",
        c.date,
        c.machine,
        c.commit,
        c.frame_us,
        c.vote_us,
        c.hello_us,
        c.join_us,
        c.idle_us_per_voter_s,
        c.redis_vote_us_everysec,
        c.redis_vote_us_always,
        c.voter_bytes,
        c.socket_kernel_bytes,
        c.voter_redis_bytes,
        c.ballot_redis_bytes,
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

/// The model against a measured run.
pub fn checked(all: &[Checked]) -> String {
    let rows = all.iter().map(|row| {
        vec![
            row.phase.clone(),
            format!("{:.2} s", row.planned_cpu_seconds),
            format!("{:.2} s", row.measured_cpu_seconds),
            format!("{:.2}", row.measured_cpu_seconds / row.planned_cpu_seconds.max(1e-9)),
            bytes(row.planned_bytes),
            bytes(row.measured_bytes),
            format!("{:.2}", row.measured_bytes / row.planned_bytes.max(1.0)),
        ]
    });
    let heads = ["phase", "planned CPU", "measured", "ratio", "planned memory", "measured", "ratio"];
    aligned(&heads, 1, rows) + "ratio: measured divided by planned; above 1 the plan is too low\n"
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
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
}
