//! Rooms that come from another installation, and rooms that go for good.

use tallycast::domain::command::Command;
use tallycast::domain::ids::VoterId;
use tallycast::domain::room::Room;
use tallycast::ledger::archive::{Archive, Import};
use tallycast::ledger::conduct::{Settled, conduct, settle};
use tallycast::ledger::{Creation, JoinOutcome, JoinRequest, SharedLedger};

use crate::ledger_support::{Hall, Stand, invite, name, newcomer, voter};

contract! { tick_ms = 0;
    a_room_goes_on_elsewhere_where_it_was,
    an_archive_is_brought_in_once,
    an_import_that_was_cut_off_is_begun_again,
    a_code_or_reference_that_is_taken_is_said_and_leaves_nothing_behind,
    counts_come_from_the_ballots_whatever_the_gates_said,
    a_masked_archive_has_no_names_cards_and_keys,
    a_purged_room_leaves_nothing,
    a_reference_is_free_again_when_its_room_is_deleted,
}

const KEY: &str = "the key of the tokens";

async fn command(hall: &Hall, command: Command) -> Settled {
    conduct(&hall.ledger, hall.id(), &command).await.unwrap()
}

/// A room in its second round, with people of every kind.
async fn lively(ledger: &SharedLedger, partitions: u16) -> (Hall, JoinRequest, JoinRequest) {
    let hall = Hall::new(ledger, partitions).await;
    let (anna, bela) = (newcomer("Anna"), newcomer("Béla"));
    for request in [&anna, &bela] {
        assert!(matches!(ledger.join(hall.id(), request).await.unwrap(), JoinOutcome::Done(_)));
    }
    ledger.invite(hall.id(), &[(name("Carla"), invite()), (name("Dora"), invite())]).await.unwrap();
    let carla = ledger.invites(hall.id()).await.unwrap().into_iter().find(|invited| invited.name == name("Carla"));
    let guest = JoinRequest { invite: Some(carla.unwrap().invite), name: None, ..newcomer("x") };
    assert!(matches!(ledger.join(hall.id(), &guest).await.unwrap(), JoinOutcome::Done(_)));
    command(&hall, Command::Open { round: 1, take: None, seconds: None }).await;
    hall.cast(&anna.voter, 1, "aab").await;
    hall.cast(&bela.voter, 1, "b").await;
    command(&hall, Command::Close { round: 1, take: None }).await;
    ledger.set_removed(hall.id(), partitions, &bela.voter, true).await.unwrap();
    command(&hall, Command::Open { round: 2, take: None, seconds: None }).await;
    hall.cast_in((2, 1), &anna.voter, 1, "cc").await;
    (hall, anna, bela)
}

async fn archived(hall: &Hall) -> String {
    Archive::of(&*hall.ledger, hall.id(), KEY).await.unwrap().write().unwrap()
}

async fn imported(ledger: &SharedLedger, text: &str) -> Room {
    match Archive::read(text).unwrap().import(&**ledger).await.unwrap() {
        Import::Done(room) => room,
        other => panic!("{other:?}"),
    }
}

