//! Close codes of the socket. The codes of HTTP errors live in `http/error.rs`.

/// The reason for closing a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client has closed the socket.
    Normal = 1000,
    /// A frame violates RFC 6455.
    Protocol = 1002,
    /// Not a text frame.
    NotText = 1003,
    /// Not UTF-8.
    NotUtf8 = 1007,
    /// Five invalid messages, or too many messages.
    Policy = 1008,
    /// A frame or message of more than 4 KiB.
    TooBig = 1009,
    /// The pod stops: reconnect after `retry_ms`.
    Restart = 1012,
    /// The token is invalid or missing.
    BadToken = 4401,
    /// The voter was removed.
    Removed = 4403,
    /// The room does not exist or was deleted.
    NoSuchRoom = 4404,
    /// No hello came in time.
    NoHello = 4408,
    /// The voter has too many sockets on this pod: the oldest is closed.
    Replaced = 4409,
}

impl CloseCode {
    /// All codes that the server sends, for metrics.
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
