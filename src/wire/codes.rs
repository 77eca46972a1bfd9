//! Close codes of the socket. The codes of HTTP errors live in `http/error.rs`.

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The peer said goodbye.
    Normal = 1000,
    /// The frame breaks RFC 6455.
    Protocol = 1002,
    /// Not a text frame.
    NotText = 1003,
    /// Not UTF-8.
    NotUtf8 = 1007,
    /// Five frames were not understood, or a flood.
    Policy = 1008,
    /// A frame or message over 4 KiB.
    TooBig = 1009,
    /// Come back after `retry_ms`.
    Restart = 1012,
    /// Bad or missing token.
    BadToken = 4401,
    /// The voter was removed.
    Removed = 4403,
    /// No such room, or deleted.
    NoSuchRoom = 4404,
    /// No hello in time.
    NoHello = 4408,
    /// The voter has too many sockets on this pod: the oldest goes.
    Replaced = 4409,
}

impl CloseCode {
    /// Every code that the server sends, for metrics.
    pub const ALL: [Self; 12] = [
        Self::Normal,
        Self::Protocol,
        Self::NotText,
        Self::NotUtf8,
        Self::Policy,
        Self::TooBig,
        Self::Restart,
        Self::BadToken,
        Self::Removed,
        Self::NoSuchRoom,
        Self::NoHello,
        Self::Replaced,
    ];
}
