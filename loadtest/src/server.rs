//! `--start`: a server for one run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::Rng;
use rand::distr::Alphanumeric;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::console::usage_error;
use crate::platform;

/// Time for a start and for a stop.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Ports to listen on: below those that Linux uses for outgoing connections by default.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A server process. It is killed when this is dropped.
#[derive(Debug)]
pub struct LocalServer {
    /// Its address.
    pub url: String,
    /// Its emcee key.
    pub key: String,
    /// What its binary prints for `--version`.
    pub version: Option<String>,
    child: Child,
    directory: TempDir,
}

impl LocalServer {
    /// Starts a server on a free port, with a new embedded ledger or a Redis, and waits until it is ready.
    ///
    /// # Errors
    /// There is no binary, or the server does not become ready: says why.
    pub async fn start(binary: Option<&Path>, redis: Option<&str>) -> anyhow::Result<Self> {
        let binary = find(binary)?;
        let directory = tempfile::tempdir().context("there is no temporary directory")?;
        let port = free_port()?;
        let key = random_key();
        let ledger = match redis {
            Some(url) => url.to_owned(),
            None => format!("embedded:{}", directory.path().join("loadtest.redb").display()),
        };
        let log = std::fs::File::create(directory.path().join("log")).context("the log file cannot be created")?;
        let mut command = Command::new(&binary);
        command
            .envs([
                ("SERVER_PORT", port.to_string().as_str()),
                ("TALLYCAST__SERVER__HOST", "127.0.0.1"),
                ("TALLYCAST__EMCEE__KEY", &key),
                ("TALLYCAST__SERVER__SECRET", &random_key()),
                ("TALLYCAST__LEDGER__URL", &ledger),
            ])
            .env_remove("REDIS_HOST")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("the log file cannot be created")?)
            .stderr(log)
            .kill_on_drop(true);
        // the audit needs it after Ctrl-C
        let child = platform::keep_from_ctrl_c(&mut command)
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let version = version(&binary).await;
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
            if ended.is_some() || begun.elapsed() > TIMEOUT {
                let why = match answer {
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(_) => self.end_of_log(),
                };
                return Err(usage_error(format!("the server started by --start does not become ready: {why}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Stops it with SIGTERM.
    pub async fn stop(mut self) {
        let asked = platform::ask_to_stop(&mut self.child).await;
        let ended = tokio::time::timeout(TIMEOUT, self.child.wait()).await;
        if asked.is_err() || ended.is_err() {
            eprintln!("loadtest: the server did not stop after SIGTERM and is killed");
        }
    }
}

fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        let file = path.is_file().then(|| path.to_owned());
        return file.ok_or_else(|| usage_error(format!("--binary {} is not a file; build it first", path.display())));
    }
    let own = std::env::current_exe().context("the path of this program is not known")?;
    let beside = own.with_file_name(format!("tallycast{}", std::env::consts::EXE_SUFFIX));
    match beside.is_file() {
        true => Ok(beside),
        false => Err(usage_error(format!(
            "--start finds no server at {}; build one first with `cargo build{}`, or name one with --binary",
            beside.display(),
            if cfg!(debug_assertions) { "" } else { " --release" }
        ))),
    }
}

async fn version(binary: &Path) -> Option<String> {
    let output = Command::new(binary).arg("--version").output().await.ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn random_key() -> String {
    rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect()
}

fn free_port() -> anyhow::Result<u16> {
    let mut rng = rand::rng();
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let tries = std::iter::repeat_with(|| rng.random_range(PORTS)).take(100);
    tries.into_iter().find(free).context("there is no free port on 127.0.0.1")
}
