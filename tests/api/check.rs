//! `GET /check`: whether the evening may begin. That it is the emcee's alone is tested with all emcee calls.

use crate::support::cluster::Cluster;
use crate::support::emcee::Emcee;
use crate::support::receiver::Receiver;
use crate::support::socket::Socket;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const ITEMS: [&str; 7] = ["public_link", "socket", "ledger", "durable", "clock", "sessions", "ready"];

/// Asks, and checks the form of the answer; gives the items that are not ok, with their details.
async fn wrong(emcee: &Emcee) -> Vec<(String, String)> {
    let begun = Instant::now();
    let report = emcee.get("/check").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "a check takes at most 5 s, not {:?}", begun.elapsed());
    let items = report["items"].as_array().expect("items");
    let names: Vec<_> = items.iter().filter_map(|item| item["item"].as_str()).collect();
    assert_eq!(names, ITEMS, "{report}");
    let text = |item: &Value, name: &str| item[name].as_str().expect("a text").to_owned();
    let wrong: Vec<_> = items.iter().filter(|item| item["ok"] == false).collect();
    assert_eq!(report["ok"], wrong.is_empty(), "{report}");
    wrong.into_iter().map(|item| (text(item, "item"), text(item, "detail"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_server_passes_every_item() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let emcee = cluster.emcee();
        assert_eq!(wrong(&emcee).await, []);
        let report = emcee.get("/check").await;
        for item in &report["items"].as_array().expect("items")[..3] {
            assert!(item["ms"].is_u64(), "what was asked has a time: {item}");
        }
        let link = &report["items"][0]["detail"];
        assert!(link.as_str().is_some_and(|text| text.contains("public_url is not set")), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_link_that_cannot_be_reached_is_reported() {
    // a port below those that the system hands out
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__PUBLIC_URL", "http://127.0.0.1:9")]).await;
    let emcee = cluster.emcee();
    let wrong = wrong(&emcee).await;
    assert_eq!(wrong.iter().map(|(item, _)| item.as_str()).collect::<Vec<_>>(), ["public_link", "socket"]);
    assert!(wrong.iter().all(|(_, detail)| detail.contains("http://127.0.0.1:9 cannot be reached")), "{wrong:?}");
    // people elsewhere may reach it nevertheless, and the answer says what to test
    let report = emcee.get("/check").await;
    let unseen = report["items"].as_array().expect("items").iter().filter(|item| item["seen"] == false);
    assert_eq!(unseen.count(), 2, "{report}");
    assert_eq!(report["public_link"], json!({"url": "http://127.0.0.1:9", "assumed": false}));
    assert_eq!(report["admin_url"], "http://127.0.0.1:9", "as public_url, if nothing else was said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_link_to_another_server_is_reported() {
    let stranger = Receiver::start(Some(200));
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__PUBLIC_URL", &stranger.url())]).await;
    let wrong = wrong(&cluster.emcee()).await;
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].1.contains("not Tallycast's"), "{wrong:?}");
    assert!(wrong[1].1.contains("200") && wrong[1].1.contains("upgrades"), "{wrong:?}");
    let report = cluster.emcee().get("/check").await;
    assert!(report["items"].as_array().expect("items").iter().all(|item| item.get("seen").is_none()), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_link_that_never_answers_delays_the_check_by_three_seconds_at_most() {
    // the kernel takes connections for it, and nobody answers them
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("its own address"));
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__PUBLIC_URL", &url)]).await;
    let wrong = wrong(&cluster.emcee()).await;
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().all(|(_, detail)| detail.contains("did not answer within 3 s")), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pod_is_reported() {
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__MAX_SOCKETS", "3")]).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Full", 1).await;
    let mut sockets = vec![];
    for _ in 0..3 {
        sockets.push(Socket::stage(cluster.addresses()[0], &room).await);
    }
    let wrong = wrong(&emcee).await;
    assert_eq!(wrong.iter().map(|(item, _)| item.as_str()).collect::<Vec<_>>(), ["socket", "sessions", "ready"]);
    assert!(wrong[0].1.contains("full") && wrong[1].1.contains("0 of 3 places"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_not_durable_is_reported_before_the_pod_notices() {
    let cluster = Cluster::redis(1).await;
    let redis = cluster.redis.as_ref().expect("a redis");
    assert_eq!(wrong(&cluster.emcee()).await, []);
    redis.command("CONFIG SET appendfsync everysec").await;
    let wrong = wrong(&cluster.emcee()).await;
    let durable = wrong.iter().find(|(item, _)| item == "durable").expect("it is asked anew");
    assert!(durable.1.contains("appendfsync is everysec"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_does_not_answer_is_reported_in_time() {
    let cluster = Cluster::redis(1).await;
    let redis = cluster.redis.as_ref().expect("a redis");
    redis.signal("STOP");
    let wrong = wrong(&cluster.emcee()).await;
    redis.signal("CONT");
    let items: Vec<_> = wrong.iter().map(|(item, _)| item.as_str()).collect();
    assert_eq!(items[..3], ["ledger", "durable", "clock"], "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_uses_the_link_that_voters_get() {
    let target = Cluster::embedded().await;
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__PUBLIC_URL", &target.pods[0].url("/"))]).await;
    let report = cluster.emcee().get("/check").await;
    assert_eq!((&report["ok"], &report["items"][0]["ok"]), (&json!(true), &json!(true)), "{report}");
    let detail = report["items"][0]["detail"].as_str().expect("a text");
    assert!(detail.contains(&target.pods[0].url("/")) && !detail.contains("assumed"), "{detail}");
}
