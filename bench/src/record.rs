//! What was measured: kept between runs of the same build, and written where people and the planner read it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::lab::Options;
use crate::table::{Row, markdown};

const ROWS: &str = "target/bench/rows.json";
const PAGE: &str = "docs/performance.md";
const CONSTANTS: &str = "bench/constants.toml";
/// What stands between these in the page is written by people, and kept.
const NOTES_BEGIN: &str = "<!-- notes: kept by the bench -->";
const NOTES_END: &str = "<!-- end of notes -->";
const METHOD: &str = include_str!("method.md");

/// For the planner: what a unit costs. `None`: not measured yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Constants {
    /// Server CPU for a delivered tally, in µs.
    pub frame_us: Option<f64>,
    /// Server CPU for a vote, committed and answered, in µs.
    pub vote_us: Option<f64>,
    /// Redis CPU for a vote in large batches, written once a second, in µs.
    pub redis_vote_us_everysec: Option<f64>,
    /// The same, written before the answer.
    pub redis_vote_us_always: Option<f64>,
    /// Server memory for a joined voter who has voted.
    pub voter_bytes: Option<f64>,
    /// Kernel memory for one end of a socket.
    pub socket_kernel_bytes: Option<f64>,
    /// Server CPU for connect, hello and first state of a known voter, in µs.
    pub hello_us: Option<f64>,
    /// Server CPU for a join over HTTP, in µs.
    pub join_us: Option<f64>,
    /// Server CPU for a joined voter who does nothing, in µs a second.
    pub idle_us_per_voter_s: Option<f64>,
    /// A tally on the wire.
    pub frame_bytes: Option<f64>,
    /// A cast of one letter on the wire.
    pub cast_bytes: Option<f64>,
    /// Its answer on the wire, on average over a ballot.
    pub ack_bytes: Option<f64>,
    /// Redis memory for a ballot of ten letters.
    pub ballot_redis_bytes: Option<f64>,
    /// Redis memory for a voter.
    pub voter_redis_bytes: Option<f64>,
    /// A message of the feed.
    pub publish_bytes: Option<f64>,
}

impl Constants {
    /// These, and `older` where these say nothing.
    fn over(self, older: Self) -> Self {
        Self {
            frame_us: self.frame_us.or(older.frame_us),
            vote_us: self.vote_us.or(older.vote_us),
            redis_vote_us_everysec: self.redis_vote_us_everysec.or(older.redis_vote_us_everysec),
            redis_vote_us_always: self.redis_vote_us_always.or(older.redis_vote_us_always),
            voter_bytes: self.voter_bytes.or(older.voter_bytes),
            socket_kernel_bytes: self.socket_kernel_bytes.or(older.socket_kernel_bytes),
            hello_us: self.hello_us.or(older.hello_us),
            join_us: self.join_us.or(older.join_us),
            idle_us_per_voter_s: self.idle_us_per_voter_s.or(older.idle_us_per_voter_s),
            frame_bytes: self.frame_bytes.or(older.frame_bytes),
            cast_bytes: self.cast_bytes.or(older.cast_bytes),
            ack_bytes: self.ack_bytes.or(older.ack_bytes),
            ballot_redis_bytes: self.ballot_redis_bytes.or(older.ballot_redis_bytes),
            voter_redis_bytes: self.voter_redis_bytes.or(older.voter_redis_bytes),
            publish_bytes: self.publish_bytes.or(older.publish_bytes),
        }
    }
}

/// Rounded to hundredths: more digits would only look exact.
pub fn hundredths(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// All rows that one build of the server has got so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Commit, and when the server's binary was made: rows of another build are not mixed in.
    build: String,
    commit: String,
    date: String,
    machine: String,
    versions: String,
    rows: Vec<Row>,
    constants: Constants,
}

impl Record {
    /// The record of the server's present build: what was kept of it, or an empty one.
    pub fn load(options: &Options) -> Self {
        let fresh = Self::fresh(options);
        let kept = fs::read(options.root.join(ROWS)).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        match kept {
            Some(kept) if kept.build == fresh.build => Self { rows: kept.rows, constants: kept.constants, ..fresh },
            _ => fresh,
        }
    }

    fn fresh(options: &Options) -> Self {
        let commit = commit(&options.root);
        let made = fs::metadata(&options.server).and_then(|server| server.modified()).unwrap_or(UNIX_EPOCH);
        Self {
            build: format!("{commit}, server made {}", humantime::format_rfc3339_seconds(made)),
            commit,
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string()[..10].to_owned(),
            machine: machine(),
            versions: versions(),
            rows: vec![],
            constants: Constants::default(),
        }
    }

    /// The table's rows, in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Puts a row in, in the place of an older one of the same measure.
    pub fn put(&mut self, row: Row) {
        self.rows.retain(|old| (old.number, &old.measure) != (row.number, &row.measure));
        let at = self.rows.partition_point(|old| old.number <= row.number);
        self.rows.insert(at, row);
    }

