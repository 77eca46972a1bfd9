//! The board of a room: the newest of everything that its sockets are shown, encoded once, each with a revision.
//!
//! Whoever learns something newer puts it here and the shards of the registry are notified; a socket is then written
//! whatever is newer than what it got last. What is older, or comes twice, changes nothing. Frames are encoded
//! when somebody asks for them: between two ticks there may be a hundred commits.

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
mod unshown;

pub use frame::{Frame, Frames, SLOTS, STATE, Slot, TALLY, append};
pub use ranking::ShownRanking;
use state::{BoardState, DirtyFlags};
use unshown::Unshown;

/// Each worker thread has a shard, and a place on every board.
pub const MAX_SHARDS: usize = MAX_WORKERS;

/// Whoever writes what is on boards to sockets: the shards.
pub trait Listeners: Send + Sync {
    /// The board has changed, for the shards that were not told yet, see [`Board::claim_notification`].
    fn changed(&self, board: &Board);
}

/// Stands for what a shard without sockets has shown: it waits for nothing, and keeps no other back.
const NOBODY: u64 = u64::MAX;

/// See [`Board::counts`].
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Slips stored in the room, ever.
    pub stored: u64,
    /// Those whose reply reached a pod.
    pub acknowledged: u64,
    /// Voters joined.
    pub voters: u64,
}

/// See [module](self).
pub struct Board {
    /// The room.
    pub id: RoomId,
    /// Its join code.
    pub code: RoomCode,
    state: Mutex<BoardState>,
    frames: [ArcSwap<Frames>; 2],
    /// There are changes that are not in `frames` yet.
    unwritten: AtomicBool,
    /// When the running round goes dark; `u64::MAX`: not, or it has been noticed already.
    dark_from: AtomicU64,
    /// Slips in the last tally that each shard has sent to all its sockets; [`NOBODY`]: it has none. Written by the
    /// shard alone.
    shown: [AtomicU64; MAX_SHARDS],
    /// A notification is under way to the shard.
    notified: [AtomicBool; MAX_SHARDS],
    /// How often there were changes that sockets are to be sent.
    changes: AtomicU64,
    /// `changes` when the newest walk of each shard began: a lost notification leaves it behind.
    broadcast_at: [AtomicU64; MAX_SHARDS],
    listeners: Arc<dyn Listeners>,
}

