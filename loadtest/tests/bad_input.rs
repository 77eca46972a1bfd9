//! Mistakes in the options: each is answered by a sentence that says what to do, and exit code 104.

mod support;

use support::{Receiver, Server, loadtest, refused};

const SMALL: &str = "title = \"t\"\n[hall]\nvoters = 3\n[[phase]]\nname = \"in\"\nduration = \"1s\"\njoin = 1.0\n";

fn scenario(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.toml");
    std::fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap().to_owned();
    (directory, name)
}

#[test]
fn a_mistake_is_answered_with_what_to_do() {
    let mistakes: [(&[&str], &[&str]); 15] = [
        (&["evning"], &["there is no scenario \"evning\"", "evening", "slow-readers", "path of a file"]),
        (&["./none.toml"], &["cannot be read", "check the path"]),
        (&["storm", "--votres", "3"], &["--votres"]),
        (&["run"], &["SCENARIO"]),
        (&["storm", "--threshold", "speed.p99 < 3ms"], &["no metric \"speed.p99\"", "ack", "errors.lost"]),
        // a port that nothing listens on
        (&["storm", "--url", "http://127.0.0.1:9"], &["nothing answers at", "cargo run --release", "--start"]),
        (&["storm", "--url", "ftp://vote.example.org"], &["--url ftp://", "ftp is not supported", "https://"]),
        (&["storm", "--emcee-url", "desk"], &["--emcee-url desk", "https://host:port"]),
        (&["storm", "--ca", "./none.pem"], &["--ca ./none.pem", "No such file"]),
        (&["storm", "--report-url", "https://example.org/"], &["--report-url", "--html or --upload"]),
        (&["storm", "--start", "--binary", "./nowhere"], &["--binary ./nowhere is not a file"]),
        (&["storm", "--voters", "900000", "--processes", "64"], &["--source 127.0.0.2,127.0.0.3", "--url"]),
        (&["plan", "--tick", "1ms"], &["--tick must be from 20ms to 2s"]),
        (&["plan", "--pods", "0"], &["--pods"]),
        (&["plan", "--taps-per-second", "NaN"], &["--taps-per-second must be 0 or more"]),
    ];
    for (options, words) in mistakes {
        refused(options, words);
    }
}

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_manual() {
    let (_directory, path) = scenario(&SMALL.replace("join = 1.0", "jion = 1.0"));
    refused(&[&path], &["line 7", "`jion`", "docs/loadtest.md"]);
}

#[test]
fn a_root_without_a_certificate_is_reported_with_its_file() {
    let (_directory, path) = scenario(SMALL);
    refused(&["storm", "--ca", &path], &["--ca", "own.toml", "no certificate in it", "PEM"]);
}

#[test]
fn an_invalid_address_for_the_result_is_reported_without_printing_it() {
    for (option, url) in [("--webhook", "hooks.example.org/a-secret"), ("--upload", "s3://me:a-secret@bucket/")] {
        let told = loadtest(&["storm", option, url], &[], None);
        told.is_refused_with(&[option, "is not a valid address", "https://"]);
        assert!(!told.all().contains("a-secret"), "{}", told.all());
    }
}

#[test]
fn a_server_that_is_not_tallycast_is_reported() {
    let other = Receiver::with_body(&[404], "{}");
    refused(&["storm", "--url", &other.url], &["/readyz answers 404", "address with /ws"]);
}

#[test]
fn a_server_that_is_not_ready_is_reported_with_its_reasons() {
    let server = Receiver::with_body(&[503], r#"{"ready":false,"reasons":["ledger: it does not answer"]}"#);
    refused(&["storm", "--url", &server.url], &["is not ready", "ledger: it does not answer"]);
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
