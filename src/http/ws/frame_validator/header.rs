//! The header of a frame (RFC 6455, 5.2), while its bytes arrive.

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
/// Opcodes of control frames begin here.
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// Flags, opcode, mask bit and the length in its shortest form.
const START_BYTES: usize = 2;
pub const MASK_BYTES: usize = 4;
/// The longest header: start, a length of 64 bits, mask.
const MAX_BYTES: usize = START_BYTES + 8 + MASK_BYTES;
/// The greatest length that fits into the start.
const MAX_SHORT_LENGTH: u64 = 125;

/// The header that is being read. It is empty between two headers and while a payload is read.
#[derive(Default)]
pub struct Header {
    bytes: [u8; MAX_BYTES],
    filled: usize,
}

/// Which parts of a header are complete with the bytes that have just arrived. The start of a short frame completes two.
pub struct Arrived {
    /// Flags, opcode and mask bit.
    pub start: bool,
    /// The length of the payload.
    pub length: bool,
    /// The mask, and so the whole header.
    pub mask: bool,
}

impl Header {
    /// Takes bytes of the input up to the end of the next part. `None`: the part is not complete yet.
    pub fn fill(&mut self, input: &mut &[u8]) -> Option<Arrived> {
        let needed = self.needed();
        let taken = input.len().min(needed - self.filled);
        let (part, rest) = input.split_at(taken);
        self.bytes[self.filled..][..taken].copy_from_slice(part);
        self.filled += taken;
        *input = rest;
        let with_length = START_BYTES + self.extended_bytes();
        (self.filled == needed).then_some(Arrived {
            start: needed == START_BYTES,
            length: needed == with_length,
            mask: needed == with_length + MASK_BYTES,
        })
    }

    /// Bytes of the header up to the end of the next part: the start, then the length, then the mask.
    fn needed(&self) -> usize {
        let with_length = START_BYTES + self.extended_bytes();
        match self.filled {
            0 | 1 => START_BYTES,
            filled if filled < with_length => with_length,
            _ => with_length + MASK_BYTES,
        }
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The bytes that have arrived.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Begins the next header.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// True for the last or only frame of a message.
    pub fn is_final(&self) -> bool {
        self.bytes[0] & 0x80 != 0
    }

    /// True if a bit is set that only extensions use.
    pub fn has_reserved_bits(&self) -> bool {
        self.bytes[0] & 0x70 != 0
    }

    pub fn opcode(&self) -> u8 {
        self.bytes[0] & 0x0F
    }

    pub fn is_masked(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// Bytes of the length behind the start: 0, 2 or 8.
    pub fn extended_bytes(&self) -> usize {
        match self.bytes[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    /// The length of the payload in bytes; `None` if it is not in its shortest form or over 63 bits.
    pub fn length(&self) -> Option<u64> {
        let extended = &self.bytes[START_BYTES..START_BYTES + self.extended_bytes()];
        let length = extended.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        match extended.len() {
            0 => Some(u64::from(self.bytes[1] & 0x7F)),
            2 => Some(length).filter(|length| *length > MAX_SHORT_LENGTH),
            _ => Some(length).filter(|length| *length > u64::from(u16::MAX) && *length <= i64::MAX as u64),
        }
    }
}
