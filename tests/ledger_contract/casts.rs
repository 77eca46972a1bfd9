//! What becomes of a cast.

use tallycast::domain::ballot::Refusal::{BadChoice, Closed, Conflict, Gap, OutOfVotes, StaleTake};
use tallycast::domain::ballot::{Ballot, Refusal};
use tallycast::domain::gate::Deadline;
use tallycast::ledger::{SharedLedger, Verdict};

use crate::ledgers::{RoomFixture, newcomer, open, voter};

contract! { tick_ms = 0;
    a_vote_is_stored_and_counted,
    a_repeat_is_answered_with_the_ballot_and_counts_nothing,
    overlapping_letters_must_be_equal,
    a_ballot_is_filled_and_not_exceeded,
    a_cast_that_skips_a_slip_is_a_gap,
    a_cast_with_an_unknown_letter_is_refused_whole,
    another_round_is_closed_and_another_take_is_stale,
    a_closed_round_outranks_every_other_finding,
    each_take_has_its_own_ballots,
    verdicts_come_in_the_order_of_the_casts,
    casts_of_a_removed_voter_are_refused,
    the_time_of_a_ballot_is_that_of_its_last_vote,
    a_vote_is_part_of_every_later_tally,
    every_version_is_higher_than_the_one_before,
    a_refusal_changes_nothing,
    the_largest_batch_is_one_commit,
    the_longest_ballot_is_stored,
}

fn told(votes: &str, refused: impl Into<Option<Refusal>>) -> (String, Option<Refusal>) {
    (votes.into(), refused.into())
}

async fn opened(ledger: &SharedLedger) -> RoomFixture {
    let mut fixture = RoomFixture::new(ledger, 1).await;
    fixture.open(1, 1).await;
    fixture
}

async fn a_vote_is_stored_and_counted(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    let commit = fixture.commit(&[(&voter(1), 1, "aab"), (&voter(2), 1, "c")]).await;
    assert_eq!(
        commit.verdicts,
        [
            Verdict::Ballot { votes: "aab".into(), added: 3, refused: None },
            Verdict::Ballot { votes: "c".into(), added: 1, refused: None },
        ]
    );
    assert_eq!((commit.gate.tally.votes.clone(), commit.gate.tally.voters, commit.gate.stored), (vec![2, 1, 1], 2, 4));
    assert_eq!(fixture.cast(&voter(1), 4, "ca").await, told("aabca", None));
    let gate = fixture.snapshot().await.gates.remove(0);
    assert_eq!((gate.tally.votes, gate.tally.voters, gate.stored), (vec![3, 1, 2], 2, 6));
    assert_eq!(fixture.ballot(&voter(1), (1, 1)).await.votes, "aabca");
}

async fn a_repeat_is_answered_with_the_ballot_and_counts_nothing(ledger: SharedLedger) {
    let mut fixture = opened(&ledger).await;
    fixture.cast(&voter(1), 1, "abc").await;
    let before = fixture.snapshot().await.gates;
    for (slip, votes) in [(1, "abc"), (1, "a"), (2, "b"), (2, "bc"), (3, "c")] {
        let commit = fixture.commit(&[(&voter(1), slip, votes)]).await;
        assert_eq!(commit.verdicts, [Verdict::Ballot { votes: "abc".into(), added: 0, refused: None }]);
    }
    assert_eq!(fixture.snapshot().await.gates, before);
    fixture.open(2, 1).await;
    assert_eq!(fixture.cast(&voter(1), 1, "abc").await, told("abc", None), "also long after the close");
}

async fn overlapping_letters_must_be_equal(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    fixture.cast(&voter(1), 1, "aab").await;
    assert_eq!(fixture.cast(&voter(1), 2, "abc").await, told("aabc", None));
    assert_eq!(fixture.cast(&voter(1), 3, "cc").await, told("aabc", Conflict));
    assert_eq!(fixture.cast(&voter(1), 4, "b").await, told("aabc", Conflict));
    assert_eq!(fixture.cast(&voter(1), 1, "aabbb").await, told("aabc", Conflict), "not even the part behind it");
}

async fn a_ballot_is_filled_and_not_exceeded(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    assert_eq!(fixture.cast(&voter(1), 1, "aaaaaaaabbbb").await, told("aaaaaaaabb", OutOfVotes));
    assert_eq!(fixture.cast(&voter(1), 11, "c").await, told("aaaaaaaabb", OutOfVotes));
    assert_eq!(fixture.cast(&voter(1), 10, "bc").await, told("aaaaaaaabb", OutOfVotes));
    assert_eq!(fixture.cast(&voter(1), 10, "b").await, told("aaaaaaaabb", None));
    assert_eq!(fixture.snapshot().await.gates[0].tally.votes, [8, 2, 0]);
}

