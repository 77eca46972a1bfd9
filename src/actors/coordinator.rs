//! `RoundCoordinator`: one for each active room of a pod. Takes its casts, carries out its commands, and does what is
//! due by itself.
//!
//! In: [`Casts`] from shards and HTTP, [`Conduct`] from HTTP, [`Moved`] when the board has news. Out: batches to the
//! ledger, counts to the board, verdicts to whoever asked: those of a batch in one message to each shard. Mailbox:
//! 1,024 messages; when it is full the sender answers `busy` by itself. A message holds what a thread has read in one
//! turn, and no more than one cast of each socket is ever waiting.
//!
//! **Group commit without a timer**: a cast that finds its lane free is committed at once; casts that come while a
//! commit is under way wait and go together in the next. So an idle room answers at once, and a busy one batches by
//! itself. A batch holds each voter at most once, for both casts would be appended to the same old ballot.
//!
//! **Order**: the counts of a commit go on the board before its verdicts are handed out, so an acknowledged vote is
//! part of every later tally on the same socket.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::pod::{Pod, Vital};
use super::registry::{ActiveRoom, Answer};
use crate::domain::ballot::{Cast as Votes, Refusal};
use crate::domain::command::Command;
use crate::domain::gate::partition_of;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::conduct::{ConductError, Settled, conduct, conduct_due};
use crate::ledger::{Batch, Commit, Lane, LedgerError, Verdict};
use crate::wire::server::BallotView;

/// Messages waiting to be taken up.
const MAILBOX: usize = 1_024;
/// A cast over HTTP that has no answer by then is `busy`: every cast is answered within five seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);
/// How long what was acknowledged may be unreported where no commit carries it.
const REPORT_AFTER: Duration = Duration::from_secs(1);
/// Shortest pause before asking the ledger whether something is due.
const LEAST_WAIT: Duration = Duration::from_millis(10);
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
    /// A caller over HTTP. Dropped without an answer: the coordinator is gone.
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

/// The way to one partition's gate, and who waits for it.
struct LaneQueue {
    /// Away while a commit is under way.
    lane: Option<Box<dyn Lane>>,
    waiting: VecDeque<Cast>,
    /// Slips of this partition stored anew whose reply came, since the start.
    acknowledged: u64,
    /// As much of `acknowledged` as the ledger was told.
    reported: u64,
    /// The version of a commit that was not published yet.
    unpublished: Option<u64>,
    /// [`RoundCoordinator::settle`] is armed.
    settling: Option<Settling>,
}

/// What a lane is to settle when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    /// Publish the counts of this version: a tick after its commit, unless somebody does so meanwhile.
    Publish(u64),
    /// Report what was acknowledged. Nobody waits for that, and the next commit carries it anyway.
    Report,
}

/// See [module](self).
pub struct RoundCoordinator {
    pod: Arc<Pod>,
    room: RoomId,
    lanes: Vec<LaneQueue>,
    /// Fires at what is due next.
    due: Option<SpawnHandle>,
    /// Something due is being done.
    doing: bool,
    _vital: Vital,
}

