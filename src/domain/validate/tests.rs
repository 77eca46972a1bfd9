use super::*;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{Choice, ClosedBy, Split};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;

/// A room whose first round was closed, and whose second one is open.
fn room() -> Room {
    let choices = [("Red".to_owned(), None), ("Blue".to_owned(), None)];
    let round = RoundPlan::new("A round", &choices, Some(60), Split::Live, 10).unwrap();
    let plan = Plan::new(Title::parse("An evening").unwrap(), vec![round.clone(), round]);
    let mut room = plan.into_room(RoomId::from_entropy([1; 16]), RoomCode::from_entropy([1; 6]), 1_000).unwrap();
    room.rounds[0].takes.push(Take {
        take: 1,
        tally: Tally { votes: vec![2, 1], voters: 2, version: 7 },
        opened_at: 1,
        closed_at: 2,
        by: ClosedBy::Emcee,
        outage_ms: 0,
        decided: Some(Decision::Winner(1)),
        shown: false,
        seal: None,
    });
    (room.last_round, room.command_seq) = (2, 3);
    room.running = Some(Running { round: 2, take: 1, deadline: Deadline::After(60_000), closing: None, dark: false });
    room
}

fn wrong(change: impl FnOnce(&mut Room)) -> String {
    let mut room = room();
    change(&mut room);
    room.validate().unwrap_err().field
}

#[test]
fn the_error_names_the_place_of_the_invalid_value() {
    assert_eq!(room().validate(), Ok(()));
    let dark = Choice { color: "black".into(), ..room().rounds[0].choices[0].clone() };
    assert_eq!(wrong(|room| room.rounds[1].choices[1] = dark), "rounds[1].choices[1].color");
    assert_eq!(wrong(|room| room.rounds[0].takes[0].decided = Some(Decision::Winner(2))), "rounds[0].takes[0].decided");
    assert_eq!(wrong(|room| room.rounds[0].takes[0].tally.votes.push(1)), "rounds[0].takes[0].tally.votes");
    assert_eq!(wrong(|room| room.rounds[0].takes[0].take = 2), "rounds[0].takes[0].take");
    assert_eq!(wrong(|room| room.rounds[1].take = 2), "rounds[1].take");
    assert_eq!(wrong(|room| room.rounds.clear()), "rounds");
    assert_eq!(wrong(|room| room.running = None), "last_round");
    assert_eq!(wrong(|room| room.last_round = 1), "last_round");
    assert_eq!(wrong(|room| room.seq = u64::MAX), "seq");
    assert_eq!(wrong(|room| room.token_key = Some("a".into())), "token_key");
}

#[test]
fn the_open_take_cannot_be_a_closed_one() {
    assert_eq!(
        wrong(|room| {
            room.last_round = 1;
            room.running = Some(Running { round: 1, ..room.running.clone().unwrap() });
        }),
        "rounds[0].take"
    );
}

#[test]
fn a_gate_has_a_count_for_each_choice_and_was_opened_before_its_clock() {
    let mut gate = Gate::default();
    assert_eq!(gate.validate(), Ok(()));
    gate.follow(&room().desired_gate().unwrap(), 100);
    assert_eq!((gate.validate(), gate.fits(&room())), (Ok(()), Ok(())));
    let broken = |change: fn(&mut Gate)| {
        let mut gate = gate.clone();
        change(&mut gate);
        gate.validate().unwrap_err().field
    };
    assert_eq!(broken(|gate| gate.tally.votes.clear()), "tally.votes");
    assert_eq!(broken(|gate| gate.choices = 12), "choices");
    assert_eq!(broken(|gate| gate.opened_at = 101), "opened_at");
    assert_eq!(broken(|gate| gate.phase = GatePhase::Idle), "phase");
}
