//! Reads and checks an event file.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::lines::{in_words, line_at, line_of};
use crate::domain::Invalid;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{JoinMode, Programme, Room, Split};
use crate::domain::text::Name;
use crate::http::body::names_of_csv;
use crate::wire::http::RoomBody;

/// The contents of an event file.
#[derive(Debug)]
pub struct EventFile {
    /// The path from the command line.
    pub path: PathBuf,
    /// The room that the file describes. Its id and code are placeholders.
    pub room: Room,
    /// Names to invite; `None`: the file has no list of invites.
    pub invites: Option<Vec<Name>>,
}

/// The text of the file: the body of `POST /rooms`, except for `round` and the invites. What is left out has the server's
/// default.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "ref")]
    reference: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    votes_per_round: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<JoinMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    programme: Option<Programme>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<u16>,
    #[serde(skip_serializing)]
    invites: Option<Vec<String>>,
    #[serde(skip_serializing)]
    invites_file: Option<PathBuf>,
    #[serde(rename(serialize = "rounds", deserialize = "round"))]
    rounds: Vec<RoundDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoundDocument {
    title: String,
    choices: Vec<ChoiceDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blackout_seconds: Option<u32>,
}

/// `"Red"`, or `{ label = "Red", color = "#aa0000" }`.
#[derive(Debug, Serialize)]
struct ChoiceDocument {
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<String>,
}

impl<'de> Deserialize<'de> for ChoiceDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            label: String,
            color: Option<String>,
        }
        struct ShortOrLong;
        impl<'de> Visitor<'de> for ShortOrLong {
            type Value = ChoiceDocument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a choice, as in \"Red\" or { label = \"Red\", color = \"#aa0000\" }")
            }

            fn visit_str<E>(self, label: &str) -> Result<ChoiceDocument, E> {
                Ok(ChoiceDocument { label: label.to_owned(), color: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ChoiceDocument, A::Error> {
                let Long { label, color } = Long::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ChoiceDocument { label, color })
            }
        }
        deserializer.deserialize_any(ShortOrLong)
    }
}

impl EventFile {
    /// Reads a file, and the list of invites that it names.
    ///
    /// # Errors
    /// The file cannot be read or is not valid. The text names file, line and key, and says what is valid.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("the event file {shown} cannot be read"))?;
        let document: Document = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            anyhow!("{shown}, line {line}: {}; docs/event-files.md lists the keys", error.message().trim())
        })?;
        let wrong = |error: Invalid| {
            let line = line_of(&text, &error.field);
            anyhow!("{shown}, line {line}: {} {}", in_words(&error.field), error.detail)
        };
        let room = document.room().map_err(wrong)?;
        let invites = document.invites(path, |index, error| {
            let line = line_of(&text, &format!("invites[{index}]"));
            anyhow!("{shown}, line {line}: invites: {error}")
        })?;
        Ok(Self { path: path.to_owned(), room, invites })
    }

    /// The organiser's own name of the room.
    pub fn reference(&self) -> &str {
        self.room.reference.as_deref().unwrap_or_default()
    }
}

impl Document {
    /// The room, checked by the server's own rules.
    fn room(&self) -> Result<Room, Invalid> {
        let body = serde_json::to_value(self).and_then(serde_json::from_value::<RoomBody>);
        let plan = body.map_err(|error| Invalid::new("round", error.to_string()))?.into_plan()?;
        plan.into_room(RoomId::from_entropy([0; 16]), RoomCode::parse("EVENTS")?, 0)
    }

    /// All names to invite, from the file and the list beside it.
    fn invites(
        &self,
        path: &Path,
        wrong: impl Fn(usize, String) -> anyhow::Error,
    ) -> anyhow::Result<Option<Vec<Name>>> {
        if self.invites.is_none() && self.invites_file.is_none() {
            return Ok(None);
        }
        let mut names = InviteNames::default();
        for (index, name) in self.invites.iter().flatten().enumerate() {
            names.add(name).map_err(|error| wrong(index, error))?;
        }
        if let Some(list) = &self.invites_file {
            let list = path.parent().unwrap_or(Path::new("")).join(list);
            let shown = list.display();
            let bytes = std::fs::read(&list).with_context(|| format!("the list of invites {shown} cannot be read"))?;
            for name in names_of_csv(&bytes).map_err(|error| anyhow!("{shown}: {error}"))? {
                names.add(&name).map_err(|error| anyhow!("{shown}: {error}"))?;
            }
        }
        Ok(Some(names.names))
    }
}

/// Names without duplicates.
#[derive(Default)]
struct InviteNames {
    names: Vec<Name>,
    folded: HashMap<String, Name>,
}

impl InviteNames {
    /// Adds a name.
    ///
    /// # Errors
    /// The name is not valid or a duplicate, as a sentence.
    fn add(&mut self, text: &str) -> Result<(), String> {
        let name = Name::parse(text).map_err(|error| format!("\"{text}\" {}", error.detail))?;
        if let Some(before) = self.folded.insert(name.folded(), name.clone()) {
            return Err(format!(
                "\"{name}\" is the same name as \"{before}\" before it; an invite is for one person, so tell them apart"
            ));
        }
        self.names.push(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
