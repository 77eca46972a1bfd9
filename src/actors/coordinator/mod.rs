//! `RoundCoordinator`: one for each active room of a process. It commits the room's casts, executes its commands, and
//! does by itself what is due at a time.
//!
//! In: [`Casts`] from registry shards and HTTP, [`Execute`] from HTTP, [`Reschedule`] when the board has changed. Out:
//! batches to the ledger, counts to the board, outcomes to whoever asked, those of a batch in one message to each shard.
//! Mailbox: 1,024 messages, each with the casts of one thread's turn; when it is full, the sender answers `busy` by
//! itself. At most 32,000 casts wait for one partition.
//!
//! **Group commit without a timer**: a cast that finds its partition's writer free is committed at once. Casts that
//! arrive during a commit wait and go together into the next batch. So an idle room answers at once, and a busy one
//! batches by itself.
//!
//! **Order**: the counts of a commit are on the board before its outcomes are sent, so an acknowledged vote is part of
//! every later tally on the same socket.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::active_room::ActiveRoom;
use super::messages::{Casts, Execute, Reschedule};
use super::pod::AbortOnPanic;
use super::rooms::Rooms;
use crate::domain::command::Command;
use crate::domain::gate::partition_of;
use crate::domain::ids::RoomId;
use crate::ledger::LedgerError;
use crate::ledger::execute::{ExecuteError, RoomSnapshot, execute, execute_due, reconcile_room};

mod commit;
mod commit_queue;
pub mod handle;
mod partition;
mod replies;

use handle::CoordinatorHandle;
use partition::Partition;

/// A caller over HTTP waits at most this long for the outcome of a cast, then it is answered `busy`. The contract
/// allows five seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);

/// Messages in the mailbox.
const MAILBOX: usize = 1_024;
/// Shortest wait before the ledger is asked to do what is due. It doubles, [`MAX_DOUBLINGS`] times at most, while the
/// ledger's clock says that it is not due yet.
const MIN_WAIT: Duration = Duration::from_millis(10);
const MAX_DOUBLINGS: u32 = 6;
/// Wait before something due is tried again after an error.
const RETRY_DUE: Duration = Duration::from_millis(500);

/// See the [module](self).
pub struct RoundCoordinator {
    rooms: Arc<Rooms>,
    room: RoomId,
    partitions: Vec<Partition>,
    /// The timer for what is due next.
    timer: Option<SpawnHandle>,
    /// True while the ledger is doing what is due.
    doing_due: bool,
    /// How often in a row the ledger said "not due yet".
    too_early: u32,
    _abort_on_panic: AbortOnPanic,
}

impl RoundCoordinator {
    /// Starts the coordinator of `room` on the control thread.
    pub fn begin(rooms: Arc<Rooms>, room: RoomId, partitions: u16, control: &ArbiterHandle) -> CoordinatorHandle {
        let coordinator = Self::start_in_arbiter(control, move |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let pod = &rooms.pod;
            let writer = |partition| pod.ledger.partition_writer(&room, partition, &pod.name);
            Self {
                partitions: (0..partitions).map(|n| Partition::new(writer(n), &pod.metrics)).collect(),
                rooms,
                room,
                timer: None,
                doing_due: false,
                too_early: 0,
                _abort_on_panic: AbortOnPanic("coordinator"),
            }
        });
        CoordinatorHandle::new(&coordinator)
    }

    fn active(&self) -> Option<Arc<ActiveRoom>> {
        self.rooms.get(&self.room)
    }

    /// Sets the timer for what is due next.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(due) = self.active().and_then(|room| room.board.next_due()) else { return };
        // this process's clock may be slightly ahead of the ledger's: do not ask it in a tight loop
        let shortest = MIN_WAIT * 2_u32.pow(self.too_early.min(MAX_DOUBLINGS));
        let wait = self.rooms.pod.clock.until(due).max(shortest);
        self.timer = Some(ctx.run_later(wait, |coordinator, ctx| coordinator.do_due(ctx)));
    }

    /// Asks the ledger to do what is due. The ledger's clock decides, so a call that comes too early changes nothing. A
    /// process that keeps no records reads what another one has done.
    fn do_due(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        let Some(room) = self.active().filter(|_| !self.doing_due) else { return };
        self.doing_due = true;
        room.board.go_dark(self.rooms.pod.clock.now());
        let (rooms, id) = (self.rooms.clone(), self.room.clone());
        let work = async move {
            let due = room.board.next_due();
            let snapshot = match rooms.pod.keeps_records {
                true => execute_due(&rooms.pod.command_ledger, &id).await?,
                false => reconcile_room(&*rooms.pod.ledger, &id).await?,
            };
            rooms.apply_snapshot(&room, snapshot).await?;
            Ok::<_, ExecuteError>(room.board.next_due() == due)
        };
        ctx.spawn(work.into_actor(self).map(|done, coordinator, ctx| {
            coordinator.doing_due = false;
            match done {
                Ok(nothing_changed) => {
                    coordinator.too_early = if nothing_changed { coordinator.too_early + 1 } else { 0 };
                    coordinator.schedule(ctx);
                }
                Err(error) => {
                    match &error {
                        // the quarantine logs it once
                        ExecuteError::Ledger(corrupt @ LedgerError::Corrupt(_)) => {
                            coordinator.rooms.pod.quarantine.add_if_corrupt(&coordinator.room, None, corrupt);
                        }
                        error => tracing::warn!(room = %coordinator.room, %error, "what is due could not be done yet"),
                    }
                    ctx.run_later(RETRY_DUE, |coordinator, ctx| coordinator.do_due(ctx));
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
            if let Err(cast) = self.partitions[usize::from(partition)].queue.push(cast) {
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

    fn handle(&mut self, Execute { command }: Execute, _: &mut Self::Context) -> Self::Result {
        let (rooms, id) = (self.rooms.clone(), self.room.clone());
        Box::pin(async move {
            let span = rooms.pod.traces.command(&id, &command);
            let result = execute_and_show(&rooms, &id, &command).await;
            if let Some(span) = span {
                span.end(result.as_ref().map_or_else(ExecuteError::name, |_| "done"));
            }
            result
        })
    }
}

/// Executes a command and puts the result on this process's board before the emcee is answered.
async fn execute_and_show(rooms: &Rooms, id: &RoomId, command: &Command) -> Result<RoomSnapshot, ExecuteError> {
    let result = execute(&rooms.pod.command_ledger, id, command).await;
    if let Err(ExecuteError::Ledger(error)) = &result {
        rooms.pod.note_ledger_error(error);
    }
    let snapshot = result?;
    if let Some(room) = rooms.get(id) {
        rooms.apply_snapshot(&room, snapshot.clone()).await?;
    }
    Ok(snapshot)
}

impl Handler<Reschedule> for RoundCoordinator {
    type Result = ();

    fn handle(&mut self, _: Reschedule, ctx: &mut Self::Context) {
        if !self.doing_due {
            self.too_early = 0;
            self.schedule(ctx);
        }
    }
}
