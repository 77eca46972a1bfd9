//! Rooms that come from another installation, and rooms that go for good.

use std::time::Duration;

use tallycast::domain::command::Command;
use tallycast::domain::ids::{RoomId, VoterId};
use tallycast::domain::room::Room;
use tallycast::ledger::archive::{Archive, Import};
use tallycast::ledger::execute::{RoomSnapshot, execute, reconcile_room};
use tallycast::ledger::{Claimed, Creation, ImportClaim, JoinOutcome, JoinRequest, Part, SharedLedger};

use crate::ledgers::{RoomFixture, TestLedger, invite, name, newcomer, voter};

contract! { tick_ms = 0;
    an_imported_room_continues_where_it_was,
    an_archive_is_imported_once,
    a_taken_code_or_reference_is_reported_and_leaves_nothing_behind,
    counts_of_an_import_come_from_its_ballots,
    a_masked_archive_has_no_names_cards_and_keys,
    a_purged_room_leaves_nothing,
    of_two_imports_at_once_one_wins_and_the_other_is_refused,
    a_refused_archive_writes_nothing,
    deleting_a_room_frees_its_reference,
}

// their claims run out at once, and every import of another test takes back what has run out
contract! { alone;
    an_interrupted_import_can_be_repeated,
    an_import_with_an_outdated_claim_writes_nothing,
    an_interrupted_copy_is_found_by_its_claim_and_removed,
    an_imported_room_is_not_removed_with_its_claim,
}

/// Of the form that a server gives to them.
const KEY: &str = "dGhlLWtleS1vZi10aGUtdG9rZW5zLWlzLXNlY3JldCE";

/// A claim that does not run out while a test runs.
const LONG: Duration = Duration::from_secs(3_600);

async fn command(fixture: &RoomFixture, command: Command) -> RoomSnapshot {
    execute(&fixture.ledger, fixture.id(), &command).await.unwrap()
}

/// A room in its second round, with people of every kind.
async fn lively(ledger: &SharedLedger, partitions: u16) -> (RoomFixture, JoinRequest, JoinRequest) {
    let fixture = RoomFixture::new(ledger, partitions).await;
    let (anna, bela) = (newcomer("Anna"), newcomer("Béla"));
    for request in [&anna, &bela] {
        assert!(matches!(ledger.join(fixture.id(), request).await.unwrap(), JoinOutcome::Done(_)));
    }
    ledger.invite(fixture.id(), &[(name("Carla"), invite()), (name("Dora"), invite())]).await.unwrap();
    let carla = ledger.invites(fixture.id()).await.unwrap().into_iter().find(|invited| invited.name == name("Carla"));
    let guest = JoinRequest { invite: Some(carla.unwrap().invite), name: None, ..newcomer("x") };
    assert!(matches!(ledger.join(fixture.id(), &guest).await.unwrap(), JoinOutcome::Done(_)));
    command(&fixture, Command::Open { round: 1, take: None, seconds: None }).await;
    fixture.cast(&anna.voter, 1, "aab").await;
    fixture.cast(&bela.voter, 1, "b").await;
    command(&fixture, Command::Close { round: 1, take: None }).await;
    ledger.set_removed(fixture.id(), partitions, &bela.voter, true).await.unwrap();
    command(&fixture, Command::Open { round: 2, take: None, seconds: None }).await;
    fixture.cast_in((2, 1), &anna.voter, 1, "cc").await;
    (fixture, anna, bela)
}

async fn archived(fixture: &RoomFixture) -> String {
    Archive::of(&*fixture.ledger, fixture.id(), KEY).await.unwrap().write().unwrap()
}

async fn imported(ledger: &SharedLedger, text: &str) -> Room {
    match Archive::read(text).unwrap().import(&**ledger).await.unwrap() {
        Import::Done(room) => room,
        other => panic!("{other:?}"),
    }
}

