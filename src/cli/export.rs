//! `tallycast export`: writes rooms to files or to stdout.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use reqwest::{Method, Response};

use super::arguments::{ExportArguments, Format};
use super::client::{CallResult, Client};
use super::outcome::Outcome;
use super::rooms::{self, KnownRoom};
use super::table::counted;
use crate::atomic_file::AtomicFile;

impl Format {
    /// The name in the API.
    fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Event => "event",
        }
    }

    /// The extension of its files.
    fn extension(self) -> &'static str {
        match self {
            Self::Archive => "ndjson",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "votes.ndjson",
            Self::Event => "event.json",
        }
    }
}

/// Writes the rooms, once or until Ctrl-C.
///
/// # Errors
/// The arguments do not fit together, the server does not answer, or a file cannot be written.
pub async fn export(arguments: &ExportArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server).await?;
    ensure!(!arguments.mask || arguments.format == Format::Archive, "--mask is for --format archive");
    let has_names = matches!(arguments.format, Format::Json | Format::Csv | Format::Ndjson);
    ensure!(!arguments.no_names || has_names, "--no-names is for --format json, ndjson or csv; an archive has --mask");
    let Some(folder) = &arguments.dir else {
        to_one_file(&client, arguments).await?;
        return Ok(Outcome::Fine);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    // the first time must succeed: a wrong key, for example, stays wrong
    to_folder(&client, arguments, folder).await?;
    if let Some(every) = arguments.every {
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped?,
            () = repeat(&client, arguments, folder, every) => {}
        }
    }
    Ok(Outcome::Fine)
}

/// Writes the files again and again. After a failure, as of the network, the files stay as they were until the next time.
async fn repeat(client: &Client, arguments: &ExportArguments, folder: &Path, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = to_folder(client, arguments, folder).await {
            eprintln!("{}  not written, next attempt in {}: {error:#}", now(), humantime::format_duration(every));
        }
    }
}

/// Writes a file for each room. A room that cannot be written does not keep back the others.
async fn to_folder(client: &Client, arguments: &ExportArguments, folder: &Path) -> anyhow::Result<()> {
    let rooms = rooms::select(client, arguments.room.as_deref(), arguments.all).await?;
    let mut failures = vec![];
    for room in &rooms {
        let path = folder.join(format!("{}.{}", room.code, arguments.format.extension()));
        if let Err(error) = to_file(client, arguments, room, &path).await {
            failures.push(format!("\n  {}: {error:#}", room.code));
        }
    }
    eprintln!("{}  {} in {}", now(), counted(rooms.len() - failures.len(), "room"), folder.display());
    ensure!(failures.is_empty(), "{} not written:{}", counted(failures.len(), "room"), failures.concat());
    Ok(())
}

async fn to_file(client: &Client, arguments: &ExportArguments, room: &KnownRoom, path: &Path) -> anyhow::Result<()> {
    let unwritten = || format!("{} cannot be written", path.display());
    let mut out = AtomicFile::begin(path).with_context(unwritten)?;
    copy(ask(client, arguments, room).await?, &mut out).await?;
    out.finish().with_context(unwritten)
}

async fn to_one_file(client: &Client, arguments: &ExportArguments) -> anyhow::Result<()> {
    let rooms = rooms::select(client, arguments.room.as_deref(), arguments.all).await?;
    let [room] = rooms.as_slice() else {
        anyhow::bail!("{} do not fit in one file; name a folder with --dir", counted(rooms.len(), "room"));
    };
    if arguments.out == Path::new("-") {
        return copy(ask(client, arguments, room).await?, &mut std::io::stdout().lock()).await;
    }
    to_file(client, arguments, room, &arguments.out).await
}

async fn ask(client: &Client, arguments: &ExportArguments, room: &KnownRoom) -> CallResult<Response> {
    let call = client.call(Method::GET, &["rooms", &room.code, "export"]).query("format", arguments.format.name());
    let call = if arguments.mask { call.query("mask", "true") } else { call };
    let call = if arguments.no_names { call.query("names", "no") } else { call };
    call.send().await
}

/// Copies a body piece by piece, since an archive may be too large for memory.
async fn copy(mut answer: Response, to: &mut impl Write) -> anyhow::Result<()> {
    while let Some(piece) = answer.chunk().await.context("the server closed the connection; try again")? {
        to.write_all(&piece)?;
    }
    Ok(to.flush()?)
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
