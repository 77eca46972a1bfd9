//! The way to the shards of the registry: one message a shard, not one a socket.

use std::sync::RwLock;

use actix::prelude::*;

use super::messages::{BoardChanged, CastResult, CastResults, CloseSessions};
use crate::board::{Board, Listeners};
use crate::domain::ids::RoomId;

/// All shards of a pod, in the order in which their threads started.
#[derive(Default)]
pub struct RegistryHandle(RwLock<Vec<ShardHandle>>);

/// One for each message that a shard takes.
struct ShardHandle {
    notification: Recipient<BoardChanged>,
    answers: Recipient<CastResults>,
    close: Recipient<CloseSessions>,
}

impl RegistryHandle {
    /// Adds a worker's shard and answers its index.
    pub fn add<A>(&self, shard: &Addr<A>) -> usize
    where
        A: Actor<Context = Context<A>> + Handler<BoardChanged> + Handler<CastResults> + Handler<CloseSessions>,
    {
        let (notification, answers) = (shard.clone().recipient(), shard.clone().recipient());
        let mut shards = self.0.write().expect("the lock is never poisoned");
        shards.push(ShardHandle { notification, answers, close: shard.clone().recipient() });
        shards.len() - 1
    }

    /// Hands answers to the shard that has the subscriptions. `false` if it is too busy: its sweep answers `busy`.
    pub fn answer(&self, index: usize, room: &RoomId, answers: Vec<CastResult>) -> bool {
        let shards = self.0.read().expect("the lock is never poisoned");
        shards
            .get(index)
            .is_some_and(|shard| shard.answers.try_send(CastResults { room: room.clone(), answers }).is_ok())
    }

    /// Tells every shard to send sockets away.
    pub fn close_sessions(&self, close: &CloseSessions) {
        for shard in self.0.read().expect("the lock is never poisoned").iter() {
            if shard.close.try_send(close.clone()).is_err() {
                tracing::warn!(?close, "a shard is too busy to send its sockets away");
            }
        }
    }
}

impl Listeners for RegistryHandle {
    /// Tells every shard that the board has news, unless it is being told already.
    fn changed(&self, board: &Board) {
        for (index, shard) in self.0.read().expect("the lock is never poisoned").iter().enumerate() {
            if board.claim_notification(index)
                && shard.notification.try_send(BoardChanged { room: board.id.clone() }).is_err()
            {
                // the shard is behind; the next news, or its own sweep, finds the board as it is then
                board.release_notification(index);
            }
        }
    }
}
