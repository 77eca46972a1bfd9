//! The result for people who are not at the terminal: the report is uploaded, and the verdict is posted to a
//! Slack-compatible incoming webhook with the figures that matter and a link to the report.
//!
//! Addresses may hold a password or a signature. They are never printed.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::json;

use crate::cli::RunArguments;
use crate::console::usage_error;
use crate::metrics::{Counter, Timer};
use crate::report::summary::{Summary, Verdict};
use crate::report::text::{ms, tick};

/// Attempts of an upload or a post. A receiver recognises a repeated post by its key; a repeated upload replaces itself.
const ATTEMPTS: u32 = 3;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// Time for an upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for a post.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the result goes.
pub struct Notifier {
    http: Client,
    webhook: Option<Url>,
    upload: Option<Url>,
    /// Where the report can be read.
    link: Option<Url>,
}

impl Notifier {
    /// From the options, where an empty address means none, as in a Secret with an empty key. An upload address or link
    /// that ends with `/` is a folder: the file name of the report is added. Without a link of its own the report is read
    /// where it was uploaded.
    ///
    /// # Errors
    /// An address is not valid, or there is a link and no report that it could lead to.
    pub fn new(http: &Client, options: &RunArguments) -> anyhow::Result<Self> {
        let name = options.html.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let name = name.map_or_else(default_name, str::to_owned);
        let webhook = address("--webhook", options.webhook.as_deref())?;
        let upload = address("--upload", options.upload.as_deref())?.map(|url| in_folder(url, &name));
        let link = address("--report-url", options.report_url.as_deref())?.map(|url| in_folder(url, &name));
        if link.is_some() && upload.is_none() && options.html.is_none() {
            return Err(usage_error(
                "--report-url is a link to the report; add --html or --upload, so that there is a report",
            ));
        }
        let link = link.or_else(|| upload.clone().map(without_secrets));
        Ok(Self { http: http.clone(), webhook, upload, link })
    }

    /// Uploads the report if an address was given, and gives the link to it if there is one.
    ///
    /// # Errors
    /// It was not accepted: says why, without the address.
    pub async fn upload(&self, page: &str) -> anyhow::Result<Option<&Url>> {
        if let Some(url) = &self.upload {
            let put = || {
                let put = self.http.put(url.clone()).timeout(UPLOAD_TIMEOUT);
                put.header("Content-Type", "text/html; charset=utf-8").body(page.to_owned())
            };
            send(put).await.context("the report could not be uploaded")?;
        }
        Ok(self.link.as_ref())
    }

    /// Posts the verdict of a run, and the line that says where its report is. A failure is printed and changes nothing.
    pub async fn post(&self, scenario: &str, outcome: &anyhow::Result<Summary>, report: Option<&str>) {
        let Some(webhook) = &self.webhook else { return };
        let mut text = match outcome {
            Ok(summary) => text(scenario, summary),
            Err(error) => format!("✗ load test {scenario}: {error:#}"),
        };
        if let (Ok(_), Some(report)) = (outcome, report) {
            text.push('\n');
            text.push_str(report);
        }
        let key = format!("loadtest-{:032x}", rand::random::<u128>());
        let post = || {
            let post = self.http.post(webhook.clone()).timeout(POST_TIMEOUT);
            post.header("Idempotency-Key", &key).json(&json!({"text": text}))
        };
        if let Err(error) = send(post).await {
            eprintln!("loadtest: the verdict could not be posted: {error:#}");
        }
    }
}

