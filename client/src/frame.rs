//! WebSocket frames in a buffer (RFC 6455, 5.2). Only headers are parsed; payloads are left where they are.

use std::io::Cursor;

pub use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

/// A text message.
pub const TEXT: OpCode = OpCode::Data(Data::Text);
/// The other side closes the connection.
pub const CLOSE: OpCode = OpCode::Control(Control::Close);
/// Asks for a pong with the same payload.
pub const PING: OpCode = OpCode::Control(Control::Ping);
/// Answers a ping.
pub const PONG: OpCode = OpCode::Control(Control::Pong);

/// Where a frame lies in the bytes it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub opcode: OpCode,
    /// The mask of a client's frame; zero if it has none.
    pub mask: [u8; 4],
    /// First byte of the payload.
    pub start: usize,
    /// Behind the last byte of the payload: where the next frame begins.
    pub end: usize,
}

/// Finds the frame at the beginning of `bytes`; `None` while it is not complete or where its header is not valid.
pub fn first(bytes: &[u8]) -> Option<Frame> {
    let mut cursor = Cursor::new(bytes);
    let (header, length) = FrameHeader::parse(&mut cursor).ok()??;
    let start = usize::try_from(cursor.position()).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let mask = header.mask.unwrap_or_default();
    (end <= bytes.len()).then_some(Frame { opcode: header.opcode, mask, start, end })
}

/// A client's frame. Its mask is zero, which is legal and costs no computation.
pub fn from_client(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    encode(opcode, payload, Some([0; 4]))
}

/// A server's frame.
pub fn from_server(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    encode(opcode, payload, None)
}

fn encode(opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    let length = payload.len() as u64;
    let mut wire = Vec::with_capacity(header.len(length) + payload.len());
    header.format(length, &mut wire).expect("a vector takes every byte");
    wire.extend_from_slice(payload);
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_any_length_is_found_once_it_is_complete() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            for (wire, overhead) in
                [(from_server(TEXT, &payload), [2, 4, 10]), (from_client(TEXT, &payload), [6, 8, 14])]
            {
                let start = overhead[usize::from(length > 125) + usize::from(length > 65_535)];
                let frame = Frame { opcode: TEXT, mask: [0; 4], start, end: start + length };
                assert_eq!(first(&wire), Some(frame));
                for cut in [0, 1, start - 1, wire.len() - 1] {
                    assert_eq!(first(&wire[..cut]), None, "{length} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn two_frames_are_found_one_after_the_other() {
        let wire = [from_server(PING, b"1"), from_server(TEXT, b"two")].concat();
        let one = first(&wire).unwrap();
        let two = first(&wire[one.end..]).unwrap();
        assert_eq!((one.opcode, &wire[one.start..one.end]), (PING, &b"1"[..]));
        assert_eq!((two.opcode, &wire[one.end..][two.start..two.end]), (TEXT, &b"two"[..]));
    }

    #[test]
    fn a_length_beyond_any_memory_is_not_a_complete_frame() {
        let wire = [&[0x81, 127][..], &[0xFF; 8], &[0; 20]].concat();
        assert_eq!(first(&wire), None);
    }
}
