//! A room moves to another laptop, or goes for good.

use std::time::Duration;

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, code};
use crate::support::http::Answer;
use crate::support::server::EMCEE_KEY;
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

/// How long a purge may take: a worker looks each second.
const PURGED_WITHIN: Duration = Duration::from_secs(20);

pub async fn archive(emcee: &Emcee, room: &str, mask: bool) -> String {
    let answer = emcee.call(Method::GET, &format!("/rooms/{room}/export?format=archive&mask={mask}"), None).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"), "{}", answer.text);
    answer.text
}

pub async fn import(emcee: &Emcee, archive: &str, query: &str) -> Answer {
    let url = emcee.url(&Method::POST, &format!("/rooms/import{query}"));
    let key = format!("Bearer {EMCEE_KEY}");
    let headers = [("authorization", key.as_str()), ("content-type", "application/x-ndjson")];
    emcee.http.send_bytes(Method::POST, &url, &headers, archive.as_bytes().to_vec()).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_laptop_takes_over_with_code_voters_and_tokens() {
    let first = Cluster::embedded().await;
    let emcee = first.emcee();
    let room = emcee
        .create(json!({"title": "Moving", "ref": "moving", "rounds": [
        {"title": "One", "choices": [{"label": "A"}, {"label": "B"}]},
        {"title": "Two", "choices": [{"label": "A"}, {"label": "B"}]}]}))
        .await;
    let mut ann = Voter::join(&emcee.http, &first.addresses(), &room, "Ann", dice(71, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "aab").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    emcee.open(&room, 2).await;
    assert_eq!(ann.cast(2, 1, "b").await, Verdict::Stored);
    let archive = archive(&emcee, &room, false).await;
    // what was acknowledged after the archive was written is in the phone alone
    assert_eq!(ann.cast(2, 1, "b").await, Verdict::Stored);
    drop(first);

    // an installation with another secret
    let second = Cluster::embedded_with(&[("TALLYCAST__SERVER__SECRET", "another-secret-altogether")]).await;
    let there = second.emcee();
    let view = import(&there, &archive, "").await.expect(201, "the import");
    assert_eq!((code(&view), &view["phase"]), (room.clone(), &json!("voting")));
    import(&there, &archive, "").await.expect(200, "the same import again");
    let known = json!({"name": "Ann", "card": ann.card});
    let joined = there.public(Method::POST, &format!("/rooms/{room}/join"), Some(&known)).await.expect(200, "the card");
    assert_eq!(joined["voter"], json!(ann.id));
    // the token of the first laptop, on a socket and over HTTP
    let mut back = Voter::joined(
        &second.addresses(),
        &room,
        &json!({
        "voter": ann.id, "name": ann.name, "card": ann.card, "token": ann.token}),
        dice(71, 1),
    );
    back.shared = true;
    back.come_back().await;
    assert_eq!(back.told(2, 1).votes, "b", "the ballot as it was in the archive");
    // the phone casts its acknowledged votes again, and continues
    assert_eq!(back.cast(2, 1, "ba").await, Verdict::Stored);
    let closed = there.close(&room, 2).await;
    assert_eq!(closed["rounds"][0]["tally"]["votes"], json!([2, 1]));
    assert_eq!(closed["rounds"][1]["tally"]["votes"], json!([1, 2]));
    assert_eq!(there.audit(&room).await["ok"], true);
    import(&there, &archive, "").await.expect_problem(409, "room_exists", "it has gone its own way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_masked_copy_exists_beside_its_original_without_names() {
    let cluster = Cluster::redis(2).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Original", 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann of the hall", dice(72, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "ab").await, Verdict::Stored);
    let masked = archive(&emcee, &room, true).await;
    assert!(!masked.contains("Ann of the hall") && !masked.contains(&ann.card));
    import(&emcee, &masked, "").await.expect(200, "the room itself is here");
    let copy = code(&import(&emcee, &masked, "?fresh=true").await.expect(201, "a copy"));
    assert_ne!(copy, room);
    let export = emcee.export(&copy).await;
    assert_eq!(export["voters"][0]["name"], "Voter 1");
    assert_eq!(export["rounds"][0]["takes"][0]["ballots"][0]["votes"], "ab");
    let again = import(&emcee, &masked, "?fresh=true").await.expect_problem(409, "ref_taken", "a second copy");
    assert_eq!(code(&again["room"]), copy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_archive_is_refused_with_its_line_number() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Whole", 1).await;
    let whole = archive(&emcee, &room, false).await;
    let lines: Vec<&str> = whole.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    let newer = whole.replacen("\"version\":1", "\"version\":99", 1);
    let nowhere = whole.replacen("\"partitions\":1", "\"partitions\":0", 1);
    let torn = whole.replacen("{\"gate\"", "{\"gate", 1);
    for (text, says) in [
        ("", "is not an archive"),
        ("hello", "line 1"),
        (&*cut, "cut off"),
        (&*newer, "newer"),
        (&*torn, "line 3"),
        (&*nowhere, "line 2"),
    ] {
        let problem = import(&emcee, text, "").await.expect_problem(422, "bad_request", text);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{says}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_removes_only_rooms_deleted_long_enough_ago() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let emcee = cluster.emcee();
        let (kept, gone) = (emcee.create_plain("Kept", 1).await, emcee.create_plain("Gone", 1).await);
        let ann = Voter::join(&emcee.http, &cluster.addresses(), &gone, "Ann", dice(73, 0)).await;
        emcee.call(Method::DELETE, &format!("/rooms/{gone}?title=Gone"), None).await.expect(204, "deleted");
        let early = emcee.post("/purge", json!({"older_than_seconds": 3600})).await;
        assert_eq!(early, json!({"rooms": [], "jobs": []}));
        let dry = emcee.post("/purge", json!({"older_than_seconds": 0, "dry_run": true})).await;
        assert_eq!((&dry["rooms"][0]["room"], &dry["jobs"]), (&json!(gone), &json!([])));
        emcee.post(&format!("/rooms/{gone}/undelete"), json!({})).await;
        emcee.call(Method::DELETE, &format!("/rooms/{gone}?title=Gone"), None).await.expect(204, "deleted again");
        let ordered = emcee.post("/purge", json!({"older_than_seconds": 0})).await;
        assert_eq!(ordered["jobs"].as_array().map(Vec::len), Some(1), "{ordered}");
        purged(&emcee, &gone).await;
        // reusing the code would restore nothing: the room itself is unknown
        let known = json!({"name": "Ann", "card": ann.card});
        let joined = emcee.public(Method::POST, &format!("/rooms/{gone}/join"), Some(&known)).await;
        joined.expect_problem(404, "no_such_room", "the purged room");
        assert_eq!(emcee.room(&kept).await["title"], "Kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_of_one_room_leaves_other_deleted_rooms() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let emcee = cluster.emcee();
        let (other, gone) = (emcee.create_plain("Other", 1).await, emcee.create_plain("Gone", 1).await);
        let one = json!({"older_than_seconds": 0, "room": gone});
        assert_eq!(emcee.post("/purge", one.clone()).await["rooms"], json!([]), "it is not deleted");
        for (room, title) in [(&other, "Other"), (&gone, "Gone")] {
            emcee.call(Method::DELETE, &format!("/rooms/{room}?title={title}"), None).await.expect(204, "deleted");
        }
        let ordered = emcee.post("/purge", one).await;
        assert_eq!(
            ordered["rooms"].as_array().map(|rooms| rooms.iter().map(|room| &room["room"]).collect::<Vec<_>>()),
            Some(vec![&json!(gone)]),
            "{ordered}"
        );
        purged(&emcee, &gone).await;
        emcee.post(&format!("/rooms/{other}/undelete"), json!({})).await;
        assert_eq!(emcee.room(&other).await["title"], "Other");
        let nonsense = json!({"older_than_seconds": 0, "room": "O0"});
        emcee.refused("/purge", nonsense, 404, "no_such_room").await;
    }
}

/// Waits until the room is not even on the list of deleted ones.
pub async fn purged(emcee: &Emcee, room: &str) {
    let since = Instant::now();
    loop {
        let rooms = emcee.get("/rooms?deleted=true").await;
        let listed = rooms["rooms"].as_array().is_some_and(|rooms| rooms.iter().any(|listed| listed["room"] == room));
        if !listed {
            return;
        }
        assert!(since.elapsed() < PURGED_WITHIN, "{room} is still there");
        sleep(Duration::from_millis(50)).await;
    }
}
