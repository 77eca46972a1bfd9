//! The round machine over HTTP: what each command does, and when it does not fit.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, lasting, plain_round, round};
use crate::support::reference::{array, record};
use crate::support::voter::{Verdict, Voter};
use crate::support::wall_ms;
use reqwest::Method;
use serde_json::{Value, json};

/// A room of three rounds, the second held, with one voter.
async fn three_rounds(cluster: &Cluster) -> (Emcee, String, Voter) {
    let emcee = cluster.emcee();
    let mut held = plain_round();
    held["split"] = json!("held");
    let rounds = json!([plain_round(), held, plain_round()]);
    let room = emcee.create(json!({"title": "Three", "rounds": rounds})).await;
    let voter = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(30, 0)).await;
    (emcee, room, voter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_goes_from_ready_to_open_to_closed() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, mut voter) = three_rounds(&cluster).await;
    let before = emcee.room(&room).await;
    assert_eq!((&before["phase"], &before["round"]), (&json!("lobby"), &json!(0)), "{before}");
    assert_eq!(round(&before, 1)["phase"], "ready");

    let opened = emcee.open(&room, 1).await;
    assert_eq!((&opened["phase"], &opened["round"]), (&json!("voting"), &json!(1)), "{opened}");
    let first = round(&opened, 1);
    assert_eq!((&first["phase"], &first["take"]), (&json!("open"), &json!(1)), "{first}");
    assert!((first["opened_at"].as_i64().expect("a time") - wall_ms()).abs() < 5_000, "{first}");
    assert!(first["closes_at"].is_null() && first.get("winner").is_none(), "{first}");
    assert_eq!(lasting(&emcee.open(&room, 1).await), lasting(&opened), "open already: unchanged");

    assert_eq!(voter.cast(1, 1, "aab").await, Verdict::Stored);
    let closed = emcee.close(&room, 1).await;
    assert_eq!((&closed["phase"], &closed["round"]), (&json!("between"), &json!(1)), "{closed}");
    let first = round(&closed, 1);
    assert_eq!((&first["phase"], &first["winner"]), (&json!("closed"), &json!("a")), "{first}");
    assert_eq!(first["tally"]["votes"], json!([2, 1]), "{first}");
    assert_eq!(first["shown"], true, "a live round's result is shown: {first}");
    assert_eq!(lasting(&emcee.close(&room, 1).await), lasting(&closed), "closed already: the same record");
    assert_eq!(voter.cast(1, 1, "a").await, Verdict::Refused("closed".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_is_refused_in_every_state_that_does_not_allow_it() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = three_rounds(&cluster).await;
    let open = |n: u32| format!("/rooms/{room}/rounds/{n}/open");
    emcee.open(&room, 1).await;
    emcee.refused(&open(3), json!({}), 409, "another_round_open").await;
    emcee.refused(&open(1), json!({"take": 2}), 409, "other_take").await;
    emcee.close(&room, 1).await;
    emcee.refused(&open(1), json!({}), 409, "already_closed").await;
    emcee.refused(&open(3), json!({"take": 2}), 409, "other_take").await;
    emcee.reveal(&room, json!({"place": 51})).await;
    emcee.refused(&open(3), json!({}), 409, "ranking_shown").await;
    emcee.reveal(&room, json!({"place": null})).await;
    emcee.open(&room, 3).await;
    emcee.close(&room, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_with_seconds_sets_a_deadline_and_the_round_closes_by_itself() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, mut voter) = three_rounds(&cluster).await;
    let opened = emcee.post(&format!("/rooms/{room}/rounds/1/open"), json!({"seconds": 5})).await;
    let (from, to) = (round(&opened, 1)["opened_at"].as_i64(), round(&opened, 1)["closes_at"].as_i64());
    assert_eq!(to.expect("a deadline") - from.expect("a time"), 5_000, "{opened}");
    voter.wait_until("the deadline", |voter| voter.is_over(1, 1)).await;
    let late = wall_ms() - to.expect("a deadline");
    assert!((0..1_500).contains(&late), "told of the close {late} ms after the deadline");
    let export = emcee.export(&room).await;
    assert_eq!(record(&export, (1, 1))["closed_at"].as_i64(), to, "{export}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_can_be_set_moved_and_removed_while_the_round_is_open() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, mut voter) = three_rounds(&cluster).await;
    let path = format!("/rooms/{room}/rounds/1/deadline");
    emcee.refused(&path, json!({"closes_at": wall_ms() + 60_000}), 409, "not_open").await;
    emcee.open(&room, 1).await;
    for ahead in [60_000, 120_000, 30_000] {
        let closes_at = wall_ms() + ahead;
        let answer = emcee.post(&path, json!({"closes_at": closes_at})).await;
        assert_eq!(round(&answer, 1)["closes_at"], closes_at, "{answer}");
    }
    let answer = emcee.post(&path, json!({"closes_at": null})).await;
    assert!(round(&answer, 1)["closes_at"].is_null(), "no deadline: {answer}");
    emcee.post(&path, json!({"closes_at": wall_ms() + 1_000})).await;
    voter.wait_until("the deadline", |voter| voter.is_over(1, 1)).await;
    emcee.refused(&path, json!({"closes_at": wall_ms() + 60_000}), 409, "not_open").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_decide_and_show_are_refused_for_a_round_that_was_never_opened() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = three_rounds(&cluster).await;
    emcee.refused(&format!("/rooms/{room}/rounds/1/close"), json!({}), 409, "not_open").await;
    emcee.refused(&format!("/rooms/{room}/rounds/1/decide"), json!({"winner": "a"}), 409, "not_closed").await;
    emcee.refused(&format!("/rooms/{room}/rounds/2/show"), json!({}), 409, "not_closed").await;
    emcee.open(&room, 2).await;
    emcee.refused(&format!("/rooms/{room}/rounds/2/show"), json!({}), 409, "not_closed").await;
    emcee.refused(&format!("/rooms/{room}/rounds/2/decide"), json!({"winner": "a"}), 409, "not_closed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn take_decide_and_show_are_refused_while_another_round_is_open() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = three_rounds(&cluster).await;
    for n in [1, 2] {
        emcee.open(&room, n).await;
        emcee.close(&room, n).await;
    }
    emcee.open(&room, 3).await;
    emcee.refused(&format!("/rooms/{room}/rounds/1/take"), json!({"take": 2}), 409, "another_round_open").await;
    emcee.refused(&format!("/rooms/{room}/rounds/1/decide"), json!({"winner": "a"}), 409, "another_round_open").await;
    emcee.refused(&format!("/rooms/{room}/rounds/2/show"), json!({}), 409, "another_round_open").await;
    emcee.refused(&format!("/rooms/{room}/rounds/2/open"), json!({}), 409, "another_round_open").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voided_round_runs_again_and_its_first_take_can_be_restored() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, mut voter) = three_rounds(&cluster).await;
    emcee.open(&room, 1).await;
    assert_eq!(voter.cast(1, 1, "aaa").await, Verdict::Stored);
    let voided = emcee.take(&room, 1, 2).await;
    let first = round(&voided, 1);
    assert_eq!((&first["phase"], &first["take"]), (&json!("ready"), &json!(2)), "{first}");
    assert!(first.get("winner").is_none(), "{first}");
    assert_eq!(lasting(&emcee.take(&room, 1, 2).await), lasting(&voided), "said twice, done once");

    emcee.open(&room, 1).await;
    // a fresh ballot in the new take; casts for the old take are answered as a repeat or as stale
    assert_eq!(voter.cast(1, 2, "bb").await, Verdict::Stored);
    let stale = json!({"round": 1, "take": 1, "slip": 4, "votes": "b"});
    let stale = voter.http(&emcee.http, Method::POST, "/votes", Some(&stale)).await.expect(200, "a stale cast");
    assert_eq!(
        (&stale["refused"], &stale["take"], &stale["votes"]),
        (&json!("stale_take"), &json!(2), &json!("bb")),
        "{stale}"
    );
    let repeat = json!({"round": 1, "take": 1, "slip": 2, "votes": "aa"});
    let repeat = voter.http(&emcee.http, Method::POST, "/votes", Some(&repeat)).await.expect(200, "a repeat");
    assert_eq!((&repeat["refused"], &repeat["votes"]), (&Value::Null, &json!("aaa")), "{repeat}");
    let closed = emcee.close(&room, 1).await;
    assert_eq!(round(&closed, 1)["tally"]["votes"], json!([0, 2]), "{closed}");

    let back = emcee.take(&room, 1, 1).await;
    let first = round(&back, 1);
    assert_eq!(
        (&first["phase"], &first["take"], &first["winner"]),
        (&json!("closed"), &json!(1), &json!("a")),
        "{first}"
    );
    assert_eq!(first["tally"]["votes"], json!([3, 0]), "{first}");
    let export = emcee.export(&room).await;
    let takes = array(&array(&export, "rounds")[0], "takes");
    let counted: Vec<(u64, bool)> = takes
        .iter()
        .map(|take| (take["take"].as_u64().expect("a number"), take["counted"].as_bool().expect("yes or no")))
        .collect();
    assert_eq!(counted, [(1, true), (2, false)], "both stay on record, one counts: {export}");
    assert_eq!(emcee.audit(&room).await["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_that_is_neither_the_next_nor_an_earlier_one_is_refused_and_closes_nothing() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = three_rounds(&cluster).await;
    emcee.open(&room, 1).await;
    for phase in ["open", "closed"] {
        for take in [3, 99] {
            let body = json!({"take": take});
            let answer = emcee.call(Method::POST, &format!("/rooms/{room}/rounds/1/take"), Some(&body)).await;
            assert!([409, 422].contains(&answer.status), "take {take}: {} {}", answer.status, answer.text);
            let after = emcee.room(&room).await;
            let first = round(&after, 1);
            assert_eq!((&first["take"], &first["phase"]), (&json!(1), &json!(phase)), "after take {take}: {first}");
        }
        emcee.close(&room, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emcee_decides_a_draw_and_can_return_to_the_votes() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, mut voter) = three_rounds(&cluster).await;
    emcee.open(&room, 1).await;
    assert_eq!(voter.cast(1, 1, "abab").await, Verdict::Stored);
    let closed = emcee.close(&room, 1).await;
    assert_eq!(round(&closed, 1).get("winner"), Some(&Value::Null), "equal is a draw: {closed}");
    for (winner, by) in
        [(json!("b"), "emcee"), (json!("a"), "emcee"), (Value::Null, "emcee"), (json!("votes"), "votes")]
    {
        let decided = emcee.decide(&room, 1, winner.clone()).await;
        let due = if winner == "votes" { Value::Null } else { winner };
        assert_eq!(round(&decided, 1).get("winner"), Some(&due), "{decided}");
        assert_eq!(round(&decided, 1)["decided_by"], by, "{decided}");
    }
    let path = format!("/rooms/{room}/rounds/1/decide");
    emcee.refused(&path, json!({"winner": "c"}), 422, "bad_request").await;
    emcee.reveal(&room, json!({"place": 1})).await;
    emcee.refused(&format!("/rooms/{room}/rounds/1/decide"), json!({"winner": "b"}), 409, "ranking_shown").await;
    emcee.refused(&format!("/rooms/{room}/rounds/1/take"), json!({"take": 2}), 409, "ranking_shown").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reveal_needs_a_closed_round_no_open_round_and_no_held_result() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = three_rounds(&cluster).await;
    let path = format!("/rooms/{room}/reveal");
    let refused = |answer: crate::support::http::Answer, code: &str| answer.expect_problem(409, code, "PUT reveal");
    let body = json!({"place": 51});
    refused(emcee.call(Method::PUT, &path, Some(&body)).await, "nothing_closed");
    emcee.open(&room, 2).await;
    refused(emcee.call(Method::PUT, &path, Some(&body)).await, "round_open");
    emcee.close(&room, 2).await;
    refused(emcee.call(Method::PUT, &path, Some(&body)).await, "not_shown");
    let shown = emcee.show(&room, 2).await;
    assert_eq!(round(&shown, 2)["shown"], true, "{shown}");
    assert_eq!(lasting(&emcee.show(&room, 2).await), lasting(&shown), "said twice, done once");
    let answer = emcee.reveal(&room, body).await;
    assert!(answer["reveal"].is_object() && answer["preview"]["next"].is_array(), "{answer}");
    emcee.reveal(&room, json!({"place": 1})).await;
    assert_eq!(emcee.room(&room).await["phase"], "finished", "nobody voted, and all of it is shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reveal_shows_shared_places_together_and_can_step_back() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Groups", 1).await;
    // places: one with 3 votes, one with 2, one with 1, and one without a vote on the winner
    let mut voters = Vec::new();
    emcee.open(&room, 1).await;
    for (number, votes) in ["aaa", "aa", "a", "b"].into_iter().enumerate() {
        let mut voter =
            Voter::join(&emcee.http, &cluster.addresses(), &room, &format!("V{number}"), dice(31, number as u64)).await;
        assert_eq!(voter.cast(1, 1, votes).await, Verdict::Stored);
        voters.push(voter);
    }
    emcee.close(&room, 1).await;
    let names = |answer: &Value| -> Vec<String> {
        array(&answer["reveal"], "shown")
            .iter()
            .map(|group| group["names"][0].as_str().expect("a name").to_owned())
            .collect()
    };
    for (place, due, phase) in [
        (51, vec![], "reveal"),
        (3, vec!["V2"], "reveal"),
        (2, vec!["V1", "V2"], "reveal"),
        (1, vec!["V0", "V1", "V2"], "finished"),
        // absolute: back to where it was
        (3, vec!["V2"], "reveal"),
    ] {
        let answer = emcee.reveal(&room, json!({"place": place})).await;
        assert_eq!(names(&answer), due, "at place {place}: {answer}");
        assert_eq!(answer["reveal"]["of"], 4, "{answer}");
        assert_eq!(emcee.room(&room).await["phase"], phase, "at place {place}");
    }
    emcee.reveal(&room, json!({"place": null})).await;
    let room_now = emcee.room(&room).await;
    assert_eq!(room_now["phase"], "between", "the ranking was taken away: {room_now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_automatic_reveal_continues_by_itself_to_the_end() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("By itself", 1).await;
    emcee.open(&room, 1).await;
    let mut voters = Vec::new();
    for (number, votes) in ["aaa", "aa", "a"].into_iter().enumerate() {
        let mut voter =
            Voter::join(&emcee.http, &cluster.addresses(), &room, &format!("V{number}"), dice(32, number as u64)).await;
        assert_eq!(voter.cast(1, 1, votes).await, Verdict::Stored);
        voters.push(voter);
    }
    emcee.close(&room, 1).await;
    let mut stage = crate::support::socket::Socket::stage(cluster.addresses()[0], &room).await;
    emcee.reveal(&room, json!({"place": 51, "auto_ms": 1_000})).await;
    let mut sizes = Vec::new();
    while sizes.last() != Some(&3) {
        let reveal = stage.expect("reveal").await;
        sizes.push(array(&reveal, "shown").len());
    }
    sizes.dedup();
    assert_eq!(sizes, [0, 1, 2, 3], "group by group");
}
