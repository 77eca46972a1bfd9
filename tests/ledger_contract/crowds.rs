//! Many at once, and many in all.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tallycast::domain::ballot::{Cast, Refusal};
use tallycast::domain::gate::{Deadline, DesiredGate, partition_of, sum};
use tallycast::domain::ids::VoterId;
use tallycast::ledger::{Batch, Commit, SLICE, SharedLedger, Verdict};
use tokio::sync::oneshot;

use crate::ledgers::{RoomFixture, open, voter};

contract! { tick_ms = 0;
    one_slip_through_many_partition_writers_at_once_is_counted_once,
    slips_through_many_partition_writers_at_once_never_exceed_the_budget,
    a_close_counts_exactly_the_votes_accepted_before_it,
    counts_equal_the_sum_of_the_ballots,
    ballots_are_read_in_slices_and_none_is_missed,
    acknowledged_counts_of_a_pod_are_stored_as_absolute_numbers,
}

/// One cast through its own partition writer.
async fn commit_alone(fixture: &RoomFixture, voter: &VoterId, slip: u32, votes: &str) -> Commit {
    let partition = partition_of(voter.as_str(), fixture.partitions);
    let cast = (voter.clone(), Cast::parse(slip, votes.into()).unwrap());
    let batch = Batch::of(1, 1, 0, [cast]);
    fixture
        .ledger
        .partition_writer(fixture.id(), partition, &format!("pod-{slip}-{votes}"))
        .commit(&batch)
        .await
        .unwrap()
}

async fn opened(ledger: &SharedLedger, partitions: u16) -> RoomFixture {
    let mut fixture = RoomFixture::new(ledger, partitions).await;
    fixture.open(1, 1).await;
    fixture
}

async fn one_slip_through_many_partition_writers_at_once_is_counted_once(ledger: SharedLedger) {
    let fixture = opened(&ledger, 1).await;
    let one = voter(1);
    let commits = join_all((0..200).map(|_| commit_alone(&fixture, &one, 1, "a"))).await;
    let added = commits.iter().map(|commit| match &commit.verdicts[0] {
        Verdict::Ballot { votes, added, refused: None } if votes == "a" => u64::from(*added),
        other => panic!("{other:?}"),
    });
    assert_eq!((added.sum::<u64>(), fixture.sum().await.tally.votes), (1, vec![1, 0, 0]));
}

async fn slips_through_many_partition_writers_at_once_never_exceed_the_budget(ledger: SharedLedger) {
    let fixture = opened(&ledger, 1).await;
    let one = voter(1);
    let casts = (0..100).map(|number| commit_alone(&fixture, &one, 1 + number % 14, ["a", "b"][number as usize % 2]));
    join_all(casts).await;
    let ballot = fixture.ballot(&one, (1, 1)).await.votes;
    let tally = fixture.sum().await.tally;
    assert!(ballot.len() <= 10, "{ballot}");
    assert_eq!(tally.votes[0], ballot.matches('a').count() as u64);
    assert_eq!(tally.votes[1], ballot.matches('b').count() as u64);
    assert_eq!(tally.voters, 1);
}

async fn a_close_counts_exactly_the_votes_accepted_before_it(ledger: SharedLedger) {
    for _ in 0..5 {
        let fixture = opened(&ledger, 3).await;
        let voters: Vec<_> = (0..60).map(voter).collect();
        let (halfway, is_halfway) = oneshot::channel();
        let casts = async {
            let mut halfway = Some(halfway);
            let mut taken = 0;
            for (at, voter) in voters.iter().enumerate() {
                if at == 20 {
                    let _ = halfway.take().unwrap().send(());
                }
                taken += match &commit_alone(&fixture, voter, 1, "ab").await.verdicts[0] {
                    Verdict::Ballot { added: 2, refused: None, .. } => 2,
                    Verdict::Ballot { added: 0, refused: Some(Refusal::Closed), .. } => 0,
                    other => panic!("{other:?}"),
                };
            }
            taken
        };
        let close = async {
            is_halfway.await.unwrap();
            let desired = DesiredGate { open: None, ..open(2, 1, 1, Deadline::Never) };
            ledger.set_gates(fixture.id(), 3, &desired).await.unwrap().1
        };
        let (taken, frozen) = tokio::join!(casts, close);
        assert_eq!(sum(&frozen).tally.total(), taken);
        assert_eq!(fixture.snapshot().await.gates, frozen);
    }
}

