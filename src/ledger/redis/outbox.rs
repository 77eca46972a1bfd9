//! Where the listener puts events for the feed: a queue that drops what it has no room for, and says so.

use tokio::sync::mpsc;

use crate::ledger::FeedEvent;

/// The listener's end of the queue.
pub(super) struct Outbox {
    events: mpsc::Sender<FeedEvent>,
    missed: bool,
}

impl Outbox {
    pub(super) fn new(events: mpsc::Sender<FeedEvent>) -> Self {
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
