//! The way to Redis: a pool for everything, connections of their own for lanes and feeds, and the time a call may take.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use redis::aio::{MultiplexedConnection, PubSub};
use tokio::time::{Instant, timeout, timeout_at};

use super::fault;
use super::options::RedisOptions;
use super::route::{Primary, Route};
use crate::domain::Invalid;
use crate::ledger::LedgerError;

/// How long replicas may take to confirm a change, in ms.
const REPLICAS_WITHIN_MS: u64 = 1_000;

/// A handle that all parts of the ledger share.
#[derive(Clone)]
pub(super) struct Link {
    route: Route,
    replicas: usize,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Link {
    /// Checks the options; connects to nothing yet.
    pub(super) fn new(options: &RedisOptions) -> Result<Self, Invalid> {
        Ok(Self {
            route: Route::new(options)?,
            replicas: options.replicas,
            connect_timeout: options.connect_timeout.min(options.response_timeout),
            response_timeout: options.response_timeout,
        })
    }

    /// The number of the database that the keys are in.
    pub(super) fn database(&self) -> i64 {
        self.route.database()
    }

    /// How many replicas confirm a change before it is answered.
    pub(super) fn replicas(&self) -> usize {
        self.replicas
    }

    /// True if another server may take the primary's place.
    pub(super) fn may_fail_over(&self) -> bool {
        self.route.may_change()
    }

    /// Does `work` on a connection of the pool, within the time for a call, and waits for no replica: for reads, and for
    /// what is worth no more than the seconds it lives.
    pub(super) async fn run<T, F>(&self, work: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        self.on_pooled(async |connection| work(connection).await).await
    }

    /// As [`Link::run`], for what changes something, or says what it was changed to: what it comes to is answered once
    /// the replicas have it, else a failover could take it back.
    pub(super) async fn change<T, F>(&self, work: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        self.on_pooled(async |connection| self.confirmed(work(connection.clone()), &connection).await).await
    }

    /// A connection that failed is not used again: what it had been asked may still be on its way, and its answers would
    /// be late.
    async fn on_pooled<T>(
        &self,
        work: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let end = Instant::now() + self.response_timeout;
        let primary = self.primary().await?;
        let pooled = match timeout(self.connect_timeout, primary.pool.get()).await {
            Ok(pooled) => pooled.map_err(fault::unreachable),
            Err(_) => Err(fault::unreachable("no connection in time")),
        };
        let pooled = pooled.inspect_err(|_| self.route.doubt(&primary))?;
        let done = timeout_at(end, work(pooled.clone())).await.unwrap_or_else(|_| Err(fault::unanswered()));
        if is_failure(&done) {
            drop(deadpool_redis::Connection::take(pooled));
            self.route.doubt(&primary);
        }
        done
    }

    /// A connection of the caller's own.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, LedgerError> {
        let primary = self.primary().await?;
        let connecting = primary.client.get_multiplexed_async_connection_with_config(self.route.config());
        let connected = match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(fault::unreachable),
            Err(_) => Err(fault::unreachable("no connection in time")),
        };
        connected.inspect_err(|_| self.route.doubt(&primary))
    }

    /// As [`Link::change`], on a connection of the caller's own, made first if there is none. It is dropped if it fails.
    pub(super) async fn change_on<T, F>(
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
        let done = self.confirmed(work(connection.clone()), &connection);
        let done = timeout_at(end, done).await.unwrap_or_else(|_| Err(fault::unanswered()));
        if is_failure(&done) {
            self.route.doubt_current();
        } else {
            *own = Some(connection);
        }
        done
    }

    /// A connection for messages, subscribed to these channels.
    pub(super) async fn subscribe(&self, channels: &[String]) -> Result<PubSub, LedgerError> {
        let primary = self.primary().await?;
        let connecting = async {
            let mut messages = primary.client.get_async_pubsub().await?;
            messages.subscribe(channels).await?;
            Ok(messages)
        };
        let connected = match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|e: redis::RedisError| fault::unreachable(e)),
            Err(_) => Err(fault::unreachable("no connection in time")),
        };
        connected.inspect_err(|_| self.route.doubt(&primary))
    }

    async fn primary(&self) -> Result<Arc<Primary>, LedgerError> {
        match timeout(self.connect_timeout, self.route.primary()).await {
            Ok(primary) => primary,
            Err(_) => Err(fault::unreachable("no sentinel answered in time")),
        }
    }

    /// What `work` comes to, once the replicas have it. They are waited for also where it stored nothing: it may have
    /// found what another call has stored and the replicas do not have yet.
    async fn confirmed<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>>,
        connection: &MultiplexedConnection,
    ) -> Result<T, LedgerError> {
        let done = work.await?;
        match self.unconfirmed(connection).await.map_err(fault::after_a_step)? {
            None => Ok(done),
            Some(said) => Err(LedgerError::MaybeApplied(said)),
        }
    }

    /// Waits until the replicas have all that is stored. Says how many do, if these are too few after a second.
    pub(super) async fn unconfirmed(&self, connection: &MultiplexedConnection) -> Result<Option<String>, RedisError> {
        if self.replicas == 0 {
            return Ok(None);
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(REPLICAS_WITHIN_MS);
        let confirmed: usize = wait.query_async(&mut connection.clone()).await?;
        let too_few = || format!("{confirmed} of {} replicas have confirmed it in time", self.replicas);
        Ok((confirmed < self.replicas).then(too_few))
    }
}

/// True if the connection is not to be used again.
fn is_failure<T>(done: &Result<T, LedgerError>) -> bool {
    matches!(done, Err(LedgerError::NotApplied(_) | LedgerError::MaybeApplied(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
