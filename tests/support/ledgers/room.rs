//! A stored room, with calls for what tests do to it.

use super::FeedListener;
use tallycast::domain::ballot::{Ballot, Cast, Refusal};
use tallycast::domain::gate::{Deadline, DesiredGate, Gate, GateSum, partition_of, sum};
use tallycast::domain::ids::{RoomCode, RoomId, VoterId};
use tallycast::domain::room::{JoinMode, Programme, Room};
use tallycast::domain::setup::{Plan, RoundPlan};
use tallycast::domain::text::Title;
use tallycast::ledger::{Batch, Commit, Creation, GateSnapshot, SharedLedger, Verdict};

/// A desired gate that opens a round.
pub fn open(command_seq: u64, round: u16, take: u16, deadline: Deadline) -> DesiredGate {
    DesiredGate { command_seq, round, take, choices: 3, votes_per_round: 10, open: Some(deadline) }
}

/// A room with rounds of three choices and ten votes.
pub struct RoomFixture {
    pub ledger: SharedLedger,
    pub room: Room,
    pub partitions: u16,
    command_seq: u64,
}

impl RoomFixture {
    /// Makes the room.
    pub async fn new(ledger: &SharedLedger, partitions: u16) -> Self {
        let Creation::Created(room) = ledger.create_room(&Self::planned(partitions, None)).await.unwrap() else {
            panic!("a random code is free");
        };
        Self { ledger: ledger.clone(), room, partitions, command_seq: 0 }
    }

    /// A room that is not stored yet.
    pub fn planned(partitions: u16, reference: Option<&str>) -> Room {
        let choices = ["A", "B", "C"].map(|label| (label.to_owned(), None));
        let round = RoundPlan::new("Round", &choices, None, Default::default(), 0).unwrap();
        let plan = Plan {
            title: Title::parse("Evening").unwrap(),
            reference: reference.map(str::to_owned),
            votes_per_round: 10,
            join: JoinMode::Open,
            programme: Programme::Open,
            rehearsal: false,
            partitions,
            rounds: vec![round.clone(), round.clone(), round],
        };
        let (id, code) = (RoomId::from_entropy(rand::random()), RoomCode::from_entropy(rand::random()));
        plan.into_room(id, code, 0).unwrap()
    }

    pub fn id(&self) -> &RoomId {
        &self.room.id
    }

    /// For a room that is stored already.
    pub async fn found(ledger: &SharedLedger, room: Room) -> Self {
        let partitions = room.partitions;
        let mut fixture = Self { ledger: ledger.clone(), room, partitions, command_seq: 0 };
        fixture.command_seq =
            fixture.snapshot().await.gates.iter().map(|gate| gate.command_seq).max().unwrap_or_default();
        fixture
    }

    /// Puts the next desired state on the gates.
    pub async fn set_gates(&mut self, desired: DesiredGate) -> Vec<Gate> {
        self.command_seq += 1;
        let desired = DesiredGate { command_seq: self.command_seq, ..desired };
        self.ledger.set_gates(self.id(), self.partitions, &desired).await.unwrap().1
    }

    /// Opens a take, without a deadline.
    pub async fn open(&mut self, round: u16, take: u16) -> Vec<Gate> {
        self.set_gates(open(0, round, take, Deadline::Never)).await
    }

    /// Closes a take.
    pub async fn close(&mut self, round: u16, take: u16) -> Vec<Gate> {
        self.set_gates(DesiredGate { open: None, ..open(0, round, take, Deadline::Never) }).await
    }

    /// Commits casts for the first round and take that all belong to one partition.
    pub async fn commit(&self, casts: &[(&VoterId, u32, &str)]) -> Commit {
        self.commit_to((1, 1), casts).await
    }

    /// Commits casts that all belong to one partition.
    pub async fn commit_to(&self, (round, take): (u16, u16), casts: &[(&VoterId, u32, &str)]) -> Commit {
        let partition = casts.first().map_or(0, |(voter, ..)| partition_of(voter.as_str(), self.partitions));
        let casts = casts.iter().map(|(voter, slip, votes)| {
            assert_eq!(partition_of(voter.as_str(), self.partitions), partition);
            ((*voter).clone(), Cast::parse(*slip, (*votes).to_owned()).unwrap())
        });
        let batch = Batch::of(round, take, 0, casts);
        self.ledger.partition_writer(self.id(), partition, "pod").commit(&batch).await.unwrap()
    }

    /// One cast in the first round and take: the whole ballot, and why not all of it was taken.
    pub async fn cast(&self, voter: &VoterId, slip: u32, votes: &str) -> (String, Option<Refusal>) {
        self.cast_in((1, 1), voter, slip, votes).await
    }

    /// One cast: the whole ballot, and why not all of it was taken.
    pub async fn cast_in(
        &self,
        take: (u16, u16),
        voter: &VoterId,
        slip: u32,
        votes: &str,
    ) -> (String, Option<Refusal>) {
        let commit = self.commit_to(take, &[(voter, slip, votes)]).await;
        match commit.verdicts.into_iter().next() {
            Some(Verdict::Ballot { votes, refused, .. }) => (votes, refused),
            other => panic!("{other:?}"),
        }
    }

    pub async fn snapshot(&self) -> GateSnapshot {
        self.ledger.gate_snapshot(self.id(), self.partitions).await.unwrap().expect("the room")
    }

    /// All gates together.
    pub async fn sum(&self) -> GateSum {
        sum(&self.snapshot().await.gates)
    }

    /// A voter's ballot.
    pub async fn ballot(&self, voter: &VoterId, take: (u16, u16)) -> Ballot {
        self.ledger.ballots_of(self.id(), self.partitions, voter, &[take]).await.unwrap().remove(0)
    }

    /// Listens to the room's gates, from now on.
    pub async fn listen(&self) -> FeedListener {
        FeedListener::new(&self.ledger, vec![self.id().clone()]).await
    }
}
