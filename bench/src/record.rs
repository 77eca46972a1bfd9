//! What was measured: kept between runs of the same build, and written where people and `loadtest plan` read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use procfs::{CpuInfo, Current, Meminfo};
use serde::{Deserialize, Serialize};

use crate::row::{HEAD, Row};

const ROWS: &str = "target/bench/rows.json";
const PAGE: &str = "docs/performance.md";
const CONSTANTS: &str = "bench/constants.toml";
/// The text between these is written by people and kept.
const NOTES_BEGIN: &str = "<!-- notes: kept by the bench -->";
const NOTES_END: &str = "<!-- end of notes -->";

/// Every row that one build of the server has so far, and what a unit of work costs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Commit, and time of the server's binary. Rows of another build are not mixed in.
    build: String,
    /// The cells of each row, by the row's number.
    rows: BTreeMap<u8, Vec<[String; 7]>>,
    constants: BTreeMap<String, f64>,
}

impl Record {
    /// The record of the server's present build: what was kept of it, or an empty one.
    pub fn load(server: &Path) -> Self {
        let made = fs::metadata(server).and_then(|server| server.modified()).unwrap_or(UNIX_EPOCH);
        let build = format!("{}, server made {}", commit(), humantime::format_rfc3339_seconds(made));
        let kept = fs::read(ROWS).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        match kept {
            Some(kept) if kept.build == build => kept,
            _ => Self { build, rows: BTreeMap::new(), constants: BTreeMap::new() },
        }
    }

    /// Prints a row and adds it, in place of an older one of the same measure.
    pub fn put(&mut self, row: &Row<'_>) {
        let cells = row.cells();
        let shown: Vec<_> =
            cells.iter().filter(|cell| !cell.is_empty()).map(|cell| cell.replace("<br>", ", ")).collect();
        println!("{:>2} {}", row.number, shown.join(" | "));
        let rows = self.rows.entry(row.number).or_default();
        match rows.iter_mut().find(|old| old[0] == cells[0]) {
            Some(old) => *old = cells,
            None => rows.push(cells),
        }
    }

    /// Notes what a unit of work costs, for `loadtest plan`. `_us` is CPU time of the server, or of Redis in `redis_…`.
    /// Bytes are rounded to a whole number and times to two digits; more would not be exact.
    ///
    /// # Panics
    /// `bench/constants.toml` has no such constant: the caller's mistake.
    pub fn note(&mut self, name: &str, value: f64) {
        let is_known = include_str!("../constants.toml").contains(&format!("\n{name} = "));
        assert!(is_known, "{name} is not a constant of the plan");
        let digits = if name.ends_with("_bytes") { 1.0 } else { 100.0 };
        self.constants.insert(name.to_owned(), (value * digits).round() / digits);
    }

    /// The whole table, in Markdown.
    pub fn table(&self) -> String {
        let mut lines = vec![HEAD.join(" | "), HEAD.map(|_| "---").join(" | ")];
        for (number, rows) in &self.rows {
            lines.extend(rows.iter().map(|cells| format!("{number} | {}", cells.join(" | "))));
        }
        lines.iter().map(|line| format!("| {line} |\n")).collect()
    }