/// The claim of an import that is given up after `lease`.
async fn claimed(ledger: &SharedLedger, room: &Room, lease: Duration) -> ImportClaim {
    match ledger.begin_import(room, lease).await.unwrap() {
        Claimed::Held(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn an_imported_room_continues_where_it_was(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, anna, bela) = lively(&there.ledger, 3).await;
    let before = reconcile_room(&*source.ledger, source.id()).await.unwrap();
    let room = imported(&ledger, &archived(&source).await).await;
    assert_eq!(room.token_key.as_deref(), Some(KEY));
    assert_eq!(Room { seq: 0, token_key: None, ..room.clone() }, Room { seq: 0, ..before.room.clone() });
    assert!(room.seq > before.room.seq, "versions never fall back");

    let fixture = RoomFixture::found(&ledger, room).await;
    let after = reconcile_room(&*ledger, fixture.id()).await.unwrap();
    assert_eq!(after.sum().tally.votes, before.sum().tally.votes);
    assert_eq!((after.sum().stored, after.voters), (6, before.voters));
    assert_eq!(fixture.ballot(&anna.voter, (1, 1)).await, source.ballot(&anna.voter, (1, 1)).await);
    // the round is open, and what was acknowledged is recognised
    assert_eq!(fixture.cast_in((2, 1), &anna.voter, 1, "cca").await, ("cca".to_owned(), None));
    assert!(fixture.sum().await.tally.version > before.sum().tally.version);
    // people are who they were
    let known = ledger.join(fixture.id(), &JoinRequest { voter: VoterId::from_entropy([3; 16]), ..anna.clone() }).await;
    assert!(matches!(known.unwrap(), JoinOutcome::Known(voter) if voter.voter == anna.voter));
    assert!(matches!(ledger.join(fixture.id(), &bela).await.unwrap(), JoinOutcome::Removed));
    assert!(matches!(ledger.join(fixture.id(), &newcomer("anna")).await.unwrap(), JoinOutcome::NameTaken(_)));
    assert!(matches!(ledger.join(fixture.id(), &newcomer("Dora")).await.unwrap(), JoinOutcome::NameTaken(_)));
    assert_eq!(ledger.invites(fixture.id()).await.unwrap(), source.ledger.invites(source.id()).await.unwrap());
    let closed = execute(&ledger, fixture.id(), &Command::Close { round: 2, take: None }).await.unwrap();
    assert_eq!(closed.room.rounds[1].takes[0].tally.votes, [1, 0, 2]);
}

async fn an_archive_is_imported_once(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, ..) = lively(&there.ledger, 1).await;
    let archive = Archive::read(&archived(&source).await).unwrap();
    let Import::Done(room) = archive.import(&*ledger).await.unwrap() else { panic!("it is new here") };
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::Unchanged(same) if same == room));
    execute(&ledger, &room.id, &Command::Close { round: 2, take: None }).await.unwrap();
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::Exists(_)));
}

async fn an_interrupted_import_can_be_repeated(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 1).await;
    let text = archived(&source).await;
    // what a process that died has left: parts without a record
    let half: Vec<_> =
        text.lines().filter(|line| line.starts_with("{\"voter\"") || line.starts_with("{\"gate\"")).collect();
    let parts: Vec<_> = half.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let claim = claimed(&ledger, &Archive::read(&text).unwrap().room, Duration::ZERO).await;
    ledger.write_parts(&claim, &parts).await.unwrap();
    assert_eq!(ledger.room(source.id()).await.unwrap(), None);
    let fixture = RoomFixture::found(&ledger, imported(&ledger, &text).await).await;
    assert_eq!(fixture.snapshot().await.voters, 2, "Anna and Carla; Béla was removed");
    assert_eq!(fixture.ballot(&anna.voter, (2, 1)).await.votes, "cc");
    let cut = &text[..text.len() - 20];
    assert!(Archive::read(cut).is_err() && Archive::read(text.trim_end().rsplit_once('\n').unwrap().0).is_err());
}

async fn a_taken_code_or_reference_is_reported_and_leaves_nothing_behind(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 1).await;
    let text = archived(&source).await;
    let archive = Archive::read(&text).unwrap();
    ledger.create_room(&Room { code: source.room.code.clone(), ..RoomFixture::planned(1, None) }).await.unwrap();
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::CodeTaken));
    let copy = || archive.clone().fresh();
    let Import::Done(first) = copy().import(&*ledger).await.unwrap() else { panic!("its id and code are new") };
    assert!(first.id != *source.id() && first.token_key.is_none());
    let second = copy();
    assert!(matches!(second.import(&*ledger).await.unwrap(), Import::RefTaken(holder) if holder.id == first.id));
    assert_eq!(ledger.voter(&second.room.id, &anna.voter).await.unwrap(), None);
}

async fn counts_of_an_import_come_from_its_ballots(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, ..) = lively(&there.ledger, 1).await;
    let text = archived(&source).await;
    // as if Anna's last vote had come between the reading of her ballot and that of the gate
    let late = text.replace("\"votes\":\"cc\"", "\"votes\":\"ccb\"");
    assert_ne!(late, text);
    let fixture = RoomFixture::found(&ledger, imported(&ledger, &late).await).await;
    assert_eq!(fixture.sum().await.tally.votes, [0, 1, 2]);
    assert_eq!(fixture.sum().await.stored, 7);
    let foreign = text.replace("\"votes\":\"cc\"", "\"votes\":\"ch\"");
    assert!(Archive::read(&foreign).is_err(), "a letter that the round has not");
}

