//! A server: one process on fixed cores, with a port and a folder of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// Core of the measured servers, with all their threads.
pub const SERVER_CORE: &str = "0";
/// Core of the measuring client, and of Redis: its CPU time is counted separately.
pub const CLIENT_CORE: &str = "1";
/// For runs that compare nothing.
pub const BOTH_CORES: &str = "0,1";
/// Time until a server must answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// See [module](self). The process is killed and its folder removed when this is dropped.
pub struct Server {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    child: Child,
    name: &'static str,
    dir: TempDir,
}

impl Server {
    /// Starts `program` on `cores` and waits until it listens. `configure` adds its arguments and environment, for a port
    /// and a folder below `home`. Its output is written to that folder.
    ///
    /// # Errors
    /// `taskset` or the program cannot be started, or does not listen within 20 s.
    pub fn start(
        home: &str,
        name: &'static str,
        cores: &str,
        program: impl AsRef<OsStr>,
        configure: impl FnOnce(&mut Command, &str, &Path),
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix(name).tempdir_in(home)?;
        let log = File::create(dir.path().join("log"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(program).stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        configure(&mut command, &port.to_string(), dir.path());
        let child = command.spawn().context("starting taskset (package util-linux)")?;
        let mut server = Self { port, child, name, dir };
        server.wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(server)
    }

    /// The program's process id: taskset replaces itself by the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its address, for `http` or another scheme.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Calls `is_up` until it returns true.
    ///
    /// # Errors
    /// The process ended, or is not up within 20 s. The text holds the end of its log.
    pub fn wait_until(&mut self, is_up: impl Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_up() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || began.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(5)..].join("\n");
                let why = ended.map_or("too slow".to_owned(), |status| status.to_string());
                bail!("{} does not start ({why}):\n{end}", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Moves this process, and the threads that it starts from now on, to [`CLIENT_CORE`].
///
/// # Errors
/// There is no `taskset`, or the machine has only one core.
pub fn pin_self() -> Result<()> {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset").args(["-cp", CLIENT_CORE, &pid]).output();
    let done = done.context("starting taskset (package util-linux)")?;
    ensure!(done.status.success(), "two cores are needed: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
