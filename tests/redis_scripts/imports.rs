//! Imports that were cut off between two steps: what lies in Redis then, and what becomes of it.

use std::time::Duration;

use tallycast::domain::gate::Gate;
use tallycast::domain::room::Room;
use tallycast::ledger::redis::RedisLedger;
use tallycast::ledger::{Claimed, ImportClaim, ImportStore, Part, RoomStore, Voter, VoterStore, fresh_card};

use crate::ledger;
use crate::rooms::room;
use crate::support::redis::Redis;

async fn claimed(ledger: &RedisLedger, room: &Room, lease: Duration) -> ImportClaim {
    match ledger.begin_import(room, lease).await.unwrap() {
        Claimed::Held(claim) => claim,
        other => panic!("{other:?}"),
    }
}

fn parts() -> Vec<Part> {
    let name = tallycast::domain::text::Name::parse("Anna").unwrap();
    let voter = Voter { voter: crate::voter(1), name, card: fresh_card(), removed: true };
    vec![Part::Gate { partition: 0, gate: Box::new(Gate::default()) }, Part::Voter(voter)]
}

/// Keys of this room, as Redis lists them.
async fn keys(redis: &Redis, room: &Room) -> String {
    redis.command(&format!("KEYS *{}*", room.id)).await
}

#[tokio::test]
async fn an_interrupted_import_leaves_no_key() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let brought = room("ABCDEF", Some("party"));
    let claim = claimed(&ledger, &brought, Duration::ZERO).await;
    ledger.write_parts(&claim, &parts()).await.unwrap();
    assert!(keys(&redis, &brought).await.contains(":voters"));
    assert_eq!(ledger.sweep_imports().await.unwrap(), 1);
    assert_eq!(keys(&redis, &brought).await, "*0\r\n");
    for directory in ["codes", "refs", "imports"] {
        assert_eq!(redis.command(&format!("HLEN tc:{{dir}}:{directory}")).await, ":0\r\n", "{directory}");
    }
}

#[tokio::test]
async fn an_import_under_way_is_not_swept() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let brought = room("ABCDEF", None);
    let claim = claimed(&ledger, &brought, Duration::from_secs(3_600)).await;
    ledger.write_parts(&claim, &parts()).await.unwrap();
    assert_eq!(ledger.sweep_imports().await.unwrap(), 0);
    assert_eq!(ledger.finish_import(&claim, &brought).await.unwrap().id, brought.id);
}

#[tokio::test]
async fn an_imported_room_stays_although_its_claim_was_not_released() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let brought = room("ABCDEF", Some("party"));
    let claim = claimed(&ledger, &brought, Duration::from_secs(3_600)).await;
    ledger.write_parts(&claim, &parts()).await.unwrap();
    let here = ledger.finish_import(&claim, &brought).await.unwrap();
    // as if the last step had not been reached
    let left = format!("HSET tc:{{dir}}:imports {} \"{} 0 1 ABCDEF party\"", brought.id, claim.token);
    redis.command(&left).await;
    ledger.sweep_imports().await.unwrap();
    assert_eq!(redis.command("HLEN tc:{dir}:imports").await, ":0\r\n");
    assert_eq!(ledger.find_room(&brought.code).await.unwrap(), Some(here));
    assert!(ledger.voter(&brought.id, &crate::voter(1)).await.unwrap().is_some_and(|voter| voter.removed));
    assert!(matches!(ledger.begin_import(&brought, Duration::ZERO).await.unwrap(), Claimed::Exists(_)));
}
