//! Whom the server believes about a request, under which names it answers, and what it tells browsers to keep.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::Emcee;
use crate::support::http::Answer;
use crate::support::receiver::Receiver;
use crate::support::server::EMCEE_KEY;
use crate::support::voter::Voter;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TRUSTED: (&str, &str) = ("TALLYCAST__SERVER__TRUSTED_HOPS", "127.0.0.1");
const NAMED: (&str, &str) = ("TALLYCAST__SERVER__ALLOWED_HOSTS", "vote.example");
/// Headers of a proxy that ends TLS.
const BY_TLS: [(&str, &str); 2] = [("x-forwarded-proto", "https"), ("x-forwarded-host", "vote.example")];

async fn send(emcee: &Emcee, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let body = Some(&body).filter(|body| !body.is_null());
    emcee.http.send(method.clone(), &emcee.url(&method, path), headers, body).await.expect("an answer")
}

/// Sends these bytes on a connection of its own, and returns the head of the answer.
async fn head_of_answer(server: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server).await.expect("the server listens");
    stream.write_all(bytes).await.expect("the server reads");
    let mut answer = vec![];
    let reading = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(_) => break,
            }
        }
    };
    timeout(Duration::from_secs(10), reading).await.expect("an answer comes at once");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn handshake(server: SocketAddr, headers: &str) -> String {
    let request = format!(
        "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    head_of_answer(server, request.as_bytes()).await
}

/// The cookie that an answer sets: its name with its value, and the whole line.
fn cookie_of(answer: &Answer) -> (String, String) {
    let line = answer.header("set-cookie").to_owned();
    assert!(!line.is_empty(), "a cookie: {}", answer.text);
    (line.split(';').next().unwrap_or_default().to_owned(), line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_headers_of_a_client_that_is_no_trusted_hop_are_ignored() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Believed", 1).await;
    let key = format!("Bearer {EMCEE_KEY}");
    let lies =
        [("forwarded", "proto=https;host=evil.example;for=6.6.6.6"), BY_TLS[0], ("x-forwarded-host", "evil.example")];

    let invites = format!("/rooms/{room}/invites");
    let headers = [&lies[..], &[("authorization", key.as_str())]].concat();
    let invited =
        send(&emcee, Method::POST, &invites, &headers, json!({"names": ["Ann"]})).await.expect(201, "invites");
    let url = invited["invites"][0]["url"].as_str().expect("a link").to_owned();
    assert!(url.starts_with(&format!("http://{}/r/{room}", cluster.addresses()[0])), "a link to a stranger: {url}");

    let joined = send(&emcee, Method::POST, &format!("/rooms/{room}/join"), &lies, json!({"name": "Bela"})).await;
    let (_, line) = cookie_of(&joined);
    assert!(!line.contains("Secure") && line.starts_with("tallycast_"), "by http: {line}");
    assert_eq!(joined.header("strict-transport-security"), "", "by http");

    // the limit of wrong keys is that of the connection, whatever the client says
    let mut statuses = vec![];
    for client in 1..=40 {
        let claimed = format!("203.0.113.{client}");
        let headers = [("x-forwarded-for", claimed.as_str()), ("x-real-ip", claimed.as_str())];
        statuses.push(send(&emcee, Method::POST, "/session", &headers, json!({"key": "a wrong guess"})).await.status);
    }
    assert!(statuses.contains(&429), "40 claimed addresses guess as often as they like: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_name_that_is_not_the_servers_gets_421_and_so_does_its_socket() {
    let public = ("TALLYCAST__SERVER__PUBLIC_URL", "https://vote.example.org");
    for settings in [vec![], vec![public, NAMED]] {
        let cluster = Cluster::embedded_with(&settings).await;
        let (emcee, server) = (cluster.emcee(), cluster.addresses()[0]);
        let url = |path: &str| cluster.pods[0].url(path);
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "vote.example.org.evil.example"]
        {
            for path in ["/", "/emcee", "/api/v1/rooms", "/r/ABCDEF/plain", "/assets/js/voter.js", "/nowhere", "/ws"] {
                let answer =
                    emcee.http.send(Method::GET, &url(path), &[("host", host)], None).await.expect("an answer");
                let problem = answer.expect_problem(421, "unknown_host", &format!("{path} at {host}"));
                assert!(problem["detail"].as_str().is_some_and(|text| text.contains("ALLOWED_HOSTS")), "{problem}");
            }
            for path in ["/healthz", "/readyz", "/health", "/metrics"] {
                let answer =
                    emcee.http.send(Method::GET, &url(path), &[("host", host)], None).await.expect("an answer");
                assert_eq!(answer.status, 200, "{path} at {host}");
            }
            let refused = handshake(server, &format!("Host: {host}\r\n")).await;
            assert!(refused.starts_with("HTTP/1.1 421 "), "{host}: {refused}");
        }
        // who rebinds a name sends its own origin with it
        let rebound = handshake(server, "Host: evil.example\r\nOrigin: http://evil.example\r\n").await;
        assert!(rebound.starts_with("HTTP/1.1 421 "), "{rebound}");
        let port = server.port();
        for own in
            [server.to_string(), format!("localhost:{port}"), "hall-laptop".to_owned(), "laptop.local:80".to_owned()]
        {
            let answer = emcee.http.send(Method::GET, &url("/"), &[("host", &own)], None).await.expect("an answer");
            assert_eq!(answer.status, 200, "{own}");
            let accepted = handshake(server, &format!("Host: {own}\r\nOrigin: http://{own}\r\n")).await;
            let status = if own.ends_with(":80") { "403 " } else { "101 " };
            assert!(accepted.starts_with(&format!("HTTP/1.1 {status}")), "{own}: {accepted}");
        }
        for configured in ["vote.example.org", "vote.example"] {
            let answer =
                emcee.http.send(Method::GET, &url("/"), &[("host", configured)], None).await.expect("an answer");
            assert_eq!(answer.status, if settings.is_empty() { 421 } else { 200 }, "{configured}");
        }
    }
    let cluster = Cluster::embedded().await;
    for lines in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: user@localhost\r\n", "Host: localhost/x\r\n"] {
        let request = format!("GET / HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
        let answer = head_of_answer(cluster.addresses()[0], request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{lines:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_https_cookies_are_secure_and_for_this_host_alone_and_each_scheme_reads_its_own() {
    let cluster = Cluster::embedded_with(&[TRUSTED, NAMED]).await;
    let (emcee, server) = (cluster.emcee(), cluster.addresses()[0]);
    let room = emcee.create_plain("Cookies", 1).await;
    let own = format!("http://{server}");
    for (scheme, by, origin, foreign) in [
        ("https", &BY_TLS[..], "https://vote.example", "http://vote.example"),
        ("http", &[][..], own.as_str(), "https://vote.example"),
    ] {
        let name = format!("Voter by {scheme}");
        let joined = send(&emcee, Method::POST, &format!("/rooms/{room}/join"), by, json!({ "name": name })).await;
        let signed_in = send(&emcee, Method::POST, "/session", by, json!({"key": EMCEE_KEY})).await;
        let ((voter, voter_line), (desk, desk_line)) = (cookie_of(&joined), cookie_of(&signed_in));
        for line in [&voter_line, &desk_line] {
            assert_eq!(line.starts_with("__Host-tallycast_"), scheme == "https", "{line}");
            assert_eq!(line.contains("; Secure"), scheme == "https", "{line}");
            assert!(line.contains("Path=/;") && !line.contains("Domain"), "{line}");
        }
        let me = format!("/rooms/{room}/me");
        let title = json!({"title": format!("Changed by {scheme}")});
        let with = |cookie: &str, origin: &str| {
            [by, &[("cookie", cookie), ("origin", origin)]].concat().into_iter().map(own_pair).collect::<Vec<_>>()
        };
        let ask = async |method: Method, path: &str, headers: Vec<(String, String)>, body: Value| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            send(&emcee, method, path, &headers, body).await
        };
        ask(Method::GET, &me, with(&voter, origin), Value::Null).await.expect(200, scheme);
        ask(Method::PATCH, &format!("/rooms/{room}"), with(&desk, origin), title.clone()).await.expect(200, scheme);
        // the scheme is a part of the origin
        let crossed = ask(Method::PATCH, &format!("/rooms/{room}"), with(&desk, foreign), title).await;
        crossed.expect_problem(403, "cross_origin", scheme);
        // under the name of the other scheme it is nothing
        for (cookie, path) in [(&voter, me.as_str()), (&desk, "/rooms")] {
            let other = match cookie.strip_prefix("__Host-") {
                Some(bare) => bare.to_owned(),
                None => format!("__Host-{cookie}"),
            };
            let answer = ask(Method::GET, path, with(&other, origin), Value::Null).await;
            assert_eq!(answer.status, 401, "{other} by {scheme}: {}", answer.text);
        }
        let forwarded: String = by.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let opened =
            handshake(server, &format!("Host: {server}\r\n{forwarded}Origin: {origin}\r\nCookie: {voter}\r\n")).await;
        assert!(opened.starts_with("HTTP/1.1 101 "), "{opened}");
        let refused = handshake(server, &format!("Host: {server}\r\n{forwarded}Origin: {foreign}\r\n")).await;
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    }
}

fn own_pair((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_only_begins_as_this_machines_does_not_make_a_cookie_without_secure() {
    let names = ("TALLYCAST__SERVER__ALLOWED_HOSTS", "localhost.evil.example");
    let cluster = Cluster::embedded_with(&[TRUSTED, names]).await;
    let room = cluster.emcee().create_plain("Prefix", 1).await;
    let by = [BY_TLS[0], ("x-forwarded-host", "localhost.evil.example")];
    let joined =
        send(&cluster.emcee(), Method::POST, &format!("/rooms/{room}/join"), &by, json!({"name": "Ann"})).await;
    let (_, line) = cookie_of(&joined);
    assert!(line.contains("; Secure"), "through TLS: {line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_came_by_https_is_told_to_stay_and_others_are_not() {
    let cluster = Cluster::embedded_with(&[TRUSTED, NAMED]).await;
    let emcee = cluster.emcee();
    let told = async |path: &str, headers: &[(&str, &str)]| {
        let answer = emcee.http.send(Method::GET, &cluster.pods[0].url(path), headers, None).await.expect("an answer");
        answer.header("strict-transport-security").to_owned()
    };
    for path in ["/", "/emcee", "/api/v1/rooms", "/nowhere"] {
        assert_eq!(told(path, &BY_TLS).await, "max-age=31536000", "{path}");
        assert_eq!(told(path, &[("host", "vote.example")]).await, "", "{path} by http");
    }
    // another port of such a name may have no TLS
    assert_eq!(told("/", &[BY_TLS[0], ("host", "localhost:8443")]).await, "");
    assert_eq!(told("/", &[BY_TLS[0], ("host", "10.0.0.7")]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_about_a_person_and_nothing_of_the_emcee_stays_in_a_cache() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Caches", 1).await;
    emcee.open(&room, 1).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(61, 0)).await;
    let (voter, key) = (format!("Bearer {}", ann.token), format!("Bearer {EMCEE_KEY}"));
    let cast = json!({"round": 1, "take": 1, "slip": 1, "votes": "a"});
    let api = |path: &str| format!("/api/v1/rooms/{room}{path}");
    for (method, path, authorization, body) in [
        (Method::POST, api("/join"), "", json!({"name": "Bela"})),
        (Method::GET, api("/me"), &voter, Value::Null),
        (Method::PATCH, api("/me"), &voter, json!({"name": "Cleo"})),
        (Method::POST, api("/votes"), &voter, cast),
        (Method::GET, api(""), &key, Value::Null),
        (Method::GET, api("/me"), "", Value::Null),
        (Method::GET, "/api/v1/rooms".to_owned(), &key, Value::Null),
        (Method::GET, api("/voters"), &key, Value::Null),
        (Method::GET, api("/export?format=csv"), &key, Value::Null),
        (Method::GET, api("/export?format=archive"), &key, Value::Null),
        (Method::POST, "/api/v1/session".to_owned(), "", json!({"key": EMCEE_KEY})),
        (Method::GET, "/emcee".to_owned(), "", Value::Null),
        (Method::GET, format!("/r/{room}/plain"), "", Value::Null),
    ] {
        let headers = [("authorization", authorization)];
        let headers = if authorization.is_empty() { &[][..] } else { &headers };
        let body = Some(&body).filter(|body| !body.is_null());
        let answer =
            emcee.http.send(method.clone(), &cluster.pods[0].url(&path), headers, body).await.expect("an answer");
        assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}: {}", answer.status);
    }
    // what is the same for everybody may be kept, and is asked for by its tag
    for path in ["/", &format!("/r/{room}"), "/assets/js/voter.js"] {
        let answer = emcee.http.get(&cluster.pods[0].url(path)).await.expect("an answer");
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-cache"), "{path}");
        assert!(!answer.header("etag").is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_never_calls_an_address_from_the_request() {
    let other = Receiver::start(Some(200));
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await, Cluster::embedded_with(&[TRUSTED]).await] {
        let (emcee, key) = (cluster.emcee(), format!("Bearer {EMCEE_KEY}"));
        let host = other.address.to_string();
        for header in ["host", "x-forwarded-host", "forwarded"] {
            let value = if header == "forwarded" { format!("host={host}") } else { host.clone() };
            let headers = [("authorization", key.as_str()), (header, value.as_str())];
            let report = send(&emcee, Method::GET, "/check", &headers, Value::Null).await.expect(200, header);
            let own = cluster.pods[0].url("");
            assert_eq!(report["public_link"], json!({"url": own, "assumed": true}), "with {header}");
        }
        let called: Vec<_> = other.received().into_iter().map(|request| request.path).collect();
        assert_eq!(called, [] as [String; 0], "the caller has sent the server to a listener of its own");
    }
}

/// The head of a request with a body of 4 MiB, of which only a little is sent.
fn begun(method: &str, path: &str, server: SocketAddr, more: &str) -> Vec<u8> {
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{more}\r\n{{\"names\":[\"",
        4 * 1024 * 1024
    );
    head.into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_of_somebody_without_the_key_is_answered_without_being_read() {
    let cluster = Cluster::embedded().await;
    let (emcee, server) = (cluster.emcee(), cluster.addresses()[0]);
    let room = emcee.create_plain("Bodies", 1).await;
    // signed out again: only the ledger knows that
    let signed_in = send(&emcee, Method::POST, "/session", &[], json!({"key": EMCEE_KEY})).await;
    let (cookie, _) = cookie_of(&signed_in);
    let own = format!("http://{server}");
    send(&emcee, Method::DELETE, "/session", &[("cookie", &cookie), ("origin", &own)], Value::Null)
        .await
        .expect(204, "out");
    let signed_out = format!("Cookie: {cookie}\r\nOrigin: {own}\r\n");
    for who in ["", "Authorization: Bearer not-the-key-at-all\r\n", &signed_out] {
        for (method, path) in [("POST", format!("/rooms/{room}/invites")), ("PATCH", format!("/rooms/{room}"))] {
            let answer = head_of_answer(server, &begun(method, &path, server, who)).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{method} {path} {who}: {answer}");
        }
    }
    // what anybody may send is small
    for (method, path) in [("POST", format!("/rooms/{room}/join")), ("POST", format!("/rooms/{room}/votes"))] {
        let answer = head_of_answer(server, &begun(method, &path, server, "")).await;
        assert!(answer.starts_with("HTTP/1.1 422 "), "{method} {path}: {answer}");
    }
    let answer = head_of_answer(server, &begun("POST", "/session", server, "")).await;
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
    // without a length it is read up to the limit
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000));
    let chunked = format!(
        "POST /api/v1/rooms/{room}/join HTTP/1.1\r\nHost: {server}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    let answer = head_of_answer(server, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emcee_sends_bodies_of_megabytes_and_anybody_up_to_64_kib() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Bodies", 1).await;
    let names: Vec<_> = (0..10_000).map(|number| format!("Guest number {number}")).collect();
    let body = json!({ "names": names });
    assert!(body.to_string().len() > 128 * 1024, "more than anybody else may send");
    let invited = emcee.call(Method::POST, &format!("/rooms/{room}/invites"), Some(&body)).await.expect(201, "invites");
    assert_eq!(invited["invites"].as_array().map(Vec::len), Some(10_000));
    let padded = |bytes: usize| json!({"name": "Ann", "unknown": "x".repeat(bytes)});
    let join = format!("/rooms/{room}/join");
    emcee.public(Method::POST, &join, Some(&padded(65_000))).await.expect(201, "below 64 KiB");
    let refused = emcee.public(Method::POST, &join, Some(&padded(66_000))).await;
    assert_eq!(refused.expect_problem(422, "bad_request", "above 64 KiB")["field"], "body");
}
