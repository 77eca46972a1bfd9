//! The command line.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use humantime::parse_duration;

use crate::console::usage_error;
use crate::threshold::Threshold;

/// Puts a Tallycast server under load, and audits afterwards what it counted.
///
/// `loadtest evening` is short for `loadtest run evening`. See docs/loadtest.md.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Arguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario, shipped or from a file
    Run(Box<RunArguments>),
    /// List the shipped scenarios
    List,
    /// Estimate what a number of voters needs
    Plan(PlanArguments),
    /// A pool of virtual users in a process of its own; started by run
    #[command(hide = true)]
    Pool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Name of a shipped scenario, or path of a file
    pub scenario: String,
    /// Address of a pod; repeat it to spread the voters over several
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: Vec<String>,
    /// Where the emcee's calls go; default: the first --url
    #[arg(long, conflicts_with = "start")]
    pub emcee_url: Option<String>,
    /// File with a root certificate to trust (PEM), besides those that browsers trust; may be repeated
    #[arg(long)]
    pub ca: Vec<PathBuf>,
    /// The emcee key
    #[arg(long, env = "TALLYCAST__EMCEE__KEY", default_value = "", hide_env_values = true)]
    pub key: String,
    /// Folder of mounted secrets: the files emcee-key, webhook-url and loadtest-upload hold what --key, --webhook and
    /// --upload do not give. Each may be missing
    #[arg(long)]
    pub secrets: Option<PathBuf>,
    /// Start a server for this run: new embedded ledger, free port, a key of its own
    #[arg(long, conflicts_with = "url")]
    pub start: bool,
    /// The server's binary for --start; default: the one beside this program
    #[arg(long, requires = "start")]
    pub binary: Option<PathBuf>,
    /// --start uses this Redis, and counts its slow commands and restarts
    #[arg(long, requires = "start")]
    pub redis: Option<String>,
    /// Count slow commands and restarts of the ledger's server
    #[arg(long)]
    pub slow_log: bool,
    /// Keep the room afterwards
    #[arg(long)]
    pub keep: bool,
    /// Run this in a phase with `disturb`: it restarts a pod of the server, and the ledger
    #[arg(long)]
    pub disturb: Option<String>,
    /// Another number of voters; taps per second scale with it
    #[arg(long, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub voters: Option<u32>,
    /// Another total length: every phase is scaled
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of processes that the voters are spread over
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    pub processes: u32,
    /// Local addresses to connect from, in turn
    #[arg(long, value_delimiter = ',')]
    pub source: Vec<IpAddr>,
    /// Server processes to measure (CPU time and memory)
    #[arg(long, value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// A further threshold, as in 'ack.p99 < 250ms'; may be repeated
    #[arg(long)]
    pub threshold: Vec<Threshold>,
    /// Write the summary as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the report as one self-contained page
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Post the verdict to this Slack-compatible webhook
    #[arg(long, env = "LOADTEST_WEBHOOK", hide_env_values = true)]
    pub webhook: Option<String>,
    /// Upload the report (HTTP PUT): to a presigned address, or to a folder that ends with /
    #[arg(long, env = "LOADTEST_UPLOAD", hide_env_values = true)]
    pub upload: Option<String>,
    /// Address of the report for readers, for the message; a folder ends with /
    #[arg(long, env = "LOADTEST_REPORT_URL")]
    pub report_url: Option<String>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

impl RunArguments {
    /// Adds what the folder of `--secrets` holds and no other option has given.
    ///
    /// # Errors
    /// There is no such folder, or a file in it cannot be read.
    pub fn with_secrets(mut self) -> anyhow::Result<Self> {
        let Some(folder) = self.secrets.clone() else { return Ok(self) };
        let refused = |path: &Path, why: String| usage_error(format!("--secrets: {}: {why}", path.display()));
        if !folder.is_dir() {
            return Err(refused(&folder, "this is not a folder".to_owned()));
        }
        let read = |name: &str| {
            let path = folder.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text.trim().to_owned())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(refused(&path, error.to_string())),
            }
        };
        if self.key.is_empty() {
            self.key = read("emcee-key")?.unwrap_or_default();
        }
        if self.webhook.is_none() {
            self.webhook = read("webhook-url")?;
        }
        if self.upload.is_none() {
            self.upload = read("loadtest-upload")?;
        }
        Ok(self)
    }
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Voters
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(1..))]
    pub voters: u64,
    /// Taps per second of all voters; default: a tenth of the voters, which is ten votes each in 100 s
    #[arg(long)]
    pub taps_per_second: Option<f64>,
    /// Shortest time between two tallies to the same socket
    #[arg(long, default_value = "100ms", value_parser = parse_duration)]
    pub tick: Duration,
    /// Fixed number of pods
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    pub pods: Option<u64>,
    /// Show 1 thousand to 10 million voters side by side
    #[arg(long)]
    pub table: bool,
}

/// `loadtest NAME …` for `loadtest run NAME …`.
pub fn with_shorthand(mut arguments: Vec<String>) -> Vec<String> {
    let known = ["run", "list", "plan", "pool", "help"];
    if arguments.get(1).is_some_and(|first| !first.starts_with('-') && !known.contains(&first.as_str())) {
        arguments.insert(1, "run".to_owned());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_arguments(words: &[&str]) -> RunArguments {
        let words = ["loadtest", "run", "storm"].into_iter().chain(words.iter().copied());
        match Arguments::parse_from(words).command {
            Command::Run(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_of_secrets_fills_in_what_no_option_gives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("emcee-key"), "the-key-in-the-folder\n").unwrap();
        std::fs::write(folder.path().join("webhook-url"), "\n").unwrap();
        let of_folder = run_arguments(&["--secrets", path]).with_secrets().unwrap();
        assert_eq!(of_folder.key, "the-key-in-the-folder");
        assert_eq!((of_folder.webhook.as_deref(), of_folder.upload), (Some(""), None), "empty and missing");
        let options = ["--secrets", path, "--key", "another", "--webhook", "https://chat.example.org"];
        let of_options = run_arguments(&options).with_secrets().unwrap();
        assert_eq!(
            (of_options.key.as_str(), of_options.webhook.as_deref()),
            ("another", Some("https://chat.example.org"))
        );
        let refused = run_arguments(&["--secrets", &format!("{path}/none")]).with_secrets().unwrap_err();
        assert!(refused.to_string().contains("--secrets"), "{refused}");
    }

    #[test]
    fn a_scenario_without_a_subcommand_is_run() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(with_shorthand(words("loadtest evening --start")), words("loadtest run evening --start"));
        for text in ["loadtest list", "loadtest run evening", "loadtest --help", "loadtest"] {
            assert_eq!(with_shorthand(words(text)), words(text));
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
