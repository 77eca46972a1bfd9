//! Comparing the boards with the ledger: what the feed may have lost is found here, and what a command that was cut
//! off has left undone is finished.

use std::sync::Arc;
use std::time::Instant;

use crate::actors::pod::Pod;
use crate::actors::registry::ActiveRoom;
use crate::domain::ids::RoomId;
use crate::ledger::LedgerError;
use crate::ledger::conduct::{ConductError, reconcile, settle};

/// Reads a changed room, and makes it active if it has something due. Answers the room if it was deleted.
pub async fn refresh(pod: &Arc<Pod>, id: &RoomId) -> Option<RoomId> {
    let active = pod.rooms.get(id);
    let read = async {
        let settled = settle(&*pod.ledger, id).await?;
        let deleted = settled.room.deleted_at.is_some();
        let has_due = settled.room.running.is_some() || settled.room.next_auto_step().is_some();
        match active {
            Some(active) => active.absorb(pod, settled).await?,
            None if has_due => drop(pod.rooms.activate(pod, id).await),
            None => {}
        }
        Ok::<_, ConductError>(deleted)
    };
    match read.await {
        Ok(deleted) => deleted.then(|| id.clone()),
        Err(error) => {
            // the comparison of the next second tries again
            tracing::debug!(room = %id, %error, "a changed room could not be read");
            None
        }
    }
}

/// Compares every active board with the ledger. Answers whether it also looked for rooms with something due.
pub async fn compare(pod: Arc<Pod>, check: bool, scan: bool) -> bool {
    let started = Instant::now();
    if check {
        match pod.ledger.check().await {
            Ok(health) => {
                pod.note_ledger_answer(started, health.now);
                if let Some(reason) = &health.unsafe_because {
                    tracing::warn!(%reason, "an acknowledged vote may be lost in a power cut");
                }
                pod.health.set_durable(health.unsafe_because);
            }
            Err(error) => return note(&pod, &error),
        }
    }
    for room in pod.rooms.all() {
        if let Err(error) = compare_room(&pod, &room).await {
            return note(&pod, &error);
        }
    }
    if pod.rooms.all().is_empty() && !check {
        // nothing was asked, so nothing is known of the ledger: ask it
        match pod.ledger.is_signed_out("").await {
            Ok(_) => pod.health.set_ledger(crate::wire::server::LedgerState::Ok),
            Err(error) => return note(&pod, &error),
        }
    }
    if !scan {
        return false;
    }
    let rooms = match pod.ledger.rooms().await {
        Ok(listing) => listing.rooms,
        Err(error) => return note(&pod, &error),
    };
    for room in rooms.iter().filter(|room| room.running.is_some() || room.next_auto_step().is_some()) {
        if let Err(error) = pod.rooms.activate(&pod, &room.id).await {
            tracing::warn!(room = %room.id, %error, "a room with something due could not be read");
            return false;
        }
    }
    true
}

fn note(pod: &Pod, error: &LedgerError) -> bool {
    pod.note_ledger_error(error);
    tracing::warn!(%error, "the ledger does not answer");
    false
}

async fn compare_room(pod: &Pod, active: &ActiveRoom) -> Result<(), LedgerError> {
    let started = Instant::now();
    let record = active.board.room();
    let Some(settled) = reconcile(&*pod.ledger, (*record).clone()).await? else { return Ok(()) };
    pod.note_ledger_answer(started, settled.now);
    if settled.room.seq != record.seq {
        pod.metrics.feed_gaps.inc();
    }
    active.absorb(pod, settled).await
}
