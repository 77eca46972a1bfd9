//! A subscription: a socket that takes part in a room, and what it was sent.

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
    /// Where an answer is put together; it leaves this at once.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

/// The writing end of a socket.
pub trait FrameSink {
    /// Writes a whole frame, or nothing: `false` if earlier bytes are still unsent. What cannot be sent at once is
    /// kept and sent first.
    fn try_send(&self, frame: &Frame) -> bool;

    /// True if nothing is unsent, so that an offer would be taken.
    fn is_clear(&self) -> bool;

    /// Writes whole frames that must not be skipped, behind what is unsent.
    fn enqueue(&self, frames: &[u8]);

    /// Ends the socket without its session, which is stuck: the peer is told to come back.
    fn disconnect(&self);

    /// Runs `catch_up` whenever frames were refused and everything has been sent since.
    fn on_drained(&self, catch_up: CatchUp);
}

/// Brings a subscription up to date with its board.
pub struct CatchUp {
    pod: Arc<Pod>,
    room: Arc<ActiveRoom>,
    /// Not kept alive: without its session a subscription gets nothing more.
    subscription: Weak<Subscription>,
}

impl CatchUp {
    /// For a subscription in `room`.
    pub(super) fn new(pod: &Arc<Pod>, room: &Arc<ActiveRoom>, subscription: &Rc<Subscription>) -> Self {
        Self { pod: pod.clone(), room: room.clone(), subscription: Rc::downgrade(subscription) }
    }

    /// Offers the subscription's sink each frame that is newer than what was sent last.
    pub fn run(&self) {
        if let Some(subscription) = self.subscription.upgrade() {
            let frames = self.room.board.frames(subscription.audience(), self.pod.clock.now());
            subscription.send_newer(&self.pod, &self.room.board, &frames);
        }
    }
}

/// See [module](self).
pub struct Subscription {
    /// Rises in the order of arrival: sockets are progress in that order, which is that of their memory.
    pub id: u64,
    /// What it is for.
    pub role: Role,
    /// Whose it is.
    pub voter: Option<VoterId>,
    /// Where frames go.
    sink: Rc<dyn FrameSink>,
    /// Its session.
    session: SessionHandle,
    /// Its cast under way.
    in_flight: Rc<InFlightCast>,
    sent: [Cell<u64>; SLOTS],
    standing: Cell<u64>,
}

impl Subscription {
    /// A subscription that has been sent nothing.
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

    /// True if an offer would be taken.
    pub(super) fn is_clear(&self) -> bool {
        self.sink.is_clear()
    }

    /// Who is looking.
    pub fn audience(&self) -> Audience {
        if self.role == Role::Emcee { Audience::Emcee } else { Audience::Public }
    }

    /// From now on the sink catches up by itself when it has drained.
    pub(super) fn catch_up_when_drained(&self, catch_up: CatchUp) {
        self.sink.on_drained(catch_up);
    }

    /// The frames of `frames` in `slot` have been sent by other means.
    pub fn mark(&self, frames: &Frames, slot: usize) {
        if let Some(slot_frame) = &frames.slots[slot] {
            self.sent[slot].set(slot_frame.revision);
        }
    }

    /// Hands `write` each frame that is newer than what was sent last, until it refuses one. Returns how many it took,
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

    /// Offers the sink what [`Subscription::catch_up`] finds, and counts it. True if there was a tally that it took.
    pub(super) fn send_newer(&self, pod: &Pod, board: &Board, frames: &Frames) -> bool {
        let last_tally = self.sent[TALLY].get();
        let newer = |(sent, slot): (&Cell<u64>, &Option<Slot>)| slot.as_ref().is_some_and(|s| s.revision > sent.get());
        let several = self.sent.iter().zip(&frames.slots).filter(|slot| newer(*slot)).nth(1).is_some();
        let (written, all) = if several && self.sink.is_clear() {
            // in one write
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.clear();
                let took = self.gather(board, frames, scratch);
                self.sink.enqueue(scratch);
                took
            })
        } else {
            self.catch_up(board, frames, |frame| self.sink.try_send(frame))
        };
        pod.metrics.fanout_frames.inc_by(written);
        pod.metrics.fanout_skips.inc_by(u64::from(!all));
        self.sent[TALLY].get() > last_tally
    }

    /// Takes everything that is newer into `wire`.
    fn gather(&self, board: &Board, frames: &Frames, wire: &mut Vec<u8>) -> (u64, bool) {
        self.catch_up(board, frames, |frame| {
            wire.extend_from_slice(frame.wire());
            true
        })
    }

    /// The voter's own place, once a ranking, when it may be seen.
    fn due_standing(&self, board: &Board, frames: &Frames) -> Option<(u64, StandingView)> {
        if !frames.shows_ranking() {
            self.standing.set(0);
            return None;
        }
        let (ranking, standing) = board.standing(self.voter.as_ref()?)?;
        // a number is far below the largest, so this tells every ranking from "none sent"
        (self.standing.get() != ranking + 1).then_some((ranking + 1, standing))
    }

    /// Answers the cast with that number, if it is still under way. `due` is what a broadcast of the board would send now:
    /// it goes along in the same write.
    pub(super) fn answer(&self, pod: &Pod, room: &ActiveRoom, number: u32, answer: CastOutcome, due: Option<&Frames>) {
        let Some(told) = self.in_flight.answer(number, answer, || room.board.votes_per_round()) else { return };
        match told {
            CastReply::Removed => self.send(SessionMessage::Leave { reason: ByeReason::Removed, retry_ms: None }),
            CastReply::Ballot { view, grew, took } => {
                pod.metrics.ack_seconds.observe(took.as_secs_f64());
                if let (true, Some(voter)) = (grew, &self.voter) {
                    room.tell_others(voter, Some(self.id), &view);
                }
                SCRATCH.with_borrow_mut(|scratch| {
                    scratch.clear();
                    if let Some(frames) = due.filter(|_| self.sink.is_clear()) {
                        let (written, _) = self.gather(&room.board, frames, scratch);
                        pod.metrics.fanout_frames.inc_by(written);
                    }
                    append(scratch, &ServerMessage::Ballot(view));
                    self.sink.enqueue(scratch);
                });
            }
        }
        if self.in_flight.take_wanted() {
            self.send(SessionMessage::Answered);
        }
    }

    /// Answers a cast that has waited too long.
    pub(super) fn answer_if_overdue(&self, pod: &Pod, room: &ActiveRoom, now: Instant) {
        if let Some(number) = self.in_flight.overdue(now) {
            pod.metrics.casts.refused(Refusal::Busy).inc();
            self.answer(pod, room, number, CastOutcome::Busy, None);
        }
    }

    /// Says a word to the session.
    pub(super) fn send(&self, message: SessionMessage) {
        self.session.send(message);
    }

    /// Closes the socket if its session has missed a word.
    pub(super) fn close_if_stuck(&self) {
        if self.session.has_missed_a_message() {
            self.sink.disconnect();
        }
    }
}
