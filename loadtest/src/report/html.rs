//! The report as one page that needs nothing else: no script, no font, no picture from elsewhere.

use super::charts;
use super::summary::{Summary, Verdict};
use super::svg::escape;
use super::terminal::ms;
use crate::crew::Slow;
use crate::metrics::{Cause, Counter, Timer};

/// The whole page.
pub fn page(summary: &Summary) -> String {
    let title = escape(&summary.parameters.scenario.title);
    let good = summary.verdict == Verdict::Passed;
    let sections = [
        thresholds(summary),
        remarks(summary),
        format!(r#"<div class="charts">{}</div>"#, charts::all(summary)),
        times(summary),
        counts(summary),
        phases(summary),
        audit(summary),
        slowest(summary),
        slowlog(summary),
        environment(summary),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{}</style>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"soft\">{} · {:.0} s · {} voters</p>\n<p class=\"verdict {}\">{}</p>\n{}\n</main>\n</html>\n",
        include_str!("page.css"),
        escape(&summary.started_at),
        summary.seconds,
        summary.parameters.scenario.hall.voters,
        if good { "good" } else { "bad" },
        summary.verdict.words(),
        sections.concat(),
    )
}

/// A table; cells are escaped here. Columns named in `left` hold text.
fn table(title: &str, heads: &[&str], left: &[usize], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let class = |column: usize| if left.contains(&column) { r#" class="text""# } else { "" };
    let heads: String = (0..).zip(heads).map(|(n, head)| format!("<th{}>{}</th>", class(n), escape(head))).collect();
    let row = |row: &Vec<String>| {
        let cells: String = (0..).zip(row).map(|(n, cell)| format!("<td{}>{}</td>", class(n), escape(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(row).collect();
    format!("<h2>{}</h2>\n<div class=\"wide\"><table><tr>{heads}</tr>\n{rows}</table></div>\n", escape(title))
}

fn thresholds(summary: &Summary) -> String {
    let row = |judged: &crate::threshold::Judgement| {
        let (class, sign) = if judged.ok { ("good", "✓") } else { ("bad", "✗") };
        let measured = judged.words();
        format!("<tr><td class=\"{class}\">{sign} {}</td><td>{measured}</td></tr>\n", escape(&judged.threshold))
    };
    let rows: String = summary.thresholds.iter().map(row).collect();
    let audit = match summary.audit.exact {
        true => "<tr><td class=\"good\">✓ audit</td><td>exact</td></tr>".to_owned(),
        false => format!("<tr><td class=\"bad\">✗ audit</td><td>{} differences</td></tr>", summary.audit.differences),
    };
    format!("<table><tr><th>must hold</th><th>measured</th></tr>\n{rows}{audit}</table>\n")
}

fn remarks(summary: &Summary) -> String {
    let notes = summary.remarks.iter().map(|remark| format!("<p>{}</p>\n", escape(remark)));
    let broken =
        summary.violations.iter().map(|what| format!("<p class=\"bad\">broken promise: {}</p>\n", escape(what)));
    let all: String = notes.chain(broken).collect();
    if all.is_empty() { all } else { format!("<h2>Notes</h2>\n{all}") }
}

fn times(summary: &Summary) -> String {
    let rows: Vec<_> = Timer::ALL
        .iter()
        .filter_map(|timer| {
            let stats = summary.times.get(timer.word())?;
            let values = [stats.mean, stats.p50, stats.p90, stats.p95, stats.p99, stats.p999, stats.max].map(ms);
            let head = [timer.word().to_owned(), timer.meaning().to_owned(), stats.count.to_string()];
            Some(head.into_iter().chain(values).collect())
        })
        .collect();
    table("Times", &["", "", "count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"], &[0, 1], &rows)
}

fn counts(summary: &Summary) -> String {
    let counted = Counter::ALL.iter().filter_map(|counter| {
        let count = *summary.counts.get(counter.word())?;
        Some((counter.word().to_owned(), counter.meaning(), count))
    });
    let failed = Cause::ALL.iter().filter_map(|cause| {
        let count = *summary.errors.get(cause.word())?;
        Some((format!("errors.{}", cause.word()), cause.meaning(), count))
    });
    let row = |(word, meaning, count): (String, &str, u64)| {
        let rate = format!("{:.1}", count as f64 / summary.seconds.max(0.001));
        vec![word, meaning.to_owned(), count.to_string(), rate]
    };
    let rows: Vec<_> = counted.chain(failed).map(row).collect();
    table("Counts", &["", "", "count", "a second"], &[0, 1], &rows)
}

fn phases(summary: &Summary) -> String {
    let row = |phase: &super::summary::PhaseSummary| {
        let mut row = vec![
            phase.name.clone(),
            format!("{:.1} s", phase.seconds),
            phase.connected.to_string(),
            phase.casts.to_string(),
            phase.votes.to_string(),
            phase.ack_p50.map_or("-".to_owned(), ms),
            phase.ack_p99.map_or("-".to_owned(), ms),
            phase.joins.to_string(),
            phase.reconnects.to_string(),
            phase.errors.to_string(),
        ];
        row.extend(match phase.server {
            Some(used) => [
                format!("{:.2}", used.cpu_seconds / phase.seconds.max(0.001)),
                format!("{:.1} MiB", used.rss_bytes as f64 / 1024.0 / 1024.0),
            ],
            None => ["-".to_owned(), "-".to_owned()],
        });
        row
    };
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
    table("Phases", &heads, &[0], &summary.phases.iter().map(row).collect::<Vec<_>>())
}

fn audit(summary: &Summary) -> String {
    let rows: Vec<_> = summary
        .audit
        .rounds
        .iter()
        .flat_map(|row| {
            (b'a'..).zip(0..row.recorded.len()).map(move |(letter, i)| {
                let at = |counts: &Vec<u64>| counts.get(i).map_or("-".to_owned(), u64::to_string);
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
        })
        .collect();
    let heads = ["round", "choice", "voters", "acknowledged", "unknown", "on ballots", "in the record"];
    let told = summary.audit.told.iter().map(|told| format!("<p class=\"bad\">{}</p>\n", escape(told)));
    let places = format!(
        "<p class=\"soft\">{} places recomputed, {} of them compared with what phones were told.</p>\n",
        summary.audit.places, summary.audit.standings
    );
    format!(
        "{}{places}{}",
        table("Audit: what clients were told against the record", &heads, &[0, 1], &rows),
        told.collect::<String>()
    )
}

fn slowest(summary: &Summary) -> String {
    let row = |slow: &Slow| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(slow.at_unix_ms);
        let at = humantime::format_rfc3339_millis(at).to_string();
        vec![ms(slow.ms), at, slow.voter.clone(), slow.round.to_string()]
    };
    let rows: Vec<_> = summary.slowest.iter().map(row).collect();
    table("Slowest acknowledgements", &["time", "acknowledged at", "voter", "round"], &[1, 2], &rows)
}

fn slowlog(summary: &Summary) -> String {
    let row = |slow: &super::summary::SlowCommand| {
        let at = u64::try_from(slow.at_unix).unwrap_or(0);
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at);
        vec![ms(slow.micros as f64 / 1000.0), humantime::format_rfc3339_seconds(at).to_string(), slow.command.clone()]
    };
    let rows: Vec<_> = summary.slowlog.iter().map(row).collect();
    table("Slow commands of the ledger's server", &["time", "at", "command"], &[1, 2], &rows)
}

fn environment(summary: &Summary) -> String {
    let (here, asked) = (&summary.environment, &summary.parameters);
    let none = || "not known".to_owned();
    let facts = [
        ("server", here.server.clone().unwrap_or_else(none)),
        ("commit", here.commit.clone().unwrap_or_else(none)),
        ("loadtest", here.loadtest.clone()),
        ("processor", format!("{}, {} cores", here.cpu, here.cores)),
        ("memory", format!("{:.1} GiB", here.memory_bytes as f64 / 1024f64.powi(3))),
        ("kernel", here.kernel.clone()),
        ("addresses", asked.urls.join(", ")),
        ("processes", asked.processes.to_string()),
        ("sources", if asked.sources.is_empty() { "the system's choice".into() } else { asked.sources.join(", ") }),
        ("seed", asked.seed.to_string()),
        ("room", format!("{}: {}", summary.room, summary.room_afterwards)),
    ];
    let facts: String = facts.iter().map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>", escape(fact))).collect();
    let scenario = toml::to_string(&asked.scenario).unwrap_or_default();
    format!("<h2>Environment</h2>\n<dl>{facts}</dl>\n<h2>Scenario</h2>\n<pre>{}</pre>\n", escape(&scenario))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped() {
        let html = table("<t>", &["<h>"], &[0], &[vec!["<script>".into()]]);
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;h&gt;") && html.contains("&lt;t&gt;"));
        assert_eq!(table("t", &["h"], &[], &[]), "");
    }
}
