//! The types of all messages and HTTP bodies, and nothing else. The contract is in `docs/protocol.md`.

pub mod client;
pub mod codes;
pub mod http;
pub mod reveal;
pub mod room;
pub mod server;
