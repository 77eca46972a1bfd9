//! A disturbance in the middle of a phase: a pod of the server and the ledger are restarted while everybody votes. The
//! load test itself may restart nothing. It says when it is time, for whoever may, and runs the command it was given.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::say;

/// Begins the line on the standard output that says it is time; scripts wait for it.
const SIGN: &str = "DISTURB";
/// How long after its phase a command may still run.
const PATIENCE: Duration = Duration::from_secs(60);

/// One that has begun.
pub struct Disturbance(Option<JoinHandle<Result<(), String>>>);

impl Disturbance {
    /// Says that it is time, and begins the command.
    pub fn begin(command: Option<&str>) -> Self {
        say(&format!("{SIGN}: restart one pod of the server, and the ledger, now\n"));
        Self(command.map(|command| tokio::spawn(run(command.to_owned()))))
    }

    /// Waits for the command; gives what went wrong with it.
    pub async fn end(self) -> Option<String> {
        let done = timeout(PATIENCE, self.0?).await;
        let why = match done {
            Ok(Ok(result)) => result.err()?,
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => format!("it still ran {} s after its phase", PATIENCE.as_secs()),
        };
        Some(format!("the command of --disturb failed: {why}"))
    }
}

async fn run(command: String) -> Result<(), String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).stdin(Stdio::null()).kill_on_drop(true);
    let output = shell.output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", output.status, said.lines().last().unwrap_or_default()))
}
