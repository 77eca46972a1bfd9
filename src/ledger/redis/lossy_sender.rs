//! The sending end of the feed's queue: it never waits, drops events when the queue is full, and reports that.

use tokio::sync::mpsc;

use crate::ledger::FeedEvent;

/// The sending end of the queue, for the feed's task.
pub(super) struct LossySender {
    events: mpsc::Sender<FeedEvent>,
    /// Events were dropped since the last report.
    has_dropped: bool,
}

impl LossySender {
    pub(super) fn new(events: mpsc::Sender<FeedEvent>) -> Self {
        Self { events, has_dropped: false }
    }

    /// Queues an event, or drops it. It does not wait for room: meanwhile messages would pile up without limit.
    pub(super) fn send(&mut self, event: FeedEvent) {
        self.report_dropped();
        self.has_dropped = self.has_dropped || self.events.try_send(event).is_err();
    }

    /// Queues [`FeedEvent::Resumed`] if events were dropped and there is room again.
    pub(super) fn report_dropped(&mut self) {
        self.has_dropped = self.has_dropped && self.events.try_send(FeedEvent::Resumed).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(sign_in: &str) -> FeedEvent {
        FeedEvent::SignedOut { sign_in: sign_in.into() }
    }

    #[test]
    fn a_full_queue_drops_events_and_reports_it() {
        let (sender, mut events) = mpsc::channel(2);
        let mut sender = LossySender::new(sender);
        for sign_in in ["a", "b", "c", "d"] {
            sender.send(ended(sign_in));
        }
        assert_eq!(events.try_recv().unwrap(), ended("a"));
        sender.send(ended("e"));
        assert_eq!(events.try_recv().unwrap(), ended("b"));
        assert_eq!(events.try_recv().unwrap(), FeedEvent::Resumed);
        sender.report_dropped();
        assert_eq!(events.try_recv().unwrap(), FeedEvent::Resumed, "e was dropped after the first report");
        assert!(events.try_recv().is_err());
    }
}
