//! Starts that must fail, each with words that name the cause; and starts that must wait.

use crate::output::objects;
use crate::support::http::Http;
use crate::support::redis::Redis;
use crate::support::server::Server;
use std::time::Duration;
use tempfile::TempDir;

struct Ledger {
    dir: TempDir,
}

impl Ledger {
    fn new() -> Ledger {
        Ledger { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("tallycast.redb")
    }

    fn url(&self) -> String {
        format!("embedded:{}", self.path().display())
    }
}

/// Starts a server that must end by itself with a failure, and gives what it said.
async fn refused(settings: &[(&str, &str)]) -> String {
    let ledger = Ledger::new();
    let url = ledger.url();
    let mut all = vec![("TALLYCAST__LEDGER__URL", url.as_str())];
    all.extend_from_slice(settings);
    let mut server = Server::spawn(&all);
    let status = server.ended_within(Duration::from_secs(15)).await;
    let status = status.unwrap_or_else(|| panic!("{settings:?} is accepted\n{}", server.log()));
    let log = server.log();
    assert!(!status.success(), "{settings:?}: ends with {status}\n{log}");
    assert!(!log.contains("panicked"), "{settings:?}: a clear error, no panic\n{log}");
    let errors = objects(&server).into_iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(
        (errors, log == server.output()),
        (1, true),
        "{settings:?}: one line says why, on standard output\n{log}"
    );
    log
}

/// Settings, and the words with which they must be refused.
type Refusal = (&'static [(&'static str, &'static str)], &'static [&'static str]);

fn assert_says(log: &str, words: &[&str], what: &str) {
    for word in words {
        assert!(log.to_lowercase().contains(&word.to_lowercase()), "{what}: {word:?} is not in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_out_of_range_settings_are_refused_with_key_limit_and_value() {
    let cases: [Refusal; 8] = [
        (&[("TALLYCAST__SERVER__PROT", "8080")], &["prot"]),
        (&[("TALLYCAST__SEVER__PORT", "8080")], &["sever"]),
        (&[("TALLYCAST__LEDGER__URI", "embedded:x")], &["uri"]),
        (&[("SERVER_PORT", "70000")], &["port", "65535", "70000"]),
        (&[("SERVER_PORT", "http")], &["port", "http"]),
        (&[("TALLYCAST__METRICS__PORT", "-1")], &["metrics", "port", "-1"]),
        (&[("TALLYCAST__SERVER__ROLE", "queen")], &["role", "queen", "audience"]),
        (&[("TALLYCAST__LEDGER__URL", "postgres://localhost")], &["ledger", "url", "embedded", "redis"]),
    ];
    let mut missing = Vec::new();
    for (settings, words) in cases {
        let log = refused(settings).await.to_lowercase();
        let unsaid: Vec<&&str> = words.iter().filter(|word| !log.contains(**word)).collect();
        if !unsaid.is_empty() {
            missing.push(format!("{settings:?}: {unsaid:?} is not in\n{log}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_refused_with_its_number() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let log = refused(&[("SERVER_PORT", &port)]).await;
    assert_says(&log, &[&port, "in use"], "a port in use");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_file_in_use_is_refused_and_the_first_process_continues() {
    let ledger = Ledger::new();
    let url = ledger.url();
    let first = Server::start(&[("TALLYCAST__LEDGER__URL", &url)]).await;
    let path = ledger.path().display().to_string();
    let log = refused(&[("TALLYCAST__LEDGER__URL", &url)]).await;
    assert_says(&log, &[&path, "use"], "a ledger in use");
    let ready = Http::new().get(&first.url("/readyz")).await.expect("an answer");
    assert_eq!(ready.status, 200, "{}", ready.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_or_broken_ledger_file_is_refused_and_left_as_it_was() {
    let noise: Vec<u8> = (0..40_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (what, bytes) in [("a text", b"this is somebody's diary\n".to_vec()), ("noise", noise)] {
        let ledger = Ledger::new();
        std::fs::write(ledger.path(), &bytes).expect("a file");
        let url = ledger.url();
        let log = refused(&[("TALLYCAST__LEDGER__URL", &url)]).await;
        assert_says(&log, &[&ledger.path().display().to_string()], what);
        assert_eq!(std::fs::read(ledger.path()).expect("still there"), bytes, "{what} was changed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_ledger_is_refused_or_complete_and_never_silently_empty() {
    let ledger = Ledger::new();
    let url = ledger.url();
    let settings = [("TALLYCAST__LEDGER__URL", url.as_str())];
    let mut server = Server::start(&settings).await;
    let emcee = crate::support::emcee::Emcee::new(vec![server.address()]);
    let room = emcee.create_plain("Precious", 3).await;
    assert!(server.interrupt().await.success());
    let whole = std::fs::read(ledger.path()).expect("a ledger");
    for keep in [whole.len() / 2, whole.len() / 4, 4_096, 100] {
        std::fs::write(ledger.path(), &whole[..keep]).expect("a file");
        let mut server = Server::spawn(&settings);
        match server.ended_within(Duration::from_secs(4)).await {
            Some(status) => {
                assert!(!status.success(), "{keep} bytes of {}: {status}", whole.len());
                assert_says(&server.log(), &[&ledger.path().display().to_string()], "a ledger cut short");
            }
            None => {
                server.ready().await;
                let emcee = crate::support::emcee::Emcee::new(vec![server.address()]);
                assert_eq!(emcee.room(&room).await["title"], "Precious", "{keep} bytes of {}", whole.len());
            }
        }
    }
    std::fs::write(ledger.path(), &whole).expect("a file");
    let server = Server::start(&settings).await;
    let emcee = crate::support::emcee::Emcee::new(vec![server.address()]);
    assert_eq!(emcee.room(&room).await["title"], "Precious");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_ledger_at_an_impossible_path_is_refused() {
    let log = refused(&[("TALLYCAST__LEDGER__URL", "embedded:/proc/nowhere/tallycast.redb")]).await;
    assert_says(&log, &["/proc/nowhere"], "a place without a directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_redis_and_logs_that_it_does() {
    let mut redis = Redis::prepared();
    let url = redis.url();
    let mut server = Server::spawn(&[("TALLYCAST__LEDGER__URL", &url)]);
    let (http, mut told) = (Http::new(), None);
    for _ in 0..200 {
        if let Ok(answer) = http.get(&server.url("/readyz")).await {
            told = Some(answer);
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = told.unwrap_or_else(|| panic!("nothing answers while Redis is down\n{}", server.log()));
    assert_eq!(told.status, 503, "{}", told.text);
    let reason = told.text.to_lowercase();
    assert!(reason.contains("ledger") || reason.contains("redis"), "the reason: {}", told.text);
    assert_eq!(http.get(&server.url("/healthz")).await.expect("an answer").status, 200, "it lives");
    redis.launch().await;
    server.ready().await;
    let emcee = crate::support::emcee::Emcee::new(vec![server.address()]);
    emcee.create_plain("After the wait", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_lose_acknowledged_writes_is_refused_or_not_ready() {
    let redis = Redis::start().await;
    redis.command("CONFIG SET appendfsync everysec").await;
    let url = redis.url();
    let server = Server::spawn(&[("TALLYCAST__LEDGER__URL", &url)]);
    // either it ends with the reason or it stays unready with the reason; never 200
    let http = Http::new();
    let mut said = String::new();
    for _ in 0..60 {
        if let Ok(answer) = http.get(&server.url("/readyz")).await {
            assert_ne!(answer.status, 200, "ready although Redis may lose votes: {}", answer.text);
            said = answer.text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = format!("{said}\n{}", server.log());
    assert_says(&all, &["appendfsync"], "the setting is named");
}
