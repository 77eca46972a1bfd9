//! The messages of a socket, as far as clients need them: docs/protocol.md.

use serde::{Deserialize, Serialize};

/// A round and one of its takes, both from 1.
pub type TakeId = (u32, u32);

/// The subprotocol that a client may ask for in the handshake.
pub const SUBPROTOCOL: &str = "tallycast.v1";

/// Close codes that tell a client not to come back.
pub const FINAL_CLOSE_CODES: [u16; 9] = [1002, 1003, 1007, 1008, 1009, 4401, 4403, 4404, 4409];

/// A message to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMessage<'a> {
    /// The first message of a socket.
    Hello {
        /// Join code.
        room: &'a str,
        /// `voter`, `stage` or `emcee`.
        role: &'a str,
        /// From joining, or the emcee key; a stage has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<&'a str>,
    },
    /// Votes for the slips from `slip` on.
    Cast {
        /// Round number, from 1.
        round: u32,
        /// Take number, from 1.
        take: u32,
        /// First slip, from 1.
        slip: usize,
        /// One letter for each slip.
        votes: &'a str,
    },
    /// Asks for a pong.
    Ping {
        /// Comes back in the pong.
        id: u64,
    },
}

impl ClientMessage<'_> {
    /// The text frame.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("its keys are strings")
    }
}

/// A message from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerMessage {
    /// The whole room.
    State(State),
    /// Answers a cast.
    Ballot(Ballot),
    /// The ballot has grown by a cast on another socket.
    Mine(Ballot),
    /// Newest counts.
    Tally(Tally),
    /// The voter's own place in the ranking.
    Standing(Standing),
    /// Answers a ping.
    Pong,
    /// The server is about to close the socket. Holds when to come back, in ms.
    Bye(Option<u64>),
    /// The server did not understand a message, or this client does not understand the server's.
    Error,
    /// Any other message, known or not.
    Other,
}

/// Fields of `state`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct State {
    /// The room.
    pub room: Room,
    /// The voter's own part.
    pub you: Option<You>,
}

/// A room, as a client sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Room {
    /// Version of the room's record. It never falls.
    pub seq: u64,
    /// Slips of a voter in a round.
    pub votes_per_round: usize,
    /// All rounds.
    pub rounds: Vec<Round>,
}

/// A round, as a client sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Round {
    /// Number, from 1.
    pub round: u32,
    /// Take, from 1.
    pub take: u32,
    /// `ready`, `open` or `closed`.
    pub phase: String,
}

/// A voter's own part of a state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct You {
    /// The ballot of the round that is open or was open last.
    pub ballot: Option<Ballot>,
}

/// A voter's ballot in a take.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ballot {
    /// Round number.
    pub round: u32,
    /// Take number.
    pub take: u32,
    /// The whole ballot as it is stored.
    pub votes: String,
    /// Why something was not stored.
    pub refused: Option<String>,
}

/// Newest counts of a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Tally {
    /// Round number.
    pub round: u32,
    /// Take number.
    pub take: u32,
    /// Version of the counts. It never falls.
    pub version: u64,
    /// All votes of the take.
    pub total: u64,
}

/// A voter's own place in the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// From 1.
    pub place: u32,
    /// Votes on winners.
    pub score: u64,
}

impl Room {
    /// The round that is open, with its take.
    pub fn open_take(&self) -> Option<TakeId> {
        self.rounds.iter().find(|round| round.phase == "open").map(|round| (round.round, round.take))
    }

    /// Number of the last closed round; 0 if no round is closed.
    pub fn last_closed(&self) -> u32 {
        self.rounds.iter().filter(|round| round.phase == "closed").map(|round| round.round).max().unwrap_or(0)
    }
}

