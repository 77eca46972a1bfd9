//! The handle that all parts of the contract are implemented on.

use super::connections::Connections;
use super::job_hints::FullScans;
use super::options::RedisOptions;
use crate::domain::Invalid;

/// The ledger in Redis, see the [module](super). It connects at its first call, and again after every failure.
pub struct RedisLedger {
    pub(super) connections: Connections,
    /// Commits publish a gate at most once in this time.
    pub(super) tick_ms: u64,
    pub(super) full_scans: FullScans,
    /// See [`RedisOptions::has_all_rights`].
    pub(super) has_all_rights: bool,
}

impl RedisLedger {
    /// A ledger that is not connected yet.
    ///
    /// # Errors
    /// The URL is malformed. The error does not repeat it, because it may hold a password.
    pub fn new(options: RedisOptions) -> Result<Self, Invalid> {
        Ok(Self {
            connections: Connections::new(&options)?,
            tick_ms: options.tick_ms,
            full_scans: FullScans::new(options.all_jobs_every),
            has_all_rights: options.has_all_rights,
        })
    }
}