impl RoundCoordinator {
    /// Starts the coordinator of `room` on the backstage thread.
    pub fn begin(pod: Arc<Pod>, room: RoomId, partitions: u16, backstage: &ArbiterHandle) -> Addr<Self> {
        Self::start_in_arbiter(backstage, move |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let lane = |partition| LaneQueue {
                lane: Some(pod.ledger.lane(&room, partition, &pod.name)),
                waiting: VecDeque::new(),
                acknowledged: 0,
                reported: 0,
                unpublished: None,
                settling: None,
            };
            let lanes = (0..partitions).map(lane).collect();
            Self { pod, room, lanes, due: None, doing: false, _vital: Vital("coordinator") }
        })
    }

    fn active(&self) -> Option<Arc<ActiveRoom>> {
        self.pod.rooms.get(&self.room)
    }

    /// Commits what waits for a free lane.
    fn commit(&mut self, partition: u16, ctx: &mut Context<Self>) {
        let queue = &mut self.lanes[usize::from(partition)];
        if queue.waiting.is_empty() {
            return;
        }
        let Some(mut lane) = queue.lane.take() else { return };
        let (batch, asked) = next_batch(&mut queue.waiting, queue.acknowledged);
        self.pod.metrics.batch_casts.observe(asked.len() as f64);
        let started = Instant::now();
        let commit = async move {
            let result = lane.commit(&batch).await;
            (lane, batch, result)
        };
        ctx.spawn(commit.into_actor(self).map(move |(lane, batch, result), coordinator, ctx| {
            let took = started.elapsed();
            coordinator.pod.metrics.commit_seconds.observe(took.as_secs_f64());
            coordinator.lanes[usize::from(partition)].lane = Some(lane);
            match result {
                Ok(commit) => {
                    coordinator.pod.note_ledger_answer(commit.now, took);
                    coordinator.committed(partition, &batch, commit, asked, ctx);
                }
                Err(error) => coordinator.failed(&error, asked),
            }
            coordinator.settle_later(partition, ctx);
            coordinator.commit(partition, ctx);
        }));
    }

    fn committed(&mut self, partition: u16, batch: &Batch, commit: Commit, asked: Vec<Asker>, ctx: &mut Context<Self>) {
        let added = commit.verdicts.iter().map(|verdict| match verdict {
            Verdict::Ballot { added, .. } => u64::from(*added),
            Verdict::Removed => 0,
        });
        let added: u64 = added.sum();
        let queue = &mut self.lanes[usize::from(partition)];
        queue.reported = queue.reported.max(batch.acknowledged);
        queue.acknowledged += added;
        queue.unpublished = (!commit.published).then_some(commit.gate.tally.version);
        let (round, take) = (commit.gate.round, commit.gate.take);
        let room = self.active();
        let budget = room.as_ref().map_or(commit.gate.votes_per_round, |room| room.board.votes_per_round());
        // on the board before any verdict is handed out; the shards are nudged after that
        let _nudging = room.as_ref().map(|room| room.board.put_gate(partition, commit.gate, self.pod.clock.now()));
        let casts = &self.pod.metrics.casts;
        let mut answers = Handout::default();
        for ((verdict, asker), (voter, _)) in commit.verdicts.into_iter().zip(asked).zip(batch.casts()) {
            let answer = match verdict {
                Verdict::Removed => {
                    casts.removed.inc();
                    CastAnswer::Removed
                }
                Verdict::Ballot { refused: Some(Refusal::StaleTake), .. } => {
                    self.answer_stale(voter.clone(), (round, take), budget, asker, ctx);
                    continue;
                }
                Verdict::Ballot { votes, added, refused } => {
                    match refused {
                        Some(refusal) => casts.refused(refusal).inc(),
                        None if added > 0 => casts.stored.inc(),
                        None => casts.repeat.inc(),
                    }
                    let view = BallotView::new(batch.round, batch.take, votes, budget, refused);
                    CastAnswer::Ballot { view, grew: added > 0 }
                }
            };
            answers.add(asker, answer);
        }
        answers.send(&self.pod, &self.room);
        self.pod.acknowledged.fetch_add(added, Ordering::Release);
    }

    /// A cast for another take is answered with the ballot of the present one.
    fn answer_stale(&self, voter: VoterId, present: (u16, u16), budget: u16, asker: Asker, ctx: &mut Context<Self>) {
        let (ledger, room, partitions) = (self.pod.ledger.clone(), self.room.clone(), self.lanes.len() as u16);
        let read = async move { ledger.ballots_of(&room, partitions, &voter, &[present]).await };
        ctx.spawn(read.into_actor(self).map(move |ballots, coordinator, _| {
            let found = ballots.map(|mut ballots| ballots.pop().unwrap_or_default());
            match found {
                Ok(ballot) => {
                    let (round, take) = present;
                    let view = BallotView::new(round, take, ballot.votes, budget, Some(Refusal::StaleTake));
                    coordinator.pod.metrics.casts.refused(Refusal::StaleTake).inc();
                    let answer = CastAnswer::Ballot { view, grew: false };
                    Handout::of(asker, answer).send(&coordinator.pod, &coordinator.room);
                }
                Err(error) => coordinator.failed(&error, vec![asker]),
            }
        }));
    }

    fn failed(&self, error: &LedgerError, asked: Vec<Asker>) {
        self.pod.note_ledger_error(error);
        tracing::warn!(room = %self.room, casts = asked.len(), %error, "a batch has no answer");
        self.pod.metrics.casts.refused(Refusal::Busy).inc_by(asked.len() as u64);
        let mut answers = Handout::default();
        asked.into_iter().for_each(|asker| answers.add(asker, CastAnswer::Busy));
        answers.send(&self.pod, &self.room);
    }

    /// Without further commits the rest is published after a tick, and reported after a while.
    fn settle_later(&mut self, partition: u16, ctx: &mut Context<Self>) {
        let queue = &mut self.lanes[usize::from(partition)];
        let (due, wait) = if let Some(version) = queue.unpublished {
            (Settling::Publish(version), self.pod.tick)
        } else if queue.reported < queue.acknowledged {
            (Settling::Report, REPORT_AFTER)
        } else {
            return;
        };
        // a report that is armed does not keep a publish waiting
        match (queue.settling, due) {
            (None, _) | (Some(Settling::Report), Settling::Publish(_)) => queue.settling = Some(due),
            _ => return,
        }
        ctx.run_later(wait, move |coordinator, ctx| {
            let queue = &mut coordinator.lanes[usize::from(partition)];
            if queue.settling == Some(due) {
                queue.settling = None;
                coordinator.settle(partition, due, ctx);
            }
        });
    }

    fn settle(&mut self, partition: u16, due: Settling, ctx: &mut Context<Self>) {
        let queue = &mut self.lanes[usize::from(partition)];
        let committed = match due {
            Settling::Publish(version) if queue.unpublished.is_some() => version,
            // a later commit has published it
            Settling::Publish(_) => return self.settle_later(partition, ctx),
            Settling::Report => 0,
        };
        // a commit under way carries the report, and arms this again if it is not published
        let Some(mut lane) = queue.lane.take() else { return };
        let acknowledged = queue.acknowledged;
        let settle = async move {
            let result = lane.settle(acknowledged, committed).await;
            (lane, result)
        };
        ctx.spawn(settle.into_actor(self).map(move |(lane, result), coordinator, ctx| {
            let queue = &mut coordinator.lanes[usize::from(partition)];
            queue.lane = Some(lane);
            match result {
                Ok(gate) => {
                    queue.reported = acknowledged;
                    // what was committed after this was armed has a tick of its own
                    queue.unpublished = queue.unpublished.filter(|newest| *newest > committed);
                    if let Some(room) = coordinator.active() {
                        drop(room.board.put_gate(partition, gate, coordinator.pod.clock.now()));
                    }
                }
                Err(error) => coordinator.pod.note_ledger_error(&error),
            }
            coordinator.settle_later(partition, ctx);
            coordinator.commit(partition, ctx);
        }));
    }

    /// Sets the clock for what is due next.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(due) = self.due.take() {
            ctx.cancel_future(due);
        }
        let Some(due) = self.active().and_then(|room| room.board.next_due()) else { return };
        // this pod's clock may be a little ahead of the ledger's: do not ask it in a tight loop
        let wait = self.pod.clock.until(due).max(LEAST_WAIT);
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
            let settled = conduct_due(&pod.ledger, &id).await?;
            room.absorb(&pod, settled).await?;
            Ok::<_, ConductError>(())
        };
        ctx.spawn(work.into_actor(self).map(|done, coordinator, ctx| {
            coordinator.doing = false;
            match done {
                Ok(()) => coordinator.arm(ctx),
                Err(error) => {
                    tracing::warn!(room = %coordinator.room, %error, "what is due could not be done yet");
                    ctx.run_later(DUE_AGAIN, |coordinator, ctx| coordinator.do_due(ctx));
                }
            }
        }));
    }
}