async fn a_cast_that_skips_a_slip_is_a_gap(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    assert_eq!(fixture.cast(&voter(1), 2, "a").await, told("", Gap));
    fixture.cast(&voter(1), 1, "a").await;
    assert_eq!(fixture.cast(&voter(1), 3, "a").await, told("a", Gap));
    assert_eq!(fixture.cast(&voter(1), u32::MAX, "a").await, told("a", Gap));
    assert_eq!(fixture.cast(&voter(1), 12, "a").await, told("a", Gap), "also beyond the budget");
}

async fn a_cast_with_an_unknown_letter_is_refused_whole(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    for votes in ["d", "abd", "z"] {
        assert_eq!(fixture.cast(&voter(1), 1, votes).await, told("", BadChoice));
    }
    assert_eq!(fixture.cast(&voter(1), 9, "d").await, told("", BadChoice), "before a gap");
    fixture.cast(&voter(1), 1, "a").await;
    assert_eq!(fixture.cast(&voter(1), 1, "d").await, told("a", BadChoice), "before a conflict");
}

async fn another_round_is_closed_and_another_take_is_stale(ledger: SharedLedger) {
    let mut fixture = opened(&ledger).await;
    fixture.cast(&voter(1), 1, "a").await;
    assert_eq!(fixture.cast_in((2, 1), &voter(1), 1, "b").await, told("", Closed));
    assert_eq!(fixture.cast_in((1, 2), &voter(1), 1, "b").await, told("", StaleTake));
    fixture.open(1, 2).await;
    assert_eq!(fixture.cast_in((1, 1), &voter(1), 2, "b").await, told("a", StaleTake));
    assert_eq!(fixture.cast_in((1, 1), &voter(1), 1, "a").await, told("a", None), "a repeat is a repeat");
    assert_eq!(fixture.snapshot().await.gates[0].tally.total(), 0);
}

async fn a_closed_round_outranks_every_other_finding(ledger: SharedLedger) {
    let mut fixture = opened(&ledger).await;
    fixture.cast(&voter(1), 1, "ab").await;
    fixture.close(1, 1).await;
    for (slip, votes) in [(1, "b"), (4, "a"), (3, "z"), (1, "abaaaaaaaaaaaaa")] {
        assert_eq!(fixture.cast(&voter(1), slip, votes).await, told("ab", Closed), "{slip} {votes}");
    }
    assert_eq!(fixture.cast_in((1, 2), &voter(1), 1, "z").await, told("", Closed));
}

async fn each_take_has_its_own_ballots(ledger: SharedLedger) {
    let mut fixture = opened(&ledger).await;
    fixture.cast(&voter(1), 1, "ab").await;
    fixture.open(1, 2).await;
    fixture.cast_in((1, 2), &voter(1), 1, "c").await;
    fixture.open(2, 1).await;
    fixture.cast_in((2, 1), &voter(1), 1, "bbb").await;
    let takes = [(2, 1), (1, 1), (3, 1), (1, 2)];
    let ballots = ledger.ballots_of(fixture.id(), 1, &voter(1), &takes).await.unwrap();
    assert_eq!(ballots.iter().map(|ballot| ballot.votes.as_str()).collect::<Vec<_>>(), ["bbb", "ab", "", "c"]);
    assert_eq!(ballots[2], Ballot::default());
    assert_eq!(ledger.ballots_of(fixture.id(), 1, &voter(1), &[]).await.unwrap(), []);
}

async fn verdicts_come_in_the_order_of_the_casts(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    let voters: Vec<_> = (0..200).map(voter).collect();
    let casts = voters.iter().enumerate().map(|(at, voter)| {
        let (slip, votes) = [(1, "a"), (2, "a"), (1, "bb"), (1, "d")][at % 4];
        (voter, slip, votes)
    });
    let commit = fixture.commit(&casts.collect::<Vec<_>>()).await;
    assert_eq!(commit.verdicts.len(), 200);
    for (at, verdict) in commit.verdicts.into_iter().enumerate() {
        let (votes, added, refused) =
            [("a", 1, None), ("", 0, Some(Gap)), ("bb", 2, None), ("", 0, Some(BadChoice))][at % 4];
        assert_eq!(verdict, Verdict::Ballot { votes: votes.into(), added, refused }, "{at}");
    }
    assert_eq!(commit.gate.tally.votes, [50, 100, 0]);
}

