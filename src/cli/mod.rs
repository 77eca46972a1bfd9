//! The command line beside `serve`: an operator's commands, each of which talks to a running server.
//!
//! | file | is |
//! | --- | --- |
//! | [`arguments`] | what can be asked for, with its help |
//! | [`banner`] | the first words of `serve` |
//! | `client` | the one way to a server, and what is said when it fails |
//! | `event` | event files: read, compared with a room, shown |
//! | `plan`, `export`, `import`, `audit`, `purge`, `check` | the commands, one a file; `plan` holds `apply` too |
//! | `rooms` | the server's rooms, and which of them is meant |
//! | `outcome` | how a command ends, and where its results go |
//! | `paint`, `table` | how results look |
//!
//! Results go to stdout, everything else to stderr, and the exit code is an `Outcome`.

pub mod arguments;
mod audit;
pub mod banner;
mod check;
mod client;
mod event;
mod export;
mod import;
mod outcome;
mod paint;
mod plan;
mod purge;
mod rooms;
mod table;

use std::process::ExitCode;

use arguments::Operation;
use outcome::Outcome;

/// Does what was asked for, and says on stderr why it could not.
pub fn run(operation: Operation) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match operation {
                Operation::Plan(arguments) => plan::plan(&arguments).await,
                Operation::Apply(arguments) => plan::apply(&arguments).await,
                Operation::Export(arguments) => export::export(&arguments).await,
                Operation::Import(arguments) => import::import(&arguments).await,
                Operation::Audit(arguments) => audit::audit(&arguments).await,
                Operation::Purge(arguments) => purge::purge(&arguments).await,
                Operation::Check(arguments) => check::check(&arguments).await,
            }
        })
    });
    done.unwrap_or_else(|error| {
        eprintln!("tallycast: {error:#}");
        Outcome::Failed
    })
    .into()
}
