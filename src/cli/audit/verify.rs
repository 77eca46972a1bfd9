//! Verifies an export alone: counts, records, winners, ranking and seals are computed again from its ballots.
//!
//! Nothing in the file is taken for granted but the ballots; and these must be the sealed ones. What remains is that the
//! whole file was written anew, with other seals: therefore a seal is shown to everybody when it is made.

use std::collections::HashSet;

use super::export::{Export, Record, Round, RoundView, Take};
use super::ranking::check_ranking;
use crate::domain::ballot::Ballot;
use crate::domain::gate::Tally;
use crate::domain::ids::VoterId;
use crate::domain::room::{letter, most_votes};
use crate::domain::seal::{Contents, Digest, Tree, leaf};

/// What was found.
#[derive(Debug)]
pub struct Findings {
    /// Every take, in the order of the file.
    pub takes: Vec<TakeFindings>,
    /// What is wrong, in words.
    pub faults: Vec<String>,
}

/// What was found of one take.
#[derive(Debug)]
pub struct TakeFindings {
    pub round: u16,
    pub take: u16,
    /// Votes by choice, as on record. `None` while the take is open.
    pub tally: Option<Vec<u64>>,
    /// Votes by choice, as counted from the ballots.
    pub recount: Vec<u64>,
    /// Voters with a vote in their ballot.
    pub voters: u64,
    /// The seal, if it is the one of record and ballots.
    pub seal: Option<Digest>,
    /// True if nothing is wrong with this take.
    pub is_exact: bool,
}

impl TakeFindings {
    /// True if the take is closed, and its seal was not made yet.
    pub fn lacks_seal(&self) -> bool {
        self.tally.is_some() && self.is_exact && self.seal.is_none()
    }
}

/// Verifies an export.
pub fn verify(export: &Export) -> Findings {
    let mut faults = vec![];
    let mut voters = HashSet::new();
    for line in &export.voters {
        if !voters.insert(&line.voter) {
            faults.push(format!("the voter {} is listed twice", line.voter));
        }
    }
    let mut takes = vec![];
    for round in &export.rounds {
        let Some(view) = export.room.rounds.iter().find(|view| view.round == round.round) else {
            faults.push(format!("round {} is not one of the room", round.round));
            continue;
        };
        for take in &round.takes {
            let mut check = TakeCheck { of: format!("round {}, take {}", round.round, take.take), faults: vec![] };
            takes.push(check.run(export, view, take, &voters));
            faults.append(&mut check.faults);
        }
        check_round(round, view, &mut faults);
    }
    for view in &export.room.rounds {
        if !export.rounds.iter().any(|round| round.round == view.round) {
            faults.push(format!("round {} is missing", view.round));
        }
    }
    check_chain(export, &mut faults);
    check_ranking(export, &mut faults);
    Findings { takes, faults }
}

/// The check of one take.
struct TakeCheck {
    /// The take, for people.
    of: String,
    faults: Vec<String>,
}

impl TakeCheck {
    fn must(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(format!("{}: {}", self.of, fault()));
        }
    }

    fn run(&mut self, export: &Export, view: &RoundView, take: &Take, voters: &HashSet<&VoterId>) -> TakeFindings {
        let choices = view.choices.len();
        let mut seen = HashSet::new();
        for ballot in &take.ballots {
            let (voter, votes) = (&ballot.voter, &ballot.votes);
            self.must(seen.insert(voter), || format!("{voter} has two ballots"));
            self.must(voters.contains(voter), || format!("{voter} has a ballot and is not a voter of the room"));
            let known = |byte: u8| byte.checked_sub(b'a').is_some_and(|index| usize::from(index) < choices);
            self.must(votes.bytes().all(known), || format!("{voter} voted {votes:?}, which has a letter of no choice"));
            let most = export.room.votes_per_round;
            self.must(votes.len() <= most, || format!("{voter} has {} votes, and {most} are the most", votes.len()));
        }
        let Tally { votes, voters, .. } =
            Tally::count(choices, take.ballots.iter().map(|ballot| ballot.votes.as_str()));
        self.must(take.counted == (view.take == take.take), || {
            "the file contradicts itself on whether it counts".into()
        });
        let mut seal = None;
        match &take.record {
            Some(record) => {
                self.must((&record.votes, record.voters) == (&votes, voters), || {
                    let on_record = format!("{:?} of {} voters are on record", record.votes, record.voters);
                    format!("{on_record}, and the ballots say {votes:?} of {voters}")
                });
                let longest = record.closed_at.checked_sub(record.opened_at);
                self.must(longest.is_some(), || "it was closed before it was opened".into());
                for ballot in
                    take.ballots.iter().filter(|ballot| longest.is_some_and(|longest| ballot.time_ms > longest))
                {
                    self.must(false, || format!("{} voted after the close", ballot.voter));
                }
                seal = self.seal(view.round, take, record);
            }
            None => {
                let is_open = view.phase == "open" && view.take == take.take;
                self.must(is_open, || "it has no record, and is not open".into());
            }
        }
        TakeFindings {
            round: view.round,
            take: take.take,
            tally: take.record.as_ref().map(|record| record.votes.clone()),
            recount: votes,
            voters,
            seal,
            is_exact: self.faults.is_empty(),
        }
    }

    /// The seal, if there is one and it fits.
    fn seal(&mut self, round: u16, take: &Take, record: &Record) -> Option<Digest> {
        let Record { seal, seal_number, leaves, root, previous, .. } = record;
        let (Some(seal), Some(number), Some(leaves), Some(root)) = (*seal, *seal_number, *leaves, *root) else {
            let is_none = seal.is_none() && seal_number.is_none() && leaves.is_none() && root.is_none();
            self.must(is_none && previous.is_none(), || "its seal is not complete".into());
            return None;
        };
        let mut sealed: Vec<_> = take.ballots.iter().filter(|ballot| !ballot.votes.is_empty()).collect();
        sealed.sort_by_key(|ballot| &ballot.voter);
        let mut hashes = vec![];
        for ballot in sealed {
            let Some(salt) = ballot.salt else {
                self.must(false, || format!("the ballot of {} has no salt", ballot.voter));
                continue;
            };
            let cast = Ballot { votes: ballot.votes.clone(), time_ms: ballot.time_ms };
            hashes.push(leaf(salt, &ballot.voter, &cast));
        }
        let tree = Tree::new(hashes);
        let fits = (tree.root(), tree.size()) == (root, leaves);
        self.must(fits, || "the ballots are not those that were sealed".into());
        let contents = Contents {
            number,
            round,
            take: take.take,
            votes: &record.votes,
            voters: record.voters,
            opened_at: record.opened_at,
            closed_at: record.closed_at,
            by: &record.by,
            leaves,
            root,
            previous: *previous,
        };
        let is_sealed = contents.seal() == seal;
        self.must(is_sealed, || "the record is not the one that was sealed".into());
        (fits && is_sealed).then_some(seal)
    }
}

