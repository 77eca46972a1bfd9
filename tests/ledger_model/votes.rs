//! Targets, casts, removals and counts.

use std::marker::PhantomData;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use tallycast::domain::ballot::{Cast, Refusal};
use tallycast::domain::gate::{Deadline, DesiredGate, Gate, GatePhase, partition_of};
use tallycast::ledger::{Batch, JoinOutcome, JoinRequest, Verdict, Voter};

use crate::ledgers::{RoomFixture, TestLedger, newcomer, voter};
use crate::{Kind, wait};

/// Voters, of whom those who have an even number have joined.
const VOTERS: usize = 8;
/// A deadline that no test lives to see.
const FAR: u64 = 9_000_000_000_000;
/// The length of a timed take, likewise.
const HOUR_MS: u64 = 3_600_000;

#[derive(Debug, Clone)]
pub enum Command {
    SetGates(DesiredGate),
    /// Each voter at most once; goes to the partitions in their order.
    Commit {
        take: (u16, u16),
        casts: Vec<(usize, u32, String)>,
        pod: usize,
        acknowledged: u64,
    },
    PublishPending {
        partition: u16,
        pod: usize,
        acknowledged: u64,
    },
    Remove {
        voter: usize,
        removed: bool,
    },
    ReadBallots {
        take: (u16, u16),
    },
}

/// A slip that was used.
#[derive(Debug, Clone)]
struct Slip {
    voter: usize,
    take: (u16, u16),
    letter: char,
}

/// The reference: every slip ever used, in order, and the desired state that the gates are at.
#[derive(Debug, Clone)]
pub struct Reference<const PARTITIONS: u16> {
    slips: Vec<Slip>,
    desired: Option<DesiredGate>,
    deadline: Option<Deadline>,
    /// Takes that ran before the one that runs.
    left: Vec<(u16, u16)>,
    removed: [bool; VOTERS],
    /// Pod, partition, count.
    reports: Vec<(usize, u16, u64)>,
    /// Changes of each gate so far, by which its version must have risen.
    changes: Vec<u64>,
    /// What the last command must have been answered.
    told: Vec<(usize, Verdict)>,
}

impl<const PARTITIONS: u16> Reference<PARTITIONS> {
    fn ballot(&self, voter: usize, take: (u16, u16)) -> String {
        let slips = self.slips.iter().filter(|slip| (slip.voter, slip.take) == (voter, take));
        slips.map(|slip| slip.letter).collect()
    }

    fn partition(voter_number: usize) -> u16 {
        partition_of(voter(voter_number).as_str(), PARTITIONS)
    }

    fn follow(&mut self, desired: &DesiredGate) {
        if desired.command_seq <= self.desired.as_ref().map_or(0, |desired| desired.command_seq) {
            return;
        }
        let same_take = self.desired.as_ref().is_some_and(|now| (now.round, now.take) == (desired.round, desired.take));
        match desired.open {
            Some(deadline) => self.deadline = Some(deadline),
            None if !same_take => self.deadline = None,
            None => {}
        }
        if let Some(before) = self.desired.replace(desired.clone())
            && !same_take
        {
            self.left.push((before.round, before.take));
        }
        self.changes.iter_mut().for_each(|changes| *changes += 1);
    }

    /// The cast rule, slip by slip.
    fn cast(&mut self, voter: usize, take: (u16, u16), slip: u32, votes: &str) -> Verdict {
        if self.removed[voter] {
            return Verdict::Removed;
        }
        let held: Vec<char> = self.ballot(voter, take).chars().collect();
        let asked = || (slip as usize..).zip(votes.chars());
        let on_slip = |number: usize| held.get(number - 1);
        let mut added = 0;
        let refused = if asked().all(|(number, letter)| on_slip(number) == Some(&letter)) {
            None
        } else {
            let open = self.desired.clone().filter(|desired| {
                let is_over = matches!(desired.open, Some(Deadline::At(time)) if time < FAR);
                desired.open.is_some() && !is_over && desired.round == take.0
            });
            match open {
                None => Some(Refusal::Closed),
                Some(open) if open.take != take.1 => Some(Refusal::StaleTake),
                Some(open) if votes.chars().any(|letter| letter as u32 - 'a' as u32 >= u32::from(open.choices)) => {
                    Some(Refusal::BadChoice)
                }
                Some(_) if slip as usize > held.len() + 1 => Some(Refusal::Gap),
                Some(_) if asked().any(|(number, letter)| on_slip(number).is_some_and(|held| *held != letter)) => {
                    Some(Refusal::Conflict)
                }
                Some(open) => {
                    let new = asked().filter(|(number, _)| *number > held.len());
                    let (fits, rest): (Vec<_>, _) =
                        new.partition(|(number, _)| *number <= usize::from(open.votes_per_round));
                    added = fits.len() as u16;
                    self.slips.extend(fits.into_iter().map(|(_, letter)| Slip { voter, take, letter }));
                    (!rest.is_empty()).then_some(Refusal::OutOfVotes)
                }
            }
        };
        self.changes[usize::from(Self::partition(voter))] += u64::from(added);
        Verdict::Ballot { votes: self.ballot(voter, take), added, refused }
    }

