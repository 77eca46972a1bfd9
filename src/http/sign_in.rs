//! Signing the emcee in and out.

use actix_web::cookie::time::Duration;
use actix_web::{HttpRequest, HttpResponse, delete, post, web};

use super::app_state::AppState;
use super::auth::read_sign_in;
use super::body::Body;
use super::cookies::cookie;
use super::error::{ApiError, ApiResult};
use super::origin::{Origin, cross_origin};
use crate::actors::session::EMCEE_COOKIE;
use crate::audit;
use crate::auth::SIGN_IN_MS;
use crate::wire::http::SessionBody;

/// Signs an emcee in: exchanges the key for a cookie.
#[utoipa::path(tag = "emcee", request_body = SessionBody, responses(
    (status = 204, description = "signed in: an HttpOnly, SameSite=Strict cookie"),
    (status = 401, description = "bad_key"), (status = 429, description = "too_many")))]
#[post("/session")]
pub async fn begin_session(request: HttpRequest, state: web::Data<AppState>, body: Body<SessionBody>) -> ApiResult {
    let SessionBody { key, device } = body.0;
    if state.origin(&request) == Origin::Foreign {
        return Err(cross_origin());
    }
    if !state.pod.auth.is_emcee_key(&key) {
        return Err(state.wrong_keys.refuse(state.arrival(&request).address));
    }
    let device = device.unwrap_or_else(|| "emcee".to_owned());
    let (sign_in, value) = state.pod.auth.sign_in(&device, state.pod.clock.now());
    audit!("sign_in", device = sign_in.device);
    let max_age = Duration::milliseconds(SIGN_IN_MS as i64);
    let cookie = cookie(&state.arrival(&request), EMCEE_COOKIE, value, max_age);
    Ok(HttpResponse::NoContent().cookie(cookie).finish())
}

/// Signs an emcee out: the cookie becomes invalid, and its sockets are closed.
#[utoipa::path(tag = "emcee", responses((status = 204, description = "signed out")))]
#[delete("/session")]
pub async fn end_session(request: HttpRequest, state: web::Data<AppState>) -> ApiResult {
    let sign_in = read_sign_in(&request, &state);
    let sign_in = sign_in.ok_or_else(|| ApiError::unauthorized("no_key", "there is no sign-in to end"))?;
    if state.origin(&request) != Origin::Own {
        return Err(cross_origin());
    }
    state.pod.command_ledger.sign_out(&sign_in.id, sign_in.expires_at).await?;
    audit!("sign_out", device = sign_in.device);
    let cookie = cookie(&state.arrival(&request), EMCEE_COOKIE, String::new(), Duration::ZERO);
    Ok(HttpResponse::NoContent().cookie(cookie).finish())
}
