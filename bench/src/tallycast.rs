//! A Tallycast pod, and rooms full of voters.
//!
//! Tokens of voters are made here with the secret of the pods: ten thousand joins over HTTP would take longer than the
//! measure. A hello with such a token writes the voter as a join does.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use tallycast::auth::Auth;
use tallycast::domain::ids::{RoomId, VoterId};
use tallycast::domain::text::Name;

use crate::measuring::Dialect;
use crate::options::Options;
use crate::procs::Process;

/// The emcee key of every pod.
pub const EMCEE_KEY: &str = "the emcee of the bench";
const SECRET: &str = "the secret of the bench";
/// Time for an HTTP call: the audit of a million ballots takes long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// A running server.
pub struct Pod {
    process: Process,
    /// Where it listens.
    pub port: u16,
    http: Client,
}

impl Pod {
    /// Starts one and waits until it is ready. Everything that has a default is left at it, but for the worker
    /// threads, one, for there is one core, and for what `settings` say.
    pub(crate) fn start(
        options: &Options,
        port: u16,
        cores: &str,
        ledger: &str,
        settings: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let process = Process::start("tallycast", cores, &options.server, log, |command| {
            command.current_dir(&options.root).env("SERVER_PORT", port.to_string());
            command.env("TALLYCAST__SERVER__HOST", "127.0.0.1").env("TALLYCAST__SERVER__WORKERS", "1");
            command.env("TALLYCAST__SERVER__SECRET", SECRET).env("TALLYCAST__EMCEE__KEY", EMCEE_KEY);
            command.env("TALLYCAST__LEDGER__URL", ledger).envs(settings.iter().copied());
        })?;
        let http = Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        let mut pod = Self { process, port, http };
        let (ready, http) = (pod.url("/readyz"), pod.http.clone());
        pod.process.wait_until(|| http.get(&ready).send().is_ok_and(|answer| answer.status().is_success()))?;
        Ok(pod)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A number in `/metrics`, by the name of its series.
    ///
    /// # Errors
    /// The pod does not answer, or the series is missing.
    pub fn metric(&self, series: &str) -> Result<f64> {
        let text = self.http.get(self.url("/metrics")).send()?.text()?;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).with_context(|| format!("{series} in /metrics"))
    }

    /// A new room with `rounds` rounds of two choices and so many casts in each, and `voters` who hold tokens.
    pub fn hall(&self, voters: usize, rounds: usize, casts_per_round: u32) -> Result<Hall> {
        let caller = Caller { http: self.http.clone(), api: self.url("/api/v1") };
        let round = json!({"title": "Measured", "choices": [{"label": "A"}, {"label": "B"}]});
        let plan = json!({"title": "Bench", "votes_per_round": casts_per_round, "rounds": vec![round; rounds]});
        let made = caller.post("/rooms", &plan)?;
        let room = made["room"].as_str().context("a room without a code")?.to_owned();
        let joined = caller.post(&format!("/rooms/{room}/join"), &json!({"name": "First"}))?;
        let auth = Auth::new(EMCEE_KEY.to_owned().into(), &SECRET.to_owned().into());
        let id = joined["token"].as_str().and_then(|token| token.split('.').nth(1));
        let id = RoomId::parse(id.context("a token without a room")?)?;
        let key = auth.token_key(&id, None);
        let tokens = (0..voters).map(|number| {
            let voter = VoterId::parse(&format!("voter-{number}"))?;
            Ok(key.sign(&voter, &Name::parse(&format!("Voter {number}"))?))
        });
        Ok(Hall { tokens: tokens.collect::<Result<_>>()?, caller, room, id, open: 0, casts_per_round })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// A room, seen by its emcee.
pub struct Hall {
    caller: Caller,
    /// The join code.
    pub room: String,
    /// The room's id, as in the ledger's keys.
    pub id: RoomId,
    tokens: Vec<String>,
    open: usize,
    casts_per_round: u32,
}

impl Hall {
    /// The messages of its voters.
    pub fn dialect(&self) -> Dialect {
        Dialect::tallycast(&self.room, &self.tokens, self.casts_per_round)
    }

    /// Closes the open round, if there is one, and opens the next.
    pub fn open_next(&mut self) -> Result<()> {
        if self.open > 0 {
            self.close()?;
        }
        self.open += 1;
        self.post(&format!("/rounds/{}/open", self.open), &json!({}))?;
        Ok(())
    }

    /// Closes the open round.
    pub fn close(&self) -> Result<()> {
        self.post(&format!("/rounds/{}/close", self.open), &json!({}))?;
        Ok(())
    }

    /// Joins somebody over HTTP.
    pub fn join(&self, name: &str) -> Result<Value> {
        self.post("/join", &json!({ "name": name }))
    }

    /// Begins the reveal, which computes the ranking.
    pub fn reveal(&self) -> Result<Value> {
        self.caller.put(&format!("/rooms/{}/reveal", self.room), &json!({"place": 51, "top": 50}))
    }

    /// The server's own recount.
    pub fn audit(&self) -> Result<Value> {
        self.caller.get(&format!("/rooms/{}/audit", self.room))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.caller.post(&format!("/rooms/{}{path}", self.room), body)
    }
}

/// Calls of the emcee.
struct Caller {
    http: Client,
    api: String,
}

impl Caller {
    fn get(&self, path: &str) -> Result<Value> {
        read(path, self.http.get(self.url(path)).bearer_auth(EMCEE_KEY).send())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        read(path, self.http.post(self.url(path)).bearer_auth(EMCEE_KEY).json(body).send())
    }

    fn put(&self, path: &str, body: &Value) -> Result<Value> {
        read(path, self.http.put(self.url(path)).bearer_auth(EMCEE_KEY).json(body).send())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }
}

fn read(path: &str, answer: reqwest::Result<Response>) -> Result<Value> {
    let answer = answer.with_context(|| path.to_owned())?;
    let status = answer.status();
    let text = answer.text()?;
    ensure!(status.is_success(), "{path} was answered {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{path} was not answered by JSON"))
}
