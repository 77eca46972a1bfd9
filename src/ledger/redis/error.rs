//! What a failure of Redis means for a call: not applied, maybe applied, or corrupt.

use redis::{ErrorKind, RedisError};

use crate::ledger::LedgerError;

/// Error codes that a server returns before it does anything. Every other error may come after a write.
const NOT_APPLIED_CODES: [&str; 17] = [
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
/// Error codes for invalid stored data; the second one is from our own scripts.
const CORRUPT_CODES: [&str; 2] = ["WRONGTYPE", "CORRUPT"];

/// An error on a connection over which something was sent.
impl From<RedisError> for LedgerError {
    fn from(error: RedisError) -> Self {
        let what = format!("redis: {error}");
        match error.code() {
            Some(code) if NOT_APPLIED_CODES.contains(&code) => Self::NotApplied(what),
            Some(code) if CORRUPT_CODES.contains(&code) => Self::Corrupt(what),
            Some(_) => Self::MaybeApplied(what),
            None if matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse) => Self::Corrupt(what),
            None => Self::MaybeApplied(what),
        }
    }
}

/// No connection could be made, so nothing was sent.
pub(super) fn unreachable(why: impl std::fmt::Display) -> LedgerError {
    LedgerError::NotApplied(format!("redis is not reachable: {why}"))
}

/// Something was sent, and no reply came in time.
pub(super) fn timed_out() -> LedgerError {
    LedgerError::MaybeApplied("redis did not answer in time".into())
}

/// An error after the first of several steps: what the steps before it have stored stays.
pub(super) fn after_first_step(error: impl Into<LedgerError>) -> LedgerError {
    match error.into() {
        LedgerError::NotApplied(what) => LedgerError::MaybeApplied(what),
        error => error,
    }
}

/// A stored value is invalid: `what` names it, `key` is where it is stored.
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
    fn an_error_before_anything_was_done_is_not_applied() {
        for word in NOT_APPLIED_CODES {
            let meaning = meaning(&format!("-{word} some words 1 host:1\r\n"));
            assert!(matches!(meaning, LedgerError::NotApplied(_)), "{word}: {meaning}");
        }
    }

    #[test]
    fn an_error_inside_a_script_may_come_after_a_write() {
        for answer in
            ["-ERR user_script:3: attempt to call a nil value\r\n", "-NOPERM this user has no permissions\r\n"]
        {
            assert!(matches!(meaning(answer), LedgerError::MaybeApplied(_)), "{answer}");
        }
    }

    #[test]
    fn a_call_on_a_lost_connection_may_be_applied() {
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(lost.into(), LedgerError::MaybeApplied(_)));
    }

    #[test]
    fn an_error_after_the_first_step_may_be_applied() {
        assert!(matches!(after_first_step(unreachable("gone")), LedgerError::MaybeApplied(_)));
        assert!(matches!(after_first_step(corrupt("invalid gate", "k")), LedgerError::Corrupt(_)));
    }

    #[test]
    fn a_stored_value_of_another_type_is_corrupt() {
        for answer in ["-WRONGTYPE Operation against a key\r\n", "-CORRUPT clock in tc:{a.0}:gate\r\n"] {
            assert!(matches!(meaning(answer), LedgerError::Corrupt(_)), "{answer}");
        }
        let error: Result<u64, _> = redis::from_redis_value(redis::Value::SimpleString("x".into()));
        assert!(matches!(RedisError::from(error.unwrap_err()).into(), LedgerError::Corrupt(_)));
    }
}
