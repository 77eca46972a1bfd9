//! The sockets of one worker thread, by room: how far each room's broadcast has come, and the casts on their way out.

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

/// Casts on their way out, by room.
type Outbox = HashMap<RoomId, (Arc<ActiveRoom>, Vec<Cast>)>;

/// The sockets of one thread, shared between its registry and its sessions.
#[derive(Clone)]
pub struct Subscribers {
    /// Which of the pod's shards this is.
    pub index: usize,
    pub(super) rooms: Rc<RefCell<HashMap<RoomId, RoomSubscribers>>>,
    /// Casts of this turn of the thread, by room.
    outbox: Rc<RefCell<Outbox>>,
}

/// The sockets of one room on this thread.
pub(super) struct RoomSubscribers {
    pub(super) room: Arc<ActiveRoom>,
    pub(super) subscriptions: BTreeMap<u64, Rc<Subscription>>,
    /// When the last broadcast began.
    pub(super) begun: Option<Instant>,
    pub(super) broadcast: Broadcast,
    /// There were news during the broadcast.
    pub(super) again: bool,
    /// The newest counts that a broadcast has told were put on the board then.
    pub(super) told_at: Instant,
}

/// Writing the news of a board to all subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broadcast {
    /// Nothing is new.
    Idle,
    /// Waits for the tick.
    Scheduled,
    /// Under way: subscriptions from this id on are still to be written to.
    From(u64),
}

impl RoomSubscribers {
    /// How long until a broadcast may begin: a tick after the last one did.
    pub(super) fn wait(&self, tick: Duration) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| tick.saturating_sub(begun.elapsed()))
    }

    /// From which id on subscriptions may be sent news now; `None`: it is not their time.
    pub(super) fn due_from(&self, tick: Duration) -> Option<u64> {
        match self.broadcast {
            Broadcast::From(next) => Some(next),
            Broadcast::Idle if self.wait(tick).is_zero() => Some(0),
            Broadcast::Idle | Broadcast::Scheduled => None,
        }
    }
}

impl Subscribers {
    pub(super) fn new(index: usize) -> Self {
        Self { index, rooms: Rc::default(), outbox: Rc::default() }
    }

    /// Sends a cast to its room's coordinator, together with those of other sockets that can be read now: waking
    /// another thread costs as much as reading several of them.
    pub fn forward(&self, pod: &Arc<Pod>, room: &Arc<ActiveRoom>, cast: Cast) {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            let (shard, pod) = (self.clone(), pod.clone());
            actix_web::rt::spawn(async move {
                tokio::task::yield_now().await;
                shard.send(&pod);
            });
        }
        outbox.entry(room.board.id.clone()).or_insert_with(|| (room.clone(), vec![])).1.push(cast);
    }

    fn send(&self, pod: &Pod) {
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

    /// Seats a socket that was sent `frames`, until the guard is dropped.
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

    /// All subscriptions, or those of one room.
    pub(super) fn subscriptions(&self, room: Option<&RoomId>) -> Vec<Rc<Subscription>> {
        let rooms = self.rooms.borrow();
        let matching = rooms.iter().filter(|(id, _)| room.is_none_or(|room| room == *id));
        matching.flat_map(|(_, subscribers)| subscribers.subscriptions.values().cloned()).collect()
    }
}

/// Gives the subscription free when its session ends, however it ends.
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
                subscribers.room.board.note_nobody(self.shard.index);
                if subscribers.broadcast == Broadcast::Idle {
                    rooms.remove(&self.room);
                }
            }
        }
    }
}
