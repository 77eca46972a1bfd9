//! `RoundCoordinator`: one for each active room of a pod. Takes its casts, carries out its commands, and does what is
//! due by itself.
//!
//! In: [`Casts`] from shards and HTTP, [`Conduct`] from HTTP, [`Moved`] when the board has news. Out: batches to the
//! ledger, counts to the board, verdicts to whoever asked: those of a batch in one message to each shard. Mailbox:
//! 1,024 messages; when it is full the sender answers `busy` by itself. A message holds what a thread has read in one
//! turn. At most 32,000 casts wait for a partition, and none that was answered `busy` meanwhile.
//!
//! **Group commit without a timer**: a cast that finds its lane free is committed at once; casts that come while a
//! commit is under way wait and go together in the next. So an idle room answers at once, and a busy one batches by
//! itself. A batch holds each voter at most once, for both casts would be appended to the same old ballot.
//!
//! **Order**: the counts of a commit go on the board before its verdicts are handed out, so an acknowledged vote is
//! part of every later tally on the same socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::pod::{Pod, Vital};
use super::registry::ActiveRoom;
use crate::domain::ballot::{Cast as Votes, Refusal};
use crate::domain::command::Command;
use crate::domain::gate::partition_of;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::LedgerError;
use crate::ledger::conduct::{ConductError, Settled, conduct, conduct_due};
use crate::traces::CastTrace;
use crate::wire::server::BallotView;

mod commit_queue;
mod handout;
mod lanes;

use lanes::LaneQueue;

/// Messages waiting to be taken up.
const MAILBOX: usize = 1_024;
/// A cast over HTTP that has no answer by then is `busy`: every cast is answered within five seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);
/// Shortest pause before asking the ledger whether something is due; doubled so many times while it says "not yet".
const LEAST_WAIT: Duration = Duration::from_millis(10);
const MOST_DOUBLINGS: u32 = 6;
/// Pause before something due is tried again that could not be done.
const DUE_AGAIN: Duration = Duration::from_millis(500);

/// What came in one turn of a thread: one message and one wake-up for all of it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Casts(pub Vec<Cast>);

/// Votes of one voter.
pub struct Cast {
    /// Whose.
    pub voter: VoterId,
    /// Round number.
    pub round: u16,
    /// Take number.
    pub take: u16,
    /// From which slip, and which letters.
    pub votes: Votes,
    /// Where the answer goes.
    pub asker: Asker,
    /// When it came: who waits is told `busy` after [`super::asking::OVERDUE`].
    pub asked_at: Instant,
    /// If it is traced.
    pub trace: Option<CastTrace>,
}

/// Who waits for what becomes of a cast.
#[derive(Debug)]
pub enum Asker {
    /// A socket.
    Socket {
        /// The shard that has its seat.
        shard: usize,
        /// The seat.
        seat: u64,
        /// Of the cast, to be given back with the answer.
        number: u32,
    },
    /// A caller over HTTP. Dropped without an answer: `busy`.
    Caller(oneshot::Sender<CastAnswer>),
}

/// What became of a cast.
#[derive(Debug, Clone)]
pub enum CastAnswer {
    /// The ballot as stored; `grew` if this cast added to it.
    Ballot {
        /// For the wire.
        view: BallotView,
        /// Other sockets of the voter want to know.
        grew: bool,
    },
    /// No promise: send the same again.
    Busy,
    /// The voter was removed.
    Removed,
}

impl CastAnswer {
    /// In a word, as the metrics have it.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Busy => Refusal::Busy.as_str(),
            Self::Ballot { view, grew } => match view.refused {
                Some(refusal) => refusal.as_str(),
                None if *grew => "stored",
                None => "repeat",
            },
        }
    }
}

/// A command of the emcee.
#[derive(Message)]
#[rtype(result = "Result<Settled, ConductError>")]
pub struct Conduct {
    /// What shall be.
    pub command: Command,
}

/// The board has news: look again at what is due when.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Moved;

/// See [module](self).
pub struct RoundCoordinator {
    pod: Arc<Pod>,
    room: RoomId,
    lanes: Vec<LaneQueue>,
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
    pub fn begin(pod: Arc<Pod>, room: RoomId, partitions: u16, backstage: &ArbiterHandle) -> Addr<Self> {
        Self::start_in_arbiter(backstage, move |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let lanes =
                (0..partitions).map(|n| LaneQueue::new(pod.ledger.lane(&room, n, &pod.name), &pod.metrics)).collect();
            Self { pod, room, lanes, due: None, doing: false, early: 0, _vital: Vital("coordinator") }
        })
    }

    fn active(&self) -> Option<Arc<ActiveRoom>> {
        self.pod.rooms.get(&self.room)
    }

    /// Sets the clock for what is due next.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(due) = self.due.take() {
            ctx.cancel_future(due);
        }
        let Some(due) = self.active().and_then(|room| room.board.next_due()) else { return };
        // this pod's clock may be a little ahead of the ledger's: do not ask it in a tight loop
        let least = LEAST_WAIT * 2_u32.pow(self.early.min(MOST_DOUBLINGS));
        let wait = self.pod.clock.until(due).max(least);
        self.due = Some(ctx.run_later(wait, |coordinator, ctx| coordinator.do_due(ctx)));
    }

    /// Does what is due; the ledger judges, so a call that comes too early only arms itself again.
    fn do_due(&mut self, ctx: &mut Context<Self>) {
        self.due = None;
        let Some(room) = self.active().filter(|_| !self.doing) else { return };
        self.doing = true;
        room.board.go_dark(self.pod.clock.now());
        let (pod, id) = (self.pod.clone(), self.room.clone());
        let work = async move {
            let due = room.board.next_due();
            let settled = conduct_due(&pod.ledger, &id).await?;
            room.absorb(&pod, settled).await?;
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
                            coordinator.pod.set_apart_if_corrupt(&coordinator.room, None, corrupt);
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
        let (pod, id) = (self.pod.clone(), self.room.clone());
        Box::pin(async move {
            let span = pod.traces.command(&id, &conduct_message.command);
            let settled = carry_out(&pod, &id, &conduct_message.command).await;
            if let Some(span) = span {
                span.end(settled.as_ref().map_or_else(ConductError::name, |_| "done"));
            }
            settled
        })
    }
}

async fn carry_out(pod: &Arc<Pod>, id: &RoomId, command: &Command) -> Result<Settled, ConductError> {
    let settled = conduct(&pod.ledger, id, command).await;
    if let Err(ConductError::Ledger(error)) = &settled {
        pod.note_ledger_error(error);
    }
    let settled = settled?;
    // on this pod's screens before the emcee is answered
    if let Some(room) = pod.rooms.get(id) {
        room.absorb(pod, settled.clone()).await?;
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
