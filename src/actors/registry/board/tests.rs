use super::*;
use crate::domain::command::{Command, Moment, Step};
use crate::domain::gate::{Gate, sum};
use crate::domain::room::{ClosedBy, JoinMode, Programme, Split};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;

const NOW: LedgerMs = 1_000;

fn settled() -> Settled {
    let choices = [("Red".to_owned(), None), ("Blue".to_owned(), None)];
    let plan = Plan {
        title: Title::parse("An evening").unwrap(),
        reference: None,
        votes_per_round: 10,
        join: JoinMode::Open,
        programme: Programme::Open,
        rehearsal: false,
        partitions: 1,
        rounds: vec![RoundPlan::new("A round", &choices, None, Split::Live, 0).unwrap()],
    };
    let room = plan.into_room(RoomId::from_entropy([1; 16]), RoomCode::from_entropy([1; 6]), NOW).unwrap();
    Settled { room, gates: vec![Gate::default()], now: NOW, voters: 0 }
}

/// The same with a command carried out.
fn after(mut settled: Settled, command: &Command) -> Settled {
    let Ok(Step::Store(room)) = settled.room.apply(command, Moment { now: NOW, closes_at: None, ranking: None }) else {
        panic!("{command:?} does not fit")
    };
    settled.room = Room { seq: settled.room.seq + 1, ..*room };
    settled.gates[0].follow(&settled.room.target().unwrap(), NOW);
    settled
}

fn closed(mut settled: Settled) -> Settled {
    settled.room = settled.room.begin_close(ClosedBy::Emcee);
    settled.gates[0].follow(&settled.room.target().unwrap(), NOW);
    let room = settled.room.finish_close(&sum(&settled.gates), NOW);
    settled.room = Room { seq: room.seq + 1, ..room };
    settled
}

#[test]
fn a_lost_nudge_is_found_by_the_sweep_whatever_was_new() {
    // there is no shard, so every nudge is lost
    let open = after(settled(), &Command::Open { round: 1, take: None, seconds: None });
    let board = Board::new(open.clone(), None, Arc::default(), None, NOW);
    assert!(!board.is_behind(0), "nothing is new");
    board.put(closed(open), None, NOW);
    assert!(board.is_behind(0), "a close without votes");
    board.begin_walk(0);
    assert!(!board.is_behind(0), "it was told");
    board.put_connected(3, NOW);
    assert!(board.is_behind(0), "presence");
    board.begin_walk(0);
    board.put_connected(3, NOW);
    assert!(!board.is_behind(0), "the same again");
    assert!(board.claim_nudge(0));
    board.put_connected(4, NOW);
    assert!(!board.is_behind(0), "a nudge is under way");
}
