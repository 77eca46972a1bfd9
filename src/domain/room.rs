//! The room record: the settings of the emcee, and what has happened. Each room has one record, and only the record
//! decides.

use serde::{Deserialize, Serialize};

use super::LedgerMs;
use super::gate::{Deadline, DesiredGate, Tally};
use super::ids::{LETTERS, RoomCode, RoomId};
use super::reveal::Reveal;
use super::seal::Seal;
use super::text::{Label, Title};

/// Who may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum JoinMode {
    /// Everybody with the code.
    #[default]
    Open,
    /// Holders of an invite.
    Invite,
    /// No new voters.
    Closed,
}

/// Whether the audience sees future rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Programme {
    /// Everybody sees all rounds.
    #[default]
    Open,
    /// Only the emcee sees titles and choices of rounds that were not opened yet.
    Secret,
}

/// When the split of a round may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// While votes are cast, except during the blackout.
    #[default]
    Live,
    /// After the close.
    Hidden,
    /// After the emcee's `show` command.
    Held,
}

/// One side of a contest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its name.
    pub label: Label,
    /// `#rrggbb`.
    pub color: String,
}

/// The outcome of a take when the emcee decides it instead of the votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The choice with this index wins; 0 is `a`.
    Winner(u8),
    /// Nobody scores.
    Draw,
}

/// What closed a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// A command of the emcee.
    Emcee,
    /// The deadline had passed.
    Deadline,
}

impl ClosedBy {
    /// The word in messages, records and seals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emcee => "emcee",
            Self::Deadline => "deadline",
        }
    }
}

/// The record of a closed take. Its counts never change; the emcee can change `decided` and `shown`, and a worker adds the
/// `seal` once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Take number, from 1.
    pub take: u16,
    /// Frozen counts, with their version.
    pub tally: Tally,
    /// When it was opened.
    pub opened_at: LedgerMs,
    /// When it was closed; if the deadline closed it, the deadline.
    pub closed_at: LedgerMs,
    /// What closed it.
    pub by: ClosedBy,
    /// How long after its deadline it was closed because all processes were down, in ms; 0 otherwise.
    #[serde(default)]
    pub outage_ms: u64,
    /// The outcome that the emcee has decided; `None` for the outcome of the votes.
    #[serde(default)]
    pub decided: Option<Decision>,
    /// True if the emcee has shown a held result.
    #[serde(default)]
    pub shown: bool,
    /// Its seal, once a worker has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Seal>,
}

impl Take {
    /// Index of the winning choice; `None` for a draw. The choice with strictly most votes wins, unless the emcee has
    /// decided.
    pub fn winner(&self) -> Option<u8> {
        match self.decided {
            Some(Decision::Winner(index)) => Some(index),
            Some(Decision::Draw) => None,
            None => most_votes(&self.tally.votes),
        }
    }
}

/// The index with strictly most votes; `None` if two share the most.
pub fn most_votes(votes: &[u64]) -> Option<u8> {
    let most = *votes.iter().max()?;
    let mut leaders = votes.iter().enumerate().filter(|(_, count)| **count == most);
    let leader = leaders.next()?.0;
    leaders.next().is_none().then_some(leader as u8)
}

/// One contest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Its title.
    pub title: Title,
    /// 2 to 8 sides.
    pub choices: Vec<Choice>,
    /// Its length in seconds unless `open` names another; `None` for a round that the emcee closes.
    #[serde(default)]
    pub seconds: Option<u32>,
    /// When the split may be seen.
    #[serde(default)]
    pub split: Split,
    /// How many seconds before the deadline a live split goes dark; 0 for no blackout.
    #[serde(default)]
    pub blackout_seconds: u32,
    /// The take that counts, is open, or is the next to open.
    pub take: u16,
    /// Records of the closed takes, in order.
    #[serde(default)]
    pub takes: Vec<Take>,
}

impl Round {
    /// The record of the current take, if it is closed.
    pub fn counted(&self) -> Option<&Take> {
        self.takes.iter().find(|take| take.take == self.take)
    }

    /// As [`Round::counted`], to change it.
    pub fn counted_mut(&mut self) -> Option<&mut Take> {
        let number = self.take;
        self.takes.iter_mut().find(|take| take.take == number)
    }

    /// The number of the take after the closed ones.
    pub fn next_take(&self) -> u16 {
        self.takes.last().map_or(1, |take| take.take + 1)
    }

    /// True if everybody may see the result: it is closed, and shown if it was held.
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
    /// When it closes by itself.
    pub deadline: Deadline,
    /// Set once the close has begun: votes are refused, and the gates are being closed.
    pub closing: Option<ClosedBy>,
    /// True once the blackout has begun. It lasts until the close, even if the deadline moves.
    #[serde(default)]
    pub dark: bool,
}

/// The settings of the stage page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The screen; only `auto` for now.
    pub screen: Screen,
    /// Whether the join code is always shown in a corner.
    pub join_code: bool,
    /// A line for the hall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Title>,
    /// The start of what is announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<LedgerMs>,
    /// Whether the stage page may play sounds.
    pub sound: bool,
}

