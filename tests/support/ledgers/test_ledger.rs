//! A ledger, and what it takes to open it again.

use crate::support::redis::Redis;
use std::path::PathBuf;
use std::sync::Arc;
use tallycast::ledger::SharedLedger;
use tallycast::ledger::embedded::EmbeddedLedger;
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tempfile::TempDir;

/// Longer than any test: after the first publish of a gate, commits publish nothing.
pub const NEVER_AGAIN_MS: u64 = 3_600_000;

/// See the [module](self).
pub struct TestLedger {
    /// The ledger, which publishes each gate at most once a tick.
    pub ledger: SharedLedger,
    home: Home,
    tick_ms: u64,
}

enum Home {
    File { directory: TempDir },
    SharedServer,
    OwnServer(Redis),
}

impl TestLedger {
    /// A ledger in a new file.
    pub fn embedded(tick_ms: u64) -> Self {
        Self::at(Home::File { directory: tempfile::tempdir().expect("a temporary directory") }, tick_ms)
    }

    /// A ledger in the server that all tests of this process share.
    pub fn redis(tick_ms: u64) -> Self {
        Self::at(Home::SharedServer, tick_ms)
    }

    /// A ledger whose server may be killed.
    pub fn redis_of_its_own(tick_ms: u64) -> Self {
        Self::at(Home::OwnServer(Redis::start_blocking()), tick_ms)
    }

    fn at(home: Home, tick_ms: u64) -> Self {
        Self { ledger: home.open(tick_ms), home, tick_ms }
    }

    /// Closes the file and opens it again, or kills Redis and starts it again.
    pub fn restart(self) -> Self {
        let Self { ledger, mut home, tick_ms } = self;
        assert_eq!(Arc::strong_count(&ledger), 1, "nobody else holds the ledger open");
        drop(ledger);
        if let Home::OwnServer(server) = &mut home {
            server.restart_blocking();
        }
        Self::at(home, tick_ms)
    }
}

impl Home {
    fn open(&self, tick_ms: u64) -> SharedLedger {
        let url = match self {
            Self::File { directory } => {
                let path: PathBuf = directory.path().join("ledger.redb");
                return Arc::new(EmbeddedLedger::open(path, tick_ms).expect("a ledger file"));
            }
            Self::SharedServer => Redis::shared().url(),
            Self::OwnServer(server) => server.url(),
        };
        let options = RedisOptions { tick_ms, ..RedisOptions::new(url) };
        Arc::new(RedisLedger::new(options).expect("a ledger"))
    }
}
