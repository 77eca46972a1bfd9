//! How a run goes, while it goes: one line that changes on a terminal, else one line a second.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::summary::Moment;

/// See [module](self).
pub enum Progress {
    /// A line that changes.
    Live(ProgressBar),
    /// A line a second.
    Plain,
    /// Nothing.
    Quiet,
}

impl Progress {
    /// What fits where the standard error goes.
    pub fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Plain;
        }
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").expect("the template is valid"),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Live(bar)
    }

    /// Shows a second.
    pub fn show(&self, phase: &str, pending: i64, moment: &Moment) {
        let ack = moment.ack_p99.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        let line = format!(
            "{phase}: {} sockets, {} casts/s, {} votes/s, ack p99 {ack}, {} frames/s, {} under way, {} errors/s",
            moment.connected, moment.casts, moment.votes, moment.frames, pending, moment.errors
        );
        match self {
            Self::Live(bar) => bar.set_message(line),
            Self::Plain => eprintln!("{:6.0}s {line}", moment.at),
            Self::Quiet => {}
        }
    }

    /// Says something once.
    pub fn say(&self, text: &str) {
        match self {
            Self::Live(bar) => bar.println(text),
            Self::Plain => eprintln!("{text}"),
            Self::Quiet => {}
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if let Self::Live(bar) = self {
            bar.finish_and_clear();
        }
    }
}
