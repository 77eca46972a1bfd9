//! Colours. Results are always styled; [`super::outcome::print`] removes the styles where they are not wanted.

use anstyle::{AnsiColor, Style};

const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();

/// For what is made or in order.
pub fn green(text: &str) -> String {
    styled(GREEN, text)
}

/// For what changes.
pub fn yellow(text: &str) -> String {
    styled(YELLOW, text)
}

/// For what is dropped, refused or wrong.
pub fn red(text: &str) -> String {
    styled(RED, text)
}

/// For headings.
pub fn bold(text: &str) -> String {
    styled(BOLD, text)
}

fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
