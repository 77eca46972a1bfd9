//! Promises for every frame on every socket, checked as the frames arrive.
//!
//! They find: a tally or state that goes back (a stale board, a reordered feed), a difference sent
//! instead of an absolute count, counts that do not add up (a torn read of two counters), a tally
//! after an acknowledgement without the acknowledged vote (the verdict overtook the board), and a
//! ballot that shrinks or changes.

use serde_json::Value;
use std::collections::HashMap;

type Key = (u64, u64);

#[derive(Default)]
pub struct Watch {
    who: String,
    state_seq: u64,
    reveal_seq: u64,
    tallies: HashMap<Key, Tally>,
    ballots: HashMap<Key, String>,
}

#[derive(Default, Clone, PartialEq, Debug)]
struct Tally {
    version: u64,
    total: u64,
    voters: u64,
}

impl Watch {
    /// `who` is in the message when a promise is broken.
    pub fn new(who: &str) -> Watch {
        Watch { who: who.to_owned(), ..Watch::default() }
    }

    /// Parses and checks a frame. Returns the message's name and fields.
    pub fn read(&mut self, text: &str) -> (String, Value) {
        let frame: Value = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => panic!("{}: a frame that is not JSON ({error}): {text}", self.who),
        };
        let Value::Object(fields) = frame else { panic!("{}: a frame that is not an object: {text}", self.who) };
        assert_eq!(fields.len(), 1, "{}: a frame has exactly one key: {text}", self.who);
        let (name, body) = fields.into_iter().next().expect("one field");
        match name.as_str() {
            "tally" => self.tally(&body),
            "state" => self.state(&body),
            "ballot" | "mine" => self.ballot(&body),
            "reveal" => {
                let seq = self.number(&body, "seq");
                assert!(seq >= self.reveal_seq, "{}: reveal fell back from seq {}: {body}", self.who, self.reveal_seq);
                self.reveal_seq = seq;
            }
            _ => {}
        }
        (name, body)
    }

    fn number(&self, body: &Value, field: &str) -> u64 {
        body[field].as_u64().unwrap_or_else(|| panic!("{}: {field} is not a count in {body}", self.who))
    }

    fn key(&self, body: &Value) -> Key {
        (self.number(body, "round"), self.number(body, "take"))
    }

    fn tally(&mut self, body: &Value) {
        let key = self.key(body);
        let new = Tally {
            version: self.number(body, "version"),
            total: self.number(body, "total"),
            voters: self.number(body, "voters"),
        };
        let old = self.tallies.entry(key).or_default();
        let falls = new.version < old.version || new.total < old.total || new.voters < old.voters;
        assert!(!falls, "{}: the tally fell back from {old:?} to {body}", self.who);
        if new.version == old.version {
            assert_eq!(&new, old, "{}: one version, two counts: {body}", self.who);
        }
        *old = new.clone();
        assert!(new.voters <= new.total, "{}: more voters than votes: {body}", self.who);
        let own = self.ballots.get(&key).map_or("", String::as_str);
        assert!(new.total >= own.len() as u64, "{}: acknowledged {own:?}, then told {body}", self.who);
        if let Some(votes) = body["votes"].as_array() {
            let sum: u64 = votes.iter().filter_map(Value::as_u64).sum();
            assert_eq!(sum, new.total, "{}: the counts do not add up: {body}", self.who);
            for (letter, count) in ('a'..).zip(votes) {
                let mine = own.chars().filter(|&l| l == letter).count() as u64;
                assert!(count.as_u64() >= Some(mine), "{}: acknowledged {own:?}, then told {body}", self.who);
            }
        }
    }

    fn state(&mut self, body: &Value) {
        let seq = self.number(&body["room"], "seq");
        assert!(seq >= self.state_seq, "{}: the state fell back from seq {} to {seq}", self.who, self.state_seq);
        self.state_seq = seq;
        assert!(body["room"]["now"].is_null(), "{}: `now` is sent only over HTTP: {body}", self.who);
        let ballot = &body["you"]["ballot"];
        if ballot.is_object() {
            self.ballot(ballot);
        }
    }

    fn ballot(&mut self, body: &Value) {
        let key = self.key(body);
        let Some(votes) = body["votes"].as_str() else { panic!("{}: a ballot without votes: {body}", self.who) };
        let old = self.ballots.entry(key).or_default();
        assert!(votes.starts_with(old.as_str()), "{}: the ballot {old:?} became {body}", self.who);
        *old = votes.to_owned();
    }
}
