//! What a process writes: for people at a terminal, and for machines.

use crate::support::free_port;
use crate::support::http::Http;
use crate::support::server::{EMCEE_KEY, Server};
use reqwest::Method;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);
const JSON: (&str, &str) = ("TALLYCAST__LOG__FORMAT", "json");

/// Standard output as a machine reads it: nothing but one JSON object a line.
pub fn objects(server: &Server) -> Vec<Value> {
    let object = |line: &str| match serde_json::from_str(line) {
        Ok(object @ Value::Object(_)) => object,
        _ => panic!("no JSON object on a line of its own: {line}\n--- everything:\n{}", server.log()),
    };
    server.output().lines().map(object).collect()
}

/// Waits for what a process writes.
async fn written<T>(server: &Server, what: &str, find: impl Fn() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(since.elapsed() < TIMEOUT, "{what} is not written\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The one line that says what has started.
async fn started(server: &Server) -> Value {
    let line = || objects(server).into_iter().find(|line| line.get("version").is_some());
    written(server, "what has started", line).await
}

fn embedded(folder: &TempDir) -> String {
    format!("embedded:{}", folder.path().join("tallycast.redb").display())
}

async fn status_with_key(server: &Server, key: &str) -> u16 {
    let bearer = format!("Bearer {key}");
    let asked = Http::new().send(Method::GET, &server.url("/api/v1/rooms"), &[("authorization", &bearer)], None).await;
    asked.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_output_is_json_lines_and_the_key_is_only_in_a_file() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let ledger = embedded(&folder);
    let not_set = [("TALLYCAST__EMCEE__KEY", ""), ("TALLYCAST__SERVER__SECRET", "")];
    let mut server = Server::start(&[("TALLYCAST__LEDGER__URL", ledger.as_str()), not_set[0], not_set[1]]).await;
    let line = started(&server).await;
    let said = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned();
    assert_eq!((said("version"), said("role")), (env!("CARGO_PKG_VERSION").to_owned(), "all".to_owned()));
    assert_eq!((said("ledger"), said("address")), (ledger, server.address().to_string()));
    let key = std::fs::read_to_string(said("key_file")).expect("the file with the key");
    assert_eq!(status_with_key(&server, &key).await, 200, "it is the key");
    assert_ne!(status_with_key(&server, "some other key").await, 200);

    server.crash_and_restart().await;
    assert_eq!(status_with_key(&server, &key).await, 200, "the same key after the next start");
    assert!(server.interrupt().await.success());
    assert!(objects(&server).len() > 2, "every line is an object");
    assert_eq!(server.log(), server.output(), "nothing is on standard error");
    for file in ["emcee.key", "secret"] {
        let secret = std::fs::read_to_string(folder.path().join(file)).expect("kept beside the ledger");
        assert!(!server.log().contains(&secret), "{file} is in the log\n{}", server.log());
    }
    for file in std::fs::read_dir(folder.path()).expect("a directory") {
        private(&file.expect("an entry").path());
    }
}

/// Files that hold secrets or votes are for their owner alone.
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).expect("a file").permissions().mode();
    let secret = path.extension().is_none_or(|extension| extension != "redb");
    assert!(!secret || mode & 0o077 == 0, "{} is readable by others: {mode:o}", path.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_key_and_the_redis_password_are_never_printed() {
    let port = free_port();
    let url = format!("redis://someone:pass@word@127.0.0.1:{port}/2");
    let server = Server::spawn(&[
        ("TALLYCAST__LEDGER__URL", url.as_str()),
        ("TALLYCAST__SERVER__ROLE", "worker"),
        ("TALLYCAST__LOG__FILTER", "off"),
    ]);
    let line = started(&server).await;
    assert_eq!((&line["role"], &line["ledger"]), (&"worker".into(), &format!("redis://127.0.0.1:{port}/2").into()));
    assert_eq!(line.get("key_file"), None, "there is none: {line}");
    for secret in ["someone", "pass", "word@", EMCEE_KEY] {
        assert!(!server.log().contains(secret), "{secret} is in\n{}", server.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_shows_three_links_and_a_code_for_phones() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let server = Server::spawn_on_terminal(&[
        ("TALLYCAST__LEDGER__URL", &embedded(&folder)),
        ("TALLYCAST__SERVER__PUBLIC_URL", "http://vote.example"),
        ("TALLYCAST__SERVER__ADMIN_URL", "http://desk.example"),
    ]);
    let shown = || Some(server.output()).filter(|shown| shown.contains("Ctrl-C"));
    let shown = written(&server, "how to stop", shown).await;
    let desk = format!("http://desk.example/emcee#{EMCEE_KEY}");
    for part in ["http://vote.example/r/", "http://vote.example/stage/", &desk, "█▀"] {
        assert!(shown.contains(part), "{part} is not shown\n{shown}");
    }
}

/// What the image sets, as podman does by itself.
const CONTAINER: (&str, &str) = ("container", "oci");
const NOT_REACHED: &str = "Phones do not reach this container's own address";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_found_its_own_address_warns_that_phones_cannot_reach_it() {
    let address = ("TALLYCAST__SERVER__PUBLIC_URL", "http://vote.example");
    for (settings, warned) in [(vec![CONTAINER], true), (vec![CONTAINER, address], false), (vec![], false)] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let ledger = embedded(&folder);
        let settings = [vec![("TALLYCAST__LEDGER__URL", ledger.as_str())], settings].concat();
        let server = Server::spawn_on_terminal(&settings);
        let shown = || Some(server.output()).filter(|shown| shown.contains("Ctrl-C"));
        let shown = written(&server, "how to stop", shown).await;
        assert_eq!(shown.contains(NOT_REACHED), warned, "{settings:?}\n{shown}");
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let server = Server::spawn(&[("TALLYCAST__LEDGER__URL", &embedded(&folder)), CONTAINER]);
    let warning = || server.output().lines().find(|line| line.contains(NOT_REACHED)).map(str::to_owned);
    let warning = written(&server, "a warning", warning).await;
    assert!(warning.contains("TALLYCAST__SERVER__PUBLIC_URL") && warning.contains("WARN"), "{warning}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_json_format_a_terminal_gets_json_too() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let server = Server::spawn_on_terminal(&[("TALLYCAST__LEDGER__URL", &embedded(&folder)), JSON]);
    started(&server).await;
    assert!(!server.log().contains(EMCEE_KEY), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_text_format_and_no_terminal_standard_output_is_empty() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let settings = [("TALLYCAST__LEDGER__URL", &*embedded(&folder)), ("TALLYCAST__LOG__FORMAT", "text")];
    let server = Server::spawn(&settings);
    let line = || server.log().lines().find(|line| line.contains("version")).map(str::to_owned);
    let line = written(&server, "what has started", line).await;
    assert!(line.contains(env!("CARGO_PKG_VERSION")) && line.contains(settings[0].1), "{line}");
    assert_eq!(server.output(), "");
    assert!(!server.log().contains(EMCEE_KEY), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_of_a_failed_start_is_printed_in_the_configured_format() {
    let wrong: [(&str, &str, &str); 5] = [
        ("SERVER_PORT", "70000", "server.port"),
        ("TALLYCAST__SEVER__PORT", "80", "sever"),
        ("TALLYCAST_STAGE", "nowhere", "config/nowhere"),
        ("TALLYCAST__LOG__FILTER", "tallycast=loud", "log.filter"),
        ("TALLYCAST__LEDGER__URL", "embedded:/proc/nowhere/tallycast.redb", "/proc/nowhere"),
    ];
    for (name, value, says) in wrong {
        let silent = ("TALLYCAST__LOG__FILTER", if name == "TALLYCAST__LOG__FILTER" { value } else { "off" });
        let mut server = Server::spawn_on_terminal(&[JSON, silent, (name, value)]);
        let ended = server.ended_within(TIMEOUT).await;
        assert!(ended.is_some_and(|status| !status.success()), "{name}={value} is accepted\n{}", server.log());
        let lines = objects(&server);
        let why = lines.last().unwrap_or_else(|| panic!("{name}={value}: not a word"));
        assert_eq!(why["level"], "ERROR", "{why}");
        assert!(why["message"].as_str().is_some_and(|text| text.contains(says)), "{name}={value}: {why}");
    }
}
