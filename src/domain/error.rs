//! Errors: an invalid value from outside, and a command that does not fit.

/// A value from outside that is malformed or out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct Invalid {
    /// The place in the input, as its sender writes it: `rounds[2].seconds`.
    pub field: String,
    /// What is wrong, and what would be valid.
    pub detail: String,
}

impl Invalid {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }

    /// The same error seen from the object that contains the field: `choices[1]` in `rounds[0]`.
    pub fn inside(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// Why a command does not fit the state of the room. The messages are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One round is open at a time.
    #[error("another round is open")]
    AnotherRoundOpen,
    /// A closed take is not opened again; a new take is.
    #[error("this take of the round is closed already")]
    AlreadyClosed,
    /// The command names a take that is not the current one.
    #[error("the round is at another take")]
    OtherTake,
    /// Results cannot change while a ranking that is based on them is shown.
    #[error("a ranking is being shown; take it away first")]
    RankingShown,
    /// The command needs an open round.
    #[error("the round is not open")]
    NotOpen,
    /// The command needs a closed round.
    #[error("the round is not closed")]
    NotClosed,
    /// The command needs all rounds closed.
    #[error("a round is open; close it first")]
    RoundOpen,
    /// A ranking needs a result.
    #[error("no round is closed yet")]
    NothingClosed,
    /// A ranking would give a held result away.
    #[error("a held result is not shown yet")]
    NotShown,
    /// The field with this name is fixed by now.
    #[error("{0} cannot change any more")]
    NotChangeable(String),
    /// The room has no round with this number.
    #[error("there is no round {0}")]
    NoSuchRound(u16),
    /// A purge has begun, so the room cannot be restored.
    #[error("the room is being purged")]
    Purging,
    /// The record has changed since it was found old enough.
    #[error("the room is not deleted, or has changed since")]
    NotPurgeable,
    /// The command is malformed or out of bounds.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}
