//! A pool in a process of its own. The program starts itself, and both processes send each other lines of JSON.

use std::io::{BufRead, Write};
use std::process::Stdio;

use anyhow::Context;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::messages::{PoolCommand, PoolConfig, PoolReport, QUEUE};
use super::runner;
use crate::platform::Interrupts;

/// Starts a pool and passes commands and reports on. The process ends when `commands` is closed.
///
/// # Errors
/// The process cannot be started.
pub fn start(
    config: PoolConfig,
    mut commands: Receiver<PoolCommand>,
    reports: Sender<PoolReport>,
) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let mut child = Command::new(program)
        .arg("pool")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("another process cannot be started")?;
    let mut to = child.stdin.take().context("a child process has a standard input")?;
    let from = child.stdout.take().context("a child process has a standard output")?;
    tokio::spawn(async move {
        if write_line(&mut to, &config).await.is_ok() {
            while let Some(command) = commands.recv().await {
                if write_line(&mut to, &command).await.is_err() {
                    break;
                }
            }
        }
    });
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(report) = serde_json::from_str(&line) else { break };
            if reports.send(report).await.is_err() {
                break;
            }
        }
        // the controller sees by missing records that a pool failed
        let _ = child.wait().await;
    });
    Ok(())
}

async fn write_line(to: &mut ChildStdin, line: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(to.write_all(&text).await?)
}

/// The other side: a pool that takes its configuration and commands from the standard input.
///
/// # Errors
/// The configuration is malformed, or the pool fails.
pub async fn serve() -> anyhow::Result<()> {
    // Ctrl-C at a terminal reaches every process; only the controller acts on it
    let mut interrupts = Interrupts::listen().context("signals cannot be received")?;
    tokio::spawn(async move {
        loop {
            interrupts.next().await;
        }
    });
    let mut first = String::new();
    std::io::stdin().lock().read_line(&mut first).context("there is no configuration")?;
    let config: PoolConfig = serde_json::from_str(&first).context("the configuration is malformed")?;
    let (command, commands) = channel(QUEUE);
    let (report, mut reports) = channel::<PoolReport>(QUEUE);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(next) = serde_json::from_str(&line) else { break };
            if command.blocking_send(next).is_err() {
                break;
            }
        }
    });
    let writer = std::thread::spawn(move || {
        let mut out = std::io::stdout().lock();
        while let Some(report) = reports.blocking_recv() {
            let line = serde_json::to_string(&report).expect("reports have string keys and finite numbers");
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                break;
            }
        }
    });
    runner::run(config, commands, report).await?;
    let _ = writer.join();
    Ok(())
}
