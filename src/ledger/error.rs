//! Why a call to the ledger has no answer.

/// Why a call has no answer. The variants differ in what the caller must do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The call certainly changed nothing: report it, and go on.
    #[error("not applied: {0}")]
    NotApplied(String),
    /// The change may be stored: send the same call again.
    #[error("may be applied: {0}")]
    MaybeApplied(String),
    /// What is stored is invalid: stop using it.
    #[error("the ledger is corrupt: {0}")]
    Corrupt(String),
}
