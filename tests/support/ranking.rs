//! The ranking and its reveal, from the reference's ballots: PROTOCOL's chapter on ranking in
//! executable form.

use super::reference::{Reference, array, number, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One voter's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    pub place: u32,
    pub voter: String,
    pub name: String,
    pub score: u64,
    pub time_ms: i64,
}

/// All voters who share a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub place: u32,
    pub score: u64,
    pub names: Vec<String>,
}

pub struct Ranking {
    /// Sorted by place, then voter.
    pub placed: Vec<Placed>,
    /// Votes on the winner by voter and round, where above 0.
    pub on_winner: BTreeMap<(String, u32), u64>,
}

impl Ranking {
    pub fn of(evening: &Reference) -> Ranking {
        let mut totals: BTreeMap<String, (u64, i64)> = BTreeMap::new();
        let mut on_winner = BTreeMap::new();
        for (&round, &take) in &evening.counted {
            let winner = evening.winner(round);
            for (voter, votes) in evening.ballots_of((round, take)) {
                let total = totals.entry(voter.clone()).or_default();
                let score = votes.chars().filter(|&letter| Some(letter) == winner).count() as u64;
                if score > 0 {
                    total.0 += score;
                    total.1 += evening.times[&((round, take), voter.clone())];
                    on_winner.insert((voter, round), score);
                }
            }
        }
        totals.retain(|voter, _| !evening.removed.contains(voter));
        let mut placed: Vec<Placed> = Vec::new();
        for (voter, &(score, time_ms)) in &totals {
            // the place is one more than the number of voters who are strictly better
            let better = totals.values().filter(|&&(s, t)| s > score || (s == score && t < time_ms)).count();
            let place = u32::try_from(better + 1).expect("a hall is smaller than that");
            placed.push(Placed { place, voter: voter.clone(), name: evening.names[voter].clone(), score, time_ms });
        }
        placed.sort();
        Ranking { placed, on_winner }
    }

    /// The groups that a reveal of the best `top` shows: best first, whole, with a score above 0.
    pub fn groups(&self, top: u32) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for one in self.placed.iter().filter(|one| one.place <= top && one.score > 0) {
            match groups.last_mut().filter(|group| group.place == one.place) {
                Some(group) => group.names.push(one.name.clone()),
                None => groups.push(Group { place: one.place, score: one.score, names: vec![one.name.clone()] }),
            }
        }
        for group in &mut groups {
            group.names.sort();
        }
        groups
    }

    /// Compares a list of ranking entries; within a shared place any order will do.
    pub fn check_entries(&self, entries: &[Value], top: u32) {
        let mut told: Vec<Placed> = entries
            .iter()
            .map(|entry| Placed {
                place: number(entry, "place"),
                voter: text(entry, "voter"),
                name: text(entry, "name"),
                score: number(entry, "score").into(),
                time_ms: entry["time_ms"].as_i64().unwrap_or(-1),
            })
            .collect();
        let in_order = told.is_sorted_by_key(|entry| entry.place);
        assert!(in_order, "the ranking is not in the order of its places");
        told.sort();
        let due: Vec<Placed> = self.placed.iter().filter(|one| one.place <= top).cloned().collect();
        for (told, due) in told.iter().zip(&due) {
            assert_eq!(told, due, "the ranking: the server's (left), the reference's (right)");
        }
        assert_eq!(told.len(), due.len(), "the number of entries in the ranking");
    }

    /// Compares a `reveal` after the command "place `place`, of the best `top`".
    pub fn check_reveal(&self, reveal: &Value, place: u32, top: u32) {
        let groups = self.groups(top);
        let due: Vec<Group> = groups.iter().filter(|group| group.place >= place).cloned().collect();
        let shown: Vec<Group> = array(reveal, "shown").iter().map(group).collect();
        assert_eq!(shown, due, "shown at place {place} of {top}: the server's (left), the reference's (right)");
        let next = groups.iter().rev().find(|group| group.place < place).map(|group| group.place);
        assert_eq!(reveal["next"], json!(next), "the next place after {place}: {reveal}");
        assert_eq!(reveal["done"], next.is_none(), "done at place {place}: {reveal}");
        assert_eq!(reveal["of"], self.placed.len(), "voters in the ranking: {reveal}");
        assert_eq!((number(reveal, "top"), number(reveal, "place")), (top, place), "{reveal}");
    }

    /// Compares what only the emcee gets: the next three groups.
    pub fn check_preview(&self, preview: &Value, place: u32, top: u32) {
        let groups = self.groups(top);
        let due: Vec<Group> = groups.iter().rev().filter(|group| group.place < place).take(3).cloned().collect();
        let told: Vec<Group> = array(preview, "next").iter().map(group).collect();
        assert_eq!(told, due, "the preview at place {place} of {top}: the server's (left), the reference's (right)");
    }

    /// Compares one voter's own place; a voter without a place gets none.
    pub fn check_standing(&self, voter: &str, standing: Option<&Value>) {
        let Some(due) = self.placed.iter().find(|one| one.voter == voter) else {
            assert!(standing.is_none(), "{voter} has no place and was told {standing:?}");
            return;
        };
        let told = standing.unwrap_or_else(|| panic!("{voter} was not told its place {due:?}"));
        let numbers = (number(told, "place"), u64::from(number(told, "score")), number(told, "of") as usize);
        assert_eq!(numbers, (due.place, due.score, self.placed.len()), "{voter} was told {told}");
        let mut sum = 0;
        for round in array(told, "rounds") {
            let key = (voter.to_owned(), number(round, "round"));
            let on_winner = u64::from(number(round, "on_winner"));
            assert_eq!(on_winner, self.on_winner.get(&key).copied().unwrap_or(0), "{voter} was told {told}");
            sum += on_winner;
        }
        assert_eq!(sum, due.score, "{voter}: the rounds make the score: {told}");
    }
}

fn group(value: &Value) -> Group {
    let mut names: Vec<String> =
        array(value, "names").iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
    names.sort();
    Group { place: number(value, "place"), score: number(value, "score").into(), names }
}
