//! Sockets byte by byte: the handshake, the frames of RFC 6455, peers that break rules, do not read or vanish. The
//! client is made of a TCP stream and nothing else, so that it can be wrong in every way.

#[path = "../support/mod.rs"]
mod support;

mod conformance;
mod floods;
mod handshake;
mod lifetimes;
mod raw;
mod slow_readers;
