//! How other threads reach the registry: one message for each shard, not one for each socket.

use std::sync::RwLock;

use actix::prelude::*;

use super::messages::{BoardChanged, CastResult, CastResults, CloseSessions};
use crate::board::{Board, Listeners};
use crate::domain::ids::RoomId;

/// All shards of a process, in the order in which their threads started.
#[derive(Default)]
pub struct RegistryHandle(RwLock<Vec<ShardHandle>>);

/// A shard's mailbox, one recipient for each message that it takes.
struct ShardHandle {
    board_changed: Recipient<BoardChanged>,
    cast_results: Recipient<CastResults>,
    close_sessions: Recipient<CloseSessions>,
}

impl RegistryHandle {
    /// Adds a worker thread's shard. Returns its index.
    pub fn add<A>(&self, shard: &Addr<A>) -> usize
    where
        A: Actor<Context = Context<A>> + Handler<BoardChanged> + Handler<CastResults> + Handler<CloseSessions>,
    {
        let (board_changed, cast_results) = (shard.clone().recipient(), shard.clone().recipient());
        let mut shards = self.0.write().expect("the lock is never poisoned");
        shards.push(ShardHandle { board_changed, cast_results, close_sessions: shard.clone().recipient() });
        shards.len() - 1
    }

    /// Sends results to the shard that has the subscriptions. Returns false if its mailbox is full.
    pub fn send_results(&self, shard: usize, room: &RoomId, results: Vec<CastResult>) -> bool {
        let shards = self.0.read().expect("the lock is never poisoned");
        let message = CastResults { room: room.clone(), results };
        shards.get(shard).is_some_and(|shard| shard.cast_results.try_send(message).is_ok())
    }

    /// Tells every shard to close sockets.
    pub fn close_sessions(&self, close: &CloseSessions) {
        for shard in self.0.read().expect("the lock is never poisoned").iter() {
            if shard.close_sessions.try_send(close.clone()).is_err() {
                tracing::warn!(?close, "a shard is too busy to close its sockets");
            }
        }
    }
}

impl Listeners for RegistryHandle {
    /// Tells every shard that the board has changed, except those to which such a message is under way.
    fn changed(&self, board: &Board) {
        for (index, shard) in self.0.read().expect("the lock is never poisoned").iter().enumerate() {
            if !board.claim_notification(index) {
                continue;
            }
            if shard.board_changed.try_send(BoardChanged { room: board.id.clone() }).is_err() {
                // the shard is behind: the next change, or its own sweep, finds the newest board
                board.release_notification(index);
            }
        }
    }
}
