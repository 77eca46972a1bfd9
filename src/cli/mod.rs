//! The operator's commands. Each of them talks to a running server.
//!
//! | file | holds |
//! | --- | --- |
//! | [`arguments`] | the commands and their options, with the help texts |
//! | [`startup_message`] | what `serve` shows when it has started |
//! | `client` | calls to a server, and the error texts when one fails |
//! | `event` | event files: reading them, comparing them with a room, showing the difference |
//! | `plan`, `export`, `import`, `audit`, `purge`, `check` | the commands, one a file; `apply` is in `plan` |
//! | `rooms` | the server's rooms, and which of them a command is for |
//! | `outcome` | how a command ends, and where its results go |
//! | `style`, `table` | colours and tables |
//!
//! Results go to stdout, everything else goes to stderr, and the exit code is an `Outcome`.

pub mod arguments;
mod audit;
mod check;
mod client;
mod event;
mod export;
mod import;
mod outcome;
mod plan;
mod purge;
mod rooms;
pub mod startup_message;
mod style;
mod table;

use std::process::ExitCode;

use arguments::Operation;
use outcome::Outcome;

/// Runs a command. If it fails, it reports why on stderr.
pub fn run(operation: Operation) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
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
    outcome
        .unwrap_or_else(|error| {
            eprintln!("tallycast: {error:#}");
            Outcome::Failed
        })
        .into()
}
