//! Colours, on a terminal only, and not where `NO_COLOR` is set (no-color.org).

use std::io::IsTerminal;

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// For stdout as it is.
    pub fn stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(!unwanted && std::io::stdout().is_terminal())
    }

    /// No colours at all.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self(false)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Made, or well.
    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Changed.
    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    /// Dropped, refused, or wrong.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// What a block is about.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
}
