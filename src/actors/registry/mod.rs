//! `RoomRegistry`: one shard on each worker thread, which knows the sockets of that thread, writes what is new on their
//! rooms' boards straight to them, and hands out the answers to their casts.
//!
//! In: [`Answers`] from coordinators, [`Nudge`] from boards, [`Dismiss`] from the subscriber and the drain. Out: frames
//! to sockets, [`Whisper`]s to sessions. Mailbox: 1,024; when it is full a nudge is dropped, and the sweep of the next
//! second finds the news; answers that are dropped become `busy` by the same sweep.
//!
//! A socket that has not taken its last frame is skipped, and catches up with the newest when it drains: slow readers
//! cost no memory and delay nobody. A long walk is cut into slices, so that answers never wait behind one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::messages::{Answer, Answers, Dismiss, Nudge, Whisper};
use super::pod::Vital;
use super::rooms::Rooms;
use super::shards::Shards;
use crate::board::Frames;
use crate::domain::ids::RoomId;
use crate::domain::visibility::Audience;
use crate::wire::client::Role;
use crate::wire::server::ByeReason;

mod seat;
mod shard;

pub use seat::{CatchUp, Outlet, Seat};
pub use shard::{SeatGuard, Shard};

use shard::Walk;

/// Sockets written to before other work of the thread gets its turn.
const SLICE: usize = 128;
/// How often boards and casts are looked over.
const SWEEP: Duration = Duration::from_secs(1);
/// The longest that a draining pod asks a client to stay away, in ms.
const MOST_RETRY_MS: u64 = 500;

/// What a walk has written so far. Later sockets may be written something newer, so the first frames count.
#[derive(Clone, Copy)]
struct Walked {
    /// As [`Frames::stored`].
    stored: u64,
    /// As [`Frames::tally_at`].
    tally_at: Instant,
    /// Some socket was written a tally.
    wrote_tally: bool,
}

impl Walked {
    fn new(frames: &Frames) -> Self {
        Self { stored: frames.stored, tally_at: frames.tally_at, wrote_tally: false }
    }
}

/// See [module](self).
pub struct RoomRegistry {
    rooms: Arc<Rooms>,
    shard: Shard,
    _vital: Vital,
}

impl RoomRegistry {
    /// Starts the shard of the thread that calls this.
    pub fn start(rooms: Arc<Rooms>, shards: &Shards) -> Shard {
        let mut started = None;
        Self::create(|ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(1_024);
            let shard = Shard::new(shards.add(&ctx.address()));
            started = Some(shard.clone());
            Self { rooms, shard, _vital: Vital("registry") }
        });
        started.expect("the actor was made")
    }

    /// Writes news of `room` to its sockets: now if the last walk began a tick ago, else when it is so.
    fn walk(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
        let mut rooms = self.shard.rooms.borrow_mut();
        let Some(gallery) = rooms.get_mut(id) else {
            // nobody to show it to here
            if let Some(room) = self.rooms.get(id) {
                room.board.begin_walk(self.shard.index);
            }
            return;
        };
        match gallery.walk {
            // it reads the board when it begins
            Walk::Armed => {}
            Walk::At(_) => gallery.again = true,
            Walk::Resting => {
                let wait = gallery.wait(self.rooms.pod.tick);
                gallery.walk = Walk::Armed;
                drop(rooms);
                if wait.is_zero() {
                    self.begin(id.clone(), ctx);
                } else {
                    let id = id.clone();
                    ctx.run_later(wait, move |registry, ctx| registry.begin(id, ctx));
                }
            }
        }
    }

    fn begin(&mut self, id: RoomId, ctx: &mut Context<Self>) {
        {
            let mut rooms = self.shard.rooms.borrow_mut();
            let Some(gallery) = rooms.get_mut(&id) else { return };
            gallery.begun = Some(Instant::now());
            // news from here on are for the next walk
            gallery.room.board.begin_walk(self.shard.index);
        }
        self.slice(id, 0, None, ctx);
    }

    /// Writes to the next sockets, those with ids from `first` on. `walked`: what those before were written.
    fn slice(&mut self, id: RoomId, first: u64, walked: Option<Walked>, ctx: &mut Context<Self>) {
        let mut rooms = self.shard.rooms.borrow_mut();
        let Some(gallery) = rooms.get_mut(&id) else { return };
        let room = gallery.room.clone();
        // read anew for each slice: there may be newer counts meanwhile
        let public = room.board.frames(Audience::Public, self.rooms.pod.clock.now());
        let emcee = room.board.frames(Audience::Emcee, self.rooms.pod.clock.now());
        let seats = || gallery.seats.range(first..).take(SLICE).map(|(_, seat)| seat);
        // a look at each before the first is written to: memory fetches many at once, but between two writes only one
        for seat in seats() {
            std::hint::black_box(seat.is_clear());
        }
        let mut walked = walked.unwrap_or_else(|| Walked::new(&public));
        let mut written = 0;
        let mut last = first;
        for seat in seats() {
            let frames = if seat.role == Role::Emcee { &emcee } else { &public };
            walked.wrote_tally |= seat.offer(&self.rooms.pod, &room.board, frames);
            (written, last) = (written + 1, seat.id);
        }
        if written == SLICE {
            gallery.walk = Walk::At(last + 1);
            drop(rooms);
            // on a crowded machine the coordinators may wait for this very core
            std::thread::yield_now();
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(move |(), registry, ctx| {
                registry.slice(id, last + 1, Some(walked), ctx);
            }));
            return;
        }
        // a walk for other news has no tally, or one that tells the same counts again
        if walked.wrote_tally && walked.tally_at > gallery.told_at {
            self.rooms.pod.metrics.tally_lag_seconds.observe(walked.tally_at.elapsed().as_secs_f64());
            gallery.told_at = walked.tally_at;
        }
        if !gallery.seats.is_empty() {
            room.board.note_shown(self.shard.index, walked.stored);
        }
        drop(rooms);
        self.walked(&id, ctx);
    }

    fn walked(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
        let again = {
            let mut rooms = self.shard.rooms.borrow_mut();
            let Some(gallery) = rooms.get_mut(id) else { return };
            gallery.walk = Walk::Resting;
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

    /// Looks after news whose nudge was lost, casts that wait too long, and sessions that have missed a word.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let behind = self.rooms.all().into_iter().filter(|room| room.board.is_behind(self.shard.index));
        for room in behind.collect::<Vec<_>>() {
            self.walk(&room.board.id, ctx);
        }
        let now = Instant::now();
        for gallery in self.shard.rooms.borrow().values() {
            for seat in gallery.seats.values() {
                seat.answer_if_overdue(&self.rooms.pod, &gallery.room, now);
                seat.close_if_stuck();
            }
        }
    }
}

impl Actor for RoomRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SWEEP, Self::sweep);
    }
}

impl Handler<Answers> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, Answers { room, answers }: Answers, _: &mut Self::Context) {
        let rooms = self.shard.rooms.borrow();
        // without a gallery all of them have gone meanwhile
        let Some(gallery) = rooms.get(&room) else { return };
        let due_from = gallery.due_from(self.rooms.pod.tick);
        let frames = due_from.map(|_| gallery.room.board.frames(Audience::Public, self.rooms.pod.clock.now()));
        for Answer { seat: id, number, answer } in answers {
            let Some(seat) = gallery.seats.get(&id) else { continue };
            let due = frames.as_deref().filter(|_| due_from.is_some_and(|from| id >= from));
            seat.answer(&self.rooms.pod, &gallery.room, number, answer, due);
        }
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
            ctx.run_later(moment, move |_, _| seat.whisper(whisper));
        }
    }
}
