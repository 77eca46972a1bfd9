//! One connection of a crowd.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;

use super::dialect::Dialect;
use client::frame;

/// What a connection received, with the text.
pub enum Received<'t> {
    /// A broadcast.
    Tally(&'t [u8]),
    /// The answer to a vote that was stored.
    Ack(&'t [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Handshaking,
    Greeting,
    Ready,
}

/// See [module](self).
pub struct Connection {
    /// From 0.
    pub number: usize,
    /// Broadcasts received so far.
    pub tallies: u64,
    /// Votes cast so far.
    pub casts: u32,
    /// When the vote in flight was due, in ns since the crowd's beginning; `None`: no vote is in flight.
    pub due: Option<u64>,
    /// When the votes were due that wait for the vote in flight.
    pub owed: VecDeque<u64>,
    pub(super) stream: TcpStream,
    stage: Stage,
    /// The beginning of an incomplete frame.
    rest: Vec<u8>,
}

impl Connection {
    pub(super) fn new(number: usize, stream: TcpStream) -> Self {
        let stage = Stage::Connecting;
        Self { number, tallies: 0, casts: 0, due: None, owed: VecDeque::new(), stream, stage, rest: vec![] }
    }

    /// True once the server has answered the opening.
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// Sends the handshake over an established connection.
    pub(super) fn connected(&mut self, dialect: &Dialect) -> Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error).context("connecting");
        }
        self.stream.set_nodelay(true)?;
        let peer = self.stream.peer_addr()?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {peer}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            dialect.path
        );
        self.stage = Stage::Handshaking;
        self.send(request.as_bytes())
    }

    /// Sends an encoded frame. With one vote in flight the kernel's buffer always has space for it.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn send(&mut self, wire: &[u8]) -> Result<()> {
        self.stream.write_all(wire).with_context(|| format!("writing to socket {}", self.number))
    }

    /// Casts the next vote, which was due at `due`.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn cast(&mut self, dialect: &Dialect, due: u64) -> Result<()> {
        let vote = (dialect.vote)(self.number, dialect.place(self.casts));
        self.casts += 1;
        self.due = Some(due);
        self.send(&frame::from_client(frame::TEXT, vote.as_bytes()))
    }

    /// Reads everything available into the shared buffer, and passes on what was received.
    pub(super) fn read(
        &mut self,
        dialect: &Dialect,
        buffer: &mut [u8],
        receive: &mut impl FnMut(&mut Connection, Received<'_>) -> Result<()>,
    ) -> Result<()> {
        loop {
            let kept = self.rest.len();
            buffer[..kept].copy_from_slice(&self.rest);
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => bail!("the server closed socket {}", self.number),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.broken(error)),
            };
            self.rest.clear();
            let bytes = &buffer[..kept + read];
            let taken = self.take(dialect, bytes, receive)?;
            self.rest.extend_from_slice(&bytes[taken..]);
            // the buffer is not full, so nothing is left; later bytes raise a new event
            if kept + read < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Handles every complete frame, and gives the number of bytes.
    fn take(
        &mut self,
        dialect: &Dialect,
        bytes: &[u8],
        receive: &mut impl FnMut(&mut Connection, Received<'_>) -> Result<()>,
    ) -> Result<usize> {
        let mut at = 0;
        if self.stage == Stage::Handshaking {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
            let head = String::from_utf8_lossy(&bytes[..end]);
            if !head.starts_with("HTTP/1.1 101 ") {
                bail!("socket {} was refused: {}", self.number, head.lines().next().unwrap_or_default());
            }
            at = end + 4;
            self.stage = if dialect.ready.is_empty() { Stage::Ready } else { Stage::Greeting };
            if let Some(opening) = dialect.opening(self.number) {
                self.send(opening)?;
            }
        }
        while let Some(found) = frame::first(&bytes[at..]) {
            let payload = &bytes[at + found.start..at + found.end];
            at += found.end;
            match found.opcode {
                frame::TEXT => self.text(dialect, payload, receive)?,
                frame::PING => self.send(&frame::from_client(frame::PONG, payload))?,
                frame::PONG => {}
                frame::CLOSE => {
                    let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                    bail!("the server closed socket {} with code {code}", self.number);
                }
                other => bail!("socket {} got a frame with opcode {other}", self.number),
            }
        }
        Ok(at)
    }

    fn text(
        &mut self,
        dialect: &Dialect,
        text: &[u8],
        receive: &mut impl FnMut(&mut Connection, Received<'_>) -> Result<()>,
    ) -> Result<()> {
        if text.starts_with(dialect.tally) {
            self.tallies += 1;
            return receive(self, Received::Tally(text));
        }
        if text.starts_with(dialect.ack) && self.due.is_some() {
            if (dialect.is_refusal)(text) {
                bail!("a vote of socket {} was refused: {}", self.number, String::from_utf8_lossy(text));
            }
            return receive(self, Received::Ack(text));
        }
        if self.stage == Stage::Greeting && text.starts_with(dialect.ready) {
            self.stage = Stage::Ready;
        } else if let Some(answer) = dialect.answer(text) {
            self.send(&answer)?;
        }
        Ok(())
    }

    fn broken(&self, error: io::Error) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("reading from socket {}", self.number))
    }
}
