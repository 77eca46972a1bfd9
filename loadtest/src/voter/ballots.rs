//! What a phone knows of its ballots: what was acknowledged, and what was sent with unknown outcome.
//!
//! This is the client's half of the promise that the audit checks: everything acknowledged is on the record, and
//! nothing is that was not sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::Ballot;

/// A round and its take.
pub type Running = (u16, u16);

/// Letters for slips from `slip` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// First slip, from 1.
    pub slip: usize,
    /// One letter for each slip.
    pub votes: String,
}

/// One voter's knowledge of one running.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The longest ballot that was acknowledged.
    pub votes: String,
    /// Sent, and not answered for good.
    pub unknown: Option<Cast>,
}

impl Told {
    /// The longest ballot that there can be.
    pub fn possible(&self) -> String {
        match &self.unknown {
            None => self.votes.clone(),
            Some(cast) => {
                let mut all: String = self.votes.chars().take(cast.slip - 1).collect();
                all.push_str(&cast.votes);
                if all.len() < self.votes.len() { self.votes.clone() } else { all }
            }
        }
    }
}

/// What an answer means for the cast under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All its letters are stored.
    Stored,
    /// Unknown; the same cast has to be sent again.
    Busy,
    /// The round is over; what was not stored never will be.
    Late,
    /// Refused for a reason that a correct client does not meet.
    Refused,
    /// The server had lost acknowledged letters; [`Told::unknown`] holds them now, to be cast first.
    Healing,
}

/// A promise that the server broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

/// All runnings of one voter.
#[derive(Debug, Clone, Default)]
pub struct Ballots(BTreeMap<Running, Told>);

impl Ballots {
    /// Acknowledged letters of a running.
    pub fn acknowledged(&self, running: Running) -> usize {
        self.0.get(&running).map_or(0, |told| told.votes.len())
    }

    /// The cast that has no definite answer.
    pub fn under_way(&self) -> Option<(Running, &Cast)> {
        self.0.iter().find_map(|(running, told)| Some((*running, told.unknown.as_ref()?)))
    }

    /// Notes a cast of these letters on the next slips.
    ///
    /// # Panics
    /// Another cast is under way: the caller's mistake.
    pub fn begin(&mut self, running: Running, votes: String) {
        assert!(self.under_way().is_none(), "one cast may be unanswered at a time");
        let told = self.0.entry(running).or_default();
        told.unknown = Some(Cast { slip: told.votes.len() + 1, votes });
    }

    /// Takes in what the server says is stored, asked or unasked. Returns how many letters are newly acknowledged.
    ///
    /// # Errors
    /// It contradicts what was said or sent before.
    pub fn learn(&mut self, ballot: &Ballot) -> Result<usize, Violation> {
        let running = (ballot.round, ballot.take);
        let told = self.0.entry(running).or_default();
        let possible = told.possible();
        let name = |what: &str| {
            let (told, now) = (&told.votes, &ballot.votes);
            Violation(format!("round {} take {}: {what}: acknowledged \"{told}\", now \"{now}\"", running.0, running.1))
        };
        if ballot.votes.len() < told.votes.len() && told.votes.starts_with(&ballot.votes) {
            let shrank = name("the ballot shrank");
            // acknowledged letters are cast again from where they are missing; what was under way goes along
            let missing = &possible[ballot.votes.len()..];
            told.unknown = Some(Cast { slip: ballot.votes.len() + 1, votes: missing.to_owned() });
            return Err(shrank);
        }
        if !ballot.votes.starts_with(&told.votes) {
            return Err(name("the ballot changed"));
        }
        if !possible.starts_with(&ballot.votes) {
            return Err(name("the ballot holds what was never cast"));
        }
        let grown = ballot.votes.len() - told.votes.len();
        told.votes.clone_from(&ballot.votes);
        if told.unknown.as_ref().is_some_and(|cast| cast.slip - 1 + cast.votes.len() <= ballot.votes.len()) {
            told.unknown = None;
        }
        Ok(grown)
    }

    /// Takes in the answer to the cast under way in `running`. Call [`Self::learn`] with it first.
    pub fn settle(&mut self, running: Running, ballot: &Ballot) -> Verdict {
        let told = self.0.entry(running).or_default();
        let same = (ballot.round, ballot.take) == running;
        let over = matches!(ballot.refused.as_deref(), Some("closed" | "stale_take"));
        if same && !over && ballot.votes.len() < told.votes.len() {
            return Verdict::Healing;
        }
        match ballot.refused.as_deref() {
            None | Some("busy") if told.unknown.is_none() => Verdict::Stored,
            Some("busy") => Verdict::Busy,
            _ => {
                // a definite answer: what of the cast is not on the ballot was not stored
                told.unknown = None;
                if over { Verdict::Late } else { Verdict::Refused }
            }
        }
    }

