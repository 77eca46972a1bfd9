//! The cast rule: the outcome of a cast, given the stored ballot.
//!
//! A **slip** is one vote, numbered from 1. A **ballot** is the string of the letters on the used slips, and it only
//! grows. A cast names the slip at which it starts, so a repeated cast is recognised for as long as the round exists.

use serde::{Deserialize, Serialize};

use super::MAX_NUMBER;
use super::{Invalid, LedgerMs, ids::LETTERS};

/// Most votes of a voter in a round, so also the length of the longest cast.
pub const MAX_VOTES: usize = 100;

/// A cast: letters for the slips `slip`, `slip + 1`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// First slip, from 1.
    pub slip: u32,
    /// 1 to [`MAX_VOTES`] lower-case letters. Whether the round has such choices is checked by [`judge`].
    pub votes: String,
}

impl Cast {
    /// Checks the form of a cast from outside.
    ///
    /// # Errors
    /// `slip` is 0, or `votes` is not 1 to [`MAX_VOTES`] letters of `a` to `z`.
    pub fn parse(slip: u32, votes: String) -> Result<Self, Invalid> {
        if slip == 0 {
            return Err(Invalid::new("slip", "slips are numbered from 1"));
        }
        if !(1..=MAX_VOTES).contains(&votes.len()) || !votes.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(Invalid::new("votes", format!("must be 1 to {MAX_VOTES} lower-case letters")));
        }
        Ok(Self { slip, votes })
    }
}

/// A voter's ballot in one take of one round, as a ledger keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ballot {
    /// Letters on the used slips, in order.
    pub votes: String,
    /// Time from the opening of the round to the last stored vote, by the clock of one gate.
    pub time_ms: LedgerMs,
}

impl Ballot {
    /// Encodes the stored form: the letters, then the time in decimal, as in `aab1732`.
    pub fn encode(&self) -> String {
        format!("{}{}", self.votes, self.time_ms)
    }

    /// Decodes the stored form. `None` if it is invalid.
    pub fn decode(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| c.is_ascii_digit())?;
        let (votes, time) = text.split_at(digits);
        let time_ms = time.parse().ok().filter(|time| *time <= MAX_NUMBER)?;
        votes.bytes().all(|b| LETTERS.as_bytes().contains(&b)).then(|| Self { votes: votes.to_owned(), time_ms })
    }
}

/// Why a cast, or a part of it, was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The round is not open.
    Closed,
    /// The round is open in another take.
    StaleTake,
    /// The round has no choice with this letter.
    BadChoice,
    /// The cast starts after the next free slip.
    Gap,
    /// A slip was used already, with another letter.
    Conflict,
    /// All slips are used; the votes that fitted are stored.
    OutOfVotes,
    /// The outcome is unknown: the votes may be stored or not. Send the same cast again.
    Busy,
}

impl Refusal {
    /// All refusals, for metrics and tests.
    pub const ALL: [Self; 7] =
        [Self::Closed, Self::StaleTake, Self::BadChoice, Self::Gap, Self::Conflict, Self::OutOfVotes, Self::Busy];

    /// The word in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::StaleTake => "stale_take",
            Self::BadChoice => "bad_choice",
            Self::Gap => "gap",
            Self::Conflict => "conflict",
            Self::OutOfVotes => "out_of_votes",
            Self::Busy => "busy",
        }
    }
}

/// What a gate says about the take of a cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateCheck {
    /// The take is open and accepts votes.
    Open {
        /// Number of choices of the round, 2 to 8.
        choices: u8,
        /// Slips of each voter, 1 to 100.
        votes_per_round: u16,
    },
    /// The round is open in another take.
    OtherTake,
    /// The round is not open, or its deadline has passed.
    Closed,
}

/// The verdict on one cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement<'c> {
    /// Letters to append to the ballot; empty if nothing is new.
    pub append: &'c str,
    /// Why something was not stored, for the client.
    pub refused: Option<Refusal>,
}

/// Judges a cast against the stored `ballot` of its voter, round and take.
///
/// # Invariants
/// `ballot + append` never exceeds the budget. When a cast is judged again after its letters were appended, nothing is
/// new.
pub fn judge<'c>(ballot: &str, cast: &'c Cast, gate_check: GateCheck) -> Judgement<'c> {
    let refuse = |refusal| Judgement { append: "", refused: Some(refusal) };
    let used = ballot.len();
    let start = cast.slip as usize - 1;
    let overlap = used.saturating_sub(start).min(cast.votes.len());
    let (old, new) = cast.votes.split_at(overlap);
    let agrees = start >= used || ballot[start..start + overlap] == *old;

    if new.is_empty() && agrees {
        return Judgement { append: "", refused: None };
    }
    let (choices, votes_per_round) = match gate_check {
        GateCheck::Closed => return refuse(Refusal::Closed),
        GateCheck::OtherTake => return refuse(Refusal::StaleTake),
        GateCheck::Open { choices, votes_per_round } => (choices, usize::from(votes_per_round)),
    };
    if cast.votes.bytes().any(|letter| letter - b'a' >= choices) {
        return refuse(Refusal::BadChoice);
    }
    if start > used {
        return refuse(Refusal::Gap);
    }
    if !agrees {
        return refuse(Refusal::Conflict);
    }
    let fits = votes_per_round.saturating_sub(used).min(new.len());
    let refused = (fits < new.len()).then_some(Refusal::OutOfVotes);
    Judgement { append: &new[..fits], refused }
}

#[cfg(test)]
mod tests;
