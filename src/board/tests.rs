use super::*;
use crate::domain::command::{Command, Moment, Step};
use crate::domain::gate::{Gate, sum};
use crate::domain::room::{ClosedBy, Split};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;

const NOW: LedgerMs = 1_000;

/// Listens to nothing, so every notification is lost.
struct NoListeners;

impl Listeners for NoListeners {
    fn changed(&self, _: &Board) {}
}

fn snapshot() -> RoomSnapshot {
    let choices = [("Red".to_owned(), None), ("Blue".to_owned(), None)];
    let plan = Plan::new(
        Title::parse("An evening").unwrap(),
        vec![RoundPlan::new("A round", &choices, None, Split::Live, 0).unwrap()],
    );
    let room = plan.into_room(RoomId::from_entropy([1; 16]), RoomCode::from_entropy([1; 6]), NOW).unwrap();
    RoomSnapshot { room, gates: vec![Gate::default()], now: NOW, voters: 0 }
}

/// The room after a command.
fn after(mut snapshot: RoomSnapshot, command: &Command) -> RoomSnapshot {
    let Ok(Step::Store(room)) = snapshot.room.apply(command, Moment { now: NOW, closes_at: None, ranking: None })
    else {
        panic!("{command:?} does not fit")
    };
    snapshot.room = Room { seq: snapshot.room.seq + 1, ..*room };
    snapshot.gates[0].follow(&snapshot.room.desired_gate().unwrap(), NOW);
    snapshot
}

fn closed(mut snapshot: RoomSnapshot) -> RoomSnapshot {
    snapshot.room = snapshot.room.begin_close(ClosedBy::Emcee);
    snapshot.gates[0].follow(&snapshot.room.desired_gate().unwrap(), NOW);
    let room = snapshot.room.finish_close(&sum(&snapshot.gates), NOW);
    snapshot.room = Room { seq: room.seq + 1, ..room };
    snapshot
}

#[test]
fn the_sweep_finds_every_change_whose_notification_was_lost() {
    let open = after(snapshot(), &Command::Open { round: 1, take: None, seconds: None });
    let board = Board::new(open.clone(), None, Arc::new(NoListeners), None, NOW);
    assert!(!board.is_behind(0), "nothing has changed");
    board.put(closed(open), None, NOW);
    assert!(board.is_behind(0), "a close without votes");
    board.begin_broadcast(0);
    assert!(!board.is_behind(0), "it was broadcast");
    board.put_connected(3, NOW);
    assert!(board.is_behind(0), "presence");
    board.begin_broadcast(0);
    board.put_connected(3, NOW);
    assert!(!board.is_behind(0), "the same again");
    assert!(board.claim_notification(0));
    board.put_connected(4, NOW);
    assert!(!board.is_behind(0), "a notification is under way");
}

/// The gate of an open round after this many votes.
fn gate_with(open: &RoomSnapshot, votes: u64) -> Gate {
    let mut gate = open.gates[0].clone();
    gate.stored = votes;
    gate.tally.version += votes;
    gate
}

#[test]
fn only_shards_with_sockets_count_for_what_is_shown() {
    let open = after(snapshot(), &Command::Open { round: 1, take: None, seconds: None });
    let board = Board::new(open.clone(), None, Arc::new(NoListeners), None, NOW);
    let _ = board.put_gate(0, gate_with(&open, 5), NOW);
    assert_eq!((board.shown(), board.slips()), (None, (5, 5)), "no sockets, so nothing is unshown");
    assert_eq!(board.oldest_unshown(), Duration::ZERO);
    // two shards get their first sockets, which are sent the newest tally
    board.note_shown(2, 5);
    board.note_shown(3, 5);
    let _ = board.put_gate(0, gate_with(&open, 8), NOW);
    assert_eq!((board.shown(), board.slips()), (Some(5), (8, 5)));
    board.note_shown(2, 8);
    assert_eq!(board.shown(), Some(5), "the other shard has not shown it yet");
    std::thread::sleep(Duration::from_millis(2));
    assert!(board.oldest_unshown() >= Duration::from_millis(2));
    board.note_no_sockets(3);
    assert_eq!(
        (board.shown(), board.oldest_unshown()),
        (Some(8), Duration::ZERO),
        "the other shard has no sockets left"
    );
    board.note_no_sockets(2);
    let _ = board.put_gate(0, gate_with(&open, 9), NOW);
    assert_eq!((board.shown(), board.slips(), board.oldest_unshown()), (None, (9, 9), Duration::ZERO));
}

#[test]
fn votes_that_a_failover_lost_do_not_count_as_shown() {
    let open = after(snapshot(), &Command::Open { round: 1, take: None, seconds: None });
    let board = Board::new(open.clone(), None, Arc::new(NoListeners), None, NOW);
    let _ = board.put_gate(0, gate_with(&open, 9), NOW);
    board.note_shown(0, 9);
    let mut fewer = gate_with(&open, 7);
    fewer.tally.version += 100;
    let _ = board.put_gate(0, fewer, NOW);
    assert_eq!(board.slips(), (7, 7), "shown is never more than stored");
    board.note_shown(0, 7);
    assert_eq!(board.shown(), Some(7));
}
