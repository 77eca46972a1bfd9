//! A phone's connections: the call that joins, and the socket. Small buffers, so that a process can hold very many.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::metrics::Cause;
use crate::pod::Pod;

/// How long a connection, a handshake or an answer to a join may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read from a socket at once. A tally takes a tenth of it, and a longer frame makes the buffer grow.
const READ_BYTES: usize = 1024;
/// Receive buffer of a phone that will stop reading: with the usual one the kernel would read on for it.
const SLOW_RECEIVE_BYTES: u32 = 4096;
/// Most bytes of an answer to a join.
const MOST_ANSWER_BYTES: usize = 16 * 1024;

/// From where to where.
#[derive(Clone)]
pub struct Route {
    /// The pod.
    pub pod: Pod,
    /// The address to come from; none: the system chooses.
    pub source: Option<IpAddr>,
    /// The phone will stop reading.
    pub slow: bool,
}

/// What a join answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Joined {
    /// Id.
    pub voter: String,
    /// For hello.
    pub token: String,
}

/// What a socket brings.
#[derive(Debug)]
pub enum Heard {
    /// A text frame.
    Text(Utf8Bytes),
    /// The end, with the close code if there was one.
    Gone(Option<u16>),
}

/// A connection, in the clear or encrypted.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A socket.
pub struct Line(WebSocketStream<Box<dyn Stream>>);

impl Route {
    async fn dial(&self) -> Result<Box<dyn Stream>, Cause> {
        let dial = async {
            let socket = if self.pod.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if let Some(source) = self.source {
                socket.bind(SocketAddr::new(source, 0))?;
            }
            if self.slow {
                socket.set_recv_buffer_size(SLOW_RECEIVE_BYTES)?;
            }
            let stream = socket.connect(self.pod.address).await?;
            stream.set_nodelay(true)?;
            // thousands of ports waiting for stray packets would be missing for the next thousand connections
            stream.set_zero_linger()?;
            let stream: Box<dyn Stream> = match &self.pod.encryption {
                None => Box::new(stream),
                Some(encryption) => Box::new(encryption.connector.connect(encryption.name.clone(), stream).await?),
            };
            Ok::<_, std::io::Error>(stream)
        };
        timeout(PATIENCE, dial).await.ok().and_then(Result::ok).ok_or(Cause::Connect)
    }

    /// Joins over a connection of its own, as a page does.
    ///
    /// # Errors
    /// What failed. Saying it again with the same card is safe.
    pub async fn join(&self, room: &str, name: &str, card: &str) -> Result<Joined, Cause> {
        let mut stream = self.dial().await?;
        let body = format!(r#"{{"name":"{name}","card":"{card}"}}"#);
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
        let (status, body) = timeout(PATIENCE, answer).await.ok().flatten().ok_or(Cause::Join)?;
        match status {
            200 | 201 => serde_json::from_str(&body).map_err(|_| Cause::Join),
            503 => Err(Cause::Full),
            _ => Err(Cause::Join),
        }
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// What failed.
    pub async fn open(&self) -> Result<Line, Cause> {
        let stream = self.dial().await?;
        let mut request = format!("ws://{}/ws", self.pod.host).into_client_request().map_err(|_| Cause::Handshake)?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("tallycast.v1"));
        let sizes = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
        match timeout(PATIENCE, client_async_with_config(request, stream, Some(sizes))).await {
            Ok(Ok((stream, _))) => Ok(Line(stream)),
            Ok(Err(tungstenite::Error::Http(answer))) if answer.status() == 503 => Err(Cause::Full),
            _ => Err(Cause::Handshake),
        }
    }
}

/// Status and body of an answer that says its length.
async fn read_answer(stream: &mut Box<dyn Stream>) -> Option<(u16, String)> {
    let mut bytes = Vec::with_capacity(1024);
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > MOST_ANSWER_BYTES || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let end = head + length.trim().parse::<usize>().ok().filter(|length| *length <= MOST_ANSWER_BYTES)?;
    while bytes.len() < end {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some((status, String::from_utf8(bytes[head..end].to_vec()).ok()?))
}

impl Line {
    /// Sends a text frame.
    ///
    /// # Errors
    /// The socket has ended.
    pub async fn send(&mut self, text: String) -> Result<(), ()> {
        self.0.send(Message::text(text)).await.map_err(|_| ())
    }

    /// The next frame. Pings are answered on the way. May be dropped and called again.
    pub async fn next(&mut self) -> Heard {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Heard::Text(text),
                Some(Ok(Message::Close(close))) => return Heard::Gone(close.map(|close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Gone(None),
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // the other side may be gone, which is as good
        let _ = timeout(Duration::from_secs(1), self.0.close(None)).await;
    }
}
