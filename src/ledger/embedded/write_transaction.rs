//! What a change works with: the tables, the time, and the events to publish after the commit.
//!
//! The changes themselves are methods of [`WriteTransaction`], next to the part of the contract that they belong to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::tables::Tables;
use crate::domain::LedgerMs;
use crate::domain::gate::Gate;
use crate::domain::ids::RoomId;
use crate::ledger::FeedEvent;

/// One transaction of the writer, shared by all changes of a group commit.
pub struct WriteTransaction<'w> {
    /// The ledger's time, the same for the whole transaction.
    pub now: LedgerMs,
    /// All tables, open for writing.
    pub tables: Tables<'w>,
    /// Published to all feeds after the commit.
    pub(super) events: Vec<FeedEvent>,
    /// The last publish of each gate, by room and partition.
    pub(super) published: &'w mut HashMap<(RoomId, u16), Published>,
    /// Commits publish a gate at most once in this time.
    pub(super) tick: Duration,
}

/// The last publish of a gate.
pub struct Published {
    at: Instant,
    version: u64,
}

impl WriteTransaction<'_> {
    /// Sends an event to all feeds if the commit succeeds.
    pub fn announce(&mut self, event: FeedEvent) {
        self.events.push(event);
    }

    /// Publishes a gate, unless an older version of it was published within the tick. True if this version is
    /// published.
    pub fn publish_throttled(&mut self, room: &RoomId, partition: u16, gate: &Gate) -> bool {
        let key = (room.clone(), partition);
        let too_early = |last: &Published| last.at.elapsed() < self.tick && last.version < gate.tally.version;
        if self.published.get(&key).is_some_and(too_early) {
            return false;
        }
        self.publish(room, partition, gate);
        true
    }

    /// The version of a gate that was published last; 0 if there was none.
    pub fn published_version(&self, room: &RoomId, partition: u16) -> u64 {
        self.published.get(&(room.clone(), partition)).map_or(0, |last| last.version)
    }

    /// Publishes a gate, unless this version of it was published already.
    pub fn publish(&mut self, room: &RoomId, partition: u16, gate: &Gate) {
        let version = gate.tally.version;
        // version 0: no desired state has reached the gate yet
        if self.published_version(room, partition) < version {
            let key = (room.clone(), partition);
            self.published.insert(key, Published { at: Instant::now(), version });
            let gate = Box::new(gate.clone());
            self.events.push(FeedEvent::Gate { room: room.clone(), partition, gate });
        }
    }
}
