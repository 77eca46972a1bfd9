//! A client of Tallycast: the public protocol and nothing else. It shares no code with the server, so a mistake in one is
//! not repeated in the other.
//!
//! | module | holds |
//! | --- | --- |
//! | [`protocol`] | messages, as types |
//! | [`frame`] | WebSocket frames without a connection: header parsing only, for programs that must cost next to nothing |
//! | [`socket`] | a WebSocket connection |
//! | [`voter`] | what a voter sends to join, and what it knows of its ballots |

#![warn(missing_docs)]

pub mod frame;
pub mod protocol;
pub mod socket;
pub mod voter;

pub use tokio_tungstenite::tungstenite;
