//! Scores and places.
//!
//! Ties: more votes on winners come first, then less time; otherwise the place is shared: 1, 2, 2, 4. Time counts only
//! in rounds in which the voter scored: voting early for the winner pays, and a wrong vote is not punished twice.

use std::collections::HashMap;

use super::LedgerMs;
use super::ballot::Ballot;
use super::ids::VoterId;
use super::room::letter;

/// The score of a voter over all counted takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// Votes on winners.
    pub score: u64,
    /// Sum of the times in rounds with a score, in ms.
    pub time_ms: LedgerMs,
    /// Round number and votes on its winner, for every round with a ballot.
    pub rounds: Vec<(u16, u16)>,
}

/// Voters who share a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The place, from 1; that of the next group is higher by the size of this group.
    pub place: u32,
    /// Votes on winners.
    pub score: u64,
    /// The tie-breaker, in ms.
    pub time_ms: LedgerMs,
    /// Sorted by id.
    pub voters: Vec<VoterId>,
}

/// Collects ballots, in any order, and ranks their voters.
#[derive(Debug, Default)]
pub struct Scores(HashMap<VoterId, Score>);

impl Scores {
    /// Adds a voter's ballot in the counted take of `round`, which `winner` has won. An empty ballot is ignored.
    pub fn add(&mut self, voter: VoterId, round: u16, winner: Option<u8>, ballot: &Ballot) {
        if ballot.votes.is_empty() {
            return;
        }
        let on_winner = winner.map_or(0, |index| ballot.votes.chars().filter(|vote| *vote == letter(index)).count());
        let score = self.0.entry(voter).or_default();
        if on_winner > 0 {
            score.score += on_winner as u64;
            score.time_ms += ballot.time_ms;
        }
        score.rounds.push((round, on_winner as u16));
    }

    /// Drops a voter: removed voters have no place.
    pub fn remove(&mut self, voter: &VoterId) {
        self.0.remove(voter);
    }

    /// Number of voters who have a place.
    pub fn of(&self) -> u64 {
        self.0.len() as u64
    }

    /// The score of each voter.
    pub fn into_scores(self) -> HashMap<VoterId, Score> {
        self.0
    }

    /// All groups, best first.
    pub fn rank(&self) -> Vec<Group> {
        let mut order: Vec<_> = self.0.iter().collect();
        order.sort_unstable_by(|(a_id, a), (b_id, b)| {
            b.score.cmp(&a.score).then(a.time_ms.cmp(&b.time_ms)).then_with(|| a_id.cmp(b_id))
        });
        let mut groups: Vec<Group> = vec![];
        for (position, (voter, score)) in order.into_iter().enumerate() {
            match groups.last_mut() {
                Some(group) if (group.score, group.time_ms) == (score.score, score.time_ms) => {
                    group.voters.push(voter.clone());
                }
                _ => groups.push(Group {
                    place: position as u32 + 1,
                    score: score.score,
                    time_ms: score.time_ms,
                    voters: vec![voter.clone()],
                }),
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn voter(name: &str) -> VoterId {
        VoterId::parse(name).unwrap()
    }

    fn ballot(votes: &str, time_ms: u64) -> Ballot {
        Ballot { votes: votes.into(), time_ms }
    }

    fn places(scores: &Scores) -> Vec<(u32, Vec<&str>)> {
        let groups = scores.rank();
        let names = groups.into_iter().map(|g| (g.place, g.voters));
        names.map(|(p, v)| (p, v.iter().map(|v| Box::leak(v.to_string().into_boxed_str()) as &str).collect())).collect()
    }

    #[test]
    fn voters_with_equal_score_and_time_share_a_place() {
        let mut scores = Scores::default();
        for (name, votes, time) in [("anna", "aaa", 10), ("bela", "aab", 5), ("cleo", "aba", 5), ("dora", "a", 1)] {
            scores.add(voter(name), 1, Some(0), &ballot(votes, time));
        }
        assert_eq!(places(&scores), [(1, vec!["anna"]), (2, vec!["bela", "cleo"]), (4, vec!["dora"])]);
    }

    #[test]
    fn time_counts_only_where_the_voter_scored() {
        let mut scores = Scores::default();
        scores.add(voter("fast"), 1, Some(0), &ballot("a", 10));
        scores.add(voter("fast"), 2, Some(0), &ballot("bb", 9_000));
        scores.add(voter("slow"), 1, Some(0), &ballot("a", 20));
        assert_eq!(places(&scores), [(1, vec!["fast"]), (2, vec!["slow"])]);
    }

    #[test]
    fn nobody_scores_in_a_draw_but_its_voters_have_a_place() {
        let mut scores = Scores::default();
        scores.add(voter("anna"), 1, None, &ballot("ab", 10));
        scores.add(voter("bela"), 1, None, &ballot("", 0));
        assert_eq!(places(&scores), [(1, vec!["anna"])]);
        assert_eq!(scores.of(), 1);
    }

    proptest! {
        /// A place is 1 plus the number of voters strictly ahead, whatever the order of the ballots.
        #[test]
        fn a_place_is_one_more_than_the_voters_ahead(
            ballots in prop::collection::vec((0u8..12, 1u16..4, "[ab]{1,3}", 0u64..4), 0..60),
        ) {
            let mut scores = Scores::default();
            for (name, round, votes, time) in &ballots {
                scores.add(voter(&format!("v{name}")), *round, Some(0), &ballot(votes, *time));
            }
            let groups = scores.rank();
            let all = scores.into_scores();
            for group in &groups {
                for member in &group.voters {
                    let mine = &all[member];
                    let ahead = all.values().filter(|other| {
                        other.score > mine.score || (other.score == mine.score && other.time_ms < mine.time_ms)
                    });
                    prop_assert_eq!(group.place as usize, ahead.count() + 1);
                }
            }
            prop_assert_eq!(groups.iter().map(|g| g.voters.len()).sum::<usize>(), all.len());
        }
    }
}
