//! A room as an audience may see it.

use serde::Serialize;

use crate::domain::LedgerMs;
use crate::domain::gate::{GateSum, Tally};
use crate::domain::room::{ClosedBy, JoinMode, Programme, Room, RoomPhase, Round, Split, Stage, Take, letter};
use crate::domain::seal::{Digest, Seal};
use crate::domain::visibility::{self, Audience, Blackout};

use super::reveal::RevealView;

/// A room as an audience may see it.
#[derive(Debug, Clone, Serialize)]
pub struct RoomView {
    /// Join code.
    pub room: String,
    /// Title of the evening.
    pub title: String,
    /// The phase of the evening.
    pub phase: RoomPhase,
    /// Slips of a voter in a round.
    pub votes_per_round: u16,
    /// Who may join.
    pub join: JoinMode,
    /// Whether the audience sees future rounds.
    pub programme: Programme,
    /// A rehearsal.
    pub rehearsal: bool,
    /// The link for voters, if the server knows its public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The organiser's own name for the room; only for the emcee.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Number of partitions; only for the emcee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u16>,
    /// Number of the open or last round, 0 before the first.
    pub round: u16,
    /// All rounds.
    pub rounds: Vec<RoundView>,
    /// What the stage shows.
    pub stage: Stage,
    /// The part of the ranking that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reveal: Option<RevealView>,
    /// When the room was deleted; only for the emcee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<LedgerMs>,
    /// Version of the room record.
    pub seq: u64,
    /// The ledger's time; only in HTTP responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<LedgerMs>,
}

/// A round as an audience may see it.
#[derive(Debug, Clone, Serialize)]
pub struct RoundView {
    /// Number, from 1.
    pub round: u16,
    /// The take that counts.
    pub take: u16,
    /// The title; left out while it is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The choices; left out while they are secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<ChoiceView>>,
    /// `ready`, `open` or `closed`.
    pub phase: RoundPhase,
    /// When the split may be seen.
    pub split: Split,
    /// How many seconds before the deadline a live split goes dark.
    pub blackout_seconds: u32,
    /// Its planned length in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// When it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<LedgerMs>,
    /// When it closes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<LedgerMs>,
    /// Votes are refused already, and the close is being completed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closing: bool,
    /// The split is dark until the close.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dark: bool,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<LedgerMs>,
    /// What closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<ClosedBy>,
    /// How many ms after its deadline it was closed, because all processes were down.
    #[serde(skip_serializing_if = "is_zero")]
    pub outage_ms: u64,
    /// True if everybody may see the result.
    pub shown: bool,
    /// The seal of the closed take, once it was made and the result may be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal: Option<Digest>,
    /// The counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tally: Option<TallyView>,
    /// The outcome: a letter, or `null` for a draw. Left out until it may be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<Option<char>>,
    /// Who decided the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<DecidedBy>,
    /// All closed takes; only for the emcee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes: Option<Vec<TakeView>>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The phase of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundPhase {
    /// It was not opened yet.
    Ready,
    /// It accepts votes, or is being closed.
    Open,
    /// It is closed and has a record.
    Closed,
}

/// Who decided a winner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// The votes.
    Votes,
    /// The emcee.
    Emcee,
}

/// A choice.
#[derive(Debug, Clone, Serialize)]
pub struct ChoiceView {
    /// `a` to `h`.
    pub letter: char,
    /// Its name.
    pub label: String,
    /// `#rrggbb`.
    pub color: String,
}

/// Counts as an audience may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TallyView {
    /// Version of the counts. A client ignores a lower version than it has seen.
    pub version: u64,
    /// All votes.
    pub total: u64,
    /// Voters who have voted.
    pub voters: u64,
    /// Votes by choice; left out while the split must not be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<Vec<u64>>,
}

impl TallyView {
    /// `tally` with or without its split.
    pub fn new(tally: &Tally, with_split: bool) -> Self {
        Self {
            version: tally.version,
            total: tally.total(),
            voters: tally.voters,
            votes: with_split.then(|| tally.votes.clone()),
        }
    }
}

/// A closed take, for the emcee and the export.
#[derive(Debug, Clone, Serialize)]
pub struct TakeView {
    /// Take number.
    pub take: u16,
    /// True if this take counts.
    pub counted: bool,
    /// Its record.
    pub record: RecordView,
}

/// The record of a closed take.
#[derive(Debug, Clone, Serialize)]
pub struct RecordView {
    /// Votes by choice.
    pub votes: Vec<u64>,
    /// Voters who voted.
    pub voters: u64,
    /// When it was opened.
    pub opened_at: LedgerMs,
    /// When it was closed.
    pub closed_at: LedgerMs,
    /// What closed it.
    pub by: ClosedBy,
    /// How many ms after its deadline it was closed, because all processes were down.
    #[serde(skip_serializing_if = "is_zero")]
    pub outage_ms: u64,
    /// Its seal, once it was made.
    #[serde(flatten)]
    pub seal: Option<SealView>,
}

/// The seal of a take, among the fields of its record.
#[derive(Debug, Clone, Serialize)]
pub struct SealView {
    /// The seal.
    pub seal: Digest,
    /// The seal of the take that was closed before; left out for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The place of the take in the order of the closes, from 1.
    pub seal_number: u64,
    /// Ballots in the tree.
    pub leaves: u64,
    /// Root of the tree of the ballots.
    pub root: Digest,
}

impl SealView {
    fn new(seal: &Seal) -> Self {
        let Seal { number, leaves, root, previous, seal } = *seal;
        Self { seal, previous, seal_number: number, leaves, root }
    }
}

