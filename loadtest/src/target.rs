//! The server under test, as its emcee reaches it: the room, its rounds, and what remains of them.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::misuse::misuse;
use crate::pod::Address;
use crate::scenario::{Scenario, Split, steps};
use crate::tls;

/// Tries of a command whose outcome is unknown: commands are absolute, so saying one twice is safe.
const TRIES: u32 = 10;
/// A room that no server has: codes have no such characters.
const NO_ROOM: &str = "000000";

/// What the ledger's server found slow.
const SLOW_LOG: &str = "ledger/slow-log";
/// How long a look in passing may take.
const GLANCE: Duration = Duration::from_secs(3);

/// What the server says of its ledger's slow log: docs/protocol.md.
#[derive(Debug, Deserialize)]
pub struct SlowLog {
    server_run: Option<String>,
    /// Newest first.
    pub commands: Vec<Slow>,
    /// Why there is nothing to read.
    pub unreadable: Option<String>,
}

/// One slow command.
#[derive(Debug, Deserialize)]
pub struct Slow {
    /// Rises with each, from 0 at each start of the ledger's server.
    pub id: u64,
    /// When, in ms since 1970.
    pub at: u64,
    /// How long, in µs.
    pub us: u64,
    /// Its name.
    pub command: String,
}

impl SlowLog {
    /// One start of the ledger's server; empty if that is not told.
    pub fn start(&self) -> String {
        self.server_run.clone().unwrap_or_default()
    }
}

/// For all calls of this program.
///
/// # Errors
/// A root is no certificate.
pub fn client(roots: &[String]) -> anyhow::Result<Client> {
    // an audit of a large room takes its time
    let builder = Client::builder().timeout(Duration::from_secs(120)).connect_timeout(Duration::from_secs(5));
    Ok(builder.use_preconfigured_tls(tls::config(roots)?).build()?)
}

/// See [module](self).
#[derive(Debug, Clone)]
pub struct Target {
    http: Client,
    urls: Vec<String>,
    pods: Vec<Address>,
    /// Where the emcee's calls go, in turn.
    desks: Vec<String>,
    key: String,
}

impl Target {
    /// A server behind these addresses; the emcee's calls go to a desk of their own, or to the first of them.
    ///
    /// # Errors
    /// An address is malformed.
    pub fn new(http: Client, urls: &[String], desk: Option<&str>, key: &str) -> anyhow::Result<Self> {
        let pods = urls.iter().map(|url| address("--url", url)).collect::<Result<_, _>>()?;
        desk.map(|url| address("--emcee-url", url)).transpose()?;
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        let urls: Vec<_> = urls.iter().map(|url| trimmed(url)).collect();
        let desks = desk.map_or_else(|| urls.clone(), |desk| vec![trimmed(desk)]);
        Ok(Self { http, urls, pods, desks, key: key.to_owned() })
    }

    /// Every pod.
    pub fn pods(&self) -> &[Address] {
        &self.pods
    }

    /// Checks that every pod can take voters.
    ///
    /// # Errors
    /// One cannot: says why and what to do.
    pub async fn check_ready(&self) -> anyhow::Result<()> {
        for url in &self.urls {
            let answer =
                self.http.get(format!("{url}/readyz")).send().await.map_err(|error| unreachable(url, &error))?;
            let status = answer.status();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                let body: Value = answer.json().await.unwrap_or_default();
                let reasons = body["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let reasons = reasons.collect::<Vec<_>>().join("; ");
                return Err(misuse(format!("the server at {url} is not ready: {reasons}; mend that and try again")));
            }
            if !status.is_success() && !self.is_tallycast(url).await {
                return Err(misuse(format!(
                    "{url}/readyz answers {status}, and nothing else there is like a Tallycast server; --url is the \
                     address with /ws"
                )));
            }
        }
        Ok(())
    }

    /// Asks for a room that cannot be. A server whose probes are on a port of their own is known by its answer, and one
    /// that gives it has asked its ledger.
    async fn is_tallycast(&self, url: &str) -> bool {
        let Ok(answer) = self.http.get(format!("{url}/api/v1/rooms/{NO_ROOM}")).send().await else { return false };
        let body: Value = answer.json().await.unwrap_or_default();
        body["code"] == "no_such_room"
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
        let url = format!("{}/api/v1/rooms", self.desks[0]);
        let sent = self.http.post(url).bearer_auth(&self.key).json(&body).send().await.context("POST /rooms")?;
        match sent.status() {
            StatusCode::UNAUTHORIZED => Err(misuse(
                "the server does not take this emcee key; give the right one with --key or TALLYCAST__EMCEE__KEY \
                 (an embedded server keeps its own beside the ledger's file and prints it in the emcee's link)",
            )),
            StatusCode::NOT_FOUND => Err(misuse(
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

    /// A command to a room, repeated while its outcome is unknown.
    async fn command(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(method, &format!("rooms/{path}"), body).await
    }

    /// A call, repeated while its outcome is unknown.
    async fn call(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            let url = format!("{}/api/v1/{path}", self.desks[attempt as usize % self.desks.len()]);
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

    /// The slow log of the ledger's server.
    ///
    /// # Errors
    /// The server cannot tell, or does not know the question.
    pub async fn slow_log(&self) -> anyhow::Result<SlowLog> {
        Ok(serde_json::from_value(self.call(Method::GET, SLOW_LOG, &Value::Null).await?)?)
    }

    /// The same, asked once and in passing.
    ///
    /// # Errors
    /// It was not told within [`GLANCE`].
    pub async fn glance_at_slow_log(&self) -> anyhow::Result<SlowLog> {
        let url = format!("{}/api/v1/{SLOW_LOG}", self.desks[0]);
        let answer = self.http.get(url).bearer_auth(&self.key).timeout(GLANCE).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Removes the room of this run: closes what is open, deletes it, and has it purged if so wanted.
    ///
    /// # Errors
    /// It is still there, wholly or as a deleted one: says which.
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
        for _ in 0..TRIES {
            let purged = self.call(Method::POST, "purge", &purge).await.context("it is deleted, and not purged")?;
            if purged["rooms"].as_array().is_some_and(|rooms| !rooms.is_empty()) {
                return Ok(());
            }
            // a pod's idea of the ledger's time may be a little behind
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bail!("it is deleted, and the server does not purge it")
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

/// What an option's URL says.
fn address(option: &str, url: &str) -> anyhow::Result<Address> {
    let said =
        |why: String| misuse(format!("{option} {url} is no address ({why}); write https://host:port or http://"));
    let parsed = reqwest::Url::parse(url).map_err(|error| said(error.to_string()))?;
    Address::of(&parsed).ok_or_else(|| said(format!("{} is not spoken here", parsed.scheme())))
}

/// Why a server could not be asked.
fn unreachable(url: &str, error: &reqwest::Error) -> anyhow::Error {
    misuse(match tls::refusal(error) {
        Some(why) => format!(
            "the certificate of {url} is not taken ({why}); give the root that signed it with --ca, and use a name that \
             it carries"
        ),
        None => format!(
            "nothing answers at {url}; start a server (`cargo run --release`), give its address with --url, or let \
             --start bring one up"
        ),
    })
}
