//! `--start`: a server of its own for the time of a run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::Rng;
use rand::distr::Alphanumeric;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::misuse::misuse;
use crate::platform;
use crate::process::output;

/// How long a start and a stop may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ports to listen on: below those that Linux gives to outgoing connections by default.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A server process. Dropped, it is killed.
#[derive(Debug)]
pub struct LocalServer {
    /// Where it is.
    pub url: String,
    /// Its emcee key.
    pub key: String,
    /// What its binary says of itself.
    pub version: Option<String>,
    child: Child,
    directory: TempDir,
}

impl LocalServer {
    /// Starts a server on a free port, with a fresh embedded ledger or on a Redis, and waits until it takes voters.
    ///
    /// # Errors
    /// There is no binary, or it does not start: says why.
    pub async fn start(binary: Option<&Path>, redis: Option<&str>) -> anyhow::Result<Self> {
        let binary = find(binary)?;
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let port = free_port()?;
        let key: String = made_up();
        let ledger = match redis {
            Some(url) => url.to_owned(),
            None => format!("embedded:{}", directory.path().join("loadtest.redb").display()),
        };
        let log = std::fs::File::create(directory.path().join("log")).context("no log file")?;
        let mut command = Command::new(&binary);
        command
            .envs([
                ("SERVER_PORT", port.to_string().as_str()),
                ("TALLYCAST__SERVER__HOST", "127.0.0.1"),
                ("TALLYCAST__EMCEE__KEY", &key),
                ("TALLYCAST__SERVER__SECRET", &made_up()),
                ("TALLYCAST__LEDGER__URL", &ledger),
            ])
            .env_remove("REDIS_HOST")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("no log file")?)
            .stderr(log)
            .kill_on_drop(true);
        // after Ctrl-C the audit still needs it
        let child = platform::keep_from_ctrl_c(&mut command)
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let version = output(&binary.to_string_lossy(), &["--version"]);
        let mut server = Self { url: format!("http://127.0.0.1:{port}"), key, version, child, directory };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let http = reqwest::Client::new();
        let begun = Instant::now();
        loop {
            let answer = http.get(format!("{}/readyz", self.url)).send().await;
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let why = match answer {
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(_) => self.last_words(),
                };
                return Err(misuse(format!("the server that --start began does not become ready: {why}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Stops it as an operator would.
    pub async fn stop(mut self) {
        let asked = platform::ask_to_stop(&mut self.child).await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        if asked.is_err() || ended.is_err() {
            // it is killed when it is dropped
            eprintln!("loadtest: the server did not stop when asked, and is killed");
        }
    }
}

fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        let there = path.is_file().then(|| path.to_owned());
        return there.ok_or_else(|| misuse(format!("--binary {} is no file; build it first", path.display())));
    }
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let beside = own.with_file_name(format!("tallycast{}", std::env::consts::EXE_SUFFIX));
    match beside.is_file() {
        true => Ok(beside),
        false => Err(misuse(format!(
            "--start finds no server at {}; build one first with `cargo build{}`, or name one with --binary",
            beside.display(),
            if cfg!(debug_assertions) { "" } else { " --release" }
        ))),
    }
}

fn made_up() -> String {
    rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect()
}

fn free_port() -> anyhow::Result<u16> {
    let mut rng = rand::rng();
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let tries = std::iter::repeat_with(|| rng.random_range(PORTS)).take(100);
    tries.into_iter().find(free).context("no free port on 127.0.0.1")
}
