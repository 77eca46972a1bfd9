//! Peers that send too much: they are closed at once, cost little, and nobody else is affected.

use crate::raw::{Got, PING, PONG, Raw, TEXT, TIMEOUT, frame, header, message};
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::plain_round;
use crate::support::metrics::metric;
use crate::support::voter::{Verdict, Voter};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What the kernels of both ends may buffer of a stream that nobody reads.
const MAX_SWALLOWED: usize = 8 << 20;

/// A cluster with an open round of 100 votes for each voter.
async fn voting() -> (Cluster, String) {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create(json!({"title": "Flood", "votes_per_round": 100, "rounds": [plain_round()]})).await;
    emcee.open(&room, 1).await;
    (cluster, room)
}

/// Sends `bytes` over and over until the connection breaks; how many it took, and all that the server said.
async fn flood(raw: Raw, bytes: &[u8]) -> (usize, Vec<u8>) {
    let (mut reading, mut writing) = raw.tcp.into_split();
    let writer = async {
        let mut sent = 0;
        while let Ok(more) = writing.write(bytes).await {
            sent += more;
            assert!(sent <= 64 << 20, "the server reads on and on");
        }
        sent
    };
    let reader = async {
        let mut said = vec![];
        let _ = reading.read_to_end(&mut said).await;
        said
    };
    timeout(TIMEOUT, async { tokio::join!(writer, reader) }).await.expect("the server cuts the connection")
}

fn close_frame(code: u16) -> Vec<u8> {
    [&[0x88, 2][..], &code.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_over_the_limit_is_closed_at_its_header_and_not_buffered() {
    let (cluster, room) = voting().await;
    let (server, pod) = (cluster.addresses()[0], &cluster.pods[0]);
    let filler = vec![0x55; 64 << 10];
    flood(Raw::stage(server, &room).await, &filler).await;
    let before = metric(pod, "process_resident_memory_bytes").await;
    let lengths = [4_097, 1 << 16, 1 << 31, 1 << 40, i64::MAX as u64];
    for length in lengths {
        for (first, code) in [(TEXT, 1009), (0x01, 1009), (0x82, 1009), (0x88, 1002), (PING, 1002)] {
            let mut raw = Raw::stage(server, &room).await;
            let since = Instant::now();
            raw.send(&header(first, length)).await;
            let (swallowed, said) = flood(raw, &filler).await;
            let what = format!("{first:#x} of {length}: {swallowed} bytes in {:?}, told {said:x?}", since.elapsed());
            assert_eq!(said, close_frame(code), "{what}");
            assert!(since.elapsed() < Duration::from_secs(1), "{what}");
            assert!(swallowed <= MAX_SWALLOWED, "{what}");
        }
    }
    let each = (metric(pod, "process_resident_memory_bytes").await - before) / (lengths.len() * 5) as f64;
    assert!(each < 64.0 * 1024.0, "each cost {each} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_are_closed_and_other_voters_are_answered() {
    let (cluster, room) = voting().await;
    let server = cluster.addresses()[0];
    let mut ann = Voter::join(&cluster.emcee().http, &[server], &room, "Ann", dice(7, 1)).await;
    ann.come_back().await;
    let floods: [(&str, Vec<u8>, Vec<u8>, u16); 5] = [
        ("pings", vec![], frame(PING, b"").repeat(1_000), 1008),
        ("pongs", vec![], frame(PONG, b"").repeat(1_000), 1008),
        ("texts that are no message", vec![], frame(TEXT, b"junk").repeat(1_000), 1008),
        ("pings that are messages", vec![], message("ping", json!({"id": 1})).repeat(1_000), 1008),
        ("pieces without end", frame(0x01, b""), frame(0x00, b"").repeat(1_000), 1009),
    ];
    let flooding = tokio::spawn(async move {
        for (what, start, bytes, code) in floods {
            for _ in 0..10 {
                let mut raw = Raw::stage(server, &room).await;
                raw.send(&start).await;
                let (_, said) = flood(raw, &bytes).await;
                assert!(
                    said.ends_with(&close_frame(code)),
                    "{what}: {} bytes, {:x?}",
                    said.len(),
                    said.last_chunk::<4>()
                );
            }
        }
    });
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let since = Instant::now();
        assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
        slowest = slowest.max(since.elapsed());
    }
    flooding.await.expect("every flood ends by a close");
    assert!(slowest < Duration::from_secs(2), "a vote took {slowest:?}");
}

/// More casts than are read ahead, in one write: reading pauses and resumes, and every cast is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_sent_at_once_are_read_in_parts_and_all_answered() {
    let (cluster, room) = voting().await;
    let (server, emcee) = (cluster.addresses()[0], cluster.emcee());
    let mut all = JoinSet::new();
    for number in 0..8 {
        let voter = Voter::join(&emcee.http, &[server], &room, &format!("V{number}"), dice(8, number)).await;
        all.spawn(async move {
            let mut raw = Raw::open(server).await;
            raw.hello(&voter.room, "voter", Some(&voter.token)).await;
            let casts = (1..=100).flat_map(|slip| {
                let cast = json!({"cast": {"round": 1, "slip": slip, "votes": "a"}}).to_string();
                frame(TEXT, format!("{cast:<400}").as_bytes())
            });
            raw.send(&casts.collect::<Vec<u8>>()).await;
            for slip in 1..=100 {
                let answer = raw.text_with(r#"{"ballot":"#).await;
                assert!(answer.contains(&format!(r#""votes":"{}""#, "a".repeat(slip))), "slip {slip}: {answer}");
            }
        });
    }
    all.join_all().await;
    assert_eq!(emcee.close(&room, 1).await["rounds"][0]["tally"]["total"], 800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_after_its_close_is_disconnected() {
    let cluster = Cluster::embedded().await;
    let mut raw = Raw::open(cluster.addresses()[0]).await;
    raw.send(&frame(TEXT, b"\xff")).await;
    let since = Instant::now();
    assert!(matches!(raw.next().await, Got::Frame(close) if close.payload == 1007_u16.to_be_bytes()));
    assert_eq!(raw.next().await, Got::End, "nothing more comes from the server");
    // it neither answers the close frame nor goes: it is not waited for
    while raw.tcp.write_all(&frame(TEXT, b"still here")).await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(6), "the server still listens");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
