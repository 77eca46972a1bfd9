//! Mistakes in the options: each is answered by a sentence that says what to do, and exit code 104.

mod support;

use support::{Server, loadtest, refused, serve_once};

const SMALL: &str = "title = \"t\"\n[hall]\nvoters = 3\n[[phase]]\nname = \"in\"\nduration = \"1s\"\njoin = 1.0\n";

fn scenario(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.toml");
    std::fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap().to_owned();
    (directory, name)
}

#[test]
fn an_unknown_scenario_is_answered_with_the_known_ones() {
    refused(&["evning"], &["there is no scenario \"evning\"", "evening", "slow-readers", "path of a file"]);
    refused(&["./none.toml"], &["cannot be read", "check the path"]);
}

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_manual() {
    let (_directory, path) = scenario(&SMALL.replace("join = 1.0", "jion = 1.0"));
    refused(&[&path], &["line 7", "`jion`", "docs/loadtest.md"]);
}

#[test]
fn an_unknown_metric_is_answered_with_the_known_ones() {
    refused(&["storm", "--threshold", "speed.p99 < 3ms"], &["no metric \"speed.p99\"", "ack", "errors.lost"]);
}

#[test]
fn unknown_options_are_refused_with_the_same_code() {
    refused(&["storm", "--votres", "3"], &["--votres"]);
    refused(&["run"], &["SCENARIO"]);
}

#[test]
fn a_missing_server_is_reported_with_how_to_start_one() {
    // a port that was free a moment ago, below those that the system hands out
    refused(&["storm", "--url", "http://127.0.0.1:9"], &["nothing answers at", "cargo run --release", "--start"]);
}

#[test]
fn an_invalid_address_is_reported_with_the_right_form() {
    refused(&["storm", "--url", "ftp://vote.example.org"], &["--url ftp://", "ftp is not supported", "https://"]);
    refused(&["storm", "--emcee-url", "desk"], &["--emcee-url desk", "https://host:port"]);
}

#[test]
fn a_root_without_a_certificate_is_reported_with_its_file() {
    let (_directory, path) = scenario(SMALL);
    refused(&["storm", "--ca", &path], &["--ca", "own.toml", "no certificate in it", "PEM"]);
    refused(&["storm", "--ca", "./none.pem"], &["--ca ./none.pem", "No such file"]);
}

#[test]
fn an_invalid_webhook_is_reported_without_printing_it() {
    let (directory, _) = scenario(SMALL);
    let path = directory.path().join("webhook");
    std::fs::write(&path, "hooks.example.org/a-secret").unwrap();
    let told = loadtest(&["storm", "--webhook-file", path.to_str().unwrap()], &[], None);
    told.is_refused_with(&["--webhook-file", "is not a valid address"]);
    assert!(!told.all().contains("a-secret"), "{}", told.all());
    refused(&["storm", "--webhook-file", "./none"], &["--webhook-file ./none", "No such file"]);
}

#[test]
fn an_invalid_upload_address_is_reported_without_printing_it() {
    let told = loadtest(&["storm", "--upload", "s3://me:a-secret@bucket/"], &[], None);
    told.is_refused_with(&["--upload is not a valid address", "https://"]);
    assert!(!told.all().contains("a-secret"), "{}", told.all());
    refused(&["storm", "--report-url", "https://example.org/"], &["--report-url", "--html or --upload"]);
}

#[test]
fn a_server_that_is_not_tallycast_is_reported() {
    let url = serve_once("404 Not Found", "{}");
    refused(&["storm", "--url", &url], &["/readyz answers 404", "address with /ws"]);
}

#[test]
fn a_server_that_is_not_ready_is_reported_with_its_reasons() {
    let url = serve_once("503 Service Unavailable", r#"{"ready":false,"reasons":["ledger: it does not answer"]}"#);
    refused(&["storm", "--url", &url], &["is not ready", "ledger: it does not answer"]);
}

#[test]
fn a_wrong_emcee_key_is_reported_with_the_option_for_the_right_one() {
    let server = Server::start();
    let arguments = ["storm", "--url", &server.url, "--key", "not-the-right-one"];
    refused(&arguments, &["does not accept this emcee key", "--key", "TALLYCAST__EMCEE__KEY"]);
}

#[test]
fn too_few_open_files_are_reported_with_the_options_that_help() {
    let told = loadtest(&["storm", "--voters", "1000"], &[], Some(300));
    told.is_refused_with(&["1000 voters", "need 1200 open files", "limit is 300", "ulimit -n", "--processes 10"]);
}

#[test]
fn too_few_ports_are_reported_with_the_options_that_help() {
    let told = loadtest(&["storm", "--voters", "900000", "--processes", "64"], &[], None);
    told.is_refused_with(&["--source 127.0.0.2,127.0.0.3", "--url"]);
}

#[test]
fn a_missing_binary_is_reported() {
    refused(&["storm", "--start", "--binary", "./nowhere"], &["--binary ./nowhere is not a file"]);
}

#[test]
fn options_of_a_plan_outside_their_range_are_refused() {
    refused(&["plan", "--tick", "1ms"], &["--tick must be from 20ms to 2s"]);
    refused(&["plan", "--check", "./none.json"], &["--check ./none.json", "run --json"]);
}
