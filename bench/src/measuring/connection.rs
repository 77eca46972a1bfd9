//! One connection of a crowd.

use std::collections::VecDeque;
use std::io::Write;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use client::frame;
use mio::net::TcpStream;
use socket2::SockRef;

use super::dialect::Dialect;
use super::stream::{Part, Stream};

/// What a connection received.
#[derive(Debug, Clone, Copy)]
pub enum Received {
    /// What makes it ready. It comes once.
    Ready,
    /// A broadcast: its identity over all connections, and the length of its text.
    Tally(u64, usize),
    /// The answer to a vote that was stored: when the vote was due, and the length of the answer's text.
    Ack(Instant, usize),
}

/// See [module](self).
pub struct Connection {
    /// When the vote in flight was due; `None`: no vote is in flight.
    pub due: Option<Instant>,
    /// When the votes were due that wait for the vote in flight.
    pub owed: VecDeque<Instant>,
    pub(super) stream: Stream,
    number: usize,
    dialect: Rc<Dialect>,
    is_ready: bool,
    tallies: u64,
    casts: u32,
}

impl Connection {
    /// Connects to a server of this machine, and sends the handshake.
    pub(super) fn open(number: usize, port: u16, dialect: Rc<Dialect>) -> Result<Self> {
        let mut tcp = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        tcp.set_nodelay(true)?;
        // ends by a reset: thousands of ports in TIME_WAIT would be missing for the next crowd
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            dialect.path
        );
        tcp.write_all(request.as_bytes())?;
        tcp.set_nonblocking(true)?;
        let (stream, owed) = (Stream::new(TcpStream::from_std(tcp)), VecDeque::new());
        Ok(Self { due: None, owed, stream, number, dialect, is_ready: false, tallies: 0, casts: 0 })
    }

    /// Sends an encoded frame. With one vote in flight the kernel's buffer always has space for it.
    pub(super) fn send(&mut self, wire: &[u8]) -> Result<()> {
        self.stream.tcp.write_all(wire).with_context(|| format!("writing to socket {}", self.number))
    }

    /// Casts the next vote, which was due at `due`.
    pub(super) fn cast(&mut self, due: Instant) -> Result<()> {
        let vote = (self.dialect.vote)(self.number, self.dialect.place(self.casts));
        self.casts += 1;
        self.due = Some(due);
        self.send(&frame::from_client(frame::TEXT, vote.as_bytes()))
    }

    /// Reads everything available into the shared buffer, and gives what was received to `receive`.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut receive: impl FnMut(Received)) -> Result<()> {
        let size = buffer.len();
        while let Some(mut bytes) = self.stream.read(buffer)? {
            let is_full = bytes.len() == size;
            while let Some(part) = self.stream.next_part(&mut bytes) {
                let received = match part {
                    Part::Head(answer) => self.upgraded(answer)?,
                    Part::Frame(frame::TEXT, text) => self.text(text)?,
                    Part::Frame(frame::PING, payload) => {
                        self.send(&frame::from_client(frame::PONG, payload))?;
                        None
                    }
                    Part::Frame(frame::CLOSE, payload) => {
                        let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                        bail!("the server has closed the connection with code {code}");
                    }
                    Part::Frame(..) => None,
                };
                received.into_iter().for_each(&mut receive);
            }
            // nothing is left; later bytes raise a new event
            if !is_full {
                break;
            }
        }
        Ok(())
    }

    fn upgraded(&mut self, answer: &[u8]) -> Result<Option<Received>> {
        ensure!(answer.starts_with(b"HTTP/1.1 101 "), "the handshake failed: {}", String::from_utf8_lossy(answer));
        self.stream.tcp.write_all(self.dialect.opening(self.number))?;
        self.is_ready = self.dialect.ready.is_empty();
        Ok(self.is_ready.then_some(Received::Ready))
    }

    fn text(&mut self, text: &[u8]) -> Result<Option<Received>> {
        if text.starts_with(self.dialect.tally) {
            self.tallies += 1;
            return Ok(Some(Received::Tally((self.dialect.name)(text, self.tallies), text.len())));
        }
        if text.starts_with(self.dialect.ack) {
            let is_refused = text.ends_with(self.dialect.refusal);
            ensure!(!is_refused, "a vote was refused: {}", String::from_utf8_lossy(text));
            return Ok(self.due.take().map(|due| Received::Ack(due, text.len())));
        }
        let is_first = !self.is_ready && text.starts_with(self.dialect.ready);
        self.is_ready |= is_first;
        Ok(is_first.then_some(Received::Ready))
    }
}
