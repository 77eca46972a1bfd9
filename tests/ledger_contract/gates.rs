//! Targets, and the gates that follow them.

use tallycast::domain::ballot::Refusal;
use tallycast::domain::gate::{Deadline, DesiredGate, Gate, GatePhase};
use tallycast::ledger::SharedLedger;

use crate::ledgers::{RoomFixture, open, voter};

contract! { tick_ms = 0;
    a_room_begins_with_idle_gates,
    a_desired_state_reaches_every_partition,
    a_gate_follows_only_a_newer_desired_state,
    a_deadline_is_counted_from_the_opening_of_each_gate,
    a_passed_deadline_refuses_votes_by_the_ledgers_clock,
    a_close_after_the_deadline_is_dated_at_the_deadline,
    a_deadline_can_be_moved_and_removed,
    a_closed_take_is_frozen,
    a_closed_take_opens_again_with_its_counts,
    the_next_take_starts_from_zero_and_versions_keep_rising,
    concurrent_desired_states_end_at_the_newest,
}

async fn a_room_begins_with_idle_gates(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 3).await;
    let snapshot = fixture.snapshot().await;
    assert_eq!(snapshot.gates, vec![Gate::default(); 3]);
    assert_eq!((snapshot.seq, snapshot.voters), (fixture.room.seq, 0));
    assert_eq!(fixture.cast(&voter(1), 1, "a").await, (String::new(), Some(Refusal::Closed)));
}

async fn a_desired_state_reaches_every_partition(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 64).await;
    let desired = open(7, 2, 3, Deadline::Never);
    let (now, gates) = ledger.set_gates(fixture.id(), 64, &desired).await.unwrap();
    assert_eq!(gates, fixture.snapshot().await.gates);
    assert_eq!(gates.len(), 64);
    for gate in gates {
        assert_eq!((gate.command_seq, gate.round, gate.take, gate.phase), (7, 2, 3, GatePhase::Open));
        assert_eq!((gate.choices, gate.votes_per_round, gate.deadline, gate.closed_at), (3, 10, None, None));
        assert_eq!((gate.tally.votes, gate.tally.voters), (vec![0; 3], 0));
        assert!(gate.opened_at > 0 && gate.opened_at <= now);
        assert!(gate.tally.version >= gate.opened_at);
    }
}

async fn a_gate_follows_only_a_newer_desired_state(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 2).await;
    let set = |desired: DesiredGate| {
        let (ledger, id) = (ledger.clone(), fixture.id().clone());
        async move { ledger.set_gates(&id, 2, &desired).await.unwrap().1 }
    };
    let opened = set(open(5, 1, 1, Deadline::Never)).await;
    for late in [
        open(5, 1, 1, Deadline::Never),
        open(4, 1, 2, Deadline::Never),
        DesiredGate { open: None, ..open(5, 1, 1, Deadline::Never) },
    ] {
        assert_eq!(set(late).await, opened);
        assert_eq!(fixture.snapshot().await.gates, opened);
    }
    let closed = set(DesiredGate { open: None, ..open(6, 1, 1, Deadline::Never) }).await;
    assert!(closed.iter().all(|gate| gate.phase == GatePhase::Closed));
    assert_eq!(set(open(5, 1, 1, Deadline::Never)).await, closed);
}

async fn a_deadline_is_counted_from_the_opening_of_each_gate(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 3).await;
    for gate in fixture.set_gates(open(0, 1, 1, Deadline::After(60_000))).await {
        assert_eq!(gate.deadline, Some(gate.opened_at + 60_000));
    }
    let at = ledger.check().await.unwrap().now + 90_000;
    assert!(fixture.set_gates(open(0, 1, 1, Deadline::At(at))).await.iter().all(|gate| gate.deadline == Some(at)));
}

async fn a_passed_deadline_refuses_votes_by_the_ledgers_clock(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    fixture.set_gates(open(0, 1, 1, Deadline::After(3_600_000))).await;
    let commit = fixture.commit(&[(&voter(1), 1, "ab")]).await;
    assert_eq!(commit.gate.tally.total(), 2);
    fixture.set_gates(open(0, 1, 1, Deadline::At(commit.now))).await;
    assert_eq!(fixture.cast(&voter(1), 3, "c").await, ("ab".into(), Some(Refusal::Closed)));
    assert_eq!(fixture.cast(&voter(2), 1, "c").await, (String::new(), Some(Refusal::Closed)));
    assert_eq!(fixture.cast(&voter(1), 1, "ab").await, ("ab".into(), None), "a repeat is a repeat");
    let gate = fixture.snapshot().await.gates.remove(0);
    assert_eq!((gate.phase, gate.tally.total()), (GatePhase::Open, 2), "only a desired state closes");
}

