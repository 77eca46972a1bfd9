//! The nginx of compose.yaml, which stands in front of several pods: how it finds them, and what it does when one goes.
//! Pods have addresses of 127.0.0.0/8 of their own, and the name that leads to them is a name server's of this test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::name_server::NameServer;
use super::proxy::{Proxy, Tls};
use super::support::cluster::Cluster;
use super::support::free_port;
use super::support::http::Http;
use super::support::server::EMCEE_KEY;

const NAME: &str = "pods";
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const THIRD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
const FOURTH: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
/// nginx caches addresses for a second; a busy machine may be late.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Each worker of nginx remembers addresses by itself, for this long at most: a second, and the rounding of its clock.
const REMEMBERED: Duration = Duration::from_millis(2_200);
/// Drain time of a pod in these tests.
const DRAIN_MS: &str = "3000";
const SOCKETS: usize = 300;

/// Something that answers every request with the same bytes, and counts them.
struct Pod {
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Pod {
    async fn at(host: Ipv4Addr, port: u16, answer: &'static str) -> Pod {
        let listener = TcpListener::bind((host, port)).await.expect("an address of this machine");
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_once(stream, answer, counted.clone()));
            }
        });
        Pod { asked, task }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Ends it: its address refuses connections from now on.
    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn answer_once(mut stream: TcpStream, answer: &str, asked: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let _ = stream.write_all(answer.as_bytes()).await;
}

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NO_ANSWER: &str = "";

/// The status that a request through nginx is answered with.
async fn status(proxy: &Proxy, method: &str, path: &str, more: &str) -> u16 {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: upgrade, close");
    let answer = timeout(TIMEOUT, proxy.ask(&format!("{head}\r\n{more}\r\n"))).await.expect("nginx answers");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

async fn get(proxy: &Proxy) -> u16 {
    status(proxy, "GET", "/", "").await
}

#[tokio::test]
async fn recreated_pods_are_found_at_their_new_addresses() {
    let port = free_port();
    let (first, second) = (Pod::at(FIRST, port, WELL).await, Pod::at(SECOND, port, WELL).await);
    let name_server = NameServer::resolving_to(&[FIRST, SECOND]).await;
    let proxy = Proxy::compose(NAME, port, name_server.address).await;
    for _ in 0..40 {
        assert_eq!(get(&proxy).await, 200);
    }
    assert!(first.asked() > 0 && second.asked() > 0, "one of two is never asked in 40 times once in 10^12");

    first.stop().await;
    second.stop().await;
    assert_eq!(get(&proxy).await, 502, "nobody is there");
    let (third, _fourth) = (Pod::at(THIRD, port, WELL).await, Pod::at(FOURTH, port, WELL).await);
    name_server.resolve_to(&[THIRD, FOURTH]);
    let since = Instant::now();
    let mut well_since = since;
    while well_since.elapsed() < REMEMBERED {
        if get(&proxy).await != 200 {
            well_since = Instant::now();
        }
        assert!(since.elapsed() < TIMEOUT, "the new addresses are never asked");
        sleep(Duration::from_millis(20)).await;
    }
    // one alone is left, and then none has the name
    third.stop().await;
    for _ in 0..10 {
        assert_eq!(get(&proxy).await, 200, "who refuses is passed over");
    }
    name_server.resolve_to(&[]);
    while get(&proxy).await != 502 {
        assert!(since.elapsed() < TIMEOUT, "an address without a name is still asked");
        sleep(Duration::from_millis(50)).await;
    }
    name_server.resolve_to(&[FOURTH]);
    while get(&proxy).await != 200 {
        assert!(since.elapsed() < TIMEOUT, "a name that is back is never asked for");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_client_refused_by_one_pod_is_accepted_by_the_other() {
    let port = free_port();
    let name_server = NameServer::resolving_to(&[FIRST, SECOND]).await;
    let proxy = Proxy::compose(NAME, port, name_server.address).await;
    let (busy, well) = (Pod::at(FIRST, port, BUSY).await, Pod::at(SECOND, port, WELL).await);
    let handshake = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    for _ in 0..20 {
        assert_eq!(get(&proxy).await, 200);
        assert_eq!(status(&proxy, "GET", "/ws", handshake).await, 200);
    }
    assert!(busy.asked() > 0 && well.asked() == 40);
    well.stop().await;
    let _busy_too = Pod::at(SECOND, port, BUSY).await;
    assert_eq!(get(&proxy).await, 503, "if all are busy, that is the answer");
}

#[tokio::test]
async fn a_post_with_an_unknown_outcome_is_not_sent_to_another_pod() {
    let port = free_port();
    let name_server = NameServer::resolving_to(&[FIRST, SECOND]).await;
    let proxy = Proxy::compose(NAME, port, name_server.address).await;
    for (answer, told) in [(NO_ANSWER, 502), (BUSY, 503)] {
        let (first, second) = (Pod::at(FIRST, port, answer).await, Pod::at(SECOND, port, answer).await);
        for method in ["POST", "PATCH"] {
            let before = first.asked() + second.asked();
            assert_eq!(status(&proxy, method, "/api/v1/rooms/K7M2QX/join", "").await, told, "{method}");
            assert_eq!(first.asked() + second.asked(), before + 1, "{method} came twice after {answer:?}");
        }
        let before = first.asked() + second.asked();
        assert_eq!(get(&proxy).await, told);
        assert_eq!(first.asked() + second.asked(), before + 2, "both are asked for a page");
        first.stop().await;
        second.stop().await;
    }
}

/// An address where nobody accepts: the kernel drops connection attempts, as for a container that is gone.
async fn silent(host: Ipv4Addr, port: u16) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((host, port))).expect("an address of this machine");
    let listener = socket.listen(1).expect("it listens");
    let mut waiting = vec![];
    while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect((host, port))).await {
        waiting.push(connected.expect("a connection that nobody takes"));
        assert!(waiting.len() < 10, "the kernel drops nobody");
    }
    (listener, waiting)
}

