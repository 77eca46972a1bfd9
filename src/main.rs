//! The command line: `tallycast` or `tallycast serve` runs the server; the other commands talk to a running server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tallycast::cli::arguments::Operation;
use tallycast::settings::{LogSettings, Settings};
use tallycast::startup::Application;
use tallycast::telemetry::OutputMode;
use tallycast::{cli, telemetry};

// measured against the system's allocator: a third less memory for each socket, and less time to write to 10,000
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Live audience voting that counts every vote exactly once.
///
/// Without a command it serves; its settings are in config/default.toml and the environment. Every other command talks
/// to a running server: docs/event-files.md shows how to use them.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: pages, API and sockets (the default)
    Serve,
    #[command(flatten)]
    Operation(Operation),
}

fn main() -> ExitCode {
    let Arguments { command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap would return 2, which means that `plan` has found a difference
            let code = if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    match command.unwrap_or(Command::Serve) {
        Command::Operation(operation) => cli::run(operation),
        Command::Serve => {
            // read before the other settings, so that an error in those is reported in the format that they ask for
            let log = LogSettings::load();
            let output = OutputMode::of(log.format);
            match actix_web::rt::System::new().block_on(serve(&log, output)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    output.report_failure(&error);
                    ExitCode::FAILURE
                }
            }
        }
    }
}

async fn serve(log: &LogSettings, output: OutputMode) -> anyhow::Result<()> {
    telemetry::init(log, output)?;
    let application = Application::build(Settings::load()?).await?;
    cli::startup_message::show(&application, output);
    application.run_until_stopped().await?;
    tracing::info!("stopped; the next start continues from here");
    Ok(())
}