async fn counts_equal_the_sum_of_the_ballots(ledger: SharedLedger) {
    let fixture = opened(&ledger, 4).await;
    let voters: Vec<_> = (0..40).map(voter).collect();
    let casts = voters.iter().enumerate().map(|(at, voter)| {
        let fixture = &fixture;
        async move {
            let casts = [(1, "a"), (2, "bc"), (1, "ab"), (4, "cccccccc")];
            for (slip, votes) in casts.into_iter().cycle().skip(at % 4).take(4) {
                commit_alone(fixture, voter, slip, votes).await;
            }
        }
    });
    join_all(casts).await;
    let mut counts = vec![0; 3];
    let mut count = 0;
    for voter in &voters {
        let ballot = fixture.ballot(voter, (1, 1)).await.votes;
        count += u64::from(!ballot.is_empty());
        ballot.bytes().for_each(|letter| counts[usize::from(letter - b'a')] += 1);
    }
    let sum = fixture.sum().await;
    assert_eq!((sum.tally.votes, sum.tally.voters), (counts.clone(), count));
    assert_eq!(sum.stored, counts.iter().sum::<u64>());
}

async fn ballots_are_read_in_slices_and_none_is_missed(ledger: SharedLedger) {
    let mut fixture = opened(&ledger, 2).await;
    let voters: Vec<_> = (0..5_000).map(voter).collect();
    let mut expected = [BTreeMap::new(), BTreeMap::new()];
    for voter in &voters {
        expected[usize::from(partition_of(voter.as_str(), 2))].insert(voter.clone(), "ab".to_owned());
    }
    for voters in &expected {
        for batch in voters.keys().collect::<Vec<_>>().chunks(1_000) {
            fixture.commit(&batch.iter().map(|voter| (*voter, 1, "ab")).collect::<Vec<_>>()).await;
        }
    }
    // neighbours that must not get in
    fixture.open(1, 2).await;
    fixture.commit_to((1, 2), &[(&voters[0], 1, "c")]).await;
    for partition in 0..2 {
        let (mut found, mut cursor, mut reads) = (BTreeMap::new(), None, 0);
        loop {
            let (slice, next) = ledger.ballots(fixture.id(), partition, (1, 1), cursor).await.unwrap();
            assert!(slice.len() <= 2 * SLICE);
            found.extend(slice.into_iter().map(|(voter, ballot)| (voter, ballot.votes)));
            reads += 1;
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected[usize::from(partition)]);
        assert!((2..20).contains(&reads), "{reads}");
    }
    assert_eq!(ledger.ballots(fixture.id(), 0, (9, 1), None).await.unwrap(), (vec![], None));
}

async fn acknowledged_counts_of_a_pod_are_stored_as_absolute_numbers(ledger: SharedLedger) {
    let fixture = opened(&ledger, 1).await;
    let (mut one, mut two) =
        (ledger.partition_writer(fixture.id(), 0, "one"), ledger.partition_writer(fixture.id(), 0, "two"));
    let batch = |number: usize, acknowledged| {
        Batch::of(1, 1, acknowledged, [(voter(number), Cast::parse(1, "aa".into()).unwrap())])
    };
    assert_eq!(one.commit(&batch(1, 0)).await.unwrap().gate.acknowledged, 0);
    assert_eq!(one.commit(&batch(2, 2)).await.unwrap().gate.acknowledged, 2);
    assert_eq!(one.commit(&batch(2, 2)).await.unwrap().gate.acknowledged, 2, "said again");
    assert_eq!(two.publish_pending(3, u64::MAX).await.unwrap().acknowledged, 5);
    let version = fixture.snapshot().await.gates[0].tally.version;
    assert_eq!(one.publish_pending(4, u64::MAX).await.unwrap().acknowledged, 7);
    assert_eq!(one.publish_pending(1, u64::MAX).await.unwrap().acknowledged, 7, "what comes late is less");
    let gate = fixture.snapshot().await.gates.remove(0);
    assert_eq!((gate.acknowledged, gate.stored, gate.tally.version), (7, 4, version));
}
