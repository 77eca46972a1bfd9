//! How the answers to casts come back.

use std::collections::BTreeMap;

use crate::actors::messages::{Answer, Asker, CastAnswer};
use crate::actors::rooms::Rooms;
use crate::domain::ids::RoomId;

/// Answers on their way, gathered by shard.
#[derive(Default)]
pub(super) struct Handout(BTreeMap<usize, Vec<Answer>>);

impl Handout {
    pub(super) fn of(asker: Asker, answer: CastAnswer) -> Self {
        let mut handout = Self::default();
        handout.add(asker, answer);
        handout
    }

    pub(super) fn add(&mut self, asker: Asker, answer: CastAnswer) {
        match asker {
            Asker::Socket { shard, seat, number } => {
                self.0.entry(shard).or_default().push(Answer { seat, number, answer });
            }
            // a caller that is gone asks again when it comes back
            Asker::Caller(caller) => drop(caller.send(answer)),
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
