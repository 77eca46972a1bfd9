//! Seals: stored once, in the order of the closes, and kept when a room moves.

use std::time::Duration;

use tallycast::auth::TokenKey;
use tallycast::domain::command::Command;
use tallycast::domain::jobs::Task;
use tallycast::domain::room::Room;
use tallycast::domain::seal::{Digest, Salts};
use tallycast::ledger::archive::{Archive, Import};
use tallycast::ledger::execute::{execute, hash_ballots};
use tallycast::ledger::{JoinOutcome, SharedLedger};

use crate::ledgers::{RoomFixture, TestLedger, newcomer};

contract! { tick_ms = 0;
    a_close_stores_the_job_that_seals,
    a_take_gets_one_seal_whoever_makes_it_and_however_often,
    the_seal_covers_every_ballot_of_every_partition,
    a_deleted_room_is_purged_although_its_seal_was_under_way,
    an_archive_keeps_its_seals_and_is_checked_by_them,
    a_copy_has_no_seals_and_is_sealed_anew,
    a_room_that_came_without_seals_is_sealed_and_is_still_the_same,
}

/// Of the form that a server gives to them.
const KEY: &str = "dGhlLWtleS1vZi10aGUtdG9rZW5zLWlzLXNlY3JldCE";

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

fn salts(room: &Room) -> Salts {
    TokenKey::new(&room.id, KEY.to_owned()).salts()
}

async fn run(fixture: &RoomFixture, command: Command) -> Room {
    execute(&fixture.ledger, fixture.id(), &command).await.unwrap().room
}

/// A room with 20 voters, whose first two rounds are closed.
async fn closed(ledger: &SharedLedger, partitions: u16) -> RoomFixture {
    let fixture = RoomFixture::new(ledger, partitions).await;
    let voters: Vec<_> = (0..20).map(|number| newcomer(&format!("Voter {number}"))).collect();
    for voter in &voters {
        assert!(matches!(ledger.join(fixture.id(), voter).await.unwrap(), JoinOutcome::Done(_)));
    }
    for round in [1, 2] {
        run(&fixture, Command::Open { round, take: None, seconds: None }).await;
        for voter in &voters {
            fixture.cast_in((round, 1), &voter.voter, 1, "aab").await;
        }
        run(&fixture, Command::Close { round, take: None }).await;
    }
    fixture
}

/// The command by which a worker seals what is next.
async fn next_seal(fixture: &RoomFixture, salts: &Salts) -> Option<Command> {
    let room = fixture.ledger.room(fixture.id()).await.unwrap().unwrap();
    let (round, take) = room.next_to_seal()?;
    let tree = hash_ballots(&*fixture.ledger, &room, (round, take), salts).await.unwrap().tree;
    Some(Command::Seal { round, take, root: tree.root(), leaves: tree.size() })
}

/// Seals everything; the record then.
async fn sealed(fixture: &RoomFixture) -> Room {
    let salts = salts(&fixture.room);
    while let Some(seal) = next_seal(fixture, &salts).await {
        run(fixture, seal).await;
    }
    fixture.ledger.room(fixture.id()).await.unwrap().unwrap()
}

fn seal_of(room: &Room, round: u16) -> Option<Digest> {
    room.round(round)?.takes[0].seal.as_ref().map(|seal| seal.seal)
}

/// The tasks that wait, in their order.
async fn waiting(ledger: &SharedLedger, room: &Room) -> Vec<Task> {
    let mut tasks = vec![];
    while let Some(taken) = ledger.take_job(&room.id, "w", LONG).await.unwrap() {
        tasks.push(taken.job.task);
    }
    tasks
}

async fn archived(fixture: &RoomFixture) -> Archive {
    Archive::of(&*fixture.ledger, fixture.id(), KEY).await.unwrap()
}

async fn a_close_stores_the_job_that_seals(ledger: SharedLedger) {
    let fixture = closed(&ledger, 1).await;
    let tasks = waiting(&ledger, &fixture.room).await;
    assert_eq!(tasks.iter().filter(|task| **task == Task::Seal).count(), 2, "one for each close: {tasks:?}");
    let place = |wanted: fn(&Task) -> bool| tasks.iter().position(wanted);
    assert!(place(|task| *task == Task::Seal) < place(|task| *task == Task::Archive), "the archive has the seal");
}

