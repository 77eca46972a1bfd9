//! What the program says to whoever started it.

use std::fmt;
use std::io::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Bad arguments, a bad scenario, or a machine or server that does not fit them: says what to do. Ends the program with
/// exit code 104.
#[derive(Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A [`UsageError`] with this text.
pub fn usage_error(text: impl Into<String>) -> anyhow::Error {
    UsageError(text.into()).into()
}

/// Prints to the standard output. A reader that closes it early, as `head` does, is not an error.
pub fn print(text: &str) {
    let mut out = anstream::AutoStream::auto(std::io::stdout()).lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A table of aligned columns without lines. The first `text_columns` hold text, the others numbers; without `heads` there is
/// no header.
pub fn aligned(heads: &[&str], text_columns: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).add_rows(rows);
    if !heads.is_empty() {
        table.set_header(heads);
    }
    for column in table.column_iter_mut().skip(text_columns) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n", table.trim_fmt())
}
