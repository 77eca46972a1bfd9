//! Whole runs against a real server, small and with every feature.

mod support;

use serde_json::Value;
use support::{Receiver, Redis, Server, loadtest};

const EVERYTHING: &str = r#"
title = "a bit of <script>everything"
thresholds = ["ack.p99 < 5s", "errors.not_understood == 0", "unfinished == 0"]
[hall]
voters = 40
stages = 1
choices = 3
[[phase]]
name = "in"
duration = "1s"
join = 1.0
arrivals = "front"
[[phase]]
name = "round"
duration = "1s"
repeat = 2
round = "new"
taps_per_voter = 5
sharp = true
[[phase]]
name = "cut"
duration = "1s"
round = "new"
taps_per_second = 100
cut = 0.5
[[phase]]
name = "stall"
duration = "1s"
round = "same"
taps_per_second = 50
stall = 0.1
[[phase]]
name = "reveal"
duration = "1s"
reveal = true
"#;

struct Ran {
    code: i32,
    output: String,
    summary: Value,
    page: String,
}

fn run(text: &str, options: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("own.toml"), text).unwrap();
    let (scenario, json, html) = (path("own.toml"), path("s.json"), path("r.html"));
    let mut arguments = vec![scenario.as_str(), "--json", &json, "--html", &html];
    arguments.extend(options);
    let told = loadtest(&arguments, &[], None);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|_| panic!("no {path}: {}", told.all()));
    let summary = serde_json::from_str(&read(&json)).unwrap();
    Ran { code: told.code, page: read(&html), output: told.all(), summary }
}

/// A run of a second, with a server of its own.
fn storm(options: &[&str], environment: &[(&str, &str)]) -> support::Output {
    let storm = ["storm", "--start", "--voters", "30", "--duration", "1s"];
    loadtest(&[&storm, options].concat(), environment, None)
}

fn is_exact(ran: &Ran) {
    assert_eq!(ran.summary["audit"]["exact"], true, "{}", ran.output);
    assert!(ran.output.contains("AUDIT: exact"), "{}", ran.output);
    assert_eq!(ran.summary["counts"]["violations"], 0, "{}", ran.output);
}

#[test]
fn every_action_is_carried_out_and_the_audit_is_exact() {
    let ran = run(EVERYTHING, &["--start"]);
    assert_eq!(ran.code, 0, "{}", ran.output);
    is_exact(&ran);
    let counts = &ran.summary["counts"];
    assert_eq!((counts["joins"].as_u64(), counts["reconnects"].as_u64() >= Some(20)), (Some(40), true), "{counts}");
    let told = counts["votes"].as_u64().unwrap() + counts["late"].as_u64().unwrap();
    assert_eq!(told, 2 * 40 * 5 + 100 + 50, "every scheduled tap is finished: {counts}");
    assert_eq!(ran.summary["audit"]["rounds"].as_array().map(Vec::len), Some(3));
    assert_eq!(ran.summary["audit"]["standings"], 40, "every phone was sent its place: {}", ran.output);
    assert!(ran.summary["phases"][1]["server"]["cpu_seconds"].as_f64() > Some(0.0));
    assert!(ran.page.contains("<svg") && ran.page.contains("a bit of &lt;script&gt;everything"));
    for foreign in ["http-equiv", "<script", "src=", "@import", "url("] {
        assert!(!ran.page.contains(foreign), "the page needs {foreign}");
    }
}

#[test]
fn several_processes_and_sources_carry_out_the_same_schedule() {
    let ran = run(EVERYTHING, &["--start", "--processes", "3", "--source", "127.0.0.2,127.0.0.3"]);
    assert_eq!(ran.code, 0, "{}", ran.output);
    is_exact(&ran);
    let counts = &ran.summary["counts"];
    let told = counts["votes"].as_u64().unwrap() + counts["late"].as_u64().unwrap();
    assert_eq!(told, 2 * 40 * 5 + 100 + 50, "{counts}");
}

#[test]
fn a_threshold_that_does_not_hold_ends_with_99() {
    let server = Server::start();
    let text = EVERYTHING.split("[[phase]]\nname = \"cut\"").next().unwrap();
    let options = ["--url", &server.url, "--key", support::KEY, "--threshold", "ack.p50 < 1us", "--quiet"];
    let ran = run(text, &options);
    assert_eq!(ran.code, 99, "{}", ran.output);
    assert!(ran.output.contains("✗ ack.p50 < 1us"), "{}", ran.output);
    is_exact(&ran);
}

#[test]
fn an_interrupted_run_is_audited_and_ends_with_105() {
    let long = EVERYTHING.replace("duration = \"1s\"\nrepeat = 2", "duration = \"10m\"");
    let told = support::interrupted(&long, &["--start"], "-INT", "round:");
    assert_eq!(told.code, 105, "{}", told.all());
    assert!(told.all().contains("AUDIT: exact") && told.all().contains("interrupted"), "{}", told.all());
}

#[test]
fn shipped_scenarios_are_listed() {
    let told = loadtest(&["list"], &[], None);
    assert!(told.code == 0 && told.all().lines().count() == 9, "{}", told.all());
}

