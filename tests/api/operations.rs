//! What an operator looks at: probes, metrics, the API's own description.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::http::{Answer, Http};
use crate::support::metrics::{Metrics, metric};
use crate::support::voter::{Verdict, Voter};
use crate::support::{free_port, socket::Socket};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Every route of the contract that this version has, as OpenAPI writes it.
const ROUTES: [(&str, &[&str]); 28] = [
    ("/session", &["post", "delete"]),
    ("/rooms", &["post", "get"]),
    ("/rooms/{room}", &["get", "patch", "delete"]),
    ("/rooms/{room}/undelete", &["post"]),
    ("/rooms/{room}/join", &["post"]),
    ("/rooms/{room}/me", &["get", "patch"]),
    ("/rooms/{room}/me/proof", &["get"]),
    ("/rooms/{room}/records", &["get"]),
    ("/rooms/{room}/votes", &["post"]),
    ("/rooms/{room}/voters", &["get"]),
    ("/rooms/{room}/voters/{voter}", &["patch"]),
    ("/rooms/{room}/invites", &["post", "get"]),
    ("/rooms/{room}/rounds/{n}/open", &["post"]),
    ("/rooms/{room}/rounds/{n}/deadline", &["post"]),
    ("/rooms/{room}/rounds/{n}/close", &["post"]),
    ("/rooms/{room}/rounds/{n}/take", &["post"]),
    ("/rooms/{room}/rounds/{n}/show", &["post"]),
    ("/rooms/{room}/rounds/{n}/decide", &["post"]),
    ("/rooms/{room}/reveal", &["put"]),
    ("/rooms/{room}/stage", &["put"]),
    ("/rooms/{room}/ranking", &["get"]),
    ("/rooms/{room}/export", &["get"]),
    ("/rooms/{room}/audit", &["get"]),
    ("/rooms/import", &["post"]),
    ("/purge", &["post"]),
    ("/check", &["get"]),
    ("/ledger/slow-log", &["get"]),
    ("/openapi.json", &[]),
];

