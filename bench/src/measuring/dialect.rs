//! The messages of each kind of server.

use client::frame;
use client::protocol::ClientMessage;

/// Votes of a voter in a round by default, each in a cast of its own.
pub const CASTS_PER_ROUND: u32 = 10;
/// Votes of a voter in a round at most, for measures of one round.
pub const MAX_CASTS_PER_ROUND: u32 = 100;
/// Length of Tallycast's tallies in row 2. The other servers broadcast texts of this length.
pub const TALLY_BYTES: usize = 92;

/// The messages of one kind of server. Only the ends of a text are compared; nothing is parsed on the hot path.
pub struct Dialect {
    /// Path of the handshake.
    pub path: &'static str,
    /// Encoded first frame: one for each connection, one for all, or none.
    openings: Vec<Vec<u8>>,
    /// Beginning of the text that makes a connection ready; empty: the handshake does.
    pub ready: &'static [u8],
    /// Beginning of a broadcast.
    pub tally: &'static [u8],
    /// Beginning of the answer to a vote.
    pub ack: &'static [u8],
    /// End of the answer to a vote that was refused.
    pub refusal: &'static [u8],
    /// Identifies a broadcast over all connections, by its text and the number that this connection has received.
    pub name: fn(&[u8], u64) -> u64,
    /// The frame that asks for a broadcast; `None`: a vote causes one.
    pub ask: Option<Vec<u8>>,
    /// The text of a vote, for a connection, and for a round and a slip from 1.
    pub vote: fn(usize, (u32, u32)) -> String,
    /// Casts of one round.
    casts_per_round: u32,
}

impl Dialect {
    /// Tallycast, with one token for each client.
    pub fn tallycast(room: &str, tokens: &[String], casts_per_round: u32) -> Self {
        let hello = |token: &String| text(&ClientMessage::Hello { room, role: "voter", token: Some(token) }.text());
        Self {
            path: "/ws",
            openings: tokens.iter().map(hello).collect(),
            ready: br#"{"state":"#,
            tally: br#"{"tally":"#,
            ack: br#"{"ballot":"#,
            // `"refused":"…"` comes last, and is missing if the vote was stored
            refusal: b"\"}}",
            name: |tally, _| version(tally),
            ask: None,
            vote: |_, (round, slip)| ClientMessage::Cast { round, take: 1, slip: slip as usize, votes: "a" }.text(),
            casts_per_round,
        }
    }

    /// The floor. It refuses nothing, and its votes are as long as Tallycast's.
    pub fn floor() -> Self {
        Self {
            path: "/",
            openings: vec![],
            ready: b"",
            tally: b"t",
            ack: b"a",
            refusal: b"refused",
            name: |_, count| count,
            ask: Some(text("b")),
            vote: |client, (round, slip)| format!("v{client:>9}{round:>6}{slip:>3}{:32}", ""),
            casts_per_round: CASTS_PER_ROUND,
        }
    }

    /// Socket.IO 4: its own packets within packets of Engine.IO 4, in one text. No trial lasts until a ping.
    pub fn socketio() -> Self {
        Self {
            path: "/socket.io/?EIO=4&transport=websocket",
            openings: vec![text("40")],
            ready: b"40",
            tally: br#"42["t""#,
            ack: b"43",
            refusal: b"\"}]",
            name: |_, count| count,
            ask: Some(text(r#"42["b"]"#)),
            vote: |client, (round, slip)| {
                format!(r#"42{round}{slip:02}["v",{{"v":"voter{client}","r":{round},"s":{slip},"c":"a"}}]"#)
            },
            casts_per_round: CASTS_PER_ROUND,
        }
    }

    /// Round and slip of a cast, which is numbered from 0.
    pub fn place(&self, cast: u32) -> (u32, u32) {
        (cast / self.casts_per_round + 1, cast % self.casts_per_round + 1)
    }

    /// The first frame of a connection; empty: there is none.
    pub fn opening(&self, client: usize) -> &[u8] {
        self.openings.get(client % self.openings.len().max(1)).map_or(&[], Vec::as_slice)
    }
}

fn text(text: &str) -> Vec<u8> {
    frame::from_client(frame::TEXT, text.as_bytes())
}

/// The number behind `"version":`; 0 if there is none.
fn version(tally: &[u8]) -> u64 {
    const KEY: &[u8] = br#""version":"#;
    let Some(at) = tally.windows(KEY.len()).position(|window| window == KEY) else { return 0 };
    let digits = tally[at + KEY.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_identified_by_its_version() {
        let tally = br#"{"tally":{"round":1,"take":1,"version":1763651234567,"total":3,"voters":3,"votes":[3,0]}}"#;
        assert_eq!(version(tally), 1_763_651_234_567);
        assert_eq!(version(b"{}"), 0);
    }

    #[test]
    fn refusals_are_recognised() {
        let ours = Dialect::tallycast("ABCDEF", &[], CASTS_PER_ROUND).refusal;
        assert!(!br#"{"ballot":{"round":1,"take":1,"votes":"a","left":9}}"#.ends_with(ours));
        assert!(br#"{"ballot":{"round":1,"take":1,"votes":"a","left":9,"refused":"closed"}}"#.ends_with(ours));
        let socketio = Dialect::socketio().refusal;
        assert!(!br#"431[{"ok":1}]"#.ends_with(socketio));
        assert!(br#"431[{"refused":"slip"}]"#.ends_with(socketio));
    }

    #[test]
    fn casts_fill_one_round_after_the_other() {
        let dialect = Dialect::socketio();
        assert_eq!([0, 9, 10].map(|cast| dialect.place(cast)), [(1, 1), (1, 10), (2, 1)]);
    }

    #[test]
    fn a_vote_to_the_floor_is_as_long_as_ours() {
        let ours = (Dialect::tallycast("ABCDEF", &[], CASTS_PER_ROUND).vote)(3, (5, 2)).len();
        assert!((Dialect::floor().vote)(3, (5, 2)).len().abs_diff(ours) <= 2);
    }
}
