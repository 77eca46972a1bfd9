//! The one thread that changes the file.
//!
//! It takes what has queued up, whatever rooms and kinds of changes, applies it in one transaction, commits, then
//! answers: group commit without a timer, so an idle ledger answers at once and a busy one batches by itself. A
//! change checks everything before it writes, so one that is refused leaves no trace and spoils no other.
//!
//! After a failed transaction or read the file is closed and opened again, for the store refuses to go on with it. While
//! that fails too, every change is answered as not applied, and it is tried again for ever. But a file that is damaged
//! does not heal, and without this thread nothing can be stored: then the process ends, and the next start says what
//! is to be done. One that lives on would look as if it only had to be waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::WriteTransaction;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::file::{self, OpenError, Opened};
use super::store::Store;
use super::tables::{CLOCK_KEY, Tables, Trouble};
use crate::domain::LedgerMs;
use crate::domain::gate::Gate;
use crate::domain::ids::RoomId;
use crate::ledger::{FeedEvent, LedgerError};

/// Most work of one transaction, in casts: a few tens of milliseconds, so that nobody waits long for the next one.
const MOST_WEIGHT: usize = 4_000;
/// Pause between two tries to open a file that can not be opened.
const RETRY: Duration = Duration::from_millis(250);

/// What goes through the queue.
pub enum Order {
    /// Make a change.
    Change {
        /// How much work it is, in casts.
        weight: usize,
        /// The change, with the way back to its caller.
        pending: Box<dyn Pending>,
    },
    /// A read has failed: open the file again.
    Reopen,
    /// Finish what is queued and close the file.
    Close,
}

/// A change that waits for its turn, then for its commit.
pub trait Pending: Send {
    /// Makes the change and keeps what it came to. An error means that the transaction is lost.
    fn apply(&mut self, work: &mut Work<'_>) -> Result<(), Box<redb::Error>>;
    /// Answers: what it came to, or why the transaction came to nothing.
    fn answer(self: Box<Self>, failure: Option<LedgerError>);
}

/// A change as a caller asks for it.
pub struct Asked<T, F> {
    change: Option<F>,
    result: Option<Result<T, LedgerError>>,
    answer: oneshot::Sender<Result<T, LedgerError>>,
    _place: OwnedSemaphorePermit,
}

impl<T, F> Asked<T, F> {
    /// `place` is given back with the answer.
    pub fn new(change: F, answer: oneshot::Sender<Result<T, LedgerError>>, place: OwnedSemaphorePermit) -> Self {
        Self { change: Some(change), result: None, answer, _place: place }
    }
}

impl<T, F> Pending for Asked<T, F>
where
    T: Send,
    F: FnOnce(&mut Work<'_>) -> Result<T, Trouble> + Send,
{
    fn apply(&mut self, work: &mut Work<'_>) -> Result<(), Box<redb::Error>> {
        let Some(change) = self.change.take() else { return Ok(()) };
        self.result = Some(match change(work) {
            Ok(value) => Ok(value),
            Err(Trouble::File(error)) => return Err(error),
            Err(trouble) => Err(trouble.into()),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<LedgerError>) {
        let result = match (failure, self.result) {
            (None, Some(result)) => result,
            (Some(failure), _) => Err(failure),
            (None, None) => Err(LedgerError::NotApplied("it was not its turn".into())),
        };
        // the caller may have lost patience
        let _ = self.answer.send(result);
    }
}

/// What a change works with.
pub struct Work<'w> {
    /// The ledger's time, the same for the whole transaction.
    pub now: LedgerMs,
    /// The tables.
    pub tables: Tables<'w>,
    /// Told to all feeds after the commit.
    events: Vec<FeedEvent>,
    published: &'w mut HashMap<(RoomId, u16), Published>,
    tick: Duration,
}

/// When a gate was last published, and with which version.
struct Published {
    at: Instant,
    version: u64,
}

impl Work<'_> {
    /// Tells all feeds, if the commit succeeds.
    pub fn announce(&mut self, event: FeedEvent) {
        self.events.push(event);
    }

    /// Publishes a gate, unless another version of it was published within the tick. True if this version is out.
    pub fn publish_in_turn(&mut self, room: &RoomId, partition: u16, gate: &Gate) -> bool {
        let key = (room.clone(), partition);
        let early = |last: &Published| last.at.elapsed() < self.tick && last.version < gate.tally.version;
        if self.published.get(&key).is_some_and(early) {
            return false;
        }
        self.publish(room, partition, gate);
        true
    }

    /// The version of a gate that was published last; 0: none.
    pub fn published_version(&self, room: &RoomId, partition: u16) -> u64 {
        self.published.get(&(room.clone(), partition)).map_or(0, |last| last.version)
    }

    /// Publishes a gate, unless this version of it was published already.
    pub fn publish(&mut self, room: &RoomId, partition: u16, gate: &Gate) {
        let version = gate.tally.version;
        // version 0: no target has reached the gate yet
        if self.published_version(room, partition) < version {
            let key = (room.clone(), partition);
            self.published.insert(key, Published { at: Instant::now(), version });
            let gate = Box::new(gate.clone());
            self.events.push(FeedEvent::Gate { room: room.clone(), partition, gate });
        }
    }
}

/// Opens the file again.
pub type Reopen = Box<dyn FnMut() -> Result<Opened, OpenError> + Send>;

/// Held by the writer: the store trusts what a file says, and panics at some of what a damaged one does.
struct EndsProcess;

impl Drop for EndsProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                "the ledger's writer has ended in a panic, so nothing more can be stored: this process ends. If the \
                 ledger file is damaged the next start says so, and what to do"
            );
            std::process::abort();
        }
    }
}

