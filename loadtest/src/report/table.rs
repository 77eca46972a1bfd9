//! The tables of a report, once for the terminal and the page.

use super::summary::Summary;
use super::text::{mib, moment, ms, optional_ms, per_second, tick};
use crate::metrics::{Cause, Counter, Timer};

/// A table. Nothing is shown of one without rows.
pub struct Table {
    /// Its heading.
    pub title: &'static str,
    /// One for each column.
    pub heads: Vec<&'static str>,
    /// The first so many columns hold text, the others numbers.
    pub text_columns: usize,
    /// Cells, one for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn new(title: &'static str, heads: &[&'static str], text_columns: usize, rows: Vec<Vec<String>>) -> Self {
        Self { title, heads: heads.to_vec(), text_columns, rows }
    }
}

/// Thresholds and the audit, with their results.
pub fn thresholds(summary: &Summary) -> Table {
    let judged = summary.thresholds.iter();
    let mut rows: Vec<_> =
        judged.map(|it| vec![format!("{} {}", tick(it.ok), it.threshold), it.measured_text()]).collect();
    let audit = match summary.audit.exact {
        true => "exact".to_owned(),
        false => format!("{} differences", summary.audit.differences),
    };
    rows.push(vec![format!("{} audit", tick(summary.audit.exact)), audit]);
    Table::new("Thresholds", &["must hold", "measured"], 1, rows)
}

/// Every measured time.
pub fn times(summary: &Summary) -> Table {
    let row = |timer: &Timer| {
        let stats = summary.times.get(timer.name())?;
        let values = [stats.mean, stats.p50, stats.p90, stats.p95, stats.p99, stats.p999, stats.max].map(ms);
        Some([timer.name().to_owned(), stats.count.to_string()].into_iter().chain(values).collect())
    };
    let heads = ["", "count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"];
    Table::new("Times", &heads, 1, Timer::ALL.iter().filter_map(row).collect())
}

/// Every counter that is not 0, and every error.
pub fn counts(summary: &Summary) -> Table {
    let counted = Counter::ALL.iter().filter_map(|counter| {
        let count = summary.counts.get(counter.name()).filter(|count| **count > 0)?;
        Some((counter.name().to_owned(), *count, counter.description()))
    });
    let failed = Cause::ALL.iter().filter_map(|cause| {
        Some((format!("errors.{}", cause.name()), *summary.errors.get(cause.name())?, cause.description()))
    });
    let row = |(name, count, description): (String, u64, &str)| {
        let rate = format!("{:.1}", per_second(count as f64, summary.seconds));
        vec![name, description.to_owned(), count.to_string(), rate]
    };
    let heads = ["", "", "count", "per second"];
    Table::new("Counts", &heads, 2, counted.chain(failed).map(row).collect())
}

/// What was measured in each phase.
pub fn phases(summary: &Summary) -> Table {
    let rows = summary.phases.iter().map(|phase| {
        let cores = |cpu_seconds: f64| format!("{:.2}", per_second(cpu_seconds, phase.seconds));
        vec![
            phase.name.clone(),
            format!("{:.1} s", phase.seconds),
            phase.connected.to_string(),
            phase.casts.to_string(),
            phase.votes.to_string(),
            optional_ms(phase.ack_p50),
            optional_ms(phase.ack_p99),
            phase.joins.to_string(),
            phase.reconnects.to_string(),
            phase.errors.to_string(),
            phase.server.map_or("-".to_owned(), |used| cores(used.cpu_seconds)),
            phase.server.map_or("-".to_owned(), |used| mib(used.rss_bytes)),
        ]
    });
    let heads = [
        "phase",
        "length",
        "connected",
        "casts",
        "votes",
        "ack p50",
        "ack p99",
        "joins",
        "reconnects",
        "errors",
        "server cores",
        "server memory",
    ];
    Table::new("Phases", &heads, 1, rows.collect())
}

/// What clients know against the record, by choice.
pub fn audit(summary: &Summary) -> Table {
    let rows = summary.audit.rounds.iter().flat_map(|row| {
        (b'a'..).zip(0..row.recorded.len()).map(move |(letter, choice)| {
            let at = |counts: &[u64]| counts.get(choice).map_or("-".to_owned(), u64::to_string);
            vec![
                format!("{} take {}", row.round, row.take),
                char::from(letter).to_string(),
                row.voters.to_string(),
                at(&row.acknowledged),
                at(&row.unknown),
                at(&row.recorded),
                at(&row.record),
            ]
        })
    });
    let heads = ["round", "choice", "voters", "acknowledged", "unknown", "on ballots", "in the record"];
    Table::new("Audit: what clients know against the record", &heads, 2, rows.collect())
}

/// The slowest acknowledgements.
pub fn slow_acks(summary: &Summary) -> Table {
    let rows = summary.slowest.iter();
    let rows = rows.map(|it| vec![moment(it.at_unix_ms), it.voter.clone(), it.round.to_string(), ms(it.ms)]);
    Table::new("Slowest acknowledgements", &["acknowledged at", "voter", "round", "time"], 2, rows.collect())
}

/// The slowest commands of the ledger's server.
pub fn slow_commands(summary: &Summary) -> Table {
    let rows = summary.slowlog.iter().map(|it| {
        let at = u64::try_from(it.at_unix).unwrap_or(0) * 1000;
        vec![moment(at), it.command.clone(), ms(it.micros as f64 / 1000.0)]
    });
    Table::new("Slow commands of the ledger's server", &["at", "command", "time"], 2, rows.collect())
}
