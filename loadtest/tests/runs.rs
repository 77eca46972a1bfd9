//! Whole runs against a real server: small, and with everything in them.

mod support;

use serde_json::Value;
use support::{Server, loadtest};

const EVERYTHING: &str = r#"
title = "a bit of everything"
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

fn is_exact(ran: &Ran) {
    assert_eq!(ran.summary["audit"]["exact"], true, "{}", ran.output);
    assert!(ran.output.contains("AUDIT: exact"), "{}", ran.output);
    assert_eq!(ran.summary["counts"]["violations"], 0, "{}", ran.output);
}

#[test]
fn everything_is_performed_and_the_audit_is_exact() {
    let ran = run(EVERYTHING, &["--start"]);
    assert_eq!(ran.code, 0, "{}", ran.output);
    is_exact(&ran);
    let counts = &ran.summary["counts"];
    assert_eq!((counts["joins"].as_u64(), counts["reconnects"].as_u64() >= Some(20)), (Some(40), true), "{counts}");
    let told = counts["votes"].as_u64().unwrap() + counts["late"].as_u64().unwrap();
    assert_eq!(told, 2 * 40 * 5 + 100 + 50, "every planned tap has an end: {counts}");
    assert_eq!(ran.summary["audit"]["rounds"].as_array().map(Vec::len), Some(3));
    assert_eq!(ran.summary["audit"]["standings"], 40, "every phone was told its place: {}", ran.output);
    assert!(ran.summary["phases"][1]["server"]["cpu_seconds"].as_f64() > Some(0.0));
    assert!(ran.page.contains("<svg") && ran.page.contains("a bit of everything"));
    for foreign in ["http-equiv", "<script", "src=", "@import", "url("] {
        assert!(!ran.page.contains(foreign), "the page needs {foreign}");
    }
}

#[test]
fn several_processes_and_sources_perform_the_same_plan() {
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
    let told = support::interrupted(&long, "round:");
    assert_eq!(told.code, 105, "{}", told.all());
    assert!(told.all().contains("AUDIT: exact") && told.all().contains("interrupted"), "{}", told.all());
}

#[test]
fn a_measured_run_can_be_checked_against_the_plan() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("s.json").to_str().unwrap().to_owned();
    let told = loadtest(&["storm", "--start", "--voters", "30", "--duration", "1s", "--json", &json], &[], None);
    assert_eq!(told.code, 0, "{}", told.all());
    let told = loadtest(&["plan", "--check", &json], &[], None);
    assert!(told.code == 0 && told.all().contains("storm") && told.all().contains("ratio"), "{}", told.all());
}

#[test]
fn shipped_scenarios_and_plans_are_listed() {
    let told = loadtest(&["list"], &[], None);
    assert!(told.code == 0 && told.all().lines().count() == 8, "{}", told.all());
    let told = loadtest(&["plan", "--table", "--json"], &[], None);
    let plan: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(plan["needs"].as_array().map(Vec::len), Some(5));
}
