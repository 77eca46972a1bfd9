//! The end of a run on the terminal: the tables, then what must not be missed.

use super::summary::Summary;
use super::table;
use crate::console::aligned;

/// Every line. Marks are coloured; the console removes that where there is no terminal.
pub fn text(summary: &Summary) -> String {
    let mut text = String::new();
    for table in table::all(summary).into_iter().filter(|table| !table.rows.is_empty()) {
        text += &format!("\n{}\n{}", table.title, aligned(&table.heads, table.text_columns, table.rows));
    }
    text.extend(summary.notes().map(|note| format!("{note}\n")));
    text += &format!("\nAUDIT: {}\n", summary.audit.text());
    text += &format!("\n{} after {:.0} s\n", summary.verdict.text(), summary.seconds);
    text.replace('✓', "\x1b[32m✓\x1b[0m").replace('✗', "\x1b[31m✗\x1b[0m")
}
