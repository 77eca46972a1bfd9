//! The room record: what the emcee has set and what has happened. One record a room, and it alone decides.

use serde::{Deserialize, Serialize};

use super::LedgerMs;
use super::gate::{Deadline, DesiredGate, Tally};
use super::ids::{LETTERS, RoomCode, RoomId};
use super::reveal::Reveal;
use super::text::{Label, Title};

/// Who may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum JoinMode {
    /// Everybody who has the code.
    #[default]
    Open,
    /// Holders of an invite.
    Invite,
    /// Nobody new.
    Closed,
}

/// Whether rounds to come are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Programme {
    /// Everybody sees all rounds.
    #[default]
    Open,
    /// Titles and choices of rounds not yet opened go to the emcee alone.
    Secret,
}

/// When the split of a round may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// While votes come in, but for the blackout.
    #[default]
    Live,
    /// From the close.
    Hidden,
    /// From the emcee's `show`.
    Held,
}

/// One side of a contest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What it is called.
    pub label: Label,
    /// `#rrggbb`.
    pub color: String,
}

/// The outcome of a take, where the emcee has decided it instead of the votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// This choice wins; its index, 0 is `a`.
    Winner(u8),
    /// Nobody scores.
    Draw,
}

/// What closed a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// A command.
    Emcee,
    /// The time was up.
    Deadline,
}

/// The record of a closed take. Counts never change again; `decided` and `shown` are the emcee's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Take number, from 1.
    pub take: u16,
    /// Frozen counts, with the version that they were frozen at.
    pub tally: Tally,
    /// When it was opened.
    pub opened_at: LedgerMs,
    /// When it was closed; the deadline, if that closed it.
    pub closed_at: LedgerMs,
    /// Command or deadline.
    pub by: ClosedBy,
    /// How long after its deadline the take was found open, because everything was down; 0 otherwise.
    #[serde(default)]
    pub outage_ms: u64,
    /// The emcee's outcome, if not the votes'.
    #[serde(default)]
    pub decided: Option<Decision>,
    /// A held result: the emcee has shown it.
    #[serde(default)]
    pub shown: bool,
}

impl Take {
    /// The winning choice's index; `None` is a draw. Strictly most votes win, unless the emcee has decided.
    pub fn winner(&self) -> Option<u8> {
        match self.decided {
            Some(Decision::Winner(index)) => Some(index),
            Some(Decision::Draw) => None,
            None => most_votes(&self.tally.votes),
        }
    }
}

/// The index with strictly most votes.
fn most_votes(votes: &[u64]) -> Option<u8> {
    let most = *votes.iter().max()?;
    let mut leaders = votes.iter().enumerate().filter(|(_, count)| **count == most);
    let leader = leaders.next()?.0;
    leaders.next().is_none().then_some(leader as u8)
}

/// One contest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// What it is about.
    pub title: Title,
    /// 2 to 8 sides.
    pub choices: Vec<Choice>,
    /// Its length unless `open` names another; `None`: until the emcee closes it.
    #[serde(default)]
    pub seconds: Option<u32>,
    /// When the split may be seen.
    #[serde(default)]
    pub split: Split,
    /// Last seconds of a timed round in which a live split is dark; 0: none.
    #[serde(default)]
    pub blackout_seconds: u32,
    /// The take that counts, or runs, or is next to run.
    pub take: u16,
    /// Records of its closed takes, in order.
    #[serde(default)]
    pub takes: Vec<Take>,
}

impl Round {
    /// The record of the take that counts, if it is closed.
    pub fn counted(&self) -> Option<&Take> {
        self.takes.iter().find(|take| take.take == self.take)
    }

    /// See [`Round::counted`].
    pub fn counted_mut(&mut self) -> Option<&mut Take> {
        let number = self.take;
        self.takes.iter_mut().find(|take| take.take == number)
    }

    /// The number that a fresh running would have.
    pub fn next_take(&self) -> u16 {
        self.takes.last().map_or(1, |take| take.take + 1)
    }

    /// True if a result may be seen by everybody: closed, and shown if it was held.
    pub fn is_shown(&self) -> bool {
        self.counted().is_some_and(|take| self.split != Split::Held || take.shown)
    }
}

/// The one round that is open, or being closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Round number, from 1.
    pub round: u16,
    /// Take number, from 1.
    pub take: u16,
    /// When it shall close by itself.
    pub deadline: Deadline,
    /// `Some`: votes are refused and the gates are being closed.
    pub closing: Option<ClosedBy>,
    /// The blackout has begun; it lasts until the close, whatever becomes of the deadline.
    #[serde(default)]
    pub dark: bool,
}

/// What the stage shall show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Only `auto` for now: the stage follows the phase.
    pub screen: Screen,
    /// Keep the join code in a corner at all times.
    pub join_code: bool,
    /// A line for the hall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Title>,
    /// When what is announced begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<LedgerMs>,
    /// Whether the stage page may make a sound.
    pub sound: bool,
}

/// A screen of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Screen {
    /// Whatever fits the phase.
    Auto,
}

impl Default for Stage {
    fn default() -> Self {
        Self { screen: Screen::Auto, join_code: false, message: None, until: None, sound: false }
    }
}

