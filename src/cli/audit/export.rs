//! An export as it is read from a file: the parts that can be verified.

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::domain::LedgerMs;
use crate::domain::ids::VoterId;
use crate::domain::seal::Digest;

/// A whole export.
#[derive(Debug, Deserialize)]
pub struct Export {
    pub room: RoomView,
    pub voters: Vec<VoterLine>,
    pub rounds: Vec<Round>,
    pub ranking: Vec<Ranked>,
}

/// The room as the emcee sees it.
#[derive(Debug, Deserialize)]
pub struct RoomView {
    pub room: String,
    pub title: String,
    pub votes_per_round: usize,
    pub rounds: Vec<RoundView>,
    /// There while a ranking is shown: then that of the export is the one that was frozen for it.
    pub reveal: Option<IgnoredAny>,
}

/// A round of [`RoomView`].
#[derive(Debug, Deserialize)]
pub struct RoundView {
    pub round: u16,
    /// The take that counts.
    pub take: u16,
    pub choices: Vec<IgnoredAny>,
    pub phase: String,
    pub tally: Option<TallyView>,
    /// `Some(None)` is a draw.
    #[serde(default, deserialize_with = "there")]
    pub winner: Option<Option<char>>,
    pub decided_by: Option<String>,
    pub seal: Option<Digest>,
    pub takes: Vec<TakeView>,
}

/// A field that may be `null`, and is there.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<char>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The counts of a round.
#[derive(Debug, Deserialize)]
pub struct TallyView {
    pub total: u64,
    pub voters: u64,
    pub votes: Vec<u64>,
}

/// A closed take of [`RoundView`].
#[derive(Debug, Deserialize)]
pub struct TakeView {
    pub take: u16,
    pub counted: bool,
    pub record: Record,
}

/// A voter.
#[derive(Debug, Deserialize)]
pub struct VoterLine {
    pub voter: VoterId,
    #[serde(default)]
    pub removed: bool,
}

/// A round with its takes.
#[derive(Debug, Deserialize)]
pub struct Round {
    pub round: u16,
    pub takes: Vec<Take>,
}

/// A take with its ballots.
#[derive(Debug, Deserialize)]
pub struct Take {
    pub take: u16,
    pub counted: bool,
    /// Missing while the take is open.
    pub record: Option<Record>,
    #[serde(default)]
    pub ballots: Vec<Ballot>,
}

/// The record of a closed take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    pub votes: Vec<u64>,
    pub voters: u64,
    pub opened_at: LedgerMs,
    pub closed_at: LedgerMs,
    pub by: String,
    pub seal: Option<Digest>,
    pub previous: Option<Digest>,
    pub seal_number: Option<u64>,
    pub leaves: Option<u64>,
    pub root: Option<Digest>,
}

/// A ballot.
#[derive(Debug, Deserialize)]
pub struct Ballot {
    pub voter: VoterId,
    pub votes: String,
    pub time_ms: LedgerMs,
    /// Missing if its take is not sealed.
    pub salt: Option<Digest>,
}

/// A line of the ranking.
#[derive(Debug, Deserialize)]
pub struct Ranked {
    pub place: u32,
    pub voter: VoterId,
    pub score: u64,
    pub time_ms: LedgerMs,
}

/// A line of an export in lines.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Room(Box<RoomView>),
    Voter(VoterLine),
    Take(TakeLine),
    Ballot(BallotLine),
    Ranking(Ranked),
    /// The first line of an archive.
    Archive(IgnoredAny),
}

#[derive(Deserialize)]
struct TakeLine {
    round: u16,
    #[serde(flatten)]
    take: Take,
}

#[derive(Deserialize)]
struct BallotLine {
    round: u16,
    take: u16,
    #[serde(flatten)]
    ballot: Ballot,
}

impl Export {
    /// Reads an export of the format `json` or `ndjson`.
    ///
    /// # Errors
    /// The text is neither, with the place where it is not.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let first = text.lines().next().unwrap_or_default();
        match serde_json::from_str::<Line>(first) {
            Ok(Line::Archive(_)) => bail!(
                "this is an archive, which `tallycast import` checks; here an export of the format json or ndjson is needed"
            ),
            Ok(_) => Self::of_lines(text),
            Err(_) => serde_json::from_str(text).context("this is not an export of the format json or ndjson"),
        }
    }

    fn of_lines(text: &str) -> anyhow::Result<Self> {
        let (mut room, mut voters, mut rounds, mut ranking) = (None, vec![], Vec::<Round>::new(), vec![]);
        for (number, line) in (1..).zip(text.lines()) {
            match serde_json::from_str(line).with_context(|| format!("line {number} is not one of an export"))? {
                Line::Room(view) => {
                    ensure!(room.is_none(), "line {number} is a second room");
                    rounds = view.rounds.iter().map(|round| Round { round: round.round, takes: vec![] }).collect();
                    room = Some(*view);
                }
                Line::Voter(voter) => voters.push(voter),
                Line::Take(TakeLine { round, take }) => {
                    let of_round = rounds.iter_mut().find(|known| known.round == round);
                    of_round.with_context(|| format!("line {number}: there is no round {round}"))?.takes.push(take);
                }
                Line::Ballot(BallotLine { round, take, ballot }) => {
                    let mut takes =
                        rounds.iter_mut().filter(|known| known.round == round).flat_map(|known| &mut known.takes);
                    let of_take = takes.find(|known| known.take == take);
                    let of_take =
                        of_take.with_context(|| format!("line {number}: round {round} has no take {take}"))?;
                    of_take.ballots.push(ballot);
                }
                Line::Ranking(ranked) => ranking.push(ranked),
                Line::Archive(_) => bail!("line {number} is not one of an export"),
            }
        }
        Ok(Self { room: room.context("the line with the room is missing")?, voters, rounds, ranking })
    }
}
