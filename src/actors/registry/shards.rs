//! The way to the registry's shards: one message a shard, not one a socket.

use std::sync::RwLock;

use actix::prelude::*;

use super::board::Board;
use super::{Answer, Answers, Dismiss, Nudge, RoomRegistry};
use crate::domain::ids::RoomId;
use crate::settings::MOST_WORKERS;

/// Each worker thread has a shard, and a place on every board.
pub const MOST_SHARDS: usize = MOST_WORKERS;

/// All shards of a pod, in the order in which their threads started.
#[derive(Default)]
pub struct Shards(RwLock<Vec<Addr<RoomRegistry>>>);

impl Shards {
    /// Adds a worker's shard and answers its index.
    pub fn add(&self, shard: Addr<RoomRegistry>) -> usize {
        let mut shards = self.0.write().expect("nobody panics with it");
        shards.push(shard);
        shards.len() - 1
    }

    /// Tells every shard that the board has news, unless it is being told already.
    pub fn nudge(&self, board: &Board) {
        for (index, shard) in self.0.read().expect("nobody panics with it").iter().enumerate() {
            if board.claim_nudge(index) && shard.try_send(Nudge { room: board.id.clone() }).is_err() {
                // the shard is behind; the next news, or its own sweep, finds the board as it is then
                board.release_nudge(index);
            }
        }
    }

    /// Hands answers to the shard that has the seats. `false` if it is too busy: its sweep answers `busy`.
    pub fn answer(&self, index: usize, room: &RoomId, answers: Vec<Answer>) -> bool {
        let shards = self.0.read().expect("nobody panics with it");
        shards.get(index).is_some_and(|shard| shard.try_send(Answers { room: room.clone(), answers }).is_ok())
    }

    /// Tells every shard to send sockets away.
    pub fn dismiss(&self, dismiss: &Dismiss) {
        for shard in self.0.read().expect("nobody panics with it").iter() {
            if shard.try_send(dismiss.clone()).is_err() {
                tracing::warn!(?dismiss, "a shard is too busy to send its sockets away");
            }
        }
    }
}
