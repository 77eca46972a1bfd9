use std::cmp::Ordering;

use super::*;
use crate::voter::ballots::Cast;
use crate::wire::Standing;

fn book(voter: &str, acknowledged: &str, unknown: &str) -> Book {
    let cast = Cast { slip: acknowledged.len() + 1, votes: unknown.into() };
    let told = Told { votes: acknowledged.into(), unknown: (!unknown.is_empty()).then_some(cast) };
    Book { voter: voter.into(), name: format!("name-{voter}"), takes: vec![((1, 1), told)], standing: None }
}

/// A room in which these ballots are on record, with everything else as it has to be.
fn export(ballots: &[(&str, &str)]) -> Export {
    let mut votes = vec![0, 0];
    ballots.iter().for_each(|(_, ballot)| count(&mut votes, ballot));
    let winner = match votes[0].cmp(&votes[1]) {
        Ordering::Greater => Some('a'),
        Ordering::Less => Some('b'),
        Ordering::Equal => None,
    };
    let mut ranking: Vec<_> = ballots
        .iter()
        .filter(|(_, ballot)| !ballot.is_empty())
        .map(|(voter, ballot)| {
            let score = ballot.chars().filter(|letter| Some(*letter) == winner).count() as u64;
            Place { place: 0, voter: (*voter).into(), score, time_ms: if score > 0 { 10 } else { 0 } }
        })
        .collect();
    ranking.sort_by_key(|entry| std::cmp::Reverse(entry.score));
    for i in 0..ranking.len() {
        let shared = i > 0 && ranking[i - 1].score == ranking[i].score;
        ranking[i].place = if shared { ranking[i - 1].place } else { i as u32 + 1 };
    }
    let ballot =
        |(voter, votes): &(&str, &str)| ExportBallot { voter: (*voter).into(), votes: (*votes).into(), time_ms: 10 };
    let take = ExportTake {
        take: 1,
        counted: true,
        record: Some(Record { votes, voters: ballots.iter().filter(|(_, ballot)| !ballot.is_empty()).count() as u64 }),
        ballots: ballots.iter().map(ballot).collect(),
    };
    Export {
        voters: ["x", "y"].map(|voter| ExportVoter { voter: voter.into(), name: format!("name-{voter}") }).into(),
        rounds: vec![ExportRound { round: 1, takes: vec![take] }],
        ranking,
    }
}

fn judge(books: &[Book], export: &Export) -> Audit {
    audit(books, export, &Recount { ok: true }, 5)
}

fn told(books: &[Book], export: &Export) -> String {
    let audit = judge(books, export);
    assert!(!audit.exact);
    audit.told.join("\n")
}

#[test]
fn what_agrees_is_exact() {
    let books = [book("x", "aab", ""), book("y", "b", "ab")];
    for on_record in ["b", "ba", "bab"] {
        let audit = judge(&books, &export(&[("x", "aab"), ("y", on_record)]));
        assert!(audit.exact, "{on_record}: {:?}", audit.told);
        assert_eq!(audit.rounds[0].acknowledged, [2, 2]);
        assert_eq!(audit.rounds[0].unknown, [1, 1]);
    }
}

#[test]
fn a_lost_vote_is_found() {
    let books = [book("x", "aab", ""), book("y", "b", "")];
    assert!(told(&books, &export(&[("x", "aa"), ("y", "b")])).contains("x: acknowledged votes are LOST"));
    assert!(told(&books, &export(&[("x", "aab")])).contains("y: acknowledged votes are LOST"));
}

#[test]
fn a_doubled_vote_is_found() {
    let books = [book("x", "a", "b"), book("y", "", "")];
    assert!(told(&books, &export(&[("x", "abb")])).contains("MORE votes than were cast"));
}

#[test]
fn a_foreign_vote_is_found() {
    let books = [book("x", "a", "bb")];
    assert!(told(&books, &export(&[("x", "aba")])).contains("FOREIGN"));
    assert!(told(&books, &export(&[("x", "a"), ("y", "a")])).contains("y: there are MORE"));
    assert!(told(&books, &export(&[("x", "b")])).contains("CHANGED"));
}

#[test]
fn a_record_that_differs_from_its_ballots_is_found() {
    let books = [book("x", "aab", "")];
    let mut export = export(&[("x", "aab")]);
    export.rounds[0].takes[0].record = Some(Record { votes: vec![3, 1], voters: 1 });
    assert!(told(&books, &export).contains("the record says [3, 1], the ballots hold [2, 1]"));
    export.rounds[0].takes[0].record = None;
    assert!(told(&books, &export).contains("is not closed"));
}

#[test]
fn an_exceeded_budget_is_found() {
    let books = [book("x", "aaaaaa", "")];
    assert!(told(&books, &export(&[("x", "aaaaaa")])).contains("EXCEEDED"));
}

#[test]
fn a_wrong_place_is_found() {
    let books = [book("x", "aab", ""), book("y", "b", "")];
    let mut export = export(&[("x", "aab"), ("y", "b")]);
    export.ranking[0].place = 2;
    assert!(told(&books, &export).contains("ranking: "));
    export.ranking.remove(0);
    assert!(told(&books, &export).contains("the ranking has 1 places"));
}

#[test]
fn a_place_told_to_the_wrong_phone_is_found() {
    let mut books = [book("x", "aaa", ""), book("y", "b", "")];
    let export = export(&[("x", "aaa"), ("y", "b")]);
    books[0].standing = Some(Standing { place: 1, score: 3 });
    assert!(judge(&books, &export).exact);
    books[1].standing = Some(Standing { place: 1, score: 3 });
    assert!(told(&books, &export).contains("name-y: was told"));
}

#[test]
fn a_recount_that_fails_is_a_difference() {
    let books = [book("x", "a", "")];
    let audit = audit(&books, &export(&[("x", "a")]), &Recount { ok: false }, 5);
    assert_eq!(audit.differences, 1);
}
