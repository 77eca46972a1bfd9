//! A room of Tallycast, seen by its emcee, and full of voters.
//!
//! Tokens of voters are made here with the secret of the pods: ten thousand joins over HTTP would take longer than the
//! measure. A hello with such a token writes the voter as a join does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};
use tallycast::auth::Auth;
use tallycast::domain::ids::{RoomId, VoterId};
use tallycast::domain::text::Name;

use crate::measuring::{CASTS_PER_ROUND, Dialect, MAX_CASTS_PER_ROUND};
use crate::server::Server;

/// The emcee key of every pod.
pub const EMCEE_KEY: &str = "the emcee of the bench";
/// The secret of every pod.
pub const SECRET: &str = "the secret of the bench";
/// Time for an HTTP call: the audit of a million ballots takes long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// See [module](self).
pub struct Room {
    /// As in the ledger's keys.
    pub id: RoomId,
    http: Client,
    url: String,
    /// The join code.
    code: String,
    casts_per_round: u32,
    /// Number of the open round; 0: none was opened.
    round: usize,
}

impl Room {
    /// A new room with `rounds` rounds of two choices. A voter has ten votes in each; a hundred if there is only one.
    pub fn create(pod: &Server, rounds: usize) -> Result<Self> {
        let casts_per_round = if rounds == 1 { MAX_CASTS_PER_ROUND } else { CASTS_PER_ROUND };
        let http = Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        let url = pod.url("http") + "/api/v1/rooms";
        let round = json!({"title": "Measured", "choices": [{"label": "A"}, {"label": "B"}]});
        let plan = json!({"title": "Bench", "votes_per_round": casts_per_round, "rounds": vec![round; rounds]});
        let made = call(&http, Method::POST, &url, &plan)?;
        let code = made["room"].as_str().context("a room without a code")?.to_owned();
        let url = format!("{url}/{code}");
        let joined = call(&http, Method::POST, &format!("{url}/join"), &json!({"name": "First"}))?;
        let id = joined["token"].as_str().and_then(|token| token.split('.').nth(1));
        let id = RoomId::parse(id.context("a token without a room")?)?;
        Ok(Self { id, http, url, code, casts_per_round, round: 0 })
    }

    /// The messages of so many voters who have joined the room.
    pub fn dialect(&self, voters: usize) -> Result<Dialect> {
        let key = Auth::new(EMCEE_KEY.to_owned().into(), &SECRET.to_owned().into()).token_key(&self.id, None);
        let token = |number| {
            let name = Name::parse(&format!("Voter {number}"))?;
            Ok(key.sign(&VoterId::parse(&format!("voter-{number}"))?, &name))
        };
        let tokens: Vec<_> = (0..voters).map(token).collect::<Result<_>>()?;
        Ok(Dialect::tallycast(&self.code, &tokens, self.casts_per_round))
    }

    /// Closes the open round, if there is one, and opens the next.
    pub fn open_next(&mut self) -> Result<()> {
        if self.round > 0 {
            self.close()?;
        }
        self.round += 1;
        self.call(Method::POST, &format!("rounds/{}/open", self.round), &json!({})).map(drop)
    }

    /// Closes the open round.
    pub fn close(&self) -> Result<()> {
        self.call(Method::POST, &format!("rounds/{}/close", self.round), &json!({})).map(drop)
    }

    /// A call of the emcee, at a path below the room's.
    pub fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        call(&self.http, method, &format!("{}/{path}", self.url), body)
    }
}

fn call(http: &Client, method: Method, url: &str, body: &Value) -> Result<Value> {
    let answer = http.request(method, url).bearer_auth(EMCEE_KEY).json(body).send()?;
    let (status, text) = (answer.status(), answer.text()?);
    ensure!(status.is_success(), "{url} was answered {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{url} was not answered by JSON"))
}