#[tokio::test]
async fn a_pod_that_does_not_answer_delays_a_page_by_a_second_and_loses_none() {
    let port = free_port();
    let _silent = silent(FIRST, port).await;
    let _well = Pod::at(SECOND, port, WELL).await;
    let name_server = NameServer::resolving_to(&[FIRST, SECOND]).await;
    let proxy = Arc::new(Proxy::compose(NAME, port, name_server.address).await);
    let mut asked = JoinSet::new();
    for number in 0..24 {
        let proxy = proxy.clone();
        // nothing was sent, so that a join may go to the other, too
        let method = ["GET", "POST"][number % 2];
        asked.spawn(async move { status(&proxy, method, "/", "").await });
    }
    let since = Instant::now();
    assert_eq!(asked.join_all().await, [200; 24]);
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}

/// What became of a socket that was told to reconnect.
#[derive(Default)]
struct Return {
    refused: usize,
    took: Duration,
}

/// A stage's socket through nginx, once it has its state; or the status of the refusal, 0 if it was closed first.
async fn open(proxy: &Proxy, room: &str) -> Result<WebSocketStream<Tls>, u16> {
    let request = format!("wss://localhost:{}/ws", proxy.port);
    let mut socket = match client_async(request, proxy.tls().await).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(answer)) => return Err(answer.status().as_u16()),
        Err(error) => panic!("nginx does not answer: {error}"),
    };
    socket
        .send(Message::text(json!({"hello": {"room": room, "role": "stage"}}).to_string()))
        .await
        .map_err(|_| 0_u16)?;
    loop {
        match timeout(TIMEOUT, socket.next()).await.expect("something comes") {
            Some(Ok(Message::Text(text))) if text.contains("\"state\"") => return Ok(socket),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(0),
            Some(Ok(_)) => {}
        }
    }
}

