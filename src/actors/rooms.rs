//! The rooms that are active in this process.

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

/// A ledger clock that was set back is not followed while something is due within this time, in ms.
const NEAR_MS: u64 = 60_000;

/// Why a room cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum RoomUnavailable {
    /// The ledger has no such room, or it was deleted.
    #[error("there is no such room")]
    NoSuchRoom,
    /// The ledger has not answered, so it is unknown.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<ExecuteError> for RoomUnavailable {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Ledger(error) => Self::Ledger(error),
            _ => Self::NoSuchRoom,
        }
    }
}

/// Starts the coordinator of a room with this number of partitions.
pub type StartCoordinator = Box<dyn Fn(Arc<Rooms>, RoomId, u16) -> CoordinatorHandle + Send + Sync>;

/// All active rooms of a process.
pub struct Rooms {
    /// What all actors of the process share.
    pub pod: Arc<Pod>,
    by_id: RwLock<HashMap<RoomId, Arc<ActiveRoom>>>,
    by_code: RwLock<HashMap<RoomCode, RoomId>>,
    registry: Arc<RegistryHandle>,
    start_coordinator: StartCoordinator,
    /// What the counters of votes have counted.
    measured: Mutex<Measured>,
    /// Signals that a room became active: the feed must follow it at once.
    activated: Notify,
}

impl Rooms {
    /// No active room.
    pub fn new(pod: Arc<Pod>, registry: Arc<RegistryHandle>, start_coordinator: StartCoordinator) -> Self {
        Self {
            pod,
            by_id: RwLock::default(),
            by_code: RwLock::default(),
            registry,
            start_coordinator,
            measured: Mutex::default(),
            activated: Notify::new(),
        }
    }

    /// Returns once a room has become active since the last call.
    pub async fn activated(&self) {
        self.activated.notified().await;
    }

    /// Sends results to a shard, see [`RegistryHandle::send_results`].
    pub fn send_results(&self, shard: usize, room: &RoomId, results: Vec<CastResult>) -> bool {
        self.registry.send_results(shard, room, results)
    }

    /// The room, if it is active.
    pub fn get(&self, id: &RoomId) -> Option<Arc<ActiveRoom>> {
        self.by_id.read().expect("the lock is never poisoned").get(id).cloned()
    }

    /// All active rooms.
    pub fn all(&self) -> Vec<Arc<ActiveRoom>> {
        self.by_id.read().expect("the lock is never poisoned").values().cloned().collect()
    }

    /// The room with this join code, made active if it is not.
    ///
    /// # Errors
    /// See [`RoomUnavailable`].
    pub async fn enter(self: &Arc<Self>, code: &RoomCode) -> Result<Arc<ActiveRoom>, RoomUnavailable> {
        let known = self.by_code.read().expect("the lock is never poisoned").get(code).cloned();
        let known = known.and_then(|id| self.get(&id));
        let room = match known {
            Some(room) => room,
            None => {
                let record = self.pod.ledger.find_room(code).await?.ok_or(RoomUnavailable::NoSuchRoom)?;
                self.activate(&record.id).await?
            }
        };
        if room.board.room().deleted_at.is_some() {
            return Err(RoomUnavailable::NoSuchRoom);
        }
        Ok(room)
    }

    /// The room with this id, made active if it is not, also if it is deleted.
    ///
    /// # Errors
    /// See [`RoomUnavailable`].
    pub async fn activate(self: &Arc<Self>, id: &RoomId) -> Result<Arc<ActiveRoom>, RoomUnavailable> {
        if let Some(room) = self.get(id) {
            return Ok(room);
        }
        let (snapshot, ranking) = match self.read(id).await {
            Err(RoomUnavailable::Ledger(error)) => {
                self.pod.quarantine.add_if_corrupt(id, None, &error);
                return Err(error.into());
            }
            read => read?,
        };
        let partitions = snapshot.room.partitions;
        // outside of the lock: reading one room must not delay the others
        let (voters_url, now) = (self.pod.voters_url.clone(), self.pod.clock.now());
        let board = Board::new(snapshot, ranking, self.registry.clone(), voters_url, now);
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

    async fn read(&self, id: &RoomId) -> Result<(RoomSnapshot, Option<Arc<ShownRanking>>), RoomUnavailable> {
        let asked = Instant::now();
        let snapshot = reconcile_room(&*self.pod.ledger, id).await?;
        // the board is made with the ledger's time, which nothing may have told this process yet
        self.note_ledger_time(asked, snapshot.now);
        let ranking = self.shown_ranking(&snapshot).await?;
        Ok((snapshot, ranking))
    }

    /// Deactivates a room, unless somebody else holds it. `room` must be the caller's only reference.
    pub fn retire(&self, room: &Arc<ActiveRoom>) {
        let mut rooms = self.by_id.write().expect("the lock is never poisoned");
        // the map's reference and the caller's: nobody can get another while the map is locked
        if Arc::strong_count(room) > 2 {
            return;
        }
        rooms.remove(&room.board.id);
        self.by_code.write().expect("the lock is never poisoned").remove(&room.board.code);
    }

    /// Puts a snapshot on its room's board, with the ranking that it shows, and has the coordinator set its timer anew.
    ///
    /// # Errors
    /// The ranking cannot be read; nothing was put.
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

    /// Notes the ledger's answer to a call made at `asked`: its time (`said`), and how long it took.
    pub fn note_ledger_answer(&self, asked: Instant, said: LedgerMs) {
        self.note_ledger_time(asked, said);
        self.pod.note_ledger_took(asked.elapsed());
    }

    /// Notes the ledger's time (`said`) in the answer to a call made at `asked`. Not for a gate's time, which may be ahead.
    /// A clock that was set back is followed once nothing is due soon, so that no round becomes longer.
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

    /// Updates the counters of votes acknowledged, stored and shown, so that acknowledged is never more than stored: a vote
    /// is on its board before it is acknowledged, and the boards are read last.
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

/// What the counters of votes have counted. Rooms stay in it when they are deactivated: one that becomes active again is
/// not counted twice, nor are votes that a failover has lost and phones have cast again.
#[derive(Default)]
pub struct Measured {
    acknowledged: u64,
    /// Slips stored and shown, by room.
    rooms: HashMap<RoomId, (u64, u64)>,
}

/// By how much `now` is above the highest value seen before (`most`), which it becomes.
fn raised(most: &mut u64, now: u64) -> u64 {
    let by = now.saturating_sub(*most);
    *most += by;
    by
}

#[cfg(test)]
mod tests {
    use super::raised;

    #[test]
    fn a_number_that_falls_and_rises_again_is_counted_once() {
        let mut most = 0;
        let counted: Vec<u64> = [3, 5, 2, 5, 6].map(|now| raised(&mut most, now)).into();
        assert_eq!(counted, [3, 2, 0, 0, 1]);
    }
}
