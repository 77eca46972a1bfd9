//! A voter's phone that keeps to the contract: one cast unanswered at a time, and a cast without a
//! definite answer repeated unchanged. It remembers all that it was told, which is what the tests
//! hold the server to. In one point it is stricter than a real phone: should a ballot come back
//! shorter than acknowledged, it does not cast the missing letters again but fails, because that
//! would hide the loss.

use super::http::{Answer, Http};
use super::socket::{Heard, PATIENCE, Socket};
use super::wall_ms;
use client::protocol::{Ballot, ClientMessage, FINAL_CLOSE_CODES};
pub use client::voter::card;
use client::voter::{Cast, KnownBallot};
use rand::Rng;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a phone tries to come back before the test calls the server lost.
const COME_BACK_LIMIT: Duration = Duration::from_secs(60);

pub struct Voter {
    pub id: String,
    pub name: String,
    pub card: String,
    pub token: String,
    pub room: String,
    pub votes_per_round: usize,
    /// The newest room this phone was told.
    pub view: Value,
    /// What it was told of its ballots, by round and take.
    pub told: BTreeMap<(u32, u32), Told>,
    pub reveal: Option<Value>,
    pub standing: Option<Value>,
    /// Set where other sockets vote for the same voter: then ballots hold letters not cast here.
    pub shared: bool,
    pub socket: Option<Socket>,
    pods: Vec<SocketAddr>,
    rng: StdRng,
}

/// What a phone knows of its ballot in one take.
#[derive(Debug, Default, Clone)]
pub struct Told {
    known: KnownBallot,
    /// When the cast that made the ballot grow last was first sent, and when that was told.
    pub grown_between_ms: (i64, i64),
    cast_first_sent_ms: i64,
}

impl Deref for Told {
    type Target = KnownBallot;

    fn deref(&self) -> &KnownBallot {
        &self.known
    }
}

impl DerefMut for Told {
    fn deref_mut(&mut self) -> &mut KnownBallot {
        &mut self.known
    }
}

/// The definite end of a cast.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Stored,
    Refused(String),
}

impl Voter {
    /// Makes a card, joins over HTTP and gives a phone that is not connected yet.
    pub async fn join(http: &Http, pods: &[SocketAddr], room: &str, name: &str, mut rng: StdRng) -> Voter {
        let card = card(&mut rng);
        let pod = pods[rng.random_range(0..pods.len())];
        let body = json!({"name": name, "card": card});
        let answer = join(http, pod, room, &body).await;
        assert!(matches!(answer.status, 200 | 201), "{name} joins: {} {}", answer.status, answer.text);
        Voter::joined(pods, room, &answer.body, rng)
    }

    /// A phone for what a join answered.
    pub fn joined(pods: &[SocketAddr], room: &str, answer: &Value, rng: StdRng) -> Voter {
        let text = |field: &str| {
            answer[field].as_str().unwrap_or_else(|| panic!("a join answers with {field}: {answer}")).to_owned()
        };
        Voter {
            id: text("voter"),
            name: text("name"),
            card: text("card"),
            token: text("token"),
            room: room.to_owned(),
            votes_per_round: 10,
            view: Value::Null,
            told: BTreeMap::new(),
            reveal: None,
            standing: None,
            shared: false,
            socket: None,
            pods: pods.to_vec(),
            rng,
        }
    }

    pub fn told(&mut self, round: u32, take: u32) -> &mut Told {
        self.told.entry((round, take)).or_default()
    }

    /// The round that is open, with its take.
    pub fn open_round(&self) -> Option<(u32, u32)> {
        let rounds = self.view["rounds"].as_array()?;
        let open = rounds.iter().find(|round| round["phase"] == "open")?;
        Some((number(open, "round"), number(open, "take")))
    }

    /// Whether this running of the round is over, as far as the phone was told.
    pub fn is_over(&self, round: u32, take: u32) -> bool {
        let rounds = self.view["rounds"].as_array();
        let seen = rounds.and_then(|rounds| rounds.iter().find(|r| r["round"] == round));
        seen.is_some_and(|seen| match number(seen, "take") {
            newer if newer > take => true,
            same => same == take && seen["phase"] == "closed",
        })
    }

    /// Connects to any pod and says hello, again and again until it is in.
    pub async fn come_back(&mut self) {
        let give_up = Instant::now() + COME_BACK_LIMIT;
        while self.socket.is_none() {
            if self.try_connect().await {
                return;
            }
            assert!(Instant::now() < give_up, "{} cannot come back", self.name);
            let pause = Duration::from_millis(self.rng.random_range(30..200));
            sleep(pause).await;
        }
    }

