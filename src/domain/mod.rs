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

/// Milliseconds of the ledger's clock, since 1970. The only time that decides anything.
pub type LedgerMs = u64;

/// A value from outside that is malformed or out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct Invalid {
    /// Where in the input, as its sender wrote it: `rounds[2].seconds`.
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Invalid {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }

    /// The same error, seen from the object that holds the field: `choices[1]` in `rounds[0]`.
    pub fn inside(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}
