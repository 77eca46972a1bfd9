//! Authentication: extractors for emcees and voters, and the check of Origin.

use std::future::{Future, Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};

use super::app_state::AppState;
use super::error::ApiError;
use crate::actors::session::{EMCEE_COOKIE, VOTER_COOKIE};
use crate::auth::{SignIn, VoterToken, looks_like_token};
use crate::domain::room::Room;
use crate::domain::visibility::Audience;

/// The address of a client. `X-Forwarded-For` counts only from a proxy on this machine, as in a pod: it overwrites what
/// clients send.
pub fn address_of(peer: Option<SocketAddr>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    let forwarded = headers.get("x-forwarded-for").and_then(|header| header.to_str().ok()?.parse().ok());
    if peer.is_loopback() { forwarded.unwrap_or(peer) } else { peer }
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

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

/// Extracts the emcee. Holding one proves that the caller is one.
pub struct Emcee {
    /// The name that the emcee gave the device at sign-in; `key` for a request with the key itself.
    pub device: String,
}

impl FromRequest for Emcee {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let state = app_state(&request);
            if let Some(key) = bearer(request.headers()) {
                return match state.pod.auth.is_emcee_key(key) {
                    true => Ok(Self { device: "key".to_owned() }),
                    false => Err(state.wrong_keys.refuse(address_of(request.peer_addr(), request.headers()))),
                };
            }
            let sign_in = read_sign_in(&request, &state);
            let sign_in =
                sign_in.ok_or_else(|| ApiError::unauthorized("no_key", "only the emcee may make this call"))?;
            let changes = !request.method().is_safe();
            if changes && Origin::of(request.headers(), &state.own_urls()) != Origin::Own {
                return Err(cross_origin());
            }
            if state.pod.ledger.is_signed_out(&sign_in.id).await? {
                return Err(ApiError::unauthorized("signed_out", "this sign-in was ended"));
            }
            Ok(Self { device: sign_in.device })
        })
    }
}

/// 403: a page of somebody else made the browser send the request.
pub fn cross_origin() -> ApiError {
    ApiError::forbidden("cross_origin", "with a cookie, a change needs an Origin that is one of the server's own")
}

/// A cookie that no script can read, and that the browser does not send for pages of somebody else.
pub fn cookie(
    request: &HttpRequest,
    state: &AppState,
    name: String,
    value: String,
    max_age: Duration,
) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(state.base_url(request).starts_with("https://"))
        .max_age(max_age)
        .finish()
}

/// The sign-in of the request's cookie, if it is valid and has not expired. It may have been ended since; only the ledger
/// knows that.
pub fn read_sign_in(request: &HttpRequest, state: &AppState) -> Option<SignIn> {
    let cookie = request.cookie(EMCEE_COOKIE)?;
    state.pod.auth.read_sign_in(cookie.value(), state.pod.clock.now())
}

/// Extracts the audience that the caller belongs to: the emcee with key or cookie, otherwise the public.
pub struct Viewer(pub Audience);

impl FromRequest for Viewer {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let state = app_state(&request);
            if !state.pod.serves_emcee {
                return Ok(Self(Audience::Public));
            }
            if let Some(token) = bearer(request.headers()) {
                if state.pod.auth.is_emcee_key(token) {
                    return Ok(Self(Audience::Emcee));
                }
                // neither the key nor a voter's token: a guess, which is limited
                if !looks_like_token(token) {
                    return Err(state.wrong_keys.refuse(address_of(request.peer_addr(), request.headers())));
                }
            }
            let Some(sign_in) = read_sign_in(&request, &state) else { return Ok(Self(Audience::Public)) };
            let ended = state.pod.ledger.is_signed_out(&sign_in.id).await?;
            Ok(Self(if ended { Audience::Public } else { Audience::Emcee }))
        })
    }
}

/// Extracts a voter's token from the header or the room's cookie. It is checked against the room later.
pub struct VoterCredentials {
    bearer: Option<String>,
    cookies: Vec<(String, String)>,
    foreign: bool,
}

impl FromRequest for VoterCredentials {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = app_state(request);
        let token = bearer(request.headers()).map(str::to_owned);
        let cookies = request.cookies().map(|cookies| {
            let ours = cookies.iter().filter(|cookie| cookie.name().starts_with(VOTER_COOKIE));
            ours.map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect()
        });
        let foreign = Origin::of(request.headers(), &state.own_urls()) == Origin::Foreign;
        ready(Ok(Self { bearer: token, cookies: cookies.unwrap_or_default(), foreign }))
    }
}

impl VoterCredentials {
    /// The token of the header, if it is valid for this room.
    pub fn token(&self, state: &AppState, room: &Room) -> Option<VoterToken> {
        self.bearer.as_deref().and_then(|token| state.pod.token_key(room).read(token))
    }

    /// The voter's token, from header or cookie.
    ///
    /// # Errors
    /// 401 `bad_token`; 403 `cross_origin` for a cookie in a request of somebody else's page.
    pub fn voter(&self, state: &AppState, room: &Room) -> Result<VoterToken, ApiError> {
        if let Some(token) = self.token(state, room) {
            return Ok(token);
        }
        let name = format!("{VOTER_COOKIE}{}", room.id);
        let cookie = self.cookies.iter().find(|(key, _)| *key == name);
        match cookie.and_then(|(_, value)| state.pod.token_key(room).read(value)) {
            Some(_) if self.foreign => Err(cross_origin()),
            Some(token) => Ok(token),
            None => Err(ApiError::unauthorized("bad_token", "a voter's token for this room is needed")),
        }
    }
}

fn app_state(request: &HttpRequest) -> web::Data<AppState> {
    request.app_data::<web::Data<AppState>>().expect("every App has it").clone()
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
