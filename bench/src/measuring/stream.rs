//! The bytes of a WebSocket that never blocks, in frames; for clients and servers.

use std::io::{ErrorKind, Read};

use anyhow::{Result, bail, ensure};
use client::frame;
use mio::net::TcpStream;

/// Length of the buffer into which all sockets of a thread are read. A frame must fit.
pub const BUFFER_BYTES: usize = 256 * 1024;

/// See [module](self).
pub struct Stream {
    /// Where bytes are sent to.
    pub tcp: TcpStream,
    /// True once the other side's half of the handshake was received. Everything after it is frames.
    pub is_upgraded: bool,
    /// The beginning of what is not complete.
    rest: Vec<u8>,
}

/// What was received, complete.
pub enum Part<'b> {
    /// The request or answer of the handshake.
    Head(&'b [u8]),
    /// The opcode of a frame, and its payload without the mask.
    Frame(u8, &'b mut [u8]),
}

impl Stream {
    /// A stream before the handshake.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, is_upgraded: false, rest: vec![] }
    }

    /// Reads once and gives what is not handled yet; `None`: nothing was received.
    ///
    /// # Errors
    /// The connection has ended, or a frame does not fit into the buffer.
    pub fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b mut [u8]>> {
        let kept = self.rest.len();
        ensure!(kept < buffer.len(), "a frame is too long");
        buffer[..kept].copy_from_slice(&self.rest);
        match self.tcp.read(&mut buffer[kept..]) {
            Ok(0) => bail!("the other side has closed the connection"),
            Ok(read) => {
                self.rest.clear();
                Ok(Some(&mut buffer[..kept + read]))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the first complete part off `bytes`. If there is none, they are kept for the next read.
    pub fn next_part<'b>(&mut self, bytes: &mut &'b mut [u8]) -> Option<Part<'b>> {
        let part = if self.is_upgraded { frame_of(bytes) } else { head_of(bytes) };
        self.is_upgraded |= part.is_some();
        if part.is_none() {
            self.rest.extend_from_slice(bytes);
        }
        part
    }
}

fn head_of<'b>(bytes: &mut &'b mut [u8]) -> Option<Part<'b>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(Part::Head(bytes.split_off_mut(..end + 4)?))
}

fn frame_of<'b>(bytes: &mut &'b mut [u8]) -> Option<Part<'b>> {
    let found = frame::first(bytes)?;
    let payload = &mut bytes.split_off_mut(..found.end)?[found.start..];
    if found.mask != [0; 4] {
        payload.iter_mut().zip(found.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    Some(Part::Frame(found.opcode, payload))
}
