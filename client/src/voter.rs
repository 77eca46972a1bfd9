//! What a voter sends to join, and what it knows of its ballots.
//!
//! [`KnownBallot`] is the client's half of the promise that audits check: every acknowledged vote is on the record, and
//! no vote is that was not cast.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::protocol::{Ballot, TakeId};

/// Characters of a card.
const CARD_ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A card as a phone makes it: 12 characters.
pub fn card(rng: &mut impl Rng) -> String {
    (0..12).map(|_| char::from(CARD_ALPHABET[rng.random_range(0..CARD_ALPHABET.len())])).collect()
}

/// The answer to `POST /rooms/{room}/join`.
#[derive(Debug, Clone, Deserialize)]
pub struct Joined {
    /// The voter's id.
    pub voter: String,
    /// For hello.
    pub token: String,
}

/// Votes for the slips from `slip` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// First slip, from 1.
    pub slip: usize,
    /// One letter for each slip.
    pub votes: String,
}

/// What one voter knows of its ballot in one take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownBallot {
    /// The longest ballot that was acknowledged.
    pub votes: String,
    /// The cast without a definite answer.
    pub unknown: Option<Cast>,
}

/// A promise that the server broke, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl KnownBallot {
    /// Notes a cast of these letters on the next slips.
    ///
    /// # Panics
    /// Another cast has no definite answer yet: the caller's mistake.
    pub fn begin(&mut self, votes: String) {
        assert!(self.unknown.is_none(), "one cast may be unanswered at a time");
        self.unknown = Some(Cast { slip: self.votes.len() + 1, votes });
    }

    /// The longest ballot that there can be.
    pub fn possible(&self) -> String {
        let Some(cast) = &self.unknown else { return self.votes.clone() };
        let mut all: String = self.votes.chars().take(cast.slip - 1).collect();
        all.push_str(&cast.votes);
        if all.starts_with(&self.votes) { all } else { self.votes.clone() }
    }

    /// Applies a ballot from the server and gives the number of votes that it newly acknowledges. The unknown cast stays.
    ///
    /// # Errors
    /// The ballot contradicts what was acknowledged or cast before. Then nothing is applied.
    pub fn apply(&mut self, ballot: &Ballot) -> Result<usize, Violation> {
        let new = ballot.votes.as_str();
        let wrong = if !new.starts_with(&self.votes) {
            if self.votes.starts_with(new) { "the ballot shrank" } else { "the ballot changed" }
        } else if !self.possible().starts_with(new) {
            "the ballot holds votes that were never cast"
        } else {
            let grown = new.len() - self.votes.len();
            self.votes = new.to_owned();
            return Ok(grown);
        };
        let (round, take, old) = (ballot.round, ballot.take, &self.votes);
        Err(Violation(format!("round {round} take {take}: {wrong}: acknowledged \"{old}\", now \"{new}\"")))
    }

    /// True if the whole unknown cast is on the acknowledged ballot.
    fn has_unknown(&self) -> bool {
        self.unknown.as_ref().is_some_and(|cast| cast.slip - 1 + cast.votes.len() <= self.votes.len())
    }
}

/// What an answer means for the cast that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastOutcome {
    /// All its votes are stored.
    Stored,
    /// Not known. The same cast must be sent again.
    Busy,
    /// The round is closed. What was not stored by then never will be.
    Late,
    /// Refused for a reason that a correct client does not meet.
    Refused,
    /// The server has lost acknowledged votes. They are the unknown cast now and must be sent again.
    Healing,
}

/// The ballots of one voter in every take.
#[derive(Debug, Clone, Default)]
pub struct Ballots(std::collections::BTreeMap<TakeId, KnownBallot>);

impl Ballots {
    /// Number of acknowledged votes in a take.
    pub fn acknowledged(&self, take: TakeId) -> usize {
        self.0.get(&take).map_or(0, |known| known.votes.len())
    }

    /// The cast without a definite answer. There is one at most.
    pub fn unknown(&self) -> Option<(TakeId, &Cast)> {
        self.0.iter().find_map(|(take, known)| Some((*take, known.unknown.as_ref()?)))
    }

    /// Notes a cast of these letters on the next slips of a take.
    ///
    /// # Panics
    /// Another cast has no definite answer yet: the caller's mistake.
    pub fn begin(&mut self, take: TakeId, votes: String) {
        assert!(self.unknown().is_none(), "one cast may be unanswered at a time");
        self.0.entry(take).or_default().begin(votes);
    }

    /// Applies a ballot from the server, whether it answers a cast or not. Gives the number of newly acknowledged votes.
    ///
    /// # Errors
    /// The ballot contradicts what was acknowledged or cast before.
    pub fn apply(&mut self, ballot: &Ballot) -> Result<usize, Violation> {
        let known = self.0.entry((ballot.round, ballot.take)).or_default();
        let grown = known.apply(ballot);
        match grown {
            Ok(_) if known.has_unknown() => known.unknown = None,
            Err(_) if known.votes.starts_with(&ballot.votes) => {
                // cast again what is missing, and what was under way with it
                let votes = known.possible()[ballot.votes.len()..].to_owned();
                known.unknown = Some(Cast { slip: ballot.votes.len() + 1, votes });
            }
            _ => {}
        }
        grown
    }

