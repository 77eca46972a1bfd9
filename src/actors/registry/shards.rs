//! The way to the registry's shards: one nudge a shard, not one a socket.

use std::sync::RwLock;

use actix::prelude::*;

use super::board::Board;
use super::{Dismiss, Nudge};

/// Most worker threads.
pub const MOST_SHARDS: usize = 64;

/// All shards of a pod, in the order in which their threads started.
#[derive(Default)]
pub struct Shards(RwLock<Vec<(Recipient<Nudge>, Recipient<Dismiss>)>>);

impl Shards {
    /// Adds a worker's shard and answers its index.
    pub fn add(&self, nudges: Recipient<Nudge>, dismissals: Recipient<Dismiss>) -> usize {
        let mut shards = self.0.write().expect("nobody panics with it");
        shards.push((nudges, dismissals));
        shards.len() - 1
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.read().expect("nobody panics with it").len()
    }

    /// Tells every shard that the board has news, unless it is being told already.
    pub fn nudge(&self, board: &Board) {
        for (index, (shard, _)) in self.0.read().expect("nobody panics with it").iter().enumerate() {
            if board.claim_nudge(index) && shard.try_send(Nudge { room: board.id.clone() }).is_err() {
                // the shard is behind; the next news, or its own sweep, finds the board as it is then
                board.release_nudge(index);
            }
        }
    }

    /// Tells every shard to send sockets away.
    pub fn dismiss(&self, dismiss: &Dismiss) {
        for (_, shard) in self.0.read().expect("nobody panics with it").iter() {
            if shard.try_send(dismiss.clone()).is_err() {
                tracing::warn!(?dismiss, "a shard is too busy to send its sockets away");
            }
        }
    }
}
