//! The way to Redis: a pool for everything, connections of their own for lanes and feeds, and the time a call may take.

use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use tokio::time::{Instant, timeout, timeout_at};

use super::fault;
use crate::domain::Invalid;
use crate::ledger::LedgerError;

/// How to reach Redis, and how long to wait for it. Holds a password, so it cannot be printed.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` over TLS.
    pub url: String,
    /// The certificate authority of a `rediss://` server, PEM; `None`: those that browsers know.
    pub ca: Option<Vec<u8>>,
    /// A gate is published at most once in so many ms by commits.
    pub tick_ms: u64,
    /// Most connections besides those of lanes and feeds, at least 1.
    pub pool_size: usize,
    /// Longest wait for a connection, new or from the pool.
    pub connect_timeout: Duration,
    /// Longest wait for the answer of a whole call, connecting included.
    pub response_timeout: Duration,
}

impl RedisOptions {
    /// What fits unless told otherwise.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca: None,
            tick_ms: 100,
            pool_size: 16,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
        }
    }
}

/// A handle that all parts of the ledger share.
#[derive(Clone)]
pub(super) struct Link {
    client: Client,
    pool: Pool,
    config: AsyncConnectionConfig,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Link {
    /// Checks the options; connects to nothing yet.
    pub(super) fn new(options: &RedisOptions) -> Result<Self, Invalid> {
        let info = connection_info(options)?;
        let connect_timeout = options.connect_timeout.min(options.response_timeout);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(Some(options.response_timeout));
        let manager = Manager::new_with_config(info.clone(), config.clone()).map_err(|e| bad_url(e.to_string()))?;
        let pool = Pool::builder(manager)
            .max_size(options.pool_size.max(1))
            .wait_timeout(Some(connect_timeout))
            .create_timeout(Some(connect_timeout))
            .recycle_timeout(Some(connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| bad_url(e.to_string()))?;
        let client = Client::open(info).map_err(|e| bad_url(e.to_string()))?;
        Ok(Self { client, pool, config, connect_timeout, response_timeout: options.response_timeout })
    }

    /// The number of the database that the keys are in.
    pub(super) fn database(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    /// Does `work` on a connection of the pool, within the time for a call. A connection that failed is not used again:
    /// what it had been asked may still be on its way, and its answers would be late.
    pub(super) async fn run<T, F>(&self, work: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let end = Instant::now() + self.response_timeout;
        let pooled = match timeout(self.connect_timeout, self.pool.get()).await {
            Ok(pooled) => pooled.map_err(fault::unreachable)?,
            Err(_) => return Err(fault::unreachable("no connection in time")),
        };
        let done = timeout_at(end, work(pooled.clone())).await.unwrap_or_else(|_| Err(fault::unanswered()));
        if matches!(done, Err(LedgerError::NotApplied(_) | LedgerError::MaybeApplied(_))) {
            drop(deadpool_redis::Connection::take(pooled));
        }
        done
    }

    /// A connection of the caller's own.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, LedgerError> {
        let connecting = self.client.get_multiplexed_async_connection_with_config(&self.config);
        match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(fault::unreachable),
            Err(_) => Err(fault::unreachable("no connection in time")),
        }
    }

    /// Does `work` on a connection of the caller's own, made first if there is none, within the time for a call. It is
    /// dropped if it fails.
    pub(super) async fn run_on<T, F>(
        &self,
        own: &mut Option<MultiplexedConnection>,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let end = Instant::now() + self.response_timeout;
        // taken out while it is used: a call that is dropped half-way leaves no connection with answers still to come
        let connection = match own.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let done = timeout_at(end, work(connection.clone())).await.unwrap_or_else(|_| Err(fault::unanswered()));
        if matches!(done, Ok(_) | Err(LedgerError::Corrupt(_))) {
            *own = Some(connection);
        }
        done
    }

    /// A connection for messages, subscribed to these channels.
    pub(super) async fn subscribe(&self, channels: &[String]) -> Result<PubSub, LedgerError> {
        let connecting = async {
            let mut messages = self.client.get_async_pubsub().await?;
            messages.subscribe(channels).await?;
            Ok(messages)
        };
        match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|e: redis::RedisError| fault::unreachable(e)),
            Err(_) => Err(fault::unreachable("no connection in time")),
        }
    }
}

fn connection_info(options: &RedisOptions) -> Result<ConnectionInfo, Invalid> {
    let url = options.url.as_str();
    if !url.starts_with("redis://") && !url.starts_with("rediss://") {
        return Err(bad_url("it does not begin with redis://"));
    }
    let mut info = url.into_connection_info().map_err(|e| bad_url(e.to_string()))?;
    if let Some(ca) = &options.ca {
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) };
        let client = Client::build_with_tls(info, certificates).map_err(|e| Invalid::new("ca_file", e.to_string()))?;
        info = client.get_connection_info().clone();
    }
    // small commands and their answers: waiting for more to send only adds latency
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Never says the URL itself: it may hold a password.
fn bad_url(why: impl std::fmt::Display) -> Invalid {
    Invalid::new("url", format!("must be redis[s]://[user:password@]host[:port][/database], but {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_url_is_refused_without_saying_the_password() {
        for url in
            ["", "localhost:6379", "http://u:secret@h", "redis://", "redis://u:secret@h:99999", "redis://h/secret"]
        {
            let error = Link::new(&RedisOptions::new(url)).err().unwrap_or_else(|| panic!("{url} was accepted"));
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.to_string().contains("must be redis[s]://"), "{error}");
        }
    }

    #[test]
    fn the_database_is_read_from_the_url_and_nothing_is_connected() {
        assert_eq!(Link::new(&RedisOptions::new("redis://u:p@192.0.2.1:1/7")).unwrap().database(), 7);
        assert_eq!(Link::new(&RedisOptions::new("redis://192.0.2.1")).unwrap().database(), 0);
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_is_applied() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        drop(listener);
        let link = Link::new(&RedisOptions::new(url)).unwrap();
        let done: Result<(), _> = link.run(|_| async { panic!("there is no connection") }).await;
        assert!(matches!(done, Err(LedgerError::NotApplied(_))), "{done:?}");
    }

    /// A server that takes connections and never says a word.
    #[tokio::test]
    async fn a_silent_server_costs_no_more_than_the_time_for_a_call() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = RedisOptions::new(format!("redis://{}", listener.local_addr().unwrap()));
        options.connect_timeout = Duration::from_millis(50);
        options.response_timeout = Duration::from_millis(100);
        let link = Link::new(&options).unwrap();
        let since = Instant::now();
        let done: Result<(), _> = link.run(|_| async { Ok(()) }).await;
        assert!(matches!(done, Err(LedgerError::NotApplied(_))), "{done:?}");
        assert!(since.elapsed() < Duration::from_secs(1));
    }
}