async fn a_masked_archive_has_no_names_cards_and_keys(ledger: SharedLedger) {
    let (fixture, anna, _) = lively(&ledger, 1).await;
    let archive = Archive::of(&*ledger, fixture.id(), KEY).await.unwrap();
    let text = archive.masked().fresh().write().unwrap();
    for secret in ["Anna", "Béla", "Carla", "Dora", anna.card.as_str(), KEY] {
        assert!(!text.contains(secret), "{secret}");
    }
    let copy = RoomFixture::found(&ledger, imported(&ledger, &text).await).await;
    assert_eq!(copy.sum().await.tally.votes, fixture.sum().await.tally.votes);
    assert_eq!(ledger.voter(copy.id(), &voter(0)).await.unwrap(), None);
    assert!(ledger.voter(copy.id(), &anna.voter).await.unwrap().unwrap().name.as_str().starts_with("Voter "));
}

async fn a_purged_room_leaves_nothing(ledger: SharedLedger) {
    let (fixture, anna, _) = lively(&ledger, 2).await;
    let other = lively(&ledger, 2).await.0;
    command(&fixture, Command::Close { round: 2, take: None }).await;
    command(&fixture, Command::Reveal { place: Some(1), top: None, auto_ms: None }).await;
    let RoomSnapshot { room, .. } = command(&fixture, Command::Delete { title: fixture.room.title.to_string() }).await;
    let ranking = room.reveal.as_ref().unwrap().ranking;
    ledger.purge_room(&room).await.unwrap();
    // a purge that was interrupted at its end is repeated
    ledger.purge_room(&room).await.unwrap();

    assert_eq!(ledger.room(fixture.id()).await.unwrap(), None);
    assert_eq!(ledger.find_room(&room.code).await.unwrap(), None);
    assert_eq!(ledger.voter(fixture.id(), &anna.voter).await.unwrap(), None);
    assert_eq!(ledger.invites(fixture.id()).await.unwrap(), []);
    assert_eq!(ledger.ranking(fixture.id(), ranking, 0).await.unwrap(), []);
    assert!(ledger.backlog().await.unwrap().iter().all(|backlog| backlog.room != *fixture.id()));
    // the same id begins at nothing, ballots and gates too
    let again = Room { id: room.id.clone(), ..RoomFixture::planned(2, None) };
    ledger.create_room(&again).await.unwrap();
    let again = RoomFixture::found(&ledger, again).await;
    assert_eq!(again.sum().await.stored, 0);
    assert_eq!(again.ballot(&anna.voter, (1, 1)).await.votes, "");
    // and the neighbour has all it had
    assert_eq!(other.sum().await.stored, 6);
}

async fn deleting_a_room_frees_its_reference(ledger: SharedLedger) {
    let reference = VoterId::from_entropy(rand::random()).to_string();
    ledger.create_room(&RoomFixture::planned(1, Some(&reference))).await.unwrap();
    let taken = RoomFixture::planned(1, Some(&reference));
    assert!(matches!(ledger.create_room(&taken).await.unwrap(), Creation::RefTaken(_)));
    let first =
        ledger.rooms().await.unwrap().rooms.into_iter().find(|room| room.reference.as_deref() == Some(&*reference));
    let first = first.unwrap();
    ledger.replace_room(&Room { deleted_at: Some(5), ..first.clone() }, &[]).await.unwrap();
    assert!(matches!(ledger.create_room(&taken).await.unwrap(), Creation::Created(_)));
    assert_eq!(ledger.room(&first.id).await.unwrap().unwrap().reference, None);
}

async fn of_two_imports_at_once_one_wins_and_the_other_is_refused(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 2).await;
    let archive = Archive::read(&archived(&source).await).unwrap();
    let claim = claimed(&ledger, &archive.room, LONG).await;
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::Running));
    // its code and its `ref` are claimed along with it
    let other = Room { id: RoomId::from_entropy(rand::random()), ..archive.room.clone() };
    assert_eq!(ledger.begin_import(&other, LONG).await.unwrap(), Claimed::Running);
    assert_eq!(ledger.create_room(&other).await.unwrap(), Creation::CodeTaken);
    // and a room that is not complete yet cannot be found
    assert_eq!(ledger.find_room(&archive.room.code).await.unwrap(), None);
    let listing = ledger.rooms().await.unwrap();
    assert!(listing.rooms.iter().all(|room| room.id != archive.room.id) && listing.unreadable.is_empty());
    ledger.drop_import(&claim).await.unwrap();

    let both = tokio::join!(archive.import(&*ledger), archive.import(&*ledger));
    let (mut done, mut told) = (0, 0);
    for import in [both.0.unwrap(), both.1.unwrap()] {
        match import {
            Import::Done(_) => done += 1,
            Import::Running | Import::Unchanged(_) => told += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, told), (1, 1));
    let fixture = RoomFixture::found(&ledger, ledger.room(source.id()).await.unwrap().unwrap()).await;
    assert_eq!(fixture.sum().await.stored, 6);
    assert_eq!(fixture.ballot(&anna.voter, (2, 1)).await.votes, "cc");
}