    fn report(&mut self, pod: usize, partition: u16, count: u64) {
        self.reports.push((pod, partition, count));
    }

    /// Compares a gate with what is known of it.
    fn check(&self, partition: u16, gate: &Gate) {
        let mine = |slip: &&Slip| Self::partition(slip.voter) == partition;
        assert_eq!(gate.stored, self.slips.iter().filter(mine).count() as u64, "stored");
        let newest = |pod| self.reports.iter().filter(|(p, q, _)| (*p, *q) == (pod, partition)).map(|r| r.2).max();
        assert_eq!(gate.acknowledged, (0..3).filter_map(newest).sum::<u64>(), "acknowledged");
        let Some(desired) = &self.desired else {
            assert_eq!((gate.phase, gate.command_seq), (GatePhase::Idle, 0));
            return;
        };
        let phase = if desired.open.is_some() { GatePhase::Open } else { GatePhase::Closed };
        assert_eq!(
            (gate.command_seq, gate.round, gate.take, gate.phase),
            (desired.command_seq, desired.round, desired.take, phase)
        );
        assert_eq!((gate.choices, gate.votes_per_round), (desired.choices, desired.votes_per_round));
        let deadline = match self.deadline {
            None | Some(Deadline::Never) => None,
            Some(Deadline::At(time)) => Some(time),
            Some(Deadline::After(ms)) => Some(gate.opened_at + ms),
        };
        assert_eq!((gate.deadline, gate.closed_at.is_some()), (deadline, phase == GatePhase::Closed));
        let now = (desired.round, desired.take);
        let count = |letter| self.slips.iter().filter(mine).filter(|s| s.take == now && s.letter == letter).count();
        let votes: Vec<_> = ('a'..).take(usize::from(desired.choices)).map(|letter| count(letter) as u64).collect();
        let voters = (0..VOTERS).filter(|v| Self::partition(*v) == partition && !self.ballot(*v, now).is_empty());
        assert_eq!((&gate.tally.votes, gate.tally.voters), (&votes, voters.count() as u64));
    }
}

/// All takes of all rounds.
fn takes() -> impl Iterator<Item = (u16, u16)> {
    (1..=3).flat_map(|round| (1..=3).map(move |take| (round, take)))
}

fn take() -> impl Strategy<Value = (u16, u16)> {
    select(takes().collect::<Vec<_>>())
}

/// The next desired: of the same take, or of one that never ran. No command goes back to a take that was left.
fn set_gates(command_seq: u64, now: (u16, u16), left: &[(u16, u16)]) -> impl Strategy<Value = Command> + use<> {
    let fresh: Vec<_> = takes().filter(|take| *take == now || !left.contains(take)).collect();
    let to = prop_oneof![2 => Just(now), 1 => select(fresh)];
    let newer = (1..3u64, to).prop_map(move |(step, to)| (command_seq + step, to));
    // late and repeated ones may say anything
    let late = (0..=3u64, take()).prop_map(move |(step, to)| (command_seq.saturating_sub(step), to));
    let deadlines = [Deadline::Never, Deadline::After(HOUR_MS), Deadline::At(FAR), Deadline::At(1)];
    let open = prop_oneof![4 => select(deadlines.to_vec()).prop_map(Some), 1 => Just(None)];
    let desired = (prop_oneof![4 => newer, 1 => late], 2..7u16, open);
    desired.prop_map(|((command_seq, (round, take)), votes_per_round, open)| {
        // a take keeps its choices
        Command::SetGates(DesiredGate { command_seq, round, take, choices: 1 + round as u8, votes_per_round, open })
    })
}