impl RecordView {
    /// The record of a take.
    pub fn new(take: &Take) -> Self {
        Self {
            votes: take.tally.votes.clone(),
            voters: take.tally.voters,
            opened_at: take.opened_at,
            closed_at: take.closed_at,
            by: take.by,
            outage_ms: take.outage_ms,
            seal: take.seal.as_ref().map(SealView::new),
        }
    }
}

/// The record of a closed take, in the list of all records.
#[derive(Debug, Clone, Serialize)]
pub struct ListedRecord {
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// True if this take counts.
    pub counted: bool,
    /// The record.
    #[serde(flatten)]
    pub record: RecordView,
}

impl ListedRecord {
    /// The record of a take of `round`.
    pub fn new(number: u16, round: &Round, take: &Take) -> Self {
        let counted = take.take == round.take;
        Self { round: number, take: take.take, counted, record: RecordView::new(take) }
    }

    /// All records of a room that `audience` may see, by round and take.
    pub fn all(room: &Room, audience: Audience) -> Vec<Self> {
        let rounds = (1..).zip(&room.rounds);
        let takes = rounds.flat_map(|(number, round)| round.takes.iter().map(move |take| (number, round, take)));
        let seen = takes.filter(|(number, _, take)| visibility::sees_record(room, *number, take, audience));
        seen.map(|(number, round, take)| Self::new(number, round, take)).collect()
    }
}

impl RoomView {
    /// `room` and its gates as `audience` may see them.
    pub fn new(
        room: &Room,
        gates: &GateSum,
        reveal: Option<RevealView>,
        blackout: Blackout,
        audience: Audience,
    ) -> Self {
        let emcee = audience == Audience::Emcee;
        Self {
            room: room.code.to_string(),
            title: room.title.to_string(),
            phase: room.phase(),
            votes_per_round: room.votes_per_round,
            join: room.join,
            programme: room.programme,
            rehearsal: room.rehearsal,
            url: None,
            reference: room.reference.clone().filter(|_| emcee),
            partitions: emcee.then_some(room.partitions),
            round: room.last_round,
            rounds: (1..)
                .zip(&room.rounds)
                .map(|(n, round)| round_view(room, n, round, gates, blackout, audience))
                .collect(),
            stage: room.stage.clone(),
            reveal,
            deleted_at: room.deleted_at.filter(|_| emcee),
            seq: room.seq,
            now: None,
        }
    }

    /// The same view with the link for voters, if the base URL is known.
    pub fn reached_at(mut self, base: Option<&str>) -> Self {
        self.url = base.map(|base| format!("{base}/r/{}", self.room));
        self
    }

    /// The same view with the ledger's time, for HTTP responses.
    pub fn at(mut self, now: LedgerMs) -> Self {
        self.now = Some(now);
        self
    }
}

fn round_view(
    room: &Room,
    number: u16,
    round: &Round,
    gates: &GateSum,
    blackout: Blackout,
    audience: Audience,
) -> RoundView {
    let running = room.running.as_ref().filter(|running| running.round == number);
    // before the gates have followed, a round that was just opened has neither times nor counts
    let live = running.filter(|running| (gates.round, gates.take) == (running.round, running.take)).map(|_| gates);
    let counted = round.counted().filter(|_| running.is_none());
    let closes_at = live.and_then(|gates| gates.deadline);
    let knows = visibility::sees_programme(room, number, audience);
    let sees_result = visibility::sees_result(room, number, audience);
    let with_split = visibility::sees_split(room, number, blackout, audience);
    let tally = counted.map(|take| &take.tally).or(live.map(|gates| &gates.tally));
    RoundView {
        round: number,
        take: running.map_or(round.take, |running| running.take),
        title: knows.then(|| round.title.to_string()),
        choices: knows.then(|| choices(round)),
        phase: match (running, counted) {
            (Some(_), _) => RoundPhase::Open,
            (None, Some(_)) => RoundPhase::Closed,
            (None, None) => RoundPhase::Ready,
        },
        split: round.split,
        blackout_seconds: round.blackout_seconds,
        seconds: round.seconds,
        opened_at: counted.map(|take| take.opened_at).or(live.map(|gates| gates.opened_at)),
        closes_at,
        closing: running.is_some_and(|running| running.closing.is_some()),
        dark: running.is_some_and(|running| blackout.hides(running)),
        closed_at: counted.map(|take| take.closed_at),
        by: counted.map(|take| take.by),
        outage_ms: counted.map_or(0, |take| take.outage_ms),
        shown: counted.is_some() && round.is_shown(),
        seal: counted.filter(|_| sees_result).and_then(|take| take.seal.as_ref()).map(|seal| seal.seal),
        tally: tally.map(|tally| TallyView::new(tally, with_split)),
        winner: counted.filter(|_| sees_result).map(|take| take.winner().map(letter)),
        decided_by: counted.filter(|_| sees_result).map(|take| match take.decided {
            Some(_) => DecidedBy::Emcee,
            None => DecidedBy::Votes,
        }),
        takes: (audience == Audience::Emcee).then(|| takes(round)),
    }
}

fn choices(round: &Round) -> Vec<ChoiceView> {
    let view = |(index, choice): (u8, &crate::domain::room::Choice)| ChoiceView {
        letter: letter(index),
        label: choice.label.to_string(),
        color: choice.color.clone(),
    };
    (0..).zip(&round.choices).map(view).collect()
}

fn takes(round: &Round) -> Vec<TakeView> {
    let view =
        |take: &Take| TakeView { take: take.take, counted: take.take == round.take, record: RecordView::new(take) };
    round.takes.iter().map(view).collect()
}
