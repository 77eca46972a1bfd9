//! The rules of the game once more, written from the protocol and without the server's code: from the
//! ballots that clients were told to tallies, winners and records. `ranking` continues from there.
//! Everything the server says about an evening is compared with this.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A take of a round: the number of the round, and that of the take.
pub type TakeId = (u32, u32);

#[derive(Default)]
pub struct Reference {
    /// Number of choices by round.
    pub choices: BTreeMap<u32, usize>,
    /// The ballots by take and voter, as the voters were told them.
    pub ballots: BTreeMap<TakeId, BTreeMap<String, String>>,
    /// For each ballot its `time_ms`; filled in from the export, see `check_times`.
    pub times: BTreeMap<(TakeId, String), i64>,
    /// The take that counts, by round; only rounds that were closed in it.
    pub counted: BTreeMap<u32, u32>,
    /// Rounds that the emcee decided: the winning letter, or none for a draw.
    pub decided: BTreeMap<u32, Option<char>>,
    /// Names by voter.
    pub names: BTreeMap<String, String>,
    pub removed: BTreeSet<String>,
}

impl Reference {
    /// A ballot as a voter was told it. An empty one is ignored.
    pub fn add(&mut self, take_id: TakeId, voter: &str, votes: &str) {
        let ballots = self.ballots.entry(take_id).or_default();
        if !votes.is_empty() {
            ballots.insert(voter.to_owned(), votes.to_owned());
        }
    }

    pub fn ballots_of(&self, take_id: TakeId) -> BTreeMap<String, String> {
        self.ballots.get(&take_id).cloned().unwrap_or_default()
    }

    /// Votes by choice.
    pub fn tally(&self, take_id: TakeId) -> Vec<u64> {
        let mut tally = vec![0; self.choices[&take_id.0]];
        for letter in self.ballots_of(take_id).values().flat_map(|votes| votes.bytes()) {
            tally[usize::from(letter - b'a')] += 1;
        }
        tally
    }

    /// The letter with strictly most votes, unless the emcee decided otherwise; none is a draw.
    pub fn winner(&self, round: u32) -> Option<char> {
        if let Some(decision) = self.decided.get(&round) {
            return *decision;
        }
        let tally = self.tally((round, self.counted[&round]));
        let most = *tally.iter().max().expect("a round has choices");
        let mut leaders = ('a'..).zip(&tally).filter(|(_, votes)| **votes == most);
        let first = leaders.next().map(|(letter, _)| letter);
        if leaders.next().is_some() { None } else { first }
    }

    /// Compares every ballot of an export with what the voters were told, and takes over the times.
    /// Catches lost, doubled, altered and invented votes, and votes put down to the wrong take.
    pub fn check_export(&mut self, export: &Value) {
        let mut seen = BTreeSet::new();
        for round in array(export, "rounds") {
            for take in array(round, "takes") {
                let take_id = (number(round, "round"), number(take, "take"));
                seen.insert(take_id);
                let mut exported = BTreeMap::new();
                for ballot in array(take, "ballots") {
                    let (voter, votes) = (text(ballot, "voter"), text(ballot, "votes"));
                    let time = ballot["time_ms"].as_i64().unwrap_or_else(|| panic!("no time_ms in {ballot}"));
                    self.times.insert((take_id, voter.clone()), time);
                    assert!(exported.insert(voter, votes).is_none(), "{take_id:?}: two ballots of one voter: {ballot}");
                }
                let told = self.ballots_of(take_id);
                for (voter, votes) in &told {
                    assert_eq!(exported.get(voter), Some(votes), "{take_id:?}: {voter}: stored (left), told (right)");
                }
                exported.retain(|voter, votes| !votes.is_empty() && !told.contains_key(voter));
                assert!(exported.is_empty(), "{take_id:?}: ballots nobody was told of: {exported:?}");
                let counts = self.counted.get(&take_id.0) == Some(&take_id.1);
                if self.counted.contains_key(&take_id.0) {
                    assert_eq!(take["counted"], counts, "{take_id:?}: counted");
                }
                if take["record"].is_object() {
                    self.check_record(take_id, &take["record"]);
                }
            }
        }
        for (take_id, ballots) in &self.ballots {
            assert!(ballots.is_empty() || seen.contains(take_id), "{take_id:?} is not in the export");
        }
    }

    /// The record of a close: counts, voters, times in order.
    fn check_record(&self, take_id: TakeId, record: &Value) {
        let voters = self.ballots_of(take_id).len();
        assert_eq!(record["votes"], json!(self.tally(take_id)), "{take_id:?}: votes in {record}");
        assert_eq!(record["voters"], voters, "{take_id:?}: voters in {record}");
        let (opened, closed) = (record["opened_at"].as_i64(), record["closed_at"].as_i64());
        assert!(opened.is_some() && opened <= closed, "{take_id:?}: times in {record}");
    }

