//! The origin of the page that sends a request: a browser names it in changes and in handshakes, and no page can choose it.

use actix_web::http::header::{self, HeaderMap};

use super::error::ApiError;
use super::network::{Arrival, Network};

/// The origin of the page that sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// There is no header: not a page, or a browser that does not send it.
    None,
    /// A page of this server.
    Own,
    /// A page of somebody else.
    Foreign,
}

impl Origin {
    /// The origin of a request. The server's own are that under which the request came, scheme, host and port, and those of
    /// the configured public and admin URLs.
    pub fn of(headers: &HeaderMap, network: &Network, arrival: &Arrival) -> Self {
        let Some(origin) = headers.get(header::ORIGIN) else { return Self::None };
        let is_own = origin.to_str().is_ok_and(|origin| network.is_own_origin(arrival, origin));
        if is_own { Self::Own } else { Self::Foreign }
    }
}

/// 403: a page of somebody else made the browser send the request.
pub fn cross_origin() -> ApiError {
    ApiError::forbidden("cross_origin", "with a cookie, a change needs an Origin that is one of the server's own")
}
