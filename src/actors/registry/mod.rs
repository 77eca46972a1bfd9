//! `RoomRegistry`: one shard on each worker thread, which knows the sockets of that thread and writes what is new on
//! their rooms' boards straight to them.
//!
//! In: [`Nudge`] from boards, [`Dismiss`] from the subscriber and the drain. Out: frames to sockets, [`Whisper`]s to
//! sessions. Mailbox: 1,024; when it is full a nudge is dropped, and the sweep of the next second finds the news.
//!
//! A socket that has not taken its last frame is skipped, and catches up with the newest when it drains: slow readers
//! cost no memory and delay nobody. A long walk is cut into slices, so that answers never wait behind one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use crate::actors::pod::{Pod, Vital};
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::visibility::Audience;
use crate::wire::client::Role;
use crate::wire::server::{BallotView, ByeReason, ServerMessage};

mod board;
mod frame;
mod news;
mod rooms;
mod shards;
mod showing;

pub use board::{Board, Frames, SLOTS, STATE_SLOT};
pub use frame::Frame;
pub use rooms::{Absent, ActiveRoom, DeskSocket, Rooms, StageSocket};
pub use shards::{MOST_SHARDS, Shards};
pub use showing::ShownRanking;

/// Sockets written to before other work of the thread gets its turn.
const SLICE: usize = 256;
/// How often boards are looked over.
const SWEEP: Duration = Duration::from_secs(1);

/// The board of `room` has news.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Nudge {
    /// Which.
    pub room: RoomId,
}

/// Sockets must go.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct Dismiss {
    /// Of this room; `None`: all.
    pub room: Option<RoomId>,
    /// What they are told.
    pub reason: ByeReason,
    /// Spread over this time.
    pub within: Duration,
}

/// A word to one session.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub enum Whisper {
    /// Say goodbye and close, once a cast under way is answered.
    Leave {
        /// What the client is told.
        reason: ByeReason,
        /// When it may come back.
        retry_ms: Option<u64>,
    },
    /// The voter's ballot grew through another socket.
    Mine(BallotView),
}

/// The writing end of a socket.
pub trait Outlet {
    /// Writes a whole frame, or nothing: `false` if earlier bytes are still unsent. What can not be sent at once is
    /// kept and sent first.
    fn offer(&self, frame: &Frame) -> bool;

    /// Runs `catch_up` whenever frames were refused and everything has been sent since.
    fn on_drained(&self, catch_up: CatchUp);
}

/// Brings a seat up to date with its board.
pub struct CatchUp {
    pod: Arc<Pod>,
    room: Arc<ActiveRoom>,
    /// Not kept alive: without its session a seat gets nothing more.
    seat: Weak<Seat>,
}

impl CatchUp {
    /// Offers the seat's outlet each frame that is newer than what was sent last.
    pub fn run(&self) {
        if let Some(seat) = self.seat.upgrade() {
            let frames = self.pod.frames(&self.room.board, seat.audience());
            seat.offer(&self.pod, &self.room.board, &frames);
        }
    }
}

/// A socket that takes part in a room.
pub struct Seat {
    /// Rises in the order of arrival: sockets are walked in that order, which is that of their memory.
    pub id: u64,
    /// What it is for.
    pub role: Role,
    /// Whose it is.
    pub voter: Option<VoterId>,
    /// Where frames go.
    pub outlet: Rc<dyn Outlet>,
    /// Its session.
    pub session: Recipient<Whisper>,
    sent: [Cell<u64>; SLOTS],
    standing: Cell<u64>,
}

impl Seat {
    /// A seat that has been sent nothing.
    pub fn new(
        id: u64,
        role: Role,
        voter: Option<VoterId>,
        outlet: Rc<dyn Outlet>,
        session: Recipient<Whisper>,
    ) -> Rc<Self> {
        Rc::new(Self { id, role, voter, outlet, session, sent: Default::default(), standing: Cell::new(0) })
    }

    /// Who is looking.
    pub fn audience(&self) -> Audience {
        if self.role == Role::Emcee { Audience::Emcee } else { Audience::Public }
    }

