//! Checks a peer's frames (RFC 6455, 5.2) between the wire and the frame codec. Only what a client may send passes.
//!
//! The codec behind it buffers as many bytes as a header announces before it looks at that length. So each part of a
//! header is checked as soon as it has arrived, and no byte of a payload is kept before.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::rate_limit::{Limit, RateLimit};
use crate::wire::client::MAX_FRAME_BYTES;

mod fault;
mod header;

pub use fault::Fault;
use header::{BINARY, CLOSE, CONTINUATION, Header, MASK_BYTES, PING, PONG, TEXT};

/// Fragments of a message, empty ones included.
const MAX_FRAGMENTS: u16 = 128;
/// Frames of a client. This is far more than a voter needs, who sends a cast when the last one is answered.
const FRAMES: Limit = Limit { burst: 5_000, interval: Duration::from_micros(200) };
/// Of these, pings, pongs and closes.
const CONTROL_FRAMES: Limit = Limit { burst: 60, interval: Duration::from_millis(50) };

/// What goes on to the codec.
#[derive(Debug, Default)]
pub struct Accepted {
    /// Complete headers and what has arrived of their payloads.
    pub bytes: Bytes,
    /// Frames that these bytes complete.
    pub frames: usize,
    /// True if one of these frames is a pong.
    pub pong: bool,
}

/// See [module](self).
pub struct FrameValidator {
    header: Header,
    /// Bytes of the current payload that have not arrived yet.
    payload_left: u64,
    /// Of the frame that the payload belongs to.
    opcode: u8,
    /// The message whose last fragment has not arrived yet.
    fragmented: Option<Fragments>,
    /// The bytes of a close frame. It goes on only when it is complete and valid.
    close_frame: Vec<u8>,
    ended: Option<Ended>,
    frames: RateLimit,
    control_frames: RateLimit,
}

/// What has arrived of a fragmented message.
#[derive(Clone, Copy, Default)]
struct Fragments {
    count: u16,
    bytes: u64,
}

/// Why no further frame goes on.
#[derive(Clone, Copy)]
enum Ended {
    /// The peer's close frame has gone on.
    CloseFrame,
    /// The peer broke a rule.
    Fault(Fault),
}

