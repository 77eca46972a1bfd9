//! Authentication: the emcee's key, signed voter tokens, signed emcee cookies.
//!
//! Everything is signed with one secret that all pods share (HMAC-SHA-256, RFC 2104), so pods keep no sessions. A
//! signature also covers the kind of the text, so a token cannot be used as a cookie.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::LedgerMs;
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::seal::Salts;
use crate::domain::text::Name;

/// Lifetime of an emcee's cookie: an evening, its rehearsal and the night.
pub const SIGN_IN_MS: LedgerMs = 36 * 3_600_000;
/// Most characters of a device name; the rest is cut.
const MAX_DEVICE_CHARS: usize = 40;

/// The content of a valid voter token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterToken {
    /// The voter's id.
    pub voter: VoterId,
    /// The voter's name when the token was signed.
    pub name: Name,
}

/// The content of a valid emcee cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Identifies the sign-in, so that it can be ended.
    pub id: String,
    /// The emcee's name for the device.
    pub device: String,
    /// When the cookie expires.
    pub expires_at: LedgerMs,
}

/// The two secrets of an installation.
#[derive(Clone)]
pub struct Auth {
    emcee_key: SecretString,
    signer: Hmac<Sha256>,
}

impl Auth {
    /// `secret` signs tokens and cookies; `emcee_key` is the key that emcees enter.
    pub fn new(emcee_key: SecretString, secret: &SecretString) -> Self {
        let signer = Hmac::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        Self { emcee_key, signer }
    }

    /// True if `key` is the emcee's key. The comparison takes constant time.
    pub fn is_emcee_key(&self, key: &str) -> bool {
        self.emcee_key.expose_secret().as_bytes().ct_eq(key.as_bytes()).into()
    }

    /// The emcee's key, for the link that the terminal shows to the person who started the process.
    pub fn emcee_key(&self) -> &str {
        self.emcee_key.expose_secret()
    }

    /// The key that signs the tokens of a room's voters. It is derived from the secret for each room, so that a room
    /// can move to another installation with its key and without the secret. `imported` is the key of an imported room.
    pub fn token_key(&self, room: &RoomId, imported: Option<&str>) -> TokenKey {
        let derived = || encode(mac(&self.signer, &format!("room.{room}")).finalize().into_bytes());
        TokenKey::new(room, imported.map_or_else(derived, str::to_owned))
    }

    /// Signs an emcee in: the sign-in, and the value of its cookie.
    pub fn sign_in(&self, device: &str, now: LedgerMs) -> (SignIn, String) {
        let id = encode(rand::random::<[u8; 12]>());
        let device: String = device.chars().filter(|c| !c.is_control()).take(MAX_DEVICE_CHARS).collect();
        let expires_at = now + SIGN_IN_MS;
        let cookie = sign(&self.signer, &["e1", &id, &expires_at.to_string(), &encode(&device)]);
        (SignIn { id, device, expires_at }, cookie)
    }

    /// Verifies an emcee's cookie. `None` if its signature is wrong or it has expired.
    pub fn read_sign_in(&self, cookie: &str, now: LedgerMs) -> Option<SignIn> {
        let [id, expires_at, device] = verify(&self.signer, "e1", cookie)?;
        let expires_at = expires_at.parse().ok()?;
        (now < expires_at).then_some(SignIn { id: id.to_owned(), device: decode(device)?, expires_at })
    }
}

/// Signs and verifies the tokens of one room's voters.
pub struct TokenKey {
    room: RoomId,
    key: SecretString,
    signer: Hmac<Sha256>,
}

impl TokenKey {
    /// The key of a room, as [`TokenKey::expose`] returns it.
    pub fn new(room: &RoomId, key: String) -> Self {
        let signer = Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
        Self { room: room.clone(), key: key.into(), signer }
    }

    /// The key itself, for an archive of the room. Secret.
    pub fn expose(&self) -> &str {
        self.key.expose_secret()
    }

    /// The salts of the room's sealed ballots, from a secret that is derived from this key: it moves with the room. No text
    /// that is signed equals the label.
    pub fn salts(&self) -> Salts {
        Salts::new(&mac(&self.signer, "seal").finalize().into_bytes())
    }

    /// Signs a voter's token.
    pub fn sign(&self, voter: &VoterId, name: &Name) -> String {
        sign(&self.signer, &["v1", self.room.as_str(), voter.as_str(), &encode(name.as_str())])
    }

