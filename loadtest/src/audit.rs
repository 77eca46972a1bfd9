//! The audit: compares what clients know with the ledger's record, for every voter and every choice.
//!
//! A = acknowledged votes, U = votes with an unknown outcome, C = votes on record. For every voter and take A ⊆ C ⊆ A ∪ U.
//! A ballot grows only at its end, so this means: C begins with A, and A followed by U begins with C.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use client::protocol::TakeId;
use client::voter::KnownBallot;
use serde::{Deserialize, Serialize};

use crate::pool::messages::ClientRecord;

/// Differences that are kept as text; all are counted.
const MAX_TOLD: usize = 20;
/// Choices of a round without a record.
const MAX_CHOICES: usize = 8;

/// `GET /rooms/{room}/export`, as far as the audit needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct Export {
    voters: Vec<ExportVoter>,
    rounds: Vec<ExportRound>,
    ranking: Vec<Place>,
}

#[derive(Debug, Clone, Deserialize)]
struct ExportVoter {
    voter: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ExportRound {
    round: u32,
    takes: Vec<ExportTake>,
}

#[derive(Debug, Clone, Deserialize)]
struct ExportTake {
    take: u32,
    /// It is the take that counts.
    counted: bool,
    /// What the close recorded; none while the take is open.
    record: Option<Record>,
    ballots: Vec<ExportBallot>,
}

#[derive(Debug, Clone, Deserialize)]
struct Record {
    /// Votes by choice.
    votes: Vec<u64>,
    /// Voters with a vote.
    voters: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct ExportBallot {
    voter: String,
    votes: String,
    /// From the opening of the round to the last vote.
    time_ms: u64,
}

/// A place in the ranking. Places with the same score are ordered by `time_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Place {
    place: u32,
    voter: String,
    score: u64,
    time_ms: u64,
}

/// `GET /rooms/{room}/audit`.
#[derive(Debug, Clone, Deserialize)]
pub struct Recount {
    /// Tallies and ballots agree.
    pub ok: bool,
}

/// The result of an audit.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Audit {
    /// There is no difference.
    pub exact: bool,
    /// One row for each take.
    pub rounds: Vec<AuditRow>,
    /// Number of recomputed places.
    pub places: usize,
    /// Number of places that phones were sent, and that were compared.
    pub standings: usize,
    /// Number of differences.
    pub differences: usize,
    /// The first differences, as text.
    pub told: Vec<String>,
}

/// One take, by choice.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AuditRow {
    /// Round number.
    pub round: u32,
    /// Take number.
    pub take: u32,
    /// Ballots on record.
    pub voters: usize,
    /// Votes that were acknowledged to clients.
    pub acknowledged: Vec<u64>,
    /// Votes with an outcome that clients do not know.
    pub unknown: Vec<u64>,
    /// Votes on the ballots on record.
    pub recorded: Vec<u64>,
    /// What the close recorded.
    pub record: Vec<u64>,
}

/// Compares what the clients of a room know with what is on record. `clients` must hold every voter of the room.
pub fn audit(clients: &[ClientRecord], export: &Export, recount: &Recount, votes_per_round: usize) -> Audit {
    let mut audit = Audit::default();
    if !recount.ok {
        audit.differs("the server's own recount finds tallies that differ from ballots".into());
    }
    audit.check_voters(clients, export);
    let mut known: BTreeMap<TakeId, HashMap<&str, &KnownBallot>> = BTreeMap::new();
    for client in clients {
        for (take, ballot) in &client.ballots {
            known.entry(*take).or_default().insert(&client.voter, ballot);
        }
    }
    for round in &export.rounds {
        for take in &round.takes {
            let known = known.remove(&(round.round, take.take)).unwrap_or_default();
            audit.check_take(round.round, take, known, votes_per_round);
        }
    }
    for ((round, take), known) in known {
        if known.values().any(|ballot| !ballot.votes.is_empty()) {
            audit.differs(format!("round {round} take {take}: votes were acknowledged, and it is not on record"));
        }
    }
    audit.check_ranking(clients, export);
    audit.exact = audit.differences == 0;
    audit
}

impl Audit {
    /// The result as text.
    pub fn text(&self) -> String {
        match self.exact {
            true => format!("exact ({} places recomputed, {} of them sent to phones)", self.places, self.standings),
            false => format!("{} differences", self.differences),
        }
    }

    fn differs(&mut self, what: String) {
        self.differences += 1;
        if self.told.len() < MAX_TOLD {
            self.told.push(what);
        }
    }

    fn check_voters(&mut self, clients: &[ClientRecord], export: &Export) {
        let on_record: HashMap<&str, &str> =
            export.voters.iter().map(|v| (v.voter.as_str(), v.name.as_str())).collect();
        if on_record.len() != export.voters.len() {
            self.differs("a voter is on record twice".into());
        }
        for client in clients.iter().filter(|client| !client.voter.is_empty()) {
            match on_record.get(client.voter.as_str()) {
                None => self.differs(format!("{}: joined, and is not on record", client.name)),
                Some(name) if *name != client.name => {
                    self.differs(format!("{}: has the name {name} on record", client.name));
                }
                Some(_) => {}
            }
        }
    }

