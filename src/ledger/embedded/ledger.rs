//! Opening and closing the embedded ledger, and its health.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use redb::ReadTransaction;

use super::clock::{Clocks, clocks};
use super::file::{self, OpenError, Opened};
use super::presence::Presence;
use super::store::Store;
use super::tables::{CLOCK_KEY, META};
use super::writer::{Reopen, Writer};
use crate::ledger::{Diagnostics, Health, LedgerError, SlowLog};

/// The ledger in a file, see the [module](super). Dropping it finishes what is queued and closes the file.
pub struct EmbeddedLedger {
    pub(super) store: Arc<Store>,
    pub(super) presence: Arc<Presence>,
    /// `None` for the handle of the commands: the other one ends the writer.
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedLedger {
    /// Opens the ledger file at `path`, or creates it. Each gate is published at most once in `tick_ms`.
    ///
    /// # Errors
    /// The file is in use, is not a ledger, is damaged, or cannot be created or opened. Nothing was changed then.
    pub fn open(path: impl AsRef<Path>, tick_ms: u64) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let opened = file::open_or_create(&path)?;
        Ok(Self::start(opened, Box::new(move || file::open(&path)), clocks(), tick_ms))
    }

    pub(super) fn start(opened: Opened, reopen: Reopen, clocks: Clocks, tick_ms: u64) -> Self {
        let (store, commands) = Store::new(opened, clocks);
        let writer = Writer::new(Arc::clone(&store), commands, reopen, Duration::from_millis(tick_ms));
        let thread = std::thread::Builder::new().name("ledger writer".into());
        let writer = thread.spawn(move || writer.run()).expect("the system has one more thread");
        Self { store, presence: Arc::default(), writer: Some(writer) }
    }

    /// A second handle, for the emcee's commands: its calls do not wait for a place behind everybody else's. It is of no
    /// use once this one is dropped.
    pub fn for_commands(&self) -> Self {
        Self { store: self.store.for_commands(), presence: self.presence.clone(), writer: None }
    }
}

impl Drop for EmbeddedLedger {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.store.close();
            // never an error: a panic of the writer aborts the process
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Diagnostics for EmbeddedLedger {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        let read = |transaction: &ReadTransaction| Ok(transaction.open_table(META)?.get(CLOCK_KEY)?.map(drop));
        self.store.read(read).await.map(drop)
    }

    async fn check(&self) -> Result<Health, LedgerError> {
        // a commit of the time alone: it reaches the disk, and waits behind the changes that are queued
        let now = self.store.write(1, |transaction| Ok(transaction.now)).await?;
        Ok(Health { now, unsafe_because: None, slow_log: None })
    }

    async fn slow_log(&self) -> Result<SlowLog, LedgerError> {
        Ok(SlowLog::unreadable(
            "the embedded ledger keeps no slow log; tallycast_commit_seconds tells how long commits take",
        ))
    }
}
