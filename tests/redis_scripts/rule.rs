//! The scripts against the rules of the domain.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tallycast::domain::LedgerMs;
use tallycast::domain::ballot::{Ballot, Cast, judge};
use tallycast::domain::gate::{Deadline, DesiredGate, Gate};
use tallycast::domain::ids::{RoomId, VoterId};
use tallycast::ledger::{Batch, Ledger, Verdict, VoteStore};
use tokio::runtime::Runtime;

use crate::support::{self, redis::Redis};
use crate::{batch, cast, fresh_room, join, ledger, opened, voter};

/// Targets are `ahead` of the one that the gate has followed.
#[derive(Debug, Clone)]
enum Step {
    Commit { pod: usize, take: (u16, u16), casts: Vec<(u8, u32, String)>, acknowledged: u64 },
    SetGates { ahead: i64, take: (u16, u16), votes_per_round: u16, open: Option<When> },
    PublishPending { pod: usize, acknowledged: u64 },
    Remove { voter: u8, removed: bool },
}

/// A deadline, with times as seen from the last answer.
#[derive(Debug, Clone)]
enum When {
    Never,
    After(u64),
    At(i64),
}

const VOTERS: u8 = 6;

/// Round 1 has two choices, round 2 three.
fn choices(round: u16) -> u8 {
    1 + round as u8
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let take = prop_oneof![3 => Just((1u16, 1u16)), 2 => (1u16..=2, 1u16..=2)].boxed();
    let slip = prop_oneof![20 => 1u32..8, 1 => Just(u32::MAX), 2 => 8u32..14];
    let votes = prop_oneof![8 => "[ab]{1,4}", 2 => "[a-d]{1,3}", 1 => "[z]{1,2}", 1 => "[a]{9,100}"];
    let casts = prop::collection::vec((0..VOTERS, slip, votes), 0..8);
    let when = prop_oneof![
        6 => Just(None),
        6 => Just(Some(When::Never)),
        3 => prop_oneof![Just(0u64), Just(2), Just(60_000)].prop_map(|ms| Some(When::After(ms))),
        4 => prop_oneof![2 => Just(-5i64), 1 => Just(1), 1 => Just(60_000)].prop_map(|ms| Some(When::At(ms))),
    ];
    let commit = (0usize..2, take.clone(), casts, 0u64..30).prop_map(|(pod, take, casts, acknowledged)| Step::Commit {
        pod,
        take,
        casts,
        acknowledged,
    });
    let set_gates = (-1i64..=3, take, 1u16..=10, when)
        .prop_map(|(ahead, take, votes_per_round, open)| Step::SetGates { ahead, take, votes_per_round, open });
    let publish = (0usize..2, 0u64..30).prop_map(|(pod, acknowledged)| Step::PublishPending { pod, acknowledged });
    let remove = (0..VOTERS, any::<bool>()).prop_map(|(voter, removed)| Step::Remove { voter, removed });
    let step = prop_oneof![12 => commit, 5 => set_gates, 1 => publish, 1 => remove];
    // begin with an open round, else most of it would be refused
    prop::collection::vec(step, 1..40).prop_map(|mut steps| {
        steps.insert(0, Step::SetGates { ahead: 1, take: (1, 1), votes_per_round: 7, open: Some(When::Never) });
        steps
    })
}

/// What the domain makes of the same steps.
#[derive(Default)]
struct Model {
    gate: Gate,
    ballots: BTreeMap<((u16, u16), VoterId), Ballot>,
    removed: HashSet<VoterId>,
    acknowledged: HashMap<usize, u64>,
}

impl Model {
    fn commit(&mut self, (round, take): (u16, u16), casts: &[(VoterId, Cast)], now: LedgerMs) -> Vec<Verdict> {
        let gate_check = self.gate.check(round, take, now);
        let mut verdicts = vec![];
        for (voter, cast) in casts {
            if self.removed.contains(voter) {
                verdicts.push(Verdict::Removed);
                continue;
            }
            let key = ((round, take), voter.clone());
            let mut ballot = self.ballots.get(&key).cloned().unwrap_or_default();
            let judgement = judge(&ballot.votes, cast, gate_check);
            if !judgement.append.is_empty() {
                self.gate.count(judgement.append, ballot.votes.is_empty(), now);
                ballot.votes.push_str(judgement.append);
                ballot.time_ms = now - self.gate.opened_at;
                self.ballots.insert(key, ballot.clone());
            }
            let added = judgement.append.len() as u16;
            verdicts.push(Verdict::Ballot { votes: ballot.votes, added, refused: judgement.refused });
        }
        verdicts
    }

    fn acknowledge(&mut self, pod: usize, count: u64) {
        let highest = self.acknowledged.entry(pod).or_default();
        *highest = count.max(*highest);
        self.gate.acknowledged = self.acknowledged.values().sum();
    }

    /// The gate must be the model's, but that versions may rise faster by the ledger's clock, or slower by batches.
    fn check(&mut self, told: &Gate, has_changed: bool, before: u64) -> Result<(), TestCaseError> {
        let version = told.tally.version;
        if has_changed {
            prop_assert!(version > before, "version {version} after {before}");
            prop_assert!(version >= told.clock);
        } else {
            prop_assert_eq!(version, before);
        }
        self.gate.tally.version = version;
        prop_assert_eq!(told, &self.gate);
        Ok(())
    }
}