    /// What an answer means for the cast in `take`. [`Self::apply`] comes first.
    pub fn outcome(&mut self, take: TakeId, answer: &Ballot) -> CastOutcome {
        let known = self.0.entry(take).or_default();
        let refused = answer.refused.as_deref();
        let closed = matches!(refused, Some("closed" | "stale_take"));
        if (answer.round, answer.take) == take && !closed && answer.votes.len() < known.votes.len() {
            return CastOutcome::Healing;
        }
        match refused {
            None | Some("busy") if known.unknown.is_none() => CastOutcome::Stored,
            Some("busy") => CastOutcome::Busy,
            _ => {
                // a definite answer: what of the cast is not on the ballot was not stored
                known.unknown = None;
                if closed { CastOutcome::Late } else { CastOutcome::Refused }
            }
        }
    }

    /// Every take with a cast, in order.
    pub fn into_known(self) -> Vec<(TakeId, KnownBallot)> {
        self.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(votes: &str, refused: Option<&str>) -> Ballot {
        Ballot { round: 1, take: 1, votes: votes.into(), refused: refused.map(str::to_owned) }
    }

    fn answer(ballots: &mut Ballots, votes: &str, refused: Option<&str>) -> (Result<usize, Violation>, CastOutcome) {
        let ballot = ballot(votes, refused);
        (ballots.apply(&ballot), ballots.outcome((1, 1), &ballot))
    }

    fn begun(acknowledged: &str, next: &str) -> Ballots {
        let mut ballots = Ballots::default();
        if !acknowledged.is_empty() {
            ballots.begin((1, 1), acknowledged.into());
            assert_eq!(answer(&mut ballots, acknowledged, None).1, CastOutcome::Stored);
        }
        ballots.begin((1, 1), next.into());
        ballots
    }

    fn unknown(ballots: &Ballots) -> Option<(usize, &str)> {
        ballots.unknown().map(|(_, cast)| (cast.slip, cast.votes.as_str()))
    }

    #[test]
    fn an_acknowledged_cast_becomes_part_of_the_ballot() {
        let mut ballots = begun("aa", "b");
        assert_eq!(unknown(&ballots), Some((3, "b")));
        assert_eq!(answer(&mut ballots, "aab", None), (Ok(1), CastOutcome::Stored));
        assert_eq!((ballots.acknowledged((1, 1)), unknown(&ballots)), (3, None));
    }

    #[test]
    fn busy_leaves_the_same_cast_to_be_sent_again() {
        let mut ballots = begun("a", "bb");
        assert_eq!(answer(&mut ballots, "a", Some("busy")), (Ok(0), CastOutcome::Busy));
        assert_eq!(unknown(&ballots), Some((2, "bb")));
        assert_eq!(ballots.0.get(&(1, 1)).map(KnownBallot::possible).as_deref(), Some("abb"));
        assert_eq!(answer(&mut ballots, "abb", None), (Ok(2), CastOutcome::Stored));
    }

    #[test]
    fn after_a_reconnect_the_ballot_may_show_that_the_cast_was_stored() {
        let mut ballots = begun("a", "bb");
        assert_eq!(ballots.apply(&ballot("abb", None)), Ok(2));
        assert_eq!(unknown(&ballots), None);
        let mut ballots = begun("a", "bb");
        assert_eq!(ballots.apply(&ballot("a", None)), Ok(0));
        assert_eq!(unknown(&ballots), Some((2, "bb")), "it is sent again, unchanged");
    }

    #[test]
    fn a_closed_round_settles_an_unknown_cast() {
        let mut ballots = begun("a", "bb");
        assert_eq!(answer(&mut ballots, "a", Some("closed")), (Ok(0), CastOutcome::Late));
        assert_eq!(ballots.0.get(&(1, 1)).map(KnownBallot::possible).as_deref(), Some("a"));
        let mut ballots = begun("a", "bb");
        let other = Ballot { take: 2, ..ballot("", Some("stale_take")) };
        assert_eq!(ballots.apply(&other), Ok(0));
        assert_eq!(ballots.outcome((1, 1), &other), CastOutcome::Late);
        assert_eq!(ballots.acknowledged((1, 1)), 1);
    }

    #[test]
    fn votes_that_do_not_fit_are_refused_and_the_others_are_kept() {
        let mut ballots = begun("a", "bb");
        assert_eq!(answer(&mut ballots, "ab", Some("out_of_votes")), (Ok(1), CastOutcome::Refused));
        assert_eq!((ballots.acknowledged((1, 1)), unknown(&ballots)), (2, None));
    }

    #[test]
    fn lost_votes_are_a_violation_and_are_cast_again() {
        let mut ballots = begun("aab", "b");
        let (applied, outcome) = answer(&mut ballots, "a", Some("gap"));
        assert!(applied.is_err_and(|violation| violation.0.contains("shrank")));
        assert_eq!(outcome, CastOutcome::Healing);
        assert_eq!(unknown(&ballots), Some((2, "abb")));
        assert_eq!(ballots.acknowledged((1, 1)), 3, "it stays acknowledged");
        assert_eq!(answer(&mut ballots, "aabb", None), (Ok(1), CastOutcome::Stored));
    }

    #[test]
    fn votes_that_were_never_cast_are_a_violation() {
        for (votes, words) in [("aaa", "never cast"), ("ba", "changed"), ("aabb", "never cast")] {
            let mut ballots = begun("aa", "b");
            let violation = ballots.apply(&ballot(votes, None)).unwrap_err();
            assert!(violation.0.contains(words), "{votes}: {violation:?}");
        }
    }
}
