//! Which casts go together, and how their answers come back.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::{Asker, Cast, CastAnswer};
use crate::actors::pod::Pod;
use crate::actors::registry::Answer;
use crate::domain::ids::RoomId;
use crate::ledger::Batch;

/// Answers on their way, gathered by shard.
#[derive(Default)]
pub(super) struct Handout(BTreeMap<usize, Vec<Answer>>);

impl Handout {
    pub(super) fn of(asker: Asker, answer: CastAnswer) -> Self {
        let mut handout = Self::default();
        handout.add(asker, answer);
        handout
    }

    pub(super) fn add(&mut self, asker: Asker, answer: CastAnswer) {
        match asker {
            Asker::Socket { shard, seat, number } => {
                self.0.entry(shard).or_default().push(Answer { seat, number, answer });
            }
            // a caller that is gone asks again when it comes back
            Asker::Caller(caller) => drop(caller.send(answer)),
        }
    }

    pub(super) fn send(self, pod: &Pod, room: &RoomId) {
        for (shard, answers) in self.0 {
            if !pod.rooms.answer(shard, room, answers) {
                pod.metrics.mailbox_refusals.with_label_values(&["registry"]).inc();
            }
        }
    }
}

/// Takes the casts that can go together: of one round and take, each voter once, as many as a batch holds. The others
/// wait in their order.
pub(super) fn next_batch(waiting: &mut VecDeque<Cast>, acknowledged: u64) -> (Batch, Vec<Asker>) {
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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::domain::ballot::Cast as Votes;
    use crate::domain::ids::VoterId;

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
