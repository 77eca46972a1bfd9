//! Broadcasts: writing what has changed on a room's board to all sockets of one thread.
//!
//! At most one broadcast of a room runs on a thread, and at most one begins in each tick. It writes to [`SLICE`] sockets
//! at a time and lets other work of the thread run in between. A board that changes meanwhile is broadcast once more
//! afterwards.

use std::time::Instant;

use actix::prelude::*;

use super::RoomRegistry;
use super::subscribers::Broadcast;
use crate::board::Frames;
use crate::domain::ids::RoomId;
use crate::domain::visibility::Audience;
use crate::wire::client::Role;

/// Sockets written to before other work of the thread gets its turn.
const SLICE: usize = 128;

/// What a broadcast has told every socket so far. Later slices may write something newer, so the first frames count.
#[derive(Clone, Copy)]
struct Progress {
    /// As [`Frames::stored`].
    stored: u64,
    /// As [`Frames::tally_at`].
    tally_at: Instant,
    /// True once some socket was written a tally.
    wrote_tally: bool,
}

impl Progress {
    fn new(frames: &Frames) -> Self {
        Self { stored: frames.stored, tally_at: frames.tally_at, wrote_tally: false }
    }
}

impl RoomRegistry {
    /// Writes what has changed on the room's board to its sockets: at once, or one tick after the last broadcast began.
    pub(super) fn broadcast(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
        let mut rooms = self.shard.rooms.borrow_mut();
        let Some(subscribers) = rooms.get_mut(id) else {
            // no socket of the room is on this thread
            if let Some(room) = self.rooms.get(id) {
                room.board.begin_broadcast(self.shard.index);
            }
            return;
        };
        match subscribers.broadcast {
            // it reads the board when it begins
            Broadcast::Scheduled => {}
            Broadcast::Running(_) => subscribers.again = true,
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
            // a change from here on is for the next broadcast
            subscribers.room.board.begin_broadcast(self.shard.index);
        }
        self.write_slice(id, 0, None, ctx);
    }

    /// Writes to the next sockets, those with ids from `first` on. `progress` is what the slices before have written.
    fn write_slice(&mut self, id: RoomId, first: u64, progress: Option<Progress>, ctx: &mut Context<Self>) {
        let mut rooms = self.shard.rooms.borrow_mut();
        let Some(subscribers) = rooms.get_mut(&id) else { return };
        let room = subscribers.room.clone();
        // read anew for each slice: there may be newer counts meanwhile
        let public = room.board.frames(Audience::Public, self.rooms.pod.clock.now());
        let emcee = room.board.frames(Audience::Emcee, self.rooms.pod.clock.now());
        let slice = || subscribers.subscriptions.range(first..).take(SLICE).map(|(_, subscription)| subscription);
        // memory serves many reads at once, but between two writes to the kernel only one
        slice().for_each(|subscription| subscription.prefetch());
        let mut progress = progress.unwrap_or_else(|| Progress::new(&public));
        let mut written = 0;
        let mut last = first;
        for subscription in slice() {
            let frames = if subscription.role == Role::Emcee { &emcee } else { &public };
            progress.wrote_tally |= subscription.send_newer(&self.rooms.pod, &room.board, frames);
            (written, last) = (written + 1, subscription.id);
        }
        if written == SLICE {
            subscribers.broadcast = Broadcast::Running(last + 1);
            drop(rooms);
            // on a crowded machine the coordinators may wait for this very core
            std::thread::yield_now();
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(move |(), registry, ctx| {
                registry.write_slice(id, last + 1, Some(progress), ctx);
            }));
            return;
        }
        // a broadcast of something else has no tally, or one with counts that were told before
        if progress.wrote_tally && progress.tally_at > subscribers.told_at {
            self.rooms.pod.metrics.tally_lag_seconds.observe(progress.tally_at.elapsed().as_secs_f64());
            subscribers.told_at = progress.tally_at;
        }
        if !subscribers.subscriptions.is_empty() {
            room.board.note_shown(self.shard.index, progress.stored);
        }
        drop(rooms);
        self.finish(&id, ctx);
    }

    fn finish(&mut self, id: &RoomId, ctx: &mut Context<Self>) {
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
}
