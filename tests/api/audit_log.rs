//! What the emcee does is on record: each action writes one line of the audit log.

use crate::archives::archive;
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::Emcee;
use crate::support::http::Answer;
use crate::support::server::EMCEE_KEY;
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Calls of everybody. Every other call of the API is the emcee's.
const PUBLIC: [(&str, &str); 8] = [
    ("get", "/rooms/{}"),
    ("get", "/rooms/{}/qr.svg"),
    ("get", "/rooms/{}/records"),
    ("get", "/rooms/{}/me/proof"),
    ("post", "/rooms/{}/join"),
    ("get", "/rooms/{}/me"),
    ("patch", "/rooms/{}/me"),
    ("post", "/rooms/{}/votes"),
];

/// A call of the emcee: its route, the rest of its path, its body, and the event that it writes. Calls that only read write
/// none, except those by which votes, names or invites leave the server.
type Call = (&'static str, &'static str, &'static str, Value, Option<&'static str>);

/// Every call of the emcee, in an order in which each is accepted. `{room}` is a room with one round, which Ann has joined;
/// `{gone}` is another room.
fn calls() -> Vec<Call> {
    let rounds = json!([{"title": "x", "choices": [{"label": "A"}, {"label": "B"}]}]);
    let command = Some("command");
    vec![
        ("post", "/rooms", "", json!({"title": "New", "rounds": rounds}), Some("room_made")),
        ("get", "/rooms", "", Value::Null, None),
        ("patch", "/rooms/{room}", "", json!({"title": "Changed"}), command),
        ("get", "/rooms/{room}/voters", "", Value::Null, None),
        ("patch", "/rooms/{room}/voters/{voter}", "", json!({"name": "Anna"}), Some("voter_renamed")),
        ("patch", "/rooms/{room}/voters/{voter}", "", json!({"removed": true}), Some("voter_removed")),
        ("patch", "/rooms/{room}/voters/{voter}", "", json!({"removed": false}), Some("voter_restored")),
        ("post", "/rooms/{room}/invites", "", json!({"names": ["Bea", "Cleo"]}), Some("invited")),
        ("get", "/rooms/{room}/invites", "", Value::Null, Some("invites_read")),
        ("put", "/rooms/{room}/stage", "", json!({"screen": "auto", "message": "Welcome"}), command),
        ("post", "/rooms/{room}/rounds/{n}/open", "", json!({}), command),
        ("post", "/rooms/{room}/rounds/{n}/deadline", "", json!({"closes_at": null}), command),
        ("post", "/rooms/{room}/rounds/{n}/close", "", json!({}), command),
        ("post", "/rooms/{room}/rounds/{n}/show", "", json!({}), command),
        ("post", "/rooms/{room}/rounds/{n}/decide", "", json!({"winner": "b"}), command),
        ("post", "/rooms/{room}/rounds/{n}/take", "", json!({"take": 1}), command),
        ("put", "/rooms/{room}/reveal", "", json!({"place": 1}), command),
        ("get", "/rooms/{room}/ranking", "", Value::Null, None),
        ("get", "/rooms/{room}/audit", "", Value::Null, None),
        ("get", "/rooms/{room}/export", "", Value::Null, Some("exported")),
        ("get", "/rooms/{room}/export", "?format=csv&names=no", Value::Null, Some("exported")),
        ("get", "/rooms/{room}/export", "?format=archive", Value::Null, Some("exported")),
        ("get", "/rooms/{room}/export", "?format=event", Value::Null, Some("exported")),
        ("post", "/rooms/import", "", Value::Null, Some("room_imported")),
        ("post", "/rooms/import", "?fresh=true", Value::Null, Some("room_imported")),
        ("delete", "/rooms/{gone}", "?title=Gone", Value::Null, command),
        ("post", "/rooms/{gone}/undelete", "", json!({}), command),
        ("delete", "/rooms/{gone}", "?title=Gone", Value::Null, command),
        ("post", "/purge", "", json!({"older_than_seconds": 0}), Some("purge_ordered")),
        ("get", "/check", "", Value::Null, None),
        ("get", "/ledger/slow-log", "", Value::Null, None),
        ("post", "/session", "", json!({"key": EMCEE_KEY, "device": "Laptop"}), Some("sign_in")),
        ("delete", "/session", "", Value::Null, Some("sign_out")),
    ]
}

/// The names of path parameters are the code's own business.
fn without_names(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

/// Lines of the audit log that say what a device of the emcee has done. What follows from it by itself names no device.
fn actions(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["stream"] == "audit" && line.get("device").is_some()).collect()
}