/// Waits for the goodbye and comes back as the page does (assets/js/lib/socket.js).
async fn come_back(mut socket: WebSocketStream<Tls>, proxy: Arc<Proxy>, room: String) -> Return {
    let mut retry_ms = None;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let frame: Value = serde_json::from_str(&text).expect("a message is JSON");
            retry_ms = frame["bye"]["retry_ms"].as_u64().or(retry_ms);
        }
    }
    let (gone, mut back) = (Instant::now(), Return::default());
    let asked_for = retry_ms.expect("a goodbye before the end");
    let mut wait = asked_for + rand::rng().random_range(0..=asked_for / 2);
    loop {
        sleep(Duration::from_millis(wait)).await;
        match open(&proxy, &room).await {
            Ok(_) => break,
            Err(status) => back.refused += usize::from(status != 0),
        }
        wait = rand::rng().random_range(0..=(300 << back.refused).min(5_000));
    }
    back.took = gone.elapsed();
    back
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_socket_is_refused_while_a_pod_drains() {
    let port = free_port();
    let (port_text, hosts) = (port.to_string(), [FIRST.to_string(), SECOND.to_string()]);
    let settings = |host| {
        vec![
            ("TALLYCAST__SERVER__HOST", host),
            ("SERVER_PORT", port_text.as_str()),
            ("TALLYCAST__SERVER__DRAIN_MS", DRAIN_MS),
        ]
    };
    let mut cluster = Cluster::redis_with(&[settings(&hosts[0]), settings(&hosts[1])]).await;
    let name_server = NameServer::resolving_to(&[FIRST, SECOND]).await;
    let proxy = Arc::new(Proxy::compose(NAME, port, name_server.address).await);
    let room = cluster.emcee().at(1).create_plain("Drained", 1).await;
    let mut opened = JoinSet::new();
    for _ in 0..SOCKETS {
        let (proxy, room) = (proxy.clone(), room.clone());
        opened.spawn(async move { open(&proxy, &room).await.expect("a place") });
    }
    let sockets = opened.join_all().await;

    let metrics = Http::new().get(&cluster.pods[0].url("/metrics")).await.expect("metrics").text;
    let here = metrics.lines().find_map(|line| line.strip_prefix("tallycast_sockets ")).expect("a gauge");
    let here: usize = here.parse().expect("a count");
    assert!(here > SOCKETS / 4, "{here} of {SOCKETS} are here: this shows nothing");

    cluster.pods[0].signal("TERM");
    let mut returns = JoinSet::new();
    for socket in sockets {
        returns.spawn(come_back(socket, proxy.clone(), room.clone()));
    }
    assert!(cluster.pods[0].exit().await.success());
    name_server.resolve_to(&[SECOND]);
    let mut back = vec![];
    while back.len() < here {
        let returned = timeout(TIMEOUT, returns.join_next()).await.expect("everybody comes back");
        back.push(returned.expect("there are more").expect("no panic"));
    }
    returns.abort_all();
    let mut took: Vec<_> = back.iter().map(|back| back.took).collect();
    took.sort_unstable();
    let refused: usize = back.iter().map(|back| back.refused).sum();
    let slowest = took[took.len() - 1];
    eprintln!("{} came back: {refused} refusals, median {:?}, slowest {slowest:?}", took.len(), took[took.len() / 2]);
    assert_eq!(refused, 0, "another pod was ready all the time");
    assert!(slowest < TIMEOUT, "{slowest:?}");
}

#[tokio::test]
async fn a_check_from_outside_passes_where_the_server_does_not_trust_the_certificate() {
    let port = free_port();
    let name_server = NameServer::resolving_to(&[Ipv4Addr::LOCALHOST]).await;
    let proxy = Proxy::compose(NAME, port, name_server.address).await;
    let (port, link) = (port.to_string(), proxy.url());
    let cluster = Cluster::embedded_with(&[("SERVER_PORT", &port), ("TALLYCAST__SERVER__PUBLIC_URL", &link)]).await;
    let check = async |trusted: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tallycast"));
        command.args(["check", "--url", &cluster.pods[0].url(""), "--key", EMCEE_KEY]).args(trusted);
        let ran = command.output().await.expect("it starts");
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let ca = proxy.root().display().to_string();
    let (code, said) = check(&["--ca", &ca]).await;
    assert!(code == Some(0) && said.contains(&format!("voters reach {link}/")), "{code:?} {said}");
    let (code, said) = check(&[]).await;
    assert!(code == Some(3) && said.contains(&format!("the certificate of {link} is not trusted")), "{code:?} {said}");
}