/// See the [module](self).
pub struct Writer {
    store: Arc<Store>,
    orders: Receiver<Order>,
    reopen: Reopen,
    tick: Duration,
    published: HashMap<(RoomId, u16), Published>,
}

impl Writer {
    /// Publishes each gate at most once a `tick`.
    pub fn new(store: Arc<Store>, orders: Receiver<Order>, reopen: Reopen, tick: Duration) -> Self {
        Self { store, orders, reopen, tick, published: HashMap::new() }
    }

    /// Works until it is told to close, or until nobody is left to ask.
    pub fn run(mut self) {
        let _ends_with_it = EndsProcess;
        let mut goes_on = true;
        while goes_on {
            let mut batch = vec![];
            goes_on = self.gather(&mut batch);
            if self.is_usable() || self.open_again() {
                self.carry_out(batch);
            } else {
                let closed = || Some(LedgerError::NotApplied("the ledger file can not be opened".into()));
                batch.into_iter().for_each(|pending| pending.answer(closed()));
            }
        }
        *self.store.file_mut() = None;
    }

    fn is_open(&self) -> bool {
        self.store.file().is_some()
    }

    fn is_usable(&self) -> bool {
        self.is_open() && !self.store.read_failed()
    }

    /// Waits for a change, then takes what else is queued. False: this is the last batch.
    fn gather(&self, batch: &mut Vec<Box<dyn Pending>>) -> bool {
        let wait = if self.is_open() { Duration::MAX } else { RETRY };
        let mut order = match self.orders.recv_timeout(wait) {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        let mut work = 0;
        loop {
            match order {
                Order::Close => return false,
                Order::Reopen => return true,
                Order::Change { weight, pending } => {
                    work += weight;
                    batch.push(pending);
                }
            }
            if work >= MOST_WEIGHT {
                return true;
            }
            order = match self.orders.try_recv() {
                Ok(order) => order,
                Err(_) => return true,
            };
        }
    }

    /// Applies, commits, publishes, answers.
    fn carry_out(&mut self, mut batch: Vec<Box<dyn Pending>>) {
        if batch.is_empty() {
            return;
        }
        let failure = match self.transact(&mut batch) {
            Ok(events) => {
                events.into_iter().for_each(|event| self.store.publish(event));
                None
            }
            Err(error) => {
                tracing::error!(%error, changes = batch.len(), "the ledger file failed");
                self.published.clear();
                self.open_again();
                Some(error)
            }
        };
        batch.into_iter().for_each(|pending| pending.answer(failure.clone()));
    }

    fn transact(&mut self, batch: &mut [Box<dyn Pending>]) -> Result<Vec<FeedEvent>, LedgerError> {
        let store = Arc::clone(&self.store);
        let file = store.file();
        let Some(database) = file.as_ref() else {
            return Err(LedgerError::NotApplied("the ledger file is not open".into()));
        };
        let lost = |error| LedgerError::from(Trouble::File(Box::new(error)));
        let transaction = file::begin(database).map_err(lost)?;
        let events = self.apply(&transaction, batch).map_err(lost)?;
        transaction.commit().map_err(|error| LedgerError::MaybeApplied(error.to_string()))?;
        Ok(events)
    }

    fn apply(
        &mut self,
        transaction: &WriteTransaction,
        batch: &mut [Box<dyn Pending>],
    ) -> Result<Vec<FeedEvent>, redb::Error> {
        let tables = Tables::open(transaction)?;
        let now = self.store.now();
        let mut work = Work { now, tables, events: vec![], published: &mut self.published, tick: self.tick };
        work.tables.meta.insert(CLOCK_KEY, now)?;
        for pending in batch {
            pending.apply(&mut work).map_err(|error| *error)?;
        }
        Ok(work.events)
    }

    /// Closes the file and opens it again. False: it stays closed for now.
    fn open_again(&mut self) -> bool {
        let mut file = self.store.file_mut();
        let was_open = file.is_some();
        // the lock on the file goes with the old handle
        *file = None;
        match (self.reopen)() {
            Ok(opened) => {
                tracing::info!("the ledger file was opened again");
                *file = Some(opened.database);
            }
            Err(error) if error.is_for_good() => {
                tracing::error!(%error, "the ledger file can not be used any more: this process ends");
                std::process::abort();
            }
            Err(error) if was_open => tracing::error!(%error, "the ledger file can not be opened again, trying on"),
            Err(_) => {}
        }
        file.is_some()
    }
}