fn commit(now: (u16, u16)) -> impl Strategy<Value = Command> {
    let take = prop_oneof![6 => Just(now), 1 => take()];
    let voters = subsequence((0..VOTERS).collect::<Vec<_>>(), 1..=VOTERS).prop_shuffle();
    let casts = voters.prop_flat_map(|voters| {
        let casts = vec((prop_oneof![2 => Just(1), 3 => 1..8u32], "a{1,3}|[abc]{1,5}|[a-d]{1,2}"), voters.len());
        casts.prop_map(move |casts| {
            voters.iter().zip(casts).map(|(voter, (slip, votes))| (*voter, slip, votes)).collect()
        })
    });
    (take, casts, 0..3usize, 0..40u64).prop_map(|(take, casts, pod, acknowledged)| Command::Commit {
        take,
        casts,
        pod,
        acknowledged,
    })
}

impl<const PARTITIONS: u16> ReferenceStateMachine for Reference<PARTITIONS> {
    type State = Self;
    type Transition = Command;

    fn init_state() -> BoxedStrategy<Self> {
        let changes = vec![0; usize::from(PARTITIONS)];
        let removed = [false; VOTERS];
        Just(Self {
            slips: vec![],
            desired: None,
            deadline: None,
            left: vec![],
            removed,
            reports: vec![],
            changes,
            told: vec![],
        })
        .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Command> {
        let (seq, now) = state.desired.as_ref().map_or((0, (1, 1)), |t| (t.command_seq, (t.round, t.take)));
        prop_oneof![
            3 => set_gates(seq, now, &state.left),
            8 => commit(now),
            1 => (0..PARTITIONS, 0..3usize, 0..40u64)
                .prop_map(|(partition, pod, acknowledged)| Command::PublishPending { partition, pod, acknowledged }),
            1 => (0..VOTERS, any::<bool>()).prop_map(|(voter, removed)| Command::Remove { voter, removed }),
            1 => take().prop_map(|take| Command::ReadBallots { take }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, command: &Command) -> Self {
        state.told.clear();
        match command {
            Command::SetGates(desired) => state.follow(desired),
            Command::Commit { take, casts, pod, acknowledged } => {
                for (voter, slip, votes) in casts {
                    let verdict = state.cast(*voter, *take, *slip, votes);
                    state.told.push((*voter, verdict));
                    state.report(*pod, Self::partition(*voter), *acknowledged);
                }
            }
            Command::PublishPending { partition, pod, acknowledged } => state.report(*pod, *partition, *acknowledged),
            // who has not joined cannot be removed
            Command::Remove { voter, removed } if voter % 2 == 0 => state.removed[*voter] = *removed,
            Command::Remove { .. } | Command::ReadBallots { .. } => {}
        }
        state
    }
}

/// A ledger, and the versions that it has returned.
pub struct VotesTest<K, const PARTITIONS: u16> {
    fixture: RoomFixture,
    /// For each gate: changes by the reference, and the version then.
    versions: Vec<(u64, u64)>,
    _stand: TestLedger,
    _kind: PhantomData<K>,
}

impl<K: Kind, const PARTITIONS: u16> VotesTest<K, PARTITIONS> {
    fn check_gate(&mut self, reference: &Reference<PARTITIONS>, partition: u16, gate: &Gate) {
        reference.check(partition, gate);
        let changes = reference.changes[usize::from(partition)];
        let (changes_before, before) = self.versions[usize::from(partition)];
        let version = gate.tally.version;
        assert!(
            if changes > changes_before { version > before } else { version == before },
            "version {version} after {before}"
        );
        self.versions[usize::from(partition)] = (changes, version);
    }

    fn check_gates(&mut self, reference: &Reference<PARTITIONS>, gates: &[Gate]) {
        assert_eq!(gates.len(), usize::from(PARTITIONS));
        for (partition, gate) in (0..).zip(gates) {
            self.check_gate(reference, partition, gate);
        }
    }

    fn commit(&mut self, reference: &Reference<PARTITIONS>, command: &Command) {
        let Command::Commit { take: (round, take), casts, pod, acknowledged } = command else { return };
        for partition in 0..PARTITIONS {
            let of_it = |number: &usize| Reference::<PARTITIONS>::partition(*number) == partition;
            let casts = casts.iter().filter(|(number, ..)| of_it(number));
            let casts = casts.map(|(number, slip, votes)| (voter(*number), Cast::parse(*slip, votes.clone()).unwrap()));
            let batch = Batch::of(*round, *take, *acknowledged, casts);
            if batch.casts().is_empty() {
                continue;
            }
            let mut writer = self.fixture.ledger.partition_writer(self.fixture.id(), partition, &format!("pod-{pod}"));
            let commit = wait(writer.commit(&batch)).unwrap();
            let told: Vec<_> =
                reference.told.iter().filter(|(number, _)| of_it(number)).map(|(_, v)| v.clone()).collect();
            assert_eq!(commit.verdicts, told);
            self.check_gate(reference, partition, &commit.gate);
        }
    }

    fn check_ballots(&self, reference: &Reference<PARTITIONS>, take: (u16, u16)) {
        let mut stored = vec![];
        for partition in 0..PARTITIONS {
            let (slice, next) = wait(self.fixture.ledger.ballots(self.fixture.id(), partition, take, None)).unwrap();
            assert_eq!(next, None);
            stored.extend(slice.into_iter().map(|(voter, ballot)| (voter, ballot.votes)));
        }
        stored.sort();
        let expected = (0..VOTERS).map(|number| (voter(number), reference.ballot(number, take)));
        assert_eq!(stored, expected.filter(|(_, votes)| !votes.is_empty()).collect::<Vec<_>>());
        for number in 0..VOTERS {
            assert_eq!(wait(self.fixture.ballot(&voter(number), take)).votes, reference.ballot(number, take));
        }
    }
}

impl<K: Kind, const PARTITIONS: u16> StateMachineTest for VotesTest<K, PARTITIONS> {
    type SystemUnderTest = Self;
    type Reference = Reference<PARTITIONS>;

    fn init_test(_: &Reference<PARTITIONS>) -> Self {
        let test_ledger = wait(async { K::test_ledger() });
        let fixture = wait(RoomFixture::new(&test_ledger.ledger, PARTITIONS));
        for number in (0..VOTERS).step_by(2) {
            let request = JoinRequest { voter: voter(number), ..newcomer(&format!("Voter {number}")) };
            assert!(matches!(wait(test_ledger.ledger.join(fixture.id(), &request)), Ok(JoinOutcome::Done(_))));
        }
        Self { fixture, versions: vec![(0, 0); usize::from(PARTITIONS)], _stand: test_ledger, _kind: PhantomData }
    }

    fn apply(mut test: Self, reference: &Reference<PARTITIONS>, command: Command) -> Self {
        let (ledger, id) = (test.fixture.ledger.clone(), test.fixture.id().clone());
        match &command {
            Command::SetGates(desired) => {
                let (_, gates) = wait(ledger.set_gates(&id, PARTITIONS, desired)).unwrap();
                test.check_gates(reference, &gates);
            }
            Command::Commit { .. } => test.commit(reference, &command),
            Command::PublishPending { partition, pod, acknowledged } => {
                let mut writer = ledger.partition_writer(&id, *partition, &format!("pod-{pod}"));
                let gate = wait(writer.publish_pending(*acknowledged, u64::MAX)).unwrap();
                test.check_gate(reference, *partition, &gate);
            }
            Command::Remove { voter: number, removed } => {
                let told = wait(ledger.set_removed(&id, PARTITIONS, &voter(*number), *removed)).unwrap();
                let known = (number % 2 == 0).then_some(*removed);
                assert_eq!(told.map(|Voter { removed, .. }| removed), known);
            }
            Command::ReadBallots { take } => test.check_ballots(reference, *take),
        }
        let snapshot = wait(test.fixture.snapshot());
        test.check_gates(reference, &snapshot.gates);
        assert_eq!(snapshot.voters, reference.removed.iter().step_by(2).filter(|removed| !**removed).count() as u64);
        test
    }

    fn teardown(test: Self, reference: Reference<PARTITIONS>) {
        for take in takes() {
            test.check_ballots(&reference, take);
        }
    }
}
