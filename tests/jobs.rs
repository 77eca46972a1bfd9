//! Jobs are done at least once, each under its own id: seen from a chat that drops repeated ids.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use support::cluster::Cluster;
use support::dice;
use support::http::Http;
use support::receiver::{Received, Receiver};
use support::server::Server;
use support::voter::{Verdict, Voter};
use tokio::time::timeout;

/// Time limit for what must happen.
const SOON: Duration = Duration::from_secs(30);

/// The path of the webhook: a secret.
const HOOK: &str = "/hooks/secret-part";

/// A chat: a receiver of messages.
struct Chat(Receiver);

impl Chat {
    /// Answers every post with this status; `None`: holds the answers back.
    fn open(status: Option<u16>) -> Chat {
        Chat(Receiver::start(status))
    }

    fn url(&self) -> String {
        self.0.url() + HOOK
    }

    /// Waits until the posts, each an id and a text, are enough.
    async fn until(&self, what: &str, enough: impl Fn(&[(String, String)]) -> bool) -> Vec<(String, String)> {
        let received = self.0.wait_until(SOON, |received| enough(&posts(received))).await;
        posts(&received.unwrap_or_else(|| panic!("{what}: {:?}", posts(&self.0.received()))))
    }
}

/// Ids and texts of what was posted to the webhook.
fn posts(received: &[Received]) -> Vec<(String, String)> {
    let post = |post: &Received| {
        assert_eq!((post.method.as_str(), post.path.as_str()), ("POST", HOOK));
        let id = post.header("idempotency-key").expect("every post has an id").to_owned();
        let message: Value = serde_json::from_slice(&post.body).expect("a post is JSON");
        (id, message["text"].as_str().expect("a text").to_owned())
    };
    received.iter().map(post).collect()
}

/// What remains after repeated ids are dropped; each id must have the same text every time.
fn without_repeats(posts: &[(String, String)]) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (id, text) in posts {
        let before = kept.insert(id.clone(), text.clone());
        assert!(before.is_none_or(|before| before == *text), "{id} has two texts");
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_takes_over_the_job_of_a_killed_one_and_each_message_is_seen_once() {
    let cluster = Cluster::redis_with(&[vec![("TALLYCAST__SERVER__ROLE", "audience")], vec![("ADMIN", "1")]]).await;
    let redis = cluster.redis.as_ref().expect("a Redis").url();
    let chat = Chat::open(None);
    let hook = chat.url();
    let worker = [
        ("TALLYCAST__SERVER__ROLE", "worker"),
        ("TALLYCAST__LEDGER__URL", redis.as_str()),
        ("TALLYCAST__JOBS__WEBHOOK_URL", hook.as_str()),
        ("TALLYCAST__JOBS__LEASE_SECONDS", "2"),
    ];
    let mut doomed = Server::start(&worker).await;
    let emcee = cluster.emcee().at(1);
    let room = emcee.create_plain("Evening", 3).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses()[..1], &room, "Ann", dice(81, 0)).await;
    for round in 1..=3 {
        emcee.open(&room, round).await;
        assert_eq!(ann.cast(round, 1, "aab").await, Verdict::Stored);
        emcee.close(&room, round).await;
    }
    chat.until("the first message is on its way", |posts| !posts.is_empty()).await;
    doomed.kill9().await;
    chat.0.answer_with(200);
    let second = Server::start(&worker).await;
    // the job that was under way is done again, under its id
    let all = |posts: &[(String, String)]| without_repeats(posts).len() == 3 && posts.len() > 3;
    let posts = chat.until("all are told", all).await;
    let told = without_repeats(&posts);
    for (round, (id, text)) in (1..).zip(&told) {
        assert!(id.ends_with(&format!("-result-{round}-1")), "{id}");
        assert_eq!(*text, format!("Evening\nRound {round}, A against B: A wins. A 2, B 1 (1 voters)"));
    }
    // and no job is left
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
async fn a_message_is_retried_until_the_chat_is_back() {
    let chat = Chat::open(Some(503));
    let hook = chat.url();
    let settings = [("TALLYCAST__JOBS__WEBHOOK_URL", hook.as_str()), ("TALLYCAST__JOBS__LEASE_SECONDS", "1")];
    let cluster = Cluster::embedded_with(&settings).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Evening", 1).await;
    emcee.open(&room, 1).await;
    emcee.close(&room, 1).await;
    chat.until("it is tried again", |posts| posts.len() >= 2).await;
    chat.0.answer_with(200);
    // which of the tries is the one that gets through is chance
    assert!(chat.0.accepts_within(SOON).await, "it is told");
    assert_eq!(without_repeats(&posts(&chat.0.received())).len(), 1);
    assert!(!cluster.pods[0].log().contains("secret-part"), "the webhook's URL is a secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_written_after_each_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let exports = folder.path().join("exports");
    let cluster = Cluster::embedded_with(&[("TALLYCAST__JOBS__EXPORT_DIR", exports.to_str().expect("UTF-8"))]).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Kept", 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(82, 0)).await;
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
    let elsewhere = Cluster::embedded().await;
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
async fn a_worker_serves_only_probes_and_metrics() {
    let cluster = Cluster::redis(1).await;
    let redis = cluster.redis.as_ref().expect("a Redis").url();
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
