//! The command line of the bench.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use bench::lab::Lab;
use bench::measures;
use bench::options::Options;
use bench::procs::{load, pin_self, wait_for_turn};
use bench::record::Record;
use bench::table::markdown;
use clap::{Args, Parser, Subcommand};

/// Highest load of a machine without other work.
const QUIET_LOAD: f32 = 0.5;

/// Measures Tallycast beside small reference servers.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Do,
}

#[derive(Subcommand)]
enum Do {
    /// Measure; print each row as it comes, and the table at the end.
    Run(Run),
    /// Print the table of what was measured with this build of the server.
    Show(Common),
}

#[derive(Args)]
struct Common {
    /// The project's folder.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The server's binary [default: target/dist/tallycast in the project].
    #[arg(long)]
    server: Option<PathBuf>,
}

#[derive(Args)]
struct Run {
    /// Numbers of rows, 1 to 15; none: all.
    #[arg(value_parser = clap::value_parser!(u8).range(1..=15))]
    numbers: Vec<u8>,
    /// Include the long measures: a million ballots, ninety thousand voters.
    #[arg(long)]
    full: bool,
    /// Write docs/performance.md and bench/constants.toml.
    #[arg(long)]
    write: bool,
    /// Trials of each contender.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// Factor for numbers and lengths, to try a measure out; nothing is kept.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[command(flatten)]
    common: Common,
    /// The load test's binary [default: target/dist/loadtest in the project].
    #[arg(long)]
    loadtest: Option<PathBuf>,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Do::Run(run) => measure(run),
        Do::Show(common) => {
            let record = Record::load(&options(common, None, 1, 1.0, false)?);
            print!("{}", markdown(record.rows()));
            Ok(())
        }
    }
}

fn measure(run: Run) -> Result<()> {
    ensure!(run.scale > 0.0 && run.scale <= 1.0, "--scale is above 0 and at most 1");
    ensure!(run.scale == 1.0 || !run.write, "--write needs a full run: leave --scale out");
    let wanted: BTreeSet<u8> =
        if run.numbers.is_empty() { measures::NUMBERS.collect() } else { run.numbers.into_iter().collect() };
    let options = options(run.common, run.loadtest, usize::from(run.rounds), run.scale, run.full)?;
    let _turn = wait_for_turn()?;
    if let Some(load) = load().filter(|load| *load > QUIET_LOAD) {
        eprintln!("the machine has other work (load {load}): ratios may be right, figures are not");
    }
    let mut record = Record::load(&options);
    let lab = Lab::new(options)?;
    pin_self()?;
    let root = &lab.options.root;
    let measured = measures::run(&lab, &wanted, &mut |row| {
        println!("{}", row.line());
        record.put(row);
    });
    println!("\n{}", markdown(record.rows()));
    // rows measured before a failure are valid
    if run.scale == 1.0 {
        record.keep(root, lab.constants.borrow().clone())?;
    }
    measured?;
    if run.write {
        record.publish(root)?;
    }
    Ok(())
}

fn options(common: Common, loadtest: Option<PathBuf>, rounds: usize, scale: f64, full: bool) -> Result<Options> {
    let root = common.root.canonicalize()?;
    let built = |name: &str| root.join("target/dist").join(name);
    let server = std::path::absolute(common.server.unwrap_or_else(|| built("tallycast")))?;
    let loadtest = loadtest.unwrap_or_else(|| built("loadtest"));
    Ok(Options { root, server, loadtest, rounds, scale, full })
}
