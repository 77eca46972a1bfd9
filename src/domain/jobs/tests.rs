use super::*;
use crate::domain::gate::Tally;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{ClosedBy, Decision};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;

fn room(split: Split) -> Room {
    let choices = [("Red".to_owned(), None), ("Blue".to_owned(), None)];
    let plan = Plan::new(
        Title::parse("An evening").unwrap(),
        vec![RoundPlan::new("The song", &choices, None, split, 0).unwrap()],
    );
    plan.into_room(RoomId::from_entropy([1; 16]), RoomCode::from_entropy([1; 6]), 1_000).unwrap()
}

fn closed(room: &Room, votes: [u64; 2]) -> Room {
    let mut room = room.clone();
    room.rounds[0].takes.push(Take {
        take: 1,
        tally: Tally { votes: votes.to_vec(), voters: 3, version: 7 },
        opened_at: 1_000,
        closed_at: 2_000,
        by: ClosedBy::Emcee,
        outage_ms: 0,
        decided: None,
        shown: false,
        seal: None,
    });
    room
}

fn texts(jobs: &[Job]) -> Vec<&str> {
    let messages = jobs.iter().map(|job| match &job.task {
        Task::Message { text } => Some(text.as_str()),
        Task::Seal | Task::Archive | Task::Purge { .. } => None,
    });
    messages.flatten().collect()
}

#[test]
fn a_close_posts_the_result_and_writes_an_archive() {
    let before = room(Split::Live);
    let jobs = caused_by(&before, &closed(&before, [4, 2]));
    assert_eq!(texts(&jobs), ["An evening\nRound 1, The song: Red wins. Red 4, Blue 2 (3 voters)"]);
    assert_eq!(jobs.iter().filter(|job| job.task == Task::Archive).count(), 1);
    assert!(caused_by(&closed(&before, [4, 2]), &closed(&before, [4, 2])).is_empty(), "nothing has changed");
}

#[test]
fn a_held_result_is_posted_only_when_it_is_shown() {
    let before = room(Split::Held);
    let held = closed(&before, [4, 2]);
    let jobs = caused_by(&before, &held);
    assert_eq!(texts(&jobs), ["An evening\nRound 1, The song: closed; the result is held"]);
    let mut shown = held.clone();
    shown.rounds[0].takes[0].shown = true;
    let later = caused_by(&held, &shown);
    assert!(texts(&later)[0].contains("Red wins"));
    assert!(later.iter().all(|job| jobs.iter().all(|earlier| earlier.id != job.id)), "the ids differ");
}

#[test]
fn a_decision_of_the_emcee_is_marked_as_such() {
    let before = closed(&room(Split::Live), [3, 3]);
    assert!(texts(&caused_by(&room(Split::Live), &before))[0].contains("a draw"));
    let mut decided = before.clone();
    decided.rounds[0].takes[0].decided = Some(Decision::Winner(1));
    assert!(texts(&caused_by(&before, &decided))[0].contains("Blue wins by the emcee's word"));
}

#[test]
fn the_message_of_a_late_close_contains_the_delay() {
    let before = room(Split::Live);
    let mut late = closed(&before, [1, 0]);
    late.rounds[0].takes[0].outage_ms = 61_500;
    assert!(texts(&caused_by(&before, &late))[0].contains("closed 62 s late"));
}

#[test]
fn a_close_causes_a_seal_and_so_does_the_return_of_a_deleted_room() {
    let before = room(Split::Held);
    let closed = closed(&before, [4, 2]);
    let seals = |before: &Room, after: &Room| {
        let jobs = caused_by(before, after).into_iter();
        jobs.filter(|job| job.task == Task::Seal).map(|job| job.id).collect::<Vec<_>>()
    };
    let id = |occasion: &str| format!("{}-seal-{occasion}", before.id);
    assert_eq!(seals(&before, &closed), [id("1-1")], "also of a result that is held");
    let jobs = caused_by(&before, &closed);
    let place = |task| jobs.iter().position(|job| job.task == task);
    assert!(place(Task::Seal) < place(Task::Archive), "the archive has the seal");
    let deleted = Room { deleted_at: Some(9), seq: 3, ..closed.clone() };
    assert_eq!(seals(&closed, &deleted), [] as [String; 0]);
    assert_eq!(seals(&deleted, &closed), [id("restored-3")]);
    let sealed = closed.sealed((1, 1), crate::domain::seal::Tree::new(vec![]).root(), 0).unwrap();
    assert_eq!(seals(&closed, &sealed), [] as [String; 0], "a seal causes none");
    assert_eq!(seals(&Room { deleted_at: Some(9), ..sealed.clone() }, &sealed), [] as [String; 0]);
}
