//! What remains of an evening, written down and recounted; and whether it may begin.

use super::operator::Operator;
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::plain_round;
use crate::support::receiver::Receiver;
use crate::support::seals::all_sealed;
use crate::support::voter::{Verdict, Voter};
use serde_json::{Value, json};

/// Two rooms beside the sample; in the first, one round with five votes is closed.
async fn evening(cluster: &Cluster) -> (Operator, String) {
    let emcee = cluster.emcee();
    let rounds = json!([plain_round(), plain_round()]);
    let room = emcee.create(json!({"title": "Gala", "ref": "gala-27", "rounds": rounds})).await;
    emcee.create_plain("Rehearsal", 1).await;
    emcee.open(&room, 1).await;
    for (number, votes) in [(0, "aab"), (1, "bb")] {
        let name = format!("Voter {number}");
        let mut voter = Voter::join(&emcee.http, &cluster.addresses(), &room, &name, dice(17, number)).await;
        assert_eq!(voter.cast(1, 1, votes).await, Verdict::Stored);
    }
    emcee.close(&room, 1).await;
    (Operator::at(cluster), room)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_what_the_server_has() {
    let cluster = Cluster::embedded().await;
    let (operator, code) = evening(&cluster).await;
    all_sealed(&cluster.emcee(), &code).await;
    let export = cluster.emcee().export(&code).await;
    for room in [code.as_str(), &code.to_lowercase(), "gala-27"] {
        let output = operator.run(&["export", room, "--format", "json"]).await.expect(0, &[]).json();
        assert_eq!((&output["voters"], &output["rounds"]), (&export["voters"], &export["rounds"]), "{room}");
    }
    operator.run(&["export", "gala-27", "--format", "csv", "--out", "gala.csv"]).await.expect(0, &[]);
    assert_eq!(operator.read("gala.csv").lines().count(), 3, "a head and two ballots");
    let event = operator.run(&["export", "gala-27", "--format", "event"]).await.expect(0, &[]).json();
    assert_eq!((&event["title"], event["rounds"].as_array().map(Vec::len)), (&json!("Gala"), Some(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_room_is_exported_to_its_own_file() {
    let cluster = Cluster::embedded().await;
    let (operator, code) = evening(&cluster).await;
    operator.run(&["export", "--all", "--format", "json", "--dir", "kept"]).await.expect(0, &["3 rooms in kept"]);
    let mut names: Vec<_> = std::fs::read_dir(operator.path("kept")).expect("the folder").collect();
    assert_eq!(names.len(), 3, "and nothing half written: {names:?}");
    assert!(names.drain(..).all(|name| name.expect("an entry").path().extension().is_some_and(|end| end == "json")));
    let kept: Value = serde_json::from_str(&operator.read(&format!("kept/{code}.json"))).expect("JSON");
    assert_eq!(kept["room"]["title"], "Gala");
    operator
        .run(&["export", "--all", "--format", "json"])
        .await
        .expect(1, &["3 rooms do not fit in one file", "--dir"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_cannot_be_exported_does_not_stop_the_others() {
    let cluster = Cluster::embedded().await;
    let (_, code) = evening(&cluster).await;
    let rooms = cluster.emcee().get("/rooms").await;
    let path = format!("/api/v1/rooms/{code}/export?format=json");
    let server = Receiver::serving(&[("/api/v1/rooms", rooms), (&path, json!({"whole": true}))]);
    let operator = Operator::at_url(&server.url());
    let output = operator.run(&["export", "--all", "--format", "json", "--dir", "kept"]).await;
    output.expect(1, &["1 room in kept", "2 rooms not written"]);
    let names: Vec<_> = std::fs::read_dir(operator.path("kept")).expect("the folder").collect();
    assert_eq!(names.len(), 1, "nothing half written: {names:?}");
    assert_eq!(operator.read(&format!("kept/{code}.json")), r#"{"whole":true}"#);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_export_runs_until_it_is_stopped() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let mut cluster = Cluster::embedded().await;
    let (operator, code) = evening(&cluster).await;
    let arguments = ["export", "gala-27", "--format", "json", "--dir", "kept", "--every", "1s"];
    let mut child = operator.start(&arguments);
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let mut line = async |word: &str| {
        loop {
            let line = lines.next_line().await.expect("text").expect("the command goes on");
            if line.contains(word) {
                return line;
            }
        }
    };
    line("1 room in kept").await;
    cluster.emcee().patch(&format!("/rooms/{code}"), json!({"title": "Ball"})).await;
    line("1 room in kept").await;
    line("1 room in kept").await;
    let kept: Value = serde_json::from_str(&operator.read(&format!("kept/{code}.json"))).expect("JSON");
    assert_eq!(kept["room"]["title"], "Ball", "the newest");
    // the server goes away and comes back: the file stays, and the next one follows
    cluster.pods[0].kill9().await;
    assert!(line("not written").await.contains("nothing answers"));
    assert!(operator.read(&format!("kept/{code}.json")).contains("Ball"));
    cluster.pods[0].launch();
    cluster.pods[0].ready().await;
    line("1 room in kept").await;
    let pid = child.id().expect("a running command").to_string();
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status();
    assert!(sent.expect("a shell").success());
    assert_eq!(operator.finish(child).await.code, Some(0), "Ctrl-C is how it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_lists_every_take_and_succeeds_if_all_recounts_agree() {
    let cluster = Cluster::embedded().await;
    let (operator, code) = evening(&cluster).await;
    let output = operator.run(&["audit", "gala-27"]).await.expect(0, &["Gala", "1 take with 5 votes recounted: exact"]);
    let row = output.out.lines().find(|line| line.starts_with("1 ")).expect("a row for round 1");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>().join(" "), "1 1 2 : 3 2 : 3 2 exact");
    let json = operator.run(&["audit", "--all", "--json"]).await.expect(0, &[]).json();
    let rooms = json["rooms"].as_array().expect("rooms");
    let gala = rooms.iter().find(|room| room["room"] == code.as_str()).expect("the room");
    assert_eq!((&json["ok"], rooms.len(), &gala["rounds"][0]["recount"]), (&json!(true), 3, &json!([2, 3])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_differs_ends_with_3() {
    let cluster = Cluster::embedded().await;
    let (_, code) = evening(&cluster).await;
    let rooms = cluster.emcee().get("/rooms").await;
    let audit = json!({"ok": false, "rounds": [
        {"round": 1, "take": 1, "tally": [2, 3], "recount": [2, 2], "voters": 2},
        {"round": 2, "take": 1, "tally": [1, 1], "recount": [1, 1], "voters": 1},
    ]});
    let path = format!("/api/v1/rooms/{code}/audit");
    let server = Receiver::serving(&[("/api/v1/rooms", rooms), (&path, audit)]);
    let operator = Operator::at_url(&server.url());
    let output = operator.run(&["audit", "gala-27"]).await.expect(3, &["Of 1 room, 1 recount to something else"]);
    assert_eq!((output.out.matches("DIFFERS").count(), output.out.matches("exact").count()), (1, 1), "{output:?}");
    assert_eq!(operator.run(&["audit", "gala-27", "--json"]).await.expect(3, &[]).json()["ok"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_of_a_check_says_whether_the_evening_may_begin() {
    let cluster = Cluster::embedded().await;
    let operator = Operator::at(&cluster);
    operator.run(&["check"]).await.expect(0, &["public_link", "socket", "durable", "is well"]);
    let json = operator.run(&["check", "--json"]).await.expect(0, &[]).json();
    assert_eq!(json["ok"], true);

    // somebody else answers at the public link
    let stranger = Receiver::serving(&[]);
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__PUBLIC_URL", &stranger.url())]).await;
    let output = Operator::at(&cluster).run(&["check"]).await.expect(3, &["Something is wrong", "404"]);
    assert_eq!(output.out.matches("WRONG").count(), 2, "link and socket alone: {output:?}");

    // a port below those that the system hands out: nobody listens
    let settings = [
        ("TALLYCAST__SERVER__PUBLIC_URL", "http://127.0.0.1:9"),
        ("TALLYCAST__SERVER__ADMIN_URL", "http://desk.example"),
    ];
    let cluster = Cluster::embedded_with(&settings).await;
    let operator = Operator::at(&cluster);
    let says = ["http://127.0.0.1:9 cannot be reached from here", "tallycast check --url http://desk.example"];
    let output = operator.run(&["check"]).await.expect(4, &says);
    assert_eq!((output.out.matches("UNSEEN  ").count(), output.out.matches("WRONG").count()), (2, 0), "{output:?}");
    assert_eq!(operator.run(&["check", "--json"]).await.expect(4, &[]).json()["ok"], false);
}

/// What a server says that cannot reach its own public link.
fn blind(link: &str, ledger: bool) -> Value {
    let unseen = |item| json!({"item": item, "ok": false, "seen": false, "ms": 1, "detail": "it cannot be reached"});
    json!({"ok": false, "public_link": {"url": link, "assumed": false}, "admin_url": "http://desk.example", "items": [
        unseen("public_link"), unseen("socket"), {"item": "ledger", "ok": ledger, "ms": 1, "detail": "it answers"},
    ]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tests_from_its_own_machine_what_the_server_cannot_reach() {
    let cluster = Cluster::embedded().await;
    let link = cluster.pods[0].url("");
    let server = Receiver::serving(&[("/api/v1/check", blind(&link, true))]);
    let operator = Operator::at_url(&server.url());
    let output =
        operator.run(&["check"]).await.expect(0, &[&format!("voters reach {link}/"), &format!("{link}/ws opens")]);
    assert!(!output.out.contains("UNSEEN") && output.out.contains("is well"), "{output:?}");
    let json = operator.run(&["check", "--json"]).await.expect(0, &[]).json();
    assert_eq!((&json["ok"], json["items"].as_array().map(Vec::len)), (&json!(true), Some(3)), "{json}");

    let server = Receiver::serving(&[("/api/v1/check", blind(&link, false))]);
    Operator::at_url(&server.url()).run(&["check"]).await.expect(3, &["WRONG", "ledger"]);
    // what is wrong weighs more than what is not seen
    let server = Receiver::serving(&[("/api/v1/check", blind("http://127.0.0.1:9", false))]);
    Operator::at_url(&server.url()).run(&["check"]).await.expect(3, &["WRONG", "UNSEEN"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_accepts_the_answer_of_an_older_server() {
    let mut report = blind("", true);
    report.as_object_mut().expect("an object").remove("public_link");
    for item in report["items"].as_array_mut().expect("items") {
        item.as_object_mut().expect("an object").remove("seen");
    }
    let server = Receiver::serving(&[("/api/v1/check", report)]);
    Operator::at_url(&server.url()).run(&["check"]).await.expect(3, &["WRONG", "it cannot be reached"]);
}
