//! The sockets of one worker thread, by room, and how far each room's walk has come.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ActiveRoom;
use super::seat::{CatchUp, Seat};
use crate::actors::pod::Pod;
use crate::domain::ids::RoomId;

/// The sockets of one thread, shared between its registry and its sessions.
#[derive(Clone)]
pub struct Shard {
    /// Which of the pod's shards this is.
    pub index: usize,
    pub(super) rooms: Rc<RefCell<HashMap<RoomId, Gallery>>>,
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

    /// Up to `count` seats with ids from `first` on.
    pub(super) fn seats_from(&self, first: u64, count: usize) -> Vec<Rc<Seat>> {
        let seats = self.seats.range((Bound::Included(first), Bound::Unbounded)).take(count);
        seats.map(|(_, seat)| seat.clone()).collect()
    }
}

impl Shard {
    pub(super) fn new(index: usize) -> Self {
        Self { index, rooms: Rc::default() }
    }

    /// Seats a socket until the guard is dropped.
    pub fn seat(&self, pod: &Arc<Pod>, room: &Arc<ActiveRoom>, seat: Rc<Seat>) -> SeatGuard {
        seat.open_outlet(CatchUp::new(pod, room, &seat));
        let mut rooms = self.rooms.borrow_mut();
        let gallery = rooms.entry(room.board.id.clone()).or_insert_with(|| Gallery {
            room: room.clone(),
            seats: BTreeMap::new(),
            begun: None,
            walk: Walk::Resting,
            again: false,
        });
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
            if gallery.seats.is_empty() && gallery.walk == Walk::Resting {
                rooms.remove(&self.room);
            }
        }
    }
}
