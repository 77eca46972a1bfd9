//! One `tallycast` process, started as an operator starts it: by environment alone.

use super::free_port;
use super::http::Http;
use std::fs::OpenOptions;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub const EMCEE_KEY: &str = "emcee-key-for-the-tests-0001";
pub const SECRET: &str = "5ec2e7a1b0c94d3f8e6a7b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e";

/// A start takes well under a second; a busy machine may need more.
const START_LIMIT: Duration = Duration::from_secs(30);
const EXIT_LIMIT: Duration = Duration::from_secs(45);

pub struct Server {
    pub port: u16,
    /// Where it listens: 127.0.0.1, if the settings say nothing else.
    host: IpAddr,
    environment: Vec<(String, String)>,
    /// Whether its standard output is a terminal.
    terminal: bool,
    child: Option<Child>,
    dir: TempDir,
}

impl Server {
    /// Starts a process with these settings and does not wait for it.
    pub fn spawn(environment: &[(&str, &str)]) -> Server {
        Server::launched(environment, false)
    }

    /// As `spawn`, with a terminal for its output.
    pub fn spawn_on_terminal(environment: &[(&str, &str)]) -> Server {
        Server::launched(environment, true)
    }

    fn launched(environment: &[(&str, &str)], terminal: bool) -> Server {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut settings = vec![
            ("SERVER_PORT".to_owned(), String::new()),
            ("TALLYCAST__SERVER__HOST".to_owned(), "127.0.0.1".to_owned()),
            ("TALLYCAST__EMCEE__KEY".to_owned(), EMCEE_KEY.to_owned()),
            ("TALLYCAST__SERVER__SECRET".to_owned(), SECRET.to_owned()),
        ];
        settings[0].1 = free_port().to_string();
        for (key, value) in environment {
            settings.retain(|(known, _)| known != key);
            // an empty value stands for "not set", so that a test can leave a default out
            if !value.is_empty() {
                settings.push(((*key).to_owned(), (*value).to_owned()));
            }
        }
        let told = |name: &str| settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let port = told("SERVER_PORT").and_then(|port| port.parse().ok()).unwrap_or(8080);
        let host = told("TALLYCAST__SERVER__HOST").and_then(|host| host.parse().ok());
        let host = host.filter(|host: &IpAddr| host.is_loopback()).unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let mut server = Server { port, host, environment: settings, terminal, child: None, dir };
        server.launch();
        server
    }

    /// Starts a process and waits until it can take voters.
    pub async fn start(environment: &[(&str, &str)]) -> Server {
        let mut server = Server::spawn(environment);
        server.ready().await;
        server
    }

    /// Starts the process again: same port, same settings, same ledger.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "the process on port {} still runs", self.port);
        let log = |path| OpenOptions::new().create(true).append(true).open(path).expect("a log file");
        let binary = env!("CARGO_BIN_EXE_tallycast");
        let mut command = Command::new(if self.terminal { "script" } else { binary });
        if self.terminal {
            // when it is killed, the terminal hangs up, and that ends the server
            command.args(["--quiet", "--flush", "--return", "--command", binary, "/dev/null"]);
        }
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
        for inherited in ["PATH", "HOME", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"] {
            if let Ok(value) = std::env::var(inherited) {
                command.env(inherited, value);
            }
        }
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(log(self.out())).stderr(log(self.err()));
        self.child = Some(command.spawn().expect("the server's binary starts"));
    }

    /// Waits for `/readyz` to answer 200, and fails at once if the process ends instead.
    pub async fn ready(&mut self) {
        let (http, since) = (Http::new(), Instant::now());
        loop {
            if let Ok(answer) = http.get(&format!("http://{}/readyz", self.metrics_address())).await
                && answer.status == 200
            {
                return;
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().expect("its own child")) {
                panic!("the server on port {} ended with {status} before it was ready\n{}", self.port, self.log());
            }
            assert!(since.elapsed() < START_LIMIT, "port {} is not ready\n{}", self.port, self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// The address of metrics and probes: its main one, unless the settings give them a port of their own.
    pub fn metrics_address(&self) -> SocketAddr {
        self.set_port("TALLYCAST__METRICS__PORT").unwrap_or(self.address())
    }

    /// The emcee's own address, if the settings have one.
    pub fn admin_address(&self) -> SocketAddr {
        self.set_port("TALLYCAST__SERVER__ADMIN_PORT").expect("the settings have a port for the emcee")
    }

    fn set_port(&self, setting: &str) -> Option<SocketAddr> {
        let (_, port) = self.environment.iter().find(|(key, _)| key == setting)?;
        Some(SocketAddr::new(self.host, port.parse().expect("a port")))
    }

    /// SIGKILL: the process gets no chance to do anything more.
    pub async fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running process");
        child.start_kill().expect("its own child");
        child.wait().await.expect("its own child");
    }

    /// Sends `INT`, `TERM`, `STOP` or `CONT` to this process.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().and_then(Child::id).expect("a running process");
        let sent =
            std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("a shell");
        assert!(sent.success(), "kill -{name} {pid}");
    }

    /// Waits until the process ends.
    pub async fn exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running process");
        match tokio::time::timeout(EXIT_LIMIT, child.wait()).await {
            Ok(status) => status.expect("its own child"),
            Err(_) => panic!("the server on port {} does not end\n{}", self.port, self.log()),
        }
    }

    /// Whether the process ends by itself within this time.
    pub async fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let child = self.child.as_mut().expect("a running process");
        let status = tokio::time::timeout(limit, child.wait()).await.ok()?.expect("its own child");
        self.child = None;
        Some(status)
    }

    /// Ctrl-C, as at a terminal.
    pub async fn interrupt(&mut self) -> ExitStatus {
        self.signal("INT");
        self.exit().await
    }

    /// Kills the process with SIGKILL, starts it again and waits until it is ready.
    pub async fn crash_and_restart(&mut self) {
        self.kill9().await;
        self.launch();
        self.ready().await;
    }

    /// Everything the process has written, on standard output and on standard error.
    pub fn log(&self) -> String {
        self.output() + &read(&self.err())
    }

    /// What the process has written on standard output.
    pub fn output(&self) -> String {
        read(&self.out())
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn err(&self) -> PathBuf {
        self.dir.path().join("err")
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        // `kill_on_drop` ends the process; its last log lines help to explain the failure
        if std::thread::panicking() {
            let log = self.log();
            let from = log.lines().count().saturating_sub(40);
            let tail: Vec<&str> = log.lines().skip(from).collect();
            eprintln!("--- last lines of the server on port {} ---\n{}", self.port, tail.join("\n"));
        }
    }
}