    /// One attempt to connect to any pod and be answered with the state.
    pub async fn try_connect(&mut self) -> bool {
        let pod = self.pods[self.rng.random_range(0..self.pods.len())];
        self.try_connect_to(pod).await
    }

    pub async fn try_connect_to(&mut self, pod: SocketAddr) -> bool {
        let Ok(mut socket) = Socket::open(pod, &self.name).await else { return false };
        socket.say_hello(&self.room, "voter", Some(&self.token)).await;
        self.socket = Some(socket);
        let until = Instant::now() + PATIENCE;
        loop {
            match self.listen(until).await {
                Some(Heard::Frame(name, body)) if name == "state" && body["you"].is_object() => return true,
                Some(Heard::Frame(..)) => {}
                Some(Heard::Gone(_)) => return false,
                None => panic!("{}: hello was not answered in {PATIENCE:?}", self.name),
            }
        }
    }

    /// Takes in the next frame; `None` when `until` comes first. Without a socket it just waits.
    pub async fn listen(&mut self, until: Instant) -> Option<Heard> {
        let Some(socket) = &mut self.socket else {
            sleep_until(until).await;
            return None;
        };
        let heard = socket.next_before(until).await?;
        match &heard {
            Heard::Frame(name, body) => self.take_in(name, body),
            Heard::Gone(code) => {
                let kept_out = code.is_some_and(|code| FINAL_CLOSE_CODES.contains(&code));
                assert!(!kept_out, "{} kept to the contract and was closed with {code:?}", self.name);
                self.socket = None;
            }
        }
        Some(heard)
    }

    fn take_in(&mut self, name: &str, body: &Value) {
        match name {
            "state" => {
                self.view = body["room"].clone();
                if let Some(per_round) = self.view["votes_per_round"].as_u64() {
                    self.votes_per_round = per_round as usize;
                }
                if body["you"].is_object() {
                    assert_eq!(body["you"]["voter"], self.id.as_str(), "{}: hello to somebody else", self.name);
                    let ballot = &body["you"]["ballot"];
                    if ballot.is_object() {
                        self.take_ballot(ballot, None);
                    }
                }
            }
            "mine" => self.take_ballot(body, None),
            "reveal" => self.reveal = Some(body.clone()),
            "standing" => self.standing = Some(body.clone()),
            "error" => panic!("{} kept to the contract and was told {body}", self.name),
            _ => {}
        }
    }

    /// Takes in a ballot. `cast` is the cast it answers, if any.
    fn take_ballot(&mut self, body: &Value, cast: Option<(usize, &str)>) {
        let (round, take) = (number(body, "round"), number(body, "take"));
        let (who, shared, budget) = (self.name.clone(), self.shared, self.votes_per_round);
        let votes = body["votes"].as_str().unwrap_or_else(|| panic!("{who}: no votes in {body}"));
        assert!(votes.len() <= budget, "{who}: more votes than {budget}: {body}");
        assert_eq!(body["left"].as_u64(), Some((budget - votes.len()) as u64), "{who}: what is left in {body}");
        let ballot: Ballot =
            serde_json::from_value(body.clone()).unwrap_or_else(|error| panic!("{who}: {error}: {body}"));
        let told = self.told(round, take);
        let mut known = told.known.clone();
        if let Some((slip, letters)) = cast {
            known.unknown = Some(Cast { slip, votes: letters.to_owned() });
        }
        if shared {
            // whatever is new may have been cast on another socket
            let slip = known.votes.len() + 1;
            known.unknown = votes.get(slip - 1..).map(|new| Cast { slip, votes: new.to_owned() });
        }
        let grown = known.apply(&ballot).unwrap_or_else(|violation| panic!("{who}: {}: {body}", violation.0));
        if grown > 0 {
            told.grown_between_ms = (told.cast_first_sent_ms, wall_ms());
            told.votes = known.votes;
        }
    }

    /// Casts letters from the next slip and stays with the cast until its definite answer.
    pub async fn cast(&mut self, round: u32, take: u32, letters: &str) -> Verdict {
        self.resolve(round, take).await;
        self.begin(round, take, letters);
        self.resolve(round, take).await.expect("a cast was begun")
    }

    /// As `cast`, but gives up, with the outcome unknown, when the socket ends or the server is busy.
    pub async fn cast_once(&mut self, round: u32, take: u32, letters: &str) -> Option<Verdict> {
        self.begin(round, take, letters);
        self.attempt(round, take).await
    }

    /// Notes a cast as unknown, to be sent by `attempt` or `resolve`.
    pub fn begin(&mut self, round: u32, take: u32, letters: &str) {
        let told = self.told(round, take);
        told.begin(letters.to_owned());
        told.cast_first_sent_ms = wall_ms();
    }

