//! Commits: what waits in a partition goes to the ledger, and the answers go back to whoever asked.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::actor::RoundCoordinator;
use super::partition::Pending;
use super::replies::Replies;
use crate::actors::messages::{CastOutcome, ReplyTo};
use crate::domain::ballot::Refusal;
use crate::domain::ids::VoterId;
use crate::ledger::{Batch, Commit, LedgerError, Verdict};
use crate::wire::server::BallotView;

/// How long what was acknowledged may be unreported where no commit carries it.
const REPORT_AFTER: Duration = Duration::from_secs(1);

impl RoundCoordinator {
    /// Commits what waits for a free writer.
    pub(super) fn commit(&mut self, partition: u16, ctx: &mut Context<Self>) {
        let queue = &mut self.partitions[usize::from(partition)];
        queue.waiting.drop_overdue(Instant::now());
        if queue.waiting.is_empty() {
            return;
        }
        let Some(mut writer) = queue.writer.take() else { return };
        let (batch, asked, traced) = queue.waiting.next_batch(queue.acknowledged);
        self.rooms.pod.metrics.batch_casts.observe(asked.len() as f64);
        let trace = self.rooms.pod.traces.batch(&self.room, partition, asked.len(), traced);
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
                    coordinator.committed(partition, &batch, commit, asked, ctx);
                }
                Err(error) => coordinator.failed(&error, asked),
            }
            coordinator.publish_later(partition, ctx);
            coordinator.commit(partition, ctx);
            // after whoever waits for an answer or a commit
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
        asked: Vec<ReplyTo>,
        ctx: &mut Context<Self>,
    ) {
        let added = commit.verdicts.iter().map(|verdict| match verdict {
            Verdict::Ballot { added, .. } => u64::from(*added),
            Verdict::Removed => 0,
        });
        let added: u64 = added.sum();
        let queue = &mut self.partitions[usize::from(partition)];
        queue.reported = queue.reported.max(batch.acknowledged);
        queue.acknowledged += added;
        queue.unpublished = (!commit.published).then_some(commit.gate.tally.version);
        let (round, take) = (commit.gate.round, commit.gate.take);
        let room = self.active();
        let budget = room.as_ref().map_or(commit.gate.votes_per_round, |room| room.board.votes_per_round());
        // on the board before any verdict is handed out; the shards are notified after that
        let _notification =
            room.as_ref().map(|room| room.board.put_gate(partition, commit.gate, self.rooms.pod.clock.now()));
        let casts = &self.rooms.pod.metrics.casts;
        let mut answers = Replies::default();
        for ((verdict, reply_to), (voter, _)) in commit.verdicts.into_iter().zip(asked).zip(batch.casts()) {
            let answer = match verdict {
                Verdict::Removed => {
                    casts.removed.inc();
                    CastOutcome::Removed
                }
                Verdict::Ballot { refused: Some(Refusal::StaleTake), .. } => {
                    self.answer_stale(voter.clone(), (round, take), budget, reply_to, ctx);
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
            answers.add(reply_to, answer);
        }
        answers.send(&self.rooms, &self.room);
        self.rooms.pod.acknowledged.fetch_add(added, Ordering::Release);
    }

    /// A cast for another take is answered with the ballot of the present one.
    fn answer_stale(
        &self,
        voter: VoterId,
        present: (u16, u16),
        budget: u16,
        reply_to: ReplyTo,
        ctx: &mut Context<Self>,
    ) {
        let (ledger, room, partitions) =
            (self.rooms.pod.ledger.clone(), self.room.clone(), self.partitions.len() as u16);
        let read = async move { ledger.ballots_of(&room, partitions, &voter, &[present]).await };
        ctx.spawn(read.into_actor(self).map(move |ballots, coordinator, _| {
            let found = ballots.map(|mut ballots| ballots.pop().unwrap_or_default());
            match found {
                Ok(ballot) => {
                    let (round, take) = present;
                    let view = BallotView::new(round, take, ballot.votes, budget, Some(Refusal::StaleTake));
                    coordinator.rooms.pod.metrics.casts.refused(Refusal::StaleTake).inc();
                    let answer = CastOutcome::Ballot { view, grew: false };
                    Replies::of(reply_to, answer).send(&coordinator.rooms, &coordinator.room);
                }
                Err(error) => coordinator.failed(&error, vec![reply_to]),
            }
        }));
    }

    fn failed(&self, error: &LedgerError, asked: Vec<ReplyTo>) {
        self.rooms.pod.note_ledger_error(error);
        tracing::warn!(room = %self.room, casts = asked.len(), %error, "a batch has no answer");
        self.answer_busy(asked);
    }

    pub(super) fn answer_busy(&self, asked: Vec<ReplyTo>) {
        if asked.is_empty() {
            return;
        }
        self.rooms.pod.metrics.casts.refused(Refusal::Busy).inc_by(asked.len() as u64);
        let mut answers = Replies::default();
        asked.into_iter().for_each(|reply_to| answers.add(reply_to, CastOutcome::Busy));
        answers.send(&self.rooms, &self.room);
    }

    /// Without further commits the rest is published after a tick, and reported after a while.
    fn publish_later(&mut self, partition: u16, ctx: &mut Context<Self>) {
        let queue = &mut self.partitions[usize::from(partition)];
        let (due, wait) = if let Some(version) = queue.unpublished {
            (Pending::Publish(version), self.rooms.pod.tick)
        } else if queue.reported < queue.acknowledged {
            (Pending::Report, REPORT_AFTER)
        } else {
            return;
        };
        // a report that is armed does not keep a publish waiting
        match (queue.pending, due) {
            (None, _) | (Some(Pending::Report), Pending::Publish(_)) => queue.pending = Some(due),
            _ => return,
        }
        ctx.run_later(wait, move |coordinator, ctx| {
            let queue = &mut coordinator.partitions[usize::from(partition)];
            if queue.pending == Some(due) {
                queue.pending = None;
                coordinator.publish_pending(partition, due, ctx);
            }
        });
    }

    fn publish_pending(&mut self, partition: u16, due: Pending, ctx: &mut Context<Self>) {
        let queue = &mut self.partitions[usize::from(partition)];
        let committed = match due {
            Pending::Publish(version) if queue.unpublished.is_some() => version,
            // a later commit has published it
            Pending::Publish(_) => return self.publish_later(partition, ctx),
            Pending::Report => 0,
        };
        // a commit under way carries the report, and arms this again if it is not published
        let Some(mut writer) = queue.writer.take() else { return };
        let acknowledged = queue.acknowledged;
        let publish = async move {
            let result = writer.publish_pending(acknowledged, committed).await;
            (writer, result)
        };
        ctx.spawn(publish.into_actor(self).map(move |(writer, result), coordinator, ctx| {
            let queue = &mut coordinator.partitions[usize::from(partition)];
            queue.writer = Some(writer);
            match result {
                Ok(gate) => {
                    queue.reported = acknowledged;
                    // what was committed after this was armed has a tick of its own
                    queue.unpublished = queue.unpublished.filter(|newest| *newest > committed);
                    if let Some(room) = coordinator.active() {
                        drop(room.board.put_gate(partition, gate, coordinator.rooms.pod.clock.now()));
                    }
                }
                Err(error) => coordinator.rooms.pod.note_ledger_error(&error),
            }
            coordinator.publish_later(partition, ctx);
            coordinator.commit(partition, ctx);
        }));
    }
}
