//! Sockets: the way in, and how they are run.
//!
//! A request for an upgrade leaves the HTTP dispatcher before routing, so everything from its path on is judged here.
//! What is let in becomes a task of its own over the bare stream: no HTTP buffers stay with a socket, the registry
//! writes to it directly, and a peer that does not read is dropped by somebody outside of its session.
//!
//! | file | is |
//! | --- | --- |
//! | [`handshake`] | who may come in, and the answers |
//! | [`connection_limit`] | how many |
//! | [`drive`] | a socket's life |
//! | [`socket`] | the connection, as session and registry share it |
//! | [`reader`] | what comes in, bounded |
//! | [`validator`] | which frames may |
//! | [`connections`], [`keepalive`] | who is looked after, and when one is dropped |
//! | [`options`] | what the kernel is asked for |

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

use super::auth::{address_of, bearer};
use super::error::{Answer, ApiError};
use super::site::Site;
use crate::actors::registry::Subscribers;
use crate::actors::session::HandshakeContext;
use crate::auth::looks_like_token;

mod connection_limit;
mod connection_table;
mod drive;
mod frame_validator;
mod handshake;
mod inbound;
mod keepalive;
mod options;
mod reader;
mod socket;

pub use connection_limit::ConnectionLimit;

use connection_limit::{Kind, Permit};
use connection_table::ConnectionTable;
use drive::Upgraded;
use handshake::AcceptedHandshake;

/// For a peer to take a refusal and go.
const REFUSAL_WITHIN: Duration = Duration::from_secs(2);
/// Bytes behind a refused request that are read so that the refusal gets through.
const REFUSED_BYTES: usize = 64 * 1024;

/// What upgrade requests come with.
pub type Asked = (Request, Framed<TcpStream, h1::Codec>);

/// One worker's way in for sockets.
pub struct UpgradeService {
    site: web::Data<Site>,
    shard: Subscribers,
    connection_limit: Arc<ConnectionLimit>,
    connections: ConnectionTable,
}

impl UpgradeService {
    /// The upgrades of the worker thread that calls this.
    pub fn open(site: web::Data<Site>, shard: Subscribers, connection_limit: Arc<ConnectionLimit>) -> Rc<Self> {
        let connections = ConnectionTable::begin(site.pod.clone());
        Rc::new(Self { site, shard, connection_limit, connections })
    }

    /// Takes over a connection that asks to be upgraded: it becomes a socket, or is refused and ends.
    ///
    /// # Errors
    /// None: a peer that goes away before it was answered is no news. The dispatcher asks for the type.
    pub async fn enter(self: Rc<Self>, (request, framed): Asked) -> Result<(), actix_web::Error> {
        let parts = framed.into_parts();
        let judged = self.judge(&request);
        drop(request);
        // answers to requests before this one
        let mut answers = parts.write_buf;
        match judged {
            Ok((AcceptedHandshake { response_head, context }, place)) => {
                answers.extend_from_slice(&response_head);
                // a copy, for the buffer itself has 8 KiB and would stay with the socket
                let first = Bytes::copy_from_slice(&parts.read_buf);
                let upgraded = Upgraded { tcp: parts.io, response_head: answers.freeze(), first, context };
                let rooms = self.site.rooms.clone();
                actix_web::rt::spawn(drive::drive(upgraded, place, rooms, self.shard.clone(), &self.connections));
            }
            Err(error) => {
                answers.extend_from_slice(&handshake::refusal(&error));
                let _ = tokio::time::timeout(REFUSAL_WITHIN, refuse(parts.io, &answers)).await;
            }
        }
        Ok(())
    }

    fn judge(&self, request: &Request) -> Result<(AcceptedHandshake, Permit), ApiError> {
        let accepted = handshake::accept(request, &self.site.own_urls())?;
        if self.site.pod.health.is_draining() {
            return Err(ApiError::busy());
        }
        match self.place(request, &accepted.context)? {
            Some(place) => Ok((accepted, place)),
            None => {
                self.site.pod.metrics.sockets_refused.inc();
                Err(ApiError::busy())
            }
        }
    }

    /// A common place, or a reserved one for an emcee, who is known as in any call: by the key or the cookie.
    fn place(&self, request: &Request, context: &HandshakeContext) -> Result<Option<Permit>, ApiError> {
        if let Some(place) = self.connection_limit.take(Kind::Common) {
            return Ok(Some(place));
        }
        let pod = &self.site.pod;
        if !pod.serves_emcee {
            return Ok(None);
        }
        let is_emcee = match bearer(request.headers()) {
            Some(key) if pod.auth.is_emcee_key(key) => true,
            // somebody is guessing, and must not find out more here than elsewhere
            Some(key) if !looks_like_token(key) => {
                let from = address_of(request.peer_addr(), request.headers());
                return Err(self.site.wrong_keys.refuse(from));
            }
            // whether it was signed out is seen at hello
            _ => context.sign_in(pod).is_some(),
        };
        Ok(if is_emcee { self.connection_limit.take(Kind::Reserved) } else { None })
    }
}

/// Writes a refusal, and reads on for a moment: closing on unread bytes would take the answer away from the peer.
async fn refuse(mut tcp: TcpStream, answer: &[u8]) -> io::Result<()> {
    tcp.write_all(answer).await?;
    tcp.shutdown().await?;
    let (mut scratch, mut left) = ([0; 1024], REFUSED_BYTES);
    while left > 0 {
        match tcp.read(&mut scratch).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// `GET /ws` that does not ask for an upgrade.
pub fn routes(service: &mut web::ServiceConfig) {
    service.route("/ws", web::get().to(no_upgrade));
}

async fn no_upgrade() -> Answer {
    Err(handshake::upgrade_required())
}