/// A screen of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Screen {
    /// The screen for the current phase.
    Auto,
}

impl Default for Stage {
    fn default() -> Self {
        Self { screen: Screen::Auto, join_code: false, message: None, until: None, sound: false }
    }
}

/// The phase of the evening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomPhase {
    /// Before the first round.
    Lobby,
    /// A round is open.
    Voting,
    /// Between a close and the next round.
    Between,
    /// The ranking is being revealed.
    Reveal,
    /// The whole ranking is shown.
    Finished,
}

/// The room record: the source of truth for everything except the ballots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Its permanent identity.
    pub id: RoomId,
    /// Its join code.
    pub code: RoomCode,
    /// The organiser's own unique name for the room (`ref`).
    #[serde(default)]
    pub reference: Option<String>,
    /// Title of the evening.
    pub title: Title,
    /// Slips of a voter in a round, 1 to 100.
    pub votes_per_round: u16,
    /// Who may join.
    #[serde(default)]
    pub join: JoinMode,
    /// Whether the audience sees future rounds.
    #[serde(default)]
    pub programme: Programme,
    /// A rehearsal: every screen says so, and simulated voters are allowed.
    #[serde(default)]
    pub rehearsal: bool,
    /// Partitions of ballots and counts, 1 to 64; fixed when the room is created.
    pub partitions: u16,
    /// 1 to 100 rounds.
    pub rounds: Vec<Round>,
    /// The round that was opened last; 0 before the first.
    #[serde(default)]
    pub last_round: u16,
    /// The round that is open or being closed.
    #[serde(default)]
    pub running: Option<Running>,
    /// What the stage shows.
    #[serde(default)]
    pub stage: Stage,
    /// The ranking that is shown.
    #[serde(default)]
    pub reveal: Option<Reveal>,
    /// Raised by each command that changes the gates.
    #[serde(default)]
    pub command_seq: u64,
    /// Version of this record: `max(previous + 1, ledger time in ms)`, set by the ledger when it stores the record.
    #[serde(default)]
    pub seq: u64,
    /// When the room was created.
    #[serde(default)]
    pub created_at: LedgerMs,
    /// When it was deleted. It can be restored until its purge begins.
    #[serde(default)]
    pub deleted_at: Option<LedgerMs>,
    /// True once its purge has begun: it cannot be restored any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purging: bool,
    /// Signs the tokens of its voters, if the room was imported from another installation. Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_key: Option<String>,
}

impl Room {
    /// Round `number`, from 1.
    pub fn round(&self, number: u16) -> Option<&Round> {
        self.rounds.get(usize::from(number).checked_sub(1)?)
    }

    /// As [`Room::round`], to change it.
    pub fn round_mut(&mut self, number: u16) -> Option<&mut Round> {
        self.rounds.get_mut(usize::from(number).checked_sub(1)?)
    }

    /// The phase of the evening.
    pub fn phase(&self) -> RoomPhase {
        match &self.reveal {
            Some(reveal) if reveal.is_done() => RoomPhase::Finished,
            Some(_) => RoomPhase::Reveal,
            None if self.running.is_some() => RoomPhase::Voting,
            None if self.last_round > 0 => RoomPhase::Between,
            None => RoomPhase::Lobby,
        }
    }

    /// The desired state of the gates; `None` if no round is open, because then the gates are closed already.
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

    /// Round and take of the ballot that a voter is shown: those of the open round, otherwise of the last one.
    pub fn current_take(&self) -> Option<(u16, u16)> {
        match &self.running {
            Some(running) => Some((running.round, running.take)),
            None => self.round(self.last_round).map(|round| (self.last_round, round.take)),
        }
    }

    /// All takes that have ballots, in order: round and take number, and the record of a closed take. The open take has
    /// no record.
    pub fn takes(&self) -> Vec<(u16, u16, Option<&Take>)> {
        let closed = (1u16..).zip(&self.rounds);
        let closed =
            closed.flat_map(|(number, round)| round.takes.iter().map(move |take| (number, take.take, Some(take))));
        let running = self.running.iter().map(|running| (running.round, running.take, None));
        let mut takes: Vec<_> = closed.chain(running).collect();
        takes.sort_by_key(|(round, take, _)| (*round, *take));
        takes
    }

    /// All closed takes that count, with their round numbers.
    pub fn counted(&self) -> impl Iterator<Item = (u16, &Take)> {
        self.rounds.iter().zip(1..).filter_map(|(round, number)| Some((number, round.counted()?)))
    }
}

/// The letter of a choice; `?` if there can be no such choice.
pub fn letter(index: u8) -> char {
    LETTERS.as_bytes().get(usize::from(index)).map_or('?', |letter| char::from(*letter))
}

#[cfg(test)]
mod tests {
    use super::most_votes;

    #[test]
    fn a_choice_wins_with_strictly_most_votes() {
        assert_eq!(most_votes(&[3, 2]), Some(0));
        assert_eq!(most_votes(&[2, 5, 5]), None);
        assert_eq!(most_votes(&[0, 0]), None);
        assert_eq!(most_votes(&[0, 0, 1]), Some(2));
    }
}