    /// The frames of `frames` in `slot` have been sent by other means.
    pub fn mark(&self, frames: &Frames, slot: usize) {
        if let Some(slot_frame) = &frames.slots[slot] {
            self.sent[slot].set(slot_frame.revision);
        }
    }

    /// Hands `write` each frame that is newer than what was sent last, until it refuses one. Answers how many it took,
    /// and whether it took all.
    pub fn catch_up(&self, board: &Board, frames: &Frames, mut write: impl FnMut(&Frame) -> bool) -> (u64, bool) {
        let mut written = 0;
        for (sent, slot) in self.sent.iter().zip(&frames.slots) {
            let Some(slot) = slot.as_ref().filter(|slot| slot.revision > sent.get()) else { continue };
            if !write(&slot.frame) {
                return (written, false);
            }
            sent.set(slot.revision);
            written += 1;
        }
        if let Some((ranking, standing)) = self.due_standing(board, frames) {
            if !write(&Frame::new(&ServerMessage::Standing(standing).encode())) {
                return (written, false);
            }
            self.standing.set(ranking);
            written += 1;
        }
        (written, true)
    }

    /// Offers the outlet what [`Seat::catch_up`] finds, and counts it.
    fn offer(&self, pod: &Pod, board: &Board, frames: &Frames) {
        let (written, all) = self.catch_up(board, frames, |frame| self.outlet.offer(frame));
        pod.metrics.fanout_frames.inc_by(written);
        pod.metrics.fanout_skips.inc_by(u64::from(!all));
    }

    /// The voter's own place, once a ranking, when it may be seen.
    fn due_standing(&self, board: &Board, frames: &Frames) -> Option<(u64, crate::wire::server::StandingView)> {
        if !frames.shows_ranking() {
            self.standing.set(0);
            return None;
        }
        let (ranking, standing) = board.standing(self.voter.as_ref()?)?;
        // numbers of rankings are 32-bit, so this tells every ranking from "none sent"
        (self.standing.get() != ranking + 1).then_some((ranking + 1, standing))
    }
}

/// The sockets of one thread, shared between its registry and its sessions.
#[derive(Clone, Default)]
pub struct Shard(Rc<RefCell<HashMap<RoomId, Gallery>>>);

/// The sockets of one room on this thread.
struct Gallery {
    room: Arc<ActiveRoom>,
    seats: BTreeMap<u64, Rc<Seat>>,
    last_walk: Option<Instant>,
    /// A walk is under way, or armed.
    walking: bool,
    /// There were news meanwhile.
    again: bool,
}

impl Shard {
    /// Seats a socket until the guard is dropped.
    pub fn seat(&self, pod: &Arc<Pod>, room: &Arc<ActiveRoom>, seat: Rc<Seat>) -> SeatGuard {
        let catch_up = CatchUp { pod: pod.clone(), room: room.clone(), seat: Rc::downgrade(&seat) };
        seat.outlet.on_drained(catch_up);
        let mut rooms = self.0.borrow_mut();
        let gallery = rooms.entry(room.board.id.clone()).or_insert_with(|| Gallery {
            room: room.clone(),
            seats: BTreeMap::new(),
            last_walk: None,
            walking: false,
            again: false,
        });
        gallery.seats.insert(seat.id, seat.clone());
        SeatGuard { shard: self.clone(), room: room.board.id.clone(), id: seat.id }
    }

    fn seats(&self, room: Option<&RoomId>) -> Vec<Rc<Seat>> {
        let rooms = self.0.borrow();
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
        let mut rooms = self.shard.0.borrow_mut();
        if let Some(gallery) = rooms.get_mut(&self.room) {
            gallery.seats.remove(&self.id);
            if gallery.seats.is_empty() && !gallery.walking {
                rooms.remove(&self.room);
            }
        }
    }
}

/// See [module](self).
pub struct RoomRegistry {
    pod: Arc<Pod>,
    shard: Shard,
    /// Which of the pod's shards this is.
    index: usize,
    _vital: Vital,
}

