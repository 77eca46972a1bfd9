//! The board of a room: the newest of everything that its sockets are shown, encoded once, each part with a revision.
//!
//! Whoever learns something newer puts it here. Each listener, a registry shard, is then told once, and writes to each
//! socket what is newer than what that socket got last. What is older, or comes twice, changes nothing. Frames are encoded
//! when somebody asks for them: between two ticks there may be a hundred commits.
//!
//! A board is told the time and whom to notify. It knows neither the process nor the registry.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::value::RawValue;

use crate::domain::LedgerMs;
use crate::domain::gate::{Gate, GateSum};
use crate::domain::ids::{RoomCode, RoomId, VoterId};
use crate::domain::room::{Room, Running};
use crate::domain::visibility::{Audience, Blackout};
use crate::ledger::execute::RoomSnapshot;
use crate::settings::MAX_WORKERS;
use crate::wire::reveal::StandingView;
use crate::wire::server::DeskView;

mod frame;
mod ranking;
mod state;
#[cfg(test)]
mod tests;
mod unshown;

pub use frame::{Frame, Frames, SLOTS, STATE, Slot, TALLY, append};
pub use ranking::ShownRanking;
use state::{BoardState, DirtyFlags};
use unshown::Unshown;

/// Each worker thread has one shard, and each shard a place on every board.
pub const MAX_SHARDS: usize = MAX_WORKERS;

/// Those who write boards to sockets: the registry's shards, by index.
pub trait Listeners: Send + Sync {
    /// The board has changed. Tells every listener to which no such message is under way, see
    /// [`Board::claim_notification`].
    fn changed(&self, board: &Board);
}

/// In place of what a shard has shown, when it has no sockets: no other shard's figure is held back by it.
const NO_SOCKETS: u64 = u64::MAX;

/// Whether a board has changed in a way that sockets must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "give it to `Board::notify`"]
pub struct Change(bool);

/// See [`Board::counts`].
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Slips ever stored in the room.
    pub stored: u64,
    /// Those of them whose reply reached a process.
    pub acknowledged: u64,
    /// Voters joined.
    pub voters: u64,
}

/// See the [module](self).
pub struct Board {
    /// The room.
    pub id: RoomId,
    /// Its join code.
    pub code: RoomCode,
    state: Mutex<BoardState>,
    /// As last encoded, for each [`Audience`].
    frames: [ArcSwap<Frames>; 2],
    /// Something has changed that is not in `frames` yet.
    is_dirty: AtomicBool,
    /// When the running round goes dark; `u64::MAX`: never, or it has gone dark already.
    dark_from: AtomicU64,
    /// For each shard, slips in the last tally that it has sent to all its sockets, or [`NO_SOCKETS`]. Written by that
    /// shard alone.
    shown: [AtomicU64; MAX_SHARDS],
    /// For each shard, whether a notification is under way.
    notified: [AtomicBool; MAX_SHARDS],
    /// How often the board has changed.
    changes: AtomicU64,
    /// For each shard, `changes` when its newest broadcast began. A notification that was lost leaves it behind.
    broadcast_at: [AtomicU64; MAX_SHARDS],
    listeners: Arc<dyn Listeners>,
}

