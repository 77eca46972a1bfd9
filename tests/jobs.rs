//! Jobs are done at least once, each under an id of its own: seen from a chat that drops repeated ids.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use support::dice;
use support::hall::Hall;
use support::http::Http;
use support::server::Server;
use support::voter::{Verdict, Voter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long something may take that must come.
const SOON: Duration = Duration::from_secs(30);

/// A chat that takes messages, and can be made to think about its answer.
#[derive(Clone)]
struct Chat {
    url: String,
    posts: Arc<Mutex<Vec<(String, String)>>>,
    posted: Arc<Notify>,
    answers: watch::Sender<Option<u16>>,
    /// Posts that were answered with 200.
    taken: watch::Sender<usize>,
}

impl Chat {
    /// Answers every post with this status; `None`: keeps them waiting.
    async fn open(status: Option<u16>) -> Chat {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hooks/secret-part", listener.local_addr().expect("an address"));
        let (answers, _) = watch::channel(status);
        let (taken, _) = watch::channel(0);
        let chat = Chat { url, posts: Arc::default(), posted: Arc::default(), answers, taken };
        let serving = chat.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        chat
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut bytes).await {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let field = |name: &str| {
                let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
                line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
            };
            let length: usize = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() < length {
                continue;
            }
            let id = field("idempotency-key").expect("every post has an id");
            let message: Value = serde_json::from_str(body).expect("a post is JSON");
            let said = message["text"].as_str().expect("a text").to_owned();
            self.posts.lock().unwrap().push((id, said));
            self.posted.notify_waiters();
            let mut answers = self.answers.subscribe();
            let Ok(status) = answers.wait_for(Option::is_some).await.map(|status| status.expect("a status")) else {
                return;
            };
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
            self.taken.send_modify(|taken| *taken += usize::from(status == 200));
            return;
        }
    }

    /// Waits until what was posted is enough.
    async fn until(&self, what: &str, enough: impl Fn(&[(String, String)]) -> bool) -> Vec<(String, String)> {
        let waiting = async {
            loop {
                let posted = self.posted.notified();
                let posts = self.posts.lock().unwrap().clone();
                if enough(&posts) {
                    return posts;
                }
                posted.await;
            }
        };
        match timeout(SOON, waiting).await {
            Ok(posts) => posts,
            Err(_) => panic!("{what}: {:?}", self.posts.lock().unwrap()),
        }
    }
}

