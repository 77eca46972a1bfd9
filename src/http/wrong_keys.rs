//! How often an address may try a wrong key.

use std::net::IpAddr;
use std::num::NonZeroU32;

use actix_web::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota};

use super::error::ApiError;

/// Wrong keys from one address before it has to wait, and one more each six seconds.
const WRONG_KEYS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// Counts wrong keys by address. Right ones always pass, so nobody can lock the emcee out.
pub struct WrongKeys(DefaultKeyedRateLimiter<IpAddr>);

impl Default for WrongKeys {
    fn default() -> Self {
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_minute(WRONG_KEYS)))
    }
}

impl WrongKeys {
    /// The answer to a wrong key from this address; see [`super::auth::address_of`].
    pub fn refuse(&self, from: IpAddr) -> ApiError {
        match self.0.check_key(&from) {
            Ok(()) => ApiError::unauthorized("bad_key", "this is not the emcee's key"),
            Err(_) => ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "too many wrong keys; wait a little")
                .retry_after(6),
        }
    }

    /// Forgets addresses that have waited long enough.
    pub fn tidy(&self) {
        self.0.retain_recent();
    }
}
