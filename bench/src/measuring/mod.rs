//! The measuring client: one thread, epoll, frame headers only.
//!
//! It must cost less CPU time than what it measures. So it recognises a message by its first bytes, copies no payload, and
//! reads every socket into the same buffer. Each connection has one vote in flight at most.
//!
//! | file | holds |
//! | --- | --- |
//! | [`stream`] | the bytes of a WebSocket, in frames |
//! | [`dialect`] | the messages of each kind of server |
//! | [`connection`] | one socket |
//! | [`crowd`] | many connections and their event loop |
//! | [`fan_out`] | broadcasts to every connection |
//! | [`votes`] | votes in a closed loop, and at scheduled times |

pub mod connection;
pub mod crowd;
pub mod dialect;
pub mod fan_out;
pub mod stream;
pub mod votes;

pub use crowd::Crowd;
pub use dialect::{CASTS_PER_ROUND, Dialect, MAX_CASTS_PER_ROUND, TALLY_BYTES};
pub use votes::Votes;
