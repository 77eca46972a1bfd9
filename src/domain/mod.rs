//! The rules of the game, and nothing else: no actor, socket, store, clock or chance.
//!
//! Whatever needs the time or a random number gets it as an argument, so every decision here can be tested by
//! itself and replayed. Everything else in the house asks this module and then carries out the answer.
//!
//! | module | decides |
//! | --- | --- |
//! | [`ids`] | what is a room code, a voter id, a card |
//! | [`text`] | what is a name, a title, a label |
//! | [`ballot`] | what becomes of a cast (the cast rule) |
//! | [`gate`] | when votes are taken, and how a target moves a gate |
//! | [`room`] | the room record: settings, rounds, takes |
//! | [`setup`] | how a room is made and edited, and its bounds |
//! | [`clock`] | what the ledger's clock says, from answers that were under way |
//! | [`command`] | what each emcee command does, and when it fits |
//! | [`jobs`] | what a change causes outside the ledger: messages, archives |
//! | [`ranking`] | scores, places, ties |
//! | [`reveal`] | the countdown in groups of equal places |
//! | [`validate`] | what holds of every stored record, whoever wrote it |
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
pub mod setup;
pub mod text;
pub mod validate;
pub mod visibility;

pub use error::{Invalid, Refused};

/// Milliseconds of the ledger's clock, since 1970. The only time that decides anything.
pub type LedgerMs = u64;

/// Largest count, version and time of anything stored: the year 4199. Sums over 64 gates or 100 rounds are whole
/// numbers for scripts and clients too, which have 53 bits.
pub const MAX_NUMBER: u64 = 1 << 46;
