//! Voters as the emcee sees them, and what a voter can read over HTTP.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::round;
use crate::support::http::Http;
use crate::support::reference::{array, text};
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter, join};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_over_http_follows_the_same_rules() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let emcee = cluster.emcee();
        let room = emcee.create_plain("Casts", 2).await;
        let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(50, 0)).await;
        emcee.open(&room, 1).await;
        // what is cast, the refusal due, and the whole ballot after it
        let table = [
            (json!({"round": 1, "slip": 1, "votes": "a"}), None, "a"),
            (json!({"round": 1, "take": 1, "slip": 1, "votes": "a"}), None, "a"),
            (json!({"round": 1, "slip": 1, "votes": "b"}), Some("conflict"), "a"),
            (json!({"round": 1, "slip": 3, "votes": "a"}), Some("gap"), "a"),
            (json!({"round": 1, "slip": 1, "votes": "ab"}), None, "ab"),
            (json!({"round": 1, "slip": 2, "votes": "ab"}), Some("conflict"), "ab"),
            (json!({"round": 1, "slip": 3, "votes": "c"}), Some("bad_choice"), "ab"),
            (json!({"round": 1, "slip": 3, "votes": "ac"}), Some("bad_choice"), "ab"),
            (json!({"round": 1, "take": 2, "slip": 1, "votes": "a"}), Some("stale_take"), "ab"),
            (json!({"round": 2, "slip": 1, "votes": "a"}), Some("closed"), ""),
            (json!({"round": 1, "slip": 3, "votes": "aaaaaaa"}), None, "abaaaaaaa"),
            (json!({"round": 1, "slip": 10, "votes": "bb"}), Some("out_of_votes"), "abaaaaaaab"),
            (json!({"round": 1, "slip": 10, "votes": "b"}), None, "abaaaaaaab"),
            (json!({"round": 1, "slip": 11, "votes": "a"}), Some("out_of_votes"), "abaaaaaaab"),
            (json!({"round": 1, "slip": 1, "votes": "abaaaaaaab"}), None, "abaaaaaaab"),
        ];
        for (cast, refused, ballot) in table {
            let answer = ann.http(&emcee.http, Method::POST, "/votes", Some(&cast)).await.expect(200, "a cast");
            assert_eq!(answer["refused"], json!(refused), "{cast}: {answer}");
            assert_eq!(answer["votes"], ballot, "{cast}: {answer}");
            assert_eq!(answer["left"], 10 - ballot.len(), "{cast}: {answer}");
        }
        let closed = emcee.close(&room, 1).await;
        assert_eq!(round(&closed, 1)["tally"]["votes"], json!([8, 2]), "{closed}");
        // a repeat is answered after the close too; anything else is closed
        for (cast, refused) in [
            (json!({"round": 1, "slip": 9, "votes": "ab"}), None),
            (json!({"round": 1, "slip": 10, "votes": "a"}), Some("closed")),
        ] {
            let answer = ann.http(&emcee.http, Method::POST, "/votes", Some(&cast)).await.expect(200, "a cast");
            assert_eq!(
                (&answer["refused"], &answer["votes"]),
                (&json!(refused), &json!("abaaaaaaab")),
                "{cast}: {answer}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_can_read_its_ballots_and_its_standing() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Me", 2).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(51, 0)).await;
    for number in 1..=2 {
        emcee.open(&room, number).await;
        assert_eq!(ann.cast(number, 1, "aab").await, Verdict::Stored);
        emcee.close(&room, number).await;
    }
    let me = ann.http(&emcee.http, Method::GET, "/me", None).await.expect(200, "GET /me");
    let due =
        json!([{"round": 1, "take": 1, "votes": "aab", "left": 7}, {"round": 2, "take": 1, "votes": "aab", "left": 7}]);
    assert_eq!((&me["voter"], &me["name"], &me["card"]), (&json!(ann.id), &json!("Ann"), &json!(ann.card)));
    assert_eq!(me["ballots"], due, "{me}");
    assert!(me["standing"].is_null(), "nothing is revealed: {me}");
    emcee.reveal(&room, json!({"place": 1})).await;
    let me = ann.http(&emcee.http, Method::GET, "/me", None).await.expect(200, "GET /me");
    let numbers = (&me["standing"]["place"], &me["standing"]["score"], &me["standing"]["of"]);
    assert_eq!(numbers, (&json!(1), &json!(4), &json!(1)), "{me}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_are_listed_in_pages_and_found_by_name() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("List", 1).await;
    let http = Http::new();
    for number in 0..23 {
        let name = if number == 7 { "Zebra".to_owned() } else { format!("Voter {number}") };
        join(&http, cluster.addresses()[0], &room, &json!({"name": name})).await.expect(201, "a join");
    }
    let (mut seen, mut after, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = emcee.get(&format!("/rooms/{room}/voters?limit=10{after}")).await;
        let voters = array(&page, "voters");
        assert!(voters.len() <= 10, "{page}");
        for voter in voters {
            assert!(voter["connected"] == false || voter["connected"] == 0, "nobody is connected: {voter}");
            assert!(seen.insert(text(voter, "voter")), "listed twice: {voter}");
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
        assert!(pages < 10, "the list has an end");
    }
    assert_eq!((seen.len(), pages), (23, 3));
    let found = emcee.get(&format!("/rooms/{room}/voters?q=zeb")).await;
    let names: Vec<String> = array(&found, "voters").iter().map(|voter| text(voter, "name")).collect();
    assert_eq!(names, ["Zebra"], "without regard to case");
    let none = emcee.get(&format!("/rooms/{room}/voters?q=nobody")).await;
    assert!(array(&none, "voters").is_empty(), "{none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emcee_renames_a_voter_at_any_time() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Rename", 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Rude", dice(52, 0)).await;
    Voter::join(&emcee.http, &cluster.addresses(), &room, "Bea", dice(52, 1)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    let path = format!("/rooms/{room}/voters/{}", ann.id);
    let body = json!({"name": "Ann"});
    emcee.patch(&path, body.clone()).await;
    emcee.patch(&path, body).await;
    let taken = json!({"name": "BEA"});
    emcee.call(Method::PATCH, &path, Some(&taken)).await.expect_problem(409, "name_taken", "PATCH a voter");
    let me = ann.http(&emcee.http, Method::GET, "/me", None).await.expect(200, "GET /me");
    assert_eq!(me["name"], "Ann");
    emcee.close(&room, 1).await;
    let ranking = emcee.get(&format!("/rooms/{room}/ranking")).await;
    assert_eq!(ranking["entries"][0]["name"], "Ann", "{ranking}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_voter_is_refused_and_its_stored_votes_count() {
    for cluster in [Cluster::embedded().await, Cluster::redis(2).await] {
        let emcee = cluster.emcee();
        let room = emcee.create_plain("Remove", 1).await;
        let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(53, 0)).await;
        let mut bea = Voter::join(&emcee.http, &cluster.addresses(), &room, "Bea", dice(53, 1)).await;
        emcee.open(&room, 1).await;
        assert_eq!(ann.cast(1, 1, "aaa").await, Verdict::Stored);
        assert_eq!(bea.cast(1, 1, "a").await, Verdict::Stored);
        let path = format!("/rooms/{room}/voters/{}", ann.id);
        emcee.patch(&path, json!({"removed": true})).await;
        let mut socket = ann.socket.take().expect("connected");
        let (close_code, before) = socket.closed().await;
        assert_eq!(close_code, Some(4403), "{before:?}");
        assert!(before.iter().any(|(name, body)| name == "bye" && body["reason"] == "removed"), "{before:?}");

        for pod in cluster.addresses() {
            let mut again = Socket::open(pod, "Ann").await.expect("a socket");
            again.say_hello(&room, "voter", Some(&ann.token)).await;
            assert_eq!(again.closed().await.0, Some(4403), "the token is refused");
            let by_card = json!({"name": "Ann", "card": ann.card});
            join(&emcee.http, pod, &room, &by_card).await.expect_problem(403, "removed", "the card is refused");
        }
        let cast = json!({"round": 1, "slip": 4, "votes": "a"});
        let answer = ann.http(&emcee.http, Method::POST, "/votes", Some(&cast)).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
        let closed = emcee.close(&room, 1).await;
        assert_eq!(round(&closed, 1)["tally"]["votes"], json!([4, 0]), "votes stored so far count: {closed}");
        let ranking = emcee.get(&format!("/rooms/{room}/ranking")).await;
        let names: Vec<String> = array(&ranking, "entries").iter().map(|entry| text(entry, "name")).collect();
        assert_eq!(names, ["Bea"], "no place for the removed: {ranking}");
        assert_eq!(ranking["of"], 1, "{ranking}");

        emcee.patch(&path, json!({"removed": false})).await;
        assert!(ann.try_connect().await, "back again");
        let ranking = emcee.get(&format!("/rooms/{room}/ranking")).await;
        assert_eq!(ranking["entries"][0]["name"], "Ann", "{ranking}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_of_an_unknown_voter_is_404() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Nobody", 1).await;
    let body = json!({"removed": true});
    let answer = emcee.call(Method::PATCH, &format!("/rooms/{room}/voters/nobody"), Some(&body)).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    assert!(answer.body["code"].is_string() && answer.body != Value::Null, "{}", answer.text);
}