    /// Repeats the unknown cast of this running, unchanged, until it has a definite answer.
    pub async fn resolve(&mut self, round: u32, take: u32) -> Option<Verdict> {
        self.told(round, take).unknown.as_ref()?;
        let give_up = Instant::now() + COME_BACK_LIMIT;
        loop {
            self.come_back().await;
            if let Some(verdict) = self.attempt(round, take).await {
                return Some(verdict);
            }
            assert!(Instant::now() < give_up, "{}: no definite answer for its cast", self.name);
            let pause = Instant::now() + Duration::from_millis(self.rng.random_range(20..100));
            while self.socket.is_some() && self.listen(pause).await.is_some() {}
        }
    }

    /// Sends the unknown cast once. `None`: the socket ended or the server was busy.
    pub async fn attempt(&mut self, round: u32, take: u32) -> Option<Verdict> {
        let Cast { slip, votes: letters } = self.told(round, take).unknown.clone().expect("a cast was begun");
        let answer = self.send_cast(round, take, slip, &letters).await?;
        let refused = answer["refused"].as_str().map(str::to_owned);
        let verdict = match refused.as_deref() {
            Some("busy") => return None,
            Some(code @ ("gap" | "conflict" | "bad_choice")) if !self.shared => {
                let told = &self.told[&(round, take)];
                panic!("{}: {code} for slip {slip} {letters:?}, told {told:?}", self.name)
            }
            Some(code) => Verdict::Refused(code.to_owned()),
            None => {
                let votes = answer["votes"].as_str().unwrap_or("");
                let at = votes.get(slip - 1..slip - 1 + letters.len());
                assert_eq!(at, Some(letters.as_str()), "{}: cast at slip {slip}, told {answer}", self.name);
                Verdict::Stored
            }
        };
        self.told(round, take).unknown = None;
        Some(verdict)
    }

    /// Sends exactly this cast and gives the ballot that answers it; `None` when the socket ends.
    pub async fn send_cast(&mut self, round: u32, take: u32, slip: usize, letters: &str) -> Option<Value> {
        let cast = ClientMessage::Cast { round, take, slip, votes: letters };
        self.socket.as_mut()?.send_text(&cast.text()).await;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.listen(until).await {
                Some(Heard::Frame(name, body)) if name == "ballot" => {
                    let cast = (number(&body, "take") == take).then_some((slip, letters));
                    self.take_ballot(&body, cast);
                    return Some(body);
                }
                Some(Heard::Frame(..)) => {}
                Some(Heard::Gone(_)) => return None,
                None => panic!("{}: slip {slip} {letters:?} was not answered in {PATIENCE:?}", self.name),
            }
        }
    }

    /// Sends the unknown cast and loses the connection before its answer can arrive.
    pub async fn cast_and_vanish(&mut self, round: u32, take: u32, letters: &str) {
        self.begin(round, take, letters);
        let slip = self.told(round, take).votes.len() + 1;
        if let Some(mut socket) = self.socket.take() {
            socket.send_text(&ClientMessage::Cast { round, take, slip, votes: letters }.text()).await;
            // the bytes are on their way; whether the server reads them before the reset is chance
            sleep(Duration::from_micros(self.rng.random_range(0..3_000))).await;
            socket.vanish();
        }
    }

    pub fn vanish(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.vanish();
        }
    }

    /// Listens until the phone's view of the room satisfies `wanted`, coming back when cut off.
    pub async fn wait_until(&mut self, what: &str, mut wanted: impl FnMut(&Voter) -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !wanted(self) {
            self.come_back().await;
            if wanted(self) {
                return;
            }
            assert!(self.listen(until).await.is_some(), "{} never heard of {what}; it knows {}", self.name, self.view);
        }
    }

    /// A request with this voter's token.
    pub async fn http(&self, http: &Http, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let pod = self.pods[self.id.bytes().map(usize::from).sum::<usize>() % self.pods.len()];
        let bearer = format!("Bearer {}", self.token);
        let url = format!("http://{pod}/api/v1/rooms/{}{path}", self.room);
        let sent = http.send(method, &url, &[("authorization", &bearer)], body).await;
        sent.unwrap_or_else(|error| panic!("{} {path}: {error}", self.name))
    }
}

/// One `POST /rooms/{room}/join`.
pub async fn join(http: &Http, pod: SocketAddr, room: &str, body: &Value) -> Answer {
    let url = format!("http://{pod}/api/v1/rooms/{room}/join");
    let sent = http.send(Method::POST, &url, &[], Some(body)).await;
    sent.unwrap_or_else(|error| panic!("POST {url} {body}: {error}"))
}

fn number(body: &Value, field: &str) -> u32 {
    let number = body[field].as_u64().and_then(|n| u32::try_from(n).ok());
    number.unwrap_or_else(|| panic!("{field} is no number in {body}"))
}
