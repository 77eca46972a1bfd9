//! The command line: `loadtest run`, `list` and `plan`. Exit codes are in docs/loadtest.md.

mod arrivals;
mod audit;
mod capacity;
mod cli;
mod crew;
mod director;
mod limits;
mod local;
mod metrics;
mod misuse;
mod perform;
mod platform;
mod pod;
mod process;
mod publish;
mod report;
mod scenario;
mod target;
mod threshold;
mod tls;
mod voter;
mod webhook;
mod wire;

use std::process::ExitCode;

use clap::Parser;
use cli::{Arguments, Command};
use misuse::Misuse;

/// Bad arguments, a bad scenario, or a machine or server that does not fit them.
const BAD_INPUT: u8 = 104;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(cli::with_shorthand(std::env::args().collect())) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { BAD_INPUT } else { 0 };
            // nowhere to print to: the code still tells
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match dispatch(arguments.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(if error.is::<Misuse>() { BAD_INPUT } else { 1 })
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(arguments) => runtime(arguments.threads)?.block_on(perform::perform(*arguments)),
        Command::Crew { threads } => runtime(threads)?.block_on(crew::remote::serve()).map(|()| 0),
        Command::Plan(arguments) => capacity::plan(&arguments).map(|()| 0),
        Command::List => {
            for shipped in scenario::SHIPPED {
                cli::say(&format!("{:<14}{}\n", shipped.name, scenario::Scenario::load(shipped.name)?.title));
            }
            Ok(0)
        }
    }
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}
