//! How a room differs from its event file, and what the server would refuse of it.

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::file::EventFile;
use crate::cli::rooms::KnownRoom;
use crate::domain::gate::{Deadline, Tally};
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{ClosedBy, Room, Round, Running, Take};
use crate::domain::setup::{Edit, Plan, RoundPlan};
use crate::domain::text::{Name, Title};

/// Characters of a plan's id.
const ID_CHARS: usize = 8;

/// All that must change so that a room is as its event file says.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The room that has the file's `ref`; `None`: there is none yet.
    pub room: Option<KnownRoom>,
    /// Fields that differ, in the order of the file.
    pub changes: Vec<Change>,
    /// Names to invite.
    pub invites: InvitesDifference,
    /// The body of the `POST` or `PATCH` that makes these changes; `None`: there are none.
    pub body: Option<Value>,
}

/// A field that differs. A new field has no `old`, a dropped one no `new`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The path in the API, as in `rounds[1].seconds`.
    pub field: String,
    /// The value of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// The value of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// Why the server would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// How the invites differ.
#[derive(Debug, Clone, Default, Serialize)]
pub struct InvitesDifference {
    /// Names without an invite.
    #[serde(serialize_with = "texts")]
    pub new: Vec<Name>,
    /// How many of the file's names have an invite.
    pub kept: usize,
    /// Names with an invite that are not in the file; they keep it. Empty if the file has no list of invites.
    pub unlisted: Vec<String>,
}

fn texts<S: serde::Serializer>(names: &[Name], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(Name::as_str))
}

impl InvitesDifference {
    /// Compares the file's names with those that have an invite. `wanted` is `None` for a file without a list.
    pub fn new(wanted: Option<&[Name]>, invited: &[String]) -> Self {
        let Some(wanted) = wanted else { return Self::default() };
        let fold = |name: &String| Name::parse(name).map_or(name.clone(), |name| name.folded());
        let listed: std::collections::HashSet<_> = wanted.iter().map(Name::folded).collect();
        let known: std::collections::HashSet<_> = invited.iter().map(fold).collect();
        let new: Vec<_> = wanted.iter().filter(|name| !known.contains(&name.folded())).cloned().collect();
        let unlisted = invited.iter().filter(|name| !listed.contains(&fold(name))).cloned().collect();
        Self { kept: wanted.len() - new.len(), new, unlisted }
    }
}

impl Difference {
    /// Compares the file with the room that has its `ref`. `invited` are the names that have an invite.
    ///
    /// # Errors
    /// The server's room breaks a rule that this program knows.
    pub fn new(event: &EventFile, known: Option<KnownRoom>, invited: &[String]) -> anyhow::Result<Self> {
        let invites = InvitesDifference::new(event.invites.as_deref(), invited);
        let Some(known) = known else {
            let changes = settings(None, &event.room).chain(rounds(&[], &event.room.rounds)).collect();
            return Ok(Self { room: None, changes, invites, body: Some(body(&event.room, |_| true)) });
        };
        let present = record(&known).with_context(|| format!("room {} cannot be compared", known.code))?;
        let mut changes: Vec<_> =
            settings(Some(&present), &event.room).chain(rounds(&present.rounds, &event.room.rounds)).collect();
        for change in &mut changes {
            change.refused = refusal(&present, &event.room, &change.field);
        }
        let changed = |field: &str| changes.iter().any(|change| change.field.split('[').next() == Some(field));
        let body = (!changes.is_empty()).then(|| body(&event.room, changed));
        Ok(Self { room: Some(known), changes, invites, body })
    }

    /// True if the room is as the file says.
    pub fn is_empty(&self) -> bool {
        self.room.is_some() && self.changes.is_empty() && self.invites.new.is_empty()
    }

    /// True if the server would refuse a part of it.
    pub fn is_refused(&self) -> bool {
        self.changes.iter().any(|change| change.refused.is_some())
    }