impl FrameValidator {
    /// A validator at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            header: Header::default(),
            payload_left: 0,
            opcode: 0,
            fragmented: None,
            close_frame: vec![],
            ended: None,
            frames: RateLimit::new(FRAMES),
            control_frames: RateLimit::new(CONTROL_FRAMES),
        }
    }

    /// The rule that the peer broke, if that ended the stream.
    pub fn fault(&self) -> Option<Fault> {
        match self.ended {
            Some(Ended::Fault(fault)) => Some(fault),
            _ => None,
        }
    }

    /// True if no further frame goes on: after a fault, or after the peer's close frame.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// True once the peer's close frame has gone on.
    pub fn has_close_frame(&self) -> bool {
        matches!(self.ended, Some(Ended::CloseFrame))
    }

    /// Takes the next bytes of the stream, however it is split.
    pub fn accept(&mut self, mut input: &[u8], now: Instant) -> Accepted {
        let mut bytes = BytesMut::with_capacity(self.header.bytes().len() + input.len());
        let mut accepted = Accepted::default();
        while !input.is_empty() && !self.has_ended() {
            match self.read_part(&mut input, &mut bytes, now) {
                Ok(Some(opcode)) => {
                    accepted.frames += 1;
                    accepted.pong |= opcode == PONG;
                }
                Ok(None) => {}
                Err(fault) => self.ended = Some(Ended::Fault(fault)),
            }
        }
        accepted.bytes = bytes.freeze();
        accepted
    }

    /// Reads one header or one payload as far as it has arrived. `Some`: the opcode of the frame that this completes.
    fn read_part(&mut self, input: &mut &[u8], bytes: &mut BytesMut, now: Instant) -> Result<Option<u8>, Fault> {
        if self.payload_left > 0 {
            self.read_payload(input, bytes);
        } else {
            self.read_header(input, bytes, now)?;
        }
        if self.payload_left > 0 || !self.header.is_empty() {
            return Ok(None);
        }
        if self.opcode == CLOSE {
            self.end_with_close_frame(bytes)?;
        }
        Ok(Some(self.opcode))
    }

    fn read_payload(&mut self, input: &mut &[u8], bytes: &mut BytesMut) {
        let taken = input.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
        let (payload, rest) = input.split_at(taken);
        match self.opcode {
            CLOSE => self.close_frame.extend_from_slice(payload),
            _ => bytes.extend_from_slice(payload),
        }
        self.payload_left -= taken as u64;
        *input = rest;
    }

    /// Reads as much of a header as has arrived, and checks each part as soon as it is complete.
    fn read_header(&mut self, input: &mut &[u8], bytes: &mut BytesMut, now: Instant) -> Result<(), Fault> {
        while !input.is_empty() {
            let Some(arrived) = self.header.fill(input) else { break };
            if arrived.start {
                self.check_start(now)?;
            }
            if arrived.length {
                self.check_length()?;
            }
            if arrived.mask {
                self.begin_payload(bytes);
                break;
            }
        }
        Ok(())
    }

    fn check_start(&self, now: Instant) -> Result<(), Fault> {
        let opcode = self.header.opcode();
        let is_control = opcode >= CLOSE;
        if self.header.has_reserved_bits() {
            return Err(Fault::ReservedBits);
        }
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Fault::UnknownOpcode);
        }
        if !self.header.is_masked() {
            return Err(Fault::NotMasked);
        }
        if is_control && (!self.header.is_final() || self.header.extended_bytes() > 0) {
            return Err(Fault::BadControl);
        }
        if !is_control && (opcode == CONTINUATION) != self.fragmented.is_some() {
            return Err(Fault::OutOfOrder);
        }
        if !self.frames.allows(now) || (is_control && !self.control_frames.allows(now)) {
            return Err(Fault::Flood);
        }
        Ok(())
    }

    fn check_length(&self) -> Result<(), Fault> {
        let length = self.header.length().ok_or(Fault::BadLength)?;
        let Fragments { count, bytes } = self.fragmented.unwrap_or_default();
        let is_data = self.header.opcode() < CLOSE;
        if is_data && (bytes + length > MAX_FRAME_BYTES as u64 || count == MAX_FRAGMENTS) {
            return Err(Fault::TooBig);
        }
        Ok(())
    }

    /// The header is complete and valid.
    fn begin_payload(&mut self, bytes: &mut BytesMut) {
        self.opcode = self.header.opcode();
        self.payload_left = self.header.length().unwrap_or_default();
        if self.opcode < CLOSE {
            let before = self.fragmented.unwrap_or_default();
            let with_this = Fragments { count: before.count + 1, bytes: before.bytes + self.payload_left };
            self.fragmented = (!self.header.is_final()).then_some(with_this);
        }
        match self.opcode {
            CLOSE => self.close_frame.extend_from_slice(self.header.bytes()),
            _ => bytes.extend_from_slice(self.header.bytes()),
        }
        self.header.clear();
    }

    fn end_with_close_frame(&mut self, bytes: &mut BytesMut) -> Result<(), Fault> {
        let close_frame = std::mem::take(&mut self.close_frame);
        check_close_frame(&close_frame)?;
        bytes.extend_from_slice(&close_frame);
        self.ended = Some(Ended::CloseFrame);
        Ok(())
    }
}

/// Checks a close frame: two bytes, its mask, code and reason (RFC 6455, 5.5.1 and 7.4).
fn check_close_frame(frame: &[u8]) -> Result<(), Fault> {
    let (mask, payload) = frame[2..].split_at(MASK_BYTES);
    let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    match payload.split_at_checked(2) {
        None if payload.is_empty() => Ok(()),
        None => Err(Fault::BadCloseCode),
        Some((code, reason)) => {
            let code = u16::from_be_bytes([code[0], code[1]]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Fault::BadCloseCode);
            }
            std::str::from_utf8(reason).map(drop).map_err(|_| Fault::BadCloseReason)
        }
    }
}

#[cfg(test)]
mod tests;
