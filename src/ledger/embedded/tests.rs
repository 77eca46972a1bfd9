//! Tests of what only this ledger has: its file and its disk. What both ledgers promise is in `tests/ledger_contract`.

mod disk;
mod failures;
mod opening;
mod together;

use tempfile::TempDir;

use super::EmbeddedLedger;
use crate::domain::ballot::Cast;
use crate::domain::gate::{Deadline, DesiredGate};
use crate::domain::ids::{RoomCode, RoomId, VoterId};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;
use crate::ledger::{
    Batch, Commit, Creation, Diagnostics, ImportStore, LedgerError, PartitionWriter, RoomStore, Verdict, VoteStore,
};

/// The round and take in which the tests vote.
const TAKE: (u16, u16) = (1, 1);

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn room_id() -> RoomId {
    RoomId::from_entropy([7; 16])
}

fn voter(number: usize) -> VoterId {
    VoterId::parse(&format!("v{number}")).unwrap()
}

/// A room whose first round is open.
async fn open_round(ledger: &EmbeddedLedger) -> Result<(), LedgerError> {
    let choices = [("A".to_owned(), None), ("B".to_owned(), None)];
    let round = RoundPlan::new("Round", &choices, None, Default::default(), 0).unwrap();
    let plan = Plan::new(Title::parse("Evening").unwrap(), vec![round]);
    let room = plan.into_room(room_id(), RoomCode::parse("ABCDEF").unwrap(), 0).unwrap();
    assert!(matches!(ledger.create_room(&room).await?, Creation::Created(_)));
    let open = Some(Deadline::Never);
    let desired = DesiredGate { command_seq: 1, round: TAKE.0, take: TAKE.1, choices: 2, votes_per_round: 10, open };
    ledger.set_gates(&room_id(), 1, &desired).await.map(drop)
}

fn partition_writer(ledger: &EmbeddedLedger) -> Box<dyn PartitionWriter> {
    ledger.partition_writer(&room_id(), 0, "pod")
}

/// Commits one voter's cast from slip 1.
async fn vote(writer: &mut dyn PartitionWriter, voter: &VoterId, votes: &str) -> Result<Commit, LedgerError> {
    let cast = (voter.clone(), Cast::parse(1, votes.into()).unwrap());
    writer.commit(&Batch::of(TAKE.0, TAKE.1, 0, [cast])).await
}

async fn stored(ledger: &EmbeddedLedger, voter: &VoterId) -> String {
    let ballots = ledger.ballots_of(&room_id(), 1, voter, &[TAKE]).await.unwrap();
    ballots[0].votes.clone()
}

fn is_stored(commit: &Commit, votes: &str) -> bool {
    matches!(&commit.verdicts[0], Verdict::Ballot { votes: stored, refused: None, .. } if stored == votes)
}
