//! What goes over the socket, as far as a simulated phone needs it.
//!
//! Tallies come to every socket many times a second. They are not parsed, only searched for their numbers.

use serde::Deserialize;

/// A frame from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// The whole room.
    State(State),
    /// Answers a cast.
    Ballot(Ballot),
    /// The ballot grew elsewhere.
    Mine(Ballot),
    /// Newest counts.
    Tally(Tally),
    /// The voter's own place.
    Standing(Standing),
    /// The server is there.
    Pong,
    /// The server is about to close; when to come back, in ms.
    Bye(Option<u64>),
    /// The server did not understand.
    Error,
    /// Anything else, also what is not known yet.
    Other,
}

/// See [`Frame::State`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct State {
    /// The room.
    pub room: Room,
    /// The voter's own part.
    pub you: Option<You>,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Room {
    /// Its version.
    pub seq: u64,
    /// Slips of a voter in a round.
    pub votes_per_round: usize,
    /// All rounds.
    pub rounds: Vec<Round>,
}

/// A round.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Round {
    /// Number, from 1.
    pub round: u16,
    /// Take, from 1.
    pub take: u16,
    /// `ready`, `open` or `closed`.
    pub phase: String,
}

/// A voter's own part of a state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct You {
    /// The ballot of the round that is open or was last.
    pub ballot: Option<Ballot>,
}

/// A voter's ballot in a take.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ballot {
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// The whole ballot as stored.
    pub votes: String,
    /// Why something was not stored.
    pub refused: Option<String>,
}

/// Newest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// Its version.
    pub version: u64,
    /// All votes.
    pub total: u64,
}

/// A voter's own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Standing {
    /// From 1.
    pub place: u32,
    /// Votes on winners.
    pub score: u64,
}

impl Room {
    /// The round that is open, with its take.
    pub fn open(&self) -> Option<(u16, u16)> {
        self.rounds.iter().find(|round| round.phase == "open").map(|round| (round.round, round.take))
    }

    /// The last round that is closed; 0 if there is none.
    pub fn over(&self) -> u16 {
        self.rounds.iter().filter(|round| round.phase == "closed").map(|round| round.round).max().unwrap_or(0)
    }
}

/// Reads a frame. What is malformed is [`Frame::Error`]: the server's mistake, counted as one.
pub fn read(text: &str) -> Frame {
    #[derive(Deserialize)]
    struct Bye {
        retry_ms: Option<u64>,
    }

    let Some((name, body)) = message(text) else { return Frame::Error };
    match name {
        "tally" => tally(body).map_or(Frame::Error, Frame::Tally),
        "ballot" => parse(body, Frame::Ballot),
        "mine" => parse(body, Frame::Mine),
        "state" => parse(body, Frame::State),
        "standing" => parse(body, Frame::Standing),
        "pong" => Frame::Pong,
        "bye" => parse(body, |bye: Bye| Frame::Bye(bye.retry_ms)),
        "error" => Frame::Error,
        _ => Frame::Other,
    }
}

/// Name and fields of a message: an object with exactly one key.
fn message(text: &str) -> Option<(&str, &str)> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (name, body) = inside.trim_start().strip_prefix('"')?.split_once('"')?;
    Some((name, body.trim_start().strip_prefix(':')?))
}

fn parse<'t, T: Deserialize<'t>>(body: &'t str, frame: impl Fn(T) -> Frame) -> Frame {
    serde_json::from_str(body).map_or(Frame::Error, frame)
}

fn tally(body: &str) -> Option<Tally> {
    Some(Tally {
        round: number(body, "\"round\":")?.try_into().ok()?,
        take: number(body, "\"take\":")?.try_into().ok()?,
        version: number(body, "\"version\":")?,
        total: number(body, "\"total\":")?,
    })
}

/// The number behind a key.
fn number(body: &str, key: &str) -> Option<u64> {
    let rest = body[body.find(key)? + key.len()..].trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A hello. Room and token hold nothing that JSON would escape.
pub fn hello(room: &str, role: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!(r#","token":"{token}""#)).unwrap_or_default();
    format!(r#"{{"hello":{{"room":"{room}","role":"{role}"{token}}}}}"#)
}

/// A cast.
pub fn cast((round, take): (u16, u16), slip: usize, votes: &str) -> String {
    format!(r#"{{"cast":{{"round":{round},"take":{take},"slip":{slip},"votes":"{votes}"}}}}"#)
}

/// A ping.
pub fn ping(id: u64) -> String {
    format!(r#"{{"ping":{{"id":{id}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_searched_for_its_numbers() {
        let text = r#"{"tally":{"round":2,"take":1,"version":1795000000123,"total":41,"voters":9,"votes":[20,21]}}"#;
        assert_eq!(read(text), Frame::Tally(Tally { round: 2, take: 1, version: 1_795_000_000_123, total: 41 }));
        assert_eq!(
            read(r#"{ "tally" : {"take": 1, "round": 2, "total": 3, "version": 4} }"#),
            Frame::Tally(Tally { round: 2, take: 1, version: 4, total: 3 })
        );
        assert_eq!(read(r#"{"tally":{"round":2}}"#), Frame::Error);
    }

    #[test]
    fn fields_and_messages_that_are_not_known_are_ignored() {
        assert_eq!(read(r#"{"weather":{"sun":true}}"#), Frame::Other);
        let ballot = read(r#"{"ballot":{"round":1,"take":1,"votes":"ab","left":8,"mood":"good"}}"#);
        assert_eq!(ballot, Frame::Ballot(Ballot { round: 1, take: 1, votes: "ab".into(), refused: None }));
        assert_eq!(read(r#"{"bye":{"reason":"draining","retry_ms":500}}"#), Frame::Bye(Some(500)));
        assert_eq!(read("no object"), Frame::Error);
    }

    #[test]
    fn the_open_round_is_found_in_a_state() {
        let text = r#"{"state":{"room":{"room":"ABCDEF","seq":7,"votes_per_round":10,"rounds":[
            {"round":1,"take":2,"phase":"closed"},{"round":2,"take":1,"phase":"open"}]},"you":{"voter":"v"}}}"#;
        let Frame::State(state) = read(text) else { panic!("no state") };
        assert_eq!(state.room.open(), Some((2, 1)));
        assert_eq!(state.you.and_then(|you| you.ballot), None);
    }

    #[test]
    fn what_is_sent_is_json() {
        for text in
            [hello("ABCDEF", "voter", Some("t.o-k_en")), hello("ABCDEF", "stage", None), cast((1, 2), 3, "ab"), ping(4)]
        {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value.as_object().unwrap().len(), 1, "{text}");
        }
    }
}
