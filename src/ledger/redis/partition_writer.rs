//! Commits to one partition, one at a time, over a connection of its own.

use std::fmt::Write;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::connections::Connections;
use super::keys::{PartitionKeys, gates_channel};
use super::{error, gate_codec, scripts};
use crate::domain::ballot::{Ballot, Cast, Refusal};
use crate::domain::gate::Gate;
use crate::domain::ids::{RoomId, VoterId};
use crate::ledger::{Batch, Commit, LedgerError, PartitionWriter, Verdict};

/// See the [module](self). The connection is made at the first commit, and again after an error.
pub(super) struct RedisPartitionWriter {
    connections: Connections,
    keys: PartitionKeys,
    pod: String,
    channel: String,
    label: String,
    tick_ms: u64,
    connection: Option<MultiplexedConnection>,
}

impl RedisPartitionWriter {
    pub(super) fn new(connections: Connections, room: &RoomId, partition: u16, pod: &str, tick_ms: u64) -> Self {
        Self {
            connections,
            keys: PartitionKeys::new(room, partition),
            pod: pod.to_owned(),
            channel: gates_channel(room),
            label: gate_label(room, partition),
            tick_ms,
            connection: None,
        }
    }
}

/// Room and partition, with which the message of a published gate begins.
pub(super) fn gate_label(room: &RoomId, partition: u16) -> String {
    format!("{room} {partition}")
}

#[async_trait]
impl PartitionWriter for RedisPartitionWriter {
    async fn commit(&mut self, batch: &Batch) -> Result<Commit, LedgerError> {
        let casts = batch.casts();
        let gate_key = self.keys.gate();
        let mut call = scripts::COMMIT.prepare_invoke();
        call.key(&gate_key).key(self.keys.ballots((batch.round, batch.take))).key(self.keys.removed());
        call.arg(batch.round).arg(batch.take).arg(&self.pod).arg(batch.acknowledged);
        call.arg(&self.channel).arg(&self.label).arg(self.tick_ms);
        for (voter, _) in casts {
            call.arg(voter.as_str());
        }
        let mut word = String::new();
        for (_, Cast { slip, votes }) in casts {
            word.clear();
            let _ = write!(word, "{votes}{slip}");
            call.arg(&word);
        }
        let (now, published, line, ballots, exceptions): (u64, bool, String, String, String) = self
            .connections
            .change_on(&mut self.connection, |mut redis| async move { Ok(call.invoke_async(&mut redis).await?) })
            .await?;
        let gate = gate_codec::from_line(&line).ok_or_else(|| error::corrupt("invalid gate", &gate_key))?;
        let verdicts = verdicts(casts, &ballots, &exceptions);
        let verdicts = verdicts.ok_or_else(|| error::corrupt("invalid verdicts", &gate_key))?;
        Ok(Commit { now, gate, verdicts, published })
    }

    async fn publish_pending(&mut self, acknowledged: u64, committed: u64) -> Result<Gate, LedgerError> {
        let gate_key = self.keys.gate();
        let mut call = scripts::PUBLISH_PENDING.prepare_invoke();
        call.key(&gate_key).arg(&self.pod).arg(acknowledged).arg(&self.channel).arg(&self.label).arg(committed);
        let line: String = self
            .connections
            .change_on(&mut self.connection, |mut redis| async move { Ok(call.invoke_async(&mut redis).await?) })
            .await?;
        gate_codec::from_line(&line).ok_or_else(|| error::corrupt("invalid gate", &gate_key))
    }
}

/// Decodes the script's verdicts on all casts. `None` if they are invalid.
fn verdicts(casts: &[(VoterId, Cast)], ballots: &str, exceptions: &str) -> Option<Vec<Verdict>> {
    let mut verdicts = Vec::with_capacity(casts.len());
    if !casts.is_empty() {
        let mut ballots = ballots.split(' ');
        for (_, cast) in casts {
            let votes = letters(ballots.next()?)?;
            verdicts.push(Verdict::Ballot { votes, added: cast.votes.len() as u16, refused: None });
        }
        if ballots.next().is_some() {
            return None;
        }
    }
    let mut words = exceptions.split(' ').filter(|word| !word.is_empty());
    while let Some(which) = words.next() {
        let verdict = verdicts.get_mut(which.parse::<usize>().ok()?.checked_sub(1)?)?;
        let (count, why) = (words.next()?.parse().ok()?, words.next()?);
        match (verdict, why) {
            (verdict, "removed") => *verdict = Verdict::Removed,
            (Verdict::Ballot { added, .. }, "-") => *added = count,
            (Verdict::Ballot { added, refused, .. }, why) => {
                *added = count;
                *refused = Some(Refusal::ALL.into_iter().find(|refusal| refusal.as_str() == why)?);
            }
            (Verdict::Removed, _) => return None,
        }
    }
    Some(verdicts)
}

/// The letters of a stored ballot; empty where there is none.
fn letters(stored: &str) -> Option<String> {
    if stored.is_empty() { Some(String::new()) } else { Ballot::decode(stored).map(|ballot| ballot.votes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn casts(votes: &[&str]) -> Vec<(VoterId, Cast)> {
        let cast = |(index, votes): (usize, &&str)| {
            (VoterId::parse(&format!("v{index}")).unwrap(), Cast::parse(1, (*votes).to_owned()).unwrap())
        };
        votes.iter().enumerate().map(cast).collect()
    }

    #[test]
    fn a_cast_without_an_exception_was_appended_unchanged() {
        let ballot = |votes: &str, added, refused| Verdict::Ballot { votes: votes.into(), added, refused };
        let decoded =
            verdicts(&casts(&["ab", "a", "b", "a", "aa"]), "aab1732 b9  a5 bbaa7", "2 0 - 3 0 closed 4 0 removed");
        let expected = vec![
            ballot("aab", 2, None),
            ballot("b", 0, None),
            ballot("", 0, Some(Refusal::Closed)),
            Verdict::Removed,
            ballot("bbaa", 2, None),
        ];
        assert_eq!(decoded, Some(expected));
        let decoded = verdicts(&casts(&["abb"]), "ab5", "1 1 out_of_votes");
        assert_eq!(decoded, Some(vec![ballot("ab", 1, Some(Refusal::OutOfVotes))]));
        assert_eq!(verdicts(&[], "", ""), Some(vec![]));
    }

    #[test]
    fn invalid_verdicts_are_not_decoded() {
        let broken = [
            ("aab", ""),
            ("z1", ""),
            ("a1 a1", ""),
            ("a1", "1 0 because"),
            ("a1", "2 0 -"),
            ("a1", "0 0 -"),
            ("a1", "1 x -"),
            ("a1", "1 0"),
        ];
        for (ballots, exceptions) in broken {
            assert_eq!(verdicts(&casts(&["a"]), ballots, exceptions), None, "{ballots} {exceptions}");
        }
    }

    #[test]
    fn every_reason_in_the_script_is_a_refusal() {
        let script = include_str!("scripts/commit.lua");
        let quoted = |mark| script.split(mark).skip(1).filter_map(|rest: &str| rest.split('\'').next());
        let reasons: Vec<&str> =
            quoted("return 0, '").chain(quoted("shut = '")).chain(quoted("< length and '")).chain(["-"]).collect();
        assert_eq!(reasons.len(), 8, "{reasons:?}");
        for reason in reasons {
            let decoded = verdicts(&casts(&["a"]), "", &format!("1 0 {reason}"));
            assert!(decoded.is_some(), "{reason}");
        }
    }
}
