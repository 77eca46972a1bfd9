//! A whole room as text, to keep or to move to another installation: one JSON object per line.
//!
//! ```text
//! {"archive": {"version": 1, "room": "K7M2QX", …}}    the head
//! {"record": {…}}                                      the room record
//! {"gate": …} {"voter": …} {"invited": …} {"ballot": …} {"ranked": …}
//! {"end": {"lines": 4711}}                             shows that nothing is missing
//! ```
//!
//! The ballots are the source of truth: an import recounts the gates from them, so an archive can be written while
//! votes are being cast.

use serde::Serialize;

use super::execute::{ExecuteError, all_ballots, all_voters, frozen, reconcile_room};
use super::{Ledger, LedgerError, RankEntry, fresh_card};
use crate::domain::Invalid;
use crate::domain::ballot::Ballot;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::Room;
use crate::domain::setup::reference_of_copy;
use crate::domain::text::Name;

mod check;
pub(super) mod format;
mod import;
mod read;

use format::VERSION;
pub use format::{Archive, Head, Part};
pub use import::Import;

/// Attempts to read a room while rounds are opened and closed.
const MAX_ATTEMPTS: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Archive(&'a Head),
    Record(&'a Room),
    Ranked(&'a RankEntry),
    End { lines: usize },
}

impl Archive {
    /// Reads everything that is stored of a room. `token_key` signs the tokens of its voters.
    ///
    /// # Errors
    /// [`ExecuteError::NoSuchRoom`], [`ExecuteError::Ledger`], and [`ExecuteError::Contended`] if rounds keep opening
    /// and closing.
    pub async fn of(ledger: &dyn Ledger, id: &RoomId, token_key: &str) -> Result<Self, ExecuteError> {
        for _ in 0..MAX_ATTEMPTS {
            let before = reconcile_room(ledger, id).await?;
            // voters last, so that everybody who has used an invite or cast a vote in between is among them
            let mut parts: Vec<_> = ledger.invites(id).await?.into_iter().map(Part::Invited).collect();
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
            parts.extend(all_voters(ledger, id).await?.into_iter().map(Part::Voter));
            let after = reconcile_room(ledger, id).await?;
            let ahead = after.gates.iter().any(|gate| gate.command_seq > after.room.command_seq);
            if after.room.seq != before.room.seq || ahead {
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
        Err(ExecuteError::Contended)
    }

    /// The archive without names, cards, invites and the token key: for a copy to try things on. It has no seals either,
    /// because their salts come from that key; where it is imported it is sealed anew.
    pub fn masked(mut self) -> Self {
        self.head.masked = true;
        self.room = Room { token_key: None, ..self.room.without_seals() };
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

    /// The archive as that of another room: with a new id and code, `copy-of-…` as its `ref`, and no seals.
    pub fn fresh(mut self) -> Self {
        let of = self.room.reference.as_deref().unwrap_or(self.room.code.as_str());
        self.room.reference = Some(reference_of_copy(of));
        self.room.id = RoomId::from_entropy(rand::random());
        self.room.code = RoomCode::from_entropy(rand::random());
        self.room = Room { token_key: None, ..self.room.without_seals() };
        (self.head.room, self.head.reference) = (self.room.code.clone(), self.room.reference.clone());
        self
    }

    /// Encodes the archive as text.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if something cannot be encoded.
    pub fn write(self) -> Result<String, LedgerError> {
        let Self { head, room, parts, ranking } = self;
        let mut text = String::new();
        push(&mut text, &Line::Archive(&head))?;
        push(&mut text, &Line::Record(&room))?;
        parts.iter().try_for_each(|part| push(&mut text, part))?;
        ranking.iter().try_for_each(|entry| push(&mut text, &Line::Ranked(entry)))?;
        let count = 2 + parts.len() + ranking.len();
        push(&mut text, &Line::End { lines: count })?;
        Ok(text)
    }

    /// Decodes the text and checks all of it, see [`check`].
    ///
    /// # Errors
    /// The field that is malformed, out of bounds or contradicts another one, with its line.
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let mut archive = read::read(text)?;
        archive.check()?;
        Ok(archive)
    }
}

fn push(text: &mut String, line: &impl Serialize) -> Result<(), LedgerError> {
    let json = serde_json::to_string(line).map_err(|error| LedgerError::Corrupt(error.to_string()))?;
    text.push_str(&json);
    text.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    #[test]
    fn fuzz_archives() {
        fuzz::run("archives", 5_000, |bytes| match Archive::read(&String::from_utf8_lossy(bytes)) {
            Ok(archive) => {
                archive.room.validate().expect("a room that is accepted is valid");
                let text = archive.write().expect("it can be written");
                let again = Archive::read(&text).expect("what was accepted is accepted again").write().unwrap();
                assert_eq!(again, text);
                "accepted".to_owned()
            }
            Err(invalid) => fuzz::shape(&invalid.to_string()),
        });
    }
}
