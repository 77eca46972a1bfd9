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
use std::time::Duration;

use super::file::{self, OpenError, Opened};
use super::store::Store;
use super::tables::{CLOCK_KEY, StoreError, Tables};
use super::work::{Order, Pending, Published, Work};
use crate::domain::ids::RoomId;
use crate::ledger::{FeedEvent, LedgerError};
use redb::WriteTransaction;

/// Most work of one transaction, in casts: a few tens of milliseconds, so that nobody waits long for the next one.
const MAX_WEIGHT: usize = 4_000;
/// Pause between two tries to open a file that cannot be opened.
const RETRY: Duration = Duration::from_millis(250);

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
                let closed = || Some(LedgerError::NotApplied("the ledger file cannot be opened".into()));
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
            if work >= MAX_WEIGHT {
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
        let lost = |error| LedgerError::from(StoreError::File(Box::new(error)));
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
                tracing::error!(%error, "the ledger file cannot be used any more: this process ends");
                std::process::abort();
            }
            Err(error) if was_open => tracing::error!(%error, "the ledger file cannot be opened again, trying on"),
            Err(_) => {}
        }
        file.is_some()
    }
}