    /// Verifies a voter's token. `None` if its signature is wrong or it belongs to another room.
    pub fn read(&self, token: &str) -> Option<VoterToken> {
        let [room, voter, name] = verify(&self.signer, "v1", token)?;
        let token = VoterToken { voter: VoterId::parse(voter).ok()?, name: Name::parse(&decode(name)?).ok()? };
        (room == self.room.as_str()).then_some(token)
    }
}

/// True if the text has the form of a voter's token.
pub fn looks_like_token(text: &str) -> bool {
    text.starts_with("v1.") && text.split('.').count() == 5
}

fn mac(signer: &Hmac<Sha256>, text: &str) -> Hmac<Sha256> {
    let mut mac = signer.clone();
    mac.update(text.as_bytes());
    mac
}

fn sign(signer: &Hmac<Sha256>, parts: &[&str]) -> String {
    let text = parts.join(".");
    let mac = encode(mac(signer, &text).finalize().into_bytes());
    format!("{text}.{mac}")
}

/// The parts between kind and signature, if both are correct.
fn verify<'t, const N: usize>(signer: &Hmac<Sha256>, kind: &str, signed: &'t str) -> Option<[&'t str; N]> {
    let (text, signature) = signed.rsplit_once('.')?;
    mac(signer, text).verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let parts: Vec<&str> = text.strip_prefix(kind)?.strip_prefix('.')?.split('.').collect();
    parts.try_into().ok()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(secret: &str) -> Auth {
        Auth::new("the emcee's key".to_owned().into(), &secret.to_owned().into())
    }

    fn room(byte: u8) -> RoomId {
        RoomId::from_entropy([byte; 16])
    }

    fn key(auth: &Auth) -> TokenKey {
        auth.token_key(&room(7), None)
    }

    fn token(auth: &Auth) -> String {
        key(auth).sign(&VoterId::from_entropy([9; 16]), &Name::parse("Zoë.😀").unwrap())
    }

    #[test]
    fn a_token_contains_what_was_signed() {
        let auth = auth("secret");
        let read = key(&auth).read(&token(&auth)).unwrap();
        assert_eq!(read.voter, VoterId::from_entropy([9; 16]));
        assert_eq!(read.name.as_str(), "Zoë.😀");
    }

    #[test]
    fn a_token_with_a_changed_bit_or_of_another_secret_is_refused() {
        let ours = auth("secret");
        let good = token(&ours);
        assert!(looks_like_token(&good));
        assert!(key(&auth("other")).read(&good).is_none());
        assert!(ours.token_key(&room(8), None).read(&good).is_none(), "another room");
        for index in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[index] ^= 1;
            let Ok(bad) = String::from_utf8(bytes) else { continue };
            // the low bits of the last base64 character are unused
            if index + 1 < good.len() {
                assert!(key(&ours).read(&bad).is_none(), "{index}");
            }
        }
        for bad in ["", ".", "v1", "v1...", &good[..good.len() - 4]] {
            assert!(key(&ours).read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn tokens_of_an_imported_room_are_valid_with_its_key() {
        let (here, there) = (auth("secret"), auth("another secret"));
        let imported = key(&here);
        assert!(there.token_key(&room(7), Some(imported.expose())).read(&token(&here)).is_some());
        assert!(there.token_key(&room(7), None).read(&token(&here)).is_none());
    }

    #[test]
    fn the_salts_of_a_room_move_with_its_key() {
        let (here, there) = (auth("secret"), auth("another secret"));
        let salt = |key: TokenKey| key.salts().of((1, 1), &VoterId::from_entropy([9; 16]));
        let moved = there.token_key(&room(7), Some(key(&here).expose()));
        assert_eq!(salt(moved), salt(key(&here)));
        assert_ne!(salt(key(&there)), salt(key(&here)));
        assert_ne!(salt(here.token_key(&room(8), None)), salt(key(&here)), "another room");
    }

    #[test]
    fn a_cookie_is_not_a_token_and_expires() {
        let auth = auth("secret");
        let (sign_in, cookie) = auth.sign_in("Laptop", 1_000);
        assert_eq!(auth.read_sign_in(&cookie, 1_000), Some(sign_in.clone()));
        assert_eq!(auth.read_sign_in(&cookie, sign_in.expires_at), None);
        assert!(key(&auth).read(&cookie).is_none());
        assert!(auth.read_sign_in(&token(&auth), 0).is_none());
    }
}