/// Sends a request until it succeeds, at most [`ATTEMPTS`] times.
async fn send(request: impl Fn() -> RequestBuilder) -> anyhow::Result<()> {
    let mut attempt = 1;
    loop {
        let answer = request().send().await.and_then(reqwest::Response::error_for_status);
        match answer.map_err(reqwest::Error::without_url) {
            Ok(_) => return Ok(()),
            Err(error) if attempt == ATTEMPTS => return Err(error.into()),
            Err(_) => attempt += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn address(option: &str, text: Option<&str>) -> anyhow::Result<Option<Url>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(Some).ok_or_else(|| usage_error(format!("{option} is not a valid address; write https://…")))
}

fn in_folder(mut url: Url, name: &str) -> Url {
    if url.path().ends_with('/') {
        url.set_path(&format!("{}{name}", url.path()));
    }
    url
}

fn default_name() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    format!("loadtest-{}.html", now.replace(':', ""))
}

/// An address that others may see: without password, query and fragment.
fn without_secrets(mut url: Url) -> Url {
    url.set_query(None);
    url.set_fragment(None);
    // a URL with a host accepts both
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url
}

/// A verdict in a few lines.
fn text(scenario: &str, summary: &Summary) -> String {
    let voters = summary.parameters.scenario.hall.voters;
    let mut lines = vec![format!(
        "{} load test {scenario}, {voters} voters: {} after {:.0} s",
        tick(summary.verdict == Verdict::Passed),
        summary.verdict.text(),
        summary.seconds
    )];
    let judged = summary.thresholds.iter();
    lines.extend(judged.map(|judged| format!("{} {} ({})", tick(judged.ok), judged.threshold, judged.measured_text())));
    let measures = &summary.measures;
    let count = |counter, what| measures.reported(counter).map(|count| format!("{count} {what}"));
    let figures = [
        count(Counter::Votes, "votes"),
        measures.times(Timer::Ack).map(|ack| {
            let [p50, p99] = [0.5, 0.99].map(|share| ms(ack.quantile_ms(share)));
            format!("ack p50 {p50}, p99 {p99}")
        }),
        count(Counter::Reconnects, "reconnects"),
        Some(format!("{} errors", measures.errors())),
        count(Counter::SlowCommands, "slow commands of the ledger"),
        count(Counter::LedgerRestarts, "restarts of it"),
    ];
    lines.push(figures.into_iter().flatten().collect::<Vec<_>>().join(" · "));
    lines.push(format!("audit {}", summary.audit.text()));
    if summary.room_afterwards != "removed" {
        lines.push(format!("room {}: {}", summary.room, summary.room_afterwards));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn links(options: &[&str]) -> (Option<String>, Option<String>) {
        let arguments = Arguments::try_parse_from(["loadtest", "run", "storm"].iter().chain(options)).unwrap();
        let Command::Run(options) = arguments.command else { panic!("this is run") };
        let notifier = Notifier::new(&Client::new(), &options).unwrap();
        (notifier.upload.map(String::from), notifier.link.map(String::from))
    }

    #[test]
    fn a_link_holds_neither_password_nor_signature() {
        let (upload, link) = links(&["--upload", "https://me:pass@s3.example.org/b/r.html?X-Amz-Signature=abc#x"]);
        assert!(upload.is_some_and(|url| url.contains("Signature=abc") && url.contains("me:pass")));
        assert_eq!(link.as_deref(), Some("https://s3.example.org/b/r.html"));
    }

    #[test]
    fn in_a_folder_the_report_keeps_its_file_name() {
        let folders = ["--upload", "https://in.example.org/put/?token=t", "--report-url", "https://out.example.org/"];
        let (upload, link) = links(&[&folders[..], &["--html", "/reports/pod-1.html"]].concat());
        assert_eq!(upload.as_deref(), Some("https://in.example.org/put/pod-1.html?token=t"));
        assert_eq!(link.as_deref(), Some("https://out.example.org/pod-1.html"));
        let (upload, _) = links(&["--upload", "https://in.example.org/"]);
        assert!(upload.is_some_and(|url| url.starts_with("https://in.example.org/loadtest-2")));
    }

    #[test]
    fn empty_addresses_mean_none() {
        assert_eq!(links(&["--upload", " ", "--report-url", "", "--html", "r.html"]), (None, None));
    }
}