impl ServerMessage {
    /// Reads a text frame. A malformed one is [`Self::Error`]: the server's mistake, and counted as one.
    pub fn read(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Bye {
            retry_ms: Option<u64>,
        }

        fn parse<'t, T: Deserialize<'t>>(fields: &'t str, message: impl Fn(T) -> ServerMessage) -> ServerMessage {
            serde_json::from_str(fields).map_or(ServerMessage::Error, message)
        }

        let Some((name, fields)) = name_and_fields(text) else { return Self::Error };
        match name {
            "tally" => parse(fields, Self::Tally),
            "ballot" => parse(fields, Self::Ballot),
            "mine" => parse(fields, Self::Mine),
            "state" => parse(fields, Self::State),
            "standing" => parse(fields, Self::Standing),
            "pong" => Self::Pong,
            "bye" => parse(fields, |bye: Bye| Self::Bye(bye.retry_ms)),
            "error" => Self::Error,
            _ => Self::Other,
        }
    }
}

/// A message is an object with exactly one key: its name. Messages that are not known are told by it and not parsed.
fn name_and_fields(text: &str) -> Option<(&str, &str)> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (name, fields) = inside.trim_start().strip_prefix('"')?.split_once('"')?;
    Some((name, fields.trim_start().strip_prefix(':')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_read_in_any_order_of_its_fields() {
        let text = r#"{"tally":{"round":2,"take":1,"version":1795000000123,"total":41,"voters":9,"votes":[20,21]}}"#;
        let tally = Tally { round: 2, take: 1, version: 1_795_000_000_123, total: 41 };
        assert_eq!(ServerMessage::read(text), ServerMessage::Tally(tally));
        assert_eq!(
            ServerMessage::read(r#"{ "tally" : {"take": 1, "round": 2, "total": 3, "version": 4} }"#),
            ServerMessage::Tally(Tally { round: 2, take: 1, version: 4, total: 3 })
        );
        assert_eq!(ServerMessage::read(r#"{"tally":{"round":2}}"#), ServerMessage::Error);
    }

    #[test]
    fn unknown_fields_and_messages_are_ignored() {
        assert_eq!(ServerMessage::read(r#"{"weather":{"sun":true}}"#), ServerMessage::Other);
        let ballot = ServerMessage::read(r#"{"ballot":{"round":1,"take":1,"votes":"ab","left":8,"mood":"good"}}"#);
        let expected = Ballot { round: 1, take: 1, votes: "ab".into(), refused: None };
        assert_eq!(ballot, ServerMessage::Ballot(expected));
        let bye = ServerMessage::read(r#"{"bye":{"reason":"draining","retry_ms":500}}"#);
        assert_eq!(bye, ServerMessage::Bye(Some(500)));
        assert_eq!(ServerMessage::read("no object"), ServerMessage::Error);
    }

    #[test]
    fn the_open_round_is_found_in_a_state() {
        let text = r#"{"state":{"room":{"room":"ABCDEF","seq":7,"votes_per_round":10,"rounds":[
            {"round":1,"take":2,"phase":"closed"},{"round":2,"take":1,"phase":"open"}]},"you":{"voter":"v"}}}"#;
        let ServerMessage::State(state) = ServerMessage::read(text) else { panic!("this is a state") };
        assert_eq!((state.room.open_take(), state.room.last_closed()), (Some((2, 1)), 1));
        assert_eq!(state.you.and_then(|you| you.ballot), None);
    }

    #[test]
    fn messages_to_the_server_have_the_documented_form() {
        let hello = ClientMessage::Hello { room: "ABCDEF", role: "voter", token: Some("t.o-k_en") };
        assert_eq!(hello.text(), r#"{"hello":{"room":"ABCDEF","role":"voter","token":"t.o-k_en"}}"#);
        let stage = ClientMessage::Hello { room: "ABCDEF", role: "stage", token: None };
        assert_eq!(stage.text(), r#"{"hello":{"room":"ABCDEF","role":"stage"}}"#);
        let cast = ClientMessage::Cast { round: 1, take: 2, slip: 3, votes: "ab" };
        assert_eq!(cast.text(), r#"{"cast":{"round":1,"take":2,"slip":3,"votes":"ab"}}"#);
        assert_eq!(ClientMessage::Ping { id: 4 }.text(), r#"{"ping":{"id":4}}"#);
    }
}