    /// Keeps everything for the next run of this build.
    pub fn keep(&self) -> Result<()> {
        fs::write(ROWS, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {ROWS}"))
    }

    /// Writes the page and the constants.
    pub fn publish(&self) -> Result<()> {
        let old = fs::read_to_string(PAGE).unwrap_or_default();
        fs::write(PAGE, self.page(&old)).with_context(|| format!("writing {PAGE}"))?;
        let old = fs::read_to_string(CONSTANTS).unwrap_or_default();
        fs::write(CONSTANTS, self.constants_file(&old)?).with_context(|| format!("writing {CONSTANTS}"))
    }

    fn page(&self, old: &str) -> String {
        let notes = old.split_once(NOTES_BEGIN).and_then(|(_, tail)| tail.split_once(NOTES_END));
        format!(
            "# Performance\n\nMeasured {} at commit {} by `make bench`, on {}. {}.\n\n{}\n{}\n\
             {NOTES_BEGIN}{}{NOTES_END}\n",
            today(),
            commit(),
            machine(),
            versions(),
            self.table(),
            include_str!("method.md"),
            notes.map_or("\n", |(notes, _)| notes)
        )
    }

    /// A constant that was not measured keeps its value in `old`.
    fn constants_file(&self, old: &str) -> Result<String> {
        let mut file: toml::Table = toml::from_str(old).with_context(|| format!("reading {CONSTANTS}"))?;
        file.extend(
            [("date", today()), ("machine", machine()), ("commit", commit())]
                .map(|(name, text)| (name.to_owned(), text.into())),
        );
        file.extend(self.constants.iter().map(|(name, value)| (name.clone(), (*value).into())));
        let text = toml::to_string(&file)?;
        Ok(format!("# What a unit costs, for `loadtest plan`. Written by `make bench`.\n\n{text}"))
    }
}

fn today() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()[..10].to_owned()
}

/// The first line that a program prints, if it succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let done = Command::new(program).args(args).output().ok().filter(|done| done.status.success())?;
    Some(String::from_utf8_lossy(&done.stdout).lines().next().unwrap_or_default().trim().to_owned())
}

fn commit() -> String {
    let Some(commit) = output("git", &["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    // files that the bench writes itself do not change what it measures
    let changed = output("git", &["status", "--porcelain", "--", ".", ":!docs", ":!bench/constants.toml"]);
    if changed.is_some_and(|file| !file.is_empty()) { format!("{commit} with changes") } else { commit }
}

fn machine() -> String {
    let cpu = CpuInfo::current().ok();
    let cores = cpu.as_ref().map_or(1, CpuInfo::num_cores);
    let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0)).unwrap_or("unknown processor");
    let gib = Meminfo::current().map_or(0.0, |memory| memory.mem_total as f64 / 1024f64.powi(3));
    let kernel = output("uname", &["-r"]).unwrap_or_default();
    format!("{model}, {cores} cores, {gib:.0} GiB, Linux {kernel}")
}

fn versions() -> String {
    let redis = output("redis-server", &["--version"]).unwrap_or_default();
    let redis = redis.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown");
    let node = output("node", &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    let packages: serde_json::Value =
        serde_json::from_str(include_str!("../socketio/package.json")).unwrap_or_default();
    let package = |name: &str| packages["dependencies"][name].as_str().unwrap_or("unknown");
    format!("Redis {redis}, Node {node}, socket.io {}, ioredis {}", package("socket.io"), package("ioredis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record { build: String::new(), rows: BTreeMap::new(), constants: BTreeMap::new() }
    }

    #[test]
    fn a_row_measured_again_replaces_the_old_one() {
        let mut record = record();
        for (number, measure, ours) in [(4, "a", 1.0), (1, "x", 2.0), (4, "b", 3.0), (4, "a", 4.0)] {
            let figures = vec![("Tallycast", ours)];
            record.put(&Row { number, measure: measure.to_owned(), unit: "µs", figures, ..Row::default() });
        }
        let shown = record
            .rows
            .iter()
            .flat_map(|(number, rows)| rows.iter().map(move |cells| format!("{number} {} {}", cells[0], cells[1])));
        assert_eq!(shown.collect::<Vec<_>>(), ["1 x 2.00 µs", "4 a 4.00 µs", "4 b 3.00 µs"]);
    }

    #[test]
    fn notes_on_the_page_are_kept() {
        let first = record().page("");
        let noted = first.replace(NOTES_END, &format!("\n## Tried\nMuch.\n{NOTES_END}"));
        assert_ne!(first, noted);
        assert_eq!(record().page(&noted), noted);
    }

    #[test]
    fn constants_that_were_not_measured_keep_their_value() {
        let mut record = record();
        record.note("frame_us", 4.503);
        let file = record.constants_file("date = \"old\"\nframe_us = 9.0\nvoter_bytes = 5120\n").unwrap();
        assert!(!file.contains("old") && file.contains("frame_us = 4.5\n") && file.contains("voter_bytes = 5120"));
    }
}
