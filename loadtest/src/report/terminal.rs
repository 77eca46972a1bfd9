//! The end of a run on the terminal: thresholds first, then what was measured, then the audit.

use super::summary::Summary;
use super::table::{self, Table};
use crate::console::aligned;

/// Every line. Marks are coloured; the console removes that where there is no terminal.
pub fn text(summary: &Summary) -> String {
    let tables = [
        table::thresholds(summary),
        table::times(summary),
        table::counts(summary),
        table::phases(summary),
        table::slow_commands(summary),
        table::audit(summary),
    ];
    let mut text: String = tables.iter().map(draw).collect();
    let remarks = summary.remarks.iter().map(|remark| format!("note: {remark}\n"));
    let violations = summary.violations.iter().map(|violation| format!("broken promise: {violation}\n"));
    let differences = summary.audit.told.iter().map(|difference| format!("difference: {difference}\n"));
    text.extend(remarks.chain(violations).chain(differences));
    let audit = &summary.audit;
    text += &match audit.exact {
        true => {
            format!("\nAUDIT: exact ({} places recomputed, {} of them sent to phones)\n", audit.places, audit.standings)
        }
        false => format!("\nAUDIT: {} differences\n", audit.differences),
    };
    text += &format!("room {}: {}\n", summary.room, summary.room_afterwards);
    text += &format!("\n{} after {:.0} s\n", summary.verdict.text(), summary.seconds);
    text.replace('✓', "\x1b[32m✓\x1b[0m").replace('✗', "\x1b[31m✗\x1b[0m")
}

/// A table with an empty line before it; empty without rows.
fn draw(table: &Table) -> String {
    match table.rows.is_empty() {
        true => String::new(),
        false => format!("\n{}\n{}", table.title, aligned(&table.heads, table.text_columns, table.rows.clone())),
    }
}
