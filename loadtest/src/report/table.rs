//! The tables of a report, once for the terminal and the page.

use super::summary::{PhaseSummary, Summary};
use super::text::{mib, ms, optional_ms, per_second, tick};
use crate::metrics::QUANTILES;

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

/// Every table, the most important first.
pub fn all(summary: &Summary) -> [Table; 6] {
    [thresholds(summary), times(summary), counts(summary), phases(summary), audit(summary), run(summary)]
}

fn thresholds(summary: &Summary) -> Table {
    let judged = summary.thresholds.iter();
    let judged = judged.map(|it| vec![format!("{} {}", tick(it.ok), it.threshold), it.measured_text()]);
    let audit = vec![format!("{} audit", tick(summary.audit.exact)), summary.audit.text()];
    Table {
        title: "Thresholds",
        heads: vec!["must hold", "measured"],
        text_columns: 1,
        rows: judged.chain([audit]).collect(),
    }
}

fn times(summary: &Summary) -> Table {
    let rows = summary.measures.all_times().map(|(timer, times)| {
        let name = [timer.name().to_owned(), times.count().to_string()];
        name.into_iter().chain(times.quantiles_ms().map(|(_, time)| ms(time))).collect()
    });
    let heads = ["", "count"].into_iter().chain(QUANTILES.map(|(name, _)| name));
    Table { title: "Times", heads: heads.collect(), text_columns: 1, rows: rows.collect() }
}

/// Every counter that is not 0, and every error.
fn counts(summary: &Summary) -> Table {
    let counts = summary.measures.all_counts().filter(|(_, count)| *count > 0);
    let counts = counts.map(|(counter, count)| (counter.name().to_owned(), counter.description(), count));
    let errors = summary.measures.all_errors();
    let errors = errors.map(|(cause, count)| (format!("errors.{}", cause.name()), cause.description(), count));
    let rows = counts.chain(errors).map(|(name, description, count)| {
        let rate = format!("{:.1}", per_second(count as f64, summary.seconds));
        vec![name, description.to_owned(), count.to_string(), rate]
    });
    Table { title: "Counts", heads: vec!["", "", "count", "per second"], text_columns: 2, rows: rows.collect() }
}

/// A column of the phases: its head, and its cell.
type PhaseColumn = (&'static str, fn(&PhaseSummary) -> String);

const PHASE_COLUMNS: [PhaseColumn; 12] = [
    ("phase", |phase| phase.name.clone()),
    ("length", |phase| format!("{:.1} s", phase.seconds)),
    ("connected", |phase| phase.figures.connected.to_string()),
    ("casts", |phase| phase.figures.casts.to_string()),
    ("votes", |phase| phase.figures.votes.to_string()),
    ("ack p50", |phase| optional_ms(phase.figures.ack_p50)),
    ("ack p99", |phase| optional_ms(phase.figures.ack_p99)),
    ("joins", |phase| phase.figures.joins.to_string()),
    ("reconnects", |phase| phase.figures.reconnects.to_string()),
    ("errors", |phase| phase.figures.errors.to_string()),
    ("server cores", |phase| match phase.server {
        Some(used) => format!("{:.2}", per_second(used.cpu_seconds, phase.seconds)),
        None => "-".to_owned(),
    }),
    ("server memory", |phase| phase.server.map_or("-".to_owned(), |used| mib(used.rss_bytes))),
];

fn phases(summary: &Summary) -> Table {
    let row = |phase: &PhaseSummary| PHASE_COLUMNS.iter().map(|(_, cell)| cell(phase)).collect();
    Table {
        title: "Phases",
        heads: PHASE_COLUMNS.map(|(head, _)| head).into(),
        text_columns: 1,
        rows: summary.phases.iter().map(row).collect(),
    }
}

/// What clients know against the record, by choice.
fn audit(summary: &Summary) -> Table {
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
    let heads = vec!["round", "choice", "voters", "acknowledged", "unknown", "on ballots", "in the record"];
    Table { title: "Audit: what clients know against the record", heads, text_columns: 2, rows: rows.collect() }
}

/// Where and how it ran.
fn run(summary: &Summary) -> Table {
    let it = &summary.parameters;
    let facts = [
        ("server", it.server.clone().unwrap_or_else(|| "not known".to_owned())),
        ("addresses", it.urls.join(", ")),
        ("room", format!("{}: {}", summary.room, summary.room_afterwards)),
        ("load test", format!("{}, {} process(es), seed {}", env!("CARGO_PKG_VERSION"), it.processes, it.seed)),
        ("its machine", it.machine.clone()),
    ];
    let rows = facts.map(|(name, fact)| vec![name.to_owned(), fact]).into();
    Table { title: "Run", heads: vec![], text_columns: 2, rows }
}