async fn an_import_with_an_outdated_claim_writes_nothing(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 2).await;
    let text = archived(&source).await;
    let archive = Archive::read(&text).unwrap();
    // it hangs: its claim expires, and somebody else imports the room, where the evening continues
    let asleep = claimed(&ledger, &archive.room, Duration::ZERO).await;
    let fixture = RoomFixture::found(&ledger, imported(&ledger, &text).await).await;
    assert_eq!(fixture.cast_in((2, 1), &anna.voter, 3, "ab").await, ("ccab".to_owned(), None));
    // and it wakes up
    let parts: Vec<Part> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(parts.len() > 5, "gates, voters and ballots");
    let late = ledger.write_parts(&asleep, &parts).await.unwrap_err();
    assert!(late.to_string().contains("given up"), "{late}");
    assert!(ledger.finish_import(&asleep, &archive.room).await.is_err());
    ledger.drop_import(&asleep).await.unwrap();
    ledger.sweep_imports().await.unwrap();
    assert_eq!(fixture.ballot(&anna.voter, (2, 1)).await.votes, "ccab");
    assert_eq!(fixture.sum().await.stored, 8);
    assert_eq!(fixture.cast_in((2, 1), &anna.voter, 5, "a").await, ("ccaba".to_owned(), None));
}

async fn an_interrupted_copy_is_found_by_its_claim_and_removed(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 2).await;
    let text = archived(&source).await;
    let parts: Vec<Part> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let copy = Archive::read(&text).unwrap().fresh();
    let claim = claimed(&ledger, &copy.room, Duration::ZERO).await;
    ledger.write_parts(&claim, &parts).await.unwrap();
    assert!(ledger.voter(&copy.room.id, &anna.voter).await.unwrap().is_some());
    // its writer is gone; only the directory knows the id
    assert!(ledger.sweep_imports().await.unwrap() >= 1);
    assert_eq!(ledger.voter(&copy.room.id, &anna.voter).await.unwrap(), None);
    assert_eq!(ledger.invites(&copy.room.id).await.unwrap(), []);
    // code and `ref` are free, and the same id begins at nothing
    let Creation::Created(room) = ledger.create_room(&copy.room).await.unwrap() else { panic!("all is free again") };
    let fixture = RoomFixture::found(&ledger, room).await;
    assert_eq!((fixture.snapshot().await.voters, fixture.sum().await.stored), (0, 0));
    assert_eq!(fixture.ballot(&anna.voter, (1, 1)).await.votes, "");
}

async fn an_imported_room_is_not_removed_with_its_claim(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, ..) = lively(&there.ledger, 2).await;
    let text = archived(&source).await;
    let archive = Archive::read(&text).unwrap();
    let parts: Vec<Part> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let claim = claimed(&ledger, &archive.room, Duration::ZERO).await;
    ledger.write_parts(&claim, &parts).await.unwrap();
    let room = ledger.finish_import(&claim, &archive.room).await.unwrap();
    // its answer was lost, so it is taken for lost
    ledger.drop_import(&claim).await.unwrap();
    ledger.sweep_imports().await.unwrap();
    assert_eq!(ledger.find_room(&room.code).await.unwrap(), Some(room.clone()));
    assert_eq!(RoomFixture::found(&ledger, room).await.sum().await.stored, 6);
}

async fn a_refused_archive_writes_nothing(ledger: SharedLedger) {
    let there = TestLedger::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 1).await;
    let archive = Archive::read(&archived(&source).await).unwrap();
    let mut ahead = archive.clone();
    ahead.room.seq += 2 * 3_600_000;
    let refused = ahead.import(&*ledger).await.unwrap();
    assert!(matches!(&refused, Import::Refused(invalid) if invalid.field == "record.seq"), "{refused:?}");
    let mut taken = archive.clone();
    taken.room.reference = Some(VoterId::from_entropy(rand::random()).to_string());
    ledger
        .create_room(&Room { reference: taken.room.reference.clone(), ..RoomFixture::planned(1, None) })
        .await
        .unwrap();
    assert!(matches!(taken.import(&*ledger).await.unwrap(), Import::RefTaken(_)));
    assert_eq!(ledger.voter(source.id(), &anna.voter).await.unwrap(), None);
    assert_eq!(ledger.find_room(&archive.room.code).await.unwrap(), None);
    // nothing stands in the way of the same room without what was wrong
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::Done(_)));
}
