use std::cmp::Ordering;

use client::protocol::Standing;
use client::voter::Cast;

use super::*;

fn client(voter: &str, acknowledged: &str, unknown: &str) -> ClientRecord {
    let cast = Cast { slip: acknowledged.len() + 1, votes: unknown.into() };
    let known = KnownBallot { votes: acknowledged.into(), unknown: (!unknown.is_empty()).then_some(cast) };
    ClientRecord { voter: voter.into(), name: format!("name-{voter}"), ballots: vec![((1, 1), known)], standing: None }
}

/// A room with these ballots on record and everything else correct.
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

fn judge(clients: &[ClientRecord], export: &Export) -> Audit {
    audit(clients, export, &Recount { ok: true }, 5)
}

fn told(clients: &[ClientRecord], export: &Export) -> String {
    let audit = judge(clients, export);
    assert!(!audit.exact);
    audit.told.join("\n")
}

#[test]
fn an_audit_without_differences_is_exact() {
    let clients = [client("x", "aab", ""), client("y", "b", "ab")];
    for on_record in ["b", "ba", "bab"] {
        let audit = judge(&clients, &export(&[("x", "aab"), ("y", on_record)]));
        assert!(audit.exact, "{on_record}: {:?}", audit.told);
        assert_eq!(audit.rounds[0].acknowledged, [2, 2]);
        assert_eq!(audit.rounds[0].unknown, [1, 1]);
    }
}

#[test]
fn a_lost_vote_is_found() {
    let clients = [client("x", "aab", ""), client("y", "b", "")];
    assert!(told(&clients, &export(&[("x", "aa"), ("y", "b")])).contains("x: acknowledged votes are LOST"));
    assert!(told(&clients, &export(&[("x", "aab")])).contains("y: acknowledged votes are LOST"));
}

#[test]
fn a_doubled_vote_is_found() {
    let clients = [client("x", "a", "b"), client("y", "", "")];
    assert!(told(&clients, &export(&[("x", "abb")])).contains("MORE votes than were cast"));
}

#[test]
fn a_foreign_vote_is_found() {
    let clients = [client("x", "a", "bb")];
    assert!(told(&clients, &export(&[("x", "aba")])).contains("FOREIGN"));
    assert!(told(&clients, &export(&[("x", "a"), ("y", "a")])).contains("y: there are MORE"));
    assert!(told(&clients, &export(&[("x", "b")])).contains("CHANGED"));
}

#[test]
fn a_record_that_differs_from_its_ballots_is_found() {
    let clients = [client("x", "aab", "")];
    let mut export = export(&[("x", "aab")]);
    export.rounds[0].takes[0].record = Some(Record { votes: vec![3, 1], voters: 1 });
    assert!(told(&clients, &export).contains("the record says [3, 1], the ballots hold [2, 1]"));
    export.rounds[0].takes[0].record = None;
    assert!(told(&clients, &export).contains("is not closed"));
}

#[test]
fn an_exceeded_budget_is_found() {
    let clients = [client("x", "aaaaaa", "")];
    assert!(told(&clients, &export(&[("x", "aaaaaa")])).contains("EXCEEDED"));
}

#[test]
fn a_wrong_place_is_found() {
    let clients = [client("x", "aab", ""), client("y", "b", "")];
    let mut export = export(&[("x", "aab"), ("y", "b")]);
    export.ranking[0].place = 2;
    assert!(told(&clients, &export).contains("ranking: "));
    export.ranking.remove(0);
    assert!(told(&clients, &export).contains("the ranking has 1 places"));
}

#[test]
fn a_place_sent_to_the_wrong_phone_is_found() {
    let mut clients = [client("x", "aaa", ""), client("y", "b", "")];
    let export = export(&[("x", "aaa"), ("y", "b")]);
    clients[0].standing = Some(Standing { place: 1, score: 3 });
    assert!(judge(&clients, &export).exact);
    clients[1].standing = Some(Standing { place: 1, score: 3 });
    assert!(told(&clients, &export).contains("name-y: was told"));
}

#[test]
fn a_recount_that_fails_is_a_difference() {
    let clients = [client("x", "a", "")];
    let audit = audit(&clients, &export(&[("x", "a")]), &Recount { ok: false }, 5);
    assert_eq!(audit.differences, 1);
}
