//! What pods tell each other: the feed, presence, and ended sign-ins. Here all pods are this process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redb::ReadTransaction;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use super::store::Store;
use super::tables::{SIGN_OUTS, StoreError};
use super::work::Work;
use crate::domain::LedgerMs;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{Feed, FeedEvent};

/// A pod that has noted nothing for so long is gone, and so are its voters.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

impl Work<'_> {
    /// Remembers an ended sign-in until it would have ended by itself, and forgets those that have.
    pub fn sign_out(&mut self, sign_in: &str, until: LedgerMs) -> Result<(), StoreError> {
        let now = self.now;
        self.tables.sign_outs.retain(|_, until| until > now)?;
        self.tables.sign_outs.insert(sign_in, until)?;
        self.announce(FeedEvent::SignedOut { sign_in: sign_in.to_owned() });
        Ok(())
    }
}

/// True if the sign-in was ended.
pub fn is_signed_out(transaction: &ReadTransaction, now: LedgerMs, sign_in: &str) -> Result<bool, StoreError> {
    let until = transaction.open_table(SIGN_OUTS)?.get(sign_in)?;
    Ok(until.is_some_and(|until| until.value() > now))
}

/// Which voters are present on which pod. Lost with the process, and so are their sockets.
#[derive(Default)]
pub struct Presence(Mutex<HashMap<(RoomId, String), Present>>);

struct Present {
    noted_at: Instant,
    voters: HashSet<VoterId>,
}

impl Presence {
    /// Notes who came and who left; who did both in one note is here, for sockets come back faster than they go.
    pub fn note(&self, room: &RoomId, pod: &str, came: &[VoterId], left: &[VoterId]) {
        let now = Instant::now();
        let mut pods = self.lock();
        pods.retain(|_, present| now - present.noted_at < FORGOTTEN_AFTER);
        let fresh = || Present { noted_at: now, voters: HashSet::new() };
        let present = pods.entry((room.clone(), pod.to_owned())).or_insert_with(fresh);
        present.noted_at = now;
        for voter in left {
            present.voters.remove(voter);
        }
        present.voters.extend(came.iter().cloned());
    }

    /// Which of these voters are on any of these pods.
    pub fn of(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Vec<bool> {
        let noted = self.lock();
        let pods = pods.iter().filter_map(|pod| noted.get(&(room.clone(), pod.clone())));
        let pods: Vec<_> = pods.filter(|present| present.noted_at.elapsed() < FORGOTTEN_AFTER).collect();
        voters.iter().map(|voter| pods.iter().any(|present| present.voters.contains(voter))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(RoomId, String), Present>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pod's end of the feed.
pub struct EmbeddedFeed {
    store: Arc<Store>,
    events: broadcast::Receiver<FeedEvent>,
    followed: HashSet<RoomId>,
    /// Say [`FeedEvent::Resumed`] first.
    resumed: bool,
}

impl EmbeddedFeed {
    /// From now on.
    pub fn new(store: Arc<Store>) -> Self {
        Self { events: store.subscribe(), store, followed: HashSet::new(), resumed: true }
    }

    fn is_for_us(&self, event: &FeedEvent) -> bool {
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
        if std::mem::take(&mut self.resumed) {
            return FeedEvent::Resumed;
        }
        loop {
            match self.events.recv().await {
                Ok(event) if self.is_for_us(&event) => return event,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return FeedEvent::Resumed,
                // the store outlives its feeds, so nobody closes the channel
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    async fn reconnect(&mut self) {
        self.events = self.store.subscribe();
        self.resumed = true;
    }
}
