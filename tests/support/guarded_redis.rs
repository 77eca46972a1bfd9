//! Redis as the manifests ship it: with their settings and users, and a password of its own for each.

use super::free_port;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const START_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
pub const USERS: [&str; 3] = ["tallycast", "audience", "monitor"];

pub struct GuardedRedis {
    pub port: u16,
    dir: TempDir,
    server: Child,
}

impl GuardedRedis {
    pub async fn start() -> GuardedRedis {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for user in USERS {
            fs::write(dir.path().join(format!("redis-{user}")), format!("a-password-of-{user}-0001\n"))
                .expect("a file");
        }
        let settings = fs::read_to_string(shipped("redis.conf")).expect("the manifests' settings");
        let here = settings.replace("dir /data", &format!("dir {}", dir.path().display()));
        assert_ne!(here, settings, "it is moved out of /data");
        fs::write(dir.path().join("redis.conf"), here).expect("a file");
        let port = free_port();
        let redis = GuardedRedis { port, server: launch(dir.path(), port), dir };
        redis.answers().await;
        redis
    }

    /// Kills it and starts it again. What it has acknowledged is in its file.
    pub async fn restart(&mut self) {
        self.server.kill().await.expect("its own child");
        self.server = launch(self.dir.path(), self.port);
        self.answers().await;
    }

    async fn answers(&self) {
        let answers = async {
            while self.ask("monitor", &["ping"]).await != "PONG" {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(START_LIMIT, answers).await.expect("redis-server starts with the shipped users");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The file with the password of a user.
    pub fn password_file(&self, user: &str) -> PathBuf {
        self.dir.path().join(format!("redis-{user}"))
    }

    pub fn password(&self, user: &str) -> String {
        fs::read_to_string(self.password_file(user)).expect("a file").trim().to_owned()
    }

    /// The settings of a process that signs in as this user.
    pub fn settings(&self, user: &str) -> Vec<(&'static str, String)> {
        vec![
            ("TALLYCAST__LEDGER__URL", self.url()),
            ("TALLYCAST__LEDGER__USER", user.to_owned()),
            ("TALLYCAST__LEDGER__PASSWORD_FILE", self.password_file(user).display().to_string()),
        ]
    }

    /// What Redis answers to somebody who has not signed in, an error included.
    pub async fn ask_as_nobody(&self, words: &[&str]) -> String {
        let mut ask = Command::new("redis-cli");
        let said = ask.args(["-p", &self.port.to_string()]).args(words).output().await.expect("redis-cli");
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    /// What Redis answers to a command of this user, an error included.
    pub async fn ask(&self, user: &str, words: &[&str]) -> String {
        let mut ask = Command::new("sh");
        ask.arg(shipped("ask.sh")).arg(user).args(["-p", &self.port.to_string()]).args(words);
        let asking = ask.env("PASSWORDS", self.dir.path()).kill_on_drop(true).output();
        // what listens goes on until it is killed
        let Ok(said) = timeout(ANSWER_LIMIT, asking).await else { return "no end".to_owned() };
        let said = said.expect("a shell and redis-cli");
        let text = [said.stdout, said.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

fn launch(dir: &Path, port: u16) -> Child {
    let mut server = Command::new("sh");
    server.arg(shipped("with_users.sh")).arg("redis-server").arg(dir.join("redis.conf"));
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]).env("PASSWORDS", dir).env("USERS", dir);
    server.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("a shell")
}

/// A file of the manifests.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base/redis").join(name)
}
