//! One binary, three roles: what each process answers and what it does not.

use super::auth::emcee_calls;
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::round;
use crate::support::server::{EMCEE_KEY, Server};
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_process_serves_no_emcee_route_and_no_emcee_page() {
    let audience = vec![("TALLYCAST__SERVER__ROLE", "audience")];
    let cluster = Cluster::redis_with(&[audience, vec![("ADMIN", "1")]]).await;
    let emcee = cluster.emcee();
    let (public, admin) = (emcee.at(0), emcee.at(1));
    let room = admin.create_plain("Guarded", 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses()[..1], &room, "Ann", dice(90, 0)).await;
    let before = admin.export(&room).await;
    for (method, path, body) in emcee_calls() {
        let path = path.replace("{room}", &room).replace("{voter}", &ann.id);
        let body = Some(&body).filter(|body| !body.is_null());
        // with the right key: 404 as for any path that does not exist
        let answer = public.call(method.clone(), &path, body).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    let session = json!({"key": EMCEE_KEY});
    let answer = public.call(Method::POST, "/session", Some(&session)).await;
    assert_eq!(answer.status, 404, "POST /session: {}", answer.text);
    let page = emcee.http.get(&cluster.pods[0].url("/emcee")).await.expect("an answer");
    assert_eq!(page.status, 404, "/emcee");
    let after = admin.export(&room).await;
    assert_eq!((&after["voters"], &after["rounds"]), (&before["voters"], &before["rounds"]), "nothing was changed");

    // what a voter needs is there, and the two work together
    for path in ["/", &format!("/r/{room}"), &format!("/stage/{room}")] {
        let page = emcee.http.get(&cluster.pods[0].url(path)).await.expect("an answer");
        assert!(page.status == 200 && page.header("content-type").starts_with("text/html"), "{path}: {}", page.status);
    }
    public.public(Method::GET, &format!("/rooms/{room}"), None).await.expect(200, "the public view");
    admin.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "aab").await, Verdict::Stored);
    assert_eq!(round(&admin.close(&room, 1).await, 1)["tally"]["votes"], json!([2, 1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_1_is_short_for_the_admin_role() {
    let cluster = Cluster::redis_with(&[vec![("ADMIN", "1")], vec![("TALLYCAST__SERVER__ROLE", "admin")]]).await;
    for pod in 0..2 {
        let page = cluster.emcee().http.get(&cluster.pods[pod].url("/emcee")).await.expect("an answer");
        assert_eq!(page.status, 200, "/emcee on process {pod}");
        cluster.emcee().at(pod).get("/rooms").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_in_every_role_serves_its_pages_from_the_binary() {
    let cluster = Cluster::embedded().await;
    let room = cluster.emcee().create_plain("Pages", 1).await;
    let http = cluster.emcee().http;
    for path in ["/", "/emcee", &format!("/r/{room}"), &format!("/r/{room}/plain"), &format!("/stage/{room}")] {
        let page = http.get(&cluster.pods[0].url(path)).await.expect("an answer");
        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}: {}", page.header("content-type"));
        let policy = page.header("content-security-policy");
        assert!(!policy.is_empty() && !policy.contains("unsafe-inline"), "{path}: a strict policy: {policy:?}");
        assert!(page.text.len() > 200, "{path}: a page, not a stub");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis_a_start_without_an_emcee_key_is_refused_with_instructions() {
    let redis = crate::support::redis::Redis::start().await;
    let (url, redis_host) = (redis.url(), redis.port.to_string());
    for by in [
        vec![("TALLYCAST__LEDGER__URL", url.as_str())],
        vec![("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", redis_host.as_str())],
    ] {
        let mut settings = by.clone();
        settings.push(("TALLYCAST__EMCEE__KEY", ""));
        let mut server = Server::spawn(&settings);
        let status = server.exit().await;
        assert!(!status.success(), "{by:?}: {status}");
        assert!(server.log().contains("TALLYCAST__EMCEE__KEY"), "it says how: {}", server.log());
        Server::start(&by).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_process_needs_no_emcee_key_and_accepts_no_emcee_socket() {
    let cluster = Cluster::redis_with(&[
        vec![("TALLYCAST__SERVER__ROLE", "audience")],
        vec![("TALLYCAST__SERVER__ROLE", "admin")],
    ])
    .await;
    let room = cluster.emcee().at(1).create_plain("Desk", 1).await;
    let mut socket = Socket::open(cluster.addresses()[0], "somebody").await.expect("a socket");
    socket.say_hello(&room, "emcee", Some("emcee-key-guessed")).await;
    assert_eq!(socket.closed_within(Duration::from_secs(5)).await.0, Some(4401));
    let mut desk = Socket::emcee(cluster.addresses()[1], &room).await;
    let told: Value = desk.expect("desk").await;
    assert!(told["ledger"].is_object(), "{told}");
}
