//! Room records and their directory, and what is forgotten by itself.

use futures_util::future::join_all;
use tallycast::domain::ids::RoomCode;
use tallycast::domain::room::{JoinMode, Room};
use tallycast::domain::setup::{Plan, RoundPlan};
use tallycast::domain::text::Title;
use tallycast::ledger::{Creation, Diagnostics, FeedEvent, PodStore, Replacement, RoomStore, VoteStore, VoterStore};

use crate::support::redis::Redis;
use crate::{batch, cast, fresh_room, hear, join, ledger, opened, voter};

pub fn room(code: &str, reference: Option<&str>) -> Room {
    let choices = [("A".to_owned(), None), ("B".to_owned(), None)];
    let plan = Plan {
        title: Title::parse("An evening").unwrap(),
        reference: reference.map(str::to_owned),
        votes_per_round: 10,
        join: JoinMode::Open,
        programme: Default::default(),
        rehearsal: false,
        partitions: 1,
        rounds: vec![RoundPlan::new("One", &choices, None, Default::default(), 0).unwrap()],
    };
    plan.into_room(fresh_room(), RoomCode::parse(code).unwrap(), 1).unwrap()
}

#[tokio::test]
async fn an_interrupted_creation_is_completed_by_repeating_it() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let wanted = room("ABCDEF", Some("party"));
    let Creation::Created(first) = ledger.create_room(&wanted).await.unwrap() else { panic!("it is new") };
    // as if the entry in the directory had not been written
    redis.command("DEL tc:{dir}:codes").await;
    redis.command("DEL tc:{dir}:refs").await;
    assert_eq!(ledger.find_room(&wanted.code).await.unwrap(), None);
    assert_eq!(ledger.create_room(&wanted).await.unwrap(), Creation::Created(first.clone()));
    assert_eq!(ledger.find_room(&wanted.code).await.unwrap(), Some(first.clone()));
    assert_eq!(ledger.rooms().await.unwrap().rooms, [first]);
}

#[tokio::test]
async fn of_many_creations_with_one_code_or_reference_one_wins_and_the_others_leave_no_key() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let rooms: Vec<Room> = (0..20).map(|_| room("ABCDEF", Some("party"))).collect();
    let created = join_all(rooms.iter().map(|room| ledger.create_room(room))).await;
    let winners: Vec<Room> = created
        .iter()
        .filter_map(|creation| match creation.as_ref().unwrap() {
            Creation::Created(room) => Some(room.clone()),
            Creation::RefTaken(_) => None,
            Creation::CodeTaken => panic!("the reference is told first"),
        })
        .collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(ledger.rooms().await.unwrap().rooms, winners);
    for creation in created {
        if let Creation::RefTaken(room) = creation.unwrap() {
            assert_eq!(room, winners[0]);
        }
    }
    assert_eq!(ledger.create_room(&room("ABCDEF", None)).await.unwrap(), Creation::CodeTaken);
    let keys = redis.command("DBSIZE").await;
    assert_eq!(keys.trim(), ":3", "codes, references, one record");
}

#[tokio::test]
async fn a_record_is_replaced_only_with_the_seq_that_was_read_and_its_seq_rises() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let mut feed = ledger.feed();
    feed.follow(vec![]).await;
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
    let Creation::Created(first) = ledger.create_room(&room("ABCDEF", None)).await.unwrap() else {
        panic!("it is new")
    };
    let ahead = first.seq + 1_000_000;
    redis.command(&format!("HSET tc:{{{}}}:record seq {ahead}", first.id)).await;
    let stored = Room { seq: ahead, ..first.clone() };
    assert_eq!(ledger.replace_room(&first, &[]).await.unwrap(), Replacement::Changed(stored.clone()));
    let changed = Room { title: Title::parse("Another").unwrap(), ..stored };
    let expected = Room { seq: ahead + 1, ..changed.clone() };
    assert_eq!(ledger.replace_room(&changed, &[]).await.unwrap(), Replacement::Stored(expected.clone()));
    assert_eq!(hear(&mut feed).await, FeedEvent::RoomChanged { room: expected.id.clone(), seq: ahead + 1 });
    assert_eq!(ledger.room(&expected.id).await.unwrap(), Some(expected));
}

#[tokio::test]
async fn only_presence_and_ended_sign_ins_expire() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let Creation::Created(room) = ledger.create_room(&room("ABCDEF", Some("party"))).await.unwrap() else {
        panic!("it is new")
    };
    ledger.set_gates(&room.id, 1, &opened(1)).await.unwrap();
    join(&ledger, &room.id, voter(1)).await;
    ledger.partition_writer(&room.id, 0, "pod").commit(&batch(vec![(voter(1), cast(1, "a"))])).await.unwrap();
    ledger.set_removed(&room.id, 1, &voter(1), true).await.unwrap();
    let now = ledger.check().await.unwrap().now;
    ledger.sign_out("s", now + 60_000).await.unwrap();
    ledger.note_present(&room.id, "pod", &[voter(1)], &[]).await.unwrap();

    let mut connection = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut expiring = vec![];
    for key in keys {
        let ttl: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        if ttl >= 0 {
            expiring.push(key);
        }
    }
    let mut expected = ["tc:{dir}:signed_out:s".to_owned(), format!("tc:{{{}}}:present:pod", room.id)];
    expected.sort();
    expiring.sort();
    assert_eq!(expiring, expected);
}
