//! What goes out on the feed, and how often.

use tallycast::domain::gate::{Deadline, Gate};
use tallycast::ledger::{FeedEvent, Replacement, SharedLedger};

use crate::ledger_support::{Hall, Listener, open, voter};

contract! { tick_ms = crate::ledger_support::NEVER_AGAIN_MS;
    a_gate_that_follows_a_target_is_published_at_once,
    within_a_tick_commits_publish_nothing,
    settling_publishes_what_was_not_and_only_once,
    settling_publishes_nothing_that_others_have_published,
    what_is_published_is_absolute,
    each_partition_has_a_tick_of_its_own,
    a_feed_hears_only_the_rooms_that_it_follows,
    a_stored_record_is_announced_to_all,
}

/// Without a target nothing was published yet, so the tick is still free: this takes it.
async fn opened(ledger: &SharedLedger, partitions: u16) -> Hall {
    let mut hall = Hall::new(ledger, partitions).await;
    hall.open(1, 1).await;
    hall
}

async fn a_gate_that_follows_a_target_is_published_at_once(ledger: SharedLedger) {
    let mut hall = Hall::new(&ledger, 3).await;
    let mut ear = hall.listen().await;
    for deadline in [Deadline::Never, Deadline::After(60_000)] {
        let gates = hall.set_gates(open(0, 1, 1, deadline)).await;
        let mut heard = ear.gates().await;
        heard.sort_by_key(|(partition, _)| *partition);
        assert_eq!(heard, (0..).zip(gates).collect::<Vec<(u16, Gate)>>());
    }
    ledger.set_gates(hall.id(), 3, &open(1, 1, 1, Deadline::Never)).await.unwrap();
    assert_eq!(ear.gates().await, [], "a late target moves nothing");
}

async fn within_a_tick_commits_publish_nothing(ledger: SharedLedger) {
    let hall = opened(&ledger, 1).await;
    let mut ear = hall.listen().await;
    for number in 0..10 {
        assert!(!hall.commit(&[(&voter(number), 1, "a")]).await.published);
    }
    assert_eq!(ear.gates().await, []);
}

async fn settling_publishes_what_was_not_and_only_once(ledger: SharedLedger) {
    let hall = opened(&ledger, 1).await;
    let mut ear = hall.listen().await;
    let mut writer = ledger.partition_writer(hall.id(), 0, "pod");
    for number in 0..3 {
        hall.cast(&voter(number), 1, "ab").await;
    }
    let snapshot = writer.publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(snapshot.tally.votes, [3, 3, 0]);
    assert_eq!(ear.gates().await, [(0, snapshot.clone())]);
    assert_eq!(writer.publish_pending(0, u64::MAX).await.unwrap(), snapshot);
    assert_eq!(ear.gates().await, []);
    // a commit of repeats leaves the version as it was, and that one is out
    assert!(hall.commit(&[(&voter(0), 1, "ab")]).await.published);
    assert_eq!(ear.gates().await, []);
    assert!(!hall.commit(&[(&voter(0), 3, "c")]).await.published);
    assert_eq!(writer.publish_pending(0, u64::MAX).await.unwrap().tally.votes, [3, 3, 1]);
    assert_eq!(ear.gates().await.len(), 1);
}

async fn settling_publishes_nothing_that_others_have_published(ledger: SharedLedger) {
    let hall = opened(&ledger, 1).await;
    let mut ear = hall.listen().await;
    let mut writer = ledger.partition_writer(hall.id(), 0, "pod");
    let mine = hall.commit(&[(&voter(1), 1, "a")]).await.gate.tally.version;
    let others = ledger.partition_writer(hall.id(), 0, "other").publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(ear.gates().await, [(0, others.clone())]);
    assert!(others.tally.version >= mine);
    // newer counts are for whoever has committed them
    let newer = hall.commit(&[(&voter(2), 1, "a")]).await.gate.tally.version;
    writer.publish_pending(0, mine).await.unwrap();
    assert_eq!(ear.gates().await, []);
    writer.publish_pending(0, newer).await.unwrap();
    assert_eq!(ear.gates().await.len(), 1);
}

async fn what_is_published_is_absolute(ledger: SharedLedger) {
    let mut hall = opened(&ledger, 1).await;
    let mut ear = hall.listen().await;
    let mut writer = ledger.partition_writer(hall.id(), 0, "pod");
    for number in 0..5 {
        hall.cast(&voter(number), 1, "a").await;
        let snapshot = writer.publish_pending(0, u64::MAX).await.unwrap();
        let heard = ear.gates().await;
        assert_eq!(heard, [(0, snapshot)]);
        assert_eq!((heard[0].1.tally.total(), heard[0].1.round, heard[0].1.take), (number as u64 + 1, 1, 1));
    }
    let closed = hall.close(1, 1).await;
    assert_eq!(ear.gates().await, [(0, closed[0].clone())]);
    assert_eq!(closed[0].tally.total(), 5);
}

async fn each_partition_has_a_tick_of_its_own(ledger: SharedLedger) {
    let hall = opened(&ledger, 2).await;
    let mut ear = hall.listen().await;
    for number in 0..10 {
        hall.cast(&voter(number), 1, "a").await;
    }
    let one = ledger.partition_writer(hall.id(), 1, "pod").publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(ear.gates().await, [(1, one)]);
    let zero = ledger.partition_writer(hall.id(), 0, "pod").publish_pending(0, u64::MAX).await.unwrap();
    assert_eq!(ear.gates().await, [(0, zero)]);
}

async fn a_feed_hears_only_the_rooms_that_it_follows(ledger: SharedLedger) {
    let (mut one, mut two) = (Hall::new(&ledger, 1).await, Hall::new(&ledger, 1).await);
    let mut ear = one.listen().await;
    two.open(1, 1).await;
    one.open(1, 1).await;
    let heard = ear.hear(|event| matches!(event, FeedEvent::Gate { .. })).await;
    assert!(matches!(heard, FeedEvent::Gate { room, .. } if room == *one.id()));
    ear.follow(vec![two.id().clone()]).await;
    one.close(1, 1).await;
    let closed = two.close(1, 1).await;
    assert_eq!(ear.gates().await, [(0, closed[0].clone())]);
}

async fn a_stored_record_is_announced_to_all(ledger: SharedLedger) {
    let hall = Hall::new(&ledger, 1).await;
    let mut deaf_to_gates = Listener::new(&ledger, vec![]).await;
    let Replacement::Stored(stored) = ledger.replace_room(&hall.room, &[]).await.unwrap() else { panic!("read last") };
    let announced = FeedEvent::RoomChanged { room: stored.id.clone(), seq: stored.seq };
    deaf_to_gates.hear(|event| *event == announced).await;
}