async fn compare(ledger: &dyn Ledger, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let room = fresh_room();
    for number in 0..VOTERS {
        join(ledger, &room, voter(number)).await;
    }
    let mut writers = [ledger.partition_writer(&room, 0, "p0"), ledger.partition_writer(&room, 0, "p1")];
    let mut model = Model::default();
    let mut now = ledger.check().await.unwrap().now;
    for step in steps {
        let before = model.gate.tally.version;
        match step {
            Step::Commit { pod, take, casts, acknowledged } => {
                let mut batch = Batch::new(take.0, take.1, acknowledged);
                for (number, slip, votes) in casts {
                    // a voter who comes again is left for another batch
                    let _ = batch.push(&voter(number), &cast(slip, &votes));
                }
                let commit = writers[pod].commit(&batch).await.unwrap();
                prop_assert!(commit.now >= model.gate.clock);
                now = commit.now;
                let stored = model.gate.stored;
                prop_assert_eq!(&commit.verdicts, &model.commit(take, batch.casts(), now));
                model.acknowledge(pod, acknowledged);
                let has_changed = model.gate.stored > stored;
                model.check(&commit.gate, has_changed, before)?;
            }
            Step::SetGates { ahead, take: (round, take), votes_per_round, open } => {
                let command_seq = model.gate.command_seq.saturating_add_signed(ahead);
                let open = open.map(|when| match when {
                    When::Never => Deadline::Never,
                    When::After(ms) => Deadline::After(ms),
                    When::At(ms) => Deadline::At(now.saturating_add_signed(ms)),
                });
                let desired = DesiredGate { command_seq, round, take, choices: choices(round), votes_per_round, open };
                let (at, gates) = ledger.set_gates(&room, 1, &desired).await.unwrap();
                now = at;
                let has_changed = model.gate.follow(&desired, now);
                model.check(&gates[0], has_changed, before)?;
            }
            Step::PublishPending { pod, acknowledged } => {
                model.acknowledge(pod, acknowledged);
                let gate = writers[pod].publish_pending(acknowledged, u64::MAX).await.unwrap();
                model.check(&gate, false, before)?;
            }
            Step::Remove { voter: number, removed } => {
                let voter = voter(number);
                ledger.set_removed(&room, 1, &voter, removed).await.unwrap().expect("a voter who has joined");
                if removed {
                    model.removed.insert(voter)
                } else {
                    model.removed.remove(&voter)
                };
            }
        }
    }
    compare_ballots(ledger, &room, &model).await
}

async fn compare_ballots(ledger: &dyn Ledger, room: &RoomId, model: &Model) -> Result<(), TestCaseError> {
    let takes = [(1, 1), (1, 2), (2, 1), (2, 2)];
    let mut stored = BTreeMap::new();
    for take in takes {
        let (ballots, next) = ledger.ballots(room, 0, take, None).await.unwrap();
        prop_assert_eq!(next, None);
        stored.extend(ballots.into_iter().map(|(voter, ballot)| ((take, voter), ballot)));
    }
    prop_assert_eq!(&stored, &model.ballots);
    for number in 0..VOTERS {
        let voter = voter(number);
        let expected: Vec<Ballot> =
            takes.iter().map(|take| model.ballots.get(&(*take, voter.clone())).cloned().unwrap_or_default()).collect();
        prop_assert_eq!(ledger.ballots_of(room, 1, &voter, &takes).await.unwrap(), expected);
    }
    Ok(())
}

#[test]
fn the_scripts_match_the_domain_in_every_step() {
    let runtime = Runtime::new().unwrap();
    let redis = runtime.block_on(Redis::start());
    let ledger = ledger(&redis, 0);
    let cases = support::count("TALLYCAST_REDIS_CASES", 300) as u32 * support::prove_factor() as u32;
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner.run(&steps(), |steps| runtime.block_on(compare(&ledger, steps))).unwrap();
}

#[tokio::test]
async fn a_batch_of_a_thousand_casts_is_one_commit() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 100);
    let room = fresh_room();
    ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    let mut writer = ledger.partition_writer(&room, 0, "pod");
    let casts = (0..1_000).map(|n| (VoterId::parse(&format!("v{n}")).unwrap(), cast(1, "ab"))).collect();
    let commit = writer.commit(&batch(casts)).await.unwrap();
    assert_eq!((commit.gate.tally.votes.as_slice(), commit.gate.tally.voters), ([1_000, 1_000].as_slice(), 1_000));

    let mut seen = HashSet::new();
    let mut cursor = None;
    loop {
        let (ballots, next) = ledger.ballots(&room, 0, (1, 1), cursor).await.unwrap();
        seen.extend(ballots.into_iter().map(|(voter, _)| voter));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 1_000);
}

#[tokio::test]
async fn gate_versions_rise_although_the_clock_was_set_back() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let room = fresh_room();
    let (now, _) = ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    let ahead = now + 1_000_000;
    redis.command(&format!("HSET tc:{{{room}.0}}:gate clock {ahead} version {ahead}")).await;
    let commit = ledger.partition_writer(&room, 0, "pod").commit(&batch(vec![(voter(1), cast(1, "a"))])).await.unwrap();
    assert_eq!((commit.now, commit.gate.clock, commit.gate.tally.version), (ahead, ahead, ahead + 1));
    let ballots = ledger.ballots_of(&room, 1, &voter(1), &[(1, 1)]).await.unwrap();
    assert_eq!(ballots[0].time_ms, ahead - commit.gate.opened_at);
}
