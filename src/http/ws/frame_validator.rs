//! The validator between the wire and the frame codec: it reads frame headers (RFC 6455, 5.2) as their bytes come, and
//! lets nothing pass that a client of ours may not send.
//!
//! The codec behind it buffers a frame as long as its header says before it looks at its length. So everything that a
//! header tells is judged here, before a byte of the payload is kept.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::wire::client::MAX_FRAME_BYTES;
use crate::wire::codes::CloseCode;

/// Pieces that a message may come in, empty ones too.
const MAX_PIECES: u16 = 128;
/// Frames that a client may send at once, and how long each takes to be forgotten: far more than comes of casting
/// again as soon as the last cast is answered, for one is under way at a time.
const FRAME_BURST: u32 = 5_000;
const FRAME_EVERY: Duration = Duration::from_micros(200);
/// The same for pings, pongs and closes alone.
const CONTROL_BURST: u32 = 60;
const CONTROL_EVERY: Duration = Duration::from_millis(50);
/// Most payload of a control frame.
const MAX_CONTROL_BYTES: u64 = 125;

/// Why a stream of frames ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No extension is agreed upon that would use them.
    #[error("reserved bits are set")]
    ReservedBits,
    /// Neither text, binary, continuation, close, ping nor pong.
    #[error("the opcode is unknown")]
    UnknownOpcode,
    /// Clients mask every frame.
    #[error("the frame is not masked")]
    NotMasked,
    /// A control frame in pieces, or over 125 bytes.
    #[error("a control frame is too long or in pieces")]
    BadControl,
    /// A continuation of nothing, or a new message inside another.
    #[error("a frame is out of order")]
    OutOfOrder,
    /// Not the shortest form of the length, or one of 64 bits.
    #[error("the length is not in its shortest form")]
    BadLength,
    /// A frame, or all pieces of a message.
    #[error("a message is over 4 KiB or in too many pieces")]
    TooBig,
    /// A close frame with half a code, or one that nobody may send.
    #[error("the close code is none")]
    BadCloseCode,
    /// A close frame whose reason is no text.
    #[error("the close reason is not UTF-8")]
    BadCloseReason,
    /// More frames than anybody needs.
    #[error("too many frames")]
    Flood,
}

impl Fault {
    /// The code that the socket is closed with.
    pub fn code(self) -> CloseCode {
        match self {
            Self::TooBig => CloseCode::TooBig,
            Self::Flood => CloseCode::Policy,
            Self::BadCloseReason => CloseCode::NotUtf8,
            _ => CloseCode::Protocol,
        }
    }
}

/// What may go on to the codec.
#[derive(Debug, Default)]
pub struct Passed {
    /// Whole headers and what has come of their payload.
    pub bytes: Bytes,
    /// Frames that these bytes complete.
    pub frames: usize,
    /// There was a pong among them.
    pub pong: bool,
}

/// See [module](self).
pub struct FrameValidator {
    /// The header under way: not passed on before it is whole and judged.
    head: [u8; 14],
    have: usize,
    /// The length that it tells.
    length: u64,
    /// Bytes of payload still to come, and the opcode that they belong to.
    left: u64,
    opcode: u8,
    /// Pieces and bytes of the message under way, if it comes in pieces.
    pieces: Option<(u16, u64)>,
    /// A close frame, passed on only when whole and valid.
    goodbye: Vec<u8>,
    end: Option<End>,
    frames: Bucket,
    controls: Bucket,
}

/// Nothing passes any more.
#[derive(Clone, Copy)]
enum End {
    Goodbye,
    Fault(Fault),
}

impl FrameValidator {
    /// A validator at the beginning of a stream.
    pub fn new(now: Instant) -> Self {
        Self {
            head: [0; 14],
            have: 0,
            length: 0,
            left: 0,
            opcode: 0,
            pieces: None,
            goodbye: vec![],
            end: None,
            frames: Bucket { full_at: now },
            controls: Bucket { full_at: now },
        }
    }

    /// Why nothing passes any more, if the peer broke a rule.
    pub fn fault(&self) -> Option<Fault> {
        match self.end {
            Some(End::Fault(fault)) => Some(fault),
            _ => None,
        }
    }

    /// True if nothing passes any more: after a fault, or after the peer's close frame.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// True once the peer's close frame has passed.
    pub fn said_goodbye(&self) -> bool {
        matches!(self.end, Some(End::Goodbye))
    }

    /// Takes the next bytes of the stream, however it is chopped.
    pub fn pass(&mut self, mut input: &[u8], now: Instant) -> Passed {
        let mut bytes = BytesMut::with_capacity(self.have + input.len());
        let mut passed = Passed::default();
        while !input.is_empty() && self.end.is_none() {
            if self.left > 0 {
                self.payload(&mut input, &mut bytes);
            } else if let Err(fault) = self.header(&mut input, &mut bytes, now) {
                self.end = Some(End::Fault(fault));
                break;
            }
            if self.left == 0 && self.have == 0 {
                if let Err(fault) = self.frame_ends(&mut bytes) {
                    self.end = Some(End::Fault(fault));
                    break;
                }
                passed.frames += 1;
                passed.pong |= self.opcode == PONG;
            }
        }
        passed.bytes = bytes.freeze();
        passed
    }

