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
    _server: Child,
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
        let mut server = Command::new("sh");
        server.arg(shipped("with_users.sh")).arg("redis-server").arg(dir.path().join("redis.conf"));
        server.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        server.env("PASSWORDS", dir.path()).env("USERS", dir.path());
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("a shell");
        let redis = GuardedRedis { port, dir, _server: server };
        let answers = async {
            while redis.ask("monitor", &["ping"]).await != "PONG" {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(START_LIMIT, answers).await.expect("redis-server starts with the shipped users");
        redis
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

/// A file of the manifests.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base/redis").join(name)
}
