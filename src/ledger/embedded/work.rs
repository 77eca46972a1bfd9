//! What is asked of the writer, and what a change works with.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::tables::{StoreError, Tables};
use crate::domain::LedgerMs;
use crate::domain::gate::Gate;
use crate::domain::ids::RoomId;
use crate::ledger::{FeedEvent, LedgerError};

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
    F: FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send,
{
    fn apply(&mut self, work: &mut Work<'_>) -> Result<(), Box<redb::Error>> {
        let Some(change) = self.change.take() else { return Ok(()) };
        self.result = Some(match change(work) {
            Ok(value) => Ok(value),
            Err(StoreError::File(error)) => return Err(error),
            Err(error) => Err(error.into()),
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
    pub(super) events: Vec<FeedEvent>,
    /// When each gate was last published.
    pub(super) published: &'w mut HashMap<(RoomId, u16), Published>,
    /// A gate is published at most once in this time.
    pub(super) tick: Duration,
}

/// When a gate was last published, and with which version.
pub struct Published {
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
