//! The way to the shards of the registry: one message a shard, not one a socket.

use std::sync::RwLock;

use actix::prelude::*;

use super::messages::{Answer, Answers, Dismiss, Nudge};
use crate::board::{Board, Listeners};
use crate::domain::ids::RoomId;

/// All shards of a pod, in the order in which their threads started.
#[derive(Default)]
pub struct Shards(RwLock<Vec<ShardHandle>>);

/// One for each message that a shard takes.
struct ShardHandle {
    nudge: Recipient<Nudge>,
    answers: Recipient<Answers>,
    dismiss: Recipient<Dismiss>,
}

impl Shards {
    /// Adds a worker's shard and answers its index.
    pub fn add<A>(&self, shard: &Addr<A>) -> usize
    where
        A: Actor<Context = Context<A>> + Handler<Nudge> + Handler<Answers> + Handler<Dismiss>,
    {
        let (nudge, answers) = (shard.clone().recipient(), shard.clone().recipient());
        let mut shards = self.0.write().expect("nobody panics with it");
        shards.push(ShardHandle { nudge, answers, dismiss: shard.clone().recipient() });
        shards.len() - 1
    }

    /// Hands answers to the shard that has the seats. `false` if it is too busy: its sweep answers `busy`.
    pub fn answer(&self, index: usize, room: &RoomId, answers: Vec<Answer>) -> bool {
        let shards = self.0.read().expect("nobody panics with it");
        shards.get(index).is_some_and(|shard| shard.answers.try_send(Answers { room: room.clone(), answers }).is_ok())
    }

    /// Tells every shard to send sockets away.
    pub fn dismiss(&self, dismiss: &Dismiss) {
        for shard in self.0.read().expect("nobody panics with it").iter() {
            if shard.dismiss.try_send(dismiss.clone()).is_err() {
                tracing::warn!(?dismiss, "a shard is too busy to send its sockets away");
            }
        }
    }
}

impl Listeners for Shards {
    /// Tells every shard that the board has news, unless it is being told already.
    fn changed(&self, board: &Board) {
        for (index, shard) in self.0.read().expect("nobody panics with it").iter().enumerate() {
            if board.claim_nudge(index) && shard.nudge.try_send(Nudge { room: board.id.clone() }).is_err() {
                // the shard is behind; the next news, or its own sweep, finds the board as it is then
                board.release_nudge(index);
            }
        }
    }
}
