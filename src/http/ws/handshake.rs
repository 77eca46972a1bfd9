//! The opening handshake (RFC 6455, 4.2): which requests are accepted, and the response to each.

use std::time::SystemTime;

use actix_http::{HttpMessage, Request};
use actix_web::ResponseError;
use actix_web::body::MessageBody;
use actix_web::http::header::{self, HeaderMap, HttpDate};
use actix_web::http::{Method, StatusCode, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::actors::session::HandshakeContext;
use crate::http::cookies::cookies;
use crate::http::error::ApiError;
use crate::http::network::{Arrival, Network};
use crate::http::origin::Origin;

/// The only subprotocol.
const PROTOCOL: &str = "tallycast.v1";
/// The path of all sockets.
const PATH: &str = "/ws";
/// The version of the WebSocket protocol (RFC 6455, 4.1).
const VERSION: &str = "13";
/// Turns a key into an accept key (RFC 6455, 1.3).
const ACCEPT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A valid handshake.
#[derive(Debug)]
pub struct AcceptedHandshake {
    /// The head of the 101.
    pub response_head: Bytes,
    /// What the session must know of the request.
    pub context: HandshakeContext,
}

/// Checks a request for an upgrade. It has not passed through the App, so everything is checked here.
///
/// # Errors
/// 404 and 405 for anything but `GET /ws`, 421 for a host that is not this server's, 400 and 426 for a handshake that is
/// not valid, 403 for a page of another origin.
pub fn accept(request: &Request, network: &Network, arrival: &Arrival) -> Result<AcceptedHandshake, ApiError> {
    let headers = request.headers();
    if request.method() != Method::CONNECT && request.path() != PATH {
        return Err(ApiError::not_found("not_found", &format!("there is no socket at {}", request.path())));
    }
    if request.method() != Method::GET {
        return Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "a socket is asked for by GET",
        ));
    }
    network.check_host(arrival)?;
    if request.version() != Version::HTTP_11 || !request.head().upgrade() || has_body(headers) {
        return Err(bad_handshake("a handshake is an HTTP/1.1 request without a body, with Connection: Upgrade"));
    }
    if only(headers, header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(upgrade_required());
    }
    let key =
        only(headers, header::SEC_WEBSOCKET_KEY).filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    let key = key.ok_or_else(|| bad_handshake("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let origin = Origin::of(headers, network, arrival);
    if origin == Origin::Foreign {
        return Err(ApiError::forbidden("cross_origin", "this page is of another origin than the server's own"));
    }
    let cookies = if origin == Origin::Own { cookies(headers, arrival) } else { vec![] };
    let context = HandshakeContext { cookies, serves_emcee: false };
    Ok(AcceptedHandshake { response_head: response_head(key, asks_for_protocol(headers)), context })
}

/// 426: a request without a handshake, or with one of another version.
pub fn upgrade_required() -> ApiError {
    let detail = "this is a socket: ask with Upgrade: websocket and Sec-WebSocket-Version: 13";
    ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail)
}

fn bad_handshake(detail: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "bad_handshake", detail)
}

/// The value of a header that must not be repeated.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim())
}

/// True if a body follows the head, where only frames may.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.get(header::CONTENT_LENGTH).is_some_and(|l| l != "0")
}

fn asks_for_protocol(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|offers| offers.to_str().ok());
    offers.flat_map(|offers| offers.split(',')).any(|offer| offer.trim() == PROTOCOL)
}

fn response_head(key: &str, protocol: bool) -> Bytes {
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT).finalize());
    let protocol = if protocol { format!("Sec-WebSocket-Protocol: {PROTOCOL}\r\n") } else { String::new() };
    Bytes::from(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    ))
}

/// A refusal as bytes for the wire. The connection ends behind it.
pub fn refusal(error: &ApiError) -> Vec<u8> {
    let response = error.error_response();
    let (status, now) = (response.status(), HttpDate::from(SystemTime::now()));
    let mut head = format!("HTTP/1.1 {status}\r\nDate: {now}\r\nCache-Control: no-store\r\n");
    for (name, value) in response.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    match status {
        StatusCode::METHOD_NOT_ALLOWED => head.push_str("Allow: GET\r\n"),
        StatusCode::UPGRADE_REQUIRED => {
            head.push_str(&format!("Upgrade: websocket\r\nSec-WebSocket-Version: {VERSION}\r\n"));
        }
        _ => {}
    }
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()));
    [head.as_bytes(), &body].concat()
}
