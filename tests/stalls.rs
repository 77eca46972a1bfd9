//! A ledger that hangs under load: Redis is stopped for a minute while phones repeat their casts, as the protocol asks.
//! Queues in the server stay bounded, memory does not grow, and afterwards every vote is stored once.

mod support;

use serde_json::json;
use std::time::Duration;
use support::cluster::Cluster;
use support::metrics::Metrics;
use support::socket::{Heard, Socket};
use support::voter::{card, join};
use support::{count, dice};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

const VOTERS: usize = 2_000;
/// Each of them has several tabs: repeated casts of one voter are the harder case.
const SOCKETS_EACH: usize = 4;
/// Memory at the end of the stall above that in its middle, when all buffers have found their size. One cast in a
/// queue takes some 250 bytes: before the queue was bounded 27,000 of them waited at the end.
const MAX_GROWTH_BYTES: f64 = 4e6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_while_the_ledger_stalls_for_a_minute_under_load() {
    let stall = Duration::from_secs(count("TALLYCAST_STALL_SECS", 60) as u64);
    let cluster = Cluster::redis(1).await;
    let redis = cluster.redis.as_ref().expect("a cluster on Redis");
    let (emcee, pod) = (cluster.emcee().persistent(), cluster.addresses()[0]);
    let room = emcee.create_plain("A stall", 1).await;
    let (begin, begun) = watch::channel(false);
    let mut phones = JoinSet::new();
    for number in 0..VOTERS {
        let body = json!({"name": format!("Voter {number}"), "card": card(&mut dice(number as u64, 0))});
        let token = join(&emcee.http, pod, &room, &body).await.body["token"].as_str().expect("a token").to_owned();
        for _ in 0..SOCKETS_EACH {
            let socket = Socket::hello(pod, &room, "voter", Some(&token)).await.0;
            phones.spawn(cast_until_stored(socket, begun.clone()));
        }
    }
    emcee.open(&room, 1).await;

    redis.signal("STOP");
    begin.send_replace(true);
    let (mut middle, mut last, mut most_waiting) = (0.0, 0.0, 0.0);
    let (begun, mut seconds) = (Instant::now(), interval(Duration::from_secs(1)));
    while begun.elapsed() < stall {
        seconds.tick().await;
        let metrics = Metrics::of(&cluster.pods[0]).await;
        let waiting = metrics.value("tallycast_casts_waiting");
        last = metrics.value("process_resident_memory_bytes");
        most_waiting = f64::max(most_waiting, waiting);
        if begun.elapsed() < stall / 3 {
            middle = last;
        }
        if let Some(phone) = phones.try_join_next() {
            panic!("a phone has ended while the ledger stands still: {phone:?}");
        }
    }
    eprintln!("most casts waiting {most_waiting}, memory {:.1} MB, then {:.1} MB", middle / 1e6, last / 1e6);
    redis.signal("CONT");
    let mut busy = 0;
    while let Some(phone) = phones.join_next().await {
        busy += phone.expect("no phone fails");
    }
    eprintln!("{busy} casts were answered busy");
    assert!(busy > VOTERS * SOCKETS_EACH, "the phones were told and cast again");
    // the one that waits and the one that was overtaken
    assert!(most_waiting <= (2 * VOTERS * SOCKETS_EACH) as f64, "{most_waiting} casts waited");
    assert!(last - middle < MAX_GROWTH_BYTES, "memory grew from {middle} to {last}");

    let closed = emcee.close(&room, 1).await;
    assert_eq!(closed["rounds"][0]["tally"]["votes"], json!([VOTERS, 0]));
    assert_eq!(emcee.audit(&room).await["ok"], true);
}

/// Listens until all begin, then casts one vote, again and again until it is stored. Returns how often the server was
/// busy.
async fn cast_until_stored(mut socket: Socket, mut begun: watch::Receiver<bool>) -> usize {
    let mut busy = 0;
    loop {
        tokio::select! {
            _ = begun.wait_for(|begun| *begun) => break,
            heard = socket.next() => assert!(matches!(heard, Heard::Frame(..)), "{heard:?}"),
        }
    }
    loop {
        socket.send("cast", json!({"round": 1, "take": 1, "slip": 1, "votes": "a"})).await;
        let ballot = socket.expect("ballot").await;
        match ballot["refused"].as_str() {
            None => return busy,
            Some("busy") => busy += 1,
            Some(other) => panic!("refused: {other}"),
        }
    }
}