impl RoomRegistry {
    /// Starts the shard of the thread that calls this.
    pub fn start(pod: Arc<Pod>, shards: &Shards) -> Shard {
        let shard = Shard::default();
        let actor = shard.clone();
        Self::create(|ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(1_024);
            let index = shards.add(ctx.address().recipient(), ctx.address().recipient());
            Self { pod, shard: actor, index, _vital: Vital("registry") }
        });
        shard
    }

    /// Writes news of `room` to its sockets: at once if the last time was a tick ago, else when it is.
    fn walk(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
        let mut rooms = self.shard.0.borrow_mut();
        let Some(gallery) = rooms.get_mut(id) else {
            // nobody to show it to here: that is as good as shown
            if let Some(room) = self.pod.rooms.get(id) {
                room.board.release_nudge(self.index);
                let frames = self.pod.frames(&room.board, Audience::Public);
                room.board.note_shown(self.index, frames.stored);
            }
            return;
        };
        gallery.room.board.release_nudge(self.index);
        if gallery.walking {
            gallery.again = true;
            return;
        }
        gallery.walking = true;
        let wait = gallery.last_walk.map_or(Duration::ZERO, |last| self.pod.tick.saturating_sub(last.elapsed()));
        let id = id.clone();
        if wait.is_zero() {
            drop(rooms);
            self.slice(id, 0, ctx);
        } else {
            ctx.run_later(wait, move |registry, ctx| registry.slice(id, 0, ctx));
        }
    }

    /// Writes to the next sockets, those with ids from `first` on.
    fn slice(&mut self, id: RoomId, first: u64, ctx: &mut Context<Self>) {
        let (room, seats) = {
            let rooms = self.shard.0.borrow();
            let Some(gallery) = rooms.get(&id) else { return };
            let seats = gallery.seats.range((Bound::Included(first), Bound::Unbounded)).take(SLICE);
            (gallery.room.clone(), seats.map(|(_, seat)| seat.clone()).collect::<Vec<_>>())
        };
        // read anew for each slice: a session may have answered with newer counts meanwhile
        let public = self.pod.frames(&room.board, Audience::Public);
        let emcee = self.pod.frames(&room.board, Audience::Emcee);
        for seat in &seats {
            let frames = if seat.role == Role::Emcee { &emcee } else { &public };
            seat.offer(&self.pod, &room.board, frames);
        }
        if seats.len() == SLICE {
            let next = seats[SLICE - 1].id + 1;
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(move |(), registry, ctx| {
                registry.slice(id, next, ctx);
            }));
            return;
        }
        self.pod.metrics.tally_lag_seconds.observe(public.tally_at.elapsed().as_secs_f64());
        room.board.note_shown(self.index, public.stored);
        self.walked(&id, ctx);
    }

    fn walked(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
        let again = {
            let mut rooms = self.shard.0.borrow_mut();
            let Some(gallery) = rooms.get_mut(id) else { return };
            gallery.walking = false;
            gallery.last_walk = Some(Instant::now());
            let again = std::mem::take(&mut gallery.again);
            if gallery.seats.is_empty() {
                rooms.remove(id);
            }
            again
        };
        if again {
            self.walk(id, ctx);
        }
    }

    /// Looks after news whose nudge was lost.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let behind = self.pod.rooms.all().into_iter().filter(|room| room.board.is_behind(self.index));
        for room in behind.collect::<Vec<_>>() {
            self.walk(&room.board.id, ctx);
        }
    }
}

impl Actor for RoomRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SWEEP, Self::sweep);
    }
}

impl Handler<Nudge> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, nudge: Nudge, ctx: &mut Self::Context) {
        self.walk(&nudge.room, ctx);
    }
}

impl Handler<Dismiss> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, dismiss: Dismiss, ctx: &mut Self::Context) {
        let draining = dismiss.reason == ByeReason::Draining;
        for seat in self.shard.seats(dismiss.room.as_ref()) {
            let moment = dismiss.within.mul_f64(rand::random());
            let retry_ms = draining.then(|| rand::random_range(50..=MOST_RETRY_MS));
            let whisper = Whisper::Leave { reason: dismiss.reason, retry_ms };
            ctx.run_later(moment, move |registry, _| {
                if seat.session.try_send(whisper).is_err() {
                    registry.pod.metrics.mailbox_refusals.with_label_values(&["session"]).inc();
                }
            });
        }
    }
}

/// The longest that a draining pod asks a client to stay away, in ms.
const MOST_RETRY_MS: u64 = 500;