async fn casts_of_a_removed_voter_are_refused(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 3).await;
    fixture.open(1, 1).await;
    let anna = newcomer("Anna");
    ledger.join(fixture.id(), &anna).await.unwrap();
    fixture.cast(&anna.voter, 1, "ab").await;
    ledger.set_removed(fixture.id(), 3, &anna.voter, true).await.unwrap();
    for (slip, votes) in [(3, "c"), (1, "ab")] {
        assert_eq!(fixture.commit(&[(&anna.voter, slip, votes)]).await.verdicts, [Verdict::Removed]);
    }
    let sum = fixture.sum().await;
    assert_eq!((sum.tally.votes, sum.tally.voters), (vec![1, 1, 0], 1), "what was stored stays");
    assert_eq!(fixture.ballot(&anna.voter, (1, 1)).await.votes, "ab");
    ledger.set_removed(fixture.id(), 3, &anna.voter, false).await.unwrap();
    assert_eq!(fixture.cast(&anna.voter, 3, "c").await, told("abc", None));
}

async fn the_time_of_a_ballot_is_that_of_its_last_vote(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    let opened_at = fixture.open(1, 1).await[0].opened_at;
    for (slip, votes) in [(1, "a"), (2, "b"), (3, "c")] {
        let commit = fixture.commit(&[(&voter(1), slip, votes)]).await;
        let time_ms = fixture.ballot(&voter(1), (1, 1)).await.time_ms;
        assert_eq!(time_ms, commit.now - opened_at);
        // until the clock has moved, so that a repeat at another time would show
        while ledger.check().await.unwrap().now <= commit.now + 2 {}
        fixture.cast(&voter(1), slip, votes).await;
        fixture.cast(&voter(1), 9, "a").await;
        assert_eq!(fixture.ballot(&voter(1), (1, 1)).await.time_ms, time_ms);
    }
}

async fn a_vote_is_part_of_every_later_tally(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 3).await;
    fixture.open(1, 1).await;
    for number in 0..30 {
        fixture.cast(&voter(number), 1, "a").await;
        let sum = fixture.sum().await;
        assert_eq!(
            (sum.tally.total(), sum.tally.voters, sum.stored),
            (number as u64 + 1, number as u64 + 1, number as u64 + 1)
        );
    }
}

async fn every_version_is_higher_than_the_one_before(ledger: SharedLedger) {
    let mut fixture = opened(&ledger).await;
    let mut version = fixture.snapshot().await.gates[0].tally.version;
    for number in 0..20 {
        let commit = fixture.commit(&[(&voter(number), 1, "abc")]).await;
        assert!(commit.gate.tally.version > version, "{number}");
        assert!(commit.gate.tally.version >= commit.now);
        version = commit.gate.tally.version;
    }
    let moved = fixture.set_gates(open(0, 1, 1, Deadline::After(3_600_000))).await.remove(0);
    assert!(moved.tally.version > version);
}

async fn a_refusal_changes_nothing(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    fixture.cast(&voter(1), 1, "a").await;
    let (gates, ballot) = (fixture.snapshot().await.gates, fixture.ballot(&voter(1), (1, 1)).await);
    for (slip, votes) in [(3, "a"), (1, "b"), (2, "d")] {
        let commit = fixture.commit(&[(&voter(1), slip, votes), (&voter(2), 2, "a")]).await;
        assert_eq!(commit.gate, gates[0]);
    }
    assert_eq!((fixture.snapshot().await.gates, fixture.ballot(&voter(1), (1, 1)).await), (gates, ballot));
    assert_eq!(ledger.ballots(fixture.id(), 0, (1, 1), None).await.unwrap().0.len(), 1);
}

async fn the_largest_batch_is_one_commit(ledger: SharedLedger) {
    let fixture = opened(&ledger).await;
    let voters: Vec<_> = (0..tallycast::ledger::MAX_CASTS).map(voter).collect();
    let casts: Vec<_> = voters.iter().map(|voter| (voter, 1, "aabbccaabb")).collect();
    let commit = fixture.commit(&casts).await;
    assert!(commit.verdicts.iter().all(|verdict| matches!(verdict, Verdict::Ballot { added: 10, refused: None, .. })));
    assert_eq!((commit.gate.tally.votes, commit.gate.tally.voters), (vec![4_000, 4_000, 2_000], 1_000));
}

async fn the_longest_ballot_is_stored(ledger: SharedLedger) {
    let mut fixture = RoomFixture::new(&ledger, 1).await;
    let desired = open(0, 1, 1, Deadline::Never);
    fixture.set_gates(tallycast::domain::gate::DesiredGate { votes_per_round: 100, choices: 8, ..desired }).await;
    let votes = "abcdefgh".repeat(13)[..100].to_owned();
    assert_eq!(fixture.cast(&voter(1), 1, &votes).await, told(&votes, None));
    assert_eq!(fixture.cast(&voter(1), 101, "a").await, told(&votes, OutOfVotes));
    assert_eq!(fixture.cast(&voter(1), 1, &votes).await, told(&votes, None));
    assert_eq!(fixture.snapshot().await.gates[0].tally.votes, [13, 13, 13, 13, 12, 12, 12, 12]);
}
