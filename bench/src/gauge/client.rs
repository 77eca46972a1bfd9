//! One socket of a crowd: its handshake, and what it hears.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;

use super::frame;
use super::speech::Speech;

/// What a client heard, with the text.
pub enum Heard<'t> {
    /// A broadcast.
    Tally(&'t [u8]),
    /// An answer to a vote that was taken.
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
pub struct Client {
    /// From 0.
    pub number: usize,
    /// Broadcasts heard so far.
    pub tallies: u64,
    /// Votes cast so far.
    pub casts: u32,
    /// When the vote under way was due, in ns of the crowd's clock; `None`: none is under way.
    pub due: Option<u64>,
    /// When the votes were due that wait for the answer to the one under way.
    pub owed: VecDeque<u64>,
    pub(super) stream: TcpStream,
    stage: Stage,
    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
}

impl Client {
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

    /// Asks for the upgrade, once the connection stands.
    pub(super) fn connected(&mut self, speech: &Speech) -> Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error).context("connecting");
        }
        self.stream.set_nodelay(true)?;
        let peer = self.stream.peer_addr()?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {peer}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            speech.path
        );
        self.stage = Stage::Handshaking;
        self.send(request.as_bytes())
    }

    /// Sends a frame. So little is under way at a time that the kernel always takes it whole.
    pub fn send(&mut self, wire: &[u8]) -> Result<()> {
        self.stream.write_all(wire).with_context(|| format!("writing to socket {}", self.number))
    }

    /// Casts the next vote, which was due at `due`.
    pub fn cast(&mut self, speech: &Speech, due: u64) -> Result<()> {
        let vote = (speech.vote)(self.number, speech.place(self.casts));
        self.casts += 1;
        self.due = Some(due);
        self.send(&frame::from_client(frame::TEXT, vote.as_bytes()))
    }

    /// Reads what there is into the shared buffer, and tells what was heard.
    pub(super) fn read(
        &mut self,
        speech: &Speech,
        buffer: &mut [u8],
        hear: &mut impl FnMut(&mut Client, Heard<'_>) -> Result<()>,
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
            let taken = self.take(speech, bytes, hear)?;
            self.rest.extend_from_slice(&bytes[taken..]);
            // less than there was room for: nothing is left, and the next bytes raise a new event
            if kept + read < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Takes what is whole; answers how many bytes that was.
    fn take(
        &mut self,
        speech: &Speech,
        bytes: &[u8],
        hear: &mut impl FnMut(&mut Client, Heard<'_>) -> Result<()>,
    ) -> Result<usize> {
        let mut at = 0;
        if self.stage == Stage::Handshaking {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
            let head = String::from_utf8_lossy(&bytes[..end]);
            if !head.starts_with("HTTP/1.1 101 ") {
                bail!("socket {} was refused: {}", self.number, head.lines().next().unwrap_or_default());
            }
            at = end + 4;
            self.stage = if speech.ready.is_empty() { Stage::Ready } else { Stage::Greeting };
            if let Some(opening) = speech.opening(self.number) {
                self.send(opening)?;
            }
        }
        while let Some(found) = frame::first(&bytes[at..]) {
            let payload = &bytes[at + found.start..at + found.end];
            at += found.end;
            match found.opcode {
                frame::TEXT => self.heard(speech, payload, hear)?,
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

    fn heard(
        &mut self,
        speech: &Speech,
        text: &[u8],
        hear: &mut impl FnMut(&mut Client, Heard<'_>) -> Result<()>,
    ) -> Result<()> {
        if text.starts_with(speech.tally) {
            self.tallies += 1;
            return hear(self, Heard::Tally(text));
        }
        if text.starts_with(speech.ack) && self.due.is_some() {
            if (speech.is_refusal)(text) {
                bail!("a vote of socket {} was refused: {}", self.number, String::from_utf8_lossy(text));
            }
            return hear(self, Heard::Ack(text));
        }
        if self.stage == Stage::Greeting && text.starts_with(speech.ready) {
            self.stage = Stage::Ready;
        } else if let Some(answer) = speech.answer(text) {
            self.send(&answer)?;
        }
        Ok(())
    }

    fn broken(&self, error: io::Error) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("reading from socket {}", self.number))
    }
}