async fn a_close_after_the_deadline_is_dated_at_the_deadline(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 2).await;
    let opened = fixture.open(1, 1).await;
    let deadline = opened.iter().map(|gate| gate.opened_at).max().unwrap();
    fixture.set_gates(open(0, 1, 1, Deadline::At(deadline))).await;
    assert!(fixture.close(1, 1).await.iter().all(|gate| gate.closed_at == Some(deadline)));
    // a deadline before the opening cannot date the close before it
    fixture.set_gates(open(0, 2, 1, Deadline::At(1))).await;
    assert!(fixture.close(2, 1).await.iter().all(|gate| gate.closed_at == Some(gate.opened_at)));
}

async fn a_deadline_can_be_moved_and_removed(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    let opened = fixture.set_gates(open(0, 1, 1, Deadline::At(1))).await.remove(0);
    assert_eq!(fixture.cast(&voter(1), 1, "a").await.1, Some(Refusal::Closed));
    let moved = fixture.set_gates(open(0, 1, 1, Deadline::After(3_600_000))).await.remove(0);
    assert_eq!((moved.opened_at, moved.deadline), (opened.opened_at, Some(opened.opened_at + 3_600_000)));
    assert_eq!(fixture.cast(&voter(1), 1, "a").await, ("a".into(), None));
    let gate = fixture.set_gates(open(0, 1, 1, Deadline::Never)).await.remove(0);
    assert_eq!((gate.deadline, gate.tally.total()), (None, 1));
}

async fn a_closed_take_is_frozen(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    fixture.open(1, 1).await;
    fixture.cast(&voter(1), 1, "ab").await;
    let closed = fixture.close(1, 1).await.remove(0);
    assert_eq!((closed.phase, closed.tally.votes.clone()), (GatePhase::Closed, vec![1, 1, 0]));
    assert!(closed.closed_at.unwrap() >= closed.opened_at);
    assert_eq!(fixture.cast(&voter(1), 3, "c").await, ("ab".into(), Some(Refusal::Closed)));
    assert_eq!(fixture.cast(&voter(2), 1, "c").await, (String::new(), Some(Refusal::Closed)));
    assert_eq!(fixture.cast(&voter(1), 1, "ab").await, ("ab".into(), None), "a repeat is a repeat");
    assert_eq!(fixture.snapshot().await.gates[0].tally, closed.tally);
    let again = fixture.close(1, 1).await.remove(0);
    assert_eq!((again.closed_at, again.tally.votes), (closed.closed_at, closed.tally.votes));
}

async fn a_closed_take_opens_again_with_its_counts(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    let opened = fixture.open(1, 1).await.remove(0);
    fixture.cast(&voter(1), 1, "ab").await;
    fixture.close(1, 1).await;
    let again = fixture.open(1, 1).await.remove(0);
    assert_eq!((again.opened_at, again.closed_at, again.tally.total()), (opened.opened_at, None, 2));
    assert_eq!(fixture.cast(&voter(1), 3, "c").await, ("abc".into(), None));
}

async fn the_next_take_starts_from_zero_and_versions_keep_rising(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    let mut version = 0;
    for (round, take) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
        let opened = fixture.open(round, take).await.remove(0);
        assert_eq!((opened.tally.total(), opened.tally.voters), (0, 0));
        assert!(opened.tally.version > version);
        for number in 0..3 {
            assert_eq!(fixture.cast_in((round, take), &voter(number), 1, "a").await, ("a".into(), None));
        }
        let closed = fixture.close(round, take).await.remove(0);
        assert!(closed.tally.version > opened.tally.version);
        assert_eq!((closed.tally.total(), closed.tally.voters), (3, 3));
        version = closed.tally.version;
    }
    assert_eq!(fixture.sum().await.stored, 12);
}

async fn concurrent_desired_states_end_at_the_newest(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 4).await;
    let all_desired: Vec<_> = (1..=20).rev().map(|seq| open(seq, 1, seq as u16, Deadline::Never)).collect();
    let changes = all_desired.iter().map(|desired| async {
        let (_, gates) = ledger.set_gates(fixture.id(), 4, desired).await.unwrap();
        assert!(gates.iter().all(|gate| gate.command_seq >= desired.command_seq));
    });
    futures_util::future::join_all(changes).await;
    let gates = fixture.snapshot().await.gates;
    assert!(gates.iter().all(|gate| (gate.command_seq, gate.take) == (20, 20)));
}
