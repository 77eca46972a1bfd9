//! What a failure of Redis means for a call.

use redis::{ErrorKind, RedisError};

use crate::ledger::LedgerError;

/// Words that a server answers with before it has done anything. Every other error may have come after a write.
const BEFORE_ANYTHING: [&str; 17] = [
    "LOADING",
    "MISCONF",
    "READONLY",
    "OOM",
    "BUSY",
    "NOAUTH",
    "WRONGPASS",
    "NOREPLICAS",
    "NOSCRIPT",
    "EXECABORT",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CROSSSLOT",
    "NOPROTO",
];
/// Words for what is stored and makes no sense; the second is our own scripts'.
const CORRUPT: [&str; 2] = ["WRONGTYPE", "CORRUPT"];

/// An error on a connection that something was sent over.
impl From<RedisError> for LedgerError {
    fn from(error: RedisError) -> Self {
        let what = format!("redis: {error}");
        match error.code() {
            Some(code) if BEFORE_ANYTHING.contains(&code) => Self::NotApplied(what),
            Some(code) if CORRUPT.contains(&code) => Self::Corrupt(what),
            Some(_) => Self::MaybeApplied(what),
            None if matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse) => Self::Corrupt(what),
            None => Self::MaybeApplied(what),
        }
    }
}

/// Nothing was sent yet.
pub(super) fn unreachable(why: impl std::fmt::Display) -> LedgerError {
    LedgerError::NotApplied(format!("redis is not reachable: {why}"))
}

/// Something was sent, and no answer came in time.
pub(super) fn unanswered() -> LedgerError {
    LedgerError::MaybeApplied("redis did not answer in time".into())
}

/// An error at a later step of a row: what was done before it stays.
pub(super) fn after_a_step(error: impl Into<LedgerError>) -> LedgerError {
    match error.into() {
        LedgerError::NotApplied(what) => LedgerError::MaybeApplied(what),
        error => error,
    }
}

/// A stored value that is none.
pub(super) fn corrupt(what: &str, key: impl std::fmt::Display) -> LedgerError {
    LedgerError::Corrupt(format!("{what} in redis at {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(answer: &str) -> LedgerError {
        redis::parse_redis_value(answer.as_bytes()).unwrap().extract_error().unwrap_err().into()
    }

    #[test]
    fn a_refusal_before_anything_was_done_is_not_applied() {
        for word in BEFORE_ANYTHING {
            let meaning = meaning(&format!("-{word} some words 1 host:1\r\n"));
            assert!(matches!(meaning, LedgerError::NotApplied(_)), "{word}: {meaning}");
        }
    }

    #[test]
    fn an_error_inside_a_script_may_have_come_after_a_write() {
        for answer in
            ["-ERR user_script:3: attempt to call a nil value\r\n", "-NOPERM this user has no permissions\r\n"]
        {
            assert!(matches!(meaning(answer), LedgerError::MaybeApplied(_)), "{answer}");
        }
    }

    #[test]
    fn a_lost_connection_may_have_been_applied() {
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(lost.into(), LedgerError::MaybeApplied(_)));
    }

    #[test]
    fn a_refusal_at_a_later_step_may_have_been_applied() {
        assert!(matches!(after_a_step(unreachable("gone")), LedgerError::MaybeApplied(_)));
        assert!(matches!(after_a_step(corrupt("no gate", "k")), LedgerError::Corrupt(_)));
    }

    #[test]
    fn what_is_stored_in_another_form_is_corrupt() {
        for answer in ["-WRONGTYPE Operation against a key\r\n", "-CORRUPT clock in tc:{a.0}:gate\r\n"] {
            assert!(matches!(meaning(answer), LedgerError::Corrupt(_)), "{answer}");
        }
        let error: Result<u64, _> = redis::from_redis_value(redis::Value::SimpleString("x".into()));
        assert!(matches!(RedisError::from(error.unwrap_err()).into(), LedgerError::Corrupt(_)));
    }
}
