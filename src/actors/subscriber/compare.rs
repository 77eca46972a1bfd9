//! Compares the boards with the ledger: finds what the feed has lost, and finishes commands that were cut off.

use std::sync::Arc;
use std::time::Instant;

use crate::actors::active_room::ActiveRoom;
use crate::actors::pod::Pod;
use crate::actors::rooms::{RoomUnavailable, Rooms};
use crate::domain::ids::RoomId;
use crate::ledger::LedgerError;
use crate::ledger::execute::{ExecuteError, reconcile_record, reconcile_room};
use crate::wire::server::LedgerState;

/// Reads a room that has changed, and makes it active if it has something due. Returns the room's id if it was deleted.
pub async fn refresh(rooms: &Arc<Rooms>, id: &RoomId) -> Option<RoomId> {
    let pod = &rooms.pod;
    let active = rooms.get(id);
    let read = async {
        let snapshot = reconcile_room(&*pod.ledger, id).await?;
        let deleted = snapshot.room.deleted_at.is_some();
        let has_due = snapshot.room.running.is_some() || snapshot.room.next_auto_step().is_some();
        match active {
            Some(active) => rooms.apply_snapshot(&active, snapshot).await?,
            None if has_due => drop(rooms.activate(id).await),
            None => {}
        }
        Ok::<_, ExecuteError>(deleted)
    };
    match read.await {
        Ok(deleted) => deleted.then(|| id.clone()),
        Err(error) => {
            // the comparison of the next second tries again
            tracing::debug!(room = %id, %error, "a changed room could not be read");
            if let ExecuteError::Ledger(error) = &error {
                pod.quarantine.add_if_corrupt(id, None, error);
            }
            None
        }
    }
}

/// Compares every active board with the ledger; with `check` it first checks how durably the ledger stores, with `scan`
/// it afterwards activates every room that has something due. Returns true if that scan was done.
pub async fn compare(rooms: Arc<Rooms>, check: bool, scan: bool) -> bool {
    let (started, pod) = (Instant::now(), &rooms.pod);
    if check {
        match pod.ledger.check().await {
            Ok(health) => {
                rooms.note_ledger_answer(started, health.now);
                if let Some(reason) = &health.unsafe_because {
                    tracing::warn!(%reason, "an acknowledged vote may be lost in a power cut");
                }
                pod.health.set_durable(health.unsafe_because);
                if let Some(seen) = health.slow_log {
                    pod.metrics.slow_commands.note(seen);
                }
            }
            Err(error) => return ledger_failed(pod, &error),
        }
    }
    for room in rooms.all() {
        match compare_room(&rooms, &room).await {
            Ok(()) => {}
            Err(error @ LedgerError::Corrupt(_)) => {
                pod.quarantine.add_if_corrupt(&room.board.id, Some(&room.board.code), &error);
            }
            Err(error) => return ledger_failed(pod, &error),
        }
    }
    if rooms.all().is_empty() && !check {
        // no call was made, so nothing is known about the ledger
        match pod.ledger.ping().await {
            Ok(()) => pod.health.set_ledger(LedgerState::Ok),
            Err(error) => return ledger_failed(pod, &error),
        }
    }
    if !scan {
        return false;
    }
    let listing = match pod.list_rooms().await {
        Ok(listing) => listing,
        Err(error) => return ledger_failed(pod, &error),
    };
    if let Err(error) = pod.quarantine.review(&*pod.ledger, &listing).await {
        return ledger_failed(pod, &error);
    }
    for room in listing.rooms.iter().filter(|room| room.running.is_some() || room.next_auto_step().is_some()) {
        match rooms.activate(&room.id).await {
            // it is in quarantine: other rooms have something due too
            Ok(_) | Err(RoomUnavailable::Ledger(LedgerError::Corrupt(_))) => {}
            Err(error) => {
                tracing::warn!(room = %room.id, %error, "a room with something due could not be read");
                return false;
            }
        }
    }
    true
}

/// Notes that the ledger does not answer.
fn ledger_failed(pod: &Pod, error: &LedgerError) -> bool {
    pod.note_ledger_error(error);
    pod.health.set_ledger(LedgerState::Down);
    tracing::warn!(%error, "the ledger does not answer");
    false
}

async fn compare_room(rooms: &Rooms, active: &ActiveRoom) -> Result<(), LedgerError> {
    let started = Instant::now();
    let record = active.board.room();
    let Some(snapshot) = reconcile_record(&*rooms.pod.ledger, (*record).clone()).await? else { return Ok(()) };
    rooms.note_ledger_answer(started, snapshot.now);
    if snapshot.room.seq != record.seq {
        rooms.pod.metrics.feed_gaps.inc();
    }
    rooms.apply_snapshot(active, snapshot).await
}
