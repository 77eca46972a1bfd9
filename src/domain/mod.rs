//! The rules of the game, and nothing else: no actors, sockets, storage, clocks or random numbers.
//!
//! Whatever needs the time or a random number gets it as an argument, so every decision here can be tested alone and
//! replayed. The rest of the program asks this module for a decision, and then carries it out.
//!
//! | module | decides |
//! | --- | --- |
//! | [`ids`] | the form of room codes, ids and cards |
//! | [`text`] | the form of names, titles and labels |
//! | [`ballot`] | the outcome of a cast (the cast rule) |
//! | [`gate`] | when votes are accepted, and how a gate follows a desired state |
//! | [`room`] | the room record: settings, rounds, takes |
//! | [`setup`] | how a room is created and edited, and its bounds |
//! | [`clock`] | the time of the ledger's clock, estimated from its replies |
//! | [`command`] | what each emcee command does, and when it fits |
//! | [`jobs`] | what a change causes outside the ledger: messages, archives |
//! | [`ranking`] | scores, places, ties |
//! | [`reveal`] | the countdown, in groups of voters who share a place |
//! | [`seal`] | the hashes that show that a closed take is still what it was |
//! | [`sealing`] | which take is sealed next, and whether the seals of a room fit |
//! | [`validate`] | what every stored record must satisfy, whoever wrote it |
//! | [`visibility`] | who may see what |

pub mod ballot;
pub mod clock;
pub mod command;
mod error;
pub mod gate;
pub mod ids;
pub mod jobs;
pub mod ranking;
pub mod reveal;
pub mod room;
pub mod seal;
pub mod sealing;
pub mod setup;
pub mod text;
pub mod validate;
pub mod visibility;

pub use error::{Invalid, Refused};

/// Milliseconds since 1970 by the ledger's clock. The only time that decides anything.
pub type LedgerMs = u64;

/// Largest count, version and time of anything stored; as a time it is in the year 4199. Sums over 64 gates or 100
/// rounds still fit into 53 bits, so scripts and clients have them exactly.
pub const MAX_NUMBER: u64 = 1 << 46;
