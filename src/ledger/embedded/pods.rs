//! What pods share: the feed, presence, and ended sign-ins. Here this process is the only pod.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use redb::ReadTransaction;
use tokio::sync::broadcast::{self, error::RecvError};

use super::ledger::EmbeddedLedger;
use super::store::Store;
use super::tables::SIGN_OUTS;
use super::write_transaction::WriteTransaction;
use crate::domain::LedgerMs;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{Feed, FeedEvent, LedgerError, PodStore};

#[async_trait]
impl PodStore for EmbeddedLedger {
    fn feed(&self) -> Box<dyn Feed> {
        Box::new(EmbeddedFeed::new(Arc::clone(&self.store)))
    }

    async fn announce(&self, event: &FeedEvent) -> Result<(), LedgerError> {
        self.store.publish(event.clone());
        Ok(())
    }

    async fn note_present(
        &self,
        room: &RoomId,
        pod: &str,
        came: &[VoterId],
        left: &[VoterId],
    ) -> Result<(), LedgerError> {
        self.presence.note(room, pod, came, left);
        Ok(())
    }

    async fn present(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Result<Vec<bool>, LedgerError> {
        Ok(self.presence.of(room, pods, voters))
    }

    /// Also forgets the sign-outs whose sign-ins have expired.
    async fn sign_out(&self, sign_in: &str, until: LedgerMs) -> Result<(), LedgerError> {
        let sign_in = sign_in.to_owned();
        let change = move |transaction: &mut WriteTransaction<'_>| {
            let now = transaction.now;
            transaction.tables.sign_outs.retain(|_, until| until > now)?;
            transaction.tables.sign_outs.insert(sign_in.as_str(), until)?;
            transaction.announce(FeedEvent::SignedOut { sign_in });
            Ok(())
        };
        self.store.write(1, change).await
    }

    async fn is_signed_out(&self, sign_in: &str) -> Result<bool, LedgerError> {
        let (sign_in, store) = (sign_in.to_owned(), Arc::clone(&self.store));
        let read = move |transaction: &ReadTransaction| {
            let until = transaction.open_table(SIGN_OUTS)?.get(sign_in.as_str())?;
            Ok(until.is_some_and(|until| until.value() > store.now()))
        };
        self.store.read(read).await
    }
}

/// One pod's subscription to the feed.
struct EmbeddedFeed {
    store: Arc<Store>,
    events: broadcast::Receiver<FeedEvent>,
    followed: HashSet<RoomId>,
    /// True until [`FeedEvent::Resumed`] was returned for this subscription.
    is_new: bool,
}

impl EmbeddedFeed {
    fn new(store: Arc<Store>) -> Self {
        Self { events: store.subscribe(), store, followed: HashSet::new(), is_new: true }
    }

    fn is_wanted(&self, event: &FeedEvent) -> bool {
        match event {
            FeedEvent::Gate { room, .. } => self.followed.contains(room),
            _ => true,
        }
    }
}

#[async_trait]
impl Feed for EmbeddedFeed {
    async fn follow(&mut self, rooms: Vec<RoomId>) {
        self.followed = rooms.into_iter().collect();
    }

    async fn next(&mut self) -> FeedEvent {
        if std::mem::take(&mut self.is_new) {
            return FeedEvent::Resumed;
        }
        loop {
            match self.events.recv().await {
                Ok(event) if self.is_wanted(&event) => return event,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return FeedEvent::Resumed,
                // cannot happen: this feed holds the store, which holds the sender
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    async fn reconnect(&mut self) {
        self.events = self.store.subscribe();
        self.is_new = true;
    }
}
