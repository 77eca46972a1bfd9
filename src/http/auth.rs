//! Authentication: extractors for emcees and voters.

use std::future::{Future, Ready, ready};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};

use super::app_state::AppState;
use super::cookies::cookies;
use super::error::ApiError;
use super::origin::{Origin, cross_origin};
use crate::actors::session::{EMCEE_COOKIE, VOTER_COOKIE};
use crate::auth::{SignIn, VoterToken, looks_like_token};
use crate::domain::room::Room;
use crate::domain::visibility::Audience;

/// The token of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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
                    false => Err(state.wrong_keys.refuse(state.arrival(&request).address)),
                };
            }
            let sign_in = read_sign_in(&request, &state);
            let sign_in =
                sign_in.ok_or_else(|| ApiError::unauthorized("no_key", "only the emcee may make this call"))?;
            let changes = !request.method().is_safe();
            if changes && state.origin(&request) != Origin::Own {
                return Err(cross_origin());
            }
            if state.pod.command_ledger.is_signed_out(&sign_in.id).await? {
                return Err(ApiError::unauthorized("signed_out", "this sign-in was ended"));
            }
            Ok(Self { device: sign_in.device })
        })
    }
}

/// The sign-in of the request's cookie, if it is valid and has not expired. It may have been ended since; only the ledger
/// knows that.
pub fn read_sign_in(request: &HttpRequest, state: &AppState) -> Option<SignIn> {
    let cookies = cookies(request.headers(), &state.arrival(request));
    let (_, value) = cookies.iter().find(|(name, _)| name == EMCEE_COOKIE)?;
    state.pod.auth.read_sign_in(value, state.pod.clock.now())
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
            if !state.port.emcee {
                return Ok(Self(Audience::Public));
            }
            if let Some(token) = bearer(request.headers()) {
                if state.pod.auth.is_emcee_key(token) {
                    return Ok(Self(Audience::Emcee));
                }
                // neither the key nor a voter's token: a guess, which is limited
                if !looks_like_token(token) {
                    return Err(state.wrong_keys.refuse(state.arrival(&request).address));
                }
            }
            let Some(sign_in) = read_sign_in(&request, &state) else { return Ok(Self(Audience::Public)) };
            let ended = state.pod.command_ledger.is_signed_out(&sign_in.id).await?;
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
        let cookies = cookies(request.headers(), &state.arrival(request));
        let foreign = state.origin(request) == Origin::Foreign;
        ready(Ok(Self { bearer: token, cookies, foreign }))
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
