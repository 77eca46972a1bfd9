//! Jobs: what must be done because of a change, and would take too long within it.
//!
//! A job is stored in the same step as the change, and done at least once. It has an id of its own, by which a receiver
//! can drop repeats. Its text is fixed when it is stored.

use serde::{Deserialize, Serialize};

use super::room::{Room, RoomPhase, Split, Take, letter};

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The same cause always gives the same id, however often the job is stored or done.
    pub id: String,
    /// What must be done.
    pub task: Task,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Post a message to the chat webhook.
    Message {
        /// The message: a few short lines.
        text: String,
    },
    /// Seal every closed take of the room that has no seal.
    Seal,
    /// Write an archive of the room to the export folder.
    Archive,
    /// Purge the deleted room, if its record has not changed.
    Purge {
        /// `seq` of the record that was found old enough.
        seq: u64,
    },
}

impl Task {
    /// All kinds, for metrics.
    pub const KINDS: [&'static str; 4] = ["message", "seal", "archive", "purge"];

    /// One of [`Task::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Seal => "seal",
            Self::Archive => "archive",
            Self::Purge { .. } => "purge",
        }
    }
}

impl Job {
    /// The purge of a room whose record was found old enough.
    pub fn purge(room: &Room) -> Self {
        Self { id: format!("{}-purge-{}", room.id, room.seq), task: Task::Purge { seq: room.seq } }
    }

    /// Seals what is closed, once for each `occasion`.
    pub fn seal(room: &Room, occasion: &str) -> Self {
        Self { id: format!("{}-seal-{occasion}", room.id), task: Task::Seal }
    }

    /// A message that something is wrong with a room, sent once for each `occasion`.
    pub fn alarm(room: &Room, occasion: &str, what: &str) -> Self {
        let text = format!("ALARM {}: {what}", heading(room));
        Self { id: format!("{}-alarm-{occasion}", room.id), task: Task::Message { text } }
    }
}

/// The jobs that the change from `before` to `after` causes.
pub fn caused_by(before: &Room, after: &Room) -> Vec<Job> {
    let mut jobs = vec![];
    let message = |id: String, text: String| Job { id: format!("{}-{id}", after.id), task: Task::Message { text } };
    for (number, round) in (1u16..).zip(&after.rounds) {
        let known = before.round(number);
        for take in &round.takes {
            let old = known.and_then(|round| round.takes.iter().find(|old| old.take == take.take));
            let (was_public, is_public) =
                (old.is_some_and(|old| is_public(round.split, old)), is_public(round.split, take));
            let text = format!("{}\nRound {number}, {}", heading(after), round.title);
            if is_public && !was_public {
                let id = format!("result-{number}-{}", take.take);
                jobs.push(message(id, format!("{text}: {}", result(after, number, take))));
            } else if old.is_none() {
                let id = format!("closed-{number}-{}", take.take);
                jobs.push(message(id, format!("{text}: closed; the result is held{}", outage(take))));
            } else if is_public && old.is_some_and(|old| old.decided != take.decided) {
                let id = format!("decided-{number}-{}-{}", take.take, before.seq);
                jobs.push(message(id, format!("{text}: decided anew. {}", result(after, number, take))));
            }
            if old.is_none() {
                // before the archive, which then has the seal
                jobs.push(Job::seal(after, &format!("{number}-{}", take.take)));
                let id = format!("{}-archive-{number}-{}", after.id, take.take);
                jobs.push(Job { id, task: Task::Archive });
            }
        }
    }
    // a deleted room is not sealed
    if before.deleted_at.is_some() && after.next_to_seal().is_some() {
        jobs.push(Job::seal(after, &format!("restored-{}", before.seq)));
    }
    if after.phase() == RoomPhase::Finished && before.phase() != RoomPhase::Finished {
        let of = after.reveal.as_ref().map_or(0, |reveal| reveal.of);
        let text = format!("{}\nThe ranking of {of} voters is shown whole.", heading(after));
        jobs.push(message(format!("finished-{}", before.seq), text));
        jobs.push(Job { id: format!("{}-archive-finished-{}", after.id, before.seq), task: Task::Archive });
    }
    jobs
}

/// True if the audience may know the result: then the chat may know it too.
fn is_public(split: Split, take: &Take) -> bool {
    split != Split::Held || take.shown
}

fn heading(room: &Room) -> String {
    let rehearsal = if room.rehearsal { " (rehearsal)" } else { "" };
    format!("{}{rehearsal}", room.title)
}

fn result(room: &Room, number: u16, take: &Take) -> String {
    let label = |index: usize| {
        let choice = room.round(number).and_then(|round| round.choices.get(index));
        choice.map_or_else(|| letter(index as u8).to_string(), |choice| choice.label.to_string())
    };
    let counts: Vec<String> =
        take.tally.votes.iter().enumerate().map(|(index, votes)| format!("{} {votes}", label(index))).collect();
    let winner = match take.winner() {
        Some(index) => format!("{} wins", label(usize::from(index))),
        None => "a draw".to_owned(),
    };
    let by = if take.decided.is_some() { " by the emcee's word" } else { "" };
    format!("{winner}{by}. {} ({} voters){}", counts.join(", "), take.tally.voters, outage(take))
}

fn outage(take: &Take) -> String {
    match take.outage_ms {
        0 => String::new(),
        ms => format!(". Everything was down at its deadline; it was closed {} s late", ms.div_ceil(1_000)),
    }
}

#[cfg(test)]
mod tests;