    /// Identifies exactly this difference to exactly this room.
    pub fn id(&self) -> String {
        let invites = self.invites.new.iter().map(Name::as_str).collect::<Vec<_>>();
        let code = self.room.as_ref().map(|room| &room.code);
        let whole = json!({ "room": code, "changes": self.changes, "invites": invites });
        let hash = Sha256::digest(whole.to_string());
        hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..ID_CHARS].to_owned()
    }
}

/// The settings of a room except its rounds, as in the API.
fn fields(room: &Room) -> [(&'static str, Value); 7] {
    [
        ("ref", json!(room.reference)),
        ("title", json!(room.title)),
        ("votes_per_round", json!(room.votes_per_round)),
        ("join", json!(room.join)),
        ("programme", json!(room.programme)),
        ("rehearsal", json!(room.rehearsal)),
        ("partitions", json!(room.partitions)),
    ]
}

/// A `POST` or `PATCH` body with the fields that are wanted.
fn body(room: &Room, wanted: impl Fn(&str) -> bool) -> Value {
    let fields = fields(room).into_iter().filter(|(name, _)| wanted(name));
    let mut body: Map<_, _> = fields.map(|(name, value)| (name.to_owned(), value)).collect();
    if wanted("rounds") {
        body.insert("rounds".into(), room.rounds.iter().map(round_body).collect());
    }
    Value::Object(body)
}

fn change(field: String, old: Option<Value>, new: Option<Value>) -> Option<Change> {
    (old != new).then_some(Change { field, old, new, refused: None })
}

fn settings(old: Option<&Room>, new: &Room) -> impl Iterator<Item = Change> {
    let mut old = old.map(fields).into_iter().flatten();
    let pairs = fields(new).into_iter().map(move |(name, new)| (name, old.next().map(|(_, old)| old), new));
    pairs.filter_map(|(name, old, new)| change(name.to_owned(), old, Some(new)))
}

/// Rounds are compared by their number, as in the server.
fn rounds(old: &[Round], new: &[Round]) -> impl Iterator<Item = Change> {
    let numbers = 0..old.len().max(new.len());
    numbers.flat_map(|index| {
        let field = format!("rounds[{index}]");
        match (old.get(index), new.get(index)) {
            (Some(old), Some(new)) => round(&field, old, new),
            (old, new) => change(field, old.map(round_body), new.map(round_body)).into_iter().collect(),
        }
    })
}

fn round(field: &str, old: &Round, new: &Round) -> Vec<Change> {
    let change = |name: &str, old: Value, new: Value| change(format!("{field}.{name}"), Some(old), Some(new));
    let mut changes = vec![change("title", json!(old.title), json!(new.title))];
    if old.choices.len() == new.choices.len() {
        for (index, (old, new)) in old.choices.iter().zip(&new.choices).enumerate() {
            changes.push(change(&format!("choices[{index}].label"), json!(old.label), json!(new.label)));
            changes.push(change(&format!("choices[{index}].color"), json!(old.color), json!(new.color)));
        }
    } else {
        let labels = |round: &Round| round.choices.iter().map(|choice| json!(choice.label)).collect::<Value>();
        changes.push(change("choices", labels(old), labels(new)));
    }
    changes.push(change("seconds", json!(old.seconds), json!(new.seconds)));
    changes.push(change("split", json!(old.split), json!(new.split)));
    changes.push(change("blackout_seconds", json!(old.blackout_seconds), json!(new.blackout_seconds)));
    changes.into_iter().flatten().collect()
}

/// Why the server would refuse to change this one field. It applies the server's own rule.
fn refusal(present: &Room, wanted: &Room, field: &str) -> Option<String> {
    let plans = |room: &Room| room.rounds.iter().map(plan).collect::<Vec<_>>();
    let edit = match field {
        "title" => Edit { title: Some(wanted.title.clone()), ..Edit::default() },
        "votes_per_round" => Edit { votes_per_round: Some(wanted.votes_per_round), ..Edit::default() },
        "join" => Edit { join: Some(wanted.join), ..Edit::default() },
        "programme" => Edit { programme: Some(wanted.programme), ..Edit::default() },
        "rehearsal" => Edit { rehearsal: Some(wanted.rehearsal), ..Edit::default() },
        "partitions" => Edit { partitions: Some(wanted.partitions), ..Edit::default() },
        field => {
            let (index, name) = field.strip_prefix("rounds[")?.split_once(']')?;
            let index: usize = index.parse().ok()?;
            let mut rounds = plans(present);
            match (rounds.get_mut(index), wanted.rounds.get(index).map(plan)) {
                (Some(round), Some(wanted)) => match name.split(['.', '[']).nth(1)? {
                    "title" => round.title = wanted.title,
                    "choices" => round.choices = wanted.choices,
                    "seconds" => round.seconds = wanted.seconds,
                    "split" => round.split = wanted.split,
                    _ => round.blackout_seconds = wanted.blackout_seconds,
                },
                (Some(_), None) => rounds.truncate(index),
                (None, Some(wanted)) => rounds.push(wanted),
                (None, None) => {}
            }
            Edit { rounds: Some(rounds), ..Edit::default() }
        }
    };
    let why = match field {
        "partitions" => "is fixed when a room is made",
        field if field.starts_with("rounds") => "cannot change any more: the round was opened",
        _ => "cannot change any more: a round was opened",
    };
    edit.apply(present).err().map(|_| why.to_owned())
}

fn plan(round: &Round) -> RoundPlan {
    RoundPlan {
        title: round.title.clone(),
        choices: round.choices.clone(),
        seconds: round.seconds,
        split: round.split,
        blackout_seconds: round.blackout_seconds,
    }
}

/// The room as a record of the domain, as far as the rules for changes need it.
fn record(known: &KnownRoom) -> anyhow::Result<Room> {
    let plans = known.rounds.iter().map(|round| {
        let choices: Vec<_> =
            round.choices.iter().map(|choice| (choice.label.clone(), Some(choice.color.clone()))).collect();
        RoundPlan::new(&round.title, &choices, round.seconds, round.split, round.blackout_seconds)
    });
    let plan = Plan {
        title: Title::parse(&known.title)?,
        reference: known.reference.clone(),
        votes_per_round: known.votes_per_round,
        join: known.join,
        programme: known.programme,
        rehearsal: known.rehearsal,
        partitions: known.partitions,
        rounds: plans.collect::<Result<_, _>>()?,
    };
    let mut room = plan.into_room(RoomId::from_entropy([0; 16]), RoomCode::parse(&known.code)?, 0)?;
    room.last_round = known.round;
    for ((round, known), number) in room.rounds.iter_mut().zip(&known.rounds).zip(1u16..) {
        round.take = known.take;
        round.takes = known.takes.iter().map(|take| closed(take.take)).collect();
        if known.phase == "open" {
            let deadline = Deadline::Never;
            room.running = Some(Running { round: number, take: known.take, deadline, closing: None, dark: false });
        }
    }
    Ok(room)
}

/// A closed take. The rules for changes need only its number.
fn closed(take: u16) -> Take {
    let by = ClosedBy::Emcee;
    Take {
        take,
        tally: Tally::default(),
        opened_at: 0,
        closed_at: 0,
        by,
        outage_ms: 0,
        decided: None,
        shown: false,
        seal: None,
    }
}

/// A round in the body of `POST` and `PATCH /rooms`.
fn round_body(round: &Round) -> Value {
    let choices = round.choices.iter().map(|choice| json!({ "label": choice.label, "color": choice.color }));
    let mut body = json!({
        "title": round.title,
        "choices": choices.collect::<Vec<_>>(),
        "split": round.split,
        "blackout_seconds": round.blackout_seconds,
    });
    if let Some(seconds) = round.seconds {
        body["seconds"] = seconds.into();
    }
    body
}

#[cfg(test)]
mod tests;
