//! A damaged ledger file: the process ends with a message, and so does the next start.

use crate::support::dice;
use crate::support::emcee::Emcee;
use crate::support::http::Http;
use crate::support::server::Server;
use crate::support::voter::Voter;
use reqwest::Method;
use serde_json::json;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Enough for the voters to lie on pages of their own.
const VOTERS: u64 = 300;

/// Flips every bit behind the header: what is read then makes the store panic.
fn flip(file: &Path) {
    let whole = std::fs::read(file).expect("a ledger");
    let flipped: Vec<u8> = whole[4_096..].iter().map(|byte| !byte).collect();
    let file = std::fs::OpenOptions::new().write(true).open(file).expect("a ledger");
    file.write_all_at(&flipped, 4_096).expect("a disk that writes");
}

/// Cuts the file off behind the header: what is read then is missing, and so it is when the file is opened again.
fn cut(file: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(file).expect("a ledger");
    file.set_len(4_096).expect("a disk that writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_damaged_while_in_use_ends_the_process_and_the_next_start_explains_what_to_do() {
    ends_and_says(flip, "panic").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_truncated_while_in_use_ends_the_process_and_the_next_start_explains_what_to_do() {
    ends_and_says(cut, "is broken").await;
}

async fn ends_and_says(damage: fn(&Path), why: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("tallycast.redb");
    let url = format!("embedded:{}", path.display());
    let mut server = Server::start(&[("TALLYCAST__LEDGER__URL", &url)]).await;
    let (emcee, http) = (Emcee::new(vec![server.address()]), Http::new());
    let room = emcee.create_plain("Damaged", 1).await;
    emcee.open(&room, 1).await;
    let mut voters = vec![];
    for number in 0..VOTERS {
        voters.push(Voter::join(&http, &[server.address()], &room, &format!("V{number}"), dice(31, number)).await);
    }
    // a process that has just started has only a few pages of the file in its memory
    assert!(server.interrupt().await.success());
    server.launch();
    server.ready().await;
    damage(&path);

    let cast = json!({"round": 1, "slip": 1, "votes": "a"});
    let vote = format!("http://{}/api/v1/rooms/{room}/votes", server.address());
    let mut voters = voters.iter();
    let status = loop {
        let voter = voters.next().unwrap_or_else(|| panic!("it lives on with a damaged file\n{}", server.log()));
        let bearer = format!("Bearer {}", voter.token);
        let answer = http.send(Method::POST, &vote, &[("authorization", &bearer)], Some(&cast)).await;
        if let Some(status) = server.ended_within(Duration::from_millis(100)).await {
            // a request may also be refused while the process ends
            let claimed = answer.is_ok_and(|answer| answer.status == 200 && answer.body["refused"].is_null());
            assert!(!claimed, "a vote was acknowledged that was not stored");
            break status;
        }
    };
    assert!(!status.success(), "{status}");
    let output = server.output();
    let last = output.lines().last().unwrap_or_default();
    for word in ["ERROR", "ledger", why, "this process ends"] {
        assert!(last.contains(word), "{word}: the last line is {last}");
    }

    let damaged = std::fs::read(&path).expect("a ledger");
    server.launch();
    let status = server.ended_within(Duration::from_secs(15)).await.expect("it is refused");
    assert!(!status.success(), "{status}");
    let output = server.output();
    let last = output.lines().last().unwrap_or_default();
    for word in [path.to_str().expect("a path"), "is broken", "left as it is", "copy", "tallycast import"] {
        assert!(last.contains(word), "{word}: the last line is {last}");
    }
    assert!(std::fs::read(&path).expect("a ledger") == damaged, "it was changed");
}