/// Where the evening stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomPhase {
    /// Before the first round.
    Lobby,
    /// A round is open.
    Voting,
    /// After a close.
    Between,
    /// The ranking is being revealed.
    Reveal,
    /// All of it is shown.
    Finished,
}

/// A room: the evening's one source of truth but for the ballots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Its identity for ever.
    pub id: RoomId,
    /// Its join code.
    pub code: RoomCode,
    /// The organiser's own unique name.
    #[serde(default)]
    pub reference: Option<String>,
    /// What the evening is called.
    pub title: Title,
    /// Slips of a voter in a round, 1 to 100.
    pub votes_per_round: u16,
    /// Who may join.
    #[serde(default)]
    pub join: JoinMode,
    /// Whether rounds to come are told.
    #[serde(default)]
    pub programme: Programme,
    /// Said on every screen; robots are allowed.
    #[serde(default)]
    pub rehearsal: bool,
    /// Partitions of ballots and counts, 1 to 64, fixed at creation.
    pub partitions: u16,
    /// 1 to 100 contests.
    pub rounds: Vec<Round>,
    /// The round opened last; 0 before the first.
    #[serde(default)]
    pub last_round: u16,
    /// The round that is open or being closed.
    #[serde(default)]
    pub running: Option<Running>,
    /// What the stage shows.
    #[serde(default)]
    pub stage: Stage,
    /// The ranking that is being shown.
    #[serde(default)]
    pub reveal: Option<Reveal>,
    /// Raised by each command that moves the gates.
    #[serde(default)]
    pub command_seq: u64,
    /// Version of this record, `max(previous + 1, ledger time)`: set by the ledger when it stores it.
    #[serde(default)]
    pub seq: u64,
    /// When it was made.
    #[serde(default)]
    pub created_at: LedgerMs,
    /// When it was deleted; it can be brought back until it is purged.
    #[serde(default)]
    pub deleted_at: Option<LedgerMs>,
    /// Its purge has begun: it cannot be brought back any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purging: bool,
    /// What its voters' tokens are signed with, where it was brought along from another installation. Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_key: Option<String>,
}

impl Room {
    /// Round `number`, from 1.
    pub fn round(&self, number: u16) -> Option<&Round> {
        self.rounds.get(usize::from(number).checked_sub(1)?)
    }

    /// See [`Room::round`].
    pub fn round_mut(&mut self, number: u16) -> Option<&mut Round> {
        self.rounds.get_mut(usize::from(number).checked_sub(1)?)
    }

    /// Where the evening stands.
    pub fn phase(&self) -> RoomPhase {
        match &self.reveal {
            Some(reveal) if reveal.is_done() => RoomPhase::Finished,
            Some(_) => RoomPhase::Reveal,
            None if self.running.is_some() => RoomPhase::Voting,
            None if self.last_round > 0 => RoomPhase::Between,
            None => RoomPhase::Lobby,
        }
    }

    /// What the gates shall be for the running round; `None` when nothing runs, for then they are closed already.
    pub fn desired_gate(&self) -> Option<DesiredGate> {
        let running = self.running.as_ref()?;
        let round = self.round(running.round)?;
        Some(DesiredGate {
            command_seq: self.command_seq,
            round: running.round,
            take: running.take,
            choices: round.choices.len() as u8,
            votes_per_round: self.votes_per_round,
            open: running.closing.is_none().then_some(running.deadline),
        })
    }

    /// The round and take whose ballots a voter is shown: the open one, else the last one.
    pub fn current_take(&self) -> Option<(u16, u16)> {
        match &self.running {
            Some(running) => Some((running.round, running.take)),
            None => self.round(self.last_round).map(|round| (self.last_round, round.take)),
        }
    }

    /// Every take that has ballots, in order: round and take number, and its record if it is closed. The others are those
    /// of the running one.
    pub fn takes(&self) -> Vec<(u16, u16, Option<&Take>)> {
        let closed = (1u16..).zip(&self.rounds);
        let closed =
            closed.flat_map(|(number, round)| round.takes.iter().map(move |take| (number, take.take, Some(take))));
        let running = self.running.iter().map(|running| (running.round, running.take, None));
        let mut takes: Vec<_> = closed.chain(running).collect();
        takes.sort_by_key(|(round, take, _)| (*round, *take));
        takes
    }

    /// Every closed take that counts, with its round number.
    pub fn counted(&self) -> impl Iterator<Item = (u16, &Take)> {
        self.rounds.iter().zip(1..).filter_map(|(round, number)| Some((number, round.counted()?)))
    }
}

/// The letter of a choice; `?` where no choice can be.
pub fn letter(index: u8) -> char {
    LETTERS.as_bytes().get(usize::from(index)).map_or('?', |letter| char::from(*letter))
}

#[cfg(test)]
mod tests {
    use super::most_votes;

    #[test]
    fn only_strictly_most_votes_win() {
        assert_eq!(most_votes(&[3, 2]), Some(0));
        assert_eq!(most_votes(&[2, 5, 5]), None);
        assert_eq!(most_votes(&[0, 0]), None);
        assert_eq!(most_votes(&[0, 0, 1]), Some(2));
    }
}
