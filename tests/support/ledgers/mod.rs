//! What the tests of both ledgers share: ledgers to test, a room to test them with, and a listener on the feed. Only
//! these know the server's own types; everything else in this tree knows the public protocol alone.

// each suite uses its part of this
#![allow(dead_code, unused_imports)]

mod feed_listener;
mod people;
mod room;
mod test_ledger;

pub use feed_listener::FeedListener;
pub use people::{card, invite, name, names, newcomer, voter};
pub use room::{RoomFixture, open};
pub use test_ledger::{NEVER_AGAIN_MS, TestLedger};