async fn a_room_goes_on_elsewhere_where_it_was(ledger: SharedLedger) {
    let there = Stand::embedded(0);
    let (source, anna, bela) = lively(&there.ledger, 3).await;
    let before = settle(&*source.ledger, source.id()).await.unwrap();
    let room = imported(&ledger, &archived(&source).await).await;
    assert_eq!(room.token_key.as_deref(), Some(KEY));
    assert_eq!(Room { seq: 0, token_key: None, ..room.clone() }, Room { seq: 0, ..before.room.clone() });
    assert!(room.seq > before.room.seq, "versions never fall back");

    let hall = Hall::found(&ledger, room).await;
    let after = settle(&*ledger, hall.id()).await.unwrap();
    assert_eq!(after.sum().tally.votes, before.sum().tally.votes);
    assert_eq!((after.sum().stored, after.voters), (6, before.voters));
    assert_eq!(hall.ballot(&anna.voter, (1, 1)).await, source.ballot(&anna.voter, (1, 1)).await);
    // the round is open, and what was acknowledged is recognised
    assert_eq!(hall.cast_in((2, 1), &anna.voter, 1, "cca").await, ("cca".to_owned(), None));
    assert!(hall.sum().await.tally.version > before.sum().tally.version);
    // people are who they were
    let known = ledger.join(hall.id(), &JoinRequest { voter: VoterId::from_entropy([3; 16]), ..anna.clone() }).await;
    assert!(matches!(known.unwrap(), JoinOutcome::Known(voter) if voter.voter == anna.voter));
    assert!(matches!(ledger.join(hall.id(), &bela).await.unwrap(), JoinOutcome::Removed));
    assert!(matches!(ledger.join(hall.id(), &newcomer("anna")).await.unwrap(), JoinOutcome::NameTaken(_)));
    assert!(matches!(ledger.join(hall.id(), &newcomer("Dora")).await.unwrap(), JoinOutcome::NameTaken(_)));
    assert_eq!(ledger.invites(hall.id()).await.unwrap(), source.ledger.invites(source.id()).await.unwrap());
    let closed = conduct(&ledger, hall.id(), &Command::Close { round: 2, take: None }).await.unwrap();
    assert_eq!(closed.room.rounds[1].takes[0].tally.votes, [1, 0, 2]);
}

async fn an_archive_is_brought_in_once(ledger: SharedLedger) {
    let there = Stand::embedded(0);
    let (source, ..) = lively(&there.ledger, 1).await;
    let archive = Archive::read(&archived(&source).await).unwrap();
    let Import::Done(room) = archive.import(&*ledger).await.unwrap() else { panic!("it is new here") };
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::Unchanged(same) if same == room));
    conduct(&ledger, &room.id, &Command::Close { round: 2, take: None }).await.unwrap();
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::Exists(_)));
}

async fn an_import_that_was_cut_off_is_begun_again(ledger: SharedLedger) {
    let there = Stand::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 1).await;
    let text = archived(&source).await;
    // what a process that died has left: parts without a record
    let half: Vec<_> =
        text.lines().filter(|line| line.starts_with("{\"voter\"") || line.starts_with("{\"gate\"")).collect();
    let parts: Vec<_> = half.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    ledger.write_parts(source.id(), 1, &parts).await.unwrap();
    assert_eq!(ledger.room(source.id()).await.unwrap(), None);
    let hall = Hall::found(&ledger, imported(&ledger, &text).await).await;
    assert_eq!(hall.snapshot().await.voters, 2, "Anna and Carla; Béla was removed");
    assert_eq!(hall.ballot(&anna.voter, (2, 1)).await.votes, "cc");
    let cut = &text[..text.len() - 20];
    assert!(Archive::read(cut).is_err() && Archive::read(text.trim_end().rsplit_once('\n').unwrap().0).is_err());
}

async fn a_code_or_reference_that_is_taken_is_said_and_leaves_nothing_behind(ledger: SharedLedger) {
    let there = Stand::embedded(0);
    let (source, anna, _) = lively(&there.ledger, 1).await;
    let text = archived(&source).await;
    let archive = Archive::read(&text).unwrap();
    ledger.create_room(&Room { code: source.room.code.clone(), ..Hall::planned(1, None) }).await.unwrap();
    assert!(matches!(archive.import(&*ledger).await.unwrap(), Import::CodeTaken));
    let copy = || archive.clone().fresh();
    let Import::Done(first) = copy().import(&*ledger).await.unwrap() else { panic!("its id and code are new") };
    assert!(first.id != *source.id() && first.token_key.is_none());
    let second = copy();
    assert!(matches!(second.import(&*ledger).await.unwrap(), Import::RefTaken(holder) if holder.id == first.id));
    assert_eq!(ledger.voter(&second.room.id, &anna.voter).await.unwrap(), None);
}

