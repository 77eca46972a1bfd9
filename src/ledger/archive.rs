//! A whole room as text, to be kept or to be brought to another installation: one JSON object a line.
//!
//! ```text
//! {"archive": {"version": 1, "room": "K7M2QX", …}}    what this is
//! {"record": {…}}                                      the room record
//! {"gate": …} {"voter": …} {"invited": …} {"ballot": …} {"ranked": …}
//! {"end": {"lines": 4711}}                             nothing was cut off
//! ```
//!
//! The ballots are the truth: counts of the gates are taken from them when an archive is brought in, so one that was
//! written while votes came in is as good as any other.

use serde::{Deserialize, Serialize};

use super::conduct::{ConductError, all_ballots, frozen, settle, voters};
use super::{Creation, Invited, Ledger, LedgerError, RankEntry, SLICE, Voter, fresh_card};
use crate::domain::ballot::Ballot;
use crate::domain::gate::{Gate, partition_of};
use crate::domain::ids::{RoomCode, RoomId, VoterId};
use crate::domain::room::Room;
use crate::domain::setup::PARTITIONS;
use crate::domain::text::Name;
use crate::domain::{Invalid, LedgerMs};

/// The form that is written; a higher one is refused.
const VERSION: u32 = 1;
/// How often a room is read again because a round was opened or closed meanwhile.
const READINGS: usize = 8;

/// What an archive is, in its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the form.
    pub version: u32,
    /// The room's join code.
    pub room: RoomCode,
    /// Its title.
    pub title: String,
    /// The organiser's own name for it.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Names, cards, invites and the key of the tokens were left out.
    pub masked: bool,
    /// When it was written.
    pub exported_at: LedgerMs,
}

/// A part of a room that is not its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A partition's gate.
    Gate {
        /// Which.
        partition: u16,
        /// All of it.
        gate: Box<Gate>,
    },
    /// A voter.
    Voter(Voter),
    /// An invite.
    Invited(Invited),
    /// A ballot.
    Ballot {
        /// Round number, from 1.
        round: u16,
        /// Take number, from 1.
        take: u16,
        /// Whose.
        voter: VoterId,
        /// The letters.
        votes: String,
        /// See [`Ballot::time_ms`].
        time_ms: LedgerMs,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Archive(Head),
    Record(Box<Room>),
    Ranked(RankEntry),
    End {
        lines: usize,
    },
    #[serde(untagged)]
    Part(Part),
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The first line.
    pub head: Head,
    /// The record.
    pub room: Room,
    parts: Vec<Part>,
    /// The frozen ranking, while one is shown; best first.
    ranking: Vec<RankEntry>,
}

/// What became of an import.
#[derive(Debug)]
pub enum Import {
    /// The room is here now.
    Done(Room),
    /// It was here before, the same.
    Unchanged(Room),
    /// A room with this id is here, and has gone its own way.
    Exists(Room),
    /// Another room has the code.
    CodeTaken,
    /// Another room has the `ref`.
    RefTaken(Room),
}

impl Archive {
    /// Reads all that is kept of a room. `token_key` is what its voters' tokens are signed with.
    ///
    /// # Errors
    /// There is no such room, or the ledger's; [`ConductError::Contended`] if rounds keep opening and closing.
    pub async fn of(ledger: &dyn Ledger, id: &RoomId, token_key: &str) -> Result<Self, ConductError> {
        for _ in 0..READINGS {
            let before = settle(ledger, id).await?;
            let mut parts: Vec<_> = voters(ledger, id).await?.into_iter().map(Part::Voter).collect();
            parts.extend(ledger.invites(id).await?.into_iter().map(Part::Invited));
            for (round, take, _) in before.room.takes() {
                let mut ballots: Vec<_> = all_ballots(ledger, &before.room, (round, take)).await?.into_iter().collect();
                ballots.sort_by(|(a, _), (b, _)| a.cmp(b));
                parts.extend(ballots.into_iter().map(|(voter, Ballot { votes, time_ms })| Part::Ballot {
                    round,
                    take,
                    voter,
                    votes,
                    time_ms,
                }));
            }
            let ranking = match &before.room.reveal {
                Some(reveal) => frozen(ledger, id, reveal.ranking).await?,
                None => vec![],
            };
            let after = settle(ledger, id).await?;
            if after.room.seq != before.room.seq {
                continue;
            }
            let gates = (0..).zip(after.gates).map(|(partition, gate)| Part::Gate { partition, gate: Box::new(gate) });
            let head = Head {
                version: VERSION,
                room: after.room.code.clone(),
                title: after.room.title.to_string(),
                reference: after.room.reference.clone(),
                masked: false,
                exported_at: after.now,
            };
            let room = Room { token_key: Some(token_key.to_owned()), ..after.room };
            return Ok(Self { head, room, parts: gates.chain(parts).collect(), ranking });
        }
        Err(ConductError::Contended)
    }

    /// Without names, cards, invites and the key of the tokens: for a copy to try things on.
    pub fn masked(mut self) -> Self {
        self.head.masked = true;
        self.room.token_key = None;
        self.parts.retain(|part| !matches!(part, Part::Invited(_)));
        let mut names = std::collections::HashMap::new();
        for part in &mut self.parts {
            if let Part::Voter(voter) = part {
                let number = names.len() + 1;
                let Ok(name) = Name::parse(&format!("Voter {number}")) else { continue };
                names.insert(voter.voter.clone(), name.clone());
                (voter.name, voter.card) = (name, fresh_card());
            }
        }
        for entry in &mut self.ranking {
            if let Some(name) = names.get(&entry.voter) {
                entry.name = name.clone();
            }
        }
        self
    }

