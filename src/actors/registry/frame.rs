//! Frames as they go out, encoded once and shared by all sockets that get the same.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

/// A text message in a WebSocket frame of its own: final, not masked (RFC 6455, 5.2).
#[derive(Debug, Clone)]
pub struct Frame {
    wire: Bytes,
    header: usize,
}

impl Frame {
    /// Encodes a text.
    pub fn new(text: &str) -> Self {
        let mut wire = BytesMut::with_capacity(text.len() + 10);
        wire.put_u8(0x81);
        match text.len() {
            length @ 0..=125 => wire.put_u8(length as u8),
            length @ 126..=0xFFFF => {
                wire.put_u8(126);
                wire.put_u16(length as u16);
            }
            length => {
                wire.put_u8(127);
                wire.put_u64(length as u64);
            }
        }
        let header = wire.len();
        wire.put_slice(text.as_bytes());
        Self { wire: wire.freeze(), header }
    }

    /// Header and text.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The text alone.
    pub fn text(&self) -> ByteString {
        ByteString::try_from(self.wire.slice(self.header..)).expect("it was made from a text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_the_length_in_its_shortest_form() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let frame = Frame::new(&"x".repeat(length));
            assert_eq!(frame.wire().len(), header + length);
            assert_eq!(frame.text().len(), length);
        }
    }
}
