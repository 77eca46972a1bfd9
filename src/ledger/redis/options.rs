//! Options: how to reach Redis, and its timeouts.

use std::time::Duration;

use secrecy::SecretString;

/// How to reach Redis, and how long to wait for it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` over TLS, or
    /// `redis+sentinel://[user:password@]host[:port][,host[:port]…]/name[/database]`.
    pub url: SecretString,
    /// The user to sign in as; empty: that of the URL.
    pub user: String,
    /// The user's password; `None`: that of the URL.
    pub password: Option<SecretString>,
    /// The certificate authority of a `rediss://` server, as PEM; `None` for those that browsers trust.
    pub ca: Option<Vec<u8>>,
    /// Replicas that must confirm a change before it is acknowledged; 0 to ask none.
    pub replicas: usize,
    /// Commits publish a gate at most once in this time, in ms.
    pub tick_ms: u64,
    /// Size of the connection pool, at least 1. Partition writers and feeds have connections of their own.
    pub pool_size: usize,
    /// Timeout for a connection, new or from the pool.
    pub connect_timeout: Duration,
    /// Timeout of a whole call, connecting included.
    pub response_timeout: Duration,
    /// Whether the user of Redis may do more than store votes and voters. The regular check then also watches the slow log,
    /// and loads the scripts for the processes whose user may run scripts and not load any.
    pub has_all_rights: bool,
    /// How often all rooms are asked for their jobs. A job whose hint was lost is found this late.
    pub all_jobs_every: Duration,
}

impl RedisOptions {
    /// The default options.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            user: String::new(),
            password: None,
            ca: None,
            replicas: 0,
            tick_ms: 100,
            pool_size: 16,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            has_all_rights: true,
            all_jobs_every: Duration::from_secs(60),
        }
    }
}
