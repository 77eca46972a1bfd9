//! Columns under each other, and numbers of things.

use unicode_segmentation::UnicodeSegmentation;

/// Rows as text, each column as wide as its widest cell; the last one as it comes.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let lines: Vec<_> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| graphemes(&line[column])).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |line: &[String; N]| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| cell.clone() + &" ".repeat(width - graphemes(cell)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.into_iter().map(line).collect()
}

fn graphemes(text: &str) -> usize {
    text.graphemes(true).count()
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
}
