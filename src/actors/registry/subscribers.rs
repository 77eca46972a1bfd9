//! The sockets of one worker thread, by room; how far each room's broadcast has come; and the casts on their way out.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::SendError;

use super::subscription::{CatchUp, Subscription};
use crate::actors::active_room::ActiveRoom;
use crate::actors::messages::{Cast, CastOutcome, Casts, ReplyTo};
use crate::actors::pod::Pod;
use crate::board::Frames;
use crate::domain::ballot::Refusal;
use crate::domain::ids::RoomId;

/// Casts to send when this turn of the thread ends, by room.
type Outbox = HashMap<RoomId, (Arc<ActiveRoom>, Vec<Cast>)>;

/// The sockets of one thread, shared between its registry shard and its sessions.
#[derive(Clone)]
pub struct Subscribers {
    /// Index of the shard in the [`RegistryHandle`](crate::actors::registry_handle::RegistryHandle).
    pub index: usize,
    pub(super) rooms: Rc<RefCell<HashMap<RoomId, RoomSubscribers>>>,
    outbox: Rc<RefCell<Outbox>>,
}

/// The sockets of one room on this thread.
pub(super) struct RoomSubscribers {
    pub(super) room: Arc<ActiveRoom>,
    /// By id, so in the order of arrival.
    pub(super) subscriptions: BTreeMap<u64, Rc<Subscription>>,
    /// When the last broadcast began.
    pub(super) begun: Option<Instant>,
    pub(super) broadcast: Broadcast,
    /// The board has changed during the broadcast.
    pub(super) again: bool,
    /// [`Frames::tally_at`] of the newest counts that a broadcast has written.
    pub(super) told_at: Instant,
}

/// Where the broadcast of a room stands on this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broadcast {
    /// Nothing has changed.
    Idle,
    /// Waits for the end of the tick.
    Scheduled,
    /// Under way; the next slice begins at this subscription id.
    Running(u64),
}

impl RoomSubscribers {
    /// How long until a broadcast may begin: one `tick` after the last one did.
    pub(super) fn wait(&self, tick: Duration) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| tick.saturating_sub(begun.elapsed()))
    }

    /// Subscriptions with ids from here on may be written a new tally now. `None`: a broadcast has begun within `tick`.
    pub(super) fn due_from(&self, tick: Duration) -> Option<u64> {
        match self.broadcast {
            Broadcast::Running(next) => Some(next),
            Broadcast::Idle if self.wait(tick).is_zero() => Some(0),
            Broadcast::Idle | Broadcast::Scheduled => None,
        }
    }
}

impl Subscribers {
    /// A thread without sockets.
    pub(super) fn new(index: usize) -> Self {
        Self { index, rooms: Rc::default(), outbox: Rc::default() }
    }

    /// Sends a cast to its room's coordinator, in one message with those that other sockets have sent in this turn of
    /// the thread.
    pub fn forward(&self, pod: &Arc<Pod>, room: &Arc<ActiveRoom>, cast: Cast) {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            let (subscribers, pod) = (self.clone(), pod.clone());
            actix_web::rt::spawn(async move {
                // until every socket that is readable now was read
                tokio::task::yield_now().await;
                subscribers.flush(&pod);
            });
        }
        outbox.entry(room.board.id.clone()).or_insert_with(|| (room.clone(), vec![])).1.push(cast);
    }

    /// Sends the outbox. Casts that a coordinator's full mailbox refuses are answered `busy`.
    fn flush(&self, pod: &Pod) {
        for (id, (room, casts)) in self.outbox.take() {
            let Err(SendError::Full(Casts(casts)) | SendError::Closed(Casts(casts))) =
                room.coordinator.casts.try_send(Casts(casts))
            else {
                continue;
            };
            pod.metrics.mailbox_refusals.with_label_values(&["coordinator"]).inc();
            pod.metrics.casts.refused(Refusal::Busy).inc_by(casts.len() as u64);
            let rooms = self.rooms.borrow();
            let Some(subscribers) = rooms.get(&id) else { continue };
            for cast in casts {
                if let ReplyTo::Socket { subscription, number, .. } = cast.reply_to
                    && let Some(subscription) = subscribers.subscriptions.get(&subscription)
                {
                    subscription.answer(pod, &room, number, CastOutcome::Busy, None);
                }
            }
        }
    }

    /// Adds a socket that was sent `frames`. It leaves when the guard is dropped.
    pub fn subscribe(
        &self,
        pod: &Arc<Pod>,
        room: &Arc<ActiveRoom>,
        subscription: Rc<Subscription>,
        frames: &Frames,
    ) -> SubscriptionGuard {
        subscription.catch_up_when_drained(CatchUp::new(pod, room, &subscription));
        let mut rooms = self.rooms.borrow_mut();
        let subscribers = rooms.entry(room.board.id.clone()).or_insert_with(|| RoomSubscribers {
            room: room.clone(),
            subscriptions: BTreeMap::new(),
            begun: None,
            broadcast: Broadcast::Idle,
            again: false,
            told_at: frames.tally_at,
        });
        if subscribers.subscriptions.is_empty() {
            room.board.note_shown(self.index, frames.stored);
        }
        let guard = SubscriptionGuard { shard: self.clone(), room: room.board.id.clone(), id: subscription.id };
        subscribers.subscriptions.insert(subscription.id, subscription);
        guard
    }

    /// All subscriptions of this thread, or those of one room.
    pub(super) fn subscriptions(&self, room: Option<&RoomId>) -> Vec<Rc<Subscription>> {
        let rooms = self.rooms.borrow();
        let matching = rooms.iter().filter(|(id, _)| room.is_none_or(|room| room == *id));
        matching.flat_map(|(_, subscribers)| subscribers.subscriptions.values().cloned()).collect()
    }
}

/// Removes its subscription when it is dropped, so whichever way the session ends.
pub struct SubscriptionGuard {
    shard: Subscribers,
    room: RoomId,
    id: u64,
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        let mut rooms = self.shard.rooms.borrow_mut();
        if let Some(subscribers) = rooms.get_mut(&self.room) {
            subscribers.subscriptions.remove(&self.id);
            if subscribers.subscriptions.is_empty() {
                subscribers.room.board.note_no_sockets(self.shard.index);
                // a broadcast that is scheduled or running removes the room when it ends
                if subscribers.broadcast == Broadcast::Idle {
                    rooms.remove(&self.room);
                }
            }
        }
    }
}
