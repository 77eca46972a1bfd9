//! The ranking of an export, computed again from its ballots.

use std::collections::{HashMap, HashSet};

use super::export::Export;
use crate::domain::ballot::Ballot;
use crate::domain::ids::VoterId;
use crate::domain::ranking::Scores;

/// Most differences that are listed: one wrong winner moves everybody.
const MAX_LISTED: usize = 5;

/// Checks place, score and time of every voter. A removed voter has no place, unless the ranking was frozen before.
pub fn check_ranking(export: &Export, faults: &mut Vec<String>) {
    let mut listed = HashMap::new();
    for ranked in &export.ranking {
        if listed.insert(&ranked.voter, (ranked.place, ranked.score, ranked.time_ms)).is_some() {
            faults.push(format!("the ranking has {} twice", ranked.voter));
        }
    }
    let mut expected = expected(export, &listed);
    let mut wrong = vec![];
    for (voter, found) in &listed {
        match expected.remove(*voter) {
            Some(right) if right == *found => {}
            Some((place, score, time_ms)) => {
                wrong.push(format!(
                    "the ranking is wrong about {voter}: place {place}, score {score}, {time_ms} ms are right"
                ));
            }
            None => wrong.push(format!("the ranking has {voter}, who has no place")),
        }
    }
    wrong.extend(expected.keys().map(|voter| format!("the ranking lacks {voter}")));
    wrong.sort();
    let more = wrong.len().saturating_sub(MAX_LISTED);
    faults.extend(wrong.into_iter().take(MAX_LISTED));
    if more > 0 {
        faults.push(format!("and {more} more places of the ranking are wrong"));
    }
}

type Standing = (u32, u64, u64);

/// Place, score and time of every voter who must be in the ranking.
fn expected(export: &Export, listed: &HashMap<&VoterId, Standing>) -> HashMap<VoterId, Standing> {
    let mut scores = Scores::default();
    for view in &export.room.rounds {
        let round = export.rounds.iter().find(|round| round.round == view.round);
        let counted = round.and_then(|round| round.takes.iter().find(|take| take.take == view.take));
        let Some(take) = counted.filter(|take| take.record.is_some()) else { continue };
        let winner = view.winner.flatten().map(|letter| (letter as u32).wrapping_sub(u32::from('a')) as u8);
        for ballot in &take.ballots {
            let cast = Ballot { votes: ballot.votes.clone(), time_ms: ballot.time_ms };
            scores.add(ballot.voter.clone(), view.round, winner, &cast);
        }
    }
    let is_frozen = export.room.reveal.is_some();
    let removed: HashSet<_> = export.voters.iter().filter(|voter| voter.removed).map(|voter| &voter.voter).collect();
    for voter in removed {
        if !(is_frozen && listed.contains_key(voter)) {
            scores.remove(voter);
        }
    }
    let places = scores.rank().into_iter().flat_map(|group| {
        let standing = (group.place, group.score, group.time_ms);
        group.voters.into_iter().map(move |voter| (voter, standing))
    });
    places.collect()
}
