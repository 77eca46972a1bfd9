//! A `redis-server` of the test's own, with the durability that the project demands of an operator.

use super::free_port;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub struct Redis {
    pub port: u16,
    dir: TempDir,
    child: Option<Child>,
}

impl Redis {
    pub async fn start() -> Redis {
        let mut redis = Redis::prepared();
        redis.launch().await;
        redis
    }

    /// A port and a directory; nothing runs yet.
    pub fn prepared() -> Redis {
        Redis { port: free_port(), dir: tempfile::tempdir().expect("a temporary directory"), child: None }
    }

    /// Starts Redis on its port and directory and waits until it has loaded its file.
    pub async fn launch(&mut self) {
        assert!(self.child.is_none(), "redis on port {} still runs", self.port);
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", &self.dir.path().display().to_string(), "--logfile", "redis.log"])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--maxmemory-policy", "noeviction"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        self.child = Some(command.spawn().expect("redis-server is installed (Debian package redis-server)"));
        let since = Instant::now();
        while self.try_command("PING").await.is_none_or(|answer| !answer.starts_with("+PONG")) {
            assert!(since.elapsed() < Duration::from_secs(20), "redis on port {} does not start", self.port);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL. What it had acknowledged is in its append-only file.
    pub async fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running redis");
        child.start_kill().expect("its own child");
        child.wait().await.expect("its own child");
    }

    /// Sends `STOP` or `CONT` to this Redis.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().and_then(Child::id).expect("a running redis");
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
        assert!(sent.expect("a shell").success(), "kill -{name} {pid}");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends one inline command and gives the first bytes of the answer; `None` if there is none.
    pub async fn try_command(&self, command: &str) -> Option<String> {
        let talk = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
            stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
            let mut answer = [0; 512];
            let length = stream.read(&mut answer).await.ok()?;
            Some(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        tokio::time::timeout(Duration::from_secs(2), talk).await.ok().flatten()
    }

    /// As `try_command`, for commands that must succeed.
    pub async fn command(&self, command: &str) -> String {
        let answer = self.try_command(command).await.unwrap_or_else(|| panic!("redis does not answer {command}"));
        assert!(!answer.starts_with('-'), "redis refuses {command}: {answer}");
        answer
    }
}
