//! `RoomRegistry`: one shard on each worker thread. A shard knows the sockets of its thread, writes what has changed on
//! their rooms' boards straight to them, and writes the answers to their casts.
//!
//! In: [`CastResults`] from coordinators, [`BoardChanged`] from boards, [`CloseSessions`] from the subscriber and the
//! drain. Out: frames to sockets, [`SessionMessage`]s to sessions. Mailbox: 1,024 messages. When it is full, a board
//! change is found by the sweep within a second, and casts whose results were dropped are answered `busy` by the same
//! sweep.
//!
//! A socket that has not taken its last frame is skipped, and catches up with the newest when it drains: slow readers
//! cost no memory and delay nobody. A broadcast to many sockets is cut into slices, see [`broadcast`], so that answers
//! never wait behind it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::messages::{BoardChanged, CastResult, CastResults, CloseSessions, SessionMessage};
use super::pod::AbortOnPanic;
use super::registry_handle::RegistryHandle;
use super::rooms::Rooms;
use crate::domain::visibility::Audience;
use crate::wire::server::ByeReason;

mod broadcast;
mod subscribers;
mod subscription;

pub use subscribers::{Subscribers, SubscriptionGuard};
pub use subscription::{CatchUp, FrameSink, Subscription};

/// Messages in a shard's mailbox.
const MAILBOX: usize = 1_024;
/// How often a shard looks for board changes that it missed and for overdue casts.
const SWEEP: Duration = Duration::from_secs(1);
/// The longest that a draining process asks a client to stay away, in ms.
const MAX_RETRY_MS: u64 = 500;

/// See the [module](self).
pub struct RoomRegistry {
    rooms: Arc<Rooms>,
    shard: Subscribers,
    _abort_on_panic: AbortOnPanic,
}

impl RoomRegistry {
    /// Starts the shard of the calling thread. Returns its subscribers, which the thread's sessions share.
    pub fn start(rooms: Arc<Rooms>, registry: &RegistryHandle) -> Subscribers {
        let mut started = None;
        Self::create(|ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(MAILBOX);
            let shard = Subscribers::new(registry.add(&ctx.address()));
            started = Some(shard.clone());
            Self { rooms, shard, _abort_on_panic: AbortOnPanic("registry") }
        });
        started.expect("`create` runs its closure")
    }

    /// Finds board changes whose message was lost, casts that wait too long, and sessions that missed a message.
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

    fn handle(&mut self, CastResults { room, results }: CastResults, _: &mut Self::Context) {
        let rooms = self.shard.rooms.borrow();
        // all sockets of the room may have gone meanwhile
        let Some(subscribers) = rooms.get(&room) else { return };
        // a tally that is due goes out in the same write as the answer
        let due_from = subscribers.due_from(self.rooms.pod.tick);
        let frames = due_from.map(|_| subscribers.room.board.frames(Audience::Public, self.rooms.pod.clock.now()));
        for CastResult { subscription: id, number, outcome } in results {
            let Some(subscription) = subscribers.subscriptions.get(&id) else { continue };
            let due = frames.as_deref().filter(|_| due_from.is_some_and(|from| id >= from));
            subscription.answer(&self.rooms.pod, &subscribers.room, number, outcome, due);
        }
    }
}

impl Handler<BoardChanged> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, BoardChanged { room }: BoardChanged, ctx: &mut Self::Context) {
        self.broadcast(&room, ctx);
    }
}

impl Handler<CloseSessions> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, close: CloseSessions, ctx: &mut Self::Context) {
        let draining = close.reason == ByeReason::Draining;
        for subscription in self.shard.subscriptions(close.room.as_ref()) {
            let moment = close.within.mul_f64(rand::random());
            let retry_ms = draining.then(|| rand::random_range(50..=MAX_RETRY_MS));
            let leave = SessionMessage::Leave { reason: close.reason, retry_ms };
            ctx.run_later(moment, move |_, _| subscription.send(leave));
        }
    }
}
