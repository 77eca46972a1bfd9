//! The server under test, through the emcee's HTTP API.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::usage_error;
use crate::pod::Address;
use crate::scenario::{Scenario, Split, steps};
use crate::tls;

/// Attempts of a call with an unknown outcome. Commands are absolute, so sending one twice is safe.
const ATTEMPTS: u32 = 10;
/// A join code that no room has: codes do not contain these characters.
const NO_ROOM: &str = "000000";
const SLOW_LOG: &str = "ledger/slow-log";
/// Time for reading the slow log during a run.
const QUICK_TIMEOUT: Duration = Duration::from_secs(3);

/// The slow log of the ledger's server: docs/protocol.md.
#[derive(Debug, Deserialize)]
pub struct SlowLog {
    server_run: Option<String>,
    /// Newest first.
    pub commands: Vec<Slow>,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
}

/// A slow command.
#[derive(Debug, Deserialize)]
pub struct Slow {
    /// Counts up from 0 at each start of the ledger's server.
    pub id: u64,
    /// When, in ms since 1970.
    pub at: u64,
    /// How long, in µs.
    pub us: u64,
    /// Its name.
    pub command: String,
}

impl SlowLog {
    /// Identifies one start of the ledger's server; empty if that is not known.
    pub fn start(&self) -> String {
        self.server_run.clone().unwrap_or_default()
    }
}

/// The HTTP client of this program.
///
/// # Errors
/// A root is not a valid certificate.
pub fn client(roots: &[String]) -> anyhow::Result<Client> {
    // the audit of a large room takes long
    let builder = Client::builder().timeout(Duration::from_secs(120)).connect_timeout(Duration::from_secs(5));
    Ok(builder.use_preconfigured_tls(tls::config(roots)?).build()?)
}

/// See [module](self).
#[derive(Debug, Clone)]
pub struct Target {
    http: Client,
    urls: Vec<String>,
    pods: Vec<Address>,
    /// Addresses for the emcee's calls, used in turn.
    emcee_urls: Vec<String>,
    key: String,
}

impl Target {
    /// A server with pods at `urls`. The emcee's calls go to `emcee_url`, or to the pods.
    ///
    /// # Errors
    /// An address is not valid.
    pub fn new(http: Client, urls: &[String], emcee_url: Option<&str>, key: &str) -> anyhow::Result<Self> {
        let pods = urls.iter().map(|url| address("--url", url)).collect::<Result<_, _>>()?;
        emcee_url.map(|url| address("--emcee-url", url)).transpose()?;
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        let urls: Vec<_> = urls.iter().map(|url| trimmed(url)).collect();
        let emcee_urls = emcee_url.map_or_else(|| urls.clone(), |url| vec![trimmed(url)]);
        Ok(Self { http, urls, pods, emcee_urls, key: key.to_owned() })
    }

    /// Every pod.
    pub fn pods(&self) -> &[Address] {
        &self.pods
    }

    /// Checks that every pod is ready.
    ///
    /// # Errors
    /// A pod cannot: says why and what to do.
    pub async fn check_ready(&self) -> anyhow::Result<()> {
        for url in &self.urls {
            let answer =
                self.http.get(format!("{url}/readyz")).send().await.map_err(|error| unreachable(url, &error))?;
            let status = answer.status();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                let body: Value = answer.json().await.unwrap_or_default();
                let reasons = body["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let reasons = reasons.collect::<Vec<_>>().join("; ");
                return Err(usage_error(format!(
                    "the server at {url} is not ready: {reasons}; fix that and try again"
                )));
            }
            if !status.is_success() && !self.is_tallycast(url).await {
                return Err(usage_error(format!(
                    "{url}/readyz answers {status}, and it does not answer as a Tallycast server does; --url is the \
                     address with /ws"
                )));
            }
        }
        Ok(())
    }

    /// Asks for a room that cannot exist. This recognises a server with its probes on another port; the answer also shows
    /// that its ledger is reachable.
    async fn is_tallycast(&self, url: &str) -> bool {
        let Ok(answer) = self.http.get(format!("{url}/api/v1/rooms/{NO_ROOM}")).send().await else { return false };
        let body: Value = answer.json().await.unwrap_or_default();
        body["code"] == "no_such_room"
    }

