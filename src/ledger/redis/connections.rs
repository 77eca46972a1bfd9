//! Connections to Redis: a pool for most calls, connections of their own for partition writers and feeds. Also the
//! timeout of a call, and the confirmation of a change by replicas.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use redis::aio::{MultiplexedConnection, PubSub};
use tokio::time::{Instant, timeout, timeout_at};

use super::error;
use super::options::RedisOptions;
use super::primary::{Primary, PrimaryResolver};
use crate::domain::Invalid;
use crate::ledger::LedgerError;

/// How long replicas may take to confirm a change.
const REPLICAS_TIMEOUT_MS: u64 = 1_000;

/// A handle that all parts of the ledger share; clones share the pool.
#[derive(Clone)]
pub(super) struct Connections {
    primary: PrimaryResolver,
    replicas: usize,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Connections {
    /// Checks the options; connects to nothing yet.
    pub(super) fn new(options: &RedisOptions) -> Result<Self, Invalid> {
        Ok(Self {
            primary: PrimaryResolver::new(options)?,
            replicas: options.replicas,
            connect_timeout: options.connect_timeout.min(options.response_timeout),
            response_timeout: options.response_timeout,
        })
    }

    /// The number of the database that the keys are in.
    pub(super) fn database(&self) -> i64 {
        self.primary.database()
    }

    /// How many replicas confirm a change before it is answered.
    pub(super) fn replicas(&self) -> usize {
        self.replicas
    }

    /// True if another server may take the primary's place.
    pub(super) fn may_fail_over(&self) -> bool {
        self.primary.may_change()
    }

    /// Does `work` on a pooled connection, within the timeout of a call, without waiting for replicas: for reads, and
    /// for data that expires within seconds.
    pub(super) async fn run<T, F>(&self, work: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        self.on_pooled(async |connection| work(connection).await).await
    }

    /// As [`Connections::run`], for calls that change something or return what a change has stored: the result is
    /// returned after the replicas have it. Otherwise a failover could take it back.
    pub(super) async fn change<T, F>(&self, work: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        self.on_pooled(async |connection| self.confirmed(work(connection.clone()), &connection).await).await
    }

    /// A connection that failed is not used again: a reply to the failed call may still arrive on it.
    async fn on_pooled<T>(
        &self,
        work: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let end = Instant::now() + self.response_timeout;
        let primary = self.resolve().await?;
        let pooled = self.connect_to(&primary, primary.pool.get()).await?;
        let done = timeout_at(end, work(pooled.clone())).await.unwrap_or_else(|_| Err(error::timed_out()));
        if is_failure(&done) {
            drop(deadpool_redis::Connection::take(pooled));
            self.primary.invalidate(&primary);
        }
        done
    }

    /// A new connection for the caller alone.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, LedgerError> {
        let primary = self.resolve().await?;
        let connecting = primary.client.get_multiplexed_async_connection_with_config(self.primary.config());
        self.connect_to(&primary, connecting).await
    }

    /// As [`Connections::change`], on the caller's `own` connection, which is made if there is none and dropped if it
    /// fails.
    pub(super) async fn change_on<T, F>(
        &self,
        own: &mut Option<MultiplexedConnection>,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let end = Instant::now() + self.response_timeout;
        // taken out while it is used: when this future is dropped, no connection with an outstanding reply is left
        let connection = match own.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let done = self.confirmed(work(connection.clone()), &connection);
        let done = timeout_at(end, done).await.unwrap_or_else(|_| Err(error::timed_out()));
        if is_failure(&done) {
            self.primary.invalidate_current();
        } else {
            *own = Some(connection);
        }
        done
    }

    /// A new pub/sub connection, subscribed to these channels.
    pub(super) async fn subscribe(&self, channels: &[String]) -> Result<PubSub, LedgerError> {
        let primary = self.resolve().await?;
        let connecting = async {
            let mut messages = primary.client.get_async_pubsub().await?;
            messages.subscribe(channels).await?;
            Ok::<_, RedisError>(messages)
        };
        self.connect_to(&primary, connecting).await
    }

    /// Waits for a connection to `primary`, at most for the connect timeout. If it fails, the primary is looked up anew
    /// for the next call.
    async fn connect_to<T, E: Display>(
        &self,
        primary: &Arc<Primary>,
        connecting: impl Future<Output = Result<T, E>>,
    ) -> Result<T, LedgerError> {
        let connected = match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(error::unreachable),
            Err(_) => Err(error::unreachable("no connection in time")),
        };
        connected.inspect_err(|_| self.primary.invalidate(primary))
    }

    async fn resolve(&self) -> Result<Arc<Primary>, LedgerError> {
        match timeout(self.connect_timeout, self.primary.resolve()).await {
            Ok(primary) => primary,
            Err(_) => Err(error::unreachable("no sentinel answered in time")),
        }
    }

    /// The result of `work`, after the replicas have everything that is stored. Also when `work` stored nothing: it may
    /// return what another call has stored and the replicas do not have yet.
    async fn confirmed<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>>,
        connection: &MultiplexedConnection,
    ) -> Result<T, LedgerError> {
        let done = work.await?;
        match self.unconfirmed(connection).await.map_err(error::after_first_step)? {
            None => Ok(done),
            Some(reason) => Err(LedgerError::MaybeApplied(reason)),
        }
    }

    /// Waits until the replicas have everything that is stored. If too few have it in time, returns a text with their
    /// number.
    pub(super) async fn unconfirmed(&self, connection: &MultiplexedConnection) -> Result<Option<String>, RedisError> {
        if self.replicas == 0 {
            return Ok(None);
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(REPLICAS_TIMEOUT_MS);
        let confirmed: usize = wait.query_async(&mut connection.clone()).await?;
        let too_few = || format!("{confirmed} of {} replicas have confirmed it in time", self.replicas);
        Ok((confirmed < self.replicas).then(too_few))
    }
}

/// True if the connection must not be used again.
fn is_failure<T>(done: &Result<T, LedgerError>) -> bool {
    matches!(done, Err(LedgerError::NotApplied(_) | LedgerError::MaybeApplied(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_to_a_closed_port_is_not_applied() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        drop(listener);
        let connections = Connections::new(&RedisOptions::new(url)).unwrap();
        let done: Result<(), _> = connections.run(|_| async { panic!("there is no connection") }).await;
        assert!(matches!(done, Err(LedgerError::NotApplied(_))), "{done:?}");
    }

    /// The server accepts connections and never sends anything.
    #[tokio::test]
    async fn a_call_to_a_silent_server_ends_with_the_timeout() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = RedisOptions::new(format!("redis://{}", listener.local_addr().unwrap()));
        options.connect_timeout = Duration::from_millis(50);
        options.response_timeout = Duration::from_millis(100);
        let connections = Connections::new(&options).unwrap();
        let since = Instant::now();
        let done: Result<(), _> = connections.run(|_| async { Ok(()) }).await;
        assert!(matches!(done, Err(LedgerError::NotApplied(_))), "{done:?}");
        assert!(since.elapsed() < Duration::from_secs(1));
    }
}
