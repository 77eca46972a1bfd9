//! Identifiers. Each is made by `parse` or from random bytes, so every value is well formed. A clone shares the text,
//! because every cast carries ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Characters of join codes, cards and invites: upper case without the look-alikes I, O, 0 and 1.
pub const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const ID_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The letters of choices. Their number is also the most choices of a round.
pub const LETTERS: &str = "abcdefgh";

fn spell<const N: usize>(alphabet: &[u8; 32], entropy: [u8; N]) -> String {
    entropy.iter().map(|byte| char::from(alphabet[usize::from(byte & 31)])).collect()
}

fn parse_code(text: &str, length: usize, field: &str) -> Result<String, Invalid> {
    let upper = text.trim().to_ascii_uppercase();
    if upper.len() == length && upper.bytes().all(|b| CODE_ALPHABET.contains(&b)) {
        return Ok(upper);
    }
    Err(Invalid::new(field, format!("must be {length} characters of A-Z and 2-9 without I and O")))
}

fn parse_id(text: &str, field: &str) -> Result<String, Invalid> {
    let fits =
        (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits { Ok(text.to_owned()) } else { Err(Invalid::new(field, "must be 1 to 32 characters of A-Z a-z 0-9 _ -")) }
}

/// Accepts only the form in which ids are generated.
fn parse_made(text: &str, field: &str) -> Result<String, Invalid> {
    if is_made(text) { Ok(text.to_owned()) } else { Err(Invalid::new(field, "must be 16 characters of a-z 2-7")) }
}

fn is_made(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| ID_ALPHABET.contains(&b))
}

/// True if the text is a token key as a server generates it: 32 bytes in URL-safe base64 without padding.
pub fn is_token_key(text: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    // 32 bytes use only four of the six bits of the last character
    let ends_well = text.bytes().last().is_some_and(|last| b"AEIMQUYcgkosw048".contains(&last));
    text.len() == 43 && text.bytes().all(is_digit) && ends_well
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $entropy:literal, $alphabet:expr, |$text:ident| $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a text from outside.
            ///
            /// # Errors
            /// The text does not have the form of this identifier.
            pub fn parse($text: &str) -> Result<Self, Invalid> {
                $parse.map(|text| Self(text.into()))
            }

            /// Makes one from random bytes, with five bits of each.
            pub fn from_entropy(entropy: [u8; $entropy]) -> Self {
                Self(spell($alphabet, entropy).into())
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().into()
            }
        }
    };
}

identifier!(
    /// The join code that people type: 6 characters, in upper or lower case.
    RoomCode, 6, CODE_ALPHABET, |text| parse_code(text, 6, "room")
);
identifier!(
    /// The identity of a room. Keys and tokens use it, so a code that is used again for another room gives access to
    /// nothing old. It always has the generated form, so it cannot contain the syntax of keys.
    RoomId, 16, ID_ALPHABET, |text| parse_made(text, "room id")
);
identifier!(
    /// A voter of one room: up to 32 characters. Generated ids have 16, see [`VoterId::is_made`].
    VoterId, 16, ID_ALPHABET, |text| parse_id(text, "voter")
);
identifier!(
    /// Leads back to a voter from any phone: 12 characters, 60 bits.
    Card, 12, CODE_ALPHABET, |text| parse_code(text, 12, "card")
);
identifier!(
    /// An invitation for one voter: 12 characters, 60 bits.
    Invite, 12, CODE_ALPHABET, |text| parse_code(text, 12, "invite")
);

impl VoterId {
    /// True if it has the form in which servers generate ids.
    pub fn is_made(&self) -> bool {
        is_made(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_code_is_accepted_in_either_case() {
        assert_eq!(RoomCode::parse("abcd23").unwrap(), RoomCode::parse("ABCD23").unwrap());
    }

    #[test]
    fn look_alikes_and_wrong_lengths_are_not_a_code() {
        for text in ["ABCDE", "ABCDEFG", "ABCDE0", "ABCDE1", "ABCDEI", "ABCDEO", "ABC DE", "ÄBCDEF", ""] {
            assert!(RoomCode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_made_from_entropy_parse() {
        for byte in 0..=255u8 {
            assert!(RoomCode::parse(RoomCode::from_entropy([byte; 6]).as_str()).is_ok());
            assert!(VoterId::parse(VoterId::from_entropy([byte; 16]).as_str()).is_ok());
        }
    }

    #[test]
    fn a_voter_id_cannot_contain_the_syntax_of_keys() {
        for text in ["", "a b", "a:b", "{a}", "a\r\n", &"x".repeat(33)] {
            assert!(VoterId::parse(text).is_err(), "{text:?}");
        }
    }
}