    /// Creates the room of the run.
    ///
    /// # Errors
    /// The key is wrong, or the server refuses it.
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
        let url = format!("{}/api/v1/rooms", self.emcee_urls[0]);
        let sent = self.http.post(url).bearer_auth(&self.key).json(&body).send().await.context("POST /rooms")?;
        match sent.status() {
            StatusCode::UNAUTHORIZED => Err(usage_error(
                "the server does not accept this emcee key; give the right one with --key or TALLYCAST__EMCEE__KEY \
                 (an embedded server keeps its own beside the ledger's file and prints it in the emcee's link)",
            )),
            StatusCode::NOT_FOUND => Err(usage_error(
                "the first --url is a pod of the role audience, which has no emcee calls; name an admin pod with --emcee-url",
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

    /// A call about a room.
    async fn command(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(method, &format!("rooms/{path}"), body).await
    }

    /// A call. It is repeated while its outcome is unknown.
    async fn call(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            let url = format!("{}/api/v1/{path}", self.emcee_urls[attempt as usize % self.emcee_urls.len()]);
            let mut request = self.http.request(method.clone(), url).bearer_auth(&self.key);
            if !body.is_null() {
                request = request.json(body);
            }
            match request.send().await {
                Ok(answer) if answer.status() == StatusCode::NO_CONTENT => return Ok(Value::Null),
                Ok(answer) if answer.status().is_success() => return Ok(answer.json().await?),
                Ok(answer) if answer.status().is_server_error() || answer.status() == StatusCode::NOT_FOUND => {
                    last = format!("{}: {}", answer.status(), answer.text().await.unwrap_or_default());
                }
                Ok(answer) => bail!("{path} answers {}: {}", answer.status(), answer.text().await?),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bail!("{path} failed {ATTEMPTS} times; the last time: {last}")
    }

    /// Opens a round.
    ///
    /// # Errors
    /// The server refuses or fails.
    pub async fn open(&self, room: &str, round: u32) -> anyhow::Result<()> {
        self.command(Method::POST, &format!("{room}/rounds/{round}/open"), &json!({"take": 1})).await.map(drop)
    }

    /// Closes a round, and shows its result if it is held back.
    ///
    /// # Errors
    /// The server refuses or fails.
    pub async fn close(&self, room: &str, round: u32, split: Split) -> anyhow::Result<()> {
        self.command(Method::POST, &format!("{room}/rounds/{round}/close"), &json!({"take": 1})).await?;
        if split == Split::Held {
            self.command(Method::POST, &format!("{room}/rounds/{round}/show"), &json!({})).await?;
        }
        Ok(())
    }

    /// Shows the ranking down to a place.
    ///
    /// # Errors
    /// The server refuses or fails.
    pub async fn reveal(&self, room: &str, place: u32, top: u32) -> anyhow::Result<()> {
        self.command(Method::PUT, &format!("{room}/reveal"), &json!({"place": place, "top": top})).await.map(drop)
    }

    /// The export of a room.
    ///
    /// # Errors
    /// The server fails.
    pub async fn export(&self, room: &str) -> anyhow::Result<Value> {
        self.command(Method::GET, &format!("{room}/export?format=json"), &Value::Null).await
    }

    /// The server's own recount.
    ///
    /// # Errors
    /// The server fails.
    pub async fn audit(&self, room: &str) -> anyhow::Result<Value> {
        self.command(Method::GET, &format!("{room}/audit"), &Value::Null).await
    }

    /// The slow log of the ledger's server.
    ///
    /// # Errors
    /// The server cannot read it, or does not have this call.
    pub async fn slow_log(&self) -> anyhow::Result<SlowLog> {
        Ok(serde_json::from_value(self.call(Method::GET, SLOW_LOG, &Value::Null).await?)?)
    }

    /// The same, with one attempt and a short timeout.
    ///
    /// # Errors
    /// There was no answer within 3 s, or an error.
    pub async fn quick_slow_log(&self) -> anyhow::Result<SlowLog> {
        let url = format!("{}/api/v1/{SLOW_LOG}", self.emcee_urls[0]);
        let answer = self.http.get(url).bearer_auth(&self.key).timeout(QUICK_TIMEOUT).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Removes the room of the run: closes an open round, deletes the room, and purges it if `purge` is true.
    ///
    /// # Errors
    /// The room is still there, or deleted and not purged: says which.
    pub async fn remove(&self, room: &str, purge: bool) -> anyhow::Result<()> {
        let shown = self.command(Method::GET, room, &Value::Null).await?;
        for round in shown["rounds"].as_array().into_iter().flatten().filter(|round| round["phase"] == "open") {
            let path = format!("{room}/rounds/{}/close", round["round"]);
            self.command(Method::POST, &path, &json!({"take": round["take"]})).await?;
        }
        let title = shown["title"].as_str().unwrap_or_default();
        let base = reqwest::Url::parse_with_params("http://-/", [("title", title)])?;
        self.command(Method::DELETE, &format!("{room}?{}", base.query().unwrap_or_default()), &Value::Null).await?;
        if !purge {
            return Ok(());
        }
        let purge = json!({"older_than_seconds": 0, "room": room});
        for _ in 0..ATTEMPTS {
            let purged = self.call(Method::POST, "purge", &purge).await.context("it is deleted, and not purged")?;
            if purged["rooms"].as_array().is_some_and(|rooms| !rooms.is_empty()) {
                return Ok(());
            }
            // a pod's estimate of the ledger's clock may be a little behind
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bail!("it is deleted, and the server does not purge it")
    }

    /// Prometheus text of every pod; empty where it is not reachable, as with metrics on another port.
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

/// The address in an option's URL.
fn address(option: &str, url: &str) -> anyhow::Result<Address> {
    let wrong = |why: String| {
        usage_error(format!("{option} {url} is not a valid address ({why}); write https://host:port or http://"))
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    Address::of(&parsed).ok_or_else(|| wrong(format!("{} is not supported", parsed.scheme())))
}

/// Why a server could not be asked.
fn unreachable(url: &str, error: &reqwest::Error) -> anyhow::Error {
    usage_error(match tls::refusal(error) {
        Some(why) => format!(
            "the certificate of {url} is not accepted ({why}); give the root that signed it with --ca, and use a name that \
             it carries"
        ),
        None => format!(
            "nothing answers at {url}; start a server (`cargo run --release`), give its address with --url, or let \
             --start start one"
        ),
    })
}
