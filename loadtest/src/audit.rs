//! The audit: what clients were told against the ledger's record, per voter and per choice.
//!
//! A = acknowledged letters, U = letters with unknown outcome, C = letters on record. For every voter and running
//! A ⊆ C ⊆ A ∪ U, and since a ballot only grows at its end, that is: C begins with A, and A with U behind it begins
//! with C.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::voter::Book;
use crate::voter::ballots::{Running, Told};

/// Most differences told in words; all are counted.
const MOST_TOLD: usize = 20;

/// `GET /rooms/{room}/export`, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
pub struct Export {
    /// Everybody who joined.
    pub voters: Vec<ExportVoter>,
    /// All rounds.
    pub rounds: Vec<ExportRound>,
    /// Everybody who has a place.
    pub ranking: Vec<Place>,
}

/// A voter on record.
#[derive(Debug, Clone, Deserialize)]
pub struct ExportVoter {
    /// Id.
    pub voter: String,
    /// Name.
    pub name: String,
}

/// A round on record.
#[derive(Debug, Clone, Deserialize)]
pub struct ExportRound {
    /// Number, from 1.
    pub round: u16,
    /// Its runnings.
    pub takes: Vec<ExportTake>,
}

/// A running on record.
#[derive(Debug, Clone, Deserialize)]
pub struct ExportTake {
    /// Number, from 1.
    pub take: u16,
    /// It is the one that counts.
    pub counted: bool,
    /// What its close wrote down; none while it is open.
    pub record: Option<Record>,
    /// All ballots.
    pub ballots: Vec<ExportBallot>,
}

/// What a close wrote down.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// Votes by choice.
    pub votes: Vec<u64>,
    /// Voters who voted.
    pub voters: u64,
}

/// A ballot on record.
#[derive(Debug, Clone, Deserialize)]
pub struct ExportBallot {
    /// Whose.
    pub voter: String,
    /// All letters.
    pub votes: String,
    /// From the round's opening to the last vote.
    pub time_ms: u64,
}

/// A place in the ranking.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// From 1.
    pub place: u32,
    /// Whose.
    pub voter: String,
    /// Votes on winners.
    pub score: u64,
    /// The tie-breaker.
    pub time_ms: u64,
}

/// `GET /rooms/{room}/audit`.
#[derive(Debug, Clone, Deserialize)]
pub struct Recount {
    /// Tallies and ballots agree.
    pub ok: bool,
}

/// How it came out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Audit {
    /// There is no difference.
    pub exact: bool,
    /// One row for each running.
    pub rounds: Vec<AuditRow>,
    /// Places that were recomputed.
    pub places: usize,
    /// Places that voters were told on their phones, and that were compared.
    pub standings: usize,
    /// How many differences there are.
    pub differences: usize,
    /// The first of them, in words.
    pub told: Vec<String>,
}

/// One running, by choice.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AuditRow {
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// Ballots on record.
    pub voters: usize,
    /// Letters that clients were told are stored.
    pub acknowledged: Vec<u64>,
    /// Letters whose outcome clients do not know.
    pub unknown: Vec<u64>,
    /// Letters on the ballots on record.
    pub recorded: Vec<u64>,
    /// What the close wrote down.
    pub record: Vec<u64>,
}

struct Auditor {
    audit: Audit,
}

/// Compares what the voters of a room know with what is on record. All voters of the room must be among `books`.
pub fn audit(books: &[Book], export: &Export, recount: &Recount, votes_per_round: usize) -> Audit {
    let mut auditor = Auditor { audit: Audit::default() };
    if !recount.ok {
        auditor.differs("the server's own recount finds tallies that differ from ballots".into());
    }
    auditor.voters(books, export);
    let mut told: BTreeMap<Running, HashMap<&str, &Told>> = BTreeMap::new();
    for book in books {
        for (running, known) in &book.takes {
            told.entry(*running).or_default().insert(&book.voter, known);
        }
    }
    for round in &export.rounds {
        for take in &round.takes {
            let known = told.remove(&(round.round, take.take)).unwrap_or_default();
            auditor.take((round.round, take.take), take, known, votes_per_round);
        }
    }
    for ((round, take), known) in told {
        if known.values().any(|told| !told.votes.is_empty()) {
            auditor.differs(format!("round {round} take {take}: votes were acknowledged, and it is not on record"));
        }
    }
    auditor.ranking(books, export);
    let mut audit = auditor.audit;
    audit.exact = audit.differences == 0;
    audit
}

impl Auditor {
    fn differs(&mut self, what: String) {
        self.audit.differences += 1;
        if self.audit.told.len() < MOST_TOLD {
            self.audit.told.push(what);
        }
    }

    fn voters(&mut self, books: &[Book], export: &Export) {
        let on_record: HashMap<&str, &str> =
            export.voters.iter().map(|v| (v.voter.as_str(), v.name.as_str())).collect();
        if on_record.len() != export.voters.len() {
            self.differs("a voter is on record twice".into());
        }
        for book in books.iter().filter(|book| !book.voter.is_empty()) {
            match on_record.get(book.voter.as_str()) {
                None => self.differs(format!("{}: joined, and is not on record", book.name)),
                Some(name) if *name != book.name => self.differs(format!("{}: is called {name} on record", book.name)),
                Some(_) => {}
            }
        }
    }

