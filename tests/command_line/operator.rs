//! An operator: a folder with an event file, and the address and key of a server.

use crate::support::cluster::Cluster;
use crate::support::server::EMCEE_KEY;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Longer than any command takes, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

pub const PARTY: &str = r##"ref = "party"
title = "Party"
votes_per_round = 5

[[round]]
title = "The song"
choices = ["Red", { label = "Blue", color = "#0000ff" }]
seconds = 60

[[round]]
title = "The cake"
choices = ["Lemon", "Plum"]

[[round]]
title = "The end"
choices = ["Yes", "No"]
split = "held"
"##;

pub struct Operator {
    pub folder: TempDir,
    /// Address of the server.
    pub url: String,
    /// The emcee key for the commands; empty: none.
    pub key: String,
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Operator {
    /// For the first server of a cluster, with `party.toml` in the folder.
    pub fn at(cluster: &Cluster) -> Operator {
        Operator::at_url(&cluster.pods[0].url(""))
    }

    /// For a server at this address.
    pub fn at_url(url: &str) -> Operator {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let operator = Operator { folder, url: url.to_owned(), key: EMCEE_KEY.to_owned() };
        operator.write("party.toml", PARTY);
        operator
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file of the test's own");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Changes one thing in `party.toml`.
    #[track_caller]
    pub fn rewrite(&self, from: &str, to: &str) {
        let before = self.read("party.toml");
        assert!(before.contains(from), "{from:?} is not in the file");
        self.write("party.toml", &before.replacen(from, to, 1));
    }

    /// Starts a command in the folder, with nothing in its environment but the server's address and the key.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.start_reading(arguments, Stdio::null())
    }

    fn start_reading(&self, arguments: &[&str], input: Stdio) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallycast"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("TALLYCAST_URL", &self.url);
        if !self.key.is_empty() {
            command.env("TALLYCAST__EMCEE__KEY", &self.key);
        }
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("the binary starts")
    }

    /// Waits for a command.
    pub async fn finish(&self, child: Child) -> CommandOutput {
        let output = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await.expect("the command ends");
        let output = output.expect("its own child");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        CommandOutput { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub async fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.finish(self.start(arguments)).await
    }

    /// As `run`, with a file of the folder as standard input.
    pub async fn run_reading(&self, arguments: &[&str], file: &str) -> CommandOutput {
        let file = std::fs::File::open(self.path(file)).expect("a file of the folder");
        self.finish(self.start_reading(arguments, file.into())).await
    }
}

impl CommandOutput {
    /// Checks the exit code, and that each of these was printed.
    #[track_caller]
    pub fn expect(self, code: i32, says: &[&str]) -> CommandOutput {
        assert_eq!(self.code, Some(code), "{self:?}");
        for words in says {
            assert!(self.out.contains(words) || self.err.contains(words), "{words:?} was not printed: {self:?}");
        }
        self
    }

    /// The JSON on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
