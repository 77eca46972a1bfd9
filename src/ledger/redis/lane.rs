//! A lane: one partition's commits, one at a time, over a connection of its own.

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::keys::{PartitionKeys, gates_channel};
use super::link::Link;
use super::{fault, gate, scripts};
use crate::domain::ballot::{Ballot, Refusal};
use crate::domain::gate::Gate;
use crate::domain::ids::RoomId;
use crate::ledger::{Batch, Commit, Lane, LedgerError, MOST_CASTS, Verdict};

/// See the [module](self). The connection is made at the first commit, and again after an error.
pub(super) struct RedisLane {
    link: Link,
    keys: PartitionKeys,
    pod: String,
    channel: String,
    label: String,
    tick_ms: u64,
    connection: Option<MultiplexedConnection>,
}

impl RedisLane {
    pub(super) fn new(link: Link, room: &RoomId, partition: u16, pod: &str, tick_ms: u64) -> Self {
        Self {
            link,
            keys: PartitionKeys::new(room, partition),
            pod: pod.to_owned(),
            channel: gates_channel(room),
            label: label(room, partition),
            tick_ms,
            connection: None,
        }
    }
}

/// What a published gate begins with: whose it is.
pub(super) fn label(room: &RoomId, partition: u16) -> String {
    format!("{room} {partition}")
}

#[async_trait]
impl Lane for RedisLane {
    async fn commit(&mut self, batch: &Batch) -> Result<Commit, LedgerError> {
        if batch.casts.len() > MOST_CASTS {
            return Err(LedgerError::NotApplied("a batch holds at most 1,000 casts".into()));
        }
        let gate_key = self.keys.gate();
        let mut call = scripts::COMMIT.prepare_invoke();
        call.key(&gate_key).key(self.keys.ballots((batch.round, batch.take))).key(self.keys.removed());
        call.arg(batch.round).arg(batch.take).arg(&self.pod).arg(batch.acknowledged);
        call.arg(&self.channel).arg(&self.label).arg(self.tick_ms);
        for (voter, _) in &batch.casts {
            call.arg(voter.as_str());
        }
        for (_, cast) in &batch.casts {
            call.arg(cast.slip);
        }
        for (_, cast) in &batch.casts {
            call.arg(&cast.votes);
        }
        let (now, published, line, ballots, outcomes): (u64, bool, String, Vec<String>, Vec<String>) = self
            .link
            .run_on(&mut self.connection, |mut redis| async move { Ok(call.invoke_async(&mut redis).await?) })
            .await?;
        let gate = gate::from_line(&line).ok_or_else(|| fault::corrupt("no gate", &gate_key))?;
        let verdicts = ballots.iter().zip(&outcomes).map(|(ballot, outcome)| verdict(ballot, outcome));
        let verdicts = verdicts.collect::<Option<Vec<Verdict>>>().filter(|v| v.len() == batch.casts.len());
        let verdicts = verdicts.ok_or_else(|| fault::corrupt("no verdicts on ballots", &gate_key))?;
        Ok(Commit { now, gate, verdicts, published })
    }

    async fn settle(&mut self, acknowledged: u64) -> Result<Gate, LedgerError> {
        let gate_key = self.keys.gate();
        let mut call = scripts::SETTLE.prepare_invoke();
        call.key(&gate_key).arg(&self.pod).arg(acknowledged).arg(&self.channel).arg(&self.label);
        let line: String = self
            .link
            .run_on(&mut self.connection, |mut redis| async move { Ok(call.invoke_async(&mut redis).await?) })
            .await?;
        gate::from_line(&line).ok_or_else(|| fault::corrupt("no gate", &gate_key))
    }
}

/// Reads what the script says of one cast: the ballot as stored, and `2`, `0 gap` or `removed`.
fn verdict(ballot: &str, outcome: &str) -> Option<Verdict> {
    if outcome == "removed" {
        return Some(Verdict::Removed);
    }
    let ballot = if ballot.is_empty() { Ballot::default() } else { Ballot::decode(ballot)? };
    let (added, refused) = match outcome.split_once(' ') {
        None => (outcome, None),
        Some((added, word)) => (added, Some(Refusal::ALL.into_iter().find(|refusal| refusal.as_str() == word)?)),
    };
    Some(Verdict::Ballot { votes: ballot.votes, added: added.parse().ok()?, refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_with_its_ballot_and_reason() {
        let ballot = |votes: &str, added, refused| Some(Verdict::Ballot { votes: votes.into(), added, refused });
        assert_eq!(verdict("aab1732", "2"), ballot("aab", 2, None));
        assert_eq!(verdict("", "0 closed"), ballot("", 0, Some(Refusal::Closed)));
        assert_eq!(verdict("ab5", "1 out_of_votes"), ballot("ab", 1, Some(Refusal::OutOfVotes)));
        assert_eq!(verdict("aab1732", "removed"), Some(Verdict::Removed));
    }

    #[test]
    fn what_is_no_verdict_is_not_read_as_one() {
        for (ballot, outcome) in [("aab", "1"), ("z1", "1"), ("a1", "1 because"), ("a1", ""), ("a1", "b")] {
            assert_eq!(verdict(ballot, outcome), None, "{ballot} {outcome}");
        }
    }

    #[test]
    fn every_reason_in_the_script_is_a_refusal() {
        let script = include_str!("scripts/commit.lua");
        let quoted = |mark| script.split(mark).skip(1).filter_map(|rest: &str| rest.split('\'').next());
        let reasons: Vec<&str> = quoted("refused = '").chain(quoted("shut = '")).collect();
        assert_eq!(reasons.len(), 6, "{reasons:?}");
        for reason in reasons {
            assert!(verdict("", &format!("0 {reason}")).is_some(), "{reason}");
        }
    }
}
