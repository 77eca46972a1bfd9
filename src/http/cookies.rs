//! The cookies of voters and emcees: how they are set, and how they are read.
//!
//! **By https a cookie's name has the prefix `__Host-`, by http it has not, and each is read only where it was set.** A
//! browser accepts the prefix only with `Secure`, for this host alone and for all its paths. So nobody who can answer for
//! a sibling of this host, or for its http, can plant a cookie that counts by https; and what came by http under the
//! protected name is not believed either.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{self, HeaderMap};

use super::network::Arrival;
use crate::actors::session::COOKIE_PREFIX;

/// See the [module](self).
const HOST_PREFIX: &str = "__Host-";

/// A cookie that no script can read, and that the browser does not send for pages of somebody else.
pub fn cookie(arrival: &Arrival, name: &str, value: String, max_age: Duration) -> Cookie<'static> {
    let prefix = if arrival.is_tls { HOST_PREFIX } else { "" };
    Cookie::build(format!("{prefix}{name}"), value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(arrival.is_tls)
        .max_age(max_age)
        .finish()
}

/// This server's cookies in a request, by their names without the prefix.
pub fn cookies(headers: &HeaderMap, arrival: &Arrival) -> Vec<(String, String)> {
    let lines = headers.get_all(header::COOKIE).filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let named = pairs.filter_map(|(name, value)| {
        let name = if arrival.is_tls { name.strip_prefix(HOST_PREFIX)? } else { name };
        name.starts_with(COOKIE_PREFIX).then(|| (name.to_owned(), value.trim_matches('"').to_owned()))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;
    use crate::http::network::Network;
    use crate::settings::Settings;

    /// A request to `vote.example.org` by a hop that says this scheme.
    fn arrival(scheme: &'static str) -> Arrival {
        let hop = ("TALLYCAST__SERVER__TRUSTED_HOPS".to_owned(), "127.0.0.1".to_owned());
        let settings = Settings::from_environment([hop].into()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("vote.example.org"));
        headers.insert(header::HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static(scheme));
        Network::new(&settings.server, "").arrival(Some(([127, 0, 0, 1], 1).into()), &headers)
    }

    #[test]
    fn a_cookie_is_read_only_by_the_scheme_that_it_was_set_by() {
        for (set_by, name, is_secure) in [("https", "__Host-tallycast_x", true), ("http", "tallycast_x", false)] {
            let cookie = cookie(&arrival(set_by), "tallycast_x", "v1.a.b".to_owned(), Duration::HOUR);
            assert_eq!((cookie.name(), cookie.secure()), (name, Some(is_secure)));
            assert_eq!((cookie.path(), cookie.domain(), cookie.http_only()), (Some("/"), None, Some(true)));
            for read_by in ["https", "http"] {
                let mut headers = HeaderMap::new();
                let line = format!("other=1; {}={}; tallycast", cookie.name(), cookie.value());
                headers.insert(header::COOKIE, line.parse().unwrap());
                let found = cookies(&headers, &arrival(read_by));
                let expected = if read_by == set_by { vec![("tallycast_x".into(), "v1.a.b".into())] } else { vec![] };
                assert_eq!(found, expected, "set by {set_by}, read by {read_by}");
            }
        }
    }
}
