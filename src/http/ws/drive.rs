//! Runs a socket, from its handshake to its last byte: writes what is due, then lets the session read and answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web_actors::ws::WebsocketContext;
use bytes::Bytes;
use futures_util::Stream;
use tokio::net::TcpStream;

use super::connection_limit::Permit;
use super::connection_table::ConnectionTable;
use super::inbound::Inbound;
use super::reader::Reader;
use super::socket::{Socket, Stage};
use crate::actors::registry::Subscribers;
use crate::actors::session::HandshakeContext;
use crate::actors::{InFlightCast, Pod, Rooms, Session};

/// A connection that has passed the handshake.
pub struct Upgraded {
    /// The bare stream.
    pub tcp: TcpStream,
    /// To be written before anything else.
    pub response_head: Bytes,
    /// Read already, behind the request.
    pub first: Bytes,
    /// What came with the request.
    pub context: HandshakeContext,
}

/// The life of a socket. Dropping it, at any time, gives everything free.
pub fn drive(
    upgraded: Upgraded,
    place: Permit,
    rooms: Arc<Rooms>,
    shard: Subscribers,
    connections: &ConnectionTable,
) -> impl Future<Output = ()> + use<> {
    let Upgraded { tcp, response_head, first, context } = upgraded;
    let in_flight = Rc::new(InFlightCast::default());
    let socket = Socket::new(tcp, response_head, Reader::new(first, in_flight.clone()));
    connections.add(&socket);
    let session = Session::new(rooms.clone(), shard, socket.clone(), context, in_flight);
    let output = Box::pin(WebsocketContext::create(session, Inbound(socket.clone())));
    async move {
        let _place = place;
        talk(&socket, output).await;
        if socket.stage() != Stage::Dropped {
            close(&socket, &rooms.pod).await;
        }
    }
}

/// Until the session ends, the peer is gone, or somebody ends the socket.
async fn talk<E>(socket: &Socket, mut output: Pin<Box<impl Stream<Item = Result<Bytes, E>>>>) {
    poll_fn(|cx| {
        socket.remember(cx.waker());
        loop {
            if socket.stage() != Stage::Talking {
                return Poll::Ready(());
            }
            // a jammed way out does not stop the way in: votes count by the time at which they are stored
            if let Poll::Ready(Err(_)) = socket.poll_flush(cx) {
                return Poll::Ready(());
            }
            if socket.is_full() {
                return Poll::Pending;
            }
            match output.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(frames))) => socket.queue(frames),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if socket.may_read_on() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Lets the last bytes out and waits for the peer's own end. The connections sees to it that this does not last.
async fn close(socket: &Socket, pod: &Pod) {
    let code = match socket.fault() {
        Some(fault) => {
            tracing::debug!(%fault, "a socket is closed");
            Some(fault.code())
        }
        None => match socket.stage() {
            Stage::Disconnecting(code) => Some(code),
            _ => None,
        },
    };
    if let Some(code) = code {
        pod.metrics.closes.with_label_values(&[(code as u16).to_string().as_str()]).inc();
    }
    socket.begin_closing(code);
    if let Some(Ok(())) = unless_dropped(socket, |cx| socket.poll_flush(cx)).await {
        unless_dropped(socket, |cx| socket.poll_end(cx)).await;
    }
}

async fn unless_dropped<T>(socket: &Socket, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| {
        socket.remember(cx.waker());
        if socket.stage() == Stage::Dropped {
            return Poll::Ready(None);
        }
        poll(cx).map(Some)
    })
    .await
}
