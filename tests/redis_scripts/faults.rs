//! What becomes of calls while Redis is stopped, killed, full, misconfigured or filled with nonsense.

use std::time::{Duration, Instant};

use tallycast::domain::gate::{DesiredGate, GatePhase};
use tallycast::domain::ids::RoomId;
use tallycast::ledger::{Batch, Commit, Diagnostics, Ledger, LedgerError, RoomStore, VoteStore};

use crate::support::redis::Redis;
use crate::{batch, cast, fresh_room, ledger, opened, voter};

/// Says the batch until it is answered: a connection that died unnoticed costs one answer.
async fn commit_at_last(ledger: &dyn Ledger, room: &RoomId, batch: &Batch) -> Commit {
    let mut writer = ledger.partition_writer(room, 0, "pod");
    let since = Instant::now();
    loop {
        match writer.commit(batch).await {
            Ok(commit) => return commit,
            Err(error) => assert!(since.elapsed() < Duration::from_secs(10), "{error}"),
        }
    }
}

#[tokio::test]
async fn while_redis_is_down_nothing_is_applied_and_afterwards_everything_works() {
    let mut redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let room = fresh_room();
    ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    let mut writer = ledger.partition_writer(&room, 0, "pod");
    let votes = batch(vec![(voter(1), cast(1, "ab"))]);
    writer.commit(&votes).await.unwrap();

    redis.kill9().await;
    // the first may have been sent into the dying connection
    writer.commit(&votes).await.unwrap_err();
    assert!(matches!(writer.commit(&votes).await, Err(LedgerError::NotApplied(_))));
    assert!(matches!(ledger.ping().await, Err(LedgerError::NotApplied(_))));
    assert!(matches!(ledger.check().await, Err(LedgerError::NotApplied(_))));
    assert!(matches!(ledger.set_gates(&room, 1, &opened(2)).await, Err(LedgerError::NotApplied(_))));

    redis.launch().await;
    let commit = writer.commit(&votes).await.unwrap();
    assert_eq!((commit.gate.stored, commit.gate.tally.voters), (2, 1));
    assert!(ledger.check().await.unwrap().unsafe_because.is_none());
}

#[tokio::test]
async fn a_redis_that_hangs_delays_by_two_seconds_and_counts_nothing_twice() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let room = fresh_room();
    ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    let mut writer = ledger.partition_writer(&room, 0, "pod");
    writer.commit(&batch(vec![(voter(1), cast(1, "a"))])).await.unwrap();

    redis.signal("STOP");
    let more = batch(vec![(voter(1), cast(2, "b")), (voter(2), cast(1, "b"))]);
    let since = Instant::now();
    let stopped = writer.commit(&more).await;
    assert!(matches!(stopped, Err(LedgerError::MaybeApplied(_))), "{stopped:?}");
    assert!(since.elapsed() < Duration::from_millis(2_500), "{:?}", since.elapsed());
    let since = Instant::now();
    ledger.check().await.unwrap_err();
    assert!(since.elapsed() < Duration::from_millis(2_500), "{:?}", since.elapsed());

    redis.signal("CONT");
    let commit = commit_at_last(&ledger, &room, &more).await;
    assert_eq!((commit.gate.stored, commit.gate.tally.votes.as_slice()), (3, [1, 2].as_slice()));
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_loaded_again() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let room = fresh_room();
    ledger.set_gates(&room, 3, &opened(1)).await.unwrap();
    let mut writer = ledger.partition_writer(&room, 0, "pod");
    for slip in 1..=3 {
        redis.command("SCRIPT FLUSH").await;
        let commit = writer.commit(&batch(vec![(voter(1), cast(slip, "a"))])).await.unwrap();
        assert_eq!(commit.gate.stored, u64::from(slip));
    }
    redis.command("SCRIPT FLUSH").await;
    let (_, gates) = ledger.set_gates(&room, 3, &DesiredGate { open: None, ..opened(2) }).await.unwrap();
    assert!(gates.iter().all(|gate| gate.phase == GatePhase::Closed));
}

#[tokio::test]
async fn a_redis_that_refuses_writes_is_unhealthy_and_stores_nothing() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let room = fresh_room();
    ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    let votes = batch(vec![(voter(1), cast(1, "a"))]);
    for (trouble, healed) in [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ] {
        redis.command(trouble).await;
        let mut writer = ledger.partition_writer(&room, 0, "pod");
        let refused = writer.commit(&votes).await;
        assert!(matches!(refused, Err(LedgerError::NotApplied(_))), "{trouble}: {refused:?}");
        let check = ledger.check().await;
        assert!(matches!(check, Err(LedgerError::NotApplied(_))), "{trouble}: {check:?}");
        redis.command(healed).await;
    }
    let commit = ledger.partition_writer(&room, 0, "pod").commit(&votes).await.unwrap();
    assert_eq!(commit.gate.stored, 1);
}

#[tokio::test]
async fn redis_settings_that_risk_votes_are_reported_and_so_is_a_redis_that_hides_them() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    assert_eq!(ledger.check().await.unwrap().unsafe_because, None);
    redis.command("CONFIG SET appendfsync everysec").await;
    let reason = ledger.check().await.unwrap().unsafe_because.unwrap();
    assert_eq!(reason, "redis setting appendfsync is everysec, and must be always");
    redis.command("ACL SETUSER default -config").await;
    let reason = ledger.check().await.unwrap().unsafe_because.unwrap();
    assert!(reason.contains("does not tell its settings"), "{reason}");
}

#[tokio::test]
async fn invalid_stored_data_is_reported_as_corrupt() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let corrupt =
        |answer: Result<(), LedgerError>| assert!(matches!(answer, Err(LedgerError::Corrupt(_))), "{answer:?}");
    let broken = fresh_room();
    ledger.set_gates(&broken, 1, &opened(1)).await.unwrap();
    let votes = batch(vec![(voter(1), cast(1, "a"))]);

    redis.command(&format!("HSET tc:{{{broken}.0}}:gate version many")).await;
    corrupt(ledger.partition_writer(&broken, 0, "pod").commit(&votes).await.map(drop));
    corrupt(ledger.partition_writer(&broken, 0, "pod").publish_pending(0, u64::MAX).await.map(drop));
    corrupt(ledger.set_gates(&broken, 1, &opened(2)).await.map(drop));
    redis.command(&format!("HSET tc:{{{broken}.0}}:gate version 1")).await;
    redis.command(&format!("HSET tc:{{{broken}.0}}:ballots:1.1 v1 aa")).await;
    corrupt(ledger.partition_writer(&broken, 0, "pod").commit(&votes).await.map(drop));
    corrupt(ledger.ballots_of(&broken, 1, &voter(1), &[(1, 1)]).await.map(drop));
    redis.command(&format!("DEL tc:{{{broken}.0}}:ballots:1.1")).await;
    redis.command(&format!("SET tc:{{{broken}.0}}:ballots:1.1 x")).await;
    corrupt(ledger.partition_writer(&broken, 0, "pod").commit(&votes).await.map(drop));
    redis.command(&format!("HSET tc:{{{broken}}}:record seq 1 record x")).await;
    corrupt(ledger.room(&broken).await.map(drop));
}
