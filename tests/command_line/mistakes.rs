//! Mistakes of the operator: each is answered with a sentence that says what to do, and exit code 1.

use super::operator::Operator;
use crate::support::cluster::Cluster;
use crate::support::receiver::Receiver;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_is_reported_with_how_to_start_one() {
    // a port below those that the system hands out
    let operator = Operator::at_url("http://127.0.0.1:9");
    for command in [&["plan", "party.toml"][..], &["check"], &["audit"], &["export"], &["purge", "--older-than", "1d"]]
    {
        let says = ["nothing answers at http://127.0.0.1:9", "start a server with `tallycast`", "--url"];
        operator.run(command).await.expect(1, &says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_missing_key_is_reported_with_where_to_put_the_right_one() {
    let cluster = Cluster::embedded().await;
    let mut operator = Operator::at(&cluster);
    operator.key = "not-the-right-one".into();
    operator.run(&["plan", "party.toml"]).await.expect(1, &["does not take this emcee key", "--key-file"]);
    operator.key = String::new();
    operator.run(&["plan", "party.toml"]).await.expect(1, &["asks for the emcee key", "TALLYCAST__EMCEE__KEY"]);
    operator.run(&["check", "--key-file", "none"]).await.expect(1, &["the key file none"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_read_from_a_file_or_from_where_the_server_keeps_it() {
    let cluster = Cluster::embedded().await;
    let mut operator = Operator::at(&cluster);
    let key = std::mem::take(&mut operator.key);
    operator.write("key", &format!("{key}\n"));
    operator.run(&["check", "--key-file", "key"]).await.expect(0, &[]);
    std::fs::create_dir(operator.path("data")).expect("a folder");
    operator.write("data/emcee.key", &key);
    operator.run(&["check"]).await.expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_file_is_reported_with_line_and_key_before_any_server_is_called() {
    let operator = Operator::at_url("http://127.0.0.1:9");
    operator.rewrite("seconds = 60", "secnds = 60");
    for command in ["plan", "apply"] {
        operator
            .run(&[command, "party.toml"])
            .await
            .expect(1, &["party.toml, line 8", "`secnds`", "docs/event-files.md"]);
    }
    operator.rewrite("secnds = 60", "seconds = 4");
    let says = ["party.toml, line 8", "seconds of round 1 must be 5 to 86400, not 4"];
    operator.run(&["plan", "party.toml"]).await.expect(1, &says);
    operator.run(&["plan", "none.toml"]).await.expect(1, &["the event file none.toml cannot be read"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_pod_is_recognised_and_reported() {
    let cluster = Cluster::redis_with(&[vec![("TALLYCAST__SERVER__ROLE", "audience")]]).await;
    Operator::at(&cluster).run(&["plan", "party.toml"]).await.expect(1, &["audience pod", "TALLYCAST_URL"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_tallycast_is_reported() {
    let server = Receiver::serving(&[("/api/v1/rooms", json!("hello"))]);
    let operator = Operator::at_url(&server.url());
    operator.run(&["plan", "party.toml"]).await.expect(1, &["does not answer as Tallycast does", "--url"]);
    operator.run(&["check"]).await.expect(1, &["404", "not as Tallycast does"]);
    let operator = Operator::at_url("vote.example.org");
    operator.run(&["check"]).await.expect(1, &["--url must be like http://"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_not_sent_to_a_redirect() {
    let server = Receiver::redirecting("https://vote.example.org/api/v1/rooms");
    let operator = Operator::at_url(&server.url());
    operator.run(&["plan", "party.toml"]).await.expect(1, &["leads on to https://vote.example.org;", "--url"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_room_is_answered_with_the_list_of_rooms() {
    let cluster = Cluster::embedded().await;
    let operator = Operator::at(&cluster);
    operator.run(&["apply", "party.toml"]).await.expect(0, &[]);
    operator.run(&["audit", "gala"]).await.expect(1, &["no room has the code or ref gala", "Party (ref party)"]);
    operator.run(&["audit"]).await.expect(1, &["or say --all", "Party (ref party)", "Our evening"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_command_has_its_own_exit_code() {
    let operator = Operator::at_url("http://127.0.0.1:9");
    operator.run(&["plan"]).await.expect(1, &["<FILE>"]);
    operator.run(&["plan", "party.toml", "--jsn"]).await.expect(1, &["--jsn"]);
    operator.run(&["purge", "--older-than", "90"]).await.expect(1, &["write it like 10s, 2h or 90d"]);
    operator.run(&["export", "--mask", "--format", "csv"]).await.expect(1, &["--mask is for --format archive"]);
    operator.run(&["apply", "party.toml", "--invites-out", "x.csv"]).await.expect(1, &["has no invites"]);
    operator.run(&["--help"]).await.expect(0, &["plan", "apply", "check"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_written_is_reported() {
    let cluster = Cluster::embedded().await;
    let operator = Operator::at(&cluster);
    operator
        .run(&["export", "--format", "json", "--out", "none/room.json"])
        .await
        .expect(1, &["none/room.json cannot be written"]);
    operator.write("taken", "");
    operator
        .run(&["export", "--format", "json", "--dir", "taken"])
        .await
        .expect(1, &["the folder taken cannot be made"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_an_archive_is_not_sent() {
    let operator = Operator::at_url("http://127.0.0.1:9");
    operator.run(&["import", "party.toml"]).await.expect(1, &["party.toml was not imported", "it is no archive"]);
    operator.run(&["import", "none.ndjson"]).await.expect(1, &["none.ndjson", "cannot be read"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_may_close_the_pipe_early() {
    let cluster = Cluster::embedded().await;
    let operator = Operator::at(&cluster);
    let mut child = operator.start(&["plan", "party.toml"]);
    // as `head` does, but before the first line, so that no timing decides
    drop(child.stdout.take());
    let output = operator.finish(child).await;
    assert_eq!((output.code, output.err.as_str()), (Some(2), ""), "{output:?}");
}