impl Board {
    /// A board that shows `snapshot`. `voters_url` is where voters reach this server, without a slash at the end, if that
    /// is known for sure. `now` is the ledger's time.
    pub fn new(
        snapshot: RoomSnapshot,
        ranking: Option<Arc<ShownRanking>>,
        listeners: Arc<dyn Listeners>,
        voters_url: Option<String>,
        now: LedgerMs,
    ) -> Self {
        let state = BoardState {
            room: Arc::new(snapshot.room),
            gates: snapshot.gates.into_iter().map(Some).collect(),
            voters: snapshot.voters,
            presence: (0, snapshot.voters),
            ranking,
            desk: None,
            revision: 0,
            blackout: Blackout::default(),
            tally_at: Instant::now(),
            unshown: Unshown::default(),
            dirty: DirtyFlags::ALL,
            voters_url,
            views: [None, None],
        };
        let empty = Frames { slots: [const { None }; SLOTS], stored: 0, tally_at: state.tally_at };
        let board = Self {
            id: state.room.id.clone(),
            code: state.room.code.clone(),
            frames: [ArcSwap::from_pointee(empty.clone()), ArcSwap::from_pointee(empty)],
            is_dirty: AtomicBool::new(true),
            dark_from: AtomicU64::new(u64::MAX),
            shown: [const { AtomicU64::new(NO_SOCKETS) }; MAX_SHARDS],
            notified: [const { AtomicBool::new(false) }; MAX_SHARDS],
            changes: AtomicU64::new(0),
            broadcast_at: [const { AtomicU64::new(0) }; MAX_SHARDS],
            listeners,
            state: Mutex::new(state),
        };
        // nobody has subscribed to it yet, so nobody is notified
        let _ = board.apply(&mut board.lock(), now, DirtyFlags::ALL);
        board
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        self.state.lock().expect("the lock is never poisoned")
    }

    // --- reading -----------------------------------------------------------------------------------------------

    /// What `audience` is shown at `now`, so that nothing is shown after a blackout has begun.
    pub fn frames(&self, audience: Audience, now: LedgerMs) -> Arc<Frames> {
        if now >= self.dark_from.load(Ordering::Relaxed) {
            self.go_dark(now);
        }
        if self.is_dirty.load(Ordering::Acquire) {
            self.encode(&mut self.lock());
        }
        self.frames[audience as usize].load_full()
    }

    /// The whole room as `audience` sees it at `now`, with the newest counts: for a hello and for HTTP.
    pub fn view(&self, audience: Audience, now: LedgerMs) -> Arc<RawValue> {
        self.go_dark(now);
        let mut state = self.lock();
        if let Some(view) = &state.views[audience as usize] {
            return view.clone();
        }
        let sum = state.sum();
        let view = state.room_view(sum.as_ref(), audience);
        state.views[audience as usize] = Some(view.clone());
        view
    }

    /// Votes that each voter has in a round.
    pub fn votes_per_round(&self) -> u16 {
        self.lock().room.votes_per_round
    }

    /// The room record.
    pub fn room(&self) -> Arc<Room> {
        self.lock().room.clone()
    }

    /// The room record, and the sum of the gates if all gates are known.
    pub fn record_and_counts(&self) -> (Arc<Room>, Option<GateSum>) {
        let state = self.lock();
        (state.room.clone(), state.sum())
    }

    /// Whether the running round is dark at `now`.
    pub fn blackout(&self, now: LedgerMs) -> Blackout {
        self.go_dark(now);
        self.lock().blackout
    }

    /// A voter's own standing, once it may be seen, and the number of its ranking.
    pub fn standing(&self, voter: &VoterId) -> Option<(u64, StandingView)> {
        let state = self.lock();
        let reveal = state.room.reveal.as_ref()?;
        let ranking = state.ranking.as_ref().filter(|ranking| ranking.number == reveal.ranking)?;
        Some((ranking.number, ranking.standing(reveal, voter)?))
    }

    /// The frozen ranking with this number, if it is on the board.
    pub fn ranking(&self, number: u64) -> Option<Arc<ShownRanking>> {
        self.lock().ranking.clone().filter(|ranking| ranking.number == number)
    }

