//! The sockets of one worker thread, by room: how far each room's walk has come, and the casts on their way out.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::SendError;

use super::seat::{CatchUp, Seat};
use crate::actors::active_room::ActiveRoom;
use crate::actors::messages::{Asker, Cast, CastAnswer, Casts};
use crate::actors::pod::Pod;
use crate::board::Frames;
use crate::domain::ballot::Refusal;
use crate::domain::ids::RoomId;

/// Casts on their way out, by room.
type Outbox = HashMap<RoomId, (Arc<ActiveRoom>, Vec<Cast>)>;

/// The sockets of one thread, shared between its registry and its sessions.
#[derive(Clone)]
pub struct Shard {
    /// Which of the pod's shards this is.
    pub index: usize,
    pub(super) rooms: Rc<RefCell<HashMap<RoomId, Gallery>>>,
    /// Casts of this turn of the thread, by room.
    outbox: Rc<RefCell<Outbox>>,
}

/// The sockets of one room on this thread.
pub(super) struct Gallery {
    pub(super) room: Arc<ActiveRoom>,
    pub(super) seats: BTreeMap<u64, Rc<Seat>>,
    /// When the last walk began.
    pub(super) begun: Option<Instant>,
    pub(super) walk: Walk,
    /// There were news during the walk.
    pub(super) again: bool,
    /// The newest counts that a walk has told were put on the board then.
    pub(super) told_at: Instant,
}

/// Writing the news of a board to all seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// Nothing is new.
    Resting,
    /// Waits for the tick.
    Armed,
    /// Under way: seats from this id on are still to be written to.
    At(u64),
}

impl Gallery {
    /// How long until a walk may begin: a tick after the last one did.
    pub(super) fn wait(&self, tick: Duration) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| tick.saturating_sub(begun.elapsed()))
    }

    /// From which id on seats may be sent news now; `None`: it is not their time.
    pub(super) fn due_from(&self, tick: Duration) -> Option<u64> {
        match self.walk {
            Walk::At(next) => Some(next),
            Walk::Resting if self.wait(tick).is_zero() => Some(0),
            Walk::Resting | Walk::Armed => None,
        }
    }
}

impl Shard {
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
            let Some(gallery) = rooms.get(&id) else { continue };
            for cast in casts {
                if let Asker::Socket { seat, number, .. } = cast.asker
                    && let Some(seat) = gallery.seats.get(&seat)
                {
                    seat.answer(pod, &room, number, CastAnswer::Busy, None);
                }
            }
        }
    }

    /// Seats a socket that was sent `frames`, until the guard is dropped.
    pub fn seat(&self, pod: &Arc<Pod>, room: &Arc<ActiveRoom>, seat: Rc<Seat>, frames: &Frames) -> SeatGuard {
        seat.open_outlet(CatchUp::new(pod, room, &seat));
        let mut rooms = self.rooms.borrow_mut();
        let gallery = rooms.entry(room.board.id.clone()).or_insert_with(|| Gallery {
            room: room.clone(),
            seats: BTreeMap::new(),
            begun: None,
            walk: Walk::Resting,
            again: false,
            told_at: frames.tally_at,
        });
        if gallery.seats.is_empty() {
            room.board.note_shown(self.index, frames.stored);
        }
        let guard = SeatGuard { shard: self.clone(), room: room.board.id.clone(), id: seat.id };
        gallery.seats.insert(seat.id, seat);
        guard
    }

    /// All seats, or those of one room.
    pub(super) fn seats(&self, room: Option<&RoomId>) -> Vec<Rc<Seat>> {
        let rooms = self.rooms.borrow();
        let galleries = rooms.iter().filter(|(id, _)| room.is_none_or(|room| room == *id));
        galleries.flat_map(|(_, gallery)| gallery.seats.values().cloned()).collect()
    }
}

/// Gives the seat free when its session ends, however it ends.
pub struct SeatGuard {
    shard: Shard,
    room: RoomId,
    id: u64,
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        let mut rooms = self.shard.rooms.borrow_mut();
        if let Some(gallery) = rooms.get_mut(&self.room) {
            gallery.seats.remove(&self.id);
            if gallery.seats.is_empty() {
                gallery.room.board.note_nobody(self.shard.index);
                if gallery.walk == Walk::Resting {
                    rooms.remove(&self.room);
                }
            }
        }
    }
}