    /// Keeps the rows for a later run of the same build.
    pub fn keep(&mut self, root: &Path, constants: Constants) -> Result<()> {
        self.constants = constants.over(std::mem::take(&mut self.constants));
        fs::write(root.join(ROWS), serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {ROWS}"))
    }

    /// Writes the page for people and the constants for the planner.
    pub fn publish(&self, root: &Path) -> Result<()> {
        let page = root.join(PAGE);
        let old = fs::read_to_string(&page).unwrap_or_default();
        fs::write(&page, self.page(&old)).with_context(|| format!("writing {PAGE}"))?;
        let constants = root.join(CONSTANTS);
        let old = fs::read_to_string(&constants).unwrap_or_default();
        fs::write(&constants, self.constants_file(&old)?).with_context(|| format!("writing {CONSTANTS}"))
    }

    fn page(&self, old: &str) -> String {
        let Self { commit, date, machine, versions, .. } = self;
        let notes = between(old, NOTES_BEGIN, NOTES_END).unwrap_or("\n");
        format!(
            "# Performance\n\nMeasured {date} at commit {commit} by `make bench`, on {machine}. {versions}.\n\n{}\n\
             {METHOD}\n{NOTES_BEGIN}{notes}{NOTES_END}\n",
            markdown(&self.rows)
        )
    }

    /// What was not measured keeps the value it had in `old`.
    fn constants_file(&self, old: &str) -> Result<String> {
        let old: Constants = toml::from_str(old).unwrap_or_default();
        let file = ConstantsFile {
            date: &self.date,
            machine: &self.machine,
            commit: &self.commit,
            constants: self.constants.clone().over(old),
        };
        Ok(format!("# What a unit costs, for `loadtest plan`. Written by `make bench`.\n\n{}", toml::to_string(&file)?))
    }
}

#[derive(Serialize)]
struct ConstantsFile<'r> {
    date: &'r str,
    machine: &'r str,
    commit: &'r str,
    #[serde(flatten)]
    constants: Constants,
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    let (_, tail) = text.split_once(begin)?;
    Some(tail.split_once(end)?.0)
}

fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let done = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    // what the bench writes itself is no change of what it measures
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs", ":!bench/constants.toml"]);
    if changed.is_some_and(|files| !files.is_empty()) { format!("{commit} with changes") } else { commit }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: String, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_else(|| "unknown".to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).max(cores_online(&read("/proc/cpuinfo")));
    let memory = field(read("/proc/meminfo"), "MemTotal");
    let gib = memory.split(' ').next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1_048_576.0;
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = field(read("/proc/cpuinfo"), "model name");
    format!("{model}, {cores} cores, {gib:.0} GiB, Linux {}", kernel.trim())
}

fn cores_online(cpuinfo: &str) -> usize {
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count()
}

fn versions() -> String {
    let first_line = |program: &str, args: &[&str]| {
        let done = Command::new(program).args(args).output().ok()?;
        Some(String::from_utf8_lossy(&done.stdout).lines().next()?.trim().to_owned())
    };
    let redis = first_line("redis-server", &["--version"]).unwrap_or_else(|| "Redis unknown".to_owned());
    let redis = redis.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned();
    let node = first_line("node", &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    let packages: serde_json::Value =
        serde_json::from_str(include_str!("../socketio/package.json")).unwrap_or_default();
    let package = |name: &str| packages["dependencies"][name].as_str().unwrap_or("unknown").to_owned();
    format!("Redis {redis}, Node {node}, socket.io {}, ioredis {}", package("socket.io"), package("ioredis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let word = |text: &str| text.to_owned();
        Record {
            build: word("b"),
            commit: word("c"),
            date: word("d"),
            machine: word("m"),
            versions: word("v"),
            rows: vec![],
            constants: Constants::default(),
        }
    }

    #[test]
    fn a_row_measured_again_takes_the_place_of_the_old_one() {
        let mut record = record();
        for (number, measure, ours) in [(4, "a", 1.0), (1, "x", 2.0), (4, "b", 3.0), (4, "a", 4.0)] {
            record.put(Row::new(number, measure, "µs", ours));
        }
        let order: Vec<_> = record.rows().iter().map(|row| (row.number, row.measure.as_str(), row.ours)).collect();
        assert_eq!(order, [(1, "x", 2.0), (4, "b", 3.0), (4, "a", 4.0)]);
    }

    #[test]
    fn what_people_wrote_on_the_page_stays() {
        let record = record();
        let first = record.page("");
        let noted = first.replace(NOTES_END, &format!("\n## Tried\nMuch.\n{NOTES_END}"));
        assert_ne!(first, noted);
        assert_eq!(record.page(&noted), noted);
    }

    #[test]
    fn constants_that_were_not_measured_keep_their_value() {
        let mut record = record();
        record.constants.frame_us = Some(4.5);
        let file =
            record.constants_file("date = \"old\"\nframe_us = 9.0\nvote_us = 8.5\nvoter_bytes = 5120\n").unwrap();
        assert!(file.contains("date = \"d\"") && file.contains("frame_us = 4.5") && file.contains("vote_us = 8.5"));
        assert!(file.contains("voter_bytes = 5120"));
    }
}
