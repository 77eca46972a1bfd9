//! The one thread that changes the file.
//!
//! It takes all changes that are queued, of whatever room and kind, applies them in one transaction, commits, then
//! replies. This is group commit without a timer: an idle ledger replies at once, and a busy one batches by itself. A
//! change checks everything before it writes, so a refused change leaves nothing behind and does not affect the others.
//!
//! After a failed transaction or read the file is closed and opened again, because redb refuses to continue with it.
//! While opening fails too, every change is answered as not applied, and opening is tried again without limit. A
//! damaged file is different: it does not heal, and without this thread nothing can be stored. Then the process aborts,
//! and its next start says what to do. A process that lived on would look as if waiting could help.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::file::{self, OpenError, Opened};
use super::store::Store;
use super::tables::{CLOCK_KEY, StoreError, Tables};
use super::write_request::{WriteRequest, WriterCommand};
use super::write_transaction::{Published, WriteTransaction};
use crate::domain::ids::RoomId;
use crate::ledger::{FeedEvent, LedgerError};

/// Most work of one transaction, in casts: a few tens of milliseconds, so that no caller waits long for the next one.
const MAX_WEIGHT: usize = 4_000;
/// Pause between two attempts to open a file that cannot be opened.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Opens the file again.
pub type Reopen = Box<dyn FnMut() -> Result<Opened, OpenError> + Send>;

/// Aborts the process when the writer panics: redb trusts what a file says, and panics at some damage.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                "the ledger's writer has panicked, so nothing more can be stored: this process ends. If the ledger file \
                 is damaged, the next start says so, and what to do"
            );
            std::process::abort();
        }
    }
}

/// See the [module](self).
pub struct Writer {
    store: Arc<Store>,
    commands: Receiver<WriterCommand>,
    reopen: Reopen,
    tick: Duration,
    published: HashMap<(RoomId, u16), Published>,
}

impl Writer {
    /// A writer whose commits publish each gate at most once in `tick`.
    pub fn new(store: Arc<Store>, commands: Receiver<WriterCommand>, reopen: Reopen, tick: Duration) -> Self {
        Self { store, commands, reopen, tick, published: HashMap::new() }
    }

    /// Runs until it is told to close, or until all senders of its queue are gone.
    pub fn run(mut self) {
        let _abort_on_panic = AbortOnPanic;
        let mut goes_on = true;
        while goes_on {
            let mut batch = vec![];
            goes_on = self.gather(&mut batch);
            if self.is_usable() || self.open_again() {
                self.carry_out(batch);
            } else {
                let failure = || Some(LedgerError::NotApplied("the ledger file cannot be opened".into()));
                batch.into_iter().for_each(|request| request.reply(failure()));
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

    /// Waits for a change, then takes all others that are queued. False if this is the last batch.
    fn gather(&self, batch: &mut Vec<Box<dyn WriteRequest>>) -> bool {
        let wait = if self.is_open() { Duration::MAX } else { RETRY_PAUSE };
        let mut command = match self.commands.recv_timeout(wait) {
            Ok(command) => command,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        let mut total_weight = 0;
        loop {
            match command {
                WriterCommand::Close => return false,
                WriterCommand::Reopen => return true,
                WriterCommand::Write { weight, request } => {
                    total_weight += weight;
                    batch.push(request);
                }
            }
            if total_weight >= MAX_WEIGHT {
                return true;
            }
            command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(_) => return true,
            };
        }
    }

    /// Applies, commits, publishes, replies.
    fn carry_out(&mut self, mut batch: Vec<Box<dyn WriteRequest>>) {
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
        batch.into_iter().for_each(|request| request.reply(failure.clone()));
    }

    fn transact(&mut self, batch: &mut [Box<dyn WriteRequest>]) -> Result<Vec<FeedEvent>, LedgerError> {
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
        transaction: &redb::WriteTransaction,
        batch: &mut [Box<dyn WriteRequest>],
    ) -> Result<Vec<FeedEvent>, redb::Error> {
        let tables = Tables::open(transaction)?;
        let now = self.store.now();
        let mut transaction =
            WriteTransaction { now, tables, events: vec![], published: &mut self.published, tick: self.tick };
        transaction.tables.meta.insert(CLOCK_KEY, now)?;
        for request in batch {
            request.apply(&mut transaction).map_err(|error| *error)?;
        }
        Ok(transaction.events)
    }

    /// Closes the file and opens it again. False if it stays closed for now.
    fn open_again(&mut self) -> bool {
        let mut file = self.store.file_mut();
        let was_open = file.is_some();
        // dropping the old handle releases the lock on the file
        *file = None;
        match (self.reopen)() {
            Ok(opened) => {
                tracing::info!("the ledger file was opened again");
                *file = Some(opened.database);
            }
            Err(error) if error.is_permanent() => {
                tracing::error!(%error, "the ledger file cannot be used any more: this process ends");
                std::process::abort();
            }
            Err(error) if was_open => {
                tracing::error!(%error, "the ledger file cannot be opened again; retrying");
            }
            Err(_) => {}
        }
        file.is_some()
    }
}
