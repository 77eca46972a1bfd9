//! The operator's commands and their options, with the help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;

/// A command that talks to a running server.
#[derive(Debug, Subcommand)]
pub enum Operation {
    /// Show what `apply` would change, and change nothing
    ///
    /// Compares an event file with the room that has its ref, and prints the difference field by field: + is new,
    /// ~ changes, - is dropped, ! would be refused.
    ///
    /// Exit codes: 0 no difference, 2 a difference, 1 the command failed.
    Plan(PlanArguments),
    /// Make the room as its event file says
    ///
    /// Prints the same difference as `plan`, then applies exactly that: the room that has the ref is changed, or a new one
    /// is made. Applying a file twice is the same as once. Nothing changes if the server would refuse a part of it.
    ///
    /// Exit codes: 0 the room is as the file says, 1 it is not.
    Apply(ApplyArguments),
    /// Write rooms to files: whole, or their votes, or their event
    ///
    /// An archive holds a room with everything in it, for `import` elsewhere. It also holds what lets voters back in, so
    /// keep it like a key. Files can be read by their owner only. A file gets its name when it is complete.
    ///
    /// Exit codes: 0 everything is written, 1 not everything.
    Export(ExportArguments),
    /// Import rooms that `export` has written as archives
    ///
    /// Code, voters and votes are as they were. A room that the server has already, unchanged, stays as it is.
    ///
    /// Exit codes: 0 the server has all of them, 1 not all.
    Import(ImportArguments),
    /// Recount every take from its ballots, on a server or in a file
    ///
    /// For a file that `export --format json` or `ndjson` has written no server is needed: counts, winners, ranking and
    /// seals are computed again from the ballots. Compare the seals that it prints with those that the hall has seen.
    ///
    /// Exit codes: 0 everything is exact, 3 something is not, 4 a closed take of the file has no seal, and everything else is
    /// exact, 1 the command failed.
    Audit(AuditArguments),
    /// Remove rooms for good that were deleted long ago
    ///
    /// Exit codes: 0 the rooms are or will be removed, 1 the command failed.
    Purge(PurgeArguments),
    /// Ask a server whether the evening may begin
    ///
    /// The server checks itself. The voters' page and a socket are checked from here, as a phone would use them. So run
    /// it where voters are, not inside the server's own network.
    ///
    /// Exit codes: 0 it may, 3 something is wrong, 4 nothing is wrong, but not everything could be seen from here, 1 the
    /// command failed.
    Check(CheckArguments),
}

/// How to reach a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct Connection {
    /// Address of a server that takes the emcee's calls
    #[arg(long, env = "TALLYCAST_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The emcee key; better as a file or in the environment than here, where others may see it
    #[arg(long, env = "TALLYCAST__EMCEE__KEY", hide_env_values = true)]
    pub key: Option<SecretString>,
    /// A file that holds the emcee key; used if no key is given
    ///
    /// Without both, and with a server on this machine, ./data/emcee.key is read, where `serve` keeps its own.
    #[arg(long, value_name = "FILE", env = "TALLYCAST__EMCEE__KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// One more root certificate to trust, as PEM
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Wait up to this long for a server that is starting, as in 30s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub wait: Option<Duration>,
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The event file
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The server.
    #[command(flatten)]
    pub server: Connection,
}

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// The options of `plan`.
    #[command(flatten)]
    pub plan: PlanArguments,
    /// Apply only if this is still the plan: the id that `plan` prints in its last line
    #[arg(long, value_name = "PLAN")]
    pub expect: Option<String>,
    /// Write the invites of the file's names as CSV: name, invite, url. Whoever has that file can vote as these people
    #[arg(long, value_name = "FILE")]
    pub invites_out: Option<PathBuf>,
}

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The whole room, for import
    Archive,
    /// Everything that was voted, as one object
    Json,
    /// One line for each ballot, for spreadsheets
    Csv,
    /// Everything that was voted, one object a line
    Ndjson,
    /// The room's event: a body for POST /rooms
    Event,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Code or ref of the room; may be left out if there is only one
    pub room: Option<String>,
    /// Every room
    #[arg(long, conflicts_with = "room")]
    pub all: bool,
    /// The format of the files
    #[arg(long, value_enum, default_value_t = Format::Archive)]
    pub format: Format,
    /// Leave names and all keys, cards and invites out of the archive
    #[arg(long)]
    pub mask: bool,
    /// Leave the voters' names out of json, ndjson or csv
    #[arg(long)]
    pub no_names: bool,
    /// The file for one room; - is stdout
    #[arg(long, value_name = "FILE", default_value = "-", conflicts_with = "dir")]
    pub out: PathBuf,
    /// A folder with one file for each room, named after its code
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Write again in this interval until Ctrl-C, for example for a second laptop on standby
    #[arg(long, value_name = "SPAN", value_parser = interval, requires = "dir")]
    pub every: Option<Duration>,
    /// The server.
    #[command(flatten)]
    pub server: Connection,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Archives; - is stdin
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Import each as a copy, with a new code and copy-of-… as its ref; the server may have the room itself too
    #[arg(long)]
    pub fresh: bool,
    /// First delete the copy that an earlier --fresh import of the same room has made
    #[arg(long, requires = "fresh")]
    pub replace: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The server.
    #[command(flatten)]
    pub server: Connection,
}

