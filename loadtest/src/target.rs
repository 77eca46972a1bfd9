//! The server under test, as its emcee reaches it: the room, its rounds, and what remains of them.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::misuse::misuse;
use crate::scenario::{Scenario, Split, steps};

/// Tries of a command whose outcome is unknown: commands are absolute, so saying one twice is safe.
const TRIES: u32 = 10;

/// See [module](self).
#[derive(Debug, Clone)]
pub struct Target {
    http: Client,
    urls: Vec<String>,
    key: String,
}

impl Target {
    /// A server behind these addresses.
    ///
    /// # Errors
    /// An address is malformed, or asks for encryption.
    pub fn new(urls: &[String], key: &str) -> anyhow::Result<Self> {
        for url in urls {
            let parsed = reqwest::Url::parse(url)
                .map_err(|error| misuse(format!("--url {url} is no address ({error}); write http://host:port")))?;
            if parsed.scheme() != "http" || parsed.host_str().is_none() {
                return Err(misuse(format!(
                    "--url {url}: only http is spoken here; point at the pod's own port, behind whatever ends TLS"
                )));
            }
        }
        // an audit of a large room takes its time
        let http =
            Client::builder().timeout(Duration::from_secs(120)).connect_timeout(Duration::from_secs(5)).build()?;
        let urls = urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        Ok(Self { http, urls, key: key.to_owned() })
    }

    /// `host:port` of every pod.
    pub fn pods(&self) -> Vec<String> {
        let host = |url: &String| {
            let url = reqwest::Url::parse(url).ok()?;
            Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
        };
        self.urls.iter().filter_map(host).collect()
    }

    /// Checks that every pod can take voters.
    ///
    /// # Errors
    /// One cannot: says why and what to do.
    pub async fn check_ready(&self) -> anyhow::Result<()> {
        for url in &self.urls {
            let answer = self.http.get(format!("{url}/readyz")).send().await.map_err(|_| {
                misuse(format!(
                    "nothing answers at {url}; start a server (`cargo run --release`), give its address with --url, or let \
                     --start bring one up"
                ))
            })?;
            let status = answer.status();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                let body: Value = answer.json().await.unwrap_or_default();
                let reasons = body["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let reasons = reasons.collect::<Vec<_>>().join("; ");
                return Err(misuse(format!("the server at {url} is not ready: {reasons}; mend that and try again")));
            }
            if !status.is_success() {
                return Err(misuse(format!(
                    "{url}/readyz answers {status}: is this a Tallycast server? Its probes may be on a port of their own \
                     (metrics.port); --url is the one with /ws, and it has to have the probes too"
                )));
            }
        }
        Ok(())
    }

    /// Makes the room of this run.
    ///
    /// # Errors
    /// The key is wrong, or the server refuses.
    pub async fn create_room(&self, scenario: &Scenario, title: &str) -> anyhow::Result<String> {
        let rounds = steps(scenario).iter().filter(|step| step.opens.is_some()).count().max(1);
        let hall = &scenario.hall;
        let choices: Vec<_> = (0..hall.choices).map(|n| json!({"label": format!("Side {}", n + 1)})).collect();
        let round = |number: usize| {
            let mut round = json!({"title": format!("Round {number}"), "choices": choices, "split": hall.split});
            if let Some(seconds) = hall.seconds {
                round["seconds"] = seconds.into();
            }
            round
        };
        let body = json!({
            "title": title,
            "votes_per_round": hall.votes_per_round,
            "partitions": hall.partitions,
            "rounds": (1..=rounds).map(round).collect::<Vec<_>>(),
        });
        let url = format!("{}/api/v1/rooms", self.urls[0]);
        let sent = self.http.post(url).bearer_auth(&self.key).json(&body).send().await.context("POST /rooms")?;
        match sent.status() {
            StatusCode::UNAUTHORIZED => Err(misuse(
                "the server does not take this emcee key; give the right one with --key or TALLYCAST__EMCEE__KEY \
                 (an embedded server keeps its own beside the ledger's file and prints it in the emcee's link)",
            )),
            StatusCode::NOT_FOUND => Err(misuse(
                "the first --url is a pod of the role audience, which has no emcee calls; name one of the role all first",
            )),
            status => {
                let body: Value = sent.json().await.unwrap_or_default();
                match body["room"].as_str() {
                    Some(room) => Ok(room.to_owned()),
                    None => bail!("POST /rooms answers {status}: {body}"),
                }
            }
        }
    }

    /// A command, repeated while its outcome is unknown.
    async fn command(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            let url = format!("{}/api/v1/rooms/{path}", self.urls[attempt as usize % self.urls.len()]);
            let mut request = self.http.request(method.clone(), url).bearer_auth(&self.key);
            if !body.is_null() {
                request = request.json(body);
            }
            match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(answer.json().await?),
                Ok(answer) if answer.status().is_server_error() || answer.status() == StatusCode::NOT_FOUND => {
                    last = format!("{}: {}", answer.status(), answer.text().await.unwrap_or_default());
                }
                Ok(answer) => bail!("{path} answers {}: {}", answer.status(), answer.text().await?),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bail!("{path} failed {TRIES} times; the last time: {last}")
    }

    /// Opens a round.
    ///
    /// # Errors
    /// The server refuses, or cannot.
    pub async fn open(&self, room: &str, round: u16) -> anyhow::Result<()> {
        self.command(Method::POST, &format!("{room}/rounds/{round}/open"), &json!({"take": 1})).await.map(drop)
    }

    /// Closes a round, and shows its result where that is held back.
    ///
    /// # Errors
    /// The server refuses, or cannot.
    pub async fn close(&self, room: &str, round: u16, split: Split) -> anyhow::Result<()> {
        self.command(Method::POST, &format!("{room}/rounds/{round}/close"), &json!({"take": 1})).await?;
        if split == Split::Held {
            self.command(Method::POST, &format!("{room}/rounds/{round}/show"), &json!({})).await?;
        }
        Ok(())
    }

    /// Shows the ranking down to a place.
    ///
    /// # Errors
    /// The server refuses, or cannot.
    pub async fn reveal(&self, room: &str, place: u32, top: u32) -> anyhow::Result<()> {
        self.command(Method::PUT, &format!("{room}/reveal"), &json!({"place": place, "top": top})).await.map(drop)
    }

    /// Everything on record.
    ///
    /// # Errors
    /// The server cannot.
    pub async fn export(&self, room: &str) -> anyhow::Result<Value> {
        self.command(Method::GET, &format!("{room}/export?format=json"), &Value::Null).await
    }

    /// The server's own recount.
    ///
    /// # Errors
    /// The server cannot.
    pub async fn audit(&self, room: &str) -> anyhow::Result<Value> {
        self.command(Method::GET, &format!("{room}/audit"), &Value::Null).await
    }

    /// Prometheus text of every pod; empty where it is not reachable, for it may have a port of its own.
    pub async fn metrics(&self) -> Vec<String> {
        let mut all = vec![];
        for url in &self.urls {
            let answer = self.http.get(format!("{url}/metrics")).send().await;
            let text = match answer {
                Ok(answer) if answer.status().is_success() => answer.text().await.unwrap_or_default(),
                _ => String::new(),
            };
            all.push(text);
        }
        all
    }
}