/// What a receiver keeps that drops repeated ids; each id must say the same every time.
fn without_repeats(posts: &[(String, String)]) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (id, text) in posts {
        let before = kept.insert(id.clone(), text.clone());
        assert!(before.is_none_or(|before| before == *text), "{id} says two things");
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_in_mid_job_leaves_it_to_another_and_each_is_seen_once() {
    let hall = Hall::redis_with(&[vec![("TALLYCAST__SERVER__ROLE", "audience")], vec![("ADMIN", "1")]]).await;
    let redis = hall.redis.as_ref().expect("a Redis").url();
    let chat = Chat::open(None).await;
    let worker = [
        ("TALLYCAST__SERVER__ROLE", "worker"),
        ("TALLYCAST__LEDGER__URL", redis.as_str()),
        ("TALLYCAST__JOBS__WEBHOOK_URL", chat.url.as_str()),
        ("TALLYCAST__JOBS__LEASE_SECONDS", "2"),
    ];
    let mut doomed = Server::start(&worker).await;
    let emcee = hall.emcee().at(1);
    let room = emcee.create_plain("Evening", 3).await;
    let mut ann = Voter::join(&emcee.http, &hall.addresses()[..1], &room, "Ann", dice(81, 0)).await;
    for round in 1..=3 {
        emcee.open(&room, round).await;
        assert_eq!(ann.cast(round, 1, "aab").await, Verdict::Stored);
        emcee.close(&room, round).await;
    }
    chat.until("the first message is on its way", |posts| !posts.is_empty()).await;
    doomed.kill9().await;
    chat.answers.send_replace(Some(200));
    let second = Server::start(&worker).await;
    // the one that was under way is told again, under its id
    let all = |posts: &[(String, String)]| without_repeats(posts).len() == 3 && posts.len() > 3;
    let posts = chat.until("all are told", all).await;
    let told = without_repeats(&posts);
    for (round, (id, text)) in (1..).zip(&told) {
        assert!(id.ends_with(&format!("-result-{round}-1")), "{id}");
        assert_eq!(*text, format!("Evening\nRound {round}, A against B: A wins. A 2, B 1 (1 voters)"));
    }
    // and nothing is left to do
    let metrics = Http::new();
    let idle = async {
        loop {
            let text = metrics.get(&second.url("/metrics")).await.expect("metrics").text;
            if text.contains("tallycast_jobs_waiting 0")
                && text.contains("tallycast_jobs_done_total{kind=\"message\"} 3")
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, idle).await.expect("no job is left, and none was done twice by the second worker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_is_down_is_told_when_it_is_back() {
    let chat = Chat::open(Some(503)).await;
    let settings = [("TALLYCAST__JOBS__WEBHOOK_URL", chat.url.as_str()), ("TALLYCAST__JOBS__LEASE_SECONDS", "1")];
    let hall = Hall::embedded_with(&settings).await;
    let emcee = hall.emcee();
    let room = emcee.create_plain("Evening", 1).await;
    emcee.open(&room, 1).await;
    emcee.close(&room, 1).await;
    chat.until("it is tried again", |posts| posts.len() >= 2).await;
    chat.answers.send_replace(Some(200));
    // which of the tries is the one that gets through is chance
    let mut taken = chat.taken.subscribe();
    timeout(SOON, taken.wait_for(|taken| *taken > 0)).await.expect("it is told").expect("the chat is open");
    assert_eq!(without_repeats(&chat.posts.lock().unwrap()).len(), 1);
    assert!(!hall.pods[0].log().contains("secret-part"), "the webhook's URL is a secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_close_an_archive_lies_where_exports_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let exports = folder.path().join("exports");
    let hall = Hall::embedded_with(&[("TALLYCAST__JOBS__EXPORT_DIR", exports.to_str().expect("UTF-8"))]).await;
    let emcee = hall.emcee();
    let room = emcee.create_plain("Kept", 1).await;
    let mut ann = Voter::join(&emcee.http, &hall.addresses(), &room, "Ann", dice(82, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "ab").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    let file = exports.join(format!("{room}.ndjson"));
    let written = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, written).await.expect("an archive");
    let archive = std::fs::read_to_string(&file).expect("it is whole: it was put there at once");
    assert_eq!(archive.lines().count() - 1, last_line(&archive)["end"]["lines"]);
    let elsewhere = Hall::embedded().await;
    let there = elsewhere.emcee();
    let url = there.url(&Method::POST, "/rooms/import");
    let key = format!("Bearer {}", support::server::EMCEE_KEY);
    let headers = [("authorization", key.as_str())];
    let imported = there.http.send_bytes(Method::POST, &url, &headers, archive.into_bytes()).await.expect("an answer");
    assert_eq!(imported.expect(201, "the import")["rounds"][0]["tally"]["votes"], json!([1, 1]));
}

fn last_line(text: &str) -> Value {
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_serves_probes_and_metrics_and_nobody_else() {
    let hall = Hall::redis(1).await;
    let redis = hall.redis.as_ref().expect("a Redis").url();
    let settings = [("TALLYCAST__SERVER__ROLE", "worker"), ("TALLYCAST__LEDGER__URL", redis.as_str())];
    let mut worker = Server::start(&settings).await;
    let http = Http::new();
    for (path, status) in
        [("/healthz", 200), ("/metrics", 200), ("/", 404), ("/ws", 404), ("/emcee", 404), ("/api/v1/rooms", 404)]
    {
        assert_eq!(http.get(&worker.url(path)).await.expect("an answer").status, status, "{path}");
    }
    worker.signal("TERM");
    assert!(worker.exit().await.success());
}
