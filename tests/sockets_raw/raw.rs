//! A WebSocket client that sends any bytes and checks every byte that it receives.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

pub const TIMEOUT: Duration = Duration::from_secs(10);

pub const TEXT: u8 = 0x81;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8A;

const MASK: [u8; 4] = [0xA5, 0x00, 0xFF, 0x3C];

/// A TCP connection to a server, and the bytes received and not parsed yet.
pub struct Raw {
    pub tcp: TcpStream,
    received: Vec<u8>,
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// FIN, reserved bits and opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// What is read from a connection.
#[derive(Debug, PartialEq)]
pub enum Got {
    Frame(Frame),
    /// The server ended the stream, or reset it.
    End,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A masked frame. `first` is FIN, reserved bits and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = header(first, payload.len() as u64);
    wire.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    wire
}

/// The header of a masked frame, mask included.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut wire = vec![first];
    match length {
        0..=125 => wire.push(0x80 | length as u8),
        126..=0xFFFF => {
            wire.push(0x80 | 126);
            wire.extend((length as u16).to_be_bytes());
        }
        _ => {
            wire.push(0x80 | 127);
            wire.extend(length.to_be_bytes());
        }
    }
    wire.extend(MASK);
    wire
}

pub fn message(name: &str, fields: Value) -> Vec<u8> {
    frame(TEXT, json!({ name: fields }).to_string().as_bytes())
}

pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// The lines of a good handshake, for tests to take one away or add one.
pub fn handshake(server: SocketAddr) -> Vec<String> {
    [
        "GET /ws HTTP/1.1",
        &format!("Host: {server}"),
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    .map(str::to_owned)
    .to_vec()
}

pub fn request(lines: &[String]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

impl Raw {
    pub async fn connect(server: SocketAddr) -> Raw {
        Raw::of(TcpStream::connect(server).await.expect("the server listens"))
    }

    /// A connection with a small receive buffer.
    pub async fn connect_narrow(server: SocketAddr, receive_bytes: u32) -> Raw {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(receive_bytes).expect("a buffer size");
        Raw::of(socket.connect(server).await.expect("the server listens"))
    }

    fn of(tcp: TcpStream) -> Raw {
        tcp.set_nodelay(true).expect("an option");
        Raw { tcp, received: vec![] }
    }

    /// A connection that has become a socket.
    pub async fn open(server: SocketAddr) -> Raw {
        let mut raw = Raw::connect(server).await;
        raw.upgrade(server).await;
        raw
    }

    pub async fn upgrade(&mut self, server: SocketAddr) {
        self.send(&request(&handshake(server))).await;
        let answer = self.answer().await;
        assert_eq!(answer.status, 101, "{answer:?}");
    }

    /// A stage's socket that has read everything hello is answered with.
    pub async fn stage(server: SocketAddr, room: &str) -> Raw {
        let mut raw = Raw::open(server).await;
        raw.hello(room, "stage", None).await;
        raw.sync().await;
        raw
    }

    pub async fn hello(&mut self, room: &str, role: &str, token: Option<&str>) {
        let mut hello = json!({"room": room, "role": role});
        if let Some(token) = token {
            hello["token"] = json!(token);
        }
        self.send(&message("hello", hello)).await;
    }

    /// Reads until a pong answers: everything sent before was handled.
    pub async fn sync(&mut self) {
        self.send(&message("ping", json!({"id": "sync"}))).await;
        self.text_with("\"sync\"").await;
    }

    /// Sends bytes. A connection that is gone already shows when it is read next.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.tcp.write_all(bytes).await;
    }

    /// Sends bytes one at a time, each in a segment of its own.
    pub async fn send_chopped(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
    }

    /// Reads at most `most` bytes more; false at the end.
    pub async fn read_some(&mut self, most: usize) -> bool {
        let mut chunk = vec![0; most];
        match timeout(TIMEOUT, self.tcp.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => false,
            Ok(Ok(read)) => {
                self.received.extend_from_slice(&chunk[..read]);
                true
            }
            Err(_) => panic!("the server was silent for {TIMEOUT:?}"),
        }
    }

    /// The answer to a request.
    pub async fn answer(&mut self) -> Answer {
        let head = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 4);
                break head;
            }
            assert!(self.read_some(4_096).await, "the connection ended before an answer");
        };
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let headers = lines.map(|line| line.split_once(':').unwrap_or_else(|| panic!("a header: {line}")));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let mut answer = Answer { status: status.unwrap_or_else(|| panic!("{head}")), headers, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.received.len() < length {
            assert!(self.read_some(4_096).await, "the connection ended inside a body");
        }
        answer.body = String::from_utf8(self.received.drain(..length).collect()).expect("UTF-8");
        answer
    }

    /// Takes the next frame from the received bytes, if it is whole. Panics at what no server may send.
    pub fn whole_frame(&mut self) -> Option<Frame> {
        let [first, second, ..] = self.received[..] else { return None };
        assert!([TEXT, CLOSE, PING, PONG].contains(&first), "the server sends no frame of {first:#x}");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, at, least) = match second {
            126 => (u64::from(u16::from_be_bytes(self.received.get(2..4)?.try_into().ok()?)), 4, 126),
            127 => (u64::from_be_bytes(self.received.get(2..10)?.try_into().ok()?), 10, 1 << 16),
            short => (u64::from(short), 2, 0),
        };
        assert!((least..1 << 24).contains(&length), "{length} is no length in its shortest form");
        let end = at + length as usize;
        let payload = self.received.get(at..end)?.to_vec();
        self.received.drain(..end);
        Some(Frame { first, payload })
    }

    /// The next frame, or the end.
    pub async fn next(&mut self) -> Got {
        loop {
            if let Some(frame) = self.whole_frame() {
                return Got::Frame(frame);
            }
            if !self.read_some(4_096).await {
                assert!(self.received.is_empty(), "the stream ended inside a frame: {:?}", self.received);
                return Got::End;
            }
        }
    }

    /// The next frame that is no ping; pings are answered.
    pub async fn next_but_pings(&mut self) -> Got {
        loop {
            match self.next().await {
                Got::Frame(Frame { first: PING, payload }) => self.send(&frame(PONG, &payload)).await,
                other => return other,
            }
        }
    }

    /// The next text that holds `part`.
    pub async fn text_with(&mut self, part: &str) -> String {
        loop {
            match self.next_but_pings().await {
                Got::Frame(Frame { first: TEXT, payload }) => {
                    let text = String::from_utf8(payload).expect("a text is UTF-8");
                    if text.contains(part) {
                        return text;
                    }
                }
                other => panic!("{other:?} before a text with {part}"),
            }
        }
    }

    /// Reads to the end and gives the code of the close frame, behind which nothing may come.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next_but_pings().await {
                Got::Frame(Frame { first: CLOSE, payload }) => {
                    assert_eq!(self.next().await, Got::End, "nothing comes behind a close frame");
                    return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                }
                Got::Frame(_) => {}
                Got::End => return None,
            }
        }
    }

    /// Ends the connection with a reset, as the network does to a phone.
    pub fn reset(self) {
        let _ = self.tcp.set_zero_linger();
    }
}
