//! Encoded WebSocket frames, shared by all sockets that are sent the same.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::wire::server::ServerMessage;

/// A text message as one WebSocket frame: final and not masked (RFC 6455, 5.2).
#[derive(Debug, Clone)]
pub struct Frame {
    wire: Bytes,
    header: usize,
}

impl Frame {
    /// Encodes a text.
    pub fn new(text: &str) -> Self {
        let mut wire = BytesMut::with_capacity(text.len() + 10);
        put_header(&mut wire, text.len());
        let header = wire.len();
        wire.put_slice(text.as_bytes());
        Self { wire: wire.freeze(), header }
    }

    /// Header and text.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The text without the header.
    pub fn text(&self) -> ByteString {
        ByteString::try_from(self.wire.slice(self.header..)).expect("it was made from a text")
    }
}

/// Kinds of frames on a board. A socket is sent them in this order.
pub const SLOTS: usize = 6;
/// Slot of the room's state.
pub const STATE: usize = 0;
/// Slot of the running round's counts.
pub const TALLY: usize = 1;
/// Slot of the numbers of connected and joined voters.
pub const PRESENCE: usize = 2;
/// Slot of the reveal.
pub const REVEAL: usize = 3;
/// Slot of the groups to come; for emcees.
pub const PREVIEW: usize = 4;
/// Slot of the show's health; for emcees.
pub const DESK: usize = 5;

/// A frame and its revision; revisions rise over all slots of a board.
#[derive(Clone)]
pub struct Slot {
    /// Rises with every change of the board.
    pub revision: u64,
    /// The encoded message.
    pub frame: Frame,
}

/// Everything that one audience is sent.
#[derive(Clone)]
pub struct Frames {
    /// By kind; `None` where there is nothing to send.
    pub slots: [Option<Slot>; SLOTS],
    /// Slips counted in these frames, as [`Gate::stored`](crate::domain::gate::Gate::stored).
    pub stored: u64,
    /// When the newest counts were put on the board.
    pub tally_at: Instant,
}

impl Frames {
    /// True if a ranking is being shown.
    pub fn shows_ranking(&self) -> bool {
        self.slots[REVEAL].is_some()
    }
}

/// Writes the header of a final text frame, with the length in its shortest form.
fn put_header(wire: &mut impl BufMut, length: usize) {
    wire.put_u8(0x81);
    match length {
        0..=125 => wire.put_u8(length as u8),
        126..=0xFFFF => {
            wire.put_u8(126);
            wire.put_u16(length as u16);
        }
        _ => {
            wire.put_u8(127);
            wire.put_u64(length as u64);
        }
    }
}

/// Appends a message for one socket to `wire`, without a buffer in between.
pub fn append(wire: &mut Vec<u8>, message: &ServerMessage<'_>) {
    /// Bytes of the longest header.
    const ROOM: usize = 10;
    let start = wire.len();
    wire.resize(start + ROOM, 0);
    serde_json::to_writer(&mut *wire, message).expect("messages have string keys and finite numbers");
    let length = wire.len() - start - ROOM;
    let mut header = [0; ROOM];
    let mut left = &mut header[..];
    put_header(&mut left, length);
    let used = ROOM - left.len();
    wire.splice(start..start + ROOM, header[..used].iter().copied());
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

    #[test]
    fn an_appended_message_is_the_frame_of_its_text() {
        for detail in ["short", &"long ".repeat(100)] {
            let message = ServerMessage::Error { code: "x", detail: detail.to_owned() };
            let mut wire = vec![1, 2, 3];
            append(&mut wire, &message);
            assert_eq!(wire[..3], [1, 2, 3]);
            assert_eq!(&wire[3..], Frame::new(&message.encode()).wire());
        }
    }
}
