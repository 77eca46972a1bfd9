//! How a run is made.

use std::path::PathBuf;

/// See [module](self).
#[derive(Debug, Clone)]
pub struct Options {
    /// The project's folder.
    pub root: PathBuf,
    /// The server's binary.
    pub server: PathBuf,
    /// The load test's binary.
    pub loadtest: PathBuf,
    /// Trials of each contender, at least 1.
    pub rounds: usize,
    /// Factor for numbers of sockets and lengths. 1 for a run that is kept; less to try a measure out.
    pub scale: f64,
    /// Include the long measures: a million ballots, 90,000 sockets.
    pub full: bool,
}
