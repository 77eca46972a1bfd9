//! `tallycast import`: imports rooms that `export` has written as archives.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::arguments::ImportArguments;
use super::client::{CallResult, Client};
use super::outcome::{Outcome, print};
use super::rooms::{self, KnownRoom};
use crate::domain::setup::reference_of_copy;

/// The version of archives that this program knows.
const VERSION: u32 = 1;

/// The first line of an archive. The rest is for the server.
#[derive(Deserialize)]
struct FirstLine {
    archive: Header,
}

/// Which room an archive holds.
#[derive(Deserialize)]
struct Header {
    version: u32,
    /// The code of the room where it was exported.
    room: String,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

impl Header {
    /// The `ref` that the server gives to copies of the room.
    fn reference_of_copies(&self) -> String {
        reference_of_copy(self.reference.as_ref().unwrap_or(&self.room))
    }
}

/// Imports the archives one after the other. One that fails does not keep back the others.
///
/// # Errors
/// The arguments are not valid, or stdout cannot be written.
pub async fn import(arguments: &ImportArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server).await?;
    let (mut imported, mut failures) = (vec![], 0);
    for file in &arguments.files {
        let shown = file.display();
        match import_one(&client, arguments, file).await {
            Ok(room) => {
                if !arguments.json {
                    print(format_args!("{shown} → {}", room.described()))?;
                }
                imported.push(json!({ "file": file, "room": room.code, "title": room.title, "ref": room.reference }));
            }
            Err(error) => {
                eprintln!("tallycast: {shown} was not imported: {error:#}");
                failures += 1;
            }
        }
    }
    if arguments.json {
        print(format_args!("{:#}", json!({ "rooms": imported, "failed": failures })))?;
    }
    Ok(if failures == 0 { Outcome::Fine } else { Outcome::Failed })
}

async fn import_one(client: &Client, arguments: &ImportArguments, file: &Path) -> anyhow::Result<KnownRoom> {
    let archive = read(file)?;
    let header = header(&archive)?;
    let removed = match arguments.replace {
        true => remove_copy(client, &header).await?,
        false => None,
    };
    let refused = match send(client, archive, arguments.fresh).await {
        Ok(room) => return Ok(room),
        Err(error) => error,
    };
    if let Some(code) = removed {
        let back = client.call(Method::POST, &["rooms", &code, "undelete"]).send().await;
        back.with_context(|| format!("room {code} was removed for it and is still deleted"))?;
    }
    match refused.code() {
        "ref_taken" if arguments.fresh => bail!("there is a copy of it already; --replace deletes that one first"),
        "room_exists" | "code_taken" | "ref_taken" => bail!("{refused}; --fresh imports it as a copy"),
        _ => Err(refused.into()),
    }
}

async fn send(client: &Client, archive: Vec<u8>, fresh: bool) -> CallResult<KnownRoom> {
    let call = client.call(Method::POST, &["rooms", "import"]).bytes("application/x-ndjson", archive);
    let call = if fresh { call.query("fresh", "true") } else { call };
    call.read().await
}

/// Deletes the copy that an earlier import of the same room has made, and returns its code. It never deletes the room
/// itself.
async fn remove_copy(client: &Client, header: &Header) -> anyhow::Result<Option<String>> {
    let copy = header.reference_of_copies();
    let rooms = rooms::all(client).await?;
    let Some(room) = rooms.iter().find(|room| room.reference.as_deref() == Some(&copy)) else { return Ok(None) };
    let call = client.call(Method::DELETE, &["rooms", &room.code]).query("title", &room.title);
    call.send().await.with_context(|| format!("the earlier copy {} cannot be removed", room.described()))?;
    Ok(Some(room.code.clone()))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = vec![];
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).context("it cannot be read")
}

fn header(archive: &[u8]) -> anyhow::Result<Header> {
    let line = archive.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first: Result<FirstLine, _> = serde_json::from_slice(line);
    let header = first.context("it is no archive; `tallycast export` writes them")?.archive;
    ensure!(header.version == VERSION, "it is an archive of version {}; this program knows {VERSION}", header.version);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn the_first_line_of_an_archive_names_its_room() {
        let archive =
            b"{\"archive\":{\"version\":1,\"room\":\"4EYERQ\",\"title\":\"x\",\"masked\":false}}\n{\"more\":1}\n";
        let header = header(archive).unwrap();
        assert_eq!((header.room.as_str(), header.reference), ("4EYERQ", None));
    }

    #[test]
    fn anything_but_an_archive_is_refused() {
        for (text, says) in [("", "no archive"), ("{}\n", "no archive"), ("round,take\n", "no archive")] {
            assert!(format!("{:#}", header(text.as_bytes()).err().unwrap()).contains(says), "{text:?}");
        }
        let newer = header(b"{\"archive\":{\"version\":2,\"room\":\"4EYERQ\"}}").err().unwrap();
        assert!(newer.to_string().contains("version 2"), "{newer}");
    }
}
