//! A disturbance in the middle of a phase: a pod of the server and the ledger are restarted while everybody votes. The load
//! test has no right to restart them. It prints when it is time, and runs the command of `--disturb`.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::console::print;

/// Begins the line on the standard output that says when it is time. Scripts wait for it.
const MARK: &str = "DISTURB";
/// Time that the command may take after the end of its phase.
const TIMEOUT: Duration = Duration::from_secs(60);

/// See [module](self).
pub struct Disturbance(Option<JoinHandle<Result<(), String>>>);

impl Disturbance {
    /// Prints the line and starts the command.
    pub fn begin(command: Option<&str>) -> Self {
        print(&format!("{MARK}: restart one pod of the server, and the ledger, now\n"));
        Self(command.map(|command| tokio::spawn(run(command.to_owned()))))
    }

    /// Waits for the command, and gives a remark if it failed.
    pub async fn end(self) -> Option<String> {
        let why = match timeout(TIMEOUT, self.0?).await {
            Ok(Ok(result)) => result.err()?,
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => format!("it still ran {} s after its phase", TIMEOUT.as_secs()),
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
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", output.status, errors.lines().last().unwrap_or_default()))
}