    fn check_take(
        &mut self,
        round: u32,
        take: &ExportTake,
        mut known: HashMap<&str, &KnownBallot>,
        votes_per_round: usize,
    ) {
        let choices = take.record.as_ref().map_or(MAX_CHOICES, |record| record.votes.len());
        let [acknowledged, unknown, recorded] = [(); 3].map(|()| vec![0; choices]);
        let mut row = AuditRow { round, take: take.take, acknowledged, unknown, recorded, ..AuditRow::default() };
        let place = format!("round {round} take {}", take.take);
        let nothing = KnownBallot::default();
        let mut seen = HashSet::new();
        for ballot in &take.ballots {
            let voter = ballot.voter.as_str();
            if !seen.insert(voter) {
                self.differs(format!("{place}: {voter} has two ballots"));
            }
            let known = known.remove(voter).unwrap_or(&nothing);
            self.check_ballot(&place, voter, known, &ballot.votes, votes_per_round);
            count(&mut row.recorded, &ballot.votes);
            row.add_known(known);
            row.voters += usize::from(!ballot.votes.is_empty());
        }
        for (voter, known) in known {
            self.check_ballot(&place, voter, known, "", votes_per_round);
            row.add_known(known);
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
        self.rounds.push(row);
    }

    fn check_ballot(&mut self, place: &str, voter: &str, known: &KnownBallot, recorded: &str, votes_per_round: usize) {
        let (acknowledged, possible) = (&known.votes, known.possible());
        let what = if !recorded.starts_with(acknowledged.as_str()) {
            if acknowledged.starts_with(recorded) { "acknowledged votes are LOST" } else { "votes were CHANGED" }
        } else if !possible.starts_with(recorded) {
            if recorded.starts_with(&possible) { "there are MORE votes than were cast" } else { "votes are FOREIGN" }
        } else if recorded.len() > votes_per_round {
            "the budget is EXCEEDED"
        } else {
            return;
        };
        self.differs(format!(
            "{place}: {voter}: {what}: acknowledged \"{acknowledged}\", at most \"{possible}\", on record \"{recorded}\""
        ));
    }

    /// Compares the ranking, and the places that phones were sent, with the places that the ballots give.
    fn check_ranking(&mut self, clients: &[ClientRecord], export: &Export) {
        let expected = places(export);
        self.places = expected.len();
        if export.ranking.len() != expected.len() {
            let (ranked, voted) = (export.ranking.len(), expected.len());
            self.differs(format!("the ranking has {ranked} places, and {voted} voters have voted"));
        }
        for entry in &export.ranking {
            let found = (entry.place, entry.score, entry.time_ms);
            let right = expected.get(entry.voter.as_str());
            if right != Some(&found) {
                self.differs(format!(
                    "ranking: {} has place, score and time {found:?}, and should have {right:?}",
                    entry.voter
                ));
            }
        }
        for client in clients {
            let Some(standing) = client.standing else { continue };
            self.standings += 1;
            let right = expected.get(client.voter.as_str());
            if right.is_none_or(|(place, score, _)| (*place, *score) != (standing.place, standing.score)) {
                self.differs(format!("{}: was told {standing:?}, and has {right:?}", client.name));
            }
        }
    }
}

/// Place, score and time of everybody with a vote, computed from the ballots.
fn places(export: &Export) -> HashMap<&str, (u32, u64, u64)> {
    let mut scores: HashMap<&str, (u64, u64)> = HashMap::new();
    for take in export.rounds.iter().flat_map(|round| &round.takes).filter(|take| take.counted) {
        let Some(record) = &take.record else { continue };
        let best = record.votes.iter().max().copied().unwrap_or(0);
        let mut leaders = (b'a'..).zip(&record.votes).filter(|(_, votes)| **votes == best && best > 0);
        // a tie has no winner
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
    order.sort_by_key(|(voter, (score, time))| (Reverse(*score), *time, *voter));
    let mut places = HashMap::new();
    let mut place = 0;
    for (position, (voter, (score, time))) in order.iter().enumerate() {
        if position == 0 || order[position - 1].1 != (*score, *time) {
            place = position as u32 + 1;
        }
        places.insert(*voter, (place, *score, *time));
    }
    places
}

fn count(by_choice: &mut [u64], votes: &str) {
    for letter in votes.bytes() {
        if let Some(count) = by_choice.get_mut(usize::from(letter.wrapping_sub(b'a'))) {
            *count += 1;
        }
    }
}

impl AuditRow {
    fn add_known(&mut self, known: &KnownBallot) {
        count(&mut self.acknowledged, &known.votes);
        count(&mut self.unknown, &known.possible()[known.votes.len()..]);
    }
}

#[cfg(test)]
mod tests;
