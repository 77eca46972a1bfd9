//! The actor: what it is told, and what it does by itself when that is due.

use std::sync::Arc;
use std::time::Duration;

use super::handle::CoordinatorHandle;
use super::partition::Partition;
use crate::actors::active_room::ActiveRoom;
use crate::actors::messages::{Casts, Execute, Reschedule};
use crate::actors::pod::AbortOnPanic;
use crate::actors::rooms::Rooms;
use crate::domain::command::Command;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::ledger::LedgerError;
use crate::ledger::execute::{ExecuteError, RoomSnapshot, execute, execute_due};
use actix::prelude::*;

/// Messages waiting to be taken up.
const MAILBOX: usize = 1_024;
/// A cast over HTTP that has no answer by then is `busy`: every cast is answered within five seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);
/// Shortest pause before asking the ledger whether something is due; doubled so many times while it says "not yet".
const MIN_WAIT: Duration = Duration::from_millis(10);
const MAX_DOUBLINGS: u32 = 6;
/// Pause before something due is tried again that could not be done.
const DUE_AGAIN: Duration = Duration::from_millis(500);

/// See [module](super).
pub struct RoundCoordinator {
    pub(super) rooms: Arc<Rooms>,
    pub(super) room: RoomId,
    pub(super) partitions: Vec<Partition>,
    /// Fires at what is due next.
    due: Option<SpawnHandle>,
    /// Something due is being done.
    doing: bool,
    /// Calls in a row that came too early, by the ledger's clock.
    early: u32,
    _abort_on_panic: AbortOnPanic,
}

impl RoundCoordinator {
    /// Starts the coordinator of `room` on the control thread.
    pub fn begin(rooms: Arc<Rooms>, room: RoomId, partitions: u16, control: &ArbiterHandle) -> CoordinatorHandle {
        let coordinator = Self::start_in_arbiter(control, move |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let pod = &rooms.pod;
            let partitions = (0..partitions)
                .map(|n| Partition::new(pod.ledger.partition_writer(&room, n, &pod.name), &pod.metrics))
                .collect();
            Self {
                rooms,
                room,
                partitions,
                due: None,
                doing: false,
                early: 0,
                _abort_on_panic: AbortOnPanic("coordinator"),
            }
        });
        CoordinatorHandle::new(&coordinator)
    }

    pub(super) fn active(&self) -> Option<Arc<ActiveRoom>> {
        self.rooms.get(&self.room)
    }

    /// Sets the clock for what is due next.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(due) = self.due.take() {
            ctx.cancel_future(due);
        }
        let Some(due) = self.active().and_then(|room| room.board.next_due()) else { return };
        // this pod's clock may be a little ahead of the ledger's: do not ask it in a tight loop
        let least = MIN_WAIT * 2_u32.pow(self.early.min(MAX_DOUBLINGS));
        let wait = self.rooms.pod.clock.until(due).max(least);
        self.due = Some(ctx.run_later(wait, |coordinator, ctx| coordinator.do_due(ctx)));
    }

    /// Does what is due; the ledger judges, so a call that comes too early only arms itself again.
    fn do_due(&mut self, ctx: &mut Context<Self>) {
        self.due = None;
        let Some(room) = self.active().filter(|_| !self.doing) else { return };
        self.doing = true;
        room.board.go_dark(self.rooms.pod.clock.now());
        let (rooms, id) = (self.rooms.clone(), self.room.clone());
        let work = async move {
            let due = room.board.next_due();
            let snapshot = execute_due(&rooms.pod.ledger, &id).await?;
            rooms.apply_snapshot(&room, snapshot).await?;
            Ok::<_, ExecuteError>(room.board.next_due() == due)
        };
        ctx.spawn(work.into_actor(self).map(|done, coordinator, ctx| {
            coordinator.doing = false;
            match done {
                Ok(too_early) => {
                    coordinator.early = if too_early { coordinator.early + 1 } else { 0 };
                    coordinator.arm(ctx);
                }
                Err(error) => {
                    match &error {
                        // named in the log once
                        ExecuteError::Ledger(corrupt @ LedgerError::Corrupt(_)) => {
                            coordinator.rooms.pod.quarantine.add_if_corrupt(&coordinator.room, None, corrupt);
                        }
                        error => tracing::warn!(room = %coordinator.room, %error, "what is due could not be done yet"),
                    }
                    ctx.run_later(DUE_AGAIN, |coordinator, ctx| coordinator.do_due(ctx));
                }
            }
        }));
    }
}

impl Actor for RoundCoordinator {
    type Context = Context<Self>;
}

impl Handler<Casts> for RoundCoordinator {
    type Result = ();

    fn handle(&mut self, Casts(casts): Casts, ctx: &mut Self::Context) {
        let partitions = self.partitions.len() as u16;
        let mut refused = vec![];
        for cast in casts {
            let partition = partition_of(cast.voter.as_str(), partitions);
            if let Err(cast) = self.partitions[usize::from(partition)].waiting.push(cast) {
                refused.push(cast.reply_to);
            }
        }
        self.answer_busy(refused);
        for partition in 0..partitions {
            self.commit(partition, ctx);
        }
    }
}

impl Handler<Execute> for RoundCoordinator {
    type Result = ResponseFuture<Result<RoomSnapshot, ExecuteError>>;

    fn handle(&mut self, message: Execute, _: &mut Self::Context) -> Self::Result {
        let (rooms, id) = (self.rooms.clone(), self.room.clone());
        Box::pin(async move {
            let span = rooms.pod.traces.command(&id, &message.command);
            let snapshot = carry_out(&rooms, &id, &message.command).await;
            if let Some(span) = span {
                span.end(snapshot.as_ref().map_or_else(ExecuteError::name, |_| "done"));
            }
            snapshot
        })
    }
}

async fn carry_out(rooms: &Rooms, id: &RoomId, command: &Command) -> Result<RoomSnapshot, ExecuteError> {
    let snapshot = execute(&rooms.pod.ledger, id, command).await;
    if let Err(ExecuteError::Ledger(error)) = &snapshot {
        rooms.pod.note_ledger_error(error);
    }
    let snapshot = snapshot?;
    // on this pod's screens before the emcee is answered
    if let Some(room) = rooms.get(id) {
        rooms.apply_snapshot(&room, snapshot.clone()).await?;
    }
    Ok(snapshot)
}

impl Handler<Reschedule> for RoundCoordinator {
    type Result = ();

    fn handle(&mut self, _: Reschedule, ctx: &mut Self::Context) {
        if !self.doing {
            self.early = 0;
            self.arm(ctx);
        }
    }
}
