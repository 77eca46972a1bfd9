//! Rooms that are active in this process.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use tokio::sync::Notify;

use super::active_room::ActiveRoom;
use super::coordinator::handle::CoordinatorHandle;
use super::messages::{CastResult, Reschedule};
use super::pod::Pod;
use super::registry_handle::RegistryHandle;
use crate::board::{Board, ShownRanking};
use crate::domain::LedgerMs;
use crate::domain::ids::{RoomCode, RoomId};
use crate::ledger::LedgerError;
use crate::ledger::execute::{ExecuteError, RoomSnapshot, frozen, reconcile_room, run_blocking};

/// While something is due within so many ms, the ledger's clock is not followed backwards.
const NEAR_MS: u64 = 60_000;

/// Why there is no room to enter.
#[derive(Debug, thiserror::Error)]
pub enum Absent {
    /// A definite finding.
    #[error("there is no such room")]
    NoSuchRoom,
    /// The ledger could not be asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<ExecuteError> for Absent {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Ledger(error) => Self::Ledger(error),
            _ => Self::NoSuchRoom,
        }
    }
}

/// Starts the coordinator of a room in so many partitions.
pub type StartCoordinator = Box<dyn Fn(Arc<Rooms>, RoomId, u16) -> CoordinatorHandle + Send + Sync>;

/// All active rooms of a pod.
pub struct Rooms {
    /// The process that they are in.
    pub pod: Arc<Pod>,
    by_id: RwLock<HashMap<RoomId, Arc<ActiveRoom>>>,
    by_code: RwLock<HashMap<RoomCode, RoomId>>,
    shards: Arc<RegistryHandle>,
    start_coordinator: StartCoordinator,
    /// What the metrics say already.
    measured: Mutex<Measured>,
    /// A room became active: its gates must be followed at once.
    activated: Notify,
}

impl Rooms {
    /// No room yet.
    pub fn new(pod: Arc<Pod>, shards: Arc<RegistryHandle>, start_coordinator: StartCoordinator) -> Self {
        Self {
            pod,
            by_id: RwLock::default(),
            by_code: RwLock::default(),
            shards,
            start_coordinator,
            measured: Mutex::default(),
            activated: Notify::new(),
        }
    }

    /// Resolves when a room became active since it was last asked.
    pub async fn activated(&self) {
        self.activated.notified().await;
    }

    /// Hands answers to a shard; see [`RegistryHandle::answer`].
    pub fn answer(&self, shard: usize, room: &RoomId, answers: Vec<CastResult>) -> bool {
        self.shards.answer(shard, room, answers)
    }

    /// An active room.
    pub fn get(&self, id: &RoomId) -> Option<Arc<ActiveRoom>> {
        self.by_id.read().expect("the lock is never poisoned").get(id).cloned()
    }

    /// All active rooms.
    pub fn all(&self) -> Vec<Arc<ActiveRoom>> {
        self.by_id.read().expect("the lock is never poisoned").values().cloned().collect()
    }

    /// The room of a code, made active. Deleted rooms are none.
    ///
    /// # Errors
    /// See [`Absent`].
    pub async fn enter(self: &Arc<Self>, code: &RoomCode) -> Result<Arc<ActiveRoom>, Absent> {
        let known = self.by_code.read().expect("the lock is never poisoned").get(code).cloned();
        let known = known.and_then(|id| self.get(&id));
        let room = match known {
            Some(room) => room,
            None => {
                let record = self.pod.ledger.find_room(code).await?.ok_or(Absent::NoSuchRoom)?;
                self.activate(&record.id).await?
            }
        };
        if room.board.room().deleted_at.is_some() {
            return Err(Absent::NoSuchRoom);
        }
        Ok(room)
    }

    /// Makes a room active, deleted or not.
    ///
    /// # Errors
    /// See [`Absent`].
    pub async fn activate(self: &Arc<Self>, id: &RoomId) -> Result<Arc<ActiveRoom>, Absent> {
        if let Some(room) = self.get(id) {
            return Ok(room);
        }
        let (snapshot, ranking) = match self.read(id).await {
            Err(Absent::Ledger(error)) => {
                self.pod.quarantine.add_if_corrupt(id, None, &error);
                return Err(error.into());
            }
            read => read?,
        };
        let partitions = snapshot.room.partitions;
        // made before the rooms are locked: what is read of one room never holds up the others
        let (voters_url, now) = (self.pod.voters_url.clone(), self.pod.clock.now());
        let board = Board::new(snapshot, ranking, self.shards.clone(), voters_url, now);
        let mut rooms = self.by_id.write().expect("the lock is never poisoned");
        if let Some(room) = rooms.get(id) {
            return Ok(room.clone());
        }
        let code = board.code.clone();
        let coordinator = (self.start_coordinator)(self.clone(), id.clone(), partitions);
        let room = Arc::new(ActiveRoom::new(board, coordinator));
        rooms.insert(id.clone(), room.clone());
        self.by_code.write().expect("the lock is never poisoned").insert(code, id.clone());
        let _ = room.coordinator.reschedule.try_send(Reschedule);
        self.activated.notify_one();
        Ok(room)
    }

