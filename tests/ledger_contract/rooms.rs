//! Room records.

use futures_util::future::join_all;
use tallycast::domain::ids::{RoomCode, RoomId};
use tallycast::domain::room::Room;
use tallycast::domain::text::Title;
use tallycast::ledger::{Creation, LedgerError, Replacement, SharedLedger};

use crate::ledgers::RoomFixture;

contract! { tick_ms = 0;
    a_room_is_found_by_its_id_and_by_its_code,
    a_code_belongs_to_one_room,
    a_reference_belongs_to_one_room_and_leads_to_it,
    a_refused_room_takes_neither_code_nor_reference,
    creating_a_room_again_answers_the_stored_one,
    a_record_is_replaced_only_with_its_last_seq,
    of_many_replacements_at_once_one_wins,
    a_seq_rises_and_is_not_behind_the_ledgers_clock,
    a_deleted_room_is_still_found,
    every_room_is_listed,
    an_unknown_room_is_not_found,
}

fn titled(room: &Room, title: &str) -> Room {
    Room { title: Title::parse(title).unwrap(), ..room.clone() }
}

async fn created(ledger: &SharedLedger, room: &Room) -> Room {
    match ledger.create_room(room).await.unwrap() {
        Creation::Created(room) => room,
        other => panic!("{other:?}"),
    }
}

fn reference() -> String {
    RoomId::from_entropy(rand::random()).to_string()
}

async fn a_room_is_found_by_its_id_and_by_its_code(ledger: SharedLedger) {
    let planned = RoomFixture::planned(3, Some(&reference()));
    let room = created(&ledger, &planned).await;
    assert_eq!(Room { seq: planned.seq, ..room.clone() }, planned, "only the seq is the ledger's");
    assert_eq!(ledger.room(&room.id).await.unwrap().as_ref(), Some(&room));
    assert_eq!(ledger.find_room(&room.code).await.unwrap(), Some(room));
}

async fn a_code_belongs_to_one_room(ledger: SharedLedger) {
    let first = created(&ledger, &RoomFixture::planned(1, None)).await;
    let second = Room { code: first.code.clone(), ..RoomFixture::planned(1, None) };
    assert_eq!(ledger.create_room(&second).await.unwrap(), Creation::CodeTaken);
    assert_eq!(ledger.find_room(&first.code).await.unwrap(), Some(first));
}

async fn a_reference_belongs_to_one_room_and_leads_to_it(ledger: SharedLedger) {
    let reference = reference();
    let first = created(&ledger, &RoomFixture::planned(1, Some(&reference))).await;
    let second = RoomFixture::planned(1, Some(&reference));
    assert_eq!(ledger.create_room(&second).await.unwrap(), Creation::RefTaken(first.clone()));
    // a creation whose answer was lost is repeated with another code
    let again = Room { code: first.code.clone(), ..RoomFixture::planned(1, Some(&reference)) };
    assert_eq!(ledger.create_room(&again).await.unwrap(), Creation::RefTaken(first));
}

async fn a_refused_room_takes_neither_code_nor_reference(ledger: SharedLedger) {
    let first = created(&ledger, &RoomFixture::planned(1, Some(&reference()))).await;
    let code_taken = Room { code: first.code.clone(), ..RoomFixture::planned(1, Some(&reference())) };
    assert_eq!(ledger.create_room(&code_taken).await.unwrap(), Creation::CodeTaken);
    assert_eq!(ledger.room(&code_taken.id).await.unwrap(), None);
    let ref_taken = RoomFixture::planned(1, first.reference.as_deref());
    assert_eq!(ledger.create_room(&ref_taken).await.unwrap(), Creation::RefTaken(first));
    assert_eq!(ledger.room(&ref_taken.id).await.unwrap(), None);
    let third = Room { code: ref_taken.code, ..RoomFixture::planned(1, code_taken.reference.as_deref()) };
    created(&ledger, &third).await;
}

