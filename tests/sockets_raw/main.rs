//! Sockets byte by byte: the handshake, the frames of RFC 6455, peers that break rules, do not read or vanish. The
//! client is only a TCP stream, so that it can break every rule.

#[path = "../support/mod.rs"]
mod support;

mod conformance;
mod floods;
mod handshake;
mod lifetimes;
mod raw;
mod slow_readers;