impl Board {
    /// A board that shows `snapshot`; `voters_url`: where voters reach this server, without a slash at the end, if that is sure.
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
            unwritten: DirtyFlags::ALL,
            voters_url,
            views: [None, None],
        };
        let empty = Frames { slots: [const { None }; SLOTS], stored: 0, tally_at: state.tally_at };
        let board = Self {
            id: state.room.id.clone(),
            code: state.room.code.clone(),
            frames: [ArcSwap::from_pointee(empty.clone()), ArcSwap::from_pointee(empty)],
            unwritten: AtomicBool::new(true),
            dark_from: AtomicU64::new(u64::MAX),
            shown: [const { AtomicU64::new(NOBODY) }; MAX_SHARDS],
            notified: [const { AtomicBool::new(false) }; MAX_SHARDS],
            changes: AtomicU64::new(0),
            broadcast_at: [const { AtomicU64::new(0) }; MAX_SHARDS],
            listeners,
            state: Mutex::new(state),
        };
        let mut state = board.lock();
        board.apply(&mut state, now, DirtyFlags::ALL).forget();
        drop(state);
        board
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        self.state.lock().expect("the lock is never poisoned")
    }

    /// What `audience` is shown now. Asks for the time, so that nothing is shown a moment too long.
    pub fn frames(&self, audience: Audience, now: LedgerMs) -> Arc<Frames> {
        if now >= self.dark_from.load(Ordering::Relaxed) {
            self.go_dark(now);
        }
        if self.unwritten.load(Ordering::Acquire) {
            self.write(&mut self.lock());
        }
        self.frames[audience as usize].load_full()
    }

    /// The whole room as `audience` sees it now, newest counts included: for hello and for HTTP.
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

    /// The budget of a voter in a round.
    pub fn votes_per_round(&self) -> u16 {
        self.lock().room.votes_per_round
    }

    /// The room record.
    pub fn room(&self) -> Arc<Room> {
        self.lock().room.clone()
    }

    /// The record and the gates' sum, if all gates are known.
    pub fn record_and_counts(&self) -> (Arc<Room>, Option<GateSum>) {
        let state = self.lock();
        (state.room.clone(), state.sum())
    }

    /// Puts a newer record, newer gates, the number of voters, and the ranking that the record shows.
    pub fn put(&self, snapshot: RoomSnapshot, ranking: Option<Arc<ShownRanking>>, now: LedgerMs) {
        let mut state = self.lock();
        let mut changed = DirtyFlags::default();
        if snapshot.room.seq > state.room.seq {
            state.room = Arc::new(snapshot.room);
            if let Some(old) = std::mem::replace(&mut state.ranking, ranking) {
                // a million entries take a while to be given back
                tokio::task::spawn_blocking(move || drop(old));
            }
            changed.room = true;
        } else if state.ranking.is_none() && ranking.is_some() && snapshot.room.seq == state.room.seq {
            state.ranking = ranking;
            changed.room = true;
        }
        for (partition, gate) in snapshot.gates.into_iter().enumerate() {
            changed = changed.and(state.put_gate(partition, gate));
        }
        // told with the next count of those who are here: at most once a second
        state.voters = snapshot.voters;
        drop(self.apply(&mut state, now, changed));
    }

    /// Puts one newer gate: the counts of a commit, or of another pod's. The shards are notified when what this gives is
    /// dropped, so that answers which are handed out before can take the changes along.
    pub fn put_gate(&self, partition: u16, gate: Gate, now: LedgerMs) -> Notification<'_> {
        let mut state = self.lock();
        let changed = state.put_gate(usize::from(partition), gate);
        self.apply(&mut state, now, changed)
    }

    /// Puts how many are here.
    pub fn put_connected(&self, connected: u64, now: LedgerMs) {
        let mut state = self.lock();
        let presence = (connected, state.voters);
        let changed = DirtyFlags { presence: state.presence != presence, ..DirtyFlags::default() };
        state.presence = presence;
        drop(self.apply(&mut state, now, changed));
    }

    /// Puts what the emcee's desk shows. Where no emcee is here it only lies ready for the next one's hello.
    pub fn put_desk(&self, desk: DeskView, somebody_here: bool, now: LedgerMs) {
        let mut state = self.lock();
        state.desk = Some(desk);
        let notification = self.apply(&mut state, now, DirtyFlags { desk: true, ..DirtyFlags::default() });
        if !somebody_here {
            notification.forget();
        }
    }

    /// Takes the split off, if the blackout has begun.
    pub fn go_dark(&self, now: LedgerMs) {
        let mut state = self.lock();
        if state.look_at_blackout(now) {
            drop(self.apply(&mut state, now, DirtyFlags { room: true, ..DirtyFlags::default() }));
        }
    }

    /// Whether the running round is dark.
    pub fn blackout(&self, now: LedgerMs) -> Blackout {
        self.go_dark(now);
        self.lock().blackout
    }

    /// The state has changed in this way.
    fn apply(&self, state: &mut BoardState, now: LedgerMs, changed: DirtyFlags) -> Notification<'_> {
        if changed == DirtyFlags::default() {
            return Notification(None);
        }
        if changed.room {
            state.look_at_blackout(now);
            let is_light = |running: &Running| !state.blackout.hides(running);
            let dark_from = state.dark_from().filter(|_| state.room.running.as_ref().is_some_and(is_light));
            self.dark_from.store(dark_from.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if changed.tally {
            state.tally_at = Instant::now();
            self.note_unshown(state, state.tally_at);
        }
        state.views = [None, None];
        state.unwritten = state.unwritten.and(changed);
        self.unwritten.store(true, Ordering::Release);
        Notification(Some(self))
    }

    /// Encodes what is new.
    fn write(&self, state: &mut BoardState) {
        let changed = std::mem::take(&mut state.unwritten);
        for audience in [Audience::Public, Audience::Emcee] {
            let shown = &self.frames[audience as usize];
            let mut frames = Frames::clone(&shown.load());
            state.write(&mut frames, audience, changed);
            shown.store(Arc::new(frames));
        }
        self.unwritten.store(false, Ordering::Release);
    }

    /// True if shard `index` needs a notification, for none is under way to it.
    pub fn claim_notification(&self, index: usize) -> bool {
        !self.notified[index].swap(true, Ordering::AcqRel)
    }

    /// Shard `index` has got its notification, or cannot get it.
    pub fn release_notification(&self, index: usize) {
        self.notified[index].store(false, Ordering::Release);
    }

    /// Shard `index` has sent all its sockets a tally of `stored` slips, or has its first socket, which was sent that.
    pub fn note_shown(&self, index: usize, stored: u64) {
        let mut state = self.lock();
        let before = Some(self.shown[index].load(Ordering::Acquire)).filter(|before| *before != NOBODY);
        // a failover may have taken back what was shown
        let most = state.sum().map_or(0, |sum| sum.stored);
        self.shown[index].store(stored.max(before.unwrap_or(0)).min(most), Ordering::Release);
        self.note_unshown(&mut state, Instant::now());
    }

    /// Shard `index` has lost its last socket.
    pub fn note_nobody(&self, index: usize) {
        let mut state = self.lock();
        self.shown[index].store(NOBODY, Ordering::Release);
        self.note_unshown(&mut state, Instant::now());
    }

    fn note_unshown(&self, state: &mut BoardState, now: Instant) {
        let stored = state.sum().map_or(0, |sum| sum.stored);
        state.unshown.update(stored, self.shown(), now);
    }

    /// Slips in the tally that all sockets of this pod were last sent; `None`: the room has no socket here, so this pod
    /// has nothing to say of what is shown.
    pub fn shown(&self) -> Option<u64> {
        let shown = self.shown.iter().map(|shown| shown.load(Ordering::Acquire)).min();
        shown.filter(|shown| *shown != NOBODY)
    }

    /// Age of the oldest vote that this pod's sockets were not shown; zero where there are none.
    pub fn oldest_unshown(&self) -> Duration {
        self.lock().unshown.age(Instant::now())
    }

    /// A voter's own place, once it may be seen; with the number that tells one from the next.
    pub fn standing(&self, voter: &VoterId) -> Option<(u64, StandingView)> {
        let state = self.lock();
        let reveal = state.room.reveal.as_ref()?;
        let ranking = state.ranking.as_ref().filter(|ranking| ranking.number == reveal.ranking)?;
        Some((ranking.number, ranking.standing(reveal, voter)?))
    }

    /// The three numbers' first two, and how many have joined.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        let sum = state.sum().unwrap_or_default();
        Counts { stored: sum.stored, acknowledged: sum.acknowledged, voters: state.voters }
    }

    /// Slips stored, and those of them that no socket here waits for: where there are no sockets that is all of them.
    pub fn slips(&self) -> (u64, u64) {
        let (shown, stored) = (self.shown(), self.counts().stored);
        (stored, shown.unwrap_or(stored).min(stored))
    }

    /// The frozen ranking that is shown, if it is this one.
    pub fn ranking(&self, number: u64) -> Option<Arc<ShownRanking>> {
        self.lock().ranking.clone().filter(|ranking| ranking.number == number)
    }

    /// Shard `index` begins to send its sockets what is on the board from here on.
    pub fn begin_broadcast(&self, index: usize) {
        self.release_notification(index);
        self.broadcast_at[index].store(self.changes.load(Ordering::Acquire), Ordering::Release);
    }

    /// True if shard `index` was not told of the newest on the board, and no notification is under way to it.
    pub fn is_behind(&self, index: usize) -> bool {
        let broadcast_at = self.broadcast_at[index].load(Ordering::Acquire);
        !self.notified[index].load(Ordering::Acquire) && broadcast_at < self.changes.load(Ordering::Acquire)
    }

    /// When something is due by itself: a close, the dark until the record knows of it, a step of the reveal.
    pub fn next_due(&self) -> Option<LedgerMs> {
        let state = self.lock();
        let closes_at = state.closes_at();
        // a close that somebody began is completed by whoever sees it
        let closing = state.room.running.as_ref().and_then(|running| running.closing).map(|_| 0);
        let dark = state.dark_from();
        let step = state.room.next_auto_step().map(|(due, _)| due);
        [closes_at, closing, dark, step].into_iter().flatten().min()
    }
}

/// Notifies the shards when it is dropped, if something changed.
#[must_use = "the shards are notified when this is dropped"]
pub struct Notification<'b>(Option<&'b Board>);

impl Notification<'_> {
    /// Nobody needs to be told.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Notification<'_> {
    fn drop(&mut self) {
        if let Some(board) = self.0 {
            board.changes.fetch_add(1, Ordering::AcqRel);
            board.listeners.changed(board);
        }
    }
}

#[cfg(test)]
mod tests;
