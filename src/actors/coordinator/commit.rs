//! Commits of a partition, one at a time: the waiting casts go to the ledger, and their outcomes to whoever asked.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::RoundCoordinator;
use super::partition::Pending;
use super::replies::Replies;
use crate::actors::messages::{CastOutcome, ReplyTo};
use crate::domain::ballot::Refusal;
use crate::domain::ids::VoterId;
use crate::ledger::{Batch, Commit, LedgerError, Verdict};
use crate::wire::server::BallotView;

/// Without a further commit the ledger is told after this time how many slips were acknowledged.
const REPORT_AFTER: Duration = Duration::from_secs(1);

impl RoundCoordinator {
    /// Commits what waits for `partition`, unless its writer is busy.
    pub(super) fn commit(&mut self, partition: u16, ctx: &mut Context<Self>) {
        let waiting = &mut self.partitions[usize::from(partition)];
        waiting.queue.drop_overdue(Instant::now());
        if waiting.queue.is_empty() {
            return;
        }
        let Some(mut writer) = waiting.writer.take() else { return };
        let (batch, reply_to, traced) = waiting.queue.next_batch(waiting.acknowledged);
        self.rooms.pod.metrics.batch_casts.observe(reply_to.len() as f64);
        let trace = self.rooms.pod.traces.batch(&self.room, partition, reply_to.len(), traced);
        let started = Instant::now();
        let commit = async move {
            let result = writer.commit(&batch).await;
            (writer, batch, result)
        };
        ctx.spawn(commit.into_actor(self).map(move |(writer, batch, result), coordinator, ctx| {
            let took = started.elapsed();
            coordinator.rooms.pod.metrics.note_commit(took);
            coordinator.partitions[usize::from(partition)].writer = Some(writer);
            let outcome = if result.is_ok() { "committed" } else { "failed" };
            match result {
                Ok(commit) => {
                    coordinator.rooms.pod.note_ledger_took(took);
                    coordinator.committed(partition, &batch, commit, reply_to, ctx);
                }
                Err(error) => coordinator.failed(&error, reply_to),
            }
            coordinator.schedule_pending(partition, ctx);
            coordinator.commit(partition, ctx);
            // last: nobody waits for a trace
            if let Some(trace) = trace {
                coordinator.rooms.pod.traces.committed(trace, took, outcome);
            }
        }));
    }

    fn committed(
        &mut self,
        partition: u16,
        batch: &Batch,
        commit: Commit,
        reply_to: Vec<ReplyTo>,
        ctx: &mut Context<Self>,
    ) {
        let added = commit.verdicts.iter().map(|verdict| match verdict {
            Verdict::Ballot { added, .. } => u64::from(*added),
            Verdict::Removed => 0,
        });
        let added: u64 = added.sum();
        let state = &mut self.partitions[usize::from(partition)];
        state.reported = state.reported.max(batch.acknowledged);
        state.acknowledged += added;
        state.unpublished = (!commit.published).then_some(commit.gate.tally.version);
        let current = (commit.gate.round, commit.gate.take);
        let room = self.active();
        let budget = room.as_ref().map_or(commit.gate.votes_per_round, |room| room.board.votes_per_round());
        // the counts are on the board before any outcome is sent
        let change = room.as_ref().map(|room| room.board.put_gate(partition, commit.gate, self.rooms.pod.clock.now()));
        let casts = &self.rooms.pod.metrics.casts;
        let mut replies = Replies::default();
        for ((verdict, reply_to), (voter, _)) in commit.verdicts.into_iter().zip(reply_to).zip(batch.casts()) {
            let outcome = match verdict {
                Verdict::Removed => {
                    casts.removed.inc();
                    CastOutcome::Removed
                }
                Verdict::Ballot { refused: Some(Refusal::StaleTake), .. } => {
                    self.answer_stale(voter.clone(), current, budget, reply_to, ctx);
                    continue;
                }
                Verdict::Ballot { votes, added, refused } => {
                    match refused {
                        Some(refusal) => casts.refused(refusal).inc(),
                        None if added > 0 => casts.stored.inc(),
                        None => casts.repeat.inc(),
                    }
                    let view = BallotView::new(batch.round, batch.take, votes, budget, refused);
                    CastOutcome::Ballot { view, grew: added > 0 }
                }
            };
            replies.add(reply_to, outcome);
        }
        replies.send(&self.rooms, &self.room);
        self.rooms.pod.acknowledged.fetch_add(added, Ordering::Release);
        // last: a shard that writes an answer takes the new tally along in the same write
        if let (Some(room), Some(change)) = (room, change) {
            room.board.notify(change);
        }
    }