    /// As another room: with an id and a code of its own, and `copy-of-…` as its `ref`.
    pub fn fresh(mut self) -> Self {
        let of = self.head.reference.as_deref().unwrap_or(self.head.room.as_str());
        self.room.reference = Some(format!("copy-of-{of}"));
        self.room.id = RoomId::from_entropy(rand::random());
        self.room.code = RoomCode::from_entropy(rand::random());
        self.room.token_key = None;
        self
    }

    /// The text.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if something has no JSON.
    pub fn write(self) -> Result<String, LedgerError> {
        let Self { head, room, parts, ranking } = self;
        let lines = [Line::Archive(head), Line::Record(Box::new(room))].into_iter();
        let lines = lines.chain(parts.into_iter().map(Line::Part)).chain(ranking.into_iter().map(Line::Ranked));
        let mut text = String::new();
        let mut count = 0;
        for line in lines {
            push(&mut text, &line)?;
            count += 1;
        }
        push(&mut text, &Line::End { lines: count })?;
        Ok(text)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The line that is none, or what is missing.
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let (mut head, mut room, mut parts, mut ranking) = (None, None, vec![], vec![]);
        let mut ended = false;
        for (index, text) in text.lines().enumerate() {
            let at = |detail: &dyn std::fmt::Display| Invalid::new("body", format!("line {}: {detail}", index + 1));
            if ended {
                return Err(at(&"there is more behind the end"));
            }
            match serde_json::from_str(text).map_err(|error| at(&error))? {
                Line::Archive(found) if index == 0 && found.version > VERSION => {
                    return Err(at(&format!(
                        "version {} is newer than this server, which reads {VERSION}",
                        found.version
                    )));
                }
                Line::Archive(found) if index == 0 => head = Some(found),
                Line::Record(found) if index == 1 => room = Some(*found),
                Line::Archive(_) | Line::Record(_) => return Err(at(&"this has no place here")),
                Line::Part(part) => parts.push(part),
                Line::Ranked(entry) => ranking.push(entry),
                Line::End { lines } if lines == index => ended = true,
                Line::End { lines } => return Err(at(&format!("{lines} lines were written, and {index} are here"))),
            }
        }
        let missing = |what: &str| Invalid::new("body", format!("is no archive: {what} is missing"));
        let head = head.ok_or_else(|| missing("the line \"archive\""))?;
        let room = room.ok_or_else(|| missing("the line \"record\""))?;
        if !ended {
            return Err(missing("its last line, so it was cut off"));
        }
        let mut archive = Self { head, room, parts, ranking };
        archive.recount()?;
        Ok(archive)
    }

    /// Takes the counts of the gates from the ballots.
    fn recount(&mut self) -> Result<(), Invalid> {
        let partitions = self.room.partitions;
        if !PARTITIONS.contains(&partitions) {
            return Err(Invalid::new("body", format!("line 2: {partitions} partitions, and there may be 1 to 64")));
        }
        let mut ballots = vec![vec![]; usize::from(partitions)];
        let known = self.room.takes();
        for part in &self.parts {
            let Part::Ballot { round, take, voter, votes, time_ms } = part else { continue };
            if !known.iter().any(|(number, running, _)| (number, running) == (round, take)) {
                return Err(Invalid::new(
                    "body",
                    format!("a ballot of round {round}, take {take}, which the record lacks"),
                ));
            }
            let ballot = Ballot { votes: votes.clone(), time_ms: *time_ms };
            ballots[usize::from(partition_of(voter.as_str(), partitions))].push(((*round, *take), ballot));
        }
        for part in &mut self.parts {
            let Part::Gate { partition, gate } = part else { continue };
            let ballots = ballots.get(usize::from(*partition));
            let ballots = ballots.ok_or_else(|| Invalid::new("body", format!("there is no partition {partition}")))?;
            let stored = ballots.iter().map(|(_, ballot)| ballot.votes.len() as u64).sum();
            let at = (gate.round, gate.take);
            let of_take = ballots.iter().filter(|(take, _)| *take == at).map(|(_, ballot)| ballot);
            **gate = std::mem::take(&mut **gate).recounted(of_take, stored)?;
        }
        Ok(())
    }

    /// Brings the room in. Nobody can see it before all of it is there; the same again changes nothing.
    ///
    /// # Errors
    /// The ledger's: say it again.
    pub async fn import(&self, ledger: &dyn Ledger) -> Result<Import, LedgerError> {
        if let Some(here) = ledger.room(&self.room.id).await? {
            // the version is the ledger's, and a room at home needs no key of its own
            let ours = Room { seq: self.room.seq, token_key: self.room.token_key.clone(), ..here.clone() };
            let same = ours == self.room;
            return Ok(if same { Import::Unchanged(here) } else { Import::Exists(here) });
        }
        if ledger.find_room(&self.room.code).await?.is_some() {
            return Ok(Import::CodeTaken);
        }
        for parts in self.parts.chunks(SLICE) {
            ledger.write_parts(&self.room.id, self.room.partitions, parts).await?;
        }
        if let Some(reveal) = &self.room.reveal {
            for (slice, entries) in (0..).zip(self.ranking.chunks(SLICE)) {
                ledger.store_ranking(&self.room.id, reveal.ranking, slice, entries).await?;
            }
        }
        let refused = match ledger.create_room(&self.room).await? {
            Creation::Created(room) => return Ok(Import::Done(room)),
            Creation::CodeTaken => Import::CodeTaken,
            Creation::RefTaken(room) => Import::RefTaken(room),
        };
        ledger.purge_room(&self.room).await?;
        Ok(refused)
    }
}

fn push(text: &mut String, line: &Line) -> Result<(), LedgerError> {
    let json = serde_json::to_string(line).map_err(|error| LedgerError::Corrupt(error.to_string()))?;
    text.push_str(&json);
    text.push('\n');
    Ok(())
}
