//! Where a request came from: the client's address, as its connection or a proxy says.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::HeaderMap;

/// The address of a client. `X-Forwarded-For` counts only from a proxy on this machine, as in a pod: it overwrites what
/// clients send.
pub fn address_of(peer: Option<SocketAddr>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    let forwarded = headers.get("x-forwarded-for").and_then(|header| header.to_str().ok()?.parse().ok());
    if peer.is_loopback() { forwarded.unwrap_or(peer) } else { peer }
}
