//! A pod without free places: it is not ready, refuses further sockets, and still admits the emcee.

use crate::support::cluster::Cluster;
use crate::support::emcee::Emcee;
use crate::support::http::{Answer, Http};
use crate::support::server::EMCEE_KEY;
use crate::support::socket::Socket;
use reqwest::Method;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Error;

const PLACES: usize = 40;
/// Further ones that only an emcee gets.
const RESERVED: usize = 16;

async fn cluster(role: (&str, &str)) -> Cluster {
    let places = PLACES.to_string();
    Cluster::embedded_with(&[("TALLYCAST__SERVER__MAX_SOCKETS", places.as_str()), role]).await
}

/// Takes all places that everybody gets.
async fn filled(cluster: &Cluster, room: &str) -> Vec<Socket> {
    let mut sockets = vec![];
    for _ in 0..PLACES {
        sockets.push(Socket::stage(cluster.addresses()[0], room).await);
    }
    sockets
}

async fn readiness(cluster: &Cluster) -> Answer {
    Http::new().get(&cluster.pods[0].url("/readyz")).await.expect("an answer")
}

async fn becomes(cluster: &Cluster, status: u16) {
    let since = Instant::now();
    loop {
        let answer = readiness(cluster).await;
        if answer.status == status {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "not {status}: {} {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The status that a handshake with these headers is refused with.
async fn refused(pod: SocketAddr, headers: &[(&str, &str)]) -> Option<u16> {
    match Socket::open_with(pod, "one too many", headers).await {
        Err(Error::Http(answer)) => Some(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
        Ok(_) => None,
    }
}

/// The cookie of a fresh sign-in.
async fn sign_in(cluster: &Cluster) -> String {
    let url = cluster.pods[0].url("/api/v1/session");
    let body = json!({"key": EMCEE_KEY, "device": "Laptop"});
    let answer = Http::new().send(Method::POST, &url, &[], Some(&body)).await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    answer.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}

/// Headers with which an emcee's page opens its socket.
fn page<'a>(cookie: &'a str, origin: &'a str) -> [(&'static str, &'a str); 2] {
    [("cookie", cookie), ("origin", origin)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pod_is_not_ready_until_places_are_free() {
    let cluster = cluster(("TALLYCAST__SERVER__ROLE", "all")).await;
    let (pod, emcee) = (cluster.addresses()[0], cluster.emcee());
    let room = emcee.create_plain("Full", 1).await;
    let mut sockets = filled(&cluster, &room).await;
    let answer = readiness(&cluster).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    let reasons = answer.body["reasons"].as_array().expect("reasons");
    assert!(reasons.len() == 1 && reasons[0].as_str().is_some_and(|reason| reason.starts_with("full")), "{reasons:?}");
    let http = Http::new();
    assert_eq!(http.get(&cluster.pods[0].url("/health")).await.expect("an answer").status, 503);
    assert_eq!(http.get(&cluster.pods[0].url("/healthz")).await.expect("an answer").status, 200, "it lives");
    let metrics = http.get(&cluster.pods[0].url("/metrics")).await.expect("metrics").text;
    assert!(metrics.contains("\ntallycast_ready 0\n"), "{metrics}");
    assert_eq!(refused(pod, &[]).await, Some(503));
    // one who goes makes room for one, but the pod is full until there is room for some
    sockets.pop().expect("a socket").vanish();
    while refused(pod, &[]).await.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    becomes(&cluster, 503).await;
    // 95 % of 40
    sockets.truncate(37);
    becomes(&cluster, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emcee_can_connect_to_a_full_pod_without_taking_a_place_of_the_audience() {
    for role in [("TALLYCAST__SERVER__ROLE", "all"), ("TALLYCAST__SERVER__ROLE", "admin")] {
        let cluster = cluster(role).await;
        let (pod, emcee) = (cluster.addresses()[0], cluster.emcee());
        let room = emcee.create_plain("Full", 1).await;
        let _sockets = filled(&cluster, &room).await;
        assert_eq!(refused(pod, &[]).await, Some(503), "{role:?}");
        // commands and sign-in need no place
        emcee.open(&room, 1).await;
        let (cookie, origin) = (sign_in(&cluster).await, format!("http://{pod}"));
        let key = format!("Bearer {EMCEE_KEY}");
        let mut desks = vec![];
        for number in 0..RESERVED {
            let headers =
                if number == 0 { vec![("authorization", key.as_str())] } else { page(&cookie, &origin).into() };
            let mut desk = Socket::open_with(pod, "emcee", &headers).await.expect("an emcee comes in");
            desk.say_hello(&room, "emcee", (number == 0).then_some(EMCEE_KEY)).await;
            desk.expect("desk").await;
            desks.push(desk);
        }
        assert_eq!(refused(pod, &page(&cookie, &origin)).await, Some(503), "the reserve has an end");
        desks.pop().expect("a desk").vanish();
        // nobody else gets that place
        let stranger = page("tallycast_emcee=made.up", &origin);
        assert_eq!(refused(pod, &stranger).await, Some(503), "{role:?}");
        assert_eq!(refused(pod, &[("authorization", "Bearer not-the-key")]).await, Some(401));
        assert_eq!(refused(pod, &page(&cookie, "https://elsewhere.example")).await, Some(403), "a foreign page");
        assert_eq!(refused(pod, &[]).await, Some(503));
        let status = if role.1 == "admin" { 200 } else { 503 };
        assert_eq!(readiness(&cluster).await.status, status, "the emcee's own pods never depend on it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_pod_reserves_no_place_for_an_emcee() {
    let places = PLACES.to_string();
    let audience = [("TALLYCAST__SERVER__ROLE", "audience"), ("TALLYCAST__SERVER__MAX_SOCKETS", places.as_str())];
    let cluster = Cluster::redis_with(&[audience.to_vec(), vec![("ADMIN", "1")]]).await;
    let emcee: Emcee = cluster.emcee().at(1);
    let room = emcee.create_plain("Full", 1).await;
    let _sockets = filled(&cluster, &room).await;
    assert_eq!(readiness(&cluster).await.status, 503);
    let key = format!("Bearer {EMCEE_KEY}");
    assert_eq!(refused(cluster.addresses()[0], &[("authorization", &key)]).await, Some(503));
    emcee.open(&room, 1).await;
}
