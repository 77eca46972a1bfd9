//! How a run is made.

use std::path::PathBuf;

use clap::value_parser;

/// See [module](self). Paths are relative to the project's folder, in which the bench is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Numbers of rows, 1 to 14; none: all. Rows 2 and 3 are measured together, and so are 4 and 5.
    #[arg(value_parser = value_parser!(u8).range(1..=14))]
    pub numbers: Vec<u8>,
    /// Include the long measures: a million ballots (13), ninety thousand voters (14).
    #[arg(long)]
    pub full: bool,
    /// Write docs/performance.md and bench/constants.toml.
    #[arg(long)]
    pub write: bool,
    /// Trials of each contender.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u8).range(1..=99))]
    pub rounds: u8,
    /// Factor for numbers and lengths, to try a measure out; nothing is kept.
    #[arg(long, default_value_t = 1.0, conflicts_with = "write")]
    pub scale: f64,
    /// The server's binary.
    #[arg(long, default_value = "target/dist/tallycast")]
    pub server: PathBuf,
    /// The load test's binary.
    #[arg(long, default_value = "target/dist/loadtest")]
    pub loadtest: PathBuf,
}