#[test]
fn a_plan_shows_five_sizes_and_the_constants() {
    let told = loadtest(&["plan", "--table"], &[], None);
    let sizes = ["voters", "1,000", "10,000", "100,000", "1,000,000", "10,000,000"];
    let first = told.stdout.lines().next().unwrap_or_default();
    assert!(told.code == 0 && first.split_whitespace().eq(sizes), "{}", told.all());
    assert!(told.stdout.contains("frame_us = "), "{}", told.stdout);
}

#[test]
fn a_post_that_failed_is_repeated_under_the_same_key() {
    let receiver = Receiver::start(&[503, 200]);
    let told = storm(&["--threshold", "joins == 31", "--webhook", &receiver.url], &[]);
    assert_eq!(told.code, 99, "{}", told.all());
    let posts = receiver.posts();
    assert_eq!(posts.len(), 2, "{posts:?}");
    let [first, second] = [0, 1].map(|n| posts[n].header("idempotency-key"));
    assert!(first.is_some_and(|key| key.starts_with("loadtest-")) && first == second, "{posts:?}");
    let body: Value = serde_json::from_str(&posts[1].body).unwrap();
    let text = body["text"].as_str().unwrap();
    let figures = ["0 votes", "0 reconnects", "0 errors", "audit exact"];
    for words in
        ["✗ load test storm, 30 voters: a threshold does not hold", "✗ joins == 31 (30)"].iter().chain(&figures)
    {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
}

#[test]
fn a_verdict_that_cannot_be_posted_is_reported_and_changes_nothing() {
    let receiver = Receiver::start(&[410, 410, 410]);
    let webhook = format!("{}/a-secret", receiver.url);
    let told = storm(&[], &[("LOADTEST_WEBHOOK", &webhook)]);
    assert_eq!(told.code, 0, "{}", told.all());
    assert!(told.stderr.contains("the verdict could not be posted") && told.stderr.contains("410"), "{}", told.stderr);
    assert!(!told.all().contains("a-secret"), "{}", told.all());
    assert_eq!(receiver.posts().len(), 3);
}

#[test]
fn a_run_that_fails_is_posted_too() {
    let receiver = Receiver::start(&[200]);
    let told = loadtest(&["storm", "--url", "http://127.0.0.1:9"], &[("LOADTEST_WEBHOOK", &receiver.url)], None);
    assert_eq!(told.code, 104, "{}", told.all());
    let posts = receiver.posts();
    assert!(posts.len() == 1 && posts[0].body.contains("✗ load test storm: nothing answers at"), "{posts:?}");
}

#[test]
fn a_server_with_its_probes_on_another_port_is_recognised() {
    let server = Server::start_with(&[("TALLYCAST__METRICS__PORT", &support::free_port().to_string())]);
    let options = ["storm", "--url", &server.url, "--key", support::KEY, "--voters", "30", "--duration", "1s"];
    let told = loadtest(&options, &[("LOADTEST_WEBHOOK", "")], None);
    assert_eq!(told.code, 0, "{}", told.all());
    assert!(!told.stderr.contains("webhook"), "an empty address means no webhook: {}", told.stderr);
}

#[test]
fn the_emcees_calls_go_to_their_own_address() {
    let server = Server::start();
    let told = loadtest(
        &["storm", "--url", &server.url, "--emcee-url", "http://127.0.0.1:9", "--key", support::KEY, "--voters", "3"],
        &[],
        None,
    );
    assert!(told.code == 1 && told.stderr.contains("POST /rooms"), "{}", told.all());
}

#[test]
fn a_run_removes_its_room_and_no_other() {
    let server = Server::start();
    let options = ["--url", &server.url, "--key", support::KEY, "--quiet"];
    let small = ["storm", "--voters", "5", "--duration", "1s"];
    // a new server has a room for trying things out
    let before = server.rooms().len();
    let kept = loadtest(&[&small[..], &options, &["--keep"]].concat(), &[], None);
    assert!(kept.code == 0 && kept.stdout.contains("kept, as asked"), "{}", kept.all());
    let others = server.rooms();
    assert_eq!(others.len(), before + 1, "{others:?}");

    let told = loadtest(&[&small[..], &options].concat(), &[], None);
    assert!(told.code == 0 && told.stdout.contains(": removed"), "{}", told.all());
    server.is_left_with(&others, &told);

    // as Kubernetes and docker stop it: in an open round
    let long = EVERYTHING.replace("duration = \"1s\"\nrepeat = 2", "duration = \"10m\"");
    let told = support::interrupted(&long, &options[..4], "-TERM", "round:");
    assert_eq!(told.code, 105, "{}", told.all());
    assert!(told.all().contains("AUDIT: exact"), "{}", told.all());
    server.is_left_with(&others, &told);
}

#[test]
fn the_report_is_uploaded_and_the_message_links_to_it() {
    let (store, chat) = (Receiver::start(&[500, 200]), Receiver::start(&[200]));
    let upload = format!("{}/bucket/?signature=a-secret", store.url);
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("first.html");
    let options = ["--html", page.to_str().unwrap()];
    let told = storm(&options, &[("LOADTEST_UPLOAD", &upload), ("LOADTEST_WEBHOOK", &chat.url)]);
    assert_eq!(told.code, 0, "{}", told.all());
    let link = format!("{}/bucket/first.html", store.url);
    let puts = store.posts();
    assert_eq!(puts.len(), 2, "it is tried again");
    assert!(puts.iter().all(|put| put.is("PUT", "/bucket/first.html?signature=a-secret")), "{:?}", puts[0]);
    assert!(puts[1].header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{:?}", puts[1]);
    assert_eq!(puts[1].body, std::fs::read_to_string(&page).unwrap());
    let body: Value = serde_json::from_str(&chat.posts()[0].body).unwrap();
    assert!(body["text"].as_str().unwrap().ends_with(&format!("\nreport: {link}")), "{body}");
    assert!(told.stdout.contains(&link) && !told.all().contains("a-secret"), "{}", told.all());
}

#[test]
fn a_report_that_cannot_be_uploaded_is_reported_and_changes_nothing() {
    let (store, chat) = (Receiver::start(&[403, 403, 403]), Receiver::start(&[200]));
    let told = storm(&["--upload", &store.url], &[("LOADTEST_WEBHOOK", &chat.url)]);
    assert_eq!(told.code, 0, "{}", told.all());
    assert!(told.stderr.contains("the report could not be uploaded") && told.stderr.contains("403"), "{}", told.stderr);
    let posts = chat.posts();
    assert!(posts[0].body.contains("audit exact") && posts[0].body.contains("could not be uploaded"), "{posts:?}");
    assert_eq!(store.posts().len(), 3);
}

#[test]
fn a_room_with_a_wrong_record_is_kept() {
    let redis = Redis::start();
    let server = Server::start_on(&redis);
    // the ballots are deleted after the last vote
    let phases = "[[phase]]\nname = \"votes\"\nduration = \"1s\"\nround = \"new\"\ntaps_per_voter = 3\n\
                  [[phase]]\nname = \"rest\"\nduration = \"1s\"\nround = \"same\"\ndisturb = true\n";
    let text =
        "title = \"lost ballots\"\n[hall]\nvoters = 5\n[[phase]]\nname = \"in\"\nduration = \"1s\"\njoin = 1.0\n";
    let lose = format!("redis-cli -p {0} keys 'tc:*ballots*' | xargs redis-cli -p {0} del", redis.port);
    let options = ["--url", &server.url, "--key", support::KEY, "--disturb", &lose];
    let ran = run(&format!("{text}{phases}"), &options);
    assert_eq!(ran.code, 98, "{}", ran.output);
    assert!(ran.output.contains("kept, because its record is wrong"), "{}", ran.output);
    let room = ran.summary["room"].as_str().unwrap();
    assert_eq!(server.get(&format!("rooms/{room}"))["title"], "Load test: lost ballots");
}

/// Everybody votes; after a quarter of the phase a pod and the ledger are restarted.
const DISTURBED: &str = r#"
title = "a disturbance"
thresholds = ["ledger_restarts >= 1", "reconnects >= 1", "healed == 0", "slow_commands >= 1", "unfinished == 0"]
[hall]
voters = 40
votes_per_round = 100
[[phase]]
name = "in"
duration = "1s"
join = 1.0
[[phase]]
name = "votes"
duration = "6s"
round = "new"
taps_per_second = 50
disturb = true
"#;

#[test]
fn a_pod_and_the_ledger_are_restarted_in_mid_round_and_no_vote_is_lost() {
    let redis = Redis::start();
    let pods = [Server::start_on(&redis), Server::start_on(&redis)];
    let disturb = format!("kill {}; {}; {}", pods[1].pid(), redis.command("shutdown nosave"), redis.start);
    let options = ["--url", &pods[0].url, "--url", &pods[1].url, "--key", support::KEY, "--disturb", &disturb];
    let ran = run(DISTURBED, &options);
    assert_eq!(ran.code, 0, "{}", ran.output);
    is_exact(&ran);
    assert!(ran.output.contains("DISTURB: restart one pod of the server, and the ledger, now"), "{}", ran.output);
    let counts = &ran.summary["counts"];
    assert_eq!((&counts["ledger_restarts"], &counts["votes"]), (&1.into(), &300.into()), "{}", ran.output);
}

#[test]
fn a_disturbance_that_failed_is_not_a_success() {
    let ran = run(&DISTURBED.replace("6s", "2s"), &["--start", "--disturb", "echo no such pod >&2; exit 3"]);
    assert_eq!(ran.code, 99, "{}", ran.output);
    is_exact(&ran);
    for words in ["✗ ledger_restarts >= 1", "nothing measured", "✗ reconnects >= 1", "--disturb failed", "no such pod"]
    {
        assert!(ran.output.contains(words), "{words} is missing in: {}", ran.output);
    }
    assert!(ran.output.contains("the embedded ledger keeps no slow log"), "{}", ran.output);
    assert!(ran.summary["counts"]["slow_commands"].is_null(), "what was not read is not counted as 0");
}