    fn take(&mut self, (round, number): Running, take: &ExportTake, mut known: HashMap<&str, &Told>, budget: usize) {
        let choices = take.record.as_ref().map_or(8, |record| record.votes.len());
        let mut row = AuditRow { round, take: number, ..AuditRow::default() };
        row.acknowledged = vec![0; choices];
        row.unknown = vec![0; choices];
        row.recorded = vec![0; choices];
        let place = format!("round {round} take {number}");
        let none = Told::default();
        let mut seen = HashMap::new();
        for ballot in &take.ballots {
            let voter = ballot.voter.as_str();
            if seen.insert(voter, ()).is_some() {
                self.differs(format!("{place}: {voter} has two ballots"));
            }
            let told = known.remove(voter).unwrap_or(&none);
            self.ballot(&place, voter, told, &ballot.votes, budget);
            count(&mut row.recorded, &ballot.votes);
            tell(&mut row, told);
            row.voters += usize::from(!ballot.votes.is_empty());
        }
        for (voter, told) in known {
            self.ballot(&place, voter, told, "", budget);
            tell(&mut row, told);
        }
        match &take.record {
            None => self.differs(format!("{place}: is not closed")),
            Some(record) => {
                row.record.clone_from(&record.votes);
                if record.votes != row.recorded {
                    let (record, ballots) = (&record.votes, &row.recorded);
                    self.differs(format!("{place}: the record says {record:?}, the ballots hold {ballots:?}"));
                }
                if record.voters != row.voters as u64 {
                    let (record, ballots) = (record.voters, row.voters);
                    self.differs(format!("{place}: the record says {record} voters, there are {ballots} ballots"));
                }
            }
        }
        self.audit.rounds.push(row);
    }

    fn ballot(&mut self, place: &str, voter: &str, told: &Told, recorded: &str, budget: usize) {
        let (acknowledged, possible) = (&told.votes, told.possible());
        let what = if !recorded.starts_with(acknowledged.as_str()) {
            if acknowledged.starts_with(recorded) { "acknowledged votes are LOST" } else { "votes were CHANGED" }
        } else if !possible.starts_with(recorded) {
            if recorded.starts_with(&possible) { "there are MORE votes than were cast" } else { "votes are FOREIGN" }
        } else if recorded.len() > budget {
            "the budget is EXCEEDED"
        } else {
            return;
        };
        self.differs(format!(
            "{place}: {voter}: {what}: acknowledged \"{acknowledged}\", at most \"{possible}\", on record \"{recorded}\""
        ));
    }

    /// Recomputes scores and places, and compares them with the ranking and with what phones were told.
    fn ranking(&mut self, books: &[Book], export: &Export) {
        let mut scores: HashMap<&str, (u64, u64)> = HashMap::new();
        for take in export.rounds.iter().flat_map(|round| &round.takes).filter(|take| take.counted) {
            let Some(record) = &take.record else { continue };
            let best = record.votes.iter().max().copied().unwrap_or(0);
            let mut leaders = (b'a'..).zip(&record.votes).filter(|(_, votes)| **votes == best && best > 0);
            let winner = match (leaders.next(), leaders.next()) {
                (Some((letter, _)), None) => Some(char::from(letter)),
                _ => None,
            };
            for ballot in take.ballots.iter().filter(|ballot| !ballot.votes.is_empty()) {
                let on_winner = ballot.votes.chars().filter(|letter| Some(*letter) == winner).count() as u64;
                let score = scores.entry(&ballot.voter).or_default();
                if on_winner > 0 {
                    *score = (score.0 + on_winner, score.1 + ballot.time_ms);
                }
            }
        }
        let mut order: Vec<_> = scores.into_iter().collect();
        order.sort_by_key(|(voter, (score, time))| (std::cmp::Reverse(*score), *time, *voter));
        let mut expected: HashMap<&str, (u32, u64, u64)> = HashMap::new();
        let mut place = 0;
        for (position, (voter, (score, time))) in order.iter().enumerate() {
            if position == 0 || order[position - 1].1 != (*score, *time) {
                place = position as u32 + 1;
            }
            expected.insert(voter, (place, *score, *time));
        }
        self.audit.places = expected.len();
        if export.ranking.len() != expected.len() {
            let (ranked, voted) = (export.ranking.len(), expected.len());
            self.differs(format!("the ranking has {ranked} places, and {voted} voters have voted"));
        }
        for entry in &export.ranking {
            let found = (entry.place, entry.score, entry.time_ms);
            match expected.get(entry.voter.as_str()) {
                Some(right) if *right == found => {}
                right => self.differs(format!(
                    "ranking: {} has place, score and time {found:?}, and should have {right:?}",
                    entry.voter
                )),
            }
        }
        for book in books {
            let Some(standing) = book.standing else { continue };
            self.audit.standings += 1;
            match expected.get(book.voter.as_str()) {
                Some((place, score, _)) if (*place, *score) == (standing.place, standing.score) => {}
                right => self.differs(format!("{}: was told {standing:?}, and has {right:?}", book.name)),
            }
        }
    }
}

fn count(by_choice: &mut [u64], votes: &str) {
    for letter in votes.bytes() {
        if let Some(count) = by_choice.get_mut(usize::from(letter.wrapping_sub(b'a'))) {
            *count += 1;
        }
    }
}

fn tell(row: &mut AuditRow, told: &Told) {
    count(&mut row.acknowledged, &told.votes);
    count(&mut row.unknown, &told.possible()[told.votes.len()..]);
}

#[cfg(test)]
mod tests;
