//! Sends the outcomes of casts back to whoever asked.

use std::collections::BTreeMap;

use crate::actors::messages::{CastOutcome, CastResult, ReplyTo};
use crate::actors::rooms::Rooms;
use crate::domain::ids::RoomId;

/// Outcomes to send, grouped by registry shard: each shard gets one message.
#[derive(Default)]
pub(super) struct Replies(BTreeMap<usize, Vec<CastResult>>);

impl Replies {
    /// A single outcome.
    pub(super) fn one(reply_to: ReplyTo, outcome: CastOutcome) -> Self {
        let mut replies = Self::default();
        replies.add(reply_to, outcome);
        replies
    }

    /// Adds an outcome for a socket. A caller over HTTP is answered at once.
    pub(super) fn add(&mut self, reply_to: ReplyTo, outcome: CastOutcome) {
        match reply_to {
            ReplyTo::Socket { shard, subscription, number } => {
                self.0.entry(shard).or_default().push(CastResult { subscription, number, outcome });
            }
            // a caller that has hung up asks again when it comes back
            ReplyTo::Caller(caller) => drop(caller.send(outcome)),
        }
    }

    /// Sends everything. What a shard's full mailbox refuses is counted; its sweep answers these casts `busy`.
    pub(super) fn send(self, rooms: &Rooms, room: &RoomId) {
        for (shard, results) in self.0 {
            if !rooms.send_results(shard, room, results) {
                rooms.pod.metrics.mailbox_refusals.with_label_values(&["registry"]).inc();
            }
        }
    }
}
