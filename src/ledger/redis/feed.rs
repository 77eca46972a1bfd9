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

/// The listener's end of the queue.
pub(super) struct Outbox {
    events: mpsc::Sender<FeedEvent>,
    missed: bool,
}

impl Outbox {
    fn new(events: mpsc::Sender<FeedEvent>) -> Self {
        Self { events, missed: false }
    }

    /// Never waits: while this end waited, messages would pile up behind it without bound.
    pub(super) fn push(&mut self, event: FeedEvent) {
        self.catch_up();
        self.missed = self.missed || self.events.try_send(event).is_err();
    }

    /// Says that messages were dropped, as soon as there is room to say it.
    pub(super) fn catch_up(&mut self) {
        self.missed = self.missed && self.events.try_send(FeedEvent::Resumed).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(sign_in: &str) -> FeedEvent {
        FeedEvent::SignedOut { sign_in: sign_in.into() }
    }

    #[test]
    fn a_full_queue_drops_messages_and_says_so() {
        let (sender, mut events) = mpsc::channel(2);
        let mut outbox = Outbox::new(sender);
        for sign_in in ["a", "b", "c", "d"] {
            outbox.push(ended(sign_in));
        }
        assert_eq!(events.try_recv().unwrap(), ended("a"));
        outbox.push(ended("e"));
        assert_eq!(events.try_recv().unwrap(), ended("b"));
        assert_eq!(events.try_recv().unwrap(), FeedEvent::Resumed);
        outbox.catch_up();
        assert_eq!(events.try_recv().unwrap(), FeedEvent::Resumed, "e was dropped after the first word of it");
        assert!(events.try_recv().is_err());
    }
}
