//! Sockets: how a connection becomes one, and how it is run.
//!
//! A request for an upgrade leaves the HTTP dispatcher before routing, so this module checks everything from its path on.
//! An accepted one becomes a task of its own over the bare stream. So no HTTP buffers stay with a socket, the registry
//! writes to it directly, and a peer that does not read is dropped by a task other than its session.
//!
//! | file | holds |
//! | --- | --- |
//! | [`handshake`] | which requests are accepted, and the responses |
//! | [`connection_limit`] | how many sockets there may be |
//! | [`drive`] | the life of a socket, from its session to its last byte |
//! | [`lifecycle`] | its states |
//! | [`socket`] | the connection, as session and registry share it |
//! | [`reader`], [`inbound`] | what is read from it |
//! | [`read_ahead`], [`codec_backlog`] | how much may be read now |
//! | [`frame_validator`] | which frames are valid |
//! | [`send_queue`] | what is not sent yet |
//! | [`connection_table`], [`keepalive`] | the tick of each second: pings, and peers that are given up |
//! | [`options`] | kernel options |

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::{HttpMessage, Request, h1};
use actix_web::web;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::app_state::AppState;
use super::auth::bearer;
use super::error::{ApiError, ApiResult};
use super::network::Arrival;
use crate::actors::registry::Subscribers;
use crate::actors::session::HandshakeContext;
use crate::auth::looks_like_token;

mod codec_backlog;
mod connection_limit;
mod connection_table;
mod drive;
mod frame_validator;
mod handshake;
mod inbound;
mod keepalive;
mod lifecycle;
mod options;
mod read_ahead;
mod reader;
mod send_queue;
mod socket;

pub use connection_limit::{ADMIN_SOCKETS, ConnectionLimit};

use connection_limit::{Permit, PermitKind};
use connection_table::ConnectionTable;
use drive::AcceptedConnection;
use handshake::AcceptedHandshake;

/// Time for a peer to take a refusal and close.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes behind a refused request that are read, so that the refusal gets through.
const MAX_REFUSED_BYTES: usize = 64 * 1024;

/// A request for an upgrade, with its connection.
pub type UpgradeRequest = (Request, Framed<TcpStream, h1::Codec>);

/// Turns requests for an upgrade into sockets, on one worker thread.
pub struct UpgradeService {
    state: web::Data<AppState>,
    shard: Subscribers,
    connection_limit: Arc<ConnectionLimit>,
    connections: ConnectionTable,
}

impl UpgradeService {
    /// The service of the worker thread that calls this.
    pub fn new(state: web::Data<AppState>, shard: Subscribers, connection_limit: Arc<ConnectionLimit>) -> Rc<Self> {
        let connections = ConnectionTable::start(state.pod.clone());
        Rc::new(Self { state, shard, connection_limit, connections })
    }

    /// Takes over a connection that asks for an upgrade: it becomes a socket, or is refused and ends.
    ///
    /// # Errors
    /// Never, not even if the peer disconnects before it is answered. The dispatcher requires the type.
    pub async fn upgrade(self: Rc<Self>, (request, framed): UpgradeRequest) -> Result<(), actix_web::Error> {
        let parts = framed.into_parts();
        let accepted = self.accept(&request);
        drop(request);
        // it may hold responses to requests before this one
        let mut to_write = parts.write_buf;
        match accepted {
            Ok((AcceptedHandshake { response_head, context }, permit)) => {
                to_write.extend_from_slice(&response_head);
                // a copy, for the buffer itself has 8 KiB and would stay with the socket
                let first_bytes = Bytes::copy_from_slice(&parts.read_buf);
                let connection =
                    AcceptedConnection { tcp: parts.io, response_head: to_write.freeze(), first_bytes, context };
                let rooms = self.state.rooms.clone();
                actix_web::rt::spawn(drive::drive(connection, permit, rooms, self.shard.clone(), &self.connections));
            }
            Err(error) => {
                to_write.extend_from_slice(&handshake::refusal(&error));
                let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(parts.io, &to_write)).await;
            }
        }
        Ok(())
    }

    fn accept(&self, request: &Request) -> Result<(AcceptedHandshake, Permit), ApiError> {
        let arrival = self.state.network.arrival(request.peer_addr(), request.headers());
        let mut accepted = handshake::accept(request, &self.state.network, &arrival)?;
        accepted.context.serves_emcee = self.state.port.emcee;
        if self.state.pod.health.is_draining() {
            return Err(ApiError::busy());
        }
        match self.permit(request, &arrival, &accepted.context)? {
            Some(permit) => Ok((accepted, permit)),
            None => {
                self.state.pod.metrics.sockets_refused.inc();
                Err(ApiError::busy())
            }
        }
    }

    /// A common permit, or a reserved one for an emcee. Key or cookie tell an emcee, as in any API call.
    fn permit(
        &self,
        request: &Request,
        arrival: &Arrival,
        context: &HandshakeContext,
    ) -> Result<Option<Permit>, ApiError> {
        if let Some(permit) = self.connection_limit.take(PermitKind::Common) {
            return Ok(Some(permit));
        }
        let pod = &self.state.pod;
        if !context.serves_emcee {
            return Ok(None);
        }
        let is_emcee = match bearer(request.headers()) {
            Some(key) if pod.auth.is_emcee_key(key) => true,
            // a guess, which must be limited here as in any API call
            Some(key) if !looks_like_token(key) => {
                return Err(self.state.wrong_keys.refuse(arrival.address));
            }
            // whether this sign-in was ended is checked at hello
            _ => context.sign_in(pod).is_some(),
        };
        Ok(if is_emcee { self.connection_limit.take(PermitKind::Reserved) } else { None })
    }
}

/// Writes a refusal, and reads on for a moment: closing a connection with unread bytes would take the response away from
/// the peer.
async fn refuse(mut tcp: TcpStream, response: &[u8]) -> io::Result<()> {
    tcp.write_all(response).await?;
    tcp.shutdown().await?;
    let (mut scratch, mut left) = ([0; 1024], MAX_REFUSED_BYTES);
    while left > 0 {
        match tcp.read(&mut scratch).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// `GET /ws` without a request for an upgrade.
pub fn routes(service: &mut web::ServiceConfig) {
    service.route("/ws", web::get().to(no_upgrade));
}

async fn no_upgrade() -> ApiResult {
    Err(handshake::upgrade_required())
}
