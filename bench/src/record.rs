//! What was measured: kept between runs of the same build, and written where people and `loadtest plan` read it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use procfs::{CpuInfo, Current, Meminfo};
use serde::{Deserialize, Serialize};

use crate::constants::Constants;
use crate::options::Options;
use crate::table::{Row, markdown};

const ROWS: &str = "target/bench/rows.json";
const PAGE: &str = "docs/performance.md";
const CONSTANTS: &str = "bench/constants.toml";
/// The text between these is written by people and kept.
const NOTES_BEGIN: &str = "<!-- notes: kept by the bench -->";
const NOTES_END: &str = "<!-- end of notes -->";
const METHOD: &str = include_str!("method.md");

/// Every row that one build of the server has so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Commit, and time of the server's binary. Rows of another build are not mixed in.
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
            constants: Constants::new(),
        }
    }

    /// The rows of the table, in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Adds a row, in place of an older one of the same measure.
    pub fn put(&mut self, row: Row) {
        self.rows.retain(|old| (old.number, &old.measure) != (row.number, &row.measure));
        let at = self.rows.partition_point(|old| old.number <= row.number);
        self.rows.insert(at, row);
    }

    /// Keeps the rows and the constants measured so far for the next run of this build.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, root: &Path, constants: Constants) -> Result<()> {
        self.constants.extend(constants);
        fs::write(root.join(ROWS), serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {ROWS}"))
    }

    /// Writes the page and the constants.
    ///
    /// # Errors
    /// A file cannot be written, or the old constants cannot be read.
    pub fn publish(&self, root: &Path) -> Result<()> {
        let (page, constants) = (root.join(PAGE), root.join(CONSTANTS));
        let old = fs::read_to_string(&page).unwrap_or_default();
        fs::write(&page, self.page(&old)).with_context(|| format!("writing {PAGE}"))?;
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

    /// A constant that was not measured keeps its value in `old`.
    fn constants_file(&self, old: &str) -> Result<String> {
        let mut file: toml::Table = toml::from_str(old).with_context(|| format!("reading {CONSTANTS}"))?;
        for (name, text) in [("date", &self.date), ("machine", &self.machine), ("commit", &self.commit)] {
            file.insert(name.to_owned(), text.as_str().into());
        }
        file.extend(self.constants.iter().map(|(name, value)| (name.clone(), (*value).into())));
        let text = toml::to_string(&file)?;
        Ok(format!("# What a unit costs, for `loadtest plan`. Written by `make bench`.\n\n{text}"))
    }
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    let (_, tail) = text.split_once(begin)?;
    Some(tail.split_once(end)?.0)
}

/// The first line that a program prints, if it succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let done = Command::new(program).args(args).output().ok().filter(|done| done.status.success())?;
    Some(String::from_utf8_lossy(&done.stdout).lines().next().unwrap_or_default().trim().to_owned())
}

fn commit(root: &Path) -> String {
    let root = root.to_string_lossy();
    let git = |args: &[&str]| output("git", &[&["-C", &*root], args].concat());
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    // files that the bench writes itself do not change what it measures
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs", ":!bench/constants.toml"]);
    if changed.is_some_and(|file| !file.is_empty()) { format!("{commit} with changes") } else { commit }
}

fn machine() -> String {
    let cpu = CpuInfo::current().ok();
    let cores = cpu.as_ref().map_or(1, CpuInfo::num_cores);
    let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0)).unwrap_or("unknown processor");
    let gib = Meminfo::current().map_or(0.0, |memory| memory.mem_total as f64 / 1024f64.powi(3));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, {gib:.0} GiB, Linux {}", kernel.trim())
}

fn versions() -> String {
    let redis = output("redis-server", &["--version"]).unwrap_or_default();
    let redis = redis.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown");
    let node = output("node", &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    let packages: serde_json::Value =
        serde_json::from_str(include_str!("../socketio/package.json")).unwrap_or_default();
    let package = |name: &str| packages["dependencies"][name].as_str().unwrap_or("unknown").to_owned();
    format!("Redis {redis}, Node {node}, socket.io {}, ioredis {}", package("socket.io"), package("ioredis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let [build, commit, date, machine, versions] = ["b", "c", "d", "m", "v"].map(str::to_owned);
        Record { build, commit, date, machine, versions, rows: vec![], constants: Constants::new() }
    }

    #[test]
    fn a_row_measured_again_replaces_the_old_one() {
        let mut record = record();
        for (number, measure, ours) in [(4, "a", 1.0), (1, "x", 2.0), (4, "b", 3.0), (4, "a", 4.0)] {
            record.put(Row::new(number, measure, "µs", ours));
        }
        let order: Vec<_> = record.rows().iter().map(|row| (row.number, row.measure.as_str(), row.ours)).collect();
        assert_eq!(order, [(1, "x", 2.0), (4, "b", 3.0), (4, "a", 4.0)]);
    }

    #[test]
    fn notes_on_the_page_are_kept() {
        let record = record();
        let first = record.page("");
        let noted = first.replace(NOTES_END, &format!("\n## Tried\nMuch.\n{NOTES_END}"));
        assert_ne!(first, noted);
        assert_eq!(record.page(&noted), noted);
    }

    #[test]
    fn constants_that_were_not_measured_keep_their_value() {
        let mut record = record();
        crate::constants::note(&mut record.constants, "frame_us", 4.5);
        let file =
            record.constants_file("date = \"old\"\nframe_us = 9.0\nvote_us = 8.5\nvoter_bytes = 5120\n").unwrap();
        assert!(file.contains("date = \"d\"") && file.contains("frame_us = 4.5") && file.contains("vote_us = 8.5"));
        assert!(file.contains("voter_bytes = 5120"));
    }
}
