//! Changes of many callers in one transaction, and what is kept in memory only.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use redb::Database;

use super::disk::Disk;
use super::failures::ledger_on;
use super::*;
use crate::ledger::embedded::pods::Presence;
use crate::ledger::embedded::tables::BALLOTS;

/// Commits of one vote each, asked for while the disk stands still, so that they wait together.
async fn vote_together(ledger: &EmbeddedLedger, disk: &Disk, voters: usize) -> Vec<Result<Commit, LedgerError>> {
    let mut lanes: Vec<_> = (0..voters).map(|number| (voter(number), lane(ledger))).collect();
    let commits = lanes.iter_mut().map(|(voter, lane)| vote(lane.as_mut(), voter, "a").boxed_local());
    let mut commits: Vec<Pin<Box<dyn Future<Output = _>>>> = commits.collect();
    let still = disk.stand_still();
    for commit in &mut commits {
        assert!(commit.now_or_never().is_none());
    }
    drop(still);
    futures_util::future::join_all(commits).await
}

#[tokio::test]
async fn changes_that_wait_together_share_a_commit() {
    let disk = Disk::default();
    let ledger = ledger_on(&disk);
    open_round(&ledger).await.unwrap();
    let alone = disk.syncs();
    vote(lane(&ledger).as_mut(), &voter(1_000), "a").await.unwrap();
    let alone = disk.syncs() - alone;
    let together = disk.syncs();
    let commits = vote_together(&ledger, &disk, 100).await;
    // the writer may have begun with some of them before the others came
    assert!(disk.syncs() - together <= 2 * alone, "{} {alone}", disk.syncs() - together);
    let totals: Vec<_> = commits.into_iter().map(|commit| commit.unwrap().gate.tally.total()).collect();
    assert_eq!(totals, (2..=101).collect::<Vec<_>>(), "each sees what was before it, in the order of asking");
}

#[tokio::test]
async fn a_failed_disk_answers_everybody_who_waited_and_each_is_counted_once_in_the_end() {
    let disk = Disk::default();
    let ledger = ledger_on(&disk);
    open_round(&ledger).await.unwrap();
    disk.fail_after(5);
    assert!(vote_together(&ledger, &disk, 100).await.iter().any(Result::is_err));
    disk.heal();
    for commit in vote_together(&ledger, &disk, 100).await {
        assert!(is_stored(&commit.unwrap(), "a"));
    }
    let gate = &ledger.snapshot(&room_id(), 1).await.unwrap().unwrap().gates[0];
    assert_eq!((gate.tally.total(), gate.tally.voters), (100, 100));
}

#[tokio::test]
async fn a_record_that_makes_no_sense_hurts_nobody_else() {
    let directory = directory();
    let path = directory.path().join("ledger.redb");
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    open_round(&ledger).await.unwrap();
    drop(ledger);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let (hurt, well) = (voter(1), voter(2));
    transaction.open_table(BALLOTS).unwrap().insert(("room", 0, TAKE.0, TAKE.1, hurt.as_str()), "no ballot").unwrap();
    transaction.commit().unwrap();
    drop(database);

    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    let (mut one, mut two) = (lane(&ledger), lane(&ledger));
    let (of_hurt, of_well) = tokio::join!(vote(one.as_mut(), &hurt, "a"), vote(two.as_mut(), &well, "a"));
    assert!(matches!(of_hurt, Err(LedgerError::Corrupt(_))), "{of_hurt:?}");
    assert_eq!(of_well.unwrap().gate.tally.votes, [1, 0]);
    assert!(matches!(ledger.ballots(&room_id(), 0, TAKE, None).await, Err(LedgerError::Corrupt(_))));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_notes_nothing_for_ten_seconds_is_forgotten() {
    let presence = Presence::default();
    let (room, pods, anna) = (room_id(), ["pod".to_owned()], [voter(1)]);
    presence.note(&room, "pod", &anna, &[]);
    tokio::time::advance(Duration::from_millis(9_900)).await;
    assert_eq!(presence.of(&room, &pods, &anna), [true]);
    presence.note(&room, "pod", &[], &[]);
    tokio::time::advance(Duration::from_millis(9_900)).await;
    assert_eq!(presence.of(&room, &pods, &anna), [true]);
    tokio::time::advance(Duration::from_millis(200)).await;
    assert_eq!(presence.of(&room, &pods, &anna), [false]);
    presence.note(&room, "pod", &[], &[]);
    assert_eq!(presence.of(&room, &pods, &anna), [false], "a pod that comes back has nobody");
}