async fn a_take_gets_one_seal_whoever_makes_it_and_however_often(ledger: SharedLedger) {
    let fixture = closed(&ledger, 1).await;
    let first = next_seal(&fixture, &salts(&fixture.room)).await.unwrap();
    let Command::Seal { round, take, leaves, .. } = first else { panic!("{first:?}") };
    assert_eq!((round, take, leaves), (1, 1, 20));
    // the second round is not the next
    let early = Command::Seal { round: 2, take: 1, root: Digest::parse(&"22".repeat(32)).unwrap(), leaves };
    let before = ledger.room(fixture.id()).await.unwrap().unwrap();
    assert_eq!(run(&fixture, early).await, before);
    let both = tokio::join!(run(&fixture, first.clone()), run(&fixture, first.clone()));
    assert!(seal_of(&both.0, 1).is_some() && seal_of(&both.0, 1) == seal_of(&both.1, 1));
    let stored = ledger.room(fixture.id()).await.unwrap().unwrap();
    let other = Command::Seal { round, take, root: Digest::parse(&"11".repeat(32)).unwrap(), leaves };
    for again in [first, other] {
        assert_eq!(run(&fixture, again).await, stored, "nothing changes, not even seq");
    }
    let all = sealed(&fixture).await;
    let chained = all.rounds[1].takes[0].seal.as_ref().unwrap();
    assert_eq!((chained.number, chained.previous), (2, seal_of(&stored, 1)));
}

async fn the_seal_covers_every_ballot_of_every_partition(ledger: SharedLedger) {
    let fixture = closed(&ledger, 7).await;
    let room = sealed(&fixture).await;
    assert!(room.rounds[..2].iter().all(|round| round.takes[0].seal.as_ref().unwrap().leaves == 20));
    assert!(Archive::read(&archived(&fixture).await.write().unwrap()).is_ok());
}

async fn a_deleted_room_is_purged_although_its_seal_was_under_way(ledger: SharedLedger) {
    let fixture = closed(&ledger, 1).await;
    let seal = next_seal(&fixture, &salts(&fixture.room)).await.unwrap();
    let deleted = run(&fixture, Command::Delete { title: "Evening".into() }).await;
    assert_eq!(run(&fixture, seal).await, deleted);
    assert!(run(&fixture, Command::BeginPurge { seq: deleted.seq }).await.purging);
}

async fn an_archive_keeps_its_seals_and_is_checked_by_them(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let fixture = closed(&there.ledger, 3).await;
    let room = sealed(&fixture).await;
    let text = archived(&fixture).await.write().unwrap();
    let Import::Done(imported) = Archive::read(&text).unwrap().import(&*ledger).await.unwrap() else {
        panic!("it is new")
    };
    for round in [1, 2] {
        assert!(seal_of(&room, round).is_some() && seal_of(&imported, round) == seal_of(&room, round));
    }
    assert!(!waiting(&ledger, &imported).await.contains(&Task::Seal), "nothing is left to seal");
    let field = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in the archive");
        Archive::read(&text.replacen(from, to, 1)).unwrap_err().field
    };
    let (first, second) = (seal_of(&room, 1).unwrap().to_string(), seal_of(&room, 2).unwrap().to_string());
    // a vote and the next trade places, a seal is replaced, the key is missing
    assert_eq!(field("\"votes\":\"aab\"", "\"votes\":\"aba\""), "record.rounds[0].takes[0].seal");
    assert_eq!(field(&second, &first), "record.rounds[1].takes[0].seal");
    assert_eq!(field(&format!(",\"token_key\":\"{KEY}\""), ""), "record.token_key");
}

async fn a_copy_has_no_seals_and_is_sealed_anew(ledger: SharedLedger) {
    let fixture = closed(&ledger, 1).await;
    sealed(&fixture).await;
    for copy in [archived(&fixture).await.masked().fresh(), archived(&fixture).await.fresh()] {
        let text = copy.write().unwrap();
        assert!(!text.contains("\"seal\""), "{text}");
        let mut copy = Archive::read(&text).unwrap();
        copy.room.reference = None;
        copy.head.reference = None;
        let Import::Done(copy) = copy.import(&*ledger).await.unwrap() else { panic!("it is new") };
        assert_eq!(waiting(&ledger, &copy).await, [Task::Seal]);
        let copy = sealed(&RoomFixture::found(&ledger, copy).await).await;
        assert!(seal_of(&copy, 1).is_some() && seal_of(&copy, 2).is_some());
    }
}

async fn a_room_that_came_without_seals_is_sealed_and_is_still_the_same(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let archive = archived(&closed(&there.ledger, 1).await).await;
    let Import::Done(room) = archive.import(&*ledger).await.unwrap() else { panic!("it is new") };
    assert_eq!(waiting(&ledger, &room).await, [Task::Seal]);
    let fixture = RoomFixture::found(&ledger, room).await;
    let room = sealed(&fixture).await;
    assert!(room.has_seals());
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::Unchanged(same) if same == room));
}
