//! Progress during a run: one line that changes on a terminal, otherwise one line per second.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::summary::Figures;
use super::text::optional_ms;

/// See [module](self).
pub enum Progress {
    /// A line that changes. It is removed in the end.
    Live(ProgressBar),
    /// A line a second.
    Plain,
    /// Nothing.
    Quiet,
}

impl Progress {
    /// The form that suits the standard error.
    pub fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Plain;
        }
        let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").expect("the template is valid"),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Live(bar)
    }

    /// Shows the newest second.
    pub fn show(&self, phase: &str, pending: i64, second: &Figures) {
        let ack = optional_ms(second.ack_p99);
        let line = format!(
            "{phase}: {} sockets, {} casts/s, {} votes/s, ack p99 {ack}, {} frames/s, {} pending, {} errors/s",
            second.connected, second.casts, second.votes, second.frames, pending, second.errors
        );
        match self {
            Self::Live(bar) => bar.set_message(line),
            Self::Plain => eprintln!("{:6.0}s {line}", second.at),
            Self::Quiet => {}
        }
    }

    /// Prints a line.
    pub fn print(&self, text: &str) {
        match self {
            Self::Live(bar) => bar.println(text),
            Self::Plain => eprintln!("{text}"),
            Self::Quiet => {}
        }
    }
}
