//! Disk failures, power cuts, killed processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::Disk;
use super::*;
use crate::ledger::embedded::clock::{Clocks, clocks};
use crate::ledger::embedded::file::{self, OpenError, Opened};

/// Tells the file to the child that [`a_killed_process_loses_nothing_that_it_acknowledged`] starts.
const CHILD_FILE: &str = "TALLYCAST_TEST_LEDGER_FILE";

fn open_on(disk: &Disk) -> Result<Opened, OpenError> {
    let failed = |error: redb::Error| OpenError::Failed { path: "disk".into(), cause: std::io::Error::other(error) };
    let database = file::builder().create_with_backend(disk.clone()).map_err(|error| failed(error.into()))?;
    file::adopt(database).map_err(failed)
}

pub(super) fn ledger_on(disk: &Disk) -> EmbeddedLedger {
    ledger_with(disk, clocks())
}

pub(super) fn ledger_with(disk: &Disk, clocks: Clocks) -> EmbeddedLedger {
    let again = disk.clone();
    EmbeddedLedger::start(open_on(disk).unwrap(), Box::new(move || open_on(&again)), clocks, 0)
}

#[tokio::test]
async fn a_failed_commit_may_be_applied_and_its_repeat_is_counted_once() {
    // let each operation of a commit fail in turn
    for operations in 0..12 {
        let disk = Disk::default();
        let ledger = ledger_on(&disk);
        open_round(&ledger).await.unwrap();
        let mut writer = partition_writer(&ledger);
        vote(writer.as_mut(), &voter(1), "ab").await.unwrap();
        disk.fail_after(operations);
        let told = vote(writer.as_mut(), &voter(2), "b").await;
        disk.heal();
        if operations == 0 {
            assert!(told.is_err(), "a commit without a single operation cannot be stored");
        }
        let again = loop {
            match vote(writer.as_mut(), &voter(2), "b").await {
                Ok(commit) => break commit,
                Err(LedgerError::NotApplied(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("after {operations} operations: {error}"),
            }
        };
        assert!(is_stored(&again, "b"), "{again:?}");
        assert_eq!(again.gate.tally.votes, [1, 2], "after {operations} operations, told {told:?}");
        assert_eq!(stored(&ledger, &voter(1)).await, "ab");
    }
}

#[tokio::test]
async fn reads_work_again_after_the_disk_recovers_even_without_a_write() {
    let disk = Disk::default();
    let ledger = ledger_on(&disk);
    open_round(&ledger).await.unwrap();
    vote(partition_writer(&ledger).as_mut(), &voter(1), "a").await.unwrap();
    // a ledger that was just opened has no page of the file in memory
    let disk = disk.after_power_cut(&mut StdRng::seed_from_u64(1));
    let ledger = ledger_on(&disk);
    disk.fail_reads();
    let told = ledger.room(&room_id()).await;
    assert!(matches!(told, Err(LedgerError::NotApplied(_))), "{told:?}");
    disk.heal();
    let healed = async {
        while let Err(error) = ledger.room(&room_id()).await {
            assert!(matches!(error, LedgerError::NotApplied(_)), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healed).await.expect("it can be read again");
    assert_eq!(stored(&ledger, &voter(1)).await, "a");
}

#[tokio::test]
async fn while_the_disk_fails_nothing_is_applied_and_commits_work_after_it_recovers() {
    let disk = Disk::default();
    let ledger = ledger_on(&disk);
    open_round(&ledger).await.unwrap();
    let mut writer = partition_writer(&ledger);
    disk.fail_after(0);
    assert!(vote(writer.as_mut(), &voter(1), "a").await.is_err());
    for _ in 0..3 {
        let told = vote(writer.as_mut(), &voter(1), "a").await;
        assert!(matches!(told, Err(LedgerError::NotApplied(_))), "{told:?}");
    }
    assert!(ledger.check().await.is_err(), "it cannot store anything");
    disk.heal();
    let commit = vote(writer.as_mut(), &voter(1), "a").await.unwrap();
    assert_eq!(commit.gate.tally.votes, [1, 0]);
    assert!(ledger.check().await.is_ok());
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let ledger = ledger_on(&disk);
        open_round(&ledger).await.unwrap();
        let mut writer = partition_writer(&ledger);
        disk.fail_after(rng.random_range(0..250));
        let mut acknowledged = 0;
        while vote(writer.as_mut(), &voter(acknowledged), "ab").await.is_ok() {
            acknowledged += 1;
        }
        let found = disk.after_power_cut(&mut rng);
        drop(ledger);

        let ledger = ledger_on(&found);
        for number in 0..acknowledged {
            assert_eq!(stored(&ledger, &voter(number)).await, "ab", "seed {seed}");
        }
        let (ballots, _) = ledger.ballots(&room_id(), 0, TAKE, None).await.unwrap();
        assert!(ballots.len() <= acknowledged + 1, "seed {seed}: only the last commit is uncertain");
        let gate = &ledger.gate_snapshot(&room_id(), 1).await.unwrap().unwrap().gates[0];
        let expected = ballots.len() as u64;
        assert_eq!((gate.tally.voters, gate.tally.total()), (expected, 2 * expected), "seed {seed}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let directory = directory();
    let path = directory.path().join("ledger.redb");
    let mut acknowledged = 0;
    for count in [1, 40, 7] {
        acknowledged = vote_in_a_child(&path, count, acknowledged);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ledger = EmbeddedLedger::open(&path, 0).unwrap();
            for number in 0..acknowledged {
                assert_eq!(stored(&ledger, &voter(number)).await, "a", "voter {number} of {acknowledged}");
            }
        });
    }
}

/// Starts a child that votes for voter `first` and the next ones, kills it after `count` more acknowledgements, and
/// returns how many voters were acknowledged in all.
fn vote_in_a_child(path: &Path, count: usize, first: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::embedded::tests::failures::child_that_votes_until_it_is_killed"])
        .args(["--ignored", "--nocapture"])
        .env(CHILD_FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = 0;
    let mut lines = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<usize>().ok());
    while acknowledged < first + count {
        acknowledged = lines.next().expect("the child keeps voting");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // acknowledgements that it printed before it died count too
    lines.last().unwrap_or(acknowledged)
}

#[tokio::test]
#[ignore = "run as a child process by another test"]
async fn child_that_votes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD_FILE) else { return };
    let ledger = EmbeddedLedger::open(path, 0).unwrap();
    if ledger.room(&room_id()).await.unwrap().is_none() {
        open_round(&ledger).await.unwrap();
    }
    let mut writer = partition_writer(&ledger);
    for number in 0.. {
        assert!(is_stored(&vote(writer.as_mut(), &voter(number), "a").await.unwrap(), "a"));
        println!("acknowledged {}", number + 1);
    }
}
