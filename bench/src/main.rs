//! The command line of the bench.

use bench::options::Options;
use clap::Parser;

/// Measures Tallycast beside small reference servers.
#[derive(Parser)]
#[command(version)]
enum Cli {
    /// Measure; print each row once it is measured, and the table at the end.
    Run(Options),
}

fn main() -> anyhow::Result<()> {
    let Cli::Run(options) = Cli::parse();
    bench::run(options)
}
