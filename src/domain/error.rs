//! What is wrong with a value from outside, and why a command does not fit.

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

/// Why a command does not fit now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// See the message.
    #[error("another round is open")]
    AnotherRoundOpen,
    /// See the message.
    #[error("this take of the round is closed already")]
    AlreadyClosed,
    /// See the message.
    #[error("the round is at another take")]
    OtherTake,
    /// See the message.
    #[error("a ranking is being shown; take it away first")]
    RankingShown,
    /// See the message.
    #[error("the round is not open")]
    NotOpen,
    /// See the message.
    #[error("the round is not closed")]
    NotClosed,
    /// See the message.
    #[error("a round is open; close it first")]
    RoundOpen,
    /// See the message.
    #[error("no round is closed yet")]
    NothingClosed,
    /// See the message.
    #[error("a held result is not shown yet")]
    NotShown,
    /// The field.
    #[error("{0} cannot change any more")]
    NotChangeable(String),
    /// The number.
    #[error("there is no round {0}")]
    NoSuchRound(u16),
    /// See the message.
    #[error("the room is being purged")]
    Purging,
    /// See the message.
    #[error("the room is not deleted, or has changed since")]
    NotPurgeable,
    /// Malformed or out of bounds.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}
