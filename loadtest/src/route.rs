//! A phone's connections: the call that joins, and the WebSocket.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use client::protocol::SUBPROTOCOL;
use client::socket;
use client::tungstenite;
use client::voter::Joined;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::metrics::Cause;
use crate::pod::Pod;

/// Time for a connection, and for the answer to a join.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Receive buffer of a phone that will stop reading. With the usual size the kernel would go on reading in its place.
const SLOW_RECEIVE_BYTES: u32 = 4096;
/// Longest answer to a join.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// From where to where a phone connects.
#[derive(Clone)]
pub struct Route {
    /// The pod.
    pub pod: Pod,
    /// The local address; none: the system chooses.
    pub source: Option<IpAddr>,
    /// The phone will stop reading.
    pub slow: bool,
}

/// A plain or an encrypted connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A WebSocket over either.
pub type Socket = socket::Socket<Box<dyn Stream>>;

impl Route {
    async fn connect(&self) -> Result<Box<dyn Stream>, Cause> {
        let connect = async {
            let socket = if self.pod.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if let Some(source) = self.source {
                socket.bind(SocketAddr::new(source, 0))?;
            }
            if self.slow {
                socket.set_recv_buffer_size(SLOW_RECEIVE_BYTES)?;
            }
            let stream = socket.connect(self.pod.address).await?;
            stream.set_nodelay(true)?;
            // a reset frees the port at once; thousands of ports in TIME_WAIT would be missing for later connections
            stream.set_zero_linger()?;
            let stream: Box<dyn Stream> = match &self.pod.tls {
                None => Box::new(stream),
                Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            };
            Ok::<_, std::io::Error>(stream)
        };
        timeout(TIMEOUT, connect).await.ok().and_then(Result::ok).ok_or(Cause::Connect)
    }

    /// Joins over a new connection, as a page does. Joining again with the same card gives the same voter.
    ///
    /// # Errors
    /// The cause of the failure.
    pub async fn join(&self, room: &str, name: &str, card: &str) -> Result<Joined, Cause> {
        let mut stream = self.connect().await?;
        let body = serde_json::json!({"name": name, "card": card}).to_string();
        let request = format!(
            "POST /api/v1/rooms/{room}/join HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.pod.host,
            body.len()
        );
        let answer = async {
            stream.write_all(request.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            read_answer(&mut stream).await
        };
        let (status, body) = timeout(TIMEOUT, answer).await.ok().flatten().ok_or(Cause::Join)?;
        match status {
            200 | 201 => serde_json::from_slice(&body).map_err(|_| Cause::Join),
            503 => Err(Cause::Full),
            _ => Err(Cause::Join),
        }
    }

    /// Opens a WebSocket over a new connection.
    ///
    /// # Errors
    /// The cause of the failure.
    pub async fn open(&self) -> Result<Socket, Cause> {
        let stream = self.connect().await?;
        let headers = [("sec-websocket-protocol", SUBPROTOCOL)];
        socket::Socket::open(stream, &self.pod.host, &headers).await.map_err(|error| match error {
            tungstenite::Error::Http(answer) if answer.status() == 503 => Cause::Full,
            _ => Cause::Handshake,
        })
    }
}

/// Status and body of an HTTP answer with a `Content-Length`.
async fn read_answer(stream: &mut Box<dyn Stream>) -> Option<(u16, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        if let httparse::Status::Complete(head) = answer.parse(&bytes).ok()? {
            let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
            let length: usize = std::str::from_utf8(length.value).ok()?.trim().parse().ok()?;
            if let Some(body) = bytes.get(head..head.checked_add(length)?) {
                return Some((answer.code?, body.to_vec()));
            }
        }
        if bytes.len() > MAX_ANSWER_BYTES || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
