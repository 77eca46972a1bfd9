//! Voters, simulated by the load test: a process with a scenario from this folder.

use crate::support::server::EMCEE_KEY;
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub struct Crowd {
    name: &'static str,
    child: Child,
    dir: TempDir,
}

/// The result of a crowd.
pub struct Verdict {
    pub exact: bool,
    pub exit: Option<i32>,
    pub summary: Value,
    pub text: String,
}

impl Crowd {
    /// Lets the voters of `scenario` come to this address.
    pub fn send(scenario: &'static str, to: SocketAddr) -> Crowd {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = File::create(dir.path().join("log")).expect("a file");
        let child = Command::new(binary())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scaling"))
            .args(["run", scenario, "--quiet", "--key", EMCEE_KEY, "--url", &format!("http://{to}")])
            .arg("--json")
            .arg(dir.path().join("summary.json"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the load test starts");
        Crowd { name: scenario, child, dir }
    }

    pub fn is_here(&mut self) -> bool {
        self.child.try_wait().expect("its own child").is_none()
    }

    /// Waits until the load test has ended and audited their votes.
    pub async fn leave(mut self) -> Verdict {
        let status = self.child.wait().await.expect("its own child");
        let text = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        eprintln!("--- {} ---\n{text}", self.name);
        let summary = std::fs::read_to_string(self.dir.path().join("summary.json")).unwrap_or_default();
        let summary = serde_json::from_str(&summary).unwrap_or_default();
        let exact = text.contains("AUDIT: exact");
        Verdict { exact, exit: status.code(), summary, text }
    }
}

/// The load test's binary, beside the server's.
fn binary() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_tallycast")).with_file_name("loadtest");
    assert!(binary.exists(), "{} is missing: cargo build --workspace", binary.display());
    binary
}
