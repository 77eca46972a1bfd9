//! A subscription: one socket that is in a room, and what it was sent.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use crate::actors::active_room::ActiveRoom;
use crate::actors::in_flight::{CastReply, InFlightCast};
use crate::actors::messages::{CastOutcome, SessionMessage};
use crate::actors::pod::Pod;
use crate::actors::session_handle::SessionHandle;
use crate::board::{Board, Frame, Frames, SLOTS, Slot, TALLY, append};
use crate::domain::ballot::Refusal;
use crate::domain::ids::VoterId;
use crate::domain::visibility::Audience;
use crate::wire::client::Role;
use crate::wire::reveal::StandingView;
use crate::wire::server::{ByeReason, ServerMessage};

thread_local! {
    /// Where several frames are joined into one write. Empty between writes, but it keeps its memory.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

/// The writing end of a socket.
pub trait FrameSink {
    /// Writes a whole frame, or nothing. Returns false if earlier bytes are still unsent. What the kernel does not take
    /// at once is kept and sent first.
    fn try_send(&self, frame: &Frame) -> bool;

    /// True if nothing is unsent, so that [`FrameSink::try_send`] would take a frame.
    fn is_clear(&self) -> bool;

    /// Adds whole frames behind whatever is unsent: for those that must not be skipped.
    fn enqueue(&self, frames: &[u8]);

    /// Closes the socket without its session, which is stuck. The peer is told to come back.
    fn disconnect(&self);

    /// Runs `catch_up` whenever a frame was refused and everything has been sent since.
    fn on_drained(&self, catch_up: CatchUp);
}

/// Brings a subscription up to date with its board.
pub struct CatchUp {
    pod: Arc<Pod>,
    room: Arc<ActiveRoom>,
    /// Weak: the sink must not keep a subscription alive that its session has dropped.
    subscription: Weak<Subscription>,
}

impl CatchUp {
    /// For a subscription to `room`.
    pub(super) fn new(pod: &Arc<Pod>, room: &Arc<ActiveRoom>, subscription: &Rc<Subscription>) -> Self {
        Self { pod: pod.clone(), room: room.clone(), subscription: Rc::downgrade(subscription) }
    }

    /// Sends each frame that is newer than what was sent last.
    pub fn run(&self) {
        if let Some(subscription) = self.subscription.upgrade() {
            let frames = self.room.board.frames(subscription.audience(), self.pod.clock.now());
            subscription.send_newer(&self.pod, &self.room.board, &frames);
        }
    }
}

/// See the [module](self).
pub struct Subscription {
    /// Rises in the order of arrival. Broadcasts follow it: sockets that arrived together lie close together in memory.
    pub id: u64,
    /// What the client said it is.
    pub role: Role,
    /// The voter, for that role.
    pub voter: Option<VoterId>,
    sink: Rc<dyn FrameSink>,
    session: SessionHandle,
    in_flight: Rc<InFlightCast>,
    /// Revision of the last frame sent from each slot; 0: none.
    sent: [Cell<u64>; SLOTS],
    /// One more than the number of the ranking whose standing was sent; 0: none.
    standing: Cell<u64>,
}

impl Subscription {
    /// A subscription that was sent nothing yet.
    pub fn new(
        id: u64,
        role: Role,
        voter: Option<VoterId>,
        sink: Rc<dyn FrameSink>,
        session: SessionHandle,
        in_flight: Rc<InFlightCast>,
    ) -> Rc<Self> {
        Rc::new(Self { id, role, voter, sink, session, in_flight, sent: Default::default(), standing: Cell::new(0) })
    }

    /// Reads what a write will need, so that it is in the CPU's cache by then.
    pub(super) fn prefetch(&self) {
        std::hint::black_box(self.sink.is_clear());
    }

    /// Which of a board's frames it is sent.
    pub fn audience(&self) -> Audience {
        if self.role == Role::Emcee { Audience::Emcee } else { Audience::Public }
    }

    /// From now on the sink runs `catch_up` by itself when it has drained.
    pub(super) fn catch_up_when_drained(&self, catch_up: CatchUp) {
        self.sink.on_drained(catch_up);
    }

    /// Notes that the frame in `slot` was sent by other means.
    pub fn mark(&self, frames: &Frames, slot: usize) {
        if let Some(slot_frame) = &frames.slots[slot] {
            self.sent[slot].set(slot_frame.revision);
        }
    }

    /// Passes each frame that is newer than what was sent last to `write`, until that refuses one. Returns how many it
    /// took, and whether it took all.
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

    /// Sends what [`Subscription::catch_up`] finds, several frames in one write, and counts them. Returns true if the
    /// sink took a tally.
    pub(super) fn send_newer(&self, pod: &Pod, board: &Board, frames: &Frames) -> bool {
        let last_tally = self.sent[TALLY].get();
        let newer = |(sent, slot): (&Cell<u64>, &Option<Slot>)| slot.as_ref().is_some_and(|s| s.revision > sent.get());
        let several = self.sent.iter().zip(&frames.slots).filter(|slot| newer(*slot)).nth(1).is_some();
        let (written, all) = if several && self.sink.is_clear() {
            self.write_together(|wire| self.gather(board, frames, wire))
        } else {
            self.catch_up(board, frames, |frame| self.sink.try_send(frame))
        };
        pod.metrics.fanout_frames.inc_by(written);
        pod.metrics.fanout_skips.inc_by(u64::from(!all));
        self.sent[TALLY].get() > last_tally
    }

    /// Sends the frames that `fill` appends to an empty buffer, in one write.
    fn write_together<T>(&self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            let filled = fill(scratch);
            self.sink.enqueue(scratch);
            filled
        })
    }

    /// Appends every newer frame to `wire`.
    fn gather(&self, board: &Board, frames: &Frames, wire: &mut Vec<u8>) -> (u64, bool) {
        self.catch_up(board, frames, |frame| {
            wire.extend_from_slice(frame.wire());
            true
        })
    }

    /// The voter's own standing, once for each ranking, when it may be seen.
    fn due_standing(&self, board: &Board, frames: &Frames) -> Option<(u64, StandingView)> {
        if !frames.shows_ranking() {
            self.standing.set(0);
            return None;
        }
        let (ranking, standing) = board.standing(self.voter.as_ref()?)?;
        // ranking numbers are far below the largest u64
        (self.standing.get() != ranking + 1).then_some((ranking + 1, standing))
    }

    /// Answers the cast with that number, unless it was answered before. `due` are the frames that a broadcast would
    /// send now: they go out in the same write.
    pub(super) fn answer(&self, pod: &Pod, room: &ActiveRoom, number: u32, outcome: CastOutcome, due: Option<&Frames>) {
        let Some(reply) = self.in_flight.answer(number, outcome, || room.board.votes_per_round()) else { return };
        match reply {
            CastReply::Removed => self.send(SessionMessage::Leave { reason: ByeReason::Removed, retry_ms: None }),
            CastReply::Ballot { view, grew, took } => {
                pod.metrics.ack_seconds.observe(took.as_secs_f64());
                if let (true, Some(voter)) = (grew, &self.voter) {
                    room.tell_others(voter, Some(self.id), &view);
                }
                self.write_together(|wire| {
                    if let Some(frames) = due.filter(|_| self.sink.is_clear()) {
                        let (written, _) = self.gather(&room.board, frames, wire);
                        pod.metrics.fanout_frames.inc_by(written);
                    }
                    append(wire, &ServerMessage::Ballot(view));
                });
            }
        }
        if self.in_flight.take_session_waits() {
            self.send(SessionMessage::Answered);
        }
    }

    /// Answers a cast that has waited too long with `busy`.
    pub(super) fn answer_if_overdue(&self, pod: &Pod, room: &ActiveRoom, now: Instant) {
        if let Some(number) = self.in_flight.overdue(now) {
            pod.metrics.casts.refused(Refusal::Busy).inc();
            self.answer(pod, room, number, CastOutcome::Busy, None);
        }
    }

    /// Sends a message to the session.
    pub(super) fn send(&self, message: SessionMessage) {
        self.session.send(message);
    }

    /// Closes the socket if its session has missed a message.
    pub(super) fn close_if_stuck(&self) {
        if self.session.has_missed_a_message() {
            self.sink.disconnect();
        }
    }
}
