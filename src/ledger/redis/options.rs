//! How to reach Redis.

use std::time::Duration;

/// How to reach Redis, and how long to wait for it. Holds a password, so it cannot be printed.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` over TLS, or
    /// `redis+sentinel://[user:password@]host[:port][,host[:port]…]/name[/database]`.
    pub url: String,
    /// The certificate authority of a `rediss://` server, PEM; `None`: those that browsers know.
    pub ca: Option<Vec<u8>>,
    /// So many replicas confirm a change before it is answered; 0: none is asked.
    pub replicas: usize,
    /// A gate is published at most once in so many ms by commits.
    pub tick_ms: u64,
    /// Most connections besides those of lanes and feeds, at least 1.
    pub pool_size: usize,
    /// Longest wait for a connection, new or from the pool.
    pub connect_timeout: Duration,
    /// Longest wait for the answer of a whole call, connecting included.
    pub response_timeout: Duration,
    /// How often all rooms are asked for their jobs: so late is one whose note in the directory was lost.
    pub all_jobs_every: Duration,
}

impl RedisOptions {
    /// What fits unless told otherwise.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca: None,
            replicas: 0,
            tick_ms: 100,
            pool_size: 16,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            all_jobs_every: Duration::from_secs(60),
        }
    }
}
