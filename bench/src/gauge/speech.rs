//! What a client says to each of the servers, and what it listens for.

use super::frame;

/// How many casts of one letter a voter has in a round, as a room gives by default: ballots are as long as on stage.
pub const CASTS_PER_ROUND: u32 = 10;
/// The most that a room may give, where one round has to last.
pub const MOST_CASTS_PER_ROUND: u32 = 100;

/// The words of one kind of server. Texts are compared by their beginning only: nothing is parsed on the hot path.
pub struct Speech {
    /// Path of the handshake.
    pub path: &'static str,
    /// First frame of each client, on the wire: one for each, one for all, or none.
    openings: Vec<Vec<u8>>,
    /// How the text begins that makes a client ready; empty: the handshake does.
    pub ready: &'static [u8],
    /// How a broadcast begins.
    pub tally: &'static [u8],
    /// How the answer to a vote begins.
    pub ack: &'static [u8],
    /// True for an ack whose vote was not taken.
    pub is_refusal: fn(&[u8]) -> bool,
    /// Names a broadcast, so that clients' receipts of the same one are put together: from its text, and how many
    /// this client has got.
    pub name: fn(&[u8], u64) -> u64,
    /// The frame that asks for a broadcast; `None`: a vote makes one.
    pub ask: Option<Vec<u8>>,
    /// A vote's text, for a client, a round and a slip, both from 1.
    pub vote: fn(usize, (u32, u32)) -> String,
    /// Casts of one round.
    pub casts_per_round: u32,
}

impl Speech {
    /// Tallycast, with one token for each client.
    pub fn tallycast(room: &str, tokens: &[String], casts_per_round: u32) -> Self {
        let hello = |token| format!(r#"{{"hello":{{"room":"{room}","role":"voter","token":"{token}"}}}}"#);
        Self {
            path: "/ws",
            openings: tokens.iter().map(|token| text(&hello(token))).collect(),
            ready: br#"{"state":"#,
            tally: br#"{"tally":"#,
            ack: br#"{"ballot":"#,
            // `"refused":"…"` comes last, and is left out of what was taken
            is_refusal: |ack| ack.ends_with(b"\"}}"),
            name: |tally, _| version(tally),
            ask: None,
            vote: |_, (round, slip)| format!(r#"{{"cast":{{"round":{round},"take":1,"slip":{slip},"votes":"a"}}}}"#),
            casts_per_round,
        }
    }

    /// The floor. Its votes are as long as those of Tallycast.
    pub fn floor() -> Self {
        Self {
            path: "/",
            openings: vec![],
            ready: b"",
            tally: b"t",
            ack: b"a",
            is_refusal: |_| false,
            name: |_, count| count,
            ask: Some(text("b")),
            vote: |client, (round, slip)| format!("v{client:>9}{round:>6}{slip:>3}{:32}", ""),
            casts_per_round: CASTS_PER_ROUND,
        }
    }

    /// Socket.IO 4: packets of Engine.IO 4 and of its own in one text.
    pub fn socketio() -> Self {
        Self {
            path: "/socket.io/?EIO=4&transport=websocket",
            openings: vec![text("40")],
            ready: b"40",
            tally: br#"42["t""#,
            ack: b"43",
            is_refusal: |ack| ack.ends_with(b"\"}]"),
            name: |_, count| count,
            ask: Some(text(r#"42["b"]"#)),
            vote: |client, (round, slip)| {
                format!(r#"42{round}{slip:02}["v",{{"v":"voter{client}","r":{round},"s":{slip},"c":"a"}}]"#)
            },
            casts_per_round: CASTS_PER_ROUND,
        }
    }

    /// Round and slip of a client's cast, which is numbered from 0.
    pub fn place(&self, cast: u32) -> (u32, u32) {
        (cast / self.casts_per_round + 1, cast % self.casts_per_round + 1)
    }

    /// The first frame of a client.
    pub fn opening(&self, client: usize) -> Option<&[u8]> {
        self.openings.get(client % self.openings.len().max(1)).map(Vec::as_slice)
    }

    /// The answer to a text that wants one: Engine.IO pings by texts.
    pub fn answer(&self, heard: &[u8]) -> Option<Vec<u8>> {
        (heard == b"2").then(|| text("3"))
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
    fn a_tally_is_named_by_its_version() {
        let tally = br#"{"tally":{"round":1,"take":1,"version":1763651234567,"total":3,"voters":3,"votes":[3,0]}}"#;
        assert_eq!(version(tally), 1_763_651_234_567);
        assert_eq!(version(b"{}"), 0);
    }

    #[test]
    fn refusals_are_told_from_ballots() {
        let ours = Speech::tallycast("ABCDEF", &[], CASTS_PER_ROUND);
        assert!(!(ours.is_refusal)(br#"{"ballot":{"round":1,"take":1,"votes":"a","left":9}}"#));
        assert!((ours.is_refusal)(br#"{"ballot":{"round":1,"take":1,"votes":"a","left":9,"refused":"closed"}}"#));
        let theirs = Speech::socketio();
        assert!(!(theirs.is_refusal)(br#"431[{"ok":1}]"#));
        assert!((theirs.is_refusal)(br#"431[{"refused":"slip"}]"#));
    }

    #[test]
    fn casts_fill_a_round_and_go_on_in_the_next() {
        let speech = Speech::socketio();
        assert_eq!([0, 9, 10].map(|cast| speech.place(cast)), [(1, 1), (1, 10), (2, 1)]);
    }

    #[test]
    fn a_vote_to_the_floor_is_as_long_as_ours() {
        let ours = (Speech::tallycast("ABCDEF", &[], CASTS_PER_ROUND).vote)(3, (5, 2)).len();
        assert!((Speech::floor().vote)(3, (5, 2)).len().abs_diff(ours) <= 2);
    }
}
