//! The report as one page that needs nothing else: no script, no font, no picture from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts;
use super::summary::{Summary, Verdict};
use super::table::{self, Table};
use crate::metrics::Timer;

/// The whole page.
pub fn page(summary: &Summary) -> String {
    let title = &summary.parameters.scenario.title;
    let class = if summary.verdict == Verdict::Passed { "good" } else { "bad" };
    let audit = &summary.audit;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width";
            title { (title) }
            style { (PreEscaped(include_str!("page.css"))) }
            main {
                h1 { (title) }
                p.soft { (summary.started_at) " · " (format!("{:.0}", summary.seconds)) " s · " (summary.parameters.scenario.hall.voters) " voters" }
                p.verdict.(class) { (summary.verdict.text()) }
                (draw(&table::thresholds(summary)))
                @if !summary.remarks.is_empty() || !summary.violations.is_empty() {
                    h2 { "Notes" }
                    @for remark in &summary.remarks { p { (remark) } }
                    @for violation in &summary.violations { p.bad { "broken promise: " (violation) } }
                }
                div.charts { (charts::all(summary)) }
                (draw(&table::times(summary)))
                dl {
                    @for timer in Timer::ALL.iter().filter(|timer| summary.times.contains_key(timer.name())) {
                        dt { (timer.name()) } dd { (timer.description()) }
                    }
                }
                (draw(&table::counts(summary)))
                (draw(&table::phases(summary)))
                (draw(&table::audit(summary)))
                p.soft { (audit.places) " places recomputed, " (audit.standings) " of them compared with what phones were sent." }
                @for difference in &audit.told { p.bad { (difference) } }
                (draw(&table::slow_acks(summary)))
                (draw(&table::slow_commands(summary)))
                (environment(summary))
                h2 { "Scenario" }
                pre { (toml::to_string(&summary.parameters.scenario).unwrap_or_default()) }
            }
        }
    };
    // control characters are not allowed in a page, not even escaped
    page.into_string().replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{FFFD}")
}

fn draw(table: &Table) -> Markup {
    let class = |column: usize| (column < table.text_columns).then_some("text");
    let mark = |cell: &str| match cell.chars().next() {
        Some('✓') => Some("good"),
        Some('✗') => Some("bad"),
        _ => None,
    };
    html! {
        @if !table.rows.is_empty() {
            h2 { (table.title) }
            div.wide {
                table {
                    tr { @for (column, head) in table.heads.iter().enumerate() { th class=[class(column)] { (head) } } }
                    @for row in &table.rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                td class=[class(column)] { span class=[mark(cell)] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn environment(summary: &Summary) -> Markup {
    let (here, asked) = (&summary.environment, &summary.parameters);
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "not known".to_owned());
    let sources = if asked.sources.is_empty() { "the system's choice".into() } else { asked.sources.join(", ") };
    let facts = [
        ("server", known(&here.server)),
        ("commit", known(&here.commit)),
        ("loadtest", here.loadtest.clone()),
        ("processor", format!("{}, {} cores", here.cpu, here.cores)),
        ("memory", format!("{:.1} GiB", here.memory_bytes as f64 / 1024f64.powi(3))),
        ("kernel", here.kernel.clone()),
        ("addresses", asked.urls.join(", ")),
        ("processes", asked.processes.to_string()),
        ("sources", sources),
        ("seed", asked.seed.to_string()),
        ("room", format!("{}: {}", summary.room, summary.room_afterwards)),
    ];
    html! {
        h2 { "Environment" }
        dl { @for (name, fact) in facts { dt { (name) } dd { (fact) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped() {
        let row = vec!["<script>".to_owned()];
        let mut table = Table { title: "<t>", heads: vec!["<h>"], text_columns: 1, rows: vec![row] };
        let html = draw(&table).into_string();
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;h&gt;") && html.contains("&lt;t&gt;"));
        table.rows.clear();
        assert_eq!(draw(&table).into_string(), "");
    }
}
