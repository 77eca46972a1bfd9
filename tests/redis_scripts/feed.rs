//! What is published, and what becomes of a feed whose connection does not hold.

use std::time::{Duration, Instant};

use tallycast::domain::gate::Gate;
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tallycast::ledger::{Feed, FeedEvent, PodStore, VoteStore};
use tokio::time::timeout;

use crate::support::redis::Redis;
use crate::{batch, cast, fresh_room, hear, ledger, opened, voter};

/// The next gate of a room that is at least at `version`.
async fn hear_version(feed: &mut Box<dyn Feed>, version: u64) -> Gate {
    loop {
        if let FeedEvent::Gate { gate, .. } = hear(feed).await
            && gate.tally.version >= version
        {
            return *gate;
        }
    }
}

#[tokio::test]
async fn a_gate_is_published_once_a_tick_and_its_last_version_by_publish_pending() {
    let redis = Redis::start().await;
    // longer than the test: one publish only
    let ledger = ledger(&redis, 60_000);
    let room = fresh_room();
    let mut feed = ledger.feed();
    feed.follow(vec![room.clone()]).await;
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
    let (_, gates) = ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    assert_eq!(hear_version(&mut feed, 0).await, gates[0]);

    let mut writer = ledger.partition_writer(&room, 0, "pod");
    let commit = writer.commit(&batch(vec![(voter(1), cast(1, "a"))])).await.unwrap();
    assert!(!commit.published);
    let again = writer.commit(&batch(vec![(voter(1), cast(1, "a"))])).await.unwrap();
    assert!(!again.published, "the vote of the first commit is still to be shown");
    let snapshot = writer.publish_pending(1, u64::MAX).await.unwrap();
    assert_eq!(snapshot.acknowledged, 1);
    assert_eq!(hear(&mut feed).await, FeedEvent::Gate { room: room.clone(), partition: 0, gate: snapshot.into() });
    let repeated = writer.commit(&batch(vec![(voter(1), cast(1, "a"))])).await.unwrap();
    assert!(repeated.published, "nothing is left to show");

    // nothing else was published: the next message is this one
    ledger.announce(&FeedEvent::SignedOut { sign_in: "s".into() }).await.unwrap();
    assert_eq!(hear(&mut feed).await, FeedEvent::SignedOut { sign_in: "s".into() });
}

#[tokio::test]
async fn only_messages_of_followed_rooms_are_received() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let (ours, other) = (fresh_room(), fresh_room());
    let mut feed = ledger.feed();
    feed.follow(vec![other.clone()]).await;
    feed.follow(vec![ours.clone()]).await;
    ledger.set_gates(&other, 1, &opened(1)).await.unwrap();
    ledger.set_gates(&ours, 1, &opened(1)).await.unwrap();
    loop {
        match hear(&mut feed).await {
            FeedEvent::Gate { room, .. } => break assert_eq!(room, ours),
            event => assert_eq!(event, FeedEvent::Resumed),
        }
    }
}

#[tokio::test]
async fn a_forbidden_publish_does_not_hide_stored_votes() {
    let redis = Redis::start().await;
    let room = fresh_room();
    redis.command("ACL SETUSER mute on >word ~* +@all resetchannels").await;
    let url = redis.url().replace("redis://", "redis://mute:word@");
    let ledger = RedisLedger::new(RedisOptions::new(url)).unwrap();
    ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    let commit = ledger.partition_writer(&room, 0, "pod").commit(&batch(vec![(voter(1), cast(1, "a"))])).await.unwrap();
    assert_eq!((commit.gate.stored, commit.published), (1, false));
}

#[tokio::test]
async fn a_feed_reports_a_lost_connection_and_resumes_with_its_rooms() {
    let mut redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let room = fresh_room();
    let mut feed = ledger.feed();
    feed.follow(vec![room.clone()]).await;
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
    redis.kill9().await;
    assert_eq!(hear(&mut feed).await, FeedEvent::Lost);
    redis.launch().await;
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
    ledger.set_gates(&room, 1, &opened(1)).await.unwrap();
    assert!(matches!(hear(&mut feed).await, FeedEvent::Gate { .. }));

    feed.reconnect().await;
    assert_eq!(hear(&mut feed).await, FeedEvent::Lost);
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
    ledger.set_gates(&room, 1, &opened(2)).await.unwrap();
    assert!(matches!(hear(&mut feed).await, FeedEvent::Gate { .. }));
}

#[tokio::test]
async fn a_feed_without_an_answer_gives_up_within_five_seconds() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let mut feed = ledger.feed();
    feed.follow(vec![]).await;
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
    redis.signal("STOP");
    let since = Instant::now();
    assert_eq!(hear(&mut feed).await, FeedEvent::Lost);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    redis.signal("CONT");
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
}

#[tokio::test]
async fn an_idle_feed_stays_connected_and_a_read_may_be_cancelled() {
    let redis = Redis::start().await;
    let ledger = ledger(&redis, 0);
    let mut feed = ledger.feed();
    assert_eq!(hear(&mut feed).await, FeedEvent::Resumed);
    // longer than a probe and its answer may take together
    let idle = timeout(Duration::from_millis(5_500), feed.next()).await;
    assert!(idle.is_err(), "an idle feed said {idle:?}");
    ledger.announce(&FeedEvent::SignedOut { sign_in: "s".into() }).await.unwrap();
    assert_eq!(hear(&mut feed).await, FeedEvent::SignedOut { sign_in: "s".into() });
}
