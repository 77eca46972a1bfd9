//! The actor: what it is told, and what it does by itself when that is due.

use std::sync::Arc;
use std::time::Duration;

use super::handle::CoordinatorHandle;
use super::partition::Partition;
use crate::actors::active_room::ActiveRoom;
use crate::actors::messages::{Casts, Conduct, Moved};
use crate::actors::pod::Vital;
use crate::actors::rooms::Rooms;
use crate::domain::command::Command;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::ledger::LedgerError;
use crate::ledger::conduct::{ConductError, Settled, conduct, conduct_due};
use actix::prelude::*;

/// Messages waiting to be taken up.
const MAILBOX: usize = 1_024;
/// A cast over HTTP that has no answer by then is `busy`: every cast is answered within five seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);
/// Shortest pause before asking the ledger whether something is due; doubled so many times while it says "not yet".
const LEAST_WAIT: Duration = Duration::from_millis(10);
const MOST_DOUBLINGS: u32 = 6;
/// Pause before something due is tried again that could not be done.
const DUE_AGAIN: Duration = Duration::from_millis(500);

/// See [module](super).
pub struct RoundCoordinator {
    pub(super) rooms: Arc<Rooms>,
    pub(super) room: RoomId,
    pub(super) lanes: Vec<Partition>,
    /// Fires at what is due next.
    due: Option<SpawnHandle>,
    /// Something due is being done.
    doing: bool,
    /// Calls in a row that came too early, by the ledger's clock.
    early: u32,
    _vital: Vital,
}

impl RoundCoordinator {
    /// Starts the coordinator of `room` on the backstage thread.
    pub fn begin(rooms: Arc<Rooms>, room: RoomId, partitions: u16, backstage: &ArbiterHandle) -> CoordinatorHandle {
        let coordinator = Self::start_in_arbiter(backstage, move |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let pod = &rooms.pod;
            let lanes =
                (0..partitions).map(|n| Partition::new(pod.ledger.lane(&room, n, &pod.name), &pod.metrics)).collect();
            Self { rooms, room, lanes, due: None, doing: false, early: 0, _vital: Vital("coordinator") }
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
        let least = LEAST_WAIT * 2_u32.pow(self.early.min(MOST_DOUBLINGS));
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
            let settled = conduct_due(&rooms.pod.ledger, &id).await?;
            rooms.absorb(&room, settled).await?;
            Ok::<_, ConductError>(room.board.next_due() == due)
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
                        ConductError::Ledger(corrupt @ LedgerError::Corrupt(_)) => {
                            coordinator.rooms.pod.apart.add_if_corrupt(&coordinator.room, None, corrupt);
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
        let partitions = self.lanes.len() as u16;
        let mut refused = vec![];
        for cast in casts {
            let partition = partition_of(cast.voter.as_str(), partitions);
            if let Err(cast) = self.lanes[usize::from(partition)].waiting.push(cast) {
                refused.push(cast.asker);
            }
        }
        self.answer_busy(refused);
        for partition in 0..partitions {
            self.commit(partition, ctx);
        }
    }
}

impl Handler<Conduct> for RoundCoordinator {
    type Result = ResponseFuture<Result<Settled, ConductError>>;

    fn handle(&mut self, conduct_message: Conduct, _: &mut Self::Context) -> Self::Result {
        let (rooms, id) = (self.rooms.clone(), self.room.clone());
        Box::pin(async move {
            let span = rooms.pod.traces.command(&id, &conduct_message.command);
            let settled = carry_out(&rooms, &id, &conduct_message.command).await;
            if let Some(span) = span {
                span.end(settled.as_ref().map_or_else(ConductError::name, |_| "done"));
            }
            settled
        })
    }
}

async fn carry_out(rooms: &Rooms, id: &RoomId, command: &Command) -> Result<Settled, ConductError> {
    let settled = conduct(&rooms.pod.ledger, id, command).await;
    if let Err(ConductError::Ledger(error)) = &settled {
        rooms.pod.note_ledger_error(error);
    }
    let settled = settled?;
    // on this pod's screens before the emcee is answered
    if let Some(room) = rooms.get(id) {
        rooms.absorb(&room, settled.clone()).await?;
    }
    Ok(settled)
}

impl Handler<Moved> for RoundCoordinator {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        if !self.doing {
            self.early = 0;
            self.arm(ctx);
        }
    }
}