/// The names of path parameters are the code's own business.
fn without_names(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openapi_document_lists_every_route() {
    let cluster = Cluster::embedded().await;
    let answer = Http::new().get(&cluster.pods[0].url("/api/v1/openapi.json")).await.expect("an answer");
    let document = answer.expect(200, "GET openapi.json");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{}", document["openapi"]);
    let paths = document["paths"].as_object().expect("paths");
    for (route, methods) in ROUTES {
        let full = without_names(&format!("/api/v1{route}"));
        let found = paths.iter().find(|(path, _)| [full.as_str(), &full[7..]].contains(&without_names(path).as_str()));
        for method in methods {
            let listed = found.is_some_and(|(_, operations)| operations[*method].is_object());
            assert!(listed, "{method} {route} is not in {:?}", paths.keys().collect::<Vec<_>>());
        }
    }
}

const SERIES: [&str; 12] = [
    "tallycast_sessions{",
    "tallycast_sessions_capacity ",
    "tallycast_joins_total ",
    "tallycast_casts_total{",
    "tallycast_votes_acknowledged_total ",
    "tallycast_votes_stored_total ",
    "tallycast_oldest_unshown_vote_seconds ",
    "tallycast_commit_seconds_bucket{",
    "tallycast_ack_seconds_bucket{",
    "tallycast_tally_lag_seconds_bucket{",
    "tallycast_ready ",
    "tallycast_draining ",
];

/// Reads the metrics until five votes are stored. In every reading the votes acknowledged are no
/// more than those stored: anything else is an alarm.
async fn at_rest(http: &Http, url: &str) -> Answer {
    let since = Instant::now();
    loop {
        let answer = http.get(url).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text);
        let metrics = Metrics(answer.text.clone());
        let [acknowledged, stored] =
            ["acknowledged", "stored"].map(|which| metrics.sum(&format!("tallycast_votes_{which}_total")));
        assert!(acknowledged <= stored, "acknowledged {acknowledged}, stored {stored}");
        if stored == 5.0 {
            return answer;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "stored: {stored}\n{}", answer.text);
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stable_series_exist_and_count_what_happened() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let emcee = cluster.emcee();
        let room = emcee.create_plain("Metrics", 1).await;
        let mut stage = Socket::stage(cluster.addresses()[0], &room).await;
        let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(95, 0)).await;
        emcee.open(&room, 1).await;
        for letters in ["aa", "b", "ab"] {
            assert_eq!(ann.cast(1, 1, letters).await, Verdict::Stored);
        }
        // a repeat and a refusal are casts, and no votes
        ann.shared = true;
        ann.send_cast(1, 1, 1, "aa").await.expect("the socket stays");
        ann.send_cast(1, 1, 1, "bb").await.expect("the socket stays");
        stage.wait_for("five votes", |name, body| name == "tally" && body["total"] == 5).await;
        emcee.close(&room, 1).await;
        let answer = at_rest(&emcee.http, &cluster.pods[0].url("/metrics")).await;
        assert!(answer.header("content-type").starts_with("text/plain"), "{}", answer.header("content-type"));
        for series in SERIES {
            assert!(
                answer.text.lines().any(|line| line.starts_with(series)),
                "{series} is missing in\n{}",
                answer.text
            );
        }
        let metrics = Metrics(answer.text.clone());
        let due = [
            ("tallycast_joins_total", 1.0),
            ("tallycast_casts_total", 5.0),
            ("tallycast_votes_acknowledged_total", 5.0),
            ("tallycast_votes_stored_total", 5.0),
            ("tallycast_sessions", 2.0),
            ("tallycast_ready", 1.0),
            ("tallycast_draining", 0.0),
        ];
        for (series, number) in due {
            assert_eq!(metrics.sum(series), number, "{series}\n{}", answer.text);
        }
        assert!(answer.text.contains("process_resident_memory_bytes"), "process metrics too");
        for secret in [&ann.id, &room] {
            assert!(!answer.text.contains(secret.as_str()), "labels never name rooms or voters");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tally_lag_is_measured_only_when_a_tally_is_sent() {
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__WORKERS", "1")]).await;
    let (emcee, pod) = (cluster.emcee(), cluster.addresses()[0]);
    let room = emcee.create_plain("Lag", 1).await;
    let mut stage = Socket::stage(pod, &room).await;
    let mut desk = Socket::emcee(pod, &room).await;
    let mut ann = Voter::join(&emcee.http, &[pod], &room, "Ann", dice(97, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    stage.wait_for("a vote", |name, body| name == "tally" && body["total"] == 1).await;
    let lags = async |desk: &mut Socket, seconds: u32| {
        for _ in 0..seconds {
            desk.expect("desk").await;
        }
        metric(&cluster.pods[0], "tallycast_tally_lag_seconds_count").await
    };
    let before = lags(&mut desk, 2).await;
    assert_eq!(lags(&mut desk, 3).await, before, "a desk each second is no tally");
    emcee.patch(&format!("/rooms/{room}"), serde_json::json!({"title": "Later"})).await;
    stage.wait_for("the new title", |name, body| name == "state" && body["room"]["title"] == "Later").await;
    assert_eq!(lags(&mut desk, 1).await, before, "nor is the same tally once more, with a new state");
    assert_eq!(ann.cast(1, 1, "b").await, Verdict::Stored);
    stage.wait_for("two votes", |name, body| name == "tally" && body["total"] == 2).await;
    assert!(lags(&mut desk, 1).await > before, "a vote's tally is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_probes_can_have_their_own_port() {
    let port = free_port();
    let text = port.to_string();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = format!("embedded:{}", dir.path().join("tallycast.redb").display());
    let settings = [("TALLYCAST__METRICS__PORT", text.as_str()), ("TALLYCAST__LEDGER__URL", ledger.as_str())];
    let server = crate::support::server::Server::spawn(&settings);
    let (http, since) = (Http::new(), Instant::now());
    for (path, text) in [("/readyz", ""), ("/healthz", ""), ("/metrics", "tallycast_ready 1")] {
        let url = format!("http://127.0.0.1:{port}{path}");
        loop {
            let answer = http.get(&url).await;
            if let Ok(answer) = answer
                && answer.status == 200
            {
                assert!(answer.text.contains(text), "{path}: {}", answer.text);
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{path} on port {port}\n{}", server.log());
            sleep(Duration::from_millis(20)).await;
        }
    }
    let public = http.get(&server.url("/metrics")).await.expect("an answer");
    assert_eq!(public.status, 404, "/metrics is gone from the public port");
    assert_eq!(http.get(&server.url("/")).await.expect("an answer").status, 200, "the pages stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_loss_and_return_of_redis_and_liveness_does_not() {
    let mut cluster = Cluster::redis(1).await;
    let (emcee, http) = (cluster.emcee(), Http::new());
    let room = emcee.create_plain("Outage", 1).await;
    emcee.open(&room, 1).await;
    let mut ann = Voter::join(&http, &cluster.addresses(), &room, "Ann", dice(96, 0)).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    cluster.redis.as_mut().expect("a cluster on Redis").kill9().await;
    let since = Instant::now();
    let reasons = loop {
        let ready = http.get(&cluster.pods[0].url("/readyz")).await.expect("an answer");
        if ready.status == 503 {
            break ready;
        }
        assert!(
            since.elapsed() < Duration::from_secs(4),
            "/readyz still says {} {:?} after",
            ready.status,
            since.elapsed()
        );
        sleep(Duration::from_millis(50)).await;
    };
    assert!(reasons.body.is_object() || reasons.body.is_array(), "the reasons as JSON: {}", reasons.text);
    assert!(
        reasons.text.to_lowercase().contains("ledger") || reasons.text.to_lowercase().contains("redis"),
        "{}",
        reasons.text
    );
    assert_eq!(http.get(&cluster.pods[0].url("/healthz")).await.expect("an answer").status, 200, "it lives");
    assert_eq!(http.get(&cluster.pods[0].url("/health")).await.expect("an answer").status, 503);
    let answer =
        emcee.call(reqwest::Method::POST, &format!("/rooms/{room}/rounds/1/close"), Some(&serde_json::json!({}))).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(["ledger_unavailable", "closing"].iter().any(|code| answer.body["code"] == *code), "{}", answer.text);
    cluster.redis.as_mut().expect("a cluster on Redis").launch().await;
    cluster.ready().await;
    let closed = emcee.clone().persistent().close(&room, 1).await;
    assert_eq!(crate::support::emcee::round(&closed, 1)["tally"]["votes"], serde_json::json!([1, 0]), "{closed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_written_whatever_the_log_filter_says() {
    let settings = [("TALLYCAST__LOG__FORMAT", "json"), ("TALLYCAST__LOG__FILTER", "error")];
    let cluster = Cluster::embedded_with(&settings).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Audited", 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann of the hall", dice(41, 0)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "aab").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    let log = cluster.pods[0].log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let audited: Vec<_> = lines.filter(|line| line["stream"] == "audit").collect();
    let event =
        |name: &str| audited.iter().find(|line| line["event"] == name).unwrap_or_else(|| panic!("{name}: {log}"));
    assert_eq!((&event("room_made")["code"], &event("room_made")["device"]), (&room.as_str().into(), &"key".into()));
    assert!(event("command")["command"].as_str().is_some_and(|command| command.starts_with("Open")), "{log}");
    let closed = event("closed");
    assert_eq!((&closed["round"], &closed["votes"], &closed["voters"]), (&1.into(), &"[2, 1]".into(), &1.into()));
    for secret in [ann.token.as_str(), ann.card.as_str(), "Ann of the hall"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slow_log_names_commands_without_their_arguments() {
    let embedded = Cluster::embedded().await.emcee().get("/ledger/slow-log").await;
    assert_eq!((&embedded["ledger"], &embedded["commands"]), (&"embedded".into(), &serde_json::json!([])));
    assert!(embedded["unreadable"].as_str().is_some_and(|why| why.contains("embedded ledger")), "{embedded}");

    let mut cluster = Cluster::redis(1).await;
    let emcee = cluster.emcee();
    cluster.redis.as_ref().expect("a cluster on Redis").command("CONFIG SET slowlog-log-slower-than 0").await;
    let room = emcee.create_plain("Slow", 1).await;
    emcee.open(&room, 1).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(98, 0)).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    let log = emcee.get("/ledger/slow-log").await;
    assert_eq!((&log["ledger"], &log["longer_than_us"]), (&"redis".into(), &0.into()), "{log}");
    let commands = log["commands"].as_array().expect("commands");
    let commit = commands.iter().find(|slow| slow["command"] == "EVALSHA commit").expect("the commit of the vote");
    let now = emcee.room(&room).await["now"].as_u64().expect("a time");
    assert!(commit["us"].is_u64() && commit["at"].as_u64().is_some_and(|at| at.abs_diff(now) < 60_000), "{commit}");
    let ids: Vec<_> = commands.iter().filter_map(|slow| slow["id"].as_u64()).collect();
    assert!(ids.len() == commands.len() && ids.is_sorted_by(|a, b| a > b), "newest first: {ids:?}");
    for secret in [ann.id.as_str(), ann.card.as_str(), "Ann", "tc:"] {
        assert!(!log.to_string().contains(secret), "{secret} is told: {log}");
    }
    let later = emcee.get(&format!("/ledger/slow-log?since={}", now + 60_000)).await;
    assert_eq!(later["commands"], serde_json::json!([]), "nothing was slow since");

    let redis = cluster.redis.as_mut().expect("a cluster on Redis");
    redis.kill9().await;
    redis.launch().await;
    cluster.ready().await;
    let restarted = emcee.get("/ledger/slow-log").await;
    assert!(log["server_run"].is_string() && restarted["server_run"] != log["server_run"], "{log}\n{restarted}");

    // as with a provider that lets nobody ask
    cluster.redis.as_ref().expect("a cluster on Redis").command("ACL SETUSER default -slowlog").await;
    let forbidden = emcee.get("/ledger/slow-log").await;
    assert_eq!(forbidden["commands"], serde_json::json!([]), "{forbidden}");
    assert!(
        forbidden["unreadable"].as_str().is_some_and(|why| why.contains("does not tell its slow log")),
        "{forbidden}"
    );
}