/// Options of `audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Code or ref of the room, which may be left out if there is only one; or an export, and - is stdin
    #[arg(value_name = "ROOM|FILE")]
    pub room: Option<String>,
    /// Every room
    #[arg(long, conflicts_with = "room")]
    pub all: bool,
    /// A seal that somebody has noted, or at least its first 16 digits: it must be in the file. May be repeated
    #[arg(long, value_name = "SEAL", value_parser = noted_seal)]
    pub seal: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The server.
    #[command(flatten)]
    pub server: Connection,
}

/// Options of `purge`.
#[derive(Debug, Args)]
pub struct PurgeArguments {
    /// Remove rooms that were deleted longer ago than this, as in 90d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub older_than: Duration,
    /// Remove also rooms that are not deleted, if nothing has changed in them for so long and no round is open
    #[arg(long)]
    pub all: bool,
    /// List them and remove none
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The server.
    #[command(flatten)]
    pub server: Connection,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The server.
    #[command(flatten)]
    pub server: Connection,
}

/// Parses a seal, or its beginning, as it is shown or printed: digits in groups, in either case.
fn noted_seal(text: &str) -> Result<String, String> {
    let digits: String = text.split_whitespace().collect::<String>().to_ascii_lowercase();
    match (16..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(digits),
        false => Err("it must be 16 to 64 of the digits 0-9 and a-f".into()),
    }
}

/// Parses a span of time as people write it.
fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write it like 10s, 2h or 90d".into())
}

/// Parses an interval, at least a second.
fn interval(text: &str) -> Result<Duration, String> {
    match span(text)? {
        short if short < Duration::from_secs(1) => Err("it must be a second or longer".into()),
        interval => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        _operation: Operation,
    }

    #[test]
    fn the_command_line_is_valid() {
        Program::command().debug_assert();
    }

    #[test]
    fn a_seal_is_noted_as_it_is_shown() {
        assert_eq!(noted_seal("1F2e 3d4c 5b6a 7988"), Ok("1f2e3d4c5b6a7988".into()));
        for text in ["", "1f2e 3d4c", "1f2e 3d4c 5b6a 798x", &"0".repeat(65)] {
            assert!(noted_seal(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn spans_are_written_as_people_do() {
        assert_eq!(span("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(span("0s"), Ok(Duration::ZERO));
        assert_eq!(interval("10s"), Ok(Duration::from_secs(10)));
        for text in ["90", "soon", ""] {
            assert!(span(text).is_err() && interval(text).is_err(), "{text:?}");
        }
        assert!(interval("999ms").is_err());
    }
}