    fn payload(&mut self, input: &mut &[u8], bytes: &mut BytesMut) {
        let taken = input.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let (payload, rest) = input.split_at(taken);
        match self.opcode {
            CLOSE => self.goodbye.extend_from_slice(payload),
            _ => bytes.extend_from_slice(payload),
        }
        self.left -= taken as u64;
        *input = rest;
    }

    /// Reads as much of a header as is there, judging each part of it as soon as it is known.
    fn header(&mut self, input: &mut &[u8], bytes: &mut BytesMut, now: Instant) -> Result<(), Fault> {
        while !input.is_empty() {
            let known = self.known();
            let taken = input.len().min(known - self.have);
            let (head, rest) = input.split_at(taken);
            self.head[self.have..][..taken].copy_from_slice(head);
            self.have += taken;
            *input = rest;
            if self.have < known {
                return Ok(());
            }
            let extended = self.extended();
            if known == 2 {
                self.judge_start(now)?;
            }
            if known == 2 + extended {
                self.judge_length()?;
            }
            if known == 2 + extended + MASK_BYTES {
                self.begin(bytes);
                return Ok(());
            }
        }
        Ok(())
    }

    /// How many bytes of the header the next judgement needs: the first two, then the length, then the mask.
    fn known(&self) -> usize {
        match self.have {
            0 | 1 => 2,
            have if have < 2 + self.extended() => 2 + self.extended(),
            _ => 2 + self.extended() + MASK_BYTES,
        }
    }

    /// Bytes of the length beyond the second byte.
    fn extended(&self) -> usize {
        match self.head[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn judge_start(&mut self, now: Instant) -> Result<(), Fault> {
        let (last, opcode) = (self.head[0] & 0x80 != 0, self.head[0] & 0x0F);
        let control = opcode >= CLOSE;
        if self.head[0] & 0x70 != 0 {
            return Err(Fault::ReservedBits);
        }
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Fault::UnknownOpcode);
        }
        if self.head[1] & 0x80 == 0 {
            return Err(Fault::NotMasked);
        }
        if control && (!last || self.extended() > 0) {
            return Err(Fault::BadControl);
        }
        if !control && (opcode == CONTINUATION) != self.pieces.is_some() {
            return Err(Fault::OutOfOrder);
        }
        if !self.frames.take(FRAME_BURST, FRAME_EVERY, now)
            || (control && !self.controls.take(CONTROL_BURST, CONTROL_EVERY, now))
        {
            return Err(Fault::Flood);
        }
        Ok(())
    }

    fn judge_length(&mut self) -> Result<(), Fault> {
        let length = self.head[2..2 + self.extended()].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        let (length, shortest) = match self.extended() {
            0 => (u64::from(self.head[1] & 0x7F), true),
            2 => (length, length > MAX_CONTROL_BYTES),
            _ => (length, length > u64::from(u16::MAX) && length <= i64::MAX as u64),
        };
        if !shortest {
            return Err(Fault::BadLength);
        }
        let (pieces, before) = self.pieces.unwrap_or_default();
        let is_piece = self.head[0] & 0x0F < CLOSE;
        if is_piece && (before + length > MAX_FRAME_BYTES as u64 || pieces == MAX_PIECES) {
            return Err(Fault::TooBig);
        }
        self.length = length;
        Ok(())
    }

    /// The header is whole and good.
    fn begin(&mut self, bytes: &mut BytesMut) {
        let (last, opcode) = (self.head[0] & 0x80 != 0, self.head[0] & 0x0F);
        if opcode < CLOSE {
            let (pieces, before) = self.pieces.unwrap_or_default();
            self.pieces = (!last).then_some((pieces + 1, before + self.length));
        }
        self.left = self.length;
        self.opcode = opcode;
        match opcode {
            CLOSE => self.goodbye.extend_from_slice(&self.head[..self.have]),
            _ => bytes.extend_from_slice(&self.head[..self.have]),
        }
        self.have = 0;
    }

    fn frame_ends(&mut self, bytes: &mut BytesMut) -> Result<(), Fault> {
        if self.opcode != CLOSE {
            return Ok(());
        }
        let goodbye = std::mem::take(&mut self.goodbye);
        judge_goodbye(&goodbye)?;
        bytes.extend_from_slice(&goodbye);
        self.end = Some(End::Goodbye);
        Ok(())
    }
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
/// Control frames begin here.
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const MASK_BYTES: usize = 4;

/// Judges a close frame: two bytes, its mask, code and reason (RFC 6455, 5.5.1 and 7.4).
fn judge_goodbye(frame: &[u8]) -> Result<(), Fault> {
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

/// A bucket that frames are taken from; it fills by itself.
struct Bucket {
    /// When it will be full, if nothing more is taken.
    full_at: Instant,
}

impl Bucket {
    fn take(&mut self, burst: u32, every: Duration, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + every;
        let fits = full_at - now <= every * burst;
        if fits {
            self.full_at = full_at;
        }
        fits
    }
}

#[cfg(test)]
mod tests;