    /// Everything, for the audit.
    pub fn into_told(self) -> BTreeMap<Running, Told> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(votes: &str, refused: Option<&str>) -> Ballot {
        Ballot { round: 1, take: 1, votes: votes.into(), refused: refused.map(str::to_owned) }
    }

    fn answer(ballots: &mut Ballots, votes: &str, refused: Option<&str>) -> (Result<usize, Violation>, Verdict) {
        let ballot = ballot(votes, refused);
        (ballots.learn(&ballot), ballots.settle((1, 1), &ballot))
    }

    fn begun(acknowledged: &str, next: &str) -> Ballots {
        let mut ballots = Ballots::default();
        if !acknowledged.is_empty() {
            ballots.begin((1, 1), acknowledged.into());
            assert_eq!(answer(&mut ballots, acknowledged, None).1, Verdict::Stored);
        }
        ballots.begin((1, 1), next.into());
        ballots
    }

    fn unknown(ballots: &Ballots) -> Option<(usize, &str)> {
        ballots.under_way().map(|(_, cast)| (cast.slip, cast.votes.as_str()))
    }

    #[test]
    fn an_acknowledged_cast_becomes_part_of_the_ballot() {
        let mut ballots = begun("aa", "b");
        assert_eq!(unknown(&ballots), Some((3, "b")));
        assert_eq!(answer(&mut ballots, "aab", None), (Ok(1), Verdict::Stored));
        assert_eq!((ballots.acknowledged((1, 1)), unknown(&ballots)), (3, None));
    }

    #[test]
    fn busy_leaves_the_same_cast_to_be_sent_again() {
        let mut ballots = begun("a", "bb");
        assert_eq!(answer(&mut ballots, "a", Some("busy")), (Ok(0), Verdict::Busy));
        assert_eq!(unknown(&ballots), Some((2, "bb")));
        assert_eq!(ballots.0.get(&(1, 1)).map(Told::possible).as_deref(), Some("abb"));
        assert_eq!(answer(&mut ballots, "abb", None), (Ok(2), Verdict::Stored));
    }

    #[test]
    fn after_a_reconnect_the_ballot_may_show_that_the_cast_was_stored() {
        let mut ballots = begun("a", "bb");
        assert_eq!(ballots.learn(&ballot("abb", None)), Ok(2));
        assert_eq!(unknown(&ballots), None);
        let mut ballots = begun("a", "bb");
        assert_eq!(ballots.learn(&ballot("a", None)), Ok(0));
        assert_eq!(unknown(&ballots), Some((2, "bb")), "it is sent again, unchanged");
    }

    #[test]
    fn a_close_settles_what_was_unknown() {
        let mut ballots = begun("a", "bb");
        assert_eq!(answer(&mut ballots, "a", Some("closed")), (Ok(0), Verdict::Late));
        assert_eq!(ballots.0.get(&(1, 1)).map(Told::possible).as_deref(), Some("a"));
        let mut ballots = begun("a", "bb");
        let other = Ballot { take: 2, ..ballot("", Some("stale_take")) };
        assert_eq!(ballots.learn(&other), Ok(0));
        assert_eq!(ballots.settle((1, 1), &other), Verdict::Late);
        assert_eq!(ballots.acknowledged((1, 1)), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_rest_is_kept() {
        let mut ballots = begun("a", "bb");
        assert_eq!(answer(&mut ballots, "ab", Some("out_of_votes")), (Ok(1), Verdict::Refused));
        assert_eq!((ballots.acknowledged((1, 1)), unknown(&ballots)), (2, None));
    }

    #[test]
    fn lost_letters_are_a_violation_and_are_cast_again() {
        let mut ballots = begun("aab", "b");
        let (learned, verdict) = answer(&mut ballots, "a", Some("gap"));
        assert!(learned.is_err_and(|violation| violation.0.contains("shrank")));
        assert_eq!(verdict, Verdict::Healing);
        assert_eq!(unknown(&ballots), Some((2, "abb")));
        assert_eq!(ballots.acknowledged((1, 1)), 3, "it stays acknowledged");
        assert_eq!(answer(&mut ballots, "aabb", None), (Ok(1), Verdict::Stored));
    }

    #[test]
    fn what_was_never_cast_is_a_violation() {
        for (votes, words) in [("aaa", "never cast"), ("ba", "changed"), ("aabb", "never cast")] {
            let mut ballots = begun("aa", "b");
            let violation = ballots.learn(&ballot(votes, None)).unwrap_err();
            assert!(violation.0.contains(words), "{votes}: {violation:?}");
        }
    }
}
