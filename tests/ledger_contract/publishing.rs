//! What goes out on the feed, and how often.

use tallycast::domain::gate::{Deadline, Gate};
use tallycast::ledger::{FeedEvent, Replacement, SharedLedger};

use crate::ledgers::{FeedListener, RoomFixture, open, voter};

contract! { tick_ms = crate::ledgers::NEVER_AGAIN_MS;
    a_gate_that_follows_a_desired_state_is_published_at_once,
    within_a_tick_commits_publish_nothing,
    publish_pending_publishes_what_was_left_and_only_once,
    publish_pending_publishes_nothing_that_others_have_published,
    what_is_published_is_absolute,
    each_partition_has_its_own_tick,
    a_feed_receives_only_the_rooms_that_it_follows,
    a_stored_record_is_announced_to_all,
}

/// Before the first desired state nothing is published, so the tick is still free: this uses it.
async fn opened(ledger: &SharedLedger, partitions: u16) -> RoomFixture {
    let mut fixture = RoomFixture::new(ledger, partitions).await;
    fixture.open(1, 1).await;
    fixture
}

async fn a_gate_that_follows_a_desired_state_is_published_at_once(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 3).await;
    let mut listener = fixture.listen().await;
    for deadline in [Deadline::Never, Deadline::After(60_000)] {
        let gates = fixture.set_gates(open(0, 1, 1, deadline)).await;
        let mut heard = listener.gates().await;
        heard.sort_by_key(|(partition, _)| *partition);
        assert_eq!(heard, (0..).zip(gates).collect::<Vec<(u16, Gate)>>());
    }
    ledger.set_gates(fixture.id(), 3, &open(1, 1, 1, Deadline::Never)).await.unwrap();
    assert_eq!(listener.gates().await, [], "a late desired state changes nothing");
}

async fn within_a_tick_commits_publish_nothing(ledger: SharedLedger) {
    let fixture = opened(&ledger, 1).await;
    let mut listener = fixture.listen().await;
    for number in 0..10 {
        assert!(!fixture.commit(&[(&voter(number), 1, "a")]).await.published);
    }
    assert_eq!(listener.gates().await, []);
}

async fn publish_pending_publishes_what_was_left_and_only_once(ledger: SharedLedger) {
    let fixture = opened(&ledger, 1).await;
    let mut listener = fixture.listen().await;
    let mut writer = ledger.partition_writer(fixture.id(), 0, "pod");
    for number in 0..3 {
        fixture.cast(&voter(number), 1, "ab").await;
    }
    let snapshot = writer.publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(snapshot.tally.votes, [3, 3, 0]);
    assert_eq!(listener.gates().await, [(0, snapshot.clone())]);
    assert_eq!(writer.publish_pending(0, u64::MAX).await.unwrap(), snapshot);
    assert_eq!(listener.gates().await, []);
    // a commit of repeats leaves the version as it was, and that one is out
    assert!(fixture.commit(&[(&voter(0), 1, "ab")]).await.published);
    assert_eq!(listener.gates().await, []);
    assert!(!fixture.commit(&[(&voter(0), 3, "c")]).await.published);
    assert_eq!(writer.publish_pending(0, u64::MAX).await.unwrap().tally.votes, [3, 3, 1]);
    assert_eq!(listener.gates().await.len(), 1);
}

async fn publish_pending_publishes_nothing_that_others_have_published(ledger: SharedLedger) {
    let fixture = opened(&ledger, 1).await;
    let mut listener = fixture.listen().await;
    let mut writer = ledger.partition_writer(fixture.id(), 0, "pod");
    let mine = fixture.commit(&[(&voter(1), 1, "a")]).await.gate.tally.version;
    let others = ledger.partition_writer(fixture.id(), 0, "other").publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(listener.gates().await, [(0, others.clone())]);
    assert!(others.tally.version >= mine);
    // newer counts are published by the pod that has committed them
    let newer = fixture.commit(&[(&voter(2), 1, "a")]).await.gate.tally.version;
    writer.publish_pending(0, mine).await.unwrap();
    assert_eq!(listener.gates().await, []);
    writer.publish_pending(0, newer).await.unwrap();
    assert_eq!(listener.gates().await.len(), 1);
}

async fn what_is_published_is_absolute(ledger: SharedLedger) {
    let mut fixture = opened(&ledger, 1).await;
    let mut listener = fixture.listen().await;
    let mut writer = ledger.partition_writer(fixture.id(), 0, "pod");
    for number in 0..5 {
        fixture.cast(&voter(number), 1, "a").await;
        let snapshot = writer.publish_pending(0, u64::MAX).await.unwrap();
        let heard = listener.gates().await;
        assert_eq!(heard, [(0, snapshot)]);
        assert_eq!((heard[0].1.tally.total(), heard[0].1.round, heard[0].1.take), (number as u64 + 1, 1, 1));
    }
    let closed = fixture.close(1, 1).await;
    assert_eq!(listener.gates().await, [(0, closed[0].clone())]);
    assert_eq!(closed[0].tally.total(), 5);
}

async fn each_partition_has_its_own_tick(ledger: SharedLedger) {
    let fixture = opened(&ledger, 2).await;
    let mut listener = fixture.listen().await;
    for number in 0..10 {
        fixture.cast(&voter(number), 1, "a").await;
    }
    let one = ledger.partition_writer(fixture.id(), 1, "pod").publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(listener.gates().await, [(1, one)]);
    let zero = ledger.partition_writer(fixture.id(), 0, "pod").publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(listener.gates().await, [(0, zero)]);
}

async fn a_feed_receives_only_the_rooms_that_it_follows(ledger: SharedLedger) {
    let (mut one, mut two) = (RoomFixture::new(&ledger, 1).await, RoomFixture::new(&ledger, 1).await);
    let mut listener = one.listen().await;
    two.open(1, 1).await;
    one.open(1, 1).await;
    let heard = listener.receive(|event| matches!(event, FeedEvent::Gate { .. })).await;
    assert!(matches!(heard, FeedEvent::Gate { room, .. } if room == *one.id()));
    listener.follow(vec![two.id().clone()]).await;
    one.close(1, 1).await;
    let closed = two.close(1, 1).await;
    assert_eq!(listener.gates().await, [(0, closed[0].clone())]);
}

async fn a_stored_record_is_announced_to_all(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    let mut without_rooms = FeedListener::new(&ledger, vec![]).await;
    let Replacement::Stored(stored) = ledger.replace_room(&fixture.room, &[]).await.unwrap() else {
        panic!("read last")
    };
    let announced = FeedEvent::RoomChanged { room: stored.id.clone(), seq: stored.seq };
    without_rooms.receive(|event| *event == announced).await;
}