    /// A cast for a take that is not the current one is answered with the ballot of the current one.
    fn answer_stale(
        &self,
        voter: VoterId,
        current: (u16, u16),
        budget: u16,
        reply_to: ReplyTo,
        ctx: &mut Context<Self>,
    ) {
        let (ledger, room) = (self.rooms.pod.ledger.clone(), self.room.clone());
        let partitions = self.partitions.len() as u16;
        let read = async move { ledger.ballots_of(&room, partitions, &voter, &[current]).await };
        ctx.spawn(read.into_actor(self).map(move |ballots, coordinator, _| {
            let found = ballots.map(|mut ballots| ballots.pop().unwrap_or_default());
            match found {
                Ok(ballot) => {
                    let (round, take) = current;
                    let view = BallotView::new(round, take, ballot.votes, budget, Some(Refusal::StaleTake));
                    coordinator.rooms.pod.metrics.casts.refused(Refusal::StaleTake).inc();
                    let outcome = CastOutcome::Ballot { view, grew: false };
                    Replies::one(reply_to, outcome).send(&coordinator.rooms, &coordinator.room);
                }
                Err(error) => coordinator.failed(&error, vec![reply_to]),
            }
        }));
    }

    fn failed(&self, error: &LedgerError, reply_to: Vec<ReplyTo>) {
        self.rooms.pod.note_ledger_error(error);
        tracing::warn!(room = %self.room, casts = reply_to.len(), %error, "a batch was not confirmed");
        self.answer_busy(reply_to);
    }

    /// Answers these casts `busy`, and counts them.
    pub(super) fn answer_busy(&self, reply_to: Vec<ReplyTo>) {
        if reply_to.is_empty() {
            return;
        }
        self.rooms.pod.metrics.casts.refused(Refusal::Busy).inc_by(reply_to.len() as u64);
        let mut replies = Replies::default();
        reply_to.into_iter().for_each(|reply_to| replies.add(reply_to, CastOutcome::Busy));
        replies.send(&self.rooms, &self.room);
    }

    /// Sets a timer for what the ledger has to be told if no further commit does it: a publish after one tick, a report
    /// after [`REPORT_AFTER`].
    fn schedule_pending(&mut self, partition: u16, ctx: &mut Context<Self>) {
        let tick = self.rooms.pod.tick;
        let state = &mut self.partitions[usize::from(partition)];
        let Some(pending) = state.pending() else { return };
        // a report that waits for its time does not delay a publish
        match (state.scheduled, pending) {
            (None, _) | (Some(Pending::Report), Pending::Publish(_)) => state.scheduled = Some(pending),
            _ => return,
        }
        let wait = if pending == Pending::Report { REPORT_AFTER } else { tick };
        ctx.run_later(wait, move |coordinator, ctx| {
            let state = &mut coordinator.partitions[usize::from(partition)];
            if state.scheduled == Some(pending) {
                state.scheduled = None;
                coordinator.publish_pending(partition, pending, ctx);
            }
        });
    }

    fn publish_pending(&mut self, partition: u16, pending: Pending, ctx: &mut Context<Self>) {
        let state = &mut self.partitions[usize::from(partition)];
        let committed = match pending {
            Pending::Publish(version) if state.unpublished.is_some() => version,
            // a later commit has published it
            Pending::Publish(_) => return self.schedule_pending(partition, ctx),
            Pending::Report => 0,
        };
        // a commit under way carries the report, and schedules this again if it does not publish
        let Some(mut writer) = state.writer.take() else { return };
        let acknowledged = state.acknowledged;
        let publish = async move {
            let result = writer.publish_pending(acknowledged, committed).await;
            (writer, result)
        };
        ctx.spawn(publish.into_actor(self).map(move |(writer, result), coordinator, ctx| {
            let state = &mut coordinator.partitions[usize::from(partition)];
            state.writer = Some(writer);
            match result {
                Ok(gate) => {
                    state.reported = acknowledged;
                    // a commit made after this was scheduled has a tick of its own
                    state.unpublished = state.unpublished.filter(|newest| *newest > committed);
                    if let Some(room) = coordinator.active() {
                        let change = room.board.put_gate(partition, gate, coordinator.rooms.pod.clock.now());
                        room.board.notify(change);
                    }
                }
                Err(error) => coordinator.rooms.pod.note_ledger_error(&error),
            }
            coordinator.schedule_pending(partition, ctx);
            coordinator.commit(partition, ctx);
        }));
    }
}
