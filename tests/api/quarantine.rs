//! A corrupt record: its room is quarantined, and the other rooms continue.

use std::time::Duration;

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, code};
use crate::support::metrics::metric;
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter};
use redb::{Database, ReadableTable, TableDefinition};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// All rooms are read twice a minute.
const SEEN_WITHIN: Duration = Duration::from_secs(90);

const ROOMS: TableDefinition<&str, &[u8]> = TableDefinition::new("rooms");

/// Archives hold the ids of rooms.
async fn id_of(emcee: &Emcee, room: &str) -> String {
    let archive = crate::archives::archive(emcee, room, true).await;
    let record: Value = serde_json::from_str(archive.lines().nth(1).expect("a record")).expect("JSON");
    record["record"]["id"].as_str().expect("an id").to_owned()
}

/// The good room works as usual, and the bad one is reported everywhere.
async fn others_go_on_without(cluster: &Cluster, good: &str, bad: &str, id: &str) {
    let emcee = cluster.emcee();
    for pod in 0..cluster.pods.len() {
        let rooms = emcee.at(pod).get("/rooms").await;
        let listed: Vec<_> = rooms["rooms"].as_array().expect("rooms").iter().map(code).collect();
        assert!(listed.iter().any(|room| room == good) && !listed.iter().any(|room| room == bad), "{rooms}");
        assert_eq!(rooms["unreadable"], json!([{"id": id, "room": bad}]));
    }
    // the room itself cannot be used
    let asked = emcee.call(Method::GET, &format!("/rooms/{bad}"), None).await;
    asked.expect_problem(503, "ledger_unavailable", "the room that makes no sense");

    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), good, "Ann", dice(91, 0)).await;
    emcee.open(good, 1).await;
    assert_eq!(ann.cast(1, 1, "aab").await, Verdict::Stored);
    let closed = emcee.close(good, 1).await;
    assert_eq!(closed["rounds"][0]["tally"]["votes"], json!([2, 1]));

    for pod in &cluster.pods {
        assert_eq!(emcee.http.get(&pod.url("/readyz")).await.expect("an answer").status, 200);
        assert_eq!(metric(pod, "tallycast_rooms_unreadable").await, 1.0);
        let log = pod.log();
        let named = log.lines().filter(|line| line.contains("is quarantined") && line.contains(id)).count();
        assert_eq!(named, 1, "named once:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

async fn desk_says(cluster: &Cluster, good: &str) -> Value {
    let mut desk = Socket::emcee(cluster.addresses()[0], good).await;
    let told = desk.wait_for("a desk", |name, body| name == "desk" && body.get("unreadable").is_some()).await;
    told["unreadable"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_record_in_the_file_is_quarantined_and_other_rooms_go_on() {
    let mut cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let (good, bad) = (emcee.create_plain("Good", 2).await, emcee.create_plain("Bad", 2).await);
    let id = id_of(&emcee, &bad).await;
    cluster.pods[0].kill9().await;
    let stored = {
        let database = Database::open(cluster.file()).expect("the ledger");
        let transaction = database.begin_write().expect("a transaction");
        let mut table = transaction.open_table(ROOMS).expect("the rooms");
        let stored = table.get(&*id).expect("a read").expect("the record").value().to_vec();
        // as a bug of an earlier version might have left it: it can be parsed, and breaks a rule
        let mut record: Value = serde_json::from_slice(&stored).expect("JSON");
        record["rounds"][0]["take"] = json!(7);
        table.insert(&*id, record.to_string().as_bytes()).expect("a write");
        drop(table);
        transaction.commit().expect("a commit");
        stored
    };
    cluster.pods[0].launch();
    cluster.ready().await;
    others_go_on_without(&cluster, &good, &bad, &id).await;
    assert_eq!(desk_says(&cluster, &good).await, json!([{"id": id, "room": bad}]));
    // nothing of it was deleted: once repaired, it is back
    cluster.pods[0].kill9().await;
    {
        let database = Database::open(cluster.file()).expect("the ledger");
        let transaction = database.begin_write().expect("a transaction");
        transaction.open_table(ROOMS).expect("the rooms").insert(&*id, &*stored).expect("a write");
        transaction.commit().expect("a commit");
    }
    cluster.pods[0].launch();
    cluster.ready().await;
    assert_eq!(emcee.room(&bad).await["title"], "Bad");
    assert_eq!(emcee.get("/rooms").await["unreadable"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_record_in_redis_is_quarantined_and_other_rooms_go_on() {
    let mut cluster = Cluster::redis(2).await;
    let emcee = cluster.emcee();
    let (good, bad) = (emcee.create_plain("Good", 2).await, emcee.create_plain("Bad", 2).await);
    let id = id_of(&emcee, &bad).await;
    let redis = cluster.redis.as_ref().expect("a redis");
    let key = format!("tc:{{{id}}}:record");
    redis.command(&format!("COPY {key} kept")).await;
    redis.command(&format!("SET {key} nonsense")).await;
    // one pod finds it while the room is on its board, the other at its start
    cluster.pods[1].crash_and_restart().await;
    let redis = cluster.redis.as_ref().expect("a redis");
    redis.command(&format!("SET tc:{{{id}}}:jobs nonsense")).await;
    others_go_on_without(&cluster, &good, &bad, &id).await;
    assert_eq!(desk_says(&cluster, &good).await, json!([{"id": id, "room": bad}]));
    // its jobs wait, and jobs of other rooms are done
    let gone = emcee.create_plain("Gone", 1).await;
    emcee.call(Method::DELETE, &format!("/rooms/{gone}?title=Gone"), None).await.expect(204, "deleted");
    emcee.post("/purge", json!({"older_than_seconds": 0})).await;
    crate::archives::purged(&emcee, &gone).await;
    redis.command(&format!("DEL tc:{{{id}}}:jobs")).await;
    // nothing of it was deleted: once repaired, it is back
    redis.command(&format!("COPY kept {key} REPLACE")).await;
    let since = Instant::now();
    while emcee.get("/rooms").await["unreadable"] != json!([]) {
        assert!(since.elapsed() < SEEN_WITHIN, "the room is still quarantined");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(emcee.room(&bad).await["title"], "Bad");
}
