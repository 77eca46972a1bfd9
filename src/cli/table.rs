//! Tables without lines, and counts in words.

use comfy_table::{Table, presets};

/// Spaces between two columns.
const GAP: u16 = 2;

/// The rows as lines of text, with the columns aligned on their left.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.trim_fmt() + "\n"
}

/// `1 invite`, `2 invites`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["Zoë".to_owned(), "1".to_owned()], ["A".to_owned(), "22".to_owned()]];
        assert_eq!(table(["who", "votes"], &rows), "who  votes\nZoë  1\nA    22\n");
    }

    #[test]
    fn a_cell_may_be_empty() {
        let rows = [["ok".to_owned(), String::new(), "x".to_owned()]];
        assert_eq!(table(["", "took", "finding"], &rows), "    took  finding\nok        x\n");
    }
}
