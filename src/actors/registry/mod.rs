//! `RoomRegistry`: one shard on each worker thread, which knows the sockets of that thread, writes what is new on their
//! rooms' boards straight to them, and hands out the answers to their casts.
//!
//! In: [`CastResults`] from coordinators, [`BoardChanged`] from boards, [`CloseSessions`] from the subscriber and the drain. Out: frames
//! to sockets, [`SessionMessage`]s to sessions. Mailbox: 1,024; when it is full a notification is dropped, and the sweep of the next
//! second finds the news; answers that are dropped become `busy` by the same sweep.
//!
//! A socket that has not taken its last frame is skipped, and catches up with the newest when it drains: slow readers
//! cost no memory and delay nobody. A long broadcast is cut into slices, so that answers never wait behind one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::messages::{BoardChanged, CastResult, CastResults, CloseSessions, SessionMessage};
use super::pod::AbortOnPanic;
use super::registry_handle::RegistryHandle;
use super::rooms::Rooms;
use crate::board::Frames;
use crate::domain::ids::RoomId;
use crate::domain::visibility::Audience;
use crate::wire::client::Role;
use crate::wire::server::ByeReason;

mod subscribers;
mod subscription;

pub use subscribers::{Subscribers, SubscriptionGuard};
pub use subscription::{CatchUp, FrameSink, Subscription};

use subscribers::Broadcast;

/// Sockets written to before other work of the thread gets its turn.
const SLICE: usize = 128;
/// How often boards and casts are looked over.
const SWEEP: Duration = Duration::from_secs(1);
/// The longest that a draining pod asks a client to stay away, in ms.
const MAX_RETRY_MS: u64 = 500;

/// What a broadcast has written so far. Later sockets may be written something newer, so the first frames count.
#[derive(Clone, Copy)]
struct Progress {
    /// As [`Frames::stored`].
    stored: u64,
    /// As [`Frames::tally_at`].
    tally_at: Instant,
    /// Some socket was written a tally.
    wrote_tally: bool,
}

impl Progress {
    fn new(frames: &Frames) -> Self {
        Self { stored: frames.stored, tally_at: frames.tally_at, wrote_tally: false }
    }
}

/// See [module](self).
pub struct RoomRegistry {
    rooms: Arc<Rooms>,
    shard: Subscribers,
    _abort_on_panic: AbortOnPanic,
}

