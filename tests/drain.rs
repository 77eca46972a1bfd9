//! A pod is scaled away in mid-round: unready first, votes as before, goodbyes spread out, and gone in time.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::cluster::Cluster;
use support::dice;
use support::http::Http;
use support::socket::{Heard, Socket};
use support::voter::Voter;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The drain window of these tests.
const WINDOW_MS: u64 = 6_000;
/// What a Deployment of ours gives a pod to end in.
const GRACE: Duration = Duration::from_secs(60);

/// What one voter's socket saw of the drain.
struct Goodbye {
    /// After the signal.
    at: Duration,
    retry_ms: u64,
    /// Slips that were acknowledged after the signal.
    acknowledged: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_pod_accepts_votes_until_each_socket_has_its_bye() {
    let window = WINDOW_MS.to_string();
    let mut cluster = Cluster::redis_with(&[vec![("TALLYCAST__SERVER__DRAIN_MS", window.as_str())], vec![]]).await;
    let (going, staying) = (cluster.addresses()[0], cluster.addresses()[1]);
    let emcee = cluster.emcee().at(1);
    let room = emcee
        .create(json!({"title": "Drained", "votes_per_round": 100, "rounds": [
        {"title": "One", "choices": [{"label": "A"}, {"label": "B"}]}]}))
        .await;
    emcee.open(&room, 1).await;
    let mut sockets = vec![];
    for number in 0..120 {
        let voter = Voter::join(&emcee.http, &[staying], &room, &format!("V{number}"), dice(91, number)).await;
        sockets.push(Socket::hello(going, &room, "voter", Some(&voter.token)).await.0);
    }
    cluster.pods[0].signal("TERM");
    let since = Instant::now();
    let http = Http::new();
    let unready = async {
        while http.get(&cluster.pods[0].url("/readyz")).await.is_ok_and(|answer| answer.status == 200) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), unready).await.expect("unready first, while the sockets stay");
    let mut crowd = JoinSet::new();
    for socket in sockets {
        crowd.spawn(vote_until_bye(socket, since));
    }
    let goodbyes = crowd.join_all().await;
    assert_eq!(cluster.pods[0].exit().await.code(), Some(0), "{}", cluster.pods[0].log());

    let acknowledged: usize = goodbyes.iter().map(|goodbye| goodbye.acknowledged).sum();
    let spread = Duration::from_millis(WINDOW_MS);
    for half in [0, 1] {
        let told = goodbyes.iter().filter(|goodbye| usize::from(goodbye.at > spread / 2) == half).count();
        // 120 fair coins show fewer than 20 of either side once in 10^14
        assert!(told >= 20, "{told} of 120 were told in half {half} of the window");
    }
    assert!(goodbyes.iter().all(|goodbye| (1..=500).contains(&goodbye.retry_ms)));
    assert!(acknowledged >= 120, "votes were taken meanwhile: {acknowledged}");
    let record = emcee.close(&room, 1).await;
    let stored = record["rounds"][0]["tally"]["votes"][0].as_u64().expect("counts");
    assert_eq!(stored, acknowledged as u64, "each cast was answered before its socket went");
}

/// Casts one slip after the other until the server says goodbye; a cast that is under way is answered first.
async fn vote_until_bye(mut socket: Socket, since: Instant) -> Goodbye {
    let (mut acknowledged, mut bye): (usize, Option<Value>) = (0, None);
    let mut under_way = false;
    loop {
        if !under_way && bye.is_none() && acknowledged < 100 {
            socket.send("cast", json!({"round": 1, "slip": acknowledged + 1, "votes": "a"})).await;
            under_way = true;
        }
        match socket.next().await {
            Heard::Frame(name, body) if name == "ballot" => {
                assert!(body.get("refused").is_none(), "{body}");
                acknowledged = body["votes"].as_str().expect("a ballot").len();
                under_way = false;
                // a thumb is slower than a program
                sleep(Duration::from_millis(100)).await;
            }
            Heard::Frame(name, body) if name == "bye" => bye = Some(body),
            Heard::Frame(..) => {}
            Heard::Gone(code) => {
                let bye = bye.expect("a goodbye before the close");
                assert_eq!((code, &bye["reason"]), (Some(1012), &json!("draining")));
                let retry_ms = bye["retry_ms"].as_u64().expect("a time to come back");
                return Goodbye { at: since.elapsed(), retry_ms, acknowledged };
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_client_does_not_delay_a_drain_beyond_the_grace_period() {
    let mut cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__DRAIN_MS", "1000")]).await;
    let address = cluster.addresses()[0];
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Stuck", 1).await;
    // one that never reads again, one that never finishes its handshake, one that never finishes its request
    let stuck = Socket::stage(address, &room).await;
    let mut half = vec![];
    for begun in
        ["GET /ws HTTP/1.1\r\nHost: x\r\n", "POST /api/v1/rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"]
    {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("it is taken");
        half.push(stream);
    }
    let since = Instant::now();
    cluster.pods[0].signal("TERM");
    let status = cluster.pods[0].exit().await;
    assert!(status.success() && since.elapsed() < GRACE, "{status} after {:?}", since.elapsed());
    drop((stuck, half));
}