async fn ask(emcee: &Emcee, method: &str, path: &str, body: &Value, cookie: &str) -> Answer {
    let method: Method = method.to_uppercase().parse().expect("a method");
    let (url, key) = (emcee.url(&method, path), format!("Bearer {EMCEE_KEY}"));
    let origin = url.split("/api/").next().expect("an address").to_owned();
    let headers = match cookie {
        "" => vec![("authorization", key.as_str())],
        cookie => vec![("cookie", cookie), ("origin", &origin)],
    };
    let body = match body {
        Value::Null => vec![],
        Value::String(archive) => archive.clone().into_bytes(),
        json => json.to_string().into_bytes(),
    };
    emcee.http.send_bytes(method, &url, &headers, body).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_emcee_that_does_something_writes_one_line() {
    let cluster = Cluster::embedded_with(&[("TALLYCAST__LOG__FORMAT", "json")]).await;
    let emcee = cluster.emcee();
    let document = emcee.http.get(&cluster.pods[0].url("/api/v1/openapi.json")).await.expect("an answer").body;
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let path = without_names(path.strip_prefix("/api/v1").unwrap_or(path));
        let methods = operations.as_object().expect("operations").keys();
        routes.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    for (method, path) in PUBLIC {
        assert!(routes.remove(&(method.to_owned(), path.to_owned())), "{method} {path} does not exist");
    }
    for (method, path, ..) in calls() {
        routes.remove(&(method.to_owned(), without_names(path)));
    }
    assert_eq!(routes, BTreeSet::new(), "add these calls to the lists above, with what they write");

    let room = emcee.create_plain("Audited", 1).await;
    let gone = emcee.create_plain("Gone", 1).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann of the hall", dice(43, 0)).await;
    let mut cookie = String::new();
    for (method, route, query, body, event) in calls() {
        let path =
            route.replace("{room}", &room).replace("{voter}", &ann.id).replace("{n}", "1").replace("{gone}", &gone);
        let body = match route {
            "/rooms/import" => json!(archive(&emcee, &room, false).await),
            _ => body,
        };
        let before = actions(&cluster.pods[0].log()).len();
        let used = if method == "delete" && route == "/session" { cookie.as_str() } else { "" };
        let answer = ask(&emcee, method, &format!("{path}{query}"), &body, used).await;
        assert!((200..300).contains(&answer.status), "{method} {route}{query}: {} {}", answer.status, answer.text);
        if route == "/session" && method == "post" {
            cookie = answer.header("set-cookie").split(';').next().expect("name=value").to_owned();
        }
        let log = cluster.pods[0].log();
        let written: Vec<_> = actions(&log)[before..].iter().map(|line| line["event"].clone()).collect();
        let wanted: Vec<Value> = event.into_iter().map(Value::from).collect();
        assert_eq!(written, wanted, "{method} {route}{query}");
        if route.contains("{room}") && event.is_some() {
            let line = &actions(&log)[before];
            assert_eq!(line["code"], room.as_str(), "{method} {route}: the line names the room: {line}");
        }
    }
    let log = cluster.pods[0].log();
    let renamed = actions(&log).into_iter().find(|line| line["event"] == "voter_renamed").expect("a line");
    assert_eq!(renamed["voter"], ann.id.as_str(), "by the id: the log has no names");
    for secret in ["Ann of the hall", "Anna", "Bea", &ann.card, &ann.token, EMCEE_KEY] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_is_on_record_when_it_is_made() {
    let cluster = Cluster::embedded_with(&[("TALLYCAST__LOG__FORMAT", "json")]).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Sealed", 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(44, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "ab").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    let records = crate::support::seals::all_sealed(&emcee, &room).await;
    // the job is reported after the seal is stored and on record
    let since = Instant::now();
    let sealed = loop {
        let log = cluster.pods[0].log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<_> = lines.filter(|line| line["stream"] == "audit").collect();
        if lines.iter().any(|line| line["event"] == "job_done" && line["kind"] == "seal") {
            break lines.into_iter().filter(|line| line["event"] == "sealed").collect::<Vec<_>>();
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(sealed.len(), 1, "{sealed:?}");
    let record = &records["records"][0];
    assert_eq!((&sealed[0]["seal"], &sealed[0]["seal_number"]), (&record["seal"], &record["seal_number"]));
    assert_eq!(sealed[0]["code"], room.as_str());
}
