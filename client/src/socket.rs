//! A WebSocket connection, over whatever stream: TCP or TLS.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Bytes read from a connection at once. Tallies take a tenth of it, and a longer frame makes the buffer grow: a process
/// holds many thousand connections.
const READ_BUFFER_BYTES: usize = 1024;
/// Bytes gathered before a write, unless a send flushes them first.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a close to be sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// See [module](self).
pub struct Socket<S>(WebSocketStream<S>);

/// What a socket receives.
#[derive(Debug)]
pub enum Incoming {
    /// A text frame.
    Text(Utf8Bytes),
    /// The end: with the close code, or without a close frame.
    Closed(Option<u16>),
    /// A frame that a server must not send, in words.
    Invalid(String),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Opens `/ws` at `host` over a connected stream.
    ///
    /// # Errors
    /// The handshake failed, timed out ([`Error::Io`]), or was answered by another status than 101 ([`Error::Http`]).
    ///
    /// # Panics
    /// A header is not a valid one: the caller's mistake.
    pub async fn open(stream: S, host: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{host}/ws").into_client_request()?;
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header value"));
        }
        let config =
            WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(WRITE_BUFFER_BYTES);
        match timeout(HANDSHAKE_TIMEOUT, client_async_with_config(request, stream, Some(config))).await {
            Ok(opened) => Ok(Self(opened?.0)),
            Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send(&mut self, text: String) -> Result<(), Error> {
        self.send_message(Message::text(text)).await
    }

    /// Sends any frame.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send_message(&mut self, message: Message) -> Result<(), Error> {
        self.0.send(message).await
    }

    /// Sends several texts back to back, in one write if they are short.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send_all(&mut self, texts: &[String]) -> Result<(), Error> {
        for text in texts {
            self.0.feed(Message::text(text.as_str())).await?;
        }
        self.0.flush().await
    }

    /// The next frame. Pings are answered on the way. May be dropped and called again.
    pub async fn next(&mut self) -> Incoming {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Incoming::Text(text),
                Some(Ok(Message::Close(close))) => {
                    // sends the close that answers it
                    let _ = self.0.flush().await;
                    return Incoming::Closed(close.map(|close| close.code.into()));
                }
                Some(Ok(Message::Binary(bytes))) => return Incoming::Invalid(format!("a binary frame: {bytes:?}")),
                Some(Ok(_)) => {}
                Some(Err(
                    Error::Io(_)
                    | Error::ConnectionClosed
                    | Error::AlreadyClosed
                    | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                ))
                | None => return Incoming::Closed(None),
                Some(Err(error)) => return Incoming::Invalid(error.to_string()),
            }
        }
    }

    /// Closes the connection. Nothing is lost if the other side is gone.
    pub async fn close(mut self) {
        let _ = timeout(CLOSE_TIMEOUT, self.0.close(None)).await;
    }

    /// The stream below.
    pub fn stream(&self) -> &S {
        self.0.get_ref()
    }
}
