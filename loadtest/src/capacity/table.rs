//! Tables of `loadtest plan` for the terminal.

use super::check::Checked;
use super::constants::Constants;
use super::model::{self, Need};

/// A row's name, and how it is read from an answer.
type Row = (&'static str, fn(&Need) -> String);

const ROWS: [Row; 19] = [
    ("voters", |n| count(n.voters)),
    ("taps a second", |n| count(n.taps_per_second)),
    ("pods", |n| count(n.pods)),
    ("  decided by", |n| n.pods_by.to_owned()),
    ("tallies a second, to each", |n| number(n.tallies_per_second)),
    ("server cores, voting", |n| number(n.voting_cores)),
    ("server cores, joining", |n| number(n.joining_cores)),
    ("share of the pods' cores", |n| format!("{:.0} %", n.utilisation * 100.0)),
    ("server memory", |n| bytes(n.server_bytes)),
    ("kernel memory, sockets", |n| bytes(n.kernel_bytes)),
    ("partitions", |n| count(n.partitions)),
    ("Redis commits a second", |n| count(n.redis_calls_per_second)),
    ("Redis cores, everysec", |n| number(n.redis_cores_everysec)),
    ("Redis cores, always", |n| number(n.redis_cores_always)),
    ("Redis memory", |n| bytes(n.redis_bytes)),
    ("publishes a second", |n| count(n.publishes_per_second)),
    ("  to all pods", |n| format!("{} ({} Mbit/s)", count(n.feed_messages_per_second), number(n.feed_mbit_per_second))),
    ("network in, Mbit/s", |n| number(n.in_mbit_per_second)),
    ("network out, Mbit/s", |n| number(n.out_mbit_per_second)),
];

/// One column for each answer.
pub fn needs(needs: &[Need]) -> String {
    let mut text = String::new();
    for (name, read) in ROWS {
        let cells: String = needs.iter().map(|need| format!("{:>22}", read(need))).collect();
        text.push_str(&format!("  {name:<26}{cells}\n"));
    }
    text
}

/// Where the numbers come from, and what is assumed.
pub fn basis(c: &Constants) -> String {
    format!(
        "\nconstants of {} ({}, commit {}):\n  server: {} µs a tally frame, {} µs a vote, {} µs a hello, {} µs a join, {} µs a voter and second\n  \
         Redis: {} µs a vote (everysec), {} µs (always); memory: {} bytes a voter, {} in the kernel; in Redis {} a voter, {} a ballot\n\
         assumed: {:.0} % of a core or of memory may be in use; pods of {} core and {}; {} voters a pod at most (open files)\n  \
         everybody joins within {} s and sends a ping every {} s; {} rounds are kept; a commit takes {} ms and {} µs of Redis besides its votes\n  \
         at most {} publishes a second and partition, each handed to every pod ({} µs); {} bytes of headers around a frame\n\
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
        model::TARGET * 100.0,
        model::POD_CORES,
        bytes(model::POD_BYTES),
        count(model::POD_SOCKETS),
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

/// Planned against measured.
pub fn checked(all: &[Checked]) -> String {
    let mut text = format!(
        "  {:<26}{:>12}{:>12}{:>9}{:>14}{:>14}{:>9}\n",
        "phase", "planned CPU", "measured", "ratio", "planned mem", "measured", "ratio"
    );
    for row in all {
        text.push_str(&format!(
            "  {:<26}{:>10.2} s{:>10.2} s{:>9.2}{:>14}{:>14}{:>9.2}\n",
            row.phase,
            row.planned_cpu_seconds,
            row.measured_cpu_seconds,
            row.measured_cpu_seconds / row.planned_cpu_seconds.max(1e-9),
            bytes(row.planned_bytes),
            bytes(row.measured_bytes),
            row.measured_bytes / row.planned_bytes.max(1.0),
        ));
    }
    text.push_str("  ratio: measured over planned; above 1 the plan asks for too little\n");
    text
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