    /// How many slips are stored and acknowledged, and how many voters have joined.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        let sum = state.sum().unwrap_or_default();
        Counts { stored: sum.stored, acknowledged: sum.acknowledged, voters: state.voters }
    }

    /// When something is due by itself, by the ledger's clock: a close, a blackout that the record does not know of yet, a
    /// step of an automatic reveal.
    pub fn next_due(&self) -> Option<LedgerMs> {
        let state = self.lock();
        let closes_at = state.closes_at();
        // whoever sees a close that was begun finishes it
        let closing = state.room.running.as_ref().and_then(|running| running.closing).map(|_| 0);
        let dark = state.dark_from();
        let step = state.room.next_auto_step().map(|(due, _)| due);
        [closes_at, closing, dark, step].into_iter().flatten().min()
    }

    // --- changing ----------------------------------------------------------------------------------------------

    /// Puts a newer record, newer gates, the number of voters, and the ranking that the record shows.
    pub fn put(&self, snapshot: RoomSnapshot, ranking: Option<Arc<ShownRanking>>, now: LedgerMs) {
        let mut state = self.lock();
        let mut dirty = DirtyFlags::default();
        if snapshot.room.seq > state.room.seq {
            state.room = Arc::new(snapshot.room);
            if let Some(old) = std::mem::replace(&mut state.ranking, ranking) {
                // freeing a million entries takes a while
                tokio::task::spawn_blocking(move || drop(old));
            }
            dirty.room = true;
        } else if state.ranking.is_none() && ranking.is_some() && snapshot.room.seq == state.room.seq {
            state.ranking = ranking;
            dirty.room = true;
        }
        for (partition, gate) in snapshot.gates.into_iter().enumerate() {
            dirty = dirty.and(state.put_gate(partition, gate));
        }
        // shown with the next `put_connected`, within a second
        state.voters = snapshot.voters;
        self.apply_and_notify(state, now, dirty);
    }

    /// Puts one newer gate: the counts of a commit, here or elsewhere. The caller notifies, so that it can send the
    /// answers of that commit first.
    pub fn put_gate(&self, partition: u16, gate: Gate, now: LedgerMs) -> Change {
        let mut state = self.lock();
        let dirty = state.put_gate(usize::from(partition), gate);
        self.apply(&mut state, now, dirty)
    }

    /// Puts how many sockets of voters there are on all processes.
    pub fn put_connected(&self, connected: u64, now: LedgerMs) {
        let mut state = self.lock();
        let presence = (connected, state.voters);
        let dirty = DirtyFlags { presence: state.presence != presence, ..DirtyFlags::default() };
        state.presence = presence;
        self.apply_and_notify(state, now, dirty);
    }

    /// Puts what the emcee's page shows. Without such a page here (`is_watched`) nobody is notified; the next one that
    /// says hello is sent it.
    pub fn put_desk(&self, desk: DeskView, is_watched: bool, now: LedgerMs) {
        let mut state = self.lock();
        state.desk = Some(desk);
        let change = self.apply(&mut state, now, DirtyFlags { desk: true, ..DirtyFlags::default() });
        drop(state);
        if is_watched {
            self.notify(change);
        }
    }

    /// Hides the split if a blackout has begun by `now`.
    pub fn go_dark(&self, now: LedgerMs) {
        let mut state = self.lock();
        if state.update_blackout(now) {
            self.apply_and_notify(state, now, DirtyFlags { room: true, ..DirtyFlags::default() });
        }
    }

    /// Notes what has changed, and tells the listeners once the lock is free.
    fn apply_and_notify(&self, mut state: MutexGuard<'_, BoardState>, now: LedgerMs, dirty: DirtyFlags) {
        let change = self.apply(&mut state, now, dirty);
        drop(state);
        self.notify(change);
    }

    /// Notes what has changed, for the next encoding.
    fn apply(&self, state: &mut BoardState, now: LedgerMs, dirty: DirtyFlags) -> Change {
        if dirty == DirtyFlags::default() {
            return Change(false);
        }
        if dirty.room {
            state.update_blackout(now);
            let is_light = |running: &Running| !state.blackout.hides(running);
            let dark_from = state.dark_from().filter(|_| state.room.running.as_ref().is_some_and(is_light));
            self.dark_from.store(dark_from.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if dirty.tally {
            state.tally_at = Instant::now();
            self.update_unshown(state, state.tally_at);
        }
        state.views = [None, None];
        state.dirty = state.dirty.and(dirty);
        self.is_dirty.store(true, Ordering::Release);
        Change(true)
    }

    fn encode(&self, state: &mut BoardState) {
        let dirty = std::mem::take(&mut state.dirty);
        for audience in [Audience::Public, Audience::Emcee] {
            let shown = &self.frames[audience as usize];
            let mut frames = Frames::clone(&shown.load());
            state.encode(&mut frames, audience, dirty);
            shown.store(Arc::new(frames));
        }
        self.is_dirty.store(false, Ordering::Release);
    }

    // --- listeners ---------------------------------------------------------------------------------------------

    /// Tells the listeners, if there is something to tell.
    pub fn notify(&self, change: Change) {
        if change.0 {
            self.changes.fetch_add(1, Ordering::AcqRel);
            self.listeners.changed(self);
        }
    }

    /// Returns true if no notification is under way to shard `index`; then one is, until
    /// [`Board::release_notification`].
    pub fn claim_notification(&self, index: usize) -> bool {
        !self.notified[index].swap(true, Ordering::AcqRel)
    }

    /// Shard `index` has got its notification, or its mailbox has refused it.
    pub fn release_notification(&self, index: usize) {
        self.notified[index].store(false, Ordering::Release);
    }

    /// Shard `index` begins to send its sockets what is on the board from here on.
    pub fn begin_broadcast(&self, index: usize) {
        self.release_notification(index);
        self.broadcast_at[index].store(self.changes.load(Ordering::Acquire), Ordering::Release);
    }

    /// True if the board has changed since the last broadcast of shard `index`, and no notification is under way to it.
    pub fn is_behind(&self, index: usize) -> bool {
        let broadcast_at = self.broadcast_at[index].load(Ordering::Acquire);
        !self.notified[index].load(Ordering::Acquire) && broadcast_at < self.changes.load(Ordering::Acquire)
    }

    // --- what was shown ----------------------------------------------------------------------------------------

    /// Shard `index` has sent a tally of `stored` slips to all its sockets, or to its first socket.
    pub fn note_shown(&self, index: usize, stored: u64) {
        let mut state = self.lock();
        let before = Some(self.shown[index].load(Ordering::Acquire)).filter(|before| *before != NO_SOCKETS);
        // a failover may have taken back what was shown
        let max = state.sum().map_or(0, |sum| sum.stored);
        self.shown[index].store(stored.max(before.unwrap_or(0)).min(max), Ordering::Release);
        self.update_unshown(&mut state, Instant::now());
    }

    /// Shard `index` has lost its last socket.
    pub fn note_no_sockets(&self, index: usize) {
        let mut state = self.lock();
        self.shown[index].store(NO_SOCKETS, Ordering::Release);
        self.update_unshown(&mut state, Instant::now());
    }

    fn update_unshown(&self, state: &mut BoardState, now: Instant) {
        let stored = state.sum().map_or(0, |sum| sum.stored);
        state.unshown.update(stored, self.shown(), now);
    }

    /// Slips in the tally that every socket of this process was sent. `None` if the room has no socket here.
    pub fn shown(&self) -> Option<u64> {
        let shown = self.shown.iter().map(|shown| shown.load(Ordering::Acquire)).min();
        shown.filter(|shown| *shown != NO_SOCKETS)
    }

    /// Age of the oldest vote that some socket of this process was not sent yet; zero without sockets.
    pub fn oldest_unshown(&self) -> Duration {
        self.lock().unshown.age(Instant::now())
    }

    /// Slips stored, and those of them that every socket here was sent: without sockets all of them.
    pub fn slips(&self) -> (u64, u64) {
        let (shown, stored) = (self.shown(), self.counts().stored);
        (stored, shown.unwrap_or(stored).min(stored))
    }
}
