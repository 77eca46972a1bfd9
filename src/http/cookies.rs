//! The cookies of voters and emcees.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

use super::app_state::AppState;

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
