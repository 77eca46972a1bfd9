//! The command line: `tallycast`, or `tallycast serve`, holds the evening; the other commands talk to a running server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tallycast::cli::arguments::Operation;
use tallycast::settings::{LogSettings, Settings};
use tallycast::startup::Application;
use tallycast::telemetry::Reader;
use tallycast::{cli, telemetry};

// measured against the system's: a third less memory for each socket, and less time where ten thousand are written to
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Live audience voting that counts every vote exactly once.
///
/// Without a command it serves; its settings are in config/default.toml and the environment. Every other command talks
/// to a running server: docs/event-files.md shows them at work.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Hold the evening: pages, API and sockets (the default)
    Serve,
    #[command(flatten)]
    Operation(Operation),
}

fn main() -> ExitCode {
    let Arguments { command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // 2 would be clap's choice, and is a difference that `plan` has found
            let code = if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    match command.unwrap_or(Command::Serve) {
        Command::Operation(operation) => cli::run(operation),
        Command::Serve => {
            // read by itself: why settings are refused is told in the way that they ask for
            let log = LogSettings::load();
            let reader = Reader::of(log.format);
            match actix_web::rt::System::new().block_on(serve(&log, reader)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    reader.told_why(&error);
                    ExitCode::FAILURE
                }
            }
        }
    }
}

async fn serve(log: &LogSettings, reader: Reader) -> anyhow::Result<()> {
    telemetry::init(log, reader)?;
    let application = Application::build(Settings::load()?).await?;
    cli::banner::show(&application, reader);
    application.run_until_stopped().await?;
    tracing::info!("stopped; the next start goes on where this one was");
    Ok(())
}
