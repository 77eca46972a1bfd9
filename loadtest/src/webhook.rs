//! The verdict for people who are not at the terminal, with the figures that matter and a link to the report: one text to
//! a Slack-compatible incoming webhook, which takes nothing else.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use serde_json::json;

use crate::metrics::{Counter, Timer};
use crate::misuse::misuse;
use crate::report::summary::{Summary, Verdict};
use crate::report::terminal::ms;

/// Tries of a post. A receiver knows a repeated one by its key.
const TRIES: u32 = 3;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Where verdicts go.
pub struct Webhook {
    http: Client,
    url: reqwest::Url,
}

impl Webhook {
    /// As asked for: by address, or by the file that holds it. An empty one is none, as in the server's settings.
    ///
    /// # Errors
    /// The file cannot be read, or the address is none. The address itself is not said: it is a secret.
    pub fn wanted(http: &Client, url: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let (option, text) = match (url, file) {
            (Some(url), _) => ("--webhook".to_owned(), url.to_owned()),
            (None, Some(file)) => {
                let option = format!("--webhook-file {}", file.display());
                let text = std::fs::read_to_string(file).map_err(|error| misuse(format!("{option}: {error}")))?;
                (option, text)
            }
            (None, None) => return Ok(None),
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let url = reqwest::Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url {
            Some(url) => Ok(Some(Self { http: http.clone(), url })),
            None => Err(misuse(format!("{option} is no address; write https://…"))),
        }
    }

    /// Posts what came of a run, and the line that says where its report is. That it could not be posted is said, and
    /// changes nothing.
    pub async fn tell(&self, scenario: &str, outcome: &anyhow::Result<Summary>, report: Option<&str>) {
        let text = match outcome {
            Ok(summary) => {
                [text(scenario, summary)].into_iter().chain(report.map(str::to_owned)).collect::<Vec<_>>().join("\n")
            }
            Err(error) => format!("✗ load test {scenario}: {error:#}"),
        };
        if let Err(error) = self.post(&text).await {
            eprintln!("loadtest: the verdict could not be posted: {error:#}");
        }
    }

    async fn post(&self, text: &str) -> anyhow::Result<()> {
        let key = format!("loadtest-{:032x}", rand::random::<u128>());
        let mut tried = 1;
        loop {
            let answer = self.post_once(text, &key).await;
            if answer.is_ok() || tried == TRIES {
                return answer;
            }
            tried += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn post_once(&self, text: &str, key: &str) -> anyhow::Result<()> {
        let post = self.http.post(self.url.clone()).timeout(PATIENCE).header("Idempotency-Key", key);
        // an error must not tell the address
        let answer = post.json(&json!({"text": text})).send().await.map_err(reqwest::Error::without_url)?;
        answer.error_for_status().map_err(reqwest::Error::without_url).map(drop).context("the webhook refused")
    }
}

/// A verdict in a few lines.
fn text(scenario: &str, summary: &Summary) -> String {
    let mark = |ok| if ok { '✓' } else { '✗' };
    let voters = summary.parameters.scenario.hall.voters;
    let mut lines = vec![format!(
        "{} load test {scenario}, {voters} voters: {} after {:.0} s",
        mark(summary.verdict == Verdict::Passed),
        summary.verdict.words(),
        summary.seconds
    )];
    let judged = summary.thresholds.iter();
    lines.extend(judged.map(|judged| format!("{} {} ({})", mark(judged.ok), judged.threshold, judged.words())));
    let count = |counter: Counter| summary.counts.get(counter.word());
    let known = |counter, what: &str| count(counter).map(|count| format!("{count} {what}"));
    let figures = [
        known(Counter::Votes, "votes"),
        summary.times.get(Timer::Ack.word()).map(|ack| format!("ack p50 {}, p99 {}", ms(ack.p50), ms(ack.p99))),
        known(Counter::Reconnects, "reconnects"),
        Some(format!("{} errors", summary.errors.values().sum::<u64>())),
        known(Counter::SlowCommands, "slow commands of the ledger"),
        known(Counter::LedgerRestarts, "restarts of it"),
    ];
    lines.push(figures.into_iter().flatten().collect::<Vec<_>>().join(" · "));
    lines.push(match summary.audit.exact {
        true => "audit exact".to_owned(),
        false => format!("audit: {} differences", summary.audit.differences),
    });
    if summary.room_afterwards != "removed" {
        lines.push(format!("room {}: {}", summary.room, summary.room_afterwards));
    }
    lines.join("\n")
}
