//! The server under test, through the emcee's HTTP API.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::console::usage_error;
use crate::scenario::{Scenario, Split, steps};
use crate::tls;

/// Attempts of a call with an unknown outcome. Commands are absolute, so sending one twice is safe.
const ATTEMPTS: usize = 10;
/// A join code that no room has: codes do not contain these characters.
const NO_ROOM: &str = "000000";

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
    pods: Vec<String>,
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
        let pods = urls.iter().map(|url| address("--url", url)).collect::<Result<Vec<_>, _>>()?;
        let emcee_urls = match emcee_url {
            Some(url) => vec![address("--emcee-url", url)?],
            None => pods.clone(),
        };
        Ok(Self { http, pods, emcee_urls, key: key.to_owned() })
    }

    /// Checks that every pod is ready.
    ///
    /// # Errors
    /// A pod cannot: says why and what to do.
    pub async fn check_ready(&self) -> anyhow::Result<()> {
        for url in &self.pods {
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
            let title = format!("Round {number}");
            json!({"title": title, "choices": choices, "split": hall.split, "seconds": hall.seconds})
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

    /// What the emcee's API answers to a GET.
    ///
    /// # Errors
    /// See [`Self::command`], and it may be malformed.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.command(Method::GET, path, &Value::Null).await?;
        serde_json::from_value(answer).with_context(|| format!("the answer to {path} is malformed"))
    }

    /// A call of the emcee's API. It is repeated while its outcome is unknown.
    ///
    /// # Errors
    /// The server refuses it, or its outcome stays unknown.
    pub async fn command(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            let url = format!("{}/api/v1/{path}", self.emcee_urls[attempt % self.emcee_urls.len()]);
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

    /// Closes a round, and shows its result if it is held back.
    ///
    /// # Errors
    /// See [`Self::command`].
    pub async fn close(&self, room: &str, round: u32, split: Split) -> anyhow::Result<()> {
        let round = format!("rooms/{room}/rounds/{round}");
        self.command(Method::POST, &format!("{round}/close"), &json!({"take": 1})).await?;
        if split == Split::Held {
            self.command(Method::POST, &format!("{round}/show"), &json!({})).await?;
        }
        Ok(())
    }

    /// Removes the room of the run: closes an open round, deletes the room, and purges it if `purge` is true.
    ///
    /// # Errors
    /// The room is still there, or deleted and not purged: says which.
    pub async fn remove(&self, room: &str, purge: bool) -> anyhow::Result<()> {
        let path = format!("rooms/{room}");
        let shown: Value = self.get(&path).await?;
        for round in shown["rounds"].as_array().into_iter().flatten().filter(|round| round["phase"] == "open") {
            let close = format!("{path}/rounds/{}/close", round["round"]);
            self.command(Method::POST, &close, &json!({"take": round["take"]})).await?;
        }
        let title = shown["title"].as_str().unwrap_or_default();
        let query = Url::parse_with_params("http://-/", [("title", title)])?;
        let delete = format!("{path}?{}", query.query().unwrap_or_default());
        self.command(Method::DELETE, &delete, &Value::Null).await?;
        if !purge {
            return Ok(());
        }
        let purge = json!({"older_than_seconds": 0, "room": room});
        for _ in 0..ATTEMPTS {
            let purged = self.command(Method::POST, "purge", &purge).await.context("it is deleted, and not purged")?;
            if purged["rooms"].as_array().is_some_and(|rooms| !rooms.is_empty()) {
                return Ok(());
            }
            // a pod's estimate of the ledger's clock may be a little behind
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bail!("it is deleted, and the server does not purge it")
    }
}

/// An option's URL, without a slash at its end.
fn address(option: &str, url: &str) -> anyhow::Result<String> {
    let why = match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => return Ok(url.trim_end_matches('/').to_owned()),
        Ok(parsed) => format!("{} is not supported", parsed.scheme()),
        Err(error) => error.to_string(),
    };
    Err(usage_error(format!("{option} {url} is not a valid address ({why}); write https://host:port or http://")))
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
