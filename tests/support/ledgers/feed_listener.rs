//! A listener on a ledger's feed.

use std::time::Duration;
use tallycast::domain::gate::Gate;
use tallycast::domain::ids::RoomId;
use tallycast::ledger::{Feed, FeedEvent, SharedLedger};
use tokio::time::timeout;

/// How long something may take that must come.
const SOON: Duration = Duration::from_secs(10);

/// See the [module](self).
pub struct FeedListener {
    feed: Box<dyn Feed>,
    ledger: SharedLedger,
}

impl FeedListener {
    /// Follows these rooms. It receives what is sent after this returns.
    pub async fn new(ledger: &SharedLedger, rooms: Vec<RoomId>) -> Self {
        let mut listener = Self { feed: ledger.feed(), ledger: ledger.clone() };
        listener.feed.follow(rooms).await;
        listener.resumed().await;
        listener
    }

    /// The next message that fits. Others are skipped: other tests may use the same server.
    pub async fn receive(&mut self, fits: impl Fn(&FeedEvent) -> bool) -> FeedEvent {
        let received = async {
            loop {
                let event = self.feed.next().await;
                if fits(&event) {
                    return event;
                }
            }
        };
        timeout(SOON, received).await.expect("the message comes")
    }

    pub async fn follow(&mut self, rooms: Vec<RoomId>) {
        self.feed.follow(rooms).await;
    }

    pub async fn resumed(&mut self) {
        self.receive(|event| *event == FeedEvent::Resumed).await;
    }

    pub async fn reconnect(&mut self) {
        self.feed.reconnect().await;
    }

    /// All gates that were published before now, with their partitions.
    pub async fn gates(&mut self) -> Vec<(u16, Gate)> {
        // the feed keeps the order of one ledger's messages, so this mark comes behind them
        let mark = FeedEvent::SignedOut { sign_in: RoomId::from_entropy(rand::random()).to_string() };
        self.ledger.announce(&mark).await.unwrap();
        let mut gates = vec![];
        loop {
            match self.receive(|event| *event == mark || matches!(event, FeedEvent::Gate { .. })).await {
                FeedEvent::Gate { partition, gate, .. } => gates.push((partition, *gate)),
                _ => return gates,
            }
        }
    }
}
