//! What every request and response of the App passes: the check of the host, and headers that protect the reader.
//!
//! Handshakes of sockets do not come by here; [`super::ws`] checks their host itself.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::{ResponseError, web};

use super::app_state::AppState;
use super::{health, pages};

/// By https for a year, once a browser has come by it.
const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Refuses a request to a host that is not this server's, except for the probes, which load balancers ask by any name.
/// A browser that came by https is told to stay with it.
///
/// # Errors
/// Those of `next`.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let state = request.app_data::<web::Data<AppState>>().expect("every App has it");
    let arrival = state.network.arrival(request.peer_addr(), request.headers());
    let checked = state.network.check_host(&arrival);
    if let Err(error) = checked
        && !health::PATHS.contains(&request.path())
    {
        return Ok(request.into_response(error.error_response()).map_into_right_body());
    }
    let mut response = next.call(request).await?;
    if arrival.is_tls_under_public_name() {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    Ok(response.map_into_left_body())
}

/// Headers of every response that does not set them itself. Nothing is kept in a cache unless its handler says so: most
/// of what this server answers is about one person.
pub fn default_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CACHE_CONTROL, "no-store"))
        .add((header::CONTENT_SECURITY_POLICY, pages::CONTENT_SECURITY_POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
}
