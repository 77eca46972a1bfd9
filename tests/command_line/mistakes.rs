//! Mistakes of whoever types: each is answered with a sentence that says what to do, and exit code 1.

use super::answers;
use super::desk::Desk;
use crate::support::hall::Hall;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_said_with_how_to_start_one() {
    // a port below those that the system hands out
    let desk = Desk::before("http://127.0.0.1:9");
    for command in [&["plan", "party.toml"][..], &["check"], &["audit"], &["export"], &["purge", "--older-than", "1d"]]
    {
        let says = ["nothing answers at http://127.0.0.1:9", "start a server with `tallycast`", "--url"];
        desk.run(command).await.expect(1, &says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_and_a_missing_one_are_said_with_where_to_put_the_right_one() {
    let hall = Hall::embedded().await;
    let mut desk = Desk::at(&hall);
    desk.key = "not-the-right-one".into();
    desk.run(&["plan", "party.toml"]).await.expect(1, &["does not take this emcee key", "--key-file"]);
    desk.key = String::new();
    desk.run(&["plan", "party.toml"]).await.expect(1, &["asks for the emcee key", "TALLYCAST__EMCEE__KEY"]);
    desk.run(&["check", "--key-file", "none"]).await.expect(1, &["the key file none"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_taken_from_a_file_and_from_where_the_server_keeps_its_own() {
    let hall = Hall::embedded().await;
    let mut desk = Desk::at(&hall);
    let key = std::mem::take(&mut desk.key);
    desk.write("key", &format!("{key}\n"));
    desk.run(&["check", "--key-file", "key"]).await.expect(0, &[]);
    std::fs::create_dir(desk.path("data")).expect("a folder");
    desk.write("data/emcee.key", &key);
    desk.run(&["check"]).await.expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_is_answered_with_line_and_key_before_any_server_is_asked() {
    let desk = Desk::before("http://127.0.0.1:9");
    desk.rewrite("seconds = 60", "secnds = 60");
    for command in ["plan", "apply"] {
        desk.run(&[command, "party.toml"]).await.expect(1, &["party.toml, line 8", "`secnds`", "docs/event-files.md"]);
    }
    desk.rewrite("secnds = 60", "seconds = 4");
    let says = ["party.toml, line 8", "seconds of round 1 must be 5 to 86400, not 4"];
    desk.run(&["plan", "party.toml"]).await.expect(1, &says);
    desk.run(&["plan", "none.toml"]).await.expect(1, &["the event file none.toml cannot be read"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_pod_is_told_from_the_emcees() {
    let hall = Hall::redis_with(&[vec![("TALLYCAST__SERVER__ROLE", "audience")]]).await;
    Desk::at(&hall).run(&["plan", "party.toml"]).await.expect(1, &["audience pod", "TALLYCAST_URL"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_that_is_not_tallycast_is_said() {
    let server = answers::serve(&[("/api/v1/rooms", json!("hello"))]).await;
    let desk = Desk::before(&server.url);
    desk.run(&["plan", "party.toml"]).await.expect(1, &["does not answer as Tallycast does", "--url"]);
    desk.run(&["check"]).await.expect(1, &["404", "not as Tallycast does"]);
    let desk = Desk::before("vote.example.org");
    desk.run(&["check"]).await.expect(1, &["--url must be like http://"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_follows_no_redirect() {
    let server = answers::redirect("https://vote.example.org/api/v1/rooms").await;
    let desk = Desk::before(&server.url);
    desk.run(&["plan", "party.toml"]).await.expect(1, &["leads on to https://vote.example.org;", "--url"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_there_is_not_is_answered_with_those_there_are() {
    let hall = Hall::embedded().await;
    let desk = Desk::at(&hall);
    desk.run(&["apply", "party.toml"]).await.expect(0, &[]);
    desk.run(&["audit", "gala"]).await.expect(1, &["no room has the code or ref gala", "Party (ref party)"]);
    desk.run(&["audit"]).await.expect(1, &["or say --all", "Party (ref party)", "Our evening"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_command_is_not_taken_for_a_difference() {
    let desk = Desk::before("http://127.0.0.1:9");
    desk.run(&["plan"]).await.expect(1, &["<FILE>"]);
    desk.run(&["plan", "party.toml", "--jsn"]).await.expect(1, &["--jsn"]);
    desk.run(&["purge", "--older-than", "90"]).await.expect(1, &["write it like 10s, 2h or 90d"]);
    desk.run(&["export", "--mask", "--format", "csv"]).await.expect(1, &["--mask is for --format archive"]);
    desk.run(&["apply", "party.toml", "--invites-out", "x.csv"]).await.expect(1, &["has no invites"]);
    desk.run(&["--help"]).await.expect(0, &["plan", "apply", "check"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_written_is_said() {
    let hall = Hall::embedded().await;
    let desk = Desk::at(&hall);
    desk.run(&["export", "--format", "json", "--out", "none/room.json"])
        .await
        .expect(1, &["none/room.json cannot be written"]);
    desk.write("taken", "");
    desk.run(&["export", "--format", "json", "--dir", "taken"]).await.expect(1, &["the folder taken cannot be made"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_archive_is_not_sent() {
    let desk = Desk::before("http://127.0.0.1:9");
    desk.run(&["import", "party.toml"]).await.expect(1, &["party.toml was not imported", "it is no archive"]);
    desk.run(&["import", "none.ndjson"]).await.expect(1, &["none.ndjson", "cannot be read"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_read_enough_may_go() {
    let hall = Hall::embedded().await;
    let desk = Desk::at(&hall);
    let mut child = desk.start(&["plan", "party.toml"]);
    // as `head` does, but before the first line, so that no timing decides
    drop(child.stdout.take());
    let told = desk.finish(child).await;
    assert_eq!((told.code, told.err.as_str()), (Some(2), ""), "{told:?}");
}
