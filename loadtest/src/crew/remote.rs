//! Crews in processes of their own: the program starts itself, and both sides talk in lines of JSON.

use std::io::{BufRead, Write};
use std::process::Stdio;

use anyhow::Context;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Brief, Order, Report, work};
use crate::platform::Interrupts;

/// Orders and reports that may lie between two sides.
pub const QUEUE: usize = 64;

/// Starts a crew and passes its orders and reports on. The process ends when the orders do.
///
/// # Errors
/// The process cannot be started.
pub fn start(
    brief: &Brief,
    threads: usize,
    mut orders: Receiver<Order>,
    reports: Sender<Report>,
) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut child = Command::new(program)
        .args(["crew", "--threads", &threads.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("a further process cannot be started")?;
    let mut to = child.stdin.take().context("a new process has an input")?;
    let from = child.stdout.take().context("a new process has an output")?;
    let brief = brief.clone();
    tokio::spawn(async move {
        if write_line(&mut to, &brief).await.is_ok() {
            while let Some(order) = orders.recv().await {
                if write_line(&mut to, &order).await.is_err() {
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
        reap(child).await;
    });
    Ok(())
}

async fn write_line(to: &mut ChildStdin, line: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(to.write_all(&text).await?)
}

async fn reap(mut child: Child) {
    // how it ended shows in whether its books came
    let _ = child.wait().await;
}

/// The other side: a crew that takes its brief and orders from the standard input.
///
/// # Errors
/// The brief is malformed, or a pod's address cannot be found.
pub async fn serve() -> anyhow::Result<()> {
    // Ctrl-C at a terminal reaches every process; the one that directs decides what becomes of it
    let mut interrupts = Interrupts::listen().context("no signals")?;
    tokio::spawn(async move {
        loop {
            interrupts.next().await;
        }
    });
    let mut first = String::new();
    std::io::stdin().lock().read_line(&mut first).context("no brief")?;
    let brief: Brief = serde_json::from_str(&first).context("the brief is malformed")?;
    let (order, orders) = channel(QUEUE);
    let (report, mut reports) = channel::<Report>(QUEUE);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(next) = serde_json::from_str(&line) else { break };
            if order.blocking_send(next).is_err() {
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
    work(brief, orders, report).await?;
    let _ = writer.join();
    Ok(())
}
