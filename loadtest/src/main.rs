//! The load test: `loadtest run`, `list` and `plan`. Exit codes are in docs/loadtest.md.

mod audit;
mod capacity;
mod cli;
mod console;
mod controller;
mod limits;
mod metrics;
mod notify;
mod platform;
mod pod;
mod pool;
mod report;
mod route;
mod run;
mod scenario;
mod schedule;
mod server;
mod target;
mod threshold;
mod tls;
mod user;

use std::process::ExitCode;

use clap::Parser;
use cli::{Arguments, Command};
use console::{UsageError, print};

/// Exit code of a [`UsageError`].
const USAGE: u8 = 104;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(cli::with_shorthand(std::env::args().collect())) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // the exit code says it too, if there is no output to print to
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match dispatch(arguments.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(if error.is::<UsageError>() { USAGE } else { 1 })
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(arguments) => return run::run(*arguments).await,
        Command::Pool => pool::process::serve().await?,
        Command::Plan(arguments) => capacity::plan(&arguments)?,
        Command::List => {
            for (name, text) in scenario::SHIPPED {
                print(&format!("{name:<14}{}\n", scenario::Scenario::parse(text, name)?.title));
            }
        }
    }
    Ok(0)
}
