//! A pod's end of the feed: one connection for messages, made again for ever.
//!
//! A task of its own holds it (`listener.rs`), so that nothing is lost when [`Feed::next`] is dropped half-way. Messages
//! wait in a queue of [`QUEUE`]; when the pod is so slow that it is full, messages are dropped and
//! [`FeedEvent::Resumed`] follows.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::link::Link;
use super::listener::{Listener, Order};
use super::outbox::Outbox;
use crate::domain::ids::RoomId;
use crate::ledger::{Feed, FeedEvent};

/// Messages that wait for the pod.
const QUEUE: usize = 8_192;

/// See the [module](self). Connects when it is first used.
pub(super) struct RedisFeed {
    link: Link,
    rooms: BTreeSet<RoomId>,
    running: Option<Running>,
}

struct Running {
    orders: mpsc::UnboundedSender<Order>,
    events: mpsc::Receiver<FeedEvent>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RedisFeed {
    pub(super) fn new(link: Link) -> Self {
        Self { link, rooms: BTreeSet::new(), running: None }
    }

    fn running(&mut self) -> &mut Running {
        self.running.get_or_insert_with(|| {
            let (orders, taken) = mpsc::unbounded_channel();
            let (sender, events) = mpsc::channel(QUEUE);
            let listener = Listener::new(self.link.clone(), self.rooms.clone(), taken, Outbox::new(sender));
            Running { orders, events, task: tokio::spawn(listener.run()).abort_handle() }
        })
    }
}

#[async_trait]
impl Feed for RedisFeed {
    /// Answers when the rooms are followed, or when there is no connection to be had: then `Resumed` is to come.
    async fn follow(&mut self, rooms: Vec<RoomId>) {
        self.rooms = rooms.into_iter().collect();
        let (done, is_done) = oneshot::channel();
        let order = Order::Follow(self.rooms.clone(), done);
        if self.running().orders.send(order).is_ok() {
            // answered by dropping the other end
            let _ = is_done.await;
        }
    }

    async fn next(&mut self) -> FeedEvent {
        match self.running().events.recv().await {
            Some(event) => event,
            None => {
                // the task died with the runtime that it was on: begin again on this one
                self.running = None;
                FeedEvent::Lost
            }
        }
    }

    async fn reconnect(&mut self) {
        let _ = self.running().orders.send(Order::Reconnect);
    }
}