    async fn read(&self, id: &RoomId) -> Result<(RoomSnapshot, Option<Arc<ShownRanking>>), Absent> {
        let asked = Instant::now();
        let snapshot = reconcile_room(&*self.pod.ledger, id).await?;
        // the board's first look is by the ledger's time, also where nothing else has told it yet
        self.note_ledger_time(asked, snapshot.now);
        let ranking = self.shown_ranking(&snapshot).await?;
        Ok((snapshot, ranking))
    }

    /// Lets go of a room that nobody here uses. `room` must be the caller's only handle.
    pub fn retire(&self, room: &Arc<ActiveRoom>) {
        let mut rooms = self.by_id.write().expect("the lock is never poisoned");
        // the map's handle and the caller's: nobody can get another while the map is locked
        if Arc::strong_count(room) > 2 {
            return;
        }
        rooms.remove(&room.board.id);
        self.by_code.write().expect("the lock is never poisoned").remove(&room.board.code);
    }

    /// Puts what was read on the board of its room, with the ranking that it shows, and wakes the coordinator.
    ///
    /// # Errors
    /// The ranking could not be read; nothing was put.
    pub async fn apply_snapshot(&self, room: &ActiveRoom, snapshot: RoomSnapshot) -> Result<(), LedgerError> {
        let ranking = self.shown_ranking(&snapshot).await?;
        room.board.put(snapshot, ranking, self.pod.clock.now());
        if room.coordinator.reschedule.try_send(Reschedule).is_err() {
            self.pod.metrics.mailbox_refusals.with_label_values(&["coordinator"]).inc();
        }
        Ok(())
    }

    async fn shown_ranking(&self, snapshot: &RoomSnapshot) -> Result<Option<Arc<ShownRanking>>, LedgerError> {
        let Some(reveal) = &snapshot.room.reveal else { return Ok(None) };
        let known = self.get(&snapshot.room.id).and_then(|room| room.board.ranking(reveal.ranking));
        if known.is_some() {
            return Ok(known);
        }
        let (ledger, id, number) = (self.pod.ledger.clone(), snapshot.room.id.clone(), reveal.ranking);
        run_blocking(async move { Ok(Some(Arc::new(ShownRanking::new(number, frozen(&*ledger, &id, number).await?)))) })
            .await
    }

    /// Notes an answer of the ledger to what it was `asked`: what it `said` the time was, and how long it took.
    pub fn note_ledger_answer(&self, asked: Instant, said: LedgerMs) {
        self.note_ledger_time(asked, said);
        self.pod.note_ledger_took(asked.elapsed());
    }

    /// Notes what the ledger `said` the time was, at some moment since it was `asked`. Not for the time of a gate, which
    /// may be ahead. A clock that was set back is followed as soon as nothing is due: until then no round grows longer.
    pub fn note_ledger_time(&self, asked: Instant, said: LedgerMs) {
        if self.pod.clock.observe(asked, said) {
            return;
        }
        let now = self.pod.clock.now();
        let is_near = |due: LedgerMs| due.abs_diff(now) < NEAR_MS;
        if !self.all().iter().filter_map(|room| room.board.next_due()).any(is_near) {
            tracing::warn!(ahead_ms = now.saturating_sub(said), "the ledger's clock was set back");
            self.pod.clock.set_back(asked, said);
        }
    }

    /// Brings the three numbers in the metrics up to date, so that acknowledged is never more than stored: a vote is
    /// on its board before it is acknowledged, and the boards are read last.
    pub fn measure(&self) {
        let mut measured = self.measured.lock().expect("the lock is never poisoned");
        let acknowledged = self.pod.acknowledged.load(Ordering::Acquire);
        let rooms = self.all();
        for room in &rooms {
            let (stored, shown) = room.board.slips();
            let known = measured.rooms.entry(room.board.id.clone()).or_default();
            self.pod.metrics.votes_stored.inc_by(raised(&mut known.0, stored));
            self.pod.metrics.votes_shown.inc_by(raised(&mut known.1, shown));
        }
        self.pod.metrics.votes_acknowledged.inc_by(raised(&mut measured.acknowledged, acknowledged));
        let oldest = rooms.iter().map(|room| room.board.oldest_unshown()).max().unwrap_or_default();
        self.pod.metrics.oldest_unshown_vote.set(oldest.as_secs_f64());
        self.pod.metrics.draining.set(i64::from(self.pod.health.is_draining()));
        self.pod.is_ready();
    }
}

/// How far the three numbers in the metrics have come. Rooms stay in it when they are let go: one that comes back is not
/// counted twice, nor are votes that a failover has lost and phones have cast again.
#[derive(Default)]
pub struct Measured {
    acknowledged: u64,
    /// Stored and shown.
    rooms: HashMap<RoomId, (u64, u64)>,
}

/// By how much `now` is above the most that was seen before.
fn raised(most: &mut u64, now: u64) -> u64 {
    let by = now.saturating_sub(*most);
    *most += by;
    by
}

#[cfg(test)]
mod tests {
    use super::raised;

    #[test]
    fn what_fell_back_and_came_again_is_counted_once() {
        let mut most = 0;
        let counted: Vec<u64> = [3, 5, 2, 5, 6].map(|now| raised(&mut most, now)).into();
        assert_eq!(counted, [3, 2, 0, 0, 1]);
    }
}
