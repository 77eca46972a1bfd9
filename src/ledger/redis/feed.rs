//! A pod's subscription to the feed: one pub/sub connection, which is made again without limit.
//!
//! A task of its own holds the connection (`feed_task.rs`), so that nothing is lost when the future of [`Feed::next`]
//! is dropped. Events wait in a queue of [`MAX_QUEUED_EVENTS`]. When the pod is so slow that the queue is full, events
//! are dropped and [`FeedEvent::Resumed`] follows.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::connections::Connections;
use super::feed_task::{FeedCommand, FeedTask};
use super::lossy_sender::LossySender;
use crate::domain::ids::RoomId;
use crate::ledger::{Feed, FeedEvent};

/// Most events that wait for the pod.
const MAX_QUEUED_EVENTS: usize = 8_192;

/// See the [module](self). Connects when it is first used.
pub(super) struct RedisFeed {
    connections: Connections,
    rooms: BTreeSet<RoomId>,
    running: Option<Running>,
}

struct Running {
    commands: mpsc::UnboundedSender<FeedCommand>,
    events: mpsc::Receiver<FeedEvent>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RedisFeed {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections, rooms: BTreeSet::new(), running: None }
    }

    fn running(&mut self) -> &mut Running {
        self.running.get_or_insert_with(|| {
            let (commands, received) = mpsc::unbounded_channel();
            let (sender, events) = mpsc::channel(MAX_QUEUED_EVENTS);
            let task = FeedTask::new(self.connections.clone(), self.rooms.clone(), received, LossySender::new(sender));
            Running { commands, events, task: tokio::spawn(task.run()).abort_handle() }
        })
    }
}

#[async_trait]
impl Feed for RedisFeed {
    /// Returns when the rooms are followed, or when there is no connection: then [`FeedEvent::Resumed`] comes later.
    async fn follow(&mut self, rooms: Vec<RoomId>) {
        self.rooms = rooms.into_iter().collect();
        let (reply, outcome) = oneshot::channel();
        let follow = FeedCommand::Follow { rooms: self.rooms.clone(), reply };
        if self.running().commands.send(follow).is_ok() {
            // both outcomes end the wait, and so does the end of the task
            let _ = outcome.await;
        }
    }

    async fn next(&mut self) -> FeedEvent {
        match self.running().events.recv().await {
            Some(event) => event,
            None => {
                // the task ended with its runtime: the next call starts another on the current one
                self.running = None;
                FeedEvent::Lost
            }
        }
    }

    async fn reconnect(&mut self) {
        let _ = self.running().commands.send(FeedCommand::Reconnect);
    }
}
