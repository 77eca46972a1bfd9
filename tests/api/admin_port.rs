//! A port of the emcee's own: what is only there, what is not there, and that both serve one room.

use super::auth::emcee_calls;
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, round};
use crate::support::free_port;
use crate::support::http::Http;
use crate::support::server::{EMCEE_KEY, Server};
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const ADMIN_PORT: &str = "TALLYCAST__SERVER__ADMIN_PORT";

/// A process with a port of the emcee's own, and an emcee who uses it.
async fn apart(more: &[(&str, &str)]) -> (Cluster, Emcee) {
    let port = free_port().to_string();
    let cluster = Cluster::embedded_with(&[&[(ADMIN_PORT, port.as_str())], more].concat()).await;
    let emcee = Emcee::new(vec![cluster.pods[0].admin_address()]);
    (cluster, emcee)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_port_of_the_emcees_own_the_main_port_has_nothing_of_the_emcees() {
    let (cluster, emcee) = apart(&[]).await;
    let (public, pod) = (cluster.emcee(), &cluster.pods[0]);
    let room = emcee.create_plain("Guarded", 1).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(62, 0)).await;
    let before = emcee.export(&room).await;
    for (method, path, body) in emcee_calls() {
        let path = path.replace("{room}", &room).replace("{voter}", &ann.id);
        let body = Some(&body).filter(|body| !body.is_null());
        // with the right key: 404 as for any path that does not exist
        let answer = public.call(method.clone(), &path, body).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    let session = public.call(Method::POST, "/session", Some(&json!({"key": EMCEE_KEY}))).await;
    assert_eq!(session.status, 404, "{}", session.text);
    for path in ["/emcee", "/metrics", "/api/v1/openapi.json", "/api/v1/docs/", "/assets/js/emcee.js"] {
        assert_eq!(emcee.http.get(&pod.url(path)).await.expect("an answer").status, 404, "{path} on the main port");
    }
    for path in ["/healthz", "/readyz", "/health", "/", &format!("/stage/{room}")] {
        assert_eq!(emcee.http.get(&pod.url(path)).await.expect("an answer").status, 200, "{path} on the main port");
    }
    let after = emcee.export(&room).await;
    assert_eq!((&after["voters"], &after["rounds"]), (&before["voters"], &before["rounds"]), "nothing was changed");
    let view = public.call(Method::GET, &format!("/rooms/{room}"), None).await;
    assert_eq!(view.status, 200, "with the key, as the public sees it: {}", view.text);

    let mut socket = Socket::open(pod.address(), "somebody").await.expect("a socket");
    socket.say_hello(&room, "emcee", Some(EMCEE_KEY)).await;
    assert_eq!(socket.closed_within(Duration::from_secs(5)).await.0, Some(4401), "emcees have their own port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emcee_and_voters_share_a_room_across_both_ports() {
    let (cluster, emcee) = apart(&[]).await;
    let admin = cluster.pods[0].admin_address();
    let room = emcee.create_plain("Shared", 1).await;
    for path in ["/emcee", "/metrics", "/api/v1/openapi.json", "/healthz", &format!("/stage/{room}")] {
        let answer = emcee.http.get(&format!("http://{admin}{path}")).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path} on the emcee's port");
    }
    let mut desk = Socket::emcee(admin, &room).await;
    let mut stages = [Socket::stage(admin, &room).await, Socket::stage(cluster.addresses()[0], &room).await];
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(63, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "aab").await, Verdict::Stored);
    for stage in &mut stages {
        stage.wait_for("three votes", |name, body| name == "tally" && body["total"] == 3).await;
    }
    desk.wait_for("three votes", |name, body| name == "desk" && body["stored"] == 3).await;
    assert_eq!(round(&emcee.close(&room, 1).await, 1)["tally"]["votes"], json!([2, 1]));
    // links lead voters to their own port
    let invited = emcee.call(Method::POST, &format!("/rooms/{room}/invites"), Some(&json!({"names": ["Bea"]}))).await;
    let url = invited.expect(201, "invites")["invites"][0]["url"].as_str().expect("a link").to_owned();
    assert!(url.starts_with(&cluster.pods[0].url("/r/")), "{url}");
    let check = emcee.get("/check").await;
    assert_eq!(check["ok"], true, "{check}");
    assert_eq!(
        (&check["public_link"]["url"], &check["admin_url"]),
        (&cluster.pods[0].url("").into(), &format!("http://{admin}").into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_main_port_leaves_room_for_the_emcee_and_is_not_ready() {
    let (cluster, emcee) = apart(&[("TALLYCAST__SERVER__MAX_SOCKETS", "3")]).await;
    let (public, admin) = (cluster.addresses()[0], cluster.pods[0].admin_address());
    let room = emcee.create_plain("Full", 1).await;
    let mut crowd = vec![];
    for _ in 0..3 {
        crowd.push(Socket::stage(public, &room).await);
    }
    assert!(Socket::open(public, "one more").await.is_err(), "the main port is full");
    let mut desks = vec![];
    for _ in 0..20 {
        desks.push(Socket::emcee(admin, &room).await);
    }
    let ready = emcee.http.get(&cluster.pods[0].url("/readyz")).await.expect("an answer");
    assert!(ready.status == 503 && ready.text.contains("full"), "sockets of the emcee's port hide it: {}", ready.text);
    let capacity = crate::support::metrics::Metrics(
        emcee.http.get(&format!("http://{admin}/metrics")).await.expect("metrics").text,
    );
    assert_eq!(capacity.value("tallycast_sessions_capacity"), 3.0, "places for the audience");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_the_sockets_of_both_ports() {
    let (mut cluster, emcee) = apart(&[]).await;
    let room = emcee.create_plain("Goodbye", 1).await;
    let mut desk = Socket::emcee(cluster.pods[0].admin_address(), &room).await;
    let mut stage = Socket::stage(cluster.addresses()[0], &room).await;
    cluster.pods[0].signal("TERM");
    for socket in [&mut desk, &mut stage] {
        let (code, before) = socket.closed().await;
        assert_eq!(code, Some(1012));
        assert!(before.iter().any(|(name, body)| name == "bye" && body["reason"] == "draining"), "{before:?}");
    }
    assert!(cluster.pods[0].exit().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_an_emcee_refuses_a_port_for_one() {
    let port = free_port().to_string();
    for role in ["audience", "worker"] {
        let mut server = Server::spawn(&[("TALLYCAST__SERVER__ROLE", role), (ADMIN_PORT, &port)]);
        assert!(!server.exit().await.success());
        let log = server.log();
        assert!(log.contains("server.admin_port") && log.contains(&port), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_the_description_of_the_api_are_not_on_the_port_of_an_audience_process() {
    let cluster = Cluster::redis_with(&[vec![("TALLYCAST__SERVER__ROLE", "audience")], vec![("ADMIN", "1")]]).await;
    let http = Http::new();
    for (pod, status) in [(0, 404), (1, 200)] {
        for path in ["/metrics", "/api/v1/openapi.json", "/api/v1/docs/"] {
            let answer = http.get(&cluster.pods[pod].url(path)).await.expect("an answer");
            assert_eq!(answer.status, status, "{path} on process {pod}: {}", answer.text);
        }
        for path in ["/healthz", "/readyz", "/health"] {
            assert_eq!(http.get(&cluster.pods[pod].url(path)).await.expect("an answer").status, 200, "{path}");
        }
    }
    let described: Value = http.get(&cluster.pods[1].url("/api/v1/openapi.json")).await.expect("an answer").body;
    assert!(described["paths"]["/api/v1/rooms/{room}/join"].is_object(), "{described}");
}
