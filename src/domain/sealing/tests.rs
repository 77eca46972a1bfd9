use super::*;
use crate::domain::ballot::Ballot;
use crate::domain::gate::Tally;
use crate::domain::ids::{RoomCode, RoomId, VoterId};
use crate::domain::room::{ClosedBy, Split};
use crate::domain::seal::{Tree, leaf};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;

/// Three rounds. Round 2 was closed first, then round 1 in two takes; all within one millisecond.
fn room() -> Room {
    let choices = [("A".to_owned(), None), ("B".to_owned(), None)];
    let round = RoundPlan::new("A round", &choices, None, Split::Live, 0).unwrap();
    let plan = Plan::new(Title::parse("An evening").unwrap(), vec![round.clone(), round.clone(), round]);
    let mut room = plan.into_room(RoomId::from_entropy([1; 16]), RoomCode::from_entropy([1; 6]), 1_000).unwrap();
    for (round, take, version) in [(2, 1, 10), (1, 1, 11), (1, 2, 12)] {
        room.rounds[round - 1].takes.push(Take {
            take,
            tally: Tally { votes: vec![2, 1], voters: 2, version },
            opened_at: 5,
            closed_at: 5,
            by: ClosedBy::Emcee,
            outage_ms: 0,
            decided: None,
            shown: false,
            seal: None,
        });
    }
    room.rounds[0].take = 2;
    room
}

fn tree((round, take): (u16, u16)) -> (Digest, u64) {
    let leaf_of = |number: u16| {
        let ballot = Ballot { votes: "ab".into(), time_ms: u64::from(number) };
        leaf(Tree::new(vec![]).root(), &VoterId::parse(&format!("v{number}")).unwrap(), &ballot)
    };
    let tree = Tree::new((0..round * 3 + take).map(leaf_of).collect());
    (tree.root(), tree.size())
}

/// Seals what is next, until nothing is.
fn seal_all(mut room: Room) -> (Room, Vec<(u16, u16)>) {
    let mut order = vec![];
    while let Some(next) = room.next_to_seal() {
        let (root, leaves) = tree(next);
        room = room.sealed(next, root, leaves).unwrap();
        order.push(next);
    }
    (room, order)
}

fn seal_of(room: &mut Room, round: usize, take: usize) -> &mut Seal {
    room.rounds[round - 1].takes[take - 1].seal.as_mut().unwrap()
}

#[test]
fn takes_are_sealed_in_the_order_of_their_closes() {
    let (mut room, order) = seal_all(room());
    assert_eq!(order, [(2, 1), (1, 1), (1, 2)]);
    assert_eq!(room.check_seals(tree), Ok(()));
    let first = seal_of(&mut room, 2, 1).clone();
    let second = seal_of(&mut room, 1, 1).clone();
    assert_eq!((first.number, first.previous), (1, None));
    assert_eq!((second.number, second.previous), (2, Some(first.seal)));
    assert_eq!(seal_of(&mut room, 1, 2).previous, Some(second.seal));
}

#[test]
fn a_take_is_sealed_once_and_only_when_those_before_it_are() {
    let (root, leaves) = tree((1, 1));
    assert_eq!(room().sealed((1, 1), root, leaves), None, "round 2 was closed before");
    assert_eq!(room().sealed((3, 1), root, leaves), None, "it was never closed");
    let (sealed, _) = seal_all(room());
    assert_eq!(sealed.next_to_seal(), None);
    assert_eq!(sealed.sealed((1, 1), root, leaves), None, "it has its seal");
}

#[test]
fn a_voided_take_keeps_its_seal_and_one_that_was_lost_is_made_again_as_it_was() {
    let (sealed, _) = seal_all(room());
    let mut back = sealed.clone();
    back.rounds[0].take = 1;
    assert_eq!((back.next_to_seal(), back.check_seals(tree)), (None, Ok(())), "another take counts: no seal changes");
    assert_eq!(seal_all(sealed.clone().without_seals()).0, sealed);
    assert_eq!(sealed.clone().sealed_as(&room()), room());
    assert_eq!(sealed.clone().sealed_as(&sealed), sealed);
}

#[test]
fn a_deleted_room_is_not_sealed_so_that_its_purge_fits() {
    let deleted = Room { deleted_at: Some(1), ..room() };
    assert_eq!(deleted.next_to_seal(), None);
    let (root, leaves) = tree((2, 1));
    assert_eq!(deleted.sealed((2, 1), root, leaves), None);
}

#[test]
fn every_change_of_a_sealed_record_is_found() {
    type Change<'c> = (&'c dyn Fn(&mut Room), &'c str);
    let (sealed, _) = seal_all(room());
    let broken = |change: &dyn Fn(&mut Room)| {
        let mut room = sealed.clone();
        change(&mut room);
        room.check_seals(tree).expect_err("the seals cannot fit")
    };
    let changes: [Change; 11] = [
        (&|room| room.rounds[0].takes[0].tally.votes[0] += 1, "rounds[0].takes[0].seal"),
        (&|room| room.rounds[0].takes[0].tally.votes.swap(0, 1), "rounds[0].takes[0].seal"),
        (&|room| room.rounds[0].takes[0].tally.voters += 1, "rounds[0].takes[0].seal"),
        (&|room| room.rounds[1].takes[0].opened_at -= 1, "rounds[1].takes[0].seal"),
        (&|room| room.rounds[1].takes[0].closed_at += 1, "rounds[1].takes[0].seal"),
        (&|room| room.rounds[1].takes[0].by = ClosedBy::Deadline, "rounds[1].takes[0].seal"),
        (&|room| seal_of(room, 1, 1).leaves += 1, "rounds[0].takes[0].seal"),
        (&|room| seal_of(room, 1, 1).root = tree((9, 9)).0, "rounds[0].takes[0].seal"),
        (&|room| seal_of(room, 2, 1).seal = tree((9, 9)).0, "rounds[1].takes[0].seal"),
        (&|room| room.rounds[1].takes[0].seal = None, "rounds[0].takes[0].seal"),
        (&|room| room.rounds[0].takes[1].tally.version = 1, "rounds[0].takes[1].seal"),
    ];
    for (number, (change, field)) in changes.into_iter().enumerate() {
        assert_eq!(broken(change).field, field, "change {number}");
    }
    let (first, second) = ((1, 1), (1, 2));
    let swapped = |take| {
        tree(if take == first {
            second
        } else if take == second {
            first
        } else {
            take
        })
    };
    assert!(sealed.check_seals(swapped).is_err(), "the ballots of two takes are swapped");
}
