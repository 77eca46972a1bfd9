//! Why the stream of a peer's frames is not read any further.

use crate::wire::codes::CloseCode;

/// A rule that a peer's frames break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No extension was negotiated that would use them.
    #[error("reserved bits are set")]
    ReservedBits,
    /// Neither text, binary, continuation, close, ping nor pong.
    #[error("the opcode is unknown")]
    UnknownOpcode,
    /// A client must mask every frame.
    #[error("the frame is not masked")]
    NotMasked,
    /// A control frame that is fragmented or longer than 125 bytes.
    #[error("a control frame is too long or fragmented")]
    BadControl,
    /// A continuation without a message before it, or a new message inside a fragmented one.
    #[error("a frame is out of order")]
    OutOfOrder,
    /// Not the shortest form of the length, or over 63 bits.
    #[error("the length is not in its shortest form")]
    BadLength,
    /// A frame, or all fragments of a message together.
    #[error("a message is over 4 KiB or in too many fragments")]
    TooBig,
    /// A close frame with one byte of a code, or with a code that must not be sent.
    #[error("the close code is not valid")]
    BadCloseCode,
    /// A close frame with a reason that is not UTF-8.
    #[error("the close reason is not UTF-8")]
    BadCloseReason,
    /// More frames than the rate limit allows.
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
