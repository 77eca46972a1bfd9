//! How the answers to casts come back.

use std::collections::BTreeMap;

use crate::actors::messages::{CastOutcome, CastResult, ReplyTo};
use crate::actors::rooms::Rooms;
use crate::domain::ids::RoomId;

/// Results on their way, gathered by shard.
#[derive(Default)]
pub(super) struct Replies(BTreeMap<usize, Vec<CastResult>>);

impl Replies {
    pub(super) fn of(reply_to: ReplyTo, answer: CastOutcome) -> Self {
        let mut replies = Self::default();
        replies.add(reply_to, answer);
        replies
    }

    pub(super) fn add(&mut self, reply_to: ReplyTo, answer: CastOutcome) {
        match reply_to {
            ReplyTo::Socket { shard, subscription, number } => {
                self.0.entry(shard).or_default().push(CastResult { subscription, number, answer });
            }
            // a caller that is gone asks again when it comes back
            ReplyTo::Caller(caller) => drop(caller.send(answer)),
        }
    }

    pub(super) fn send(self, rooms: &Rooms, room: &RoomId) {
        for (shard, answers) in self.0 {
            if !rooms.answer(shard, room, answers) {
                rooms.pod.metrics.mailbox_refusals.with_label_values(&["registry"]).inc();
            }
        }
    }
}
