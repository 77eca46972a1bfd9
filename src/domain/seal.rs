//! Seals: by them anybody can check that a closed take is still what it was.
//!
//! A seal is one hash over the record of a take, all of its ballots, and the seal of the take that was closed before it.
//! So a change of anything that was sealed changes the last seal too. The ballots are the leaves of a Merkle tree as in
//! RFC 6962, section 2.1 (Certificate Transparency), sorted by voter. A voter is shown one path through the tree, which
//! has a hash for each of its levels and no other ballot.
//!
//! Everything is hashed with SHA-256. Two things are encoded so that no two inputs have the same bytes: `number` is 8
//! bytes, and `text` is its length as a number, then its bytes; both big-endian.
//!
//! ```text
//! leaf = SHA-256(00, text salt, text voter, text votes, number time_ms)
//! node = SHA-256(01, left, right)
//! seal = SHA-256(02, number seal_number, number round, number take,
//!                number of choices, number of the votes of each, number voters,
//!                number opened_at, number closed_at, text by,
//!                number leaves, text root, text previous)      previous is empty in the first seal
//! ```

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ballot::Ballot;
use super::ids::VoterId;
use super::{Invalid, LedgerMs};

/// The result of a SHA-256, as text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Parses the text.
    ///
    /// # Errors
    /// It is not 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(Invalid::new("digest", "must be 64 hexadecimal digits")),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A SHA-256 that is being computed.
struct Hasher(Sha256);

impl Hasher {
    /// `kind` keeps leaves, nodes and seals apart: none can be passed off as another.
    fn new(kind: u8) -> Self {
        Self(Sha256::new().chain_update([kind]))
    }

    fn raw(self, bytes: &[u8]) -> Self {
        Self(self.0.chain_update(bytes))
    }

    fn number(self, number: u64) -> Self {
        self.raw(&number.to_be_bytes())
    }

    fn text(self, bytes: &[u8]) -> Self {
        self.number(bytes.len() as u64).raw(bytes)
    }

    fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Makes the salts of a room's ballots. A salt is a keyed hash, so it says nothing of any other: without it, whoever is
/// shown a neighbour's leaf could find that ballot by trying all there are.
#[derive(Clone)]
pub struct Salts(Hmac<Sha256>);

impl Salts {
    /// The salts of the room with this secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The salt of a voter in a round and take.
    pub fn of(&self, (round, take): (u16, u16), voter: &VoterId) -> Digest {
        let mut mac = self.0.clone();
        mac.update(&round.to_be_bytes());
        mac.update(&take.to_be_bytes());
        mac.update(voter.as_str().as_bytes());
        Digest(mac.finalize().into_bytes().into())
    }
}

/// The leaf of a ballot.
pub fn leaf(salt: Digest, voter: &VoterId, ballot: &Ballot) -> Digest {
    let leaf = Hasher::new(0).text(&salt.0).text(voter.as_str().as_bytes()).text(ballot.votes.as_bytes());
    leaf.number(ballot.time_ms).finish()
}

fn node(left: &Digest, right: &Digest) -> Digest {
    Hasher::new(1).raw(&left.0).raw(&right.0).finish()
}

/// The Merkle tree of a take: 64 bytes for each ballot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The leaves, then each level above them, up to the root. A node without a neighbour is also in the level above: this
    /// gives the tree of the RFC, which splits at the largest power of two.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree of a take's ballots, in any order. Ballots without a vote are left out.
    pub fn of_ballots<'b>(
        salts: &Salts,
        take: (u16, u16),
        ballots: impl IntoIterator<Item = (&'b VoterId, &'b Ballot)>,
    ) -> Self {
        let mut ballots: Vec<_> = ballots.into_iter().filter(|(_, ballot)| !ballot.votes.is_empty()).collect();
        ballots.sort_unstable_by_key(|(voter, _)| *voter);
        Self::new(ballots.into_iter().map(|(voter, ballot)| leaf(salts.of(take, voter), voter, ballot)).collect())
    }

    /// The tree of these leaves, which must be sorted by voter.
    pub fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                rest => rest[0],
            });
            levels.push(above.collect());
        }
        Self { levels }
    }

    /// The root. A tree without leaves has the hash of nothing, as in the RFC.
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(|| Digest(Sha256::digest([]).into()))
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// The place of a leaf, from 0. `None` if it is not in the tree.
    pub fn index_of(&self, leaf: &Digest) -> Option<u64> {
        self.levels[0].iter().position(|known| known == leaf).map(|index| index as u64)
    }

    /// The hashes that lead from the leaf at `index` to the root, the lowest first.
    pub fn path(&self, index: u64) -> Vec<Digest> {
        let mut index = index as usize;
        let mut path = vec![];
        for level in &self.levels {
            path.extend(level.get(index ^ 1));
            index /= 2;
        }
        path
    }
}

/// What a seal says of its take.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The place among the room's closed takes, in the order in which they were closed, from 1.
    pub number: u64,
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// Votes by choice, as on record.
    pub votes: &'a [u64],
    /// Voters, as on record.
    pub voters: u64,
    /// When it was opened.
    pub opened_at: LedgerMs,
    /// When it was closed.
    pub closed_at: LedgerMs,
    /// What closed it, as the protocol calls it.
    pub by: &'a str,
    /// Ballots in the tree.
    pub leaves: u64,
    /// Root of the tree.
    pub root: Digest,
    /// The seal of the take that was closed before; `None` for the first.
    pub previous: Option<Digest>,
}

impl Contents<'_> {
    /// The seal.
    pub fn seal(&self) -> Digest {
        let place = [self.number, u64::from(self.round), u64::from(self.take), self.votes.len() as u64];
        let times = [self.voters, self.opened_at, self.closed_at];
        let numbers = place.iter().chain(self.votes).chain(&times);
        let hasher = numbers.fold(Hasher::new(2), |hasher, number| hasher.number(*number));
        let previous = self.previous.as_ref().map_or(&[][..], |previous| &previous.0);
        hasher.text(self.by.as_bytes()).number(self.leaves).text(&self.root.0).text(previous).finish()
    }
}

/// The seal of a take, as the room record keeps it. It is added once, some time after the close, and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// See [`Contents::number`].
    pub number: u64,
    /// Ballots in the tree.
    pub leaves: u64,
    /// Root of the tree.
    pub root: Digest,
    /// The seal of the take that was closed before; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The seal itself.
    pub seal: Digest,
}

#[cfg(test)]
mod tests;
