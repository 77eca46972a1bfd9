//! The life of sockets: however they end, no resource is left.

use crate::raw::{Got, Raw, TIMEOUT, close, message};
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::metrics::{metric, metric_becomes};
use crate::support::voter::Voter;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// Connects, and ends in one of eight ways.
async fn come_and_go(server: SocketAddr, room: String, token: String, way: usize) {
    let mut raw = Raw::connect(server).await;
    match way {
        0 => return,
        1 => return raw.send(b"GET /ws HTTP/1.1\r\nUpgr").await,
        _ => raw.upgrade(server).await,
    }
    if way == 2 {
        return;
    }
    raw.hello(&room, if way < 5 { "voter" } else { "stage" }, Some(&token)).await;
    match way {
        3 => return,
        4 => return raw.send(&message("cast", json!({"round": 1, "slip": 1, "votes": "a"}))).await,
        _ => drop(raw.text_with("state").await),
    }
    match way {
        5 => {}
        6 => {
            raw.send(&close(1000, b"")).await;
            assert_eq!(raw.closed().await, Some(1000));
        }
        _ => raw.reset(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sockets_that_end_in_every_way_leave_no_resources() {
    let cluster = Cluster::embedded().await;
    let (server, pod, emcee) = (cluster.addresses()[0], &cluster.pods[0], cluster.emcee());
    let room = emcee.create_plain("Coming and going", 1).await;
    emcee.open(&room, 1).await;
    let ann = Voter::join(&emcee.http, &[server], &room, "Ann", dice(9, 1)).await;
    let files = metric(pod, "process_open_fds").await;
    let mut cycles = JoinSet::new();
    for number in 0..1_000 {
        cycles.spawn(come_and_go(server, room.clone(), ann.token.clone(), number % 8));
        if cycles.len() == 32 {
            cycles.join_next().await.expect("one of 32").expect("a cycle ends well");
        }
    }
    cycles.join_all().await;
    let roles = ["voter", "stage", "emcee"].map(|role| format!("tallycast_sessions{{role=\"{role}\"}}"));
    for series in roles.iter().map(String::as_str).chain(["tallycast_sockets"]) {
        metric_becomes(pod, series, TIMEOUT, |left| left == 0.0).await;
    }
    metric_becomes(pod, "process_open_fds", TIMEOUT, |now| now <= files + 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_connection_is_closed() {
    let cluster = Cluster::embedded().await;
    let server = cluster.addresses()[0];
    let room = cluster.emcee().create_plain("Half open", 1).await;
    for mut raw in [Raw::open(server).await, Raw::stage(server, &room).await] {
        raw.tcp.shutdown().await.expect("its own half");
        assert_eq!(raw.next_but_pings().await, Got::End);
    }
    metric_becomes(&cluster.pods[0], "tallycast_sockets", TIMEOUT, |sockets| sockets == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn a_peer_that_is_silent_for_60_seconds_is_dropped() {
    let cluster = Cluster::embedded().await;
    let mut raw = Raw::stage(cluster.addresses()[0], &cluster.emcee().create_plain("Silent", 1).await).await;
    let since = Instant::now();
    let (mut came, mut chunk) = (0, [0; 64]);
    while let Ok(read @ 1..) = raw.tcp.read(&mut chunk).await {
        came += read;
    }
    let after = since.elapsed();
    assert!((58..64).contains(&after.as_secs()) && came >= 3 * 2, "gone after {after:?}, {came} bytes of pings");
}
