//! How often an address may try a wrong key.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::StatusCode;

use super::error::ApiError;
use crate::rate_limit::{KeyedRateLimit, Limit};

/// Wrong keys from one address.
const WRONG_KEYS: Limit = Limit { burst: 10, interval: Duration::from_secs(6) };

/// Counts wrong keys by address. Right keys are never counted, so nobody can lock the emcee out.
pub struct WrongKeys(KeyedRateLimit<IpAddr>);

impl Default for WrongKeys {
    fn default() -> Self {
        Self(KeyedRateLimit::new(WRONG_KEYS))
    }
}

impl WrongKeys {
    /// The response to a wrong key from this address: 401 `bad_key`, or 429 `too_many` above the limit. See
    /// [`super::network::Arrival::address`].
    pub fn refuse(&self, address: IpAddr) -> ApiError {
        if self.0.allows(&address) {
            return ApiError::unauthorized("bad_key", "this is not the emcee's key");
        }
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "too many wrong keys; wait a little")
            .retry_after(WRONG_KEYS.interval.as_secs() as u32)
    }

    /// Frees the memory of addresses that may try again at once.
    pub fn remove_idle_addresses(&self) {
        self.0.remove_idle_keys();
    }
}
