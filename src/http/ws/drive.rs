//! The life of a socket in two steps, [`Open`] and [`Closing`]. Each step takes the socket by value, and only the first
//! leads to the second. So the session and its subscription are gone before a close frame can be queued.

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
use super::lifecycle::Lifecycle;
use super::reader::Reader;
use super::socket::Socket;
use crate::actors::registry::Subscribers;
use crate::actors::session::HandshakeContext;
use crate::actors::{InFlightCast, Pod, Rooms, Session};
use crate::wire::codes::CloseCode;

/// A connection that has passed the handshake.
pub struct AcceptedConnection {
    /// The bare stream.
    pub tcp: TcpStream,
    /// To be written before anything else.
    pub response_head: Bytes,
    /// Bytes that were read already, behind the request.
    pub first_bytes: Bytes,
    /// What the session must know of the request.
    pub context: HandshakeContext,
}

/// Runs a socket to its end. Dropping the future at any time frees everything.
pub fn drive(
    connection: AcceptedConnection,
    permit: Permit,
    rooms: Arc<Rooms>,
    shard: Subscribers,
    connections: &ConnectionTable,
) -> impl Future<Output = ()> + use<> {
    let AcceptedConnection { tcp, response_head, first_bytes, context } = connection;
    let in_flight = Rc::new(InFlightCast::default());
    let socket = Socket::new(tcp, response_head, Reader::new(first_bytes, in_flight.clone()));
    connections.add(&socket);
    let session = Session::new(rooms.clone(), shard, socket.clone(), context, in_flight);
    let output = Box::pin(WebsocketContext::create(session, Inbound(socket.clone())));
    let open = Open { socket, output };
    async move {
        let _permit = permit;
        if let Some(closing) = open.run().await {
            closing.run(&rooms.pod).await;
        }
    }
}

/// A socket with a session that runs.
struct Open<S> {
    socket: Rc<Socket>,
    /// The session, as the stream of the frames that it writes.
    output: Pin<Box<S>>,
}

impl<S: Stream<Item = Result<Bytes, E>>, E> Open<S> {
    /// Writes what is due, then lets the session read and answer, until the session ends, the peer is gone, or the
    /// socket is disconnected. This ends the session. `None`: the connection is gone, so there is nothing to close.
    async fn run(mut self) -> Option<Closing> {
        poll_fn(|cx| {
            self.socket.register(cx.waker());
            loop {
                if self.socket.lifecycle() != Lifecycle::Open {
                    return Poll::Ready(());
                }
                // a blocked way out does not stop the way in: votes count by the time at which they are stored
                if let Poll::Ready(Err(_)) = self.socket.poll_flush(cx) {
                    return Poll::Ready(());
                }
                if self.socket.is_full() {
                    return Poll::Pending;
                }
                match self.output.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(frames))) => self.socket.queue(frames),
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if self.socket.may_resume_reading() => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        let Self { socket, output } = self;
        drop(output);
        (socket.lifecycle() != Lifecycle::Dropped).then_some(Closing { socket })
    }
}

/// A socket without a session.
struct Closing {
    socket: Rc<Socket>,
}

impl Closing {
    /// Sends the last bytes and waits until the peer ends its side. The keepalive limits how long this takes.
    async fn run(self, pod: &Pod) {
        let code = self.close_code();
        if let Some(code) = code {
            pod.metrics.closes.with_label_values(&[(code as u16).to_string().as_str()]).inc();
        }
        self.socket.begin_closing(code);
        if let Some(Ok(())) = self.unless_dropped(|cx| self.socket.poll_flush(cx)).await {
            self.unless_dropped(|cx| self.socket.poll_end(cx)).await;
        }
    }

    /// The code that this side closes with. `None`: the session has sent its own close frame, or the peer is gone.
    fn close_code(&self) -> Option<CloseCode> {
        if let Some(fault) = self.socket.fault() {
            tracing::debug!(%fault, "a socket is closed");
            return Some(fault.code());
        }
        match self.socket.lifecycle() {
            Lifecycle::Disconnecting(code) => Some(code),
            _ => None,
        }
    }

    /// Polls until it is ready; `None` if the connection is given up before.
    async fn unless_dropped<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        poll_fn(|cx| {
            self.socket.register(cx.waker());
            if self.socket.lifecycle() == Lifecycle::Dropped {
                return Poll::Ready(None);
            }
            poll(cx).map(Some)
        })
        .await
    }
}
