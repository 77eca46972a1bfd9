//! The states of a socket and the steps between them.
//!
//! ```text
//! Open ──disconnect──▶ Disconnecting ──close──▶ Closing
//!   └──────────────────close───────────────────▶┘
//! any of them ──drop──▶ Dropped
//! ```

use crate::wire::codes::CloseCode;

/// How far a socket's life has come. It only goes on, never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// The session runs.
    Open,
    /// The session is to be ended from outside, with this code: it has no subscription in time, or is stuck.
    Disconnecting(CloseCode),
    /// The session has ended; the last bytes go out.
    Closing,
    /// The connection is given up.
    Dropped,
}

impl Lifecycle {
    /// Ends the session from outside. Only an open socket has one that still runs.
    pub fn disconnect(self, code: CloseCode) -> Self {
        if self == Self::Open { Self::Disconnecting(code) } else { self }
    }

    /// The session has ended.
    pub fn close(self) -> Self {
        if self == Self::Dropped { self } else { Self::Closing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_never_goes_back_to_an_earlier_state() {
        let (restart, no_hello) = (Lifecycle::Disconnecting(CloseCode::Restart), CloseCode::NoHello);
        assert_eq!(Lifecycle::Open.disconnect(CloseCode::Restart), restart);
        assert_eq!(restart.disconnect(no_hello), restart, "the first reason stays");
        assert_eq!(Lifecycle::Closing.disconnect(no_hello), Lifecycle::Closing);
        assert_eq!(Lifecycle::Dropped.disconnect(no_hello), Lifecycle::Dropped);
        assert_eq!(Lifecycle::Open.close(), Lifecycle::Closing);
        assert_eq!(restart.close(), Lifecycle::Closing);
        assert_eq!(Lifecycle::Dropped.close(), Lifecycle::Dropped);
    }
}
