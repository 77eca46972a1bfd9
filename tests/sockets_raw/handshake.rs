//! Which handshakes are accepted, and how the others are refused.

use crate::raw::{Answer, Raw, TIMEOUT, handshake, message, request};
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::metrics::metric_becomes;
use crate::support::voter::Voter;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// The answer to a request on a connection of its own, which a refusal must end.
async fn ask(server: SocketAddr, bytes: &[u8]) -> Answer {
    let mut raw = Raw::connect(server).await;
    raw.send(bytes).await;
    let answer = raw.answer().await;
    if answer.status != 101 {
        assert!(!raw.read_some(1).await, "a refused connection ends: {answer:?}");
    }
    answer
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.header("connection"), Some("close"), "{what}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{what}: {e}: {answer:?}"));
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{what}: {problem}");
    for member in ["type", "title", "detail"] {
        assert!(problem[member].is_string(), "{what}: {problem}");
    }
}

/// A handshake without the line that begins so, and with others.
fn but(server: SocketAddr, without: &str, with: &[&str]) -> Vec<u8> {
    let mut lines = handshake(server);
    lines.retain(|line| without.is_empty() || !line.starts_with(without));
    lines.extend(with.iter().map(|line| (*line).to_owned()));
    request(&lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_is_answered_with_the_accept_key_and_the_protocol_if_asked_for() {
    let cluster = Cluster::embedded().await;
    let server = cluster.addresses()[0];
    let plain = ask(server, &but(server, "", &[])).await;
    assert_eq!(plain.status, 101);
    assert_eq!(plain.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!((plain.header("upgrade"), plain.header("connection")), (Some("websocket"), Some("Upgrade")));
    assert_eq!(plain.header("sec-websocket-protocol"), None);
    for offer in ["tallycast.v1", "chat, tallycast.v1", "tallycast.v1,chat"] {
        let answer = ask(server, &but(server, "", &[&format!("Sec-WebSocket-Protocol: {offer}")])).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("tallycast.v1")), "{offer}");
    }
    let answer = ask(server, &but(server, "", &["Sec-WebSocket-Protocol: tallycast.v2"])).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, None));
    let extension = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let answer = ask(server, &but(server, "", &[extension])).await;
    assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None), "none is agreed upon");
    let odd = format!(
        "GET /ws?from=stage HTTP/1.1\r\nhost: {server}\r\nCONNECTION: keep-alive, UPGRADE\r\nupgrade: WebSocket\r\n\
         content-length: 0\r\nsec-websocket-version: 13\r\nsec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    assert_eq!(ask(server, odd.as_bytes()).await.status, 101, "names and tokens have no case");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_handshake_is_refused_with_a_problem_document() {
    let cluster = Cluster::embedded().await;
    let server = cluster.addresses()[0];
    let key = |key| format!("Sec-WebSocket-Key: {key}");
    let cases = [
        ("no version", "Sec-WebSocket-Version", None, 426),
        ("an old version", "Sec-WebSocket-Version", Some("Sec-WebSocket-Version: 8".to_owned()), 426),
        ("two versions", "", Some("Sec-WebSocket-Version: 13".to_owned()), 426),
        ("no key", "Sec-WebSocket-Key", None, 400),
        ("a short key", "Sec-WebSocket-Key", Some(key("dGhlIHNhbXBsZSBub25j")), 400),
        ("a long key", "Sec-WebSocket-Key", Some(key("dGhlIHNhbXBsZSBub25jZQEC")), 400),
        ("a key that is no base64", "Sec-WebSocket-Key", Some(key("!!!!!!!!!!!!!!!!!!!!!!==")), 400),
        ("two keys", "", Some(key("dGhlIHNhbXBsZSBub25jZQ==")), 400),
        ("no connection header", "Connection", None, 400),
        ("keep-alive alone", "Connection", Some("Connection: keep-alive".to_owned()), 400),
        ("a body", "", Some("Content-Length: 4".to_owned()), 400),
    ];
    for (what, without, with, status) in &cases {
        let with: Vec<&str> = with.iter().map(String::as_str).collect();
        let answer = ask(server, &but(server, without, &with)).await;
        let code = if *status == 426 { "upgrade_required" } else { "bad_handshake" };
        assert_problem(&answer, *status, code, what);
        if *status == 426 {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{what}");
        }
    }
    let old = [&b"GET /ws HTTP/1.0\r\n"[..], &but(server, "GET", &[])].concat();
    assert_problem(&ask(server, &old).await, 400, "bad_handshake", "HTTP/1.0");
    let no_upgrade = cluster.emcee().http.get(&cluster.pods[0].url("/ws")).await.expect("an answer");
    no_upgrade.expect_problem(426, "upgrade_required", "what a browser's address line asks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_of_anything_but_get_ws_gets_404_or_405() {
    for settings in [vec![], vec![("TALLYCAST__SERVER__ROLE", "audience")]] {
        let cluster = Cluster::embedded_with(&settings).await;
        let server = cluster.addresses()[0];
        let rest = &handshake(server)[1..];
        for (line, status) in [
            ("GET /wsx HTTP/1.1", 404),
            ("GET /ws/ HTTP/1.1", 404),
            ("GET / HTTP/1.1", 404),
            ("GET /metrics HTTP/1.1", 404),
            ("GET /api/v1/rooms HTTP/1.1", 404),
            ("POST /api/v1/rooms HTTP/1.1", 404),
            ("GET /emcee HTTP/1.1", 404),
            ("POST /ws HTTP/1.1", 405),
            ("DELETE /ws HTTP/1.1", 405),
            ("CONNECT /ws HTTP/1.1", 405),
            ("CONNECT example.org:443 HTTP/1.1", 405),
        ] {
            let lines = [&[line.to_owned()], rest].concat();
            let code = if status == 404 { "not_found" } else { "method_not_allowed" };
            assert_problem(&ask(server, &request(&lines)).await, status, code, line);
        }
        let connect = request(&["CONNECT example.org:443 HTTP/1.1".to_owned(), "Host: example.org:443".to_owned()]);
        assert_problem(&ask(server, &connect).await, 405, "method_not_allowed", "CONNECT alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_must_be_one_of_the_servers_own() {
    let urls = [
        ("TALLYCAST__SERVER__PUBLIC_URL", "https://vote.example.org/"),
        ("TALLYCAST__SERVER__ADMIN_URL", "https://desk.example.org:8443"),
    ];
    let cluster = Cluster::embedded_with(&urls).await;
    let server = cluster.addresses()[0];
    let port = server.port();
    let own = [&format!("http://{server}"), "https://vote.example.org", "https://desk.example.org:8443"];
    for origin in own {
        let answer = ask(server, &but(server, "", &[&format!("Origin: {origin}")])).await;
        assert_eq!(answer.status, 101, "{origin}: {answer:?}");
    }
    let foreign = [
        "null",
        "",
        "http://evil.example",
        &format!("https://{server}"),
        &format!("http://{server}.evil.example"),
        &format!("http://evil.example/{server}"),
        &format!("http://user@{server}"),
        "http://127.0.0.1",
        &format!("http://127.0.0.1:{}", port + 1),
        &format!("http://localhost:{port}"),
        &format!("ws://{server}"),
        "http://vote.example.org",
        "https://vote.example.org:444",
        "https://vote.example.org.evil.example",
        "https://desk.example.org",
        "file://",
    ];
    for origin in foreign {
        let answer = ask(server, &but(server, "", &[&format!("Origin: {origin}")])).await;
        assert_problem(&answer, 403, "cross_origin", origin);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_is_accepted_only_with_one_of_the_servers_origins() {
    let cluster = Cluster::embedded().await;
    let server = cluster.addresses()[0];
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Cookies", 1).await;
    let url = cluster.pods[0].url(&format!("/api/v1/rooms/{room}/join"));
    let joined = emcee.http.send(Method::POST, &url, &[], Some(&json!({"name": "Ann"}))).await.expect("an answer");
    let cookie = format!("Cookie: {}", joined.header("set-cookie").split(';').next().expect("a cookie"));
    let own = format!("Origin: http://{server}");
    for (with, welcome) in [(vec![&cookie, &own], true), (vec![&cookie], false), (vec![&own], false)] {
        let with: Vec<&str> = with.into_iter().map(String::as_str).collect();
        let mut raw = Raw::connect(server).await;
        raw.send(&but(server, "", &with)).await;
        assert_eq!(raw.answer().await.status, 101);
        raw.hello(&room, "voter", None).await;
        match welcome {
            true => assert!(raw.text_with("state").await.contains(r#""name":"Ann""#)),
            false => assert_eq!(raw.closed().await, Some(4401), "{with:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_max_sockets_the_answer_is_503_with_retry_after() {
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__MAX_SOCKETS", "3")]).await;
    let (server, pod) = (cluster.addresses()[0], &cluster.pods[0]);
    let mut sockets = vec![Raw::open(server).await, Raw::open(server).await, Raw::open(server).await];
    let full = ask(server, &but(server, "", &[])).await;
    assert_problem(&full, 503, "busy", "the fourth");
    let wait: u32 = full.header("retry-after").and_then(|secs| secs.parse().ok()).expect("Retry-After in seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let http = cluster.emcee().http;
    assert_eq!(http.get(&pod.url("/")).await.expect("an answer").status, 200, "pages still work");
    assert_eq!(http.get(&pod.url("/readyz")).await.expect("an answer").status, 503, "phones should go elsewhere");
    sockets.pop();
    metric_becomes(pod, "tallycast_sockets", TIMEOUT, |sockets| sockets == 2.0).await;
    sockets.push(Raw::open(server).await);
    metric_becomes(pod, "tallycast_sockets_refused_total", TIMEOUT, |refused| refused == 1.0).await;
    metric_becomes(pod, "tallycast_sessions_capacity", TIMEOUT, |most| most == 3.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_in_the_segment_of_the_handshake_are_handled_in_order() {
    let cluster = Cluster::embedded().await;
    let server = cluster.addresses()[0];
    let room = cluster.emcee().create_plain("Together", 1).await;
    let page = request(&["GET /healthz HTTP/1.1".to_owned(), format!("Host: {server}")]);
    let hello = message("hello", json!({"room": room, "role": "stage"}));
    let ping = message("ping", json!({"id": 1}));
    let mut raw = Raw::connect(server).await;
    raw.send(&[page, but(server, "", &[]), hello, ping].concat()).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(raw.answer().await.status, 101);
    raw.text_with(r#"{"state":"#).await;
    raw.text_with(r#"{"pong":{"id":1"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_closes_every_socket_with_or_without_a_subscription() {
    let mut cluster = Cluster::embedded().await;
    let server = cluster.addresses()[0];
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Goodbye", 1).await;
    let ann = Voter::join(&emcee.http, &[server], &room, "Ann", dice(1, 1)).await;
    let mut voter = Raw::open(server).await;
    voter.hello(&room, "voter", Some(&ann.token)).await;
    voter.sync().await;
    let sockets = [voter, Raw::stage(server, &room).await, Raw::open(server).await];
    cluster.pods[0].signal("TERM");
    for mut socket in sockets {
        assert_eq!(socket.closed().await, Some(1012));
    }
    let status = cluster.pods[0].ended_within(Duration::from_secs(5)).await.expect("it ends when its sockets are gone");
    assert!(status.success(), "{status}");
}
