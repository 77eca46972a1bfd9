//! The origin of the page that sends a request, and whether it is one of the server's own.

use actix_web::http::header::{self, HeaderMap};

use super::error::ApiError;

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
    /// The origin of a request. The server's own origins are the request's host and the configured public and admin URLs.
    pub fn of(headers: &HeaderMap, own_urls: &[&str]) -> Self {
        let Some(origin) = headers.get(header::ORIGIN) else { return Self::None };
        let Ok(origin) = origin.to_str() else { return Self::Foreign };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
        let is_host = authority.is_some_and(|authority| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)));
        let is_configured = own_urls.iter().any(|url| !url.is_empty() && origin_of(url).eq_ignore_ascii_case(origin));
        if is_host || is_configured { Self::Own } else { Self::Foreign }
    }
}

/// Scheme and authority of a URL.
fn origin_of(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    &url[..end]
}

/// 403: a page of somebody else made the browser send the request.
pub fn cross_origin() -> ApiError {
    ApiError::forbidden("cross_origin", "with a cookie, a change needs an Origin that is one of the server's own")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin_of_request(origin: &str, host: &str) -> Origin {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        Origin::of(&headers, &["https://vote.example.org/", ""])
    }

    #[test]
    fn only_the_requests_host_and_the_configured_urls_are_own() {
        for own in ["http://10.0.0.7:8080", "https://10.0.0.7:8080", "https://vote.example.org"] {
            assert_eq!(origin_of_request(own, "10.0.0.7:8080"), Origin::Own, "{own}");
        }
        for foreign in [
            "http://10.0.0.7",
            "http://10.0.0.7:8081",
            "http://evil.example",
            "http://10.0.0.7:8080.evil.example",
            "https://vote.example.org.evil.example",
            "http://vote.example.org",
            "null",
            "",
        ] {
            assert_eq!(origin_of_request(foreign, "10.0.0.7:8080"), Origin::Foreign, "{foreign}");
        }
    }
}
