//! What callers, readers and the writer share: the open file, the clock, the writer's queue, the feed. And how many of
//! them may use it at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::{Semaphore, broadcast, oneshot};
use tokio::time::timeout;

use super::clock::{Clock, Clocks};
use super::file::Opened;
use super::tables::StoreError;
use super::write_request::{Change, WriterCommand};
use super::write_transaction::WriteTransaction;
use crate::domain::LedgerMs;
use crate::ledger::{FeedEvent, LedgerError};

/// How long a caller waits, for a place in the queue and then for the reply. The contract demands it for a commit.
const TIMEOUT: Duration = Duration::from_secs(2);
/// What everybody's calls may do at the same time.
const COMMON: Limits = Limits { queued_changes: 1_024, readers: 4 };
/// What the emcee's commands may do besides.
const COMMANDS: Limits = Limits { queued_changes: 64, readers: 2 };
/// Events that a slow feed can lag behind before it misses some and reports that.
const MAX_QUEUED_EVENTS: usize = 1_024;

/// How many calls are taken at the same time; further callers wait for a place.
#[derive(Clone, Copy)]
struct Limits {
    /// Changes that wait for the writer. It takes all of them into its next transaction or two.
    queued_changes: usize,
    /// Reads are served from memory, so more of them would only compete for the processors.
    readers: usize,
}

/// A way to the [`Shared`] parts of the ledger, with places of its own. See [`Store::for_commands`].
pub struct Store {
    shared: Arc<Shared>,
    queue_permits: Arc<Semaphore>,
    read_permits: Arc<Semaphore>,
}

/// What every [`Store`] of a ledger shares.
struct Shared {
    /// `None` while the file cannot be opened, and after the close.
    file: RwLock<Option<Database>>,
    /// A read of the open file has failed. redb then refuses every read and change until the file is opened again.
    read_failed: AtomicBool,
    clock: Clock,
    queue: mpsc::Sender<WriterCommand>,
    events: broadcast::Sender<FeedEvent>,
}

impl Store {
    /// A store around an open file, and the receiving end of the writer's queue.
    pub fn new(opened: Opened, clocks: Clocks) -> (Arc<Self>, mpsc::Receiver<WriterCommand>) {
        let (queue, commands) = mpsc::channel();
        let shared = Shared {
            file: RwLock::new(Some(opened.database)),
            read_failed: AtomicBool::new(false),
            clock: Clock::new(opened.clock, clocks),
            queue,
            events: broadcast::Sender::new(MAX_QUEUED_EVENTS),
        };
        (Arc::new(Self::with(Arc::new(shared), COMMON)), commands)
    }

    /// The same store with places for the emcee's commands: they do not wait behind a thousand joins for one.
    pub fn for_commands(&self) -> Arc<Self> {
        Arc::new(Self::with(self.shared.clone(), COMMANDS))
    }

    fn with(shared: Arc<Shared>, limits: Limits) -> Self {
        let queue_permits = Arc::new(Semaphore::new(limits.queued_changes));
        Self { shared, queue_permits, read_permits: Arc::new(Semaphore::new(limits.readers)) }
    }

    /// The ledger's time: never less than any time that was read or stored before.
    pub fn now(&self) -> LedgerMs {
        self.shared.clock.now()
    }

    /// The open file, for a transaction.
    pub fn file(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.shared.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exclusive access to the file, to close and open it. Waits until all reads are done, and forgets failed ones:
    /// they were reads of the old handle.
    pub fn file_mut(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        let file = self.shared.file.write().unwrap_or_else(PoisonError::into_inner);
        self.shared.read_failed.store(false, Ordering::Release);
        file
    }

    /// True if a read of the file that is open now has failed.
    pub fn read_failed(&self) -> bool {
        self.shared.read_failed.load(Ordering::Acquire)
    }

    /// Sends an event to all feeds, if there are any.
    pub fn publish(&self, event: FeedEvent) {
        let _ = self.shared.events.send(event);
    }

    /// Subscribes to the events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<FeedEvent> {
        self.shared.events.subscribe()
    }

    /// Tells the writer to finish its queue and close the file.
    pub fn close(&self) {
        let _ = self.shared.queue.send(WriterCommand::Close);
    }

    /// Lets the writer make a change, and returns when it is on disk. `weight` is how much work the change is, in
    /// casts.
    ///
    /// # Errors
    /// [`LedgerError::NotApplied`] if the queue is full or the file is closed, [`LedgerError::MaybeApplied`] if the
    /// reply does not arrive in time, and the errors of the change.
    pub async fn write<T, F>(&self, weight: usize, change: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut WriteTransaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.queue_permits).acquire_owned();
        let Ok(Ok(permit)) = timeout(TIMEOUT, permit).await else {
            return Err(LedgerError::NotApplied("too many changes are waiting".into()));
        };
        let (sender, reply) = oneshot::channel();
        let request = Box::new(Change::new(change, sender, permit));
        if self.shared.queue.send(WriterCommand::Write { weight, request }).is_err() {
            // the writer ends only when it is told to: a panic of it aborts the process
            return Err(LedgerError::NotApplied("the ledger is closed".into()));
        }
        match timeout(TIMEOUT, reply).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(LedgerError::MaybeApplied("the ledger was closed before it replied".into())),
            Err(_) => Err(LedgerError::MaybeApplied("no answer from the disk in time".into())),
        }
    }

    /// Reads a committed state of the file.
    ///
    /// On the blocking pool: a page that is not in memory is a read of the disk, and a file that is being opened again
    /// makes readers wait. Neither may delay the sockets of this thread.
    ///
    /// # Errors
    /// [`LedgerError::NotApplied`] if too many reads are waiting, the file is closed or the disk does not answer in
    /// time, and the errors of the read.
    pub async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    {
        let not_read = |why: &str| LedgerError::NotApplied(format!("not read: {why}"));
        let permit = Arc::clone(&self.read_permits).acquire_owned();
        let Ok(Ok(permit)) = timeout(TIMEOUT, permit).await else {
            return Err(not_read("too many reads are waiting"));
        };
        let store = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let file = store.file();
            let Some(file) = file.as_ref() else {
                return Err(LedgerError::NotApplied("the ledger file is not open at the moment".into()));
            };
            let result = file.begin_read().map_err(StoreError::from).and_then(|transaction| read(&transaction));
            // while the lock on the file is held, so that the failure belongs to the handle that is open now
            if result.as_ref().is_err_and(StoreError::needs_reopen)
                && !store.shared.read_failed.swap(true, Ordering::AcqRel)
            {
                let _ = store.shared.queue.send(WriterCommand::Reopen);
            }
            Ok(result?)
        });
        match timeout(TIMEOUT, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) if error.is_panic() => Err(LedgerError::Corrupt("a read has panicked".into())),
            Ok(Err(_)) => Err(not_read("the reader was stopped")),
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
