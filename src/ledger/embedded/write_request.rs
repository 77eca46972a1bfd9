//! What callers ask of the writer: a change, with the channel for its reply.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::tables::StoreError;
use super::write_transaction::WriteTransaction;
use crate::ledger::LedgerError;

/// A command in the writer's queue.
pub enum WriterCommand {
    /// Make a change.
    Write {
        /// How much work the change is, in casts.
        weight: usize,
        /// The change.
        request: Box<dyn WriteRequest>,
    },
    /// A read has failed: open the file again.
    Reopen,
    /// Finish what is queued, then close the file.
    Close,
}

/// A change that is queued, then applied, then answered after the commit.
pub trait WriteRequest: Send {
    /// Applies the change and keeps its result.
    ///
    /// # Errors
    /// The file failed: the whole transaction is lost.
    fn apply(&mut self, transaction: &mut WriteTransaction<'_>) -> Result<(), Box<redb::Error>>;

    /// Replies to the caller: with the result, or with `failure` if the transaction was lost.
    fn reply(self: Box<Self>, failure: Option<LedgerError>);
}

/// A change as a closure.
pub struct Change<T, F> {
    /// `None` once it was applied.
    change: Option<F>,
    result: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
    /// The request's place in the queue, given back when the request is dropped.
    _permit: OwnedSemaphorePermit,
}

impl<T, F> Change<T, F> {
    /// `permit` is released after the reply.
    pub fn new(change: F, reply: oneshot::Sender<Result<T, LedgerError>>, permit: OwnedSemaphorePermit) -> Self {
        Self { change: Some(change), result: None, reply, _permit: permit }
    }
}

impl<T, F> WriteRequest for Change<T, F>
where
    T: Send,
    F: FnOnce(&mut WriteTransaction<'_>) -> Result<T, StoreError> + Send,
{
    fn apply(&mut self, transaction: &mut WriteTransaction<'_>) -> Result<(), Box<redb::Error>> {
        let Some(change) = self.change.take() else { return Ok(()) };
        self.result = Some(match change(transaction) {
            Ok(value) => Ok(value),
            Err(StoreError::File(error)) => return Err(error),
            Err(error) => Err(error.into()),
        });
        Ok(())
    }

    fn reply(self: Box<Self>, failure: Option<LedgerError>) {
        let result = match (failure, self.result) {
            (None, Some(result)) => result,
            (Some(failure), _) => Err(failure),
            (None, None) => Err(LedgerError::NotApplied("the change was not applied".into())),
        };
        // the caller may have timed out
        let _ = self.reply.send(result);
    }
}
