//! Group commit: changes of many callers in one transaction. Also what is kept in memory only.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use redb::Database;

use super::disk::Disk;
use super::failures::{ledger_on, ledger_with};
use super::*;
use crate::domain::ballot::Refusal;
use crate::domain::room::Room;
use crate::ledger::embedded::clock::tests::SetClocks;
use crate::ledger::embedded::presence::Presence;
use crate::ledger::embedded::tables::BALLOTS;
use crate::ledger::{Claimed, Part};

/// Commits of one vote each, queued while the disk hangs, so that they wait together.
async fn vote_together(ledger: &EmbeddedLedger, disk: &Disk, voters: usize) -> Vec<Result<Commit, LedgerError>> {
    let mut writers: Vec<_> = (0..voters).map(|number| (voter(number), partition_writer(ledger))).collect();
    let commits = writers.iter_mut().map(|(voter, writer)| vote(writer.as_mut(), voter, "a").boxed_local());
    let mut commits: Vec<Pin<Box<dyn Future<Output = _>>>> = commits.collect();
    let hanging = disk.hang();
    for commit in &mut commits {
        assert!(commit.now_or_never().is_none());
    }
    drop(hanging);
    futures_util::future::join_all(commits).await
}

#[tokio::test]
async fn queued_changes_share_a_commit() {
    let disk = Disk::default();
    let ledger = ledger_on(&disk);
    open_round(&ledger).await.unwrap();
    let alone = disk.syncs();
    vote(partition_writer(&ledger).as_mut(), &voter(1_000), "a").await.unwrap();
    let alone = disk.syncs() - alone;
    let together = disk.syncs();
    let commits = vote_together(&ledger, &disk, 100).await;
    // the writer may have started with some of them before the others were queued
    assert!(disk.syncs() - together <= 2 * alone, "{} {alone}", disk.syncs() - together);
    let totals: Vec<_> = commits.into_iter().map(|commit| commit.unwrap().gate.tally.total()).collect();
    assert_eq!(totals, (2..=101).collect::<Vec<_>>(), "each sees the changes before it, in the order of the calls");
}

#[tokio::test]
async fn when_the_disk_fails_every_queued_change_is_answered_and_its_repeat_is_counted_once() {
    let disk = Disk::default();
    let ledger = ledger_on(&disk);
    open_round(&ledger).await.unwrap();
    disk.fail_after(5);
    assert!(vote_together(&ledger, &disk, 100).await.iter().any(Result::is_err));
    disk.heal();
    for commit in vote_together(&ledger, &disk, 100).await {
        assert!(is_stored(&commit.unwrap(), "a"));
    }
    let gate = &ledger.gate_snapshot(&room_id(), 1).await.unwrap().unwrap().gates[0];
    assert_eq!((gate.tally.total(), gate.tally.voters), (100, 100));
}

#[tokio::test]
async fn an_invalid_ballot_does_not_affect_other_voters() {
    let directory = directory();
    let path = directory.path().join("ledger.redb");
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    open_round(&ledger).await.unwrap();
    drop(ledger);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let (damaged, intact) = (voter(1), voter(2));
    transaction
        .open_table(BALLOTS)
        .unwrap()
        .insert((room_id().as_str(), 0, TAKE.0, TAKE.1, damaged.as_str()), "no ballot")
        .unwrap();
    transaction.commit().unwrap();
    drop(database);

    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    let (mut one, mut two) = (partition_writer(&ledger), partition_writer(&ledger));
    let (of_damaged, of_intact) = tokio::join!(vote(one.as_mut(), &damaged, "a"), vote(two.as_mut(), &intact, "a"));
    assert!(matches!(of_damaged, Err(LedgerError::Corrupt(_))), "{of_damaged:?}");
    assert_eq!(of_intact.unwrap().gate.tally.votes, [1, 0]);
    assert!(matches!(ledger.ballots(&room_id(), 0, TAKE, None).await, Err(LedgerError::Corrupt(_))));
}

#[tokio::test]
async fn when_the_system_clock_is_set_back_deadlines_still_pass_and_votes_differ_in_time() {
    let set = SetClocks::default();
    set.set_system(1_700_000_000_000);
    let ledger = ledger_with(&Disk::default(), set.clocks());
    open_round(&ledger).await.unwrap();
    let deadline = Some(Deadline::After(60_000));
    let desired =
        DesiredGate { command_seq: 2, round: TAKE.0, take: TAKE.1, choices: 2, votes_per_round: 10, open: deadline };
    ledger.set_gates(&room_id(), 1, &desired).await.unwrap();

    set.set_system(1_700_000_000_000 - 3_600_000);
    let mut times = vec![];
    for number in 0..2 {
        set.pass(1_000);
        assert!(is_stored(&vote(partition_writer(&ledger).as_mut(), &voter(number), "a").await.unwrap(), "a"));
        times.push(ledger.ballots_of(&room_id(), 1, &voter(number), &[TAKE]).await.unwrap()[0].time_ms);
    }
    assert_eq!(times, [1_000, 2_000]);
    set.pass(58_000);
    let late = vote(partition_writer(&ledger).as_mut(), &voter(2), "a").await.unwrap();
    let refused = matches!(&late.verdicts[0], Verdict::Ballot { refused: Some(Refusal::Closed), .. });
    assert!(refused, "{:?}", late.verdicts);
}

#[tokio::test]
async fn an_import_whose_process_died_is_swept_at_the_next_start() {
    let directory = directory();
    let path = directory.path().join("ledger.redb");
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    open_round(&ledger).await.unwrap();
    let here = ledger.room(&room_id()).await.unwrap().unwrap();
    let (id, code) = (RoomId::from_entropy([8; 16]), RoomCode::parse("GHJKLM").unwrap());
    let brought = Room { id, code, running: None, last_round: 0, ..here };
    let long = Duration::from_secs(3_600);
    let Claimed::Held(claim) = ledger.begin_import(&brought, long).await.unwrap() else { panic!("all is free") };
    ledger.write_parts(&claim, &[Part::Gate { partition: 0, gate: Box::default() }]).await.unwrap();
    assert_eq!(ledger.sweep_imports().await.unwrap(), 0);
    drop(ledger);

    // only one process has the file, so the holder of the claim is gone
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    assert_eq!(ledger.begin_import(&brought, long).await.unwrap(), Claimed::Running);
    assert_eq!(ledger.sweep_imports().await.unwrap(), 1);
    assert!(matches!(ledger.begin_import(&brought, long).await.unwrap(), Claimed::Held(_)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_notes_nothing_for_ten_seconds_expires() {
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
    assert_eq!(presence.of(&room, &pods, &anna), [false], "a pod that returns has no voters");
}