impl RoomRegistry {
    /// Starts the shard of the thread that calls this.
    pub fn start(rooms: Arc<Rooms>, shards: &RegistryHandle) -> Subscribers {
        let mut started = None;
        Self::create(|ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(1_024);
            let shard = Subscribers::new(shards.add(&ctx.address()));
            started = Some(shard.clone());
            Self { rooms, shard, _abort_on_panic: AbortOnPanic("registry") }
        });
        started.expect("the actor was made")
    }

    /// Writes news of `room` to its sockets: now if the last broadcast began a tick ago, else when it is so.
    fn broadcast(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
        let mut rooms = self.shard.rooms.borrow_mut();
        let Some(subscribers) = rooms.get_mut(id) else {
            // nobody to show it to here
            if let Some(room) = self.rooms.get(id) {
                room.board.begin_broadcast(self.shard.index);
            }
            return;
        };
        match subscribers.broadcast {
            // it reads the board when it begins
            Broadcast::Scheduled => {}
            Broadcast::From(_) => subscribers.again = true,
            Broadcast::Idle => {
                let wait = subscribers.wait(self.rooms.pod.tick);
                subscribers.broadcast = Broadcast::Scheduled;
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
            let Some(subscribers) = rooms.get_mut(&id) else { return };
            subscribers.begun = Some(Instant::now());
            // news from here on are for the next broadcast
            subscribers.room.board.begin_broadcast(self.shard.index);
        }
        self.slice(id, 0, None, ctx);
    }

    /// Writes to the next sockets, those with ids from `first` on. `progress`: what those before were written.
    fn slice(&mut self, id: RoomId, first: u64, progress: Option<Progress>, ctx: &mut Context<Self>) {
        let mut rooms = self.shard.rooms.borrow_mut();
        let Some(subscribers) = rooms.get_mut(&id) else { return };
        let room = subscribers.room.clone();
        // read anew for each slice: there may be newer counts meanwhile
        let public = room.board.frames(Audience::Public, self.rooms.pod.clock.now());
        let emcee = room.board.frames(Audience::Emcee, self.rooms.pod.clock.now());
        let subscriptions =
            || subscribers.subscriptions.range(first..).take(SLICE).map(|(_, subscription)| subscription);
        // a look at each before the first is written to: memory fetches many at once, but between two writes only one
        for subscription in subscriptions() {
            std::hint::black_box(subscription.is_clear());
        }
        let mut progress = progress.unwrap_or_else(|| Progress::new(&public));
        let mut written = 0;
        let mut last = first;
        for subscription in subscriptions() {
            let frames = if subscription.role == Role::Emcee { &emcee } else { &public };
            progress.wrote_tally |= subscription.send_newer(&self.rooms.pod, &room.board, frames);
            (written, last) = (written + 1, subscription.id);
        }
        if written == SLICE {
            subscribers.broadcast = Broadcast::From(last + 1);
            drop(rooms);
            // on a crowded machine the coordinators may wait for this very core
            std::thread::yield_now();
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(move |(), registry, ctx| {
                registry.slice(id, last + 1, Some(progress), ctx);
            }));
            return;
        }
        // a broadcast for other news has no tally, or one that tells the same counts again
        if progress.wrote_tally && progress.tally_at > subscribers.told_at {
            self.rooms.pod.metrics.tally_lag_seconds.observe(progress.tally_at.elapsed().as_secs_f64());
            subscribers.told_at = progress.tally_at;
        }
        if !subscribers.subscriptions.is_empty() {
            room.board.note_shown(self.shard.index, progress.stored);
        }
        drop(rooms);
        self.broadcast_done(&id, ctx);
    }

    fn broadcast_done(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
        let again = {
            let mut rooms = self.shard.rooms.borrow_mut();
            let Some(subscribers) = rooms.get_mut(id) else { return };
            subscribers.broadcast = Broadcast::Idle;
            let again = std::mem::take(&mut subscribers.again);
            if subscribers.subscriptions.is_empty() {
                rooms.remove(id);
            }
            again
        };
        if again {
            self.broadcast(id, ctx);
        }
    }

    /// Looks after news whose notification was lost, casts that wait too long, and sessions that have missed a word.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let behind = self.rooms.all().into_iter().filter(|room| room.board.is_behind(self.shard.index));
        for room in behind.collect::<Vec<_>>() {
            self.broadcast(&room.board.id, ctx);
        }
        let now = Instant::now();
        for subscribers in self.shard.rooms.borrow().values() {
            for subscription in subscribers.subscriptions.values() {
                subscription.answer_if_overdue(&self.rooms.pod, &subscribers.room, now);
                subscription.close_if_stuck();
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

impl Handler<CastResults> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, CastResults { room, answers }: CastResults, _: &mut Self::Context) {
        let rooms = self.shard.rooms.borrow();
        // without a subscribers all of them have gone meanwhile
        let Some(subscribers) = rooms.get(&room) else { return };
        let due_from = subscribers.due_from(self.rooms.pod.tick);
        let frames = due_from.map(|_| subscribers.room.board.frames(Audience::Public, self.rooms.pod.clock.now()));
        for CastResult { subscription: id, number, answer } in answers {
            let Some(subscription) = subscribers.subscriptions.get(&id) else { continue };
            let due = frames.as_deref().filter(|_| due_from.is_some_and(|from| id >= from));
            subscription.answer(&self.rooms.pod, &subscribers.room, number, answer, due);
        }
    }
}

impl Handler<BoardChanged> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, notification: BoardChanged, ctx: &mut Self::Context) {
        self.broadcast(&notification.room, ctx);
    }
}

impl Handler<CloseSessions> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, close: CloseSessions, ctx: &mut Self::Context) {
        let draining = close.reason == ByeReason::Draining;
        for subscription in self.shard.subscriptions(close.room.as_ref()) {
            let moment = close.within.mul_f64(rand::random());
            let retry_ms = draining.then(|| rand::random_range(50..=MAX_RETRY_MS));
            let message = SessionMessage::Leave { reason: close.reason, retry_ms };
            ctx.run_later(moment, move |_, _| subscription.send(message));
        }
    }
}
