//! What the tests of both ledgers share: ledgers to test, and a room to test them with.

// each test file uses its part of this
#![allow(dead_code, unused_imports)]

mod hall;
mod redis_server;

use std::path::PathBuf;
use std::sync::Arc;

pub use hall::{Hall, Listener, card, invite, name, names, newcomer, open, voter};
use redis_server::RedisServer;
use tallycast::ledger::SharedLedger;
use tallycast::ledger::embedded::EmbeddedLedger;
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tempfile::TempDir;

/// Longer than any test: after the first publish of a gate, commits publish nothing.
pub const NEVER_AGAIN_MS: u64 = 3_600_000;

/// A ledger, and what it takes to open it again.
pub struct Stand {
    /// The ledger, which publishes with every commit unless asked otherwise.
    pub ledger: SharedLedger,
    home: Home,
    tick_ms: u64,
}

enum Home {
    File { directory: TempDir },
    SharedServer,
    OwnServer { directory: TempDir, server: RedisServer },
}

impl Stand {
    /// A ledger in a new file.
    pub fn embedded(tick_ms: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = Home::File { directory };
        Self { ledger: open_ledger(&home, tick_ms), home, tick_ms }
    }

    /// A ledger in the server that all tests of this process share.
    pub fn redis(tick_ms: u64) -> Self {
        let home = Home::SharedServer;
        Self { ledger: open_ledger(&home, tick_ms), home, tick_ms }
    }

    /// A ledger whose server may be killed.
    pub fn redis_of_its_own(tick_ms: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = RedisServer::own(&directory);
        let home = Home::OwnServer { directory, server };
        Self { ledger: open_ledger(&home, tick_ms), home, tick_ms }
    }

    /// Closes the file and opens it again, or kills Redis and starts it again.
    pub fn restart(self) -> Self {
        let Self { ledger, home, tick_ms } = self;
        assert_eq!(Arc::strong_count(&ledger), 1, "nobody else holds the ledger open");
        drop(ledger);
        let home = match home {
            Home::OwnServer { directory, server } => {
                let server = server.restart(&directory);
                Home::OwnServer { directory, server }
            }
            home => home,
        };
        Self { ledger: open_ledger(&home, tick_ms), home, tick_ms }
    }
}

fn open_ledger(home: &Home, tick_ms: u64) -> SharedLedger {
    let url = match home {
        Home::File { directory } => {
            let path: PathBuf = directory.path().join("ledger.redb");
            return Arc::new(EmbeddedLedger::open(path, tick_ms).expect("a ledger file"));
        }
        Home::SharedServer => RedisServer::shared().url(),
        Home::OwnServer { server, .. } => server.url(),
    };
    let options = RedisOptions { tick_ms, ..RedisOptions::new(url) };
    Arc::new(RedisLedger::new(options).expect("a ledger"))
}