    /// A ballot's time lies within its round, and between the moments at which its voter first sent
    /// the last cast and was told of it. `slack_ms` covers gates that open one after another.
    pub fn check_time(&self, take_id: TakeId, voter: &str, record: &Value, told_between: (i64, i64), slack_ms: i64) {
        let time = self.times[&(take_id, voter.to_owned())];
        let opened = record["opened_at"].as_i64().expect("checked with the record");
        let closed = record["closed_at"].as_i64().expect("checked with the record");
        let what = format!("{take_id:?}: {voter}: time_ms {time} of a round from {opened} to {closed}");
        assert!((0..=closed - opened).contains(&time), "{what}");
        let (first, last) = (told_between.0 - opened - slack_ms, told_between.1 - opened + slack_ms);
        assert!((first..=last).contains(&time), "{what}, by the voter's clock from {first} to {last}");
    }

    /// Compares a room as the emcee sees it: tallies, voters, winners, who decided.
    pub fn check_room(&self, room: &Value) {
        for (&round, &take) in &self.counted {
            let seen = super::emcee::round(room, round);
            let what = format!("round {round}: {seen}");
            assert_eq!((seen["take"].as_u64(), seen["phase"].as_str()), (Some(take.into()), Some("closed")), "{what}");
            let tally = self.tally((round, take));
            assert_eq!(seen["tally"]["votes"], json!(tally), "{what}");
            assert_eq!(seen["tally"]["total"], tally.iter().sum::<u64>(), "{what}");
            assert_eq!(seen["tally"]["voters"], self.ballots_of((round, take)).len(), "{what}");
            assert_eq!(seen.get("winner"), Some(&json!(self.winner(round))), "{what}");
            let decided_by = if self.decided.contains_key(&round) { "emcee" } else { "votes" };
            assert_eq!(seen["decided_by"], decided_by, "{what}");
        }
    }

    /// Compares the audit: every take, what was published, and the server's own recount.
    pub fn check_audit(&self, audit: &Value) {
        assert_eq!(audit["ok"], true, "the audit: {audit}");
        let mut missing: BTreeSet<TakeId> = self.ballots.keys().copied().collect();
        for round in array(audit, "rounds") {
            let take_id = (number(round, "round"), number(round, "take"));
            missing.remove(&take_id);
            let tally = json!(self.tally(take_id));
            assert_eq!((&round["tally"], &round["recount"]), (&tally, &tally), "{take_id:?} in the audit: {round}");
            assert_eq!(round["voters"], self.ballots_of(take_id).len(), "{take_id:?} in the audit: {round}");
        }
        assert!(missing.is_empty(), "takes that the audit lacks: {missing:?}");
    }
}

/// The record of a take in an export.
pub fn record(export: &Value, take_id: TakeId) -> &Value {
    let rounds = array(export, "rounds");
    let round = rounds.iter().find(|round| round["round"] == take_id.0);
    let takes = round.map(|round| array(round, "takes").iter());
    let take = takes.and_then(|mut takes| takes.find(|take| take["take"] == take_id.1));
    let found = take.unwrap_or_else(|| panic!("{take_id:?} is not in the export"));
    assert!(found["record"].is_object(), "{take_id:?} has no record: {found}");
    &found["record"]
}

/// The ballots of a take in an export, by voter; empty if it is not there.
pub fn exported_ballots(export: &Value, take_id: TakeId) -> BTreeMap<String, String> {
    let mut ballots = BTreeMap::new();
    for round in array(export, "rounds").iter().filter(|round| round["round"] == take_id.0) {
        for take in array(round, "takes").iter().filter(|take| take["take"] == take_id.1) {
            for ballot in array(take, "ballots") {
                ballots.insert(text(ballot, "voter"), text(ballot, "votes"));
            }
        }
    }
    ballots
}

#[track_caller]
pub fn array<'a>(value: &'a Value, field: &str) -> &'a Vec<Value> {
    value[field].as_array().unwrap_or_else(|| panic!("{field} is not a list in {value}"))
}

#[track_caller]
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is not a text in {value}")).to_owned()
}

#[track_caller]
pub fn number(value: &Value, field: &str) -> u32 {
    let number = value[field].as_u64().and_then(|number| u32::try_from(number).ok());
    number.unwrap_or_else(|| panic!("{field} is not a count in {value}"))
}
