//! What pods tell each other.

use tallycast::domain::ids::RoomId;
use tallycast::ledger::{Beacon, FeedEvent, RoomBeacon, SharedLedger, StageSeen};

use crate::ledgers::{FeedListener, RoomFixture, newcomer, voter};

contract! { tick_ms = 0;
    a_ledger_is_healthy_and_its_clock_does_not_go_back,
    an_announcement_reaches_every_feed_whole,
    a_feed_begins_with_resumed_and_says_so_again_after_a_reconnect,
    a_commit_is_published_with_the_counts_that_include_it,
    a_removal_is_announced,
    presence_is_stored_for_each_pod_and_room,
    a_sign_in_that_was_ended_stays_ended_until_its_time,
}

fn random_name() -> String {
    RoomId::from_entropy(rand::random()).to_string()
}

async fn a_ledger_is_healthy_and_its_clock_does_not_go_back(ledger: SharedLedger) {
    let mut before = 0;
    for _ in 0..20 {
        ledger.ping().await.unwrap();
        let health = ledger.check().await.unwrap();
        assert_eq!(health.unsafe_because, None);
        assert!(health.now >= before);
        before = health.now;
    }
    let fixture = RoomFixture::new(&ledger, 1).await;
    assert!(fixture.snapshot().await.now >= before);
}

async fn an_announcement_reaches_every_feed_whole(ledger: SharedLedger) {
    let mut listeners = [FeedListener::new(&ledger, vec![]).await, FeedListener::new(&ledger, vec![]).await];
    let room = RoomBeacon {
        room: RoomId::from_entropy(rand::random()),
        connected: 3,
        shown: 70_000,
        oldest_unshown_ms: 40,
        stages: vec![StageSeen { screen: "vote \"A\"\n".into(), seq: u64::MAX, seen_ms: 5 }],
        desks: vec![],
    };
    let rooms = vec![room.clone()];
    let beacon = Beacon { pod: random_name(), ready: true, sessions: 12, commit_p99_ms: 2.5, rooms };
    let removed = FeedEvent::VoterRemoved { room: room.room.clone(), voter: voter(1) };
    let changed = FeedEvent::RoomChanged { room: room.room, seq: 9_007_199_254_740_993 };
    for event in [FeedEvent::Beacon(beacon), removed, changed] {
        ledger.announce(&event).await.unwrap();
        for listener in &mut listeners {
            listener.receive(|heard| *heard == event).await;
        }
    }
}

async fn a_feed_begins_with_resumed_and_says_so_again_after_a_reconnect(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    // a listener waits for the first one
    let mut listener = fixture.listen().await;
    listener.reconnect().await;
    listener.resumed().await;
    let opened = fixture.open(1, 1).await;
    assert_eq!(listener.gates().await, [(0, opened[0].clone())], "what it follows it still follows");
}

async fn a_commit_is_published_with_the_counts_that_include_it(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    fixture.open(1, 1).await;
    let mut listeners = [fixture.listen().await, fixture.listen().await];
    for number in 0..3 {
        let commit = fixture.commit(&[(&voter(number), 1, "ab")]).await;
        assert!(commit.published);
        for listener in &mut listeners {
            assert_eq!(listener.gates().await, [(0, commit.gate.clone())]);
        }
    }
}

async fn a_removal_is_announced(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    let anna = newcomer("Anna");
    ledger.join(fixture.id(), &anna).await.unwrap();
    let mut listener = FeedListener::new(&ledger, vec![]).await;
    ledger.set_removed(fixture.id(), 1, &anna.voter, true).await.unwrap();
    let expected = FeedEvent::VoterRemoved { room: fixture.id().clone(), voter: anna.voter };
    listener.receive(|event| *event == expected).await;
}

async fn presence_is_stored_for_each_pod_and_room(ledger: SharedLedger) {
    let (room, other) = (RoomFixture::new(&ledger, 1).await.room.id, RoomFixture::new(&ledger, 1).await.room.id);
    let (one, two) = (random_name(), random_name());
    let voters: Vec<_> = (0..4).map(voter).collect();
    ledger.note_present(&room, &one, &voters[..2], &[]).await.unwrap();
    ledger.note_present(&room, &two, &voters[1..3], &[]).await.unwrap();
    let present = |pods: Vec<&String>| {
        let (ledger, room, voters) = (ledger.clone(), room.clone(), voters.clone());
        let pods: Vec<_> = pods.into_iter().cloned().collect();
        async move { ledger.present(&room, &pods, &voters).await.unwrap() }
    };
    assert_eq!(present(vec![&one]).await, [true, true, false, false]);
    assert_eq!(present(vec![&one, &two]).await, [true, true, true, false]);
    assert_eq!(present(vec![]).await, [false; 4]);
    ledger.note_present(&room, &one, &voters[..1], &voters[1..2]).await.unwrap();
    assert_eq!(present(vec![&one]).await, [true, false, false, false]);
    assert_eq!(present(vec![&two, &random_name()]).await, [false, true, true, false]);
    ledger.note_present(&room, &two, &[], &voters[1..3]).await.unwrap();
    assert_eq!(present(vec![&one, &two]).await, [true, false, false, false]);
    ledger.note_present(&room, &two, &voters[1..2], &voters[1..2]).await.unwrap();
    assert_eq!(present(vec![&two]).await, [false, true, false, false], "whoever left and came is here");
    assert_eq!(ledger.present(&other, &[one, two], &voters).await.unwrap(), [false; 4]);
}

async fn a_sign_in_that_was_ended_stays_ended_until_its_time(ledger: SharedLedger) {
    let (ended, over, other) = (random_name(), random_name(), random_name());
    let mut listener = FeedListener::new(&ledger, vec![]).await;
    let now = ledger.check().await.unwrap().now;
    ledger.sign_out(&ended, now + 3_600_000).await.unwrap();
    ledger.sign_out(&over, now - 1).await.unwrap();
    for sign_in in [&ended, &over] {
        let expected = FeedEvent::SignedOut { sign_in: sign_in.clone() };
        listener.receive(|event| *event == expected).await;
    }
    assert!(ledger.is_signed_out(&ended).await.unwrap());
    assert!(!ledger.is_signed_out(&over).await.unwrap(), "it would have ended by itself");
    assert!(!ledger.is_signed_out(&other).await.unwrap());
}
