//! Evenings through a real nginx with the shipped configuration, certificates by the shipped script, and TLS.

#[path = "nginx/compose.rs"]
mod compose;
#[path = "nginx/name_server.rs"]
mod name_server;
#[path = "nginx/proxy.rs"]
mod proxy;
mod support;

use futures_util::{SinkExt, StreamExt};
use proxy::{Proxy, Tls, free_port};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use support::cluster::Cluster;
use support::receiver::Receiver;
use support::server::EMCEE_KEY;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// A shipped limit is 10 s; a busy machine may be late.
const CUT_WITHIN: Duration = Duration::from_secs(30);

/// One process that believes its nginx, as the manifests set it, and knows the name `vote.example`.
async fn behind_nginx() -> (Cluster, Proxy) {
    let believes = ("TALLYCAST__SERVER__TRUSTED_HOPS", "127.0.0.1");
    let cluster = Cluster::embedded_with(&[believes, ("TALLYCAST__SERVER__ALLOWED_HOSTS", "vote.example")]).await;
    let proxy = Proxy::start(cluster.pods[0].address()).await;
    (cluster, proxy)
}

async fn evening(proxy: &Proxy, options: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_tallycast")).with_file_name("loadtest");
    assert!(program.is_file(), "there is no load test at {}: run `cargo build --workspace`", program.display());
    let scenario = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/nginx/evening.toml");
    let mut command = Command::new(program);
    command.arg("run").arg(scenario).args(["--url", &proxy.url(), "--key", EMCEE_KEY, "--quiet"]).args(options);
    tokio::task::spawn_blocking(move || command.output().expect("the load test starts")).await.expect("it ends")
}

/// The socket of a stage through nginx, after hello, and the state that answered it.
async fn stage(proxy: &Proxy, room: &str) -> (WebSocketStream<Tls>, Value) {
    let request = format!("wss://localhost:{}/ws", proxy.port);
    let (mut socket, _) = client_async(request, proxy.tls().await).await.expect("the upgrade passes");
    let hello = json!({"hello": {"room": room, "role": "stage"}}).to_string();
    socket.send(Message::text(hello)).await.expect("hello goes out");
    let state = frame(&mut socket).await;
    (socket, state)
}

/// The next frame: a message, or `{"closed": code}`.
async fn frame(socket: &mut WebSocketStream<Tls>) -> Value {
    let next = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("a message is JSON"),
                Some(Ok(Message::Close(close))) => return json!({"closed": close.map(|close| u16::from(close.code))}),
                Some(Ok(_)) => {}
                end => panic!("the socket ended without a close: {end:?}"),
            }
        }
    };
    timeout(Duration::from_secs(20), next).await.expect("a frame comes")
}

#[test]
fn nginx_accepts_the_configuration() {
    let verdict = Proxy::prepared(SocketAddr::from(([127, 0, 0, 1], 8080))).verdict();
    let said = String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success() && said.contains("test is successful"), "{said}");
    // a warning about open files depends on the machine
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("[warn]") && !line.contains("open file")).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn an_evening_behind_tls_counts_every_vote() {
    let (_cluster, proxy) = behind_nginx().await;
    let ca = proxy.root().display().to_string();
    let ran = evening(&proxy, &["--ca", &ca, "--processes", "2", "--source", "127.0.0.2,127.0.0.3"]).await;
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("AUDIT: exact"), "{said}");
}

#[tokio::test]
async fn an_unknown_certificate_authority_is_reported_with_what_to_do() {
    let (_cluster, proxy) = behind_nginx().await;
    let ran = evening(&proxy, &[]).await;
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(104), "{said}");
    for words in ["the certificate of https://localhost", "UnknownIssuer", "--ca"] {
        assert!(said.contains(words), "{words} is missing in: {said}");
    }
}

