//! Messages from a client on its socket: an object with exactly one key, the name of the message.

use serde::Deserialize;

use crate::domain::Invalid;
use crate::domain::ballot::Cast;

/// Most bytes of a frame or message from a client.
pub const MAX_FRAME_BYTES: usize = 4 * 1024;
/// Most characters of a ping's id.
const MAX_ID_CHARS: usize = 64;

/// A message from a client.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message: the room, and who the client is.
    Hello(Hello),
    /// Votes.
    Cast(CastMessage),
    /// Asks for a pong.
    Ping(Ping),
}

/// See [`ClientMessage::Hello`].
#[derive(Debug, Clone, Deserialize)]
pub struct Hello {
    /// Join code.
    pub room: String,
    /// The role of the socket.
    pub role: Role,
    /// The voter's token or the emcee's key; without it the cookie is used.
    #[serde(default)]
    pub token: Option<String>,
}

/// The role of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A voter's page.
    Voter,
    /// A stage page.
    Stage,
    /// An emcee's page.
    Emcee,
}

impl Role {
    /// All roles, for metrics.
    pub const ALL: [Self; 3] = [Self::Voter, Self::Stage, Self::Emcee];

    /// The word in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Stage => "stage",
            Self::Emcee => "emcee",
        }
    }
}

/// See [`ClientMessage::Cast`]; also the body of `POST /rooms/{room}/votes`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub struct CastMessage {
    /// Round number, from 1.
    #[schema(minimum = 1)]
    pub round: u16,
    /// Take number, from 1.
    #[serde(default = "first_take")]
    #[schema(minimum = 1, default = 1)]
    pub take: u16,
    /// First slip, from 1.
    #[schema(minimum = 1)]
    pub slip: u32,
    /// One or more letters.
    #[schema(pattern = "^[a-z]{1,100}$")]
    pub votes: String,
}

fn first_take() -> u16 {
    1
}

impl CastMessage {
    /// Round, take and the cast, checked.
    ///
    /// # Errors
    /// The field that is malformed.
    pub fn into_cast(self) -> Result<(u16, u16, Cast), Invalid> {
        if self.round == 0 {
            return Err(Invalid::new("round", "rounds are numbered from 1"));
        }
        if self.take == 0 {
            return Err(Invalid::new("take", "takes are numbered from 1"));
        }
        Ok((self.round, self.take, Cast::parse(self.slip, self.votes)?))
    }
}

/// See [`ClientMessage::Ping`].
#[derive(Debug, Clone, Deserialize)]
pub struct Ping {
    /// Returned in the pong: a number, or a text of up to 64 characters.
    pub id: serde_json::Value,
    /// What a stage page shows at the moment.
    #[serde(default)]
    pub showing: Option<Showing>,
}

/// See [`Ping::showing`].
#[derive(Debug, Clone, Deserialize)]
pub struct Showing {
    /// Name of the screen; cut after 32 characters.
    pub screen: String,
    /// `seq` of the state that it shows.
    pub seq: u64,
}

/// Parses the text of a frame.
///
/// # Errors
/// The field that is malformed, for the `error` message.
pub fn parse(text: &str) -> Result<ClientMessage, Invalid> {
    let mut json = serde_json::Deserializer::from_str(text);
    let message: ClientMessage = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        Invalid::new(if path == "." { "frame".to_owned() } else { path }, error.inner().to_string())
    })?;
    json.end().map_err(|error| Invalid::new("frame", error.to_string()))?;
    // serde also accepts a list for a struct
    if text.split_once(':').is_some_and(|(_, fields)| !fields.trim_start().starts_with('{')) {
        return Err(Invalid::new("frame", "the message must be an object"));
    }
    if let ClientMessage::Ping(ping) = &message {
        let fits = match &ping.id {
            serde_json::Value::Number(_) => true,
            serde_json::Value::String(id) => id.chars().count() <= MAX_ID_CHARS,
            _ => false,
        };
        if !fits {
            return Err(Invalid::new("ping.id", "must be a number, or a text of up to 64 characters"));
        }
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    #[test]
    fn fuzz_client_frames() {
        fuzz::run("client_frames", 20_000, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return "not a text".to_owned() };
            match parse(text) {
                Ok(ClientMessage::Hello(hello)) => format!("{:?}", hello.role),
                Ok(ClientMessage::Ping(ping)) => {
                    let is_short = ping.id.as_str().is_some_and(|id| id.chars().count() <= MAX_ID_CHARS);
                    assert!(ping.id.is_number() || is_short, "a ping with the id {}", ping.id);
                    format!("ping {}", ping.showing.is_some())
                }
                Ok(ClientMessage::Cast(cast)) => match cast.into_cast() {
                    Ok((round, take, cast)) => {
                        let letters = cast.votes.bytes().all(|letter| letter.is_ascii_lowercase());
                        assert!(round > 0 && take > 0 && cast.slip > 0 && letters, "{round} {take} {cast:?}");
                        assert!((1..=100).contains(&cast.votes.len()), "{cast:?}");
                        format!("cast {}", cast.votes.len())
                    }
                    Err(invalid) => fuzz::shape(&format!("cast {invalid}")),
                },
                Err(invalid) => fuzz::shape(&invalid.to_string()),
            }
        });
    }

    #[test]
    fn a_frame_holds_exactly_one_known_message() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "{",
            r#"{"vote":{}}"#,
            r#"{"ping":{"id":1},"ping2":{}}"#,
            r#"{"ping":{"id":1}} {"ping":{"id":2}}"#,
            r#"{"cast":{"round":1,"slip":1.5,"votes":"a"}}"#,
            r#"{"cast":{"round":1,"slip":-1,"votes":"a"}}"#,
            r#"{"cast":{"round":1,"slip":99999999999999999999,"votes":"a"}}"#,
            r#"{"cast":{"round":1,"slip":"1","votes":"a"}}"#,
            r#"{"cast":{"round":1,"slip":1,"slip":2,"votes":"a"}}"#,
            r#"{"cast":{"round":1,"slip":1}}"#,
            r#"{"hello":{"room":"ABCDEF","role":"boss"}}"#,
            r#"{"ping":{"id":[1]}}"#,
            r#"{"cast":[1,1,1,"a"]}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_take_is_the_first_and_unknown_fields_are_ignored() {
        let Ok(ClientMessage::Cast(cast)) = parse(r#"{"cast":{"round":2,"slip":3,"votes":"ab","new":true}}"#) else {
            panic!("not read");
        };
        assert_eq!(cast, CastMessage { round: 2, take: 1, slip: 3, votes: "ab".into() });
    }

    #[test]
    fn the_error_names_the_field() {
        let error = parse(r#"{"cast":{"round":1,"slip":-1,"votes":"a"}}"#).unwrap_err();
        assert_eq!(error.field, "cast.slip");
    }
}