/// True if two copies of a record agree. A seal may have been added between the two.
fn is_same(one: &Record, other: &Record) -> bool {
    let without_seal = |record: &Record| Record {
        seal: None,
        previous: None,
        seal_number: None,
        leaves: None,
        root: None,
        ..record.clone()
    };
    one == other || (one.seal.is_none() || other.seal.is_none()) && without_seal(one) == without_seal(other)
}

/// Checks a round of the room against its takes: counts, takes and winner.
fn check_round(round: &Round, view: &RoundView, faults: &mut Vec<String>) {
    let mut must = |holds: bool, fault: &str| {
        if !holds {
            faults.push(format!("round {}: {fault}", view.round));
        }
    };
    let mut numbers = HashSet::new();
    must(round.takes.iter().all(|take| numbers.insert(take.take)), "a take is there twice");
    let closed =
        |number: u16| round.takes.iter().find(|take| take.take == number).and_then(|take| take.record.as_ref());
    let same = view.takes.iter().all(|take| {
        let record = closed(take.take);
        take.counted == (take.take == view.take) && record.is_some_and(|record| is_same(record, &take.record))
    });
    let count = round.takes.iter().filter(|take| take.record.is_some()).count();
    must(same && count == view.takes.len(), "the room shows other records than its takes have");
    let Some(record) = closed(view.take) else {
        must(view.phase != "closed", "it is closed without a record");
        must(view.winner.is_none(), "it has a winner and is not closed");
        return;
    };
    must(view.phase == "closed", "it has a record and is not closed");
    let tally = view.tally.as_ref();
    let shown = tally.is_some_and(|tally| {
        (&tally.votes, tally.voters, tally.total) == (&record.votes, record.voters, record.votes.iter().sum())
    });
    must(shown, "the room shows other counts than the record has");
    must(
        view.seal.is_none() || record.seal.is_none() || view.seal == record.seal,
        "the room shows another seal than the record has",
    );
    let by_votes = most_votes(&record.votes).map(letter);
    let known = |winner: char| (0..view.choices.len()).any(|index| letter(index as u8) == winner);
    match (view.winner, view.decided_by.as_deref()) {
        (Some(winner), Some("votes")) => must(winner == by_votes, "its winner is not the one of the votes"),
        (Some(winner), Some("emcee")) => must(winner.is_none_or(known), "its winner is not one of its choices"),
        _ => must(false, "its winner is missing"),
    }
}

/// Checks that the seals follow each other in the order of the closes, and that no closed take before the last sealed one
/// lacks its seal.
fn check_chain(export: &Export, faults: &mut Vec<String>) {
    let takes = || export.rounds.iter().flat_map(|round| round.takes.iter().map(move |take| (round.round, take)));
    let closed = || takes().filter_map(|(round, take)| Some((round, take.take, take.record.as_ref()?)));
    let mut sealed: Vec<_> = closed().filter(|(_, _, record)| record.seal.is_some()).collect();
    sealed.sort_by_key(|(_, _, record)| record.seal_number);
    let mut before: Option<&Record> = None;
    for ((round, take, record), number) in sealed.iter().zip(1..) {
        let mut must = |holds: bool, fault: String| {
            if !holds {
                faults.push(format!("round {round}, take {take}: {fault}"));
            }
        };
        must(
            record.seal_number == Some(number),
            format!("it must have seal number {number}: one is missing or there twice"),
        );
        let follows = record.previous == before.and_then(|before| before.seal);
        must(follows, "its seal does not follow the one before".into());
        let in_order = before.is_none_or(|before| before.closed_at <= record.closed_at);
        must(in_order, "it was closed before the take whose seal its own follows".into());
        before = Some(record);
    }
    let last = before.map(|last| last.closed_at);
    for (round, take, record) in closed().filter(|(_, _, record)| record.seal.is_none()) {
        if last.is_some_and(|last| record.closed_at < last) {
            faults
                .push(format!("round {round}, take {take}: it has no seal, and a take that was closed later has one"));
        }
    }
}

#[cfg(test)]
mod tests;