/// Answers on their way, gathered by shard.
#[derive(Default)]
struct Handout(BTreeMap<usize, Vec<Answer>>);

impl Handout {
    fn of(asker: Asker, answer: CastAnswer) -> Self {
        let mut handout = Self::default();
        handout.add(asker, answer);
        handout
    }

    fn add(&mut self, asker: Asker, answer: CastAnswer) {
        match asker {
            Asker::Socket { shard, seat, number } => {
                self.0.entry(shard).or_default().push(Answer { seat, number, answer });
            }
            // a caller that is gone asks again when it comes back
            Asker::Caller(caller) => drop(caller.send(answer)),
        }
    }

    fn send(self, pod: &Pod, room: &RoomId) {
        for (shard, answers) in self.0 {
            if !pod.rooms.answer(shard, room, answers) {
                pod.metrics.mailbox_refusals.with_label_values(&["registry"]).inc();
            }
        }
    }
}

/// Takes the casts that can go together: of one round and take, each voter once, as many as a batch holds. The others
/// wait in their order.
fn next_batch(waiting: &mut VecDeque<Cast>, acknowledged: u64) -> (Batch, Vec<Asker>) {
    let (round, take) = waiting.front().map_or((0, 0), |first| (first.round, first.take));
    let mut batch = Batch::new(round, take, acknowledged);
    let (mut asked, mut rest) = (vec![], VecDeque::new());
    // whose cast waits: their later ones wait behind it, whatever round they are for
    let mut held = HashSet::new();
    while !batch.is_full()
        && let Some(cast) = waiting.pop_front()
    {
        let fits = (cast.round, cast.take) == (round, take) && !held.contains(&cast.voter);
        if fits && batch.push(&cast.voter, &cast.votes) {
            asked.push(cast.asker);
        } else {
            held.insert(cast.voter.clone());
            rest.push_back(cast);
        }
    }
    rest.append(waiting);
    *waiting = rest;
    (batch, asked)
}