async fn creating_a_room_again_answers_the_stored_one(ledger: SharedLedger) {
    let planned = RoomFixture::planned(1, Some(&reference()));
    let room = created(&ledger, &planned).await;
    assert_eq!(created(&ledger, &planned).await, room);
    let Replacement::Stored(room) = ledger.replace_room(&titled(&room, "Night"), &[]).await.unwrap() else {
        panic!("nobody else changed it");
    };
    assert_eq!(created(&ledger, &planned).await, room);
}

async fn a_record_is_replaced_only_with_its_last_seq(ledger: SharedLedger) {
    let read = created(&ledger, &RoomFixture::planned(1, None)).await;
    let first = titled(&read, "First");
    let Replacement::Stored(stored) = ledger.replace_room(&first, &[]).await.unwrap() else {
        panic!("it was read last")
    };
    assert_eq!(Room { seq: read.seq, ..stored.clone() }, first);
    let second = ledger.replace_room(&titled(&read, "Second"), &[]).await.unwrap();
    assert_eq!(second, Replacement::Changed(stored.clone()));
    assert_eq!(ledger.room(&read.id).await.unwrap(), Some(stored));
}

async fn of_many_replacements_at_once_one_wins(ledger: SharedLedger) {
    let read = created(&ledger, &RoomFixture::planned(1, None)).await;
    let rooms: Vec<_> = (0..20).map(|number| titled(&read, &format!("Title {number}"))).collect();
    let outcomes = join_all(rooms.iter().map(|room| ledger.replace_room(room, &[]))).await;
    let stored = outcomes.into_iter().filter_map(|outcome| match outcome.unwrap() {
        Replacement::Stored(room) => Some(room),
        Replacement::Changed(_) => None,
    });
    let stored: Vec<_> = stored.collect();
    assert_eq!(stored.len(), 1);
    assert_eq!(ledger.room(&read.id).await.unwrap().as_ref(), stored.first());
}

async fn a_seq_rises_and_is_not_behind_the_ledgers_clock(ledger: SharedLedger) {
    let mut room = created(&ledger, &RoomFixture::planned(1, None)).await;
    for number in 0..20 {
        let now = ledger.check().await.unwrap().now;
        let Replacement::Stored(stored) = ledger.replace_room(&titled(&room, &format!("{number}")), &[]).await.unwrap()
        else {
            panic!("nobody else changes it");
        };
        assert!(stored.seq > room.seq && stored.seq >= now, "{} {} {now}", stored.seq, room.seq);
        assert_eq!(ledger.gate_snapshot(&room.id, 1).await.unwrap().unwrap().seq, stored.seq);
        room = stored;
    }
}

async fn a_deleted_room_is_still_found(ledger: SharedLedger) {
    let room = created(&ledger, &RoomFixture::planned(1, None)).await;
    let deleted = Room { deleted_at: Some(5), ..room.clone() };
    assert!(matches!(ledger.replace_room(&deleted, &[]).await.unwrap(), Replacement::Stored(_)));
    assert_eq!(ledger.find_room(&room.code).await.unwrap().unwrap().deleted_at, Some(5));
    let other = Room { code: room.code, ..RoomFixture::planned(1, None) };
    assert_eq!(ledger.create_room(&other).await.unwrap(), Creation::CodeTaken);
}

async fn every_room_is_listed(ledger: SharedLedger) {
    let mut rooms = vec![];
    for _ in 0..5 {
        rooms.push(created(&ledger, &RoomFixture::planned(2, None)).await);
    }
    let listed = ledger.rooms().await.unwrap().rooms;
    for room in rooms {
        assert_eq!(listed.iter().filter(|listed| **listed == room).count(), 1);
    }
}

async fn an_unknown_room_is_not_found(ledger: SharedLedger) {
    let unknown = RoomFixture::planned(1, None);
    assert_eq!(ledger.room(&unknown.id).await.unwrap(), None);
    assert_eq!(ledger.find_room(&RoomCode::from_entropy(rand::random())).await.unwrap(), None);
    assert_eq!(ledger.gate_snapshot(&unknown.id, 1).await.unwrap(), None);
    let replaced = ledger.replace_room(&unknown, &[]).await;
    assert!(matches!(replaced, Err(LedgerError::NotApplied(_))), "{replaced:?}");
    assert_eq!(ledger.room(&unknown.id).await.unwrap(), None);
}