#[tokio::test]
async fn forwarding_headers_of_a_client_do_not_reach_the_process() {
    let upstream = Receiver::start(Some(204));
    let proxy = Proxy::start(upstream.address).await;
    let claims = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: ftp\r\nX-Forwarded-Host: evil.example\r\n\
                  X-Forwarded-Port: 666\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6;host=evil.example\r\n\
                  Upgrade: websocket\r\nConnection: upgrade, close\r\n";
    let answer = proxy.ask(&format!("GET /elsewhere HTTP/1.1\r\nHost: vote.example\r\n{claims}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let received = upstream.wait_until(Duration::from_secs(20), |received| !received.is_empty()).await;
    let request = received.expect("the request came through").remove(0);
    let lines = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = lines.collect::<String>().to_ascii_lowercase();
    for lie in ["6.6.6.6", "evil.example", "ftp", "666", "upgrade"] {
        assert!(!head.contains(lie), "{lie} came through: {head}");
    }
    for truth in ["host: vote.example\r\n", "x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: https\r\n"] {
        assert!(head.contains(truth), "{truth} is missing: {head}");
    }
}

#[tokio::test]
async fn wrong_keys_are_rate_limited_whatever_address_the_client_claims() {
    let (_cluster, proxy) = behind_nginx().await;
    let guess = |claimed: u8| {
        format!(
            "GET /api/v1/rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer not-the-right-key\r\n\
             X-Forwarded-For: 10.0.0.{claimed}\r\nConnection: close\r\n\r\n"
        )
    };
    let mut answer = String::new();
    for claimed in 1..=40 {
        answer = proxy.ask(&guess(claimed)).await;
        if !answer.starts_with("HTTP/1.1 401") {
            break;
        }
    }
    assert!(answer.starts_with("HTTP/1.1 429"), "guessing goes on: {answer}");
    let other = proxy.ask_from([127, 0, 0, 2], &guess(1)).await;
    assert!(other.starts_with("HTTP/1.1 401"), "somebody else has to wait for it: {other}");
}

#[tokio::test]
async fn links_use_https_and_the_requested_host_name() {
    let (cluster, proxy) = behind_nginx().await;
    let room = cluster.emcee().create_plain("links", 1).await;
    let body = r#"{"names":["Ada"]}"#;
    let answer = proxy
        .ask(&format!(
            "POST /api/v1/rooms/{room}/invites HTTP/1.1\r\nHost: vote.example\r\nAuthorization: Bearer {EMCEE_KEY}\r\n\
             X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\nForwarded: proto=http;host=evil.example\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert!(answer.contains(&format!("\"https://vote.example/r/{room}")), "{answer}");
}

/// What a stranger would like the process to believe; nginx must overwrite or drop all of it.
const LIES: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: localhost\r\n\
                    Forwarded: for=6.6.6.6;proto=http;host=localhost\r\n";

#[tokio::test]
async fn behind_tls_cookies_are_secure_and_browsers_are_told_to_stay() {
    let (cluster, proxy) = behind_nginx().await;
    let room = cluster.emcee().create_plain("Secure", 1).await;
    let ask = async |head: &str, more: &str, body: &str| {
        let length = body.len();
        let head = format!("{head} HTTP/1.1\r\nHost: vote.example\r\n{LIES}{more}Content-Length: {length}\r\n");
        proxy.ask(&format!("{head}Connection: close\r\n\r\n{body}")).await
    };
    let joined = ask(&format!("POST /api/v1/rooms/{room}/join"), "", r#"{"name":"Ada"}"#).await;
    let signed_in = ask("POST /api/v1/session", "", &json!({"key": EMCEE_KEY}).to_string()).await;
    let mut cookies = vec![];
    for answer in [&joined, &signed_in] {
        let set =
            answer.lines().find_map(|line| line.strip_prefix("set-cookie: ").or(line.strip_prefix("Set-Cookie: ")));
        let set = set.unwrap_or_else(|| panic!("a cookie: {answer}"));
        assert!(set.starts_with("__Host-tallycast_") && set.contains("; Secure") && !set.contains("Domain"), "{set}");
        cookies.push(set.split(';').next().expect("name and value"));
        let told = answer.to_ascii_lowercase();
        assert_eq!(told.matches("strict-transport-security: max-age=31536000\r\n").count(), 1, "{answer}");
        assert!(told.contains("cache-control: no-store\r\n"), "{answer}");
    }
    let me = format!("GET /api/v1/rooms/{room}/me");
    let mine = ask(&me, &format!("Cookie: {}\r\n", cookies[0]), "").await;
    assert!(mine.starts_with("HTTP/1.1 200 ") && mine.contains("Ada"), "{mine}");
    let planted = cookies[0].trim_start_matches("__Host-");
    let answer = ask(&me, &format!("Cookie: {planted}\r\n"), "").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "a cookie that anybody's http may have set: {answer}");
    let patch = format!("PATCH /api/v1/rooms/{room}");
    for (origin, status) in [("https://vote.example", 200), ("http://vote.example", 403), ("http://localhost", 403)] {
        let more = format!("Cookie: {}\r\nOrigin: {origin}\r\n", cookies[1]);
        let answer = ask(&patch, &more, r#"{"title":"Changed"}"#).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {answer}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_the_servers_is_refused_through_nginx_and_so_is_its_socket() {
    let (_cluster, proxy) = behind_nginx().await;
    let handshake =
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (head, more) in [("GET / HTTP/1.1", "Connection: close\r\n"), ("GET /ws HTTP/1.1", "Connection: upgrade\r\n")] {
        let more = if head.contains("/ws") { format!("{handshake}{more}") } else { more.to_owned() };
        // the header that names a good host is the client's own
        let request = format!("{head}\r\nHost: evil.example\r\nX-Forwarded-Host: vote.example\r\n{more}\r\n");
        let answer = proxy.ask(&request).await;
        assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("unknown_host"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn bye_messages_and_close_codes_pass_through() {
    let (mut cluster, proxy) = behind_nginx().await;
    let (_socket, refused) = stage(&proxy, "222222").await;
    assert_eq!(refused, json!({"closed": 4404}), "a room that is not there");

    let room = cluster.emcee().create_plain("goodbye", 1).await;
    let (mut socket, state) = stage(&proxy, &room).await;
    assert_eq!(state["state"]["room"]["room"], room.as_str(), "{state}");
    cluster.pods[0].signal("TERM");
    let goodbye = loop {
        let frame = frame(&mut socket).await;
        if frame.get("presence").is_none() {
            break frame;
        }
    };
    assert_eq!(goodbye["bye"]["reason"], "draining", "{goodbye}");
    assert!(goodbye["bye"]["retry_ms"].as_u64() <= Some(500), "{goodbye}");
    assert_eq!(frame(&mut socket).await, json!({"closed": 1012}));
    assert!(cluster.pods[0].exit().await.success());
}

#[tokio::test]
async fn a_client_that_sends_very_slowly_is_disconnected_and_delays_nobody() {
    let (cluster, proxy) = behind_nginx().await;
    let begun = Instant::now();
    // a head without an end, a byte a second
    let dribble = async {
        let (mut from, mut to) = tokio::io::split(proxy.tls().await);
        let slow = async {
            for byte in "GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: ".bytes().chain(std::iter::repeat(b'x')) {
                if to.write_all(&[byte]).await.is_err() || to.flush().await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = slow => {}
            // an answer may come first; the end does in any case
            _ = async { from.read_to_end(&mut vec![]).await } => {}
        }
    };
    // somebody who never begins with TLS
    let silence = async {
        let _ = proxy.tcp([127, 0, 0, 1]).await.read_to_end(&mut vec![]).await;
    };
    let healthy = async {
        let answer = proxy.ask("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(5), "a healthy client waited {:?}", begun.elapsed());
    };
    let cut = timeout(CUT_WITHIN, async { tokio::join!(dribble, silence, healthy) }).await;
    assert!(cut.is_ok(), "a slow client still holds its connection after {CUT_WITHIN:?}");
    assert!(begun.elapsed() > Duration::from_secs(5), "nobody was slow: this shows nothing");
    drop(cluster);
}

#[tokio::test]
async fn plain_http_is_redirected_to_https_under_the_requested_host_name() {
    // nobody listens there: a redirect needs no process
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], free_port()))).await;
    let ask = async |request: &str| {
        let mut phone = TcpStream::connect(("127.0.0.1", proxy.redirect)).await.expect("nginx listens");
        phone.write_all(request.as_bytes()).await.expect("nginx reads");
        let mut answer = String::new();
        // nginx closes the connection, so that it occupies no place
        timeout(CUT_WITHIN, phone.read_to_string(&mut answer)).await.expect("it ends").expect("an answer");
        answer
    };
    for (request, location) in [
        ("GET /r/AB12?from=poster HTTP/1.1\r\nHost: vote.example\r\n\r\n", "https://vote.example/r/AB12?from=poster"),
        ("GET / HTTP/1.1\r\nHost: vote.example:80\r\n\r\n", "https://vote.example/"),
        (
            "GET /ws HTTP/1.1\r\nHost: vote.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "https://vote.example/ws",
        ),
    ] {
        let answer = ask(request).await;
        assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
        assert!(answer.contains(&format!("\r\nLocation: {location}\r\n")), "{answer}");
        assert!(answer.contains("Server: nginx\r\n"), "the version is nobody's business: {answer}");
    }
    for nameless in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01 no http at all\r\n\r\n"] {
        let answer = ask(nameless).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "there is nowhere to send anybody: {answer}");
    }
}

#[tokio::test]
async fn the_probe_answers_without_the_process_and_serves_nothing_else() {
    // nobody listens there
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], free_port()))).await;
    let http = support::http::Http::new();
    let probe = |path: &str| format!("http://127.0.0.1:{}{path}", proxy.probe);
    let answer = http.get(&probe("/nginx-health")).await.expect("nginx answers");
    assert_eq!((answer.status, answer.text.as_str()), (200, "alive\n"));
    assert_eq!(http.get(&probe("/")).await.expect("nginx answers").status, 404);
    let answer = proxy.ask("GET /nginx-health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "the probe is not for the public: {answer}");
    assert!(answer.contains("Server: nginx\r\n"), "the version is nobody's business: {answer}");
}