impl Actor for RoundCoordinator {
    type Context = Context<Self>;
}

impl Handler<Casts> for RoundCoordinator {
    type Result = ();

    fn handle(&mut self, Casts(casts): Casts, ctx: &mut Self::Context) {
        let partitions = self.lanes.len() as u16;
        for cast in casts {
            let partition = partition_of(cast.voter.as_str(), partitions);
            self.lanes[usize::from(partition)].waiting.push_back(cast);
        }
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
            let settled = conduct(&pod.ledger, &id, &conduct_message.command).await;
            if let Err(ConductError::Ledger(error)) = &settled {
                pod.note_ledger_error(error);
            }
            let settled = settled?;
            // on this pod's screens before the emcee is answered
            if let Some(room) = pod.rooms.get(&id) {
                room.absorb(&pod, settled.clone()).await?;
            }
            Ok(settled)
        })
    }
}

impl Handler<Moved> for RoundCoordinator {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        if !self.doing {
            self.arm(ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(voter: &str, round: u16) -> (Cast, oneshot::Receiver<CastAnswer>) {
        let (answer, receiver) = oneshot::channel();
        let votes = Votes::parse(1, "a".into()).unwrap();
        let asker = Asker::Caller(answer);
        (Cast { voter: VoterId::parse(voter).unwrap(), round, take: 1, votes, asker }, receiver)
    }

    fn names(batch: &Batch) -> Vec<&str> {
        batch.casts().iter().map(|(voter, _)| voter.as_str()).collect()
    }

    #[test]
    fn a_batch_holds_each_voter_once_and_keeps_the_order_of_the_rest() {
        let mut waiting: VecDeque<Cast> =
            [("anna", 1), ("bela", 1), ("anna", 1), ("cleo", 2), ("cleo", 1), ("dora", 1)]
                .map(|(voter, round)| cast(voter, round).0)
                .into();
        let (batch, asked) = next_batch(&mut waiting, 0);
        assert_eq!(names(&batch), ["anna", "bela", "dora"]);
        assert_eq!(asked.len(), 3);
        let (batch, _) = next_batch(&mut waiting, 0);
        assert_eq!((names(&batch), batch.round), (vec!["anna"], 1));
        let (batch, _) = next_batch(&mut waiting, 0);
        assert_eq!((names(&batch), batch.round), (vec!["cleo"], 2));
        let (batch, _) = next_batch(&mut waiting, 0);
        assert_eq!((names(&batch), batch.round), (vec!["cleo"], 1));
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut waiting: VecDeque<Cast> = (0..2_500).map(|n| cast(&format!("v{n}"), 1).0).collect();
        let sizes = [(); 3].map(|()| next_batch(&mut waiting, 0).0.casts().len());
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }
}
