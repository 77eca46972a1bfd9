//! The server's rooms, and which of them a command is for.

use anyhow::bail;
use reqwest::Method;
use serde::Deserialize;

use super::client::{CallResult, Client};
use crate::domain::room::{JoinMode, Programme, Split};

/// A room as the server shows it to the emcee, as far as commands need it.
#[derive(Debug, Clone, Deserialize)]
pub struct KnownRoom {
    /// Join code.
    #[serde(rename = "room")]
    pub code: String,
    /// The title of the evening.
    pub title: String,
    /// The organiser's own name for it.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
    /// See [`crate::domain::room::Room`].
    pub votes_per_round: u16,
    /// See [`crate::domain::room::Room`].
    pub join: JoinMode,
    /// See [`crate::domain::room::Room`].
    pub programme: Programme,
    /// See [`crate::domain::room::Room`].
    pub rehearsal: bool,
    /// See [`crate::domain::room::Room`].
    pub partitions: u16,
    /// The open round, or the last one; 0 before the first.
    pub round: u16,
    /// All rounds.
    pub rounds: Vec<KnownRound>,
    /// The voters' link, if the server knows it.
    #[serde(default)]
    pub url: Option<String>,
}

/// A round of [`KnownRoom`].
#[derive(Debug, Clone, Deserialize)]
pub struct KnownRound {
    /// See [`crate::domain::room::Round`].
    pub title: String,
    /// See [`crate::domain::room::Round`].
    pub choices: Vec<KnownChoice>,
    /// See [`crate::domain::room::Round`].
    #[serde(default)]
    pub seconds: Option<u32>,
    /// See [`crate::domain::room::Round`].
    pub split: Split,
    /// See [`crate::domain::room::Round`].
    pub blackout_seconds: u32,
    /// The take that counts or runs, or the next one.
    pub take: u16,
    /// `ready`, `open` or `closed`.
    pub phase: String,
    /// Closed takes.
    #[serde(default)]
    pub takes: Vec<KnownTake>,
}

/// A choice of [`KnownRound`].
#[derive(Debug, Clone, Deserialize)]
pub struct KnownChoice {
    /// The label of the choice.
    pub label: String,
    /// `#rrggbb`.
    pub color: String,
}

/// A closed take of [`KnownRound`].
#[derive(Debug, Clone, Deserialize)]
pub struct KnownTake {
    /// The number of the take, from 1.
    pub take: u16,
}

impl KnownRoom {
    /// The link for voters.
    pub fn voters_link(&self, client: &Client) -> String {
        self.url.clone().unwrap_or_else(|| format!("{}/r/{}", client.base(), self.code))
    }

    /// Code, title and `ref`, for people.
    pub fn described(&self) -> String {
        match &self.reference {
            Some(reference) => format!("{}  {} (ref {reference})", self.code, self.title),
            None => format!("{}  {}", self.code, self.title),
        }
    }
}

#[derive(Deserialize)]
struct RoomList {
    rooms: Vec<KnownRoom>,
}

/// All rooms that are not deleted, newest first.
///
/// # Errors
/// See [`CallError`](super::client::CallError).
pub async fn all(client: &Client) -> CallResult<Vec<KnownRoom>> {
    Ok(client.call(Method::GET, &["rooms"]).read::<RoomList>().await?.rooms)
}

/// The rooms for a command: all of them, the one with this name, or the only one.
///
/// # Errors
/// There is no such room, or there are several and none is named.
pub async fn select(client: &Client, name: Option<&str>, every: bool) -> anyhow::Result<Vec<KnownRoom>> {
    let rooms = all(client).await?;
    if every {
        return Ok(rooms);
    }
    let list = rooms.iter().map(|room| format!("\n  {}", room.described())).collect::<String>();
    match (name, rooms.len()) {
        (Some(name), _) => {
            let by_ref = rooms.iter().position(|room| room.reference.as_deref() == Some(name));
            let found = by_ref.or_else(|| rooms.iter().position(|room| room.code.eq_ignore_ascii_case(name)));
            match found {
                Some(found) => Ok(vec![rooms[found].clone()]),
                None if list.is_empty() => bail!("there is no room at {}", client.base()),
                None => bail!("no room has the code or ref {name}; there are:{list}"),
            }
        }
        (None, 0) => bail!("there is no room at {}", client.base()),
        (None, 1) => Ok(rooms),
        (None, _) => bail!("name a room by its code or ref, or say --all; there are:{list}"),
    }
}
