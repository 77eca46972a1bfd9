//! The emcee's side of the HTTP API.

use super::http::{Answer, Http};
use super::server::EMCEE_KEY;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Sends requests to all processes in turn, as through a load balancer.
#[derive(Clone)]
pub struct Emcee {
    pub http: Http,
    pods: Vec<SocketAddr>,
    turn: Arc<AtomicUsize>,
    persistent: bool,
}

impl Emcee {
    pub fn new(pods: Vec<SocketAddr>) -> Emcee {
        Emcee { http: Http::new(), pods, turn: Arc::new(AtomicUsize::new(0)), persistent: false }
    }

    /// This emcee, repeating each request until there is a definite answer, as a client does when its
    /// connection fails or the ledger does not answer. Commands are absolute: repeating them is safe.
    /// For tests that crash things; elsewhere a 5xx is a failure.
    pub fn persistent(mut self) -> Emcee {
        self.persistent = true;
        self
    }

    /// This emcee, using one process only.
    pub fn at(&self, pod: usize) -> Emcee {
        Emcee { http: self.http.clone(), pods: vec![self.pods[pod]], turn: Arc::default(), persistent: self.persistent }
    }

    /// Where the next request goes. Each command goes to the next process; what is read goes to the
    /// process that carried out the last command, because the others are updated a moment later.
    pub fn url(&self, method: &Method, path: &str) -> String {
        let turn = match *method {
            Method::GET => self.turn.load(Ordering::Relaxed),
            _ => self.turn.fetch_add(1, Ordering::Relaxed) + 1,
        };
        format!("http://{}/api/v1{path}", self.pods[turn % self.pods.len()])
    }

    /// One request; an error means that the connection failed and the outcome is unknown.
    pub async fn try_call(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Answer> {
        let key = format!("Bearer {EMCEE_KEY}");
        let url = self.url(&method, path);
        self.http.send(method, &url, &[("authorization", &key)], body).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let since = Instant::now();
        loop {
            let last = self.try_call(method.clone(), path, body).await;
            let definite = last.as_ref().is_ok_and(|answer| answer.status < 500);
            if definite || !self.persistent || since.elapsed() > Duration::from_secs(30) {
                return last.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A request without the key: the public view.
    pub async fn public(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let shown = format!("{method} {path}");
        let url = self.url(&method, path);
        let sent = self.http.send(method, &url, &[], body).await;
        sent.unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.expect(200, path)
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, Some(&body)).await.expect(200, &format!("POST {path} {body}"))
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.call(Method::PUT, path, Some(&body)).await.expect(200, &format!("PUT {path} {body}"))
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.call(Method::PATCH, path, Some(&body)).await.expect(200, &format!("PATCH {path} {body}"))
    }

    /// A POST that must be refused with this status and code; the problem is given back.
    pub async fn refused(&self, path: &str, body: Value, status: u16, code: &str) -> Value {
        let answer = self.call(Method::POST, path, Some(&body)).await;
        answer.expect_problem(status, code, &format!("POST {path} {body}"))
    }

    /// Creates a room and gives its code.
    pub async fn create(&self, body: Value) -> String {
        let room = self.call(Method::POST, "/rooms", Some(&body)).await.expect(201, &format!("POST /rooms {body}"));
        code(&room)
    }

    /// Creates a room of plain A/B rounds and gives its code.
    pub async fn create_plain(&self, title: &str, rounds: usize) -> String {
        self.create(json!({"title": title, "rounds": vec![plain_round(); rounds]})).await
    }

    pub async fn room(&self, room: &str) -> Value {
        self.get(&format!("/rooms/{room}")).await
    }

    pub async fn open(&self, room: &str, round: u32) -> Value {
        self.post(&format!("/rooms/{room}/rounds/{round}/open"), json!({})).await
    }

    pub async fn close(&self, room: &str, round: u32) -> Value {
        self.post(&format!("/rooms/{room}/rounds/{round}/close"), json!({})).await
    }

    pub async fn take(&self, room: &str, round: u32, take: u32) -> Value {
        self.post(&format!("/rooms/{room}/rounds/{round}/take"), json!({"take": take})).await
    }

    pub async fn show(&self, room: &str, round: u32) -> Value {
        self.post(&format!("/rooms/{room}/rounds/{round}/show"), json!({})).await
    }

    pub async fn decide(&self, room: &str, round: u32, winner: Value) -> Value {
        self.post(&format!("/rooms/{room}/rounds/{round}/decide"), json!({"winner": winner})).await
    }

    pub async fn reveal(&self, room: &str, body: Value) -> Value {
        self.put(&format!("/rooms/{room}/reveal"), body).await
    }

    pub async fn export(&self, room: &str) -> Value {
        self.get(&format!("/rooms/{room}/export?format=json")).await
    }

    pub async fn audit(&self, room: &str) -> Value {
        self.get(&format!("/rooms/{room}/audit")).await
    }
}

/// The code in a room object.
#[track_caller]
pub fn code(room: &Value) -> String {
    let code = room["room"].as_str().unwrap_or_else(|| panic!("no room code in {room}")).to_owned();
    let alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    assert!(code.len() == 6 && code.chars().all(|c| alphabet.contains(c)), "{code:?} is not a valid join code");
    code
}

/// Round `number` of a room object.
#[track_caller]
pub fn round(room: &Value, number: u32) -> &Value {
    let found = room["rounds"].as_array().and_then(|rounds| rounds.iter().find(|r| r["round"] == number));
    found.unwrap_or_else(|| panic!("no round {number} in {room}"))
}

/// A live, untimed A/B round.
pub fn plain_round() -> Value {
    json!({"title": "A against B", "choices": [{"label": "A"}, {"label": "B"}]})
}

/// A room without what differs from one reading to the next although nothing was changed: its time, and the seals that a
/// worker adds some time after a close.
pub fn lasting(room: &Value) -> Value {
    let mut lasting = room.clone();
    if let Some(fields) = lasting.as_object_mut() {
        fields.remove("now");
        fields.remove("seq");
    }
    remove_seals(&mut lasting);
    lasting
}

fn remove_seals(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for field in ["seal", "previous", "seal_number", "leaves", "root"] {
                fields.remove(field);
            }
            fields.values_mut().for_each(remove_seals);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_seals),
        _ => {}
    }
}
