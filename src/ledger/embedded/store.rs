//! What the handles of one ledger share: the open file, the clock, the writer's queue, the feed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::{Semaphore, broadcast, oneshot};
use tokio::time::timeout;

use super::clock::{Clock, Clocks};
use super::file::Opened;
use super::tables::StoreError;
use super::work::{Asked, Order, Work};
use crate::domain::LedgerMs;
use crate::ledger::{FeedEvent, LedgerError};

/// How long a caller waits for an answer; the contract's bound for a commit, and good enough for everything else.
const PATIENCE: Duration = Duration::from_secs(2);
/// Changes that may wait for the writer; more callers than that wait for a place.
const QUEUE: usize = 1_024;
/// Reads at the same time. They are served from memory, so more would only take turns on the processors.
const READERS: usize = 4;
/// Events that a slow feed may lag behind before it misses some and says so.
const FEED: usize = 1_024;

/// See the [module](self).
pub struct Store {
    /// `None` while it cannot be opened, and after the close.
    file: RwLock<Option<Database>>,
    /// A read of the open file has failed. The store then refuses every read and change until it is opened again.
    read_failed: AtomicBool,
    clock: Clock,
    queue: mpsc::Sender<Order>,
    places: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    events: broadcast::Sender<FeedEvent>,
}

impl Store {
    /// Around an open file; the other end of the queue is the writer's.
    pub fn new(opened: Opened, clocks: Clocks) -> (Arc<Self>, mpsc::Receiver<Order>) {
        let (queue, orders) = mpsc::channel();
        let store = Self {
            file: RwLock::new(Some(opened.database)),
            read_failed: AtomicBool::new(false),
            clock: Clock::new(opened.clock, clocks),
            queue,
            places: Arc::new(Semaphore::new(QUEUE)),
            readers: Arc::new(Semaphore::new(READERS)),
            events: broadcast::Sender::new(FEED),
        };
        (Arc::new(store), orders)
    }

    /// The ledger's time, never less than was read or stored before.
    pub fn now(&self) -> LedgerMs {
        self.clock.now()
    }

    /// The open file, to read or to write in it.
    pub fn file(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the file, to close and open it. Waits until nobody reads; failed reads were those of the old file.
    pub fn file_mut(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        let file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        self.read_failed.store(false, Ordering::Release);
        file
    }

    /// True if a read of the file that is open now has failed.
    pub fn read_failed(&self) -> bool {
        self.read_failed.load(Ordering::Acquire)
    }

    /// Tells all feeds. Nobody listening is fine.
    pub fn publish(&self, event: FeedEvent) {
        let _ = self.events.send(event);
    }

    /// A new end of the feed.
    pub fn subscribe(&self) -> broadcast::Receiver<FeedEvent> {
        self.events.subscribe()
    }

    /// Asks the writer to finish its queue and close the file.
    pub fn close(&self) {
        let _ = self.queue.send(Order::Close);
    }

    /// Has the writer make a change, and answers when it is on disk. `weight` is how much work it is, in casts.
    pub async fn change<T, F>(&self, weight: usize, change: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned();
        let Ok(Ok(place)) = timeout(PATIENCE, place).await else {
            return Err(LedgerError::NotApplied("too many changes are waiting".into()));
        };
        let (answer, answered) = oneshot::channel();
        let asked = Asked::new(change, answer, place);
        if self.queue.send(Order::Change { weight, pending: Box::new(asked) }).is_err() {
            // the writer ends when it is told to; if it panics it takes the process along
            return Err(LedgerError::NotApplied("the ledger is closed".into()));
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(LedgerError::MaybeApplied("the ledger was closed meanwhile".into())),
            Err(_) => Err(LedgerError::MaybeApplied("no answer from the disk in time".into())),
        }
    }

    /// Reads a state of the file in which every change is whole.
    ///
    /// On the blocking pool, not here: a page that is not in memory is a read of the disk, and a file that is being
    /// opened again has to be waited for. Neither may hold up the sockets of this thread.
    pub async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    {
        let not_read = |why: &str| LedgerError::NotApplied(format!("not read: {why}"));
        let turn = Arc::clone(&self.readers).acquire_owned();
        let Ok(Ok(turn)) = timeout(PATIENCE, turn).await else {
            return Err(not_read("too many are reading"));
        };
        let store = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let file = store.file();
            let Some(file) = file.as_ref() else {
                return Err(LedgerError::NotApplied("the ledger file is not open at the moment".into()));
            };
            let result = file.begin_read().map_err(StoreError::from).and_then(|transaction| read(&transaction));
            // while the file is held, so that it is this one that is opened again
            if result.as_ref().is_err_and(StoreError::stops_the_store)
                && !store.read_failed.swap(true, Ordering::AcqRel)
            {
                let _ = store.queue.send(Order::Reopen);
            }
            Ok(result?)
        });
        match timeout(PATIENCE, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) if error.is_panic() => Err(LedgerError::Corrupt("a read has ended in a panic".into())),
            Ok(Err(_)) => Err(not_read("the reader has ended")),
            Err(_) => Err(not_read("no answer from the disk in time")),
        }
    }
}

impl From<StoreError> for LedgerError {
    /// For a read, and for a change that has written nothing.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::File(error) => match *error {
                redb::Error::Corrupted(detail) => Self::Corrupt(detail),
                error => Self::NotApplied(error.to_string()),
            },
            StoreError::Corrupt(detail) => Self::Corrupt(detail),
            StoreError::Misused(detail) => Self::NotApplied(detail.into()),
        }
    }
}