async fn counts_come_from_the_ballots_whatever_the_gates_said(ledger: SharedLedger) {
    let there = Stand::embedded(0);
    let (source, ..) = lively(&there.ledger, 1).await;
    let text = archived(&source).await;
    // as if Anna's last vote had come between the reading of her ballot and that of the gate
    let late = text.replace("\"votes\":\"cc\"", "\"votes\":\"ccb\"");
    assert_ne!(late, text);
    let hall = Hall::found(&ledger, imported(&ledger, &late).await).await;
    assert_eq!(hall.sum().await.tally.votes, [0, 1, 2]);
    assert_eq!(hall.sum().await.stored, 7);
    let foreign = text.replace("\"votes\":\"cc\"", "\"votes\":\"ch\"");
    assert!(Archive::read(&foreign).is_err(), "a letter that the round has not");
}

async fn a_masked_archive_has_no_names_cards_and_keys(ledger: SharedLedger) {
    let (hall, anna, _) = lively(&ledger, 1).await;
    let archive = Archive::of(&*ledger, hall.id(), KEY).await.unwrap();
    let text = archive.masked().fresh().write().unwrap();
    for secret in ["Anna", "Béla", "Carla", "Dora", anna.card.as_str(), KEY] {
        assert!(!text.contains(secret), "{secret}");
    }
    let copy = Hall::found(&ledger, imported(&ledger, &text).await).await;
    assert_eq!(copy.sum().await.tally.votes, hall.sum().await.tally.votes);
    assert_eq!(ledger.voter(copy.id(), &voter(0)).await.unwrap(), None);
    assert!(ledger.voter(copy.id(), &anna.voter).await.unwrap().unwrap().name.as_str().starts_with("Voter "));
}

async fn a_purged_room_leaves_nothing(ledger: SharedLedger) {
    let (hall, anna, _) = lively(&ledger, 2).await;
    let other = lively(&ledger, 2).await.0;
    command(&hall, Command::Close { round: 2, take: None }).await;
    command(&hall, Command::Reveal { place: Some(1), top: None, auto_ms: None }).await;
    let Settled { room, .. } = command(&hall, Command::Delete { title: hall.room.title.to_string() }).await;
    let ranking = room.reveal.as_ref().unwrap().ranking;
    ledger.purge_room(&room).await.unwrap();
    // whoever died at the end of a purge begins again
    ledger.purge_room(&room).await.unwrap();

    assert_eq!(ledger.room(hall.id()).await.unwrap(), None);
    assert_eq!(ledger.find_room(&room.code).await.unwrap(), None);
    assert_eq!(ledger.voter(hall.id(), &anna.voter).await.unwrap(), None);
    assert_eq!(ledger.invites(hall.id()).await.unwrap(), []);
    assert_eq!(ledger.ranking(hall.id(), ranking, 0).await.unwrap(), []);
    assert!(ledger.backlog().await.unwrap().iter().all(|backlog| backlog.room != *hall.id()));
    // the same id begins at nothing, ballots and gates too
    let again = Room { id: room.id.clone(), ..Hall::planned(2, None) };
    ledger.create_room(&again).await.unwrap();
    let again = Hall::found(&ledger, again).await;
    assert_eq!(again.sum().await.stored, 0);
    assert_eq!(again.ballot(&anna.voter, (1, 1)).await.votes, "");
    // and the neighbour has all it had
    assert_eq!(other.sum().await.stored, 6);
}

async fn a_reference_is_free_again_when_its_room_is_deleted(ledger: SharedLedger) {
    let reference = VoterId::from_entropy(rand::random()).to_string();
    ledger.create_room(&Hall::planned(1, Some(&reference))).await.unwrap();
    let taken = Hall::planned(1, Some(&reference));
    assert!(matches!(ledger.create_room(&taken).await.unwrap(), Creation::RefTaken(_)));
    let first = ledger.rooms().await.unwrap().into_iter().find(|room| room.reference.as_deref() == Some(&*reference));
    let first = first.unwrap();
    ledger.replace_room(&Room { deleted_at: Some(5), ..first.clone() }, &[]).await.unwrap();
    assert!(matches!(ledger.create_room(&taken).await.unwrap(), Creation::Created(_)));
    assert_eq!(ledger.room(&first.id).await.unwrap().unwrap().reference, None);
}
