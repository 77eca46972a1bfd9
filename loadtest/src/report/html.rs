//! The report as one page that needs nothing else: no script, no font, no picture from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts;
use super::summary::{Summary, Verdict};
use super::table::{self, Table};

/// The whole page.
pub fn page(summary: &Summary) -> String {
    let title = &summary.parameters.scenario.title;
    let class = if summary.verdict == Verdict::Passed { "good" } else { "bad" };
    let [thresholds, tables @ ..] = table::all(summary);
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
                (draw(&thresholds))
                @for note in summary.notes() { p.bad { (note) } }
                div.charts { (charts::all(summary)) }
                @for table in &tables { (draw(table)) }
                h2 { "What the times are" }
                dl { @for (timer, _) in summary.measures.all_times() { dt { (timer.name()) } dd { (timer.description()) } } }
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
