//! Opening the file: what is accepted, what is refused, and that a refused file is not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{Database, ReadableTable, TableDefinition};

use super::*;
use crate::fuzz;
use crate::ledger::embedded::OpenError;
use crate::ledger::embedded::tables::{CLOCK_KEY, FORMAT_KEY, META};

fn refused(path: &Path) -> OpenError {
    match EmbeddedLedger::open(path, 0) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

/// The error of opening the file, which must not change a byte of it.
fn refused_untouched(path: &Path) -> OpenError {
    let before = fs::read(path).unwrap();
    let error = refused(path);
    assert_eq!(fs::read(path).unwrap(), before, "{error}");
    error
}

async fn ledger_file(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("ledger.redb");
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    open_round(&ledger).await.unwrap();
    path
}

#[tokio::test]
async fn a_new_ledger_creates_its_directory_and_no_other_file() {
    let directory = directory();
    let path = directory.path().join("data").join("ledger.redb");
    drop(EmbeddedLedger::open(&path, 0).unwrap());
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ledger.redb"]);
}

#[tokio::test]
async fn a_ledger_in_use_is_not_opened_twice() {
    let directory = directory();
    let path = directory.path().join("ledger.redb");
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("stop that one, or name another file"), "{error}");
    ledger.check().await.unwrap();
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused_and_untouched() {
    let directory = directory();
    let path = directory.path().join("holiday.jpg");
    let mut short = b"not a ledger".to_vec();
    for _ in 0..2 {
        fs::write(&path, &short).unwrap();
        let error = refused_untouched(&path);
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        short.resize(100_000, 0);
    }
}

#[tokio::test]
async fn an_empty_file_is_refused_because_it_may_be_a_lost_ledger() {
    let directory = directory();
    let path = directory.path().join("ledger.redb");
    fs::write(&path, b"").unwrap();
    let error = refused_untouched(&path);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn the_database_of_another_program_is_refused_and_untouched() {
    let directory = directory();
    let (path, killed) = (directory.path().join("other.redb"), directory.path().join("killed.redb"));
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    // the file as a killed process leaves it: it needs repair, but not by us
    fs::copy(&path, &killed).unwrap();
    drop(database);
    for path in [path, killed] {
        let error = refused_untouched(&path);
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_ledger_of_a_newer_format_is_refused_and_untouched() {
    let directory = directory();
    let path = ledger_file(&directory).await;
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(FORMAT_KEY, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refused_untouched(&path);
    assert!(matches!(error, OpenError::Newer { found: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_truncated_ledger_is_refused_as_broken() {
    let directory = directory();
    let path = ledger_file(&directory).await;
    let whole = fs::read(&path).unwrap();
    for length in [whole.len() / 2, 4_096, 400, 100] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused(&path);
        assert!(matches!(error, OpenError::Broken { .. }), "{length}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_ledger_is_refused_and_untouched_unless_only_unused_bytes_were_damaged() {
    let directory = directory();
    let path = ledger_file(&directory).await;
    let whole = fs::read(&path).unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    let mut refusals = 0;
    for _ in 0..200 {
        let mut damaged = whole.clone();
        for _ in 0..rng.random_range(1..20) {
            // after the magic bytes, which tell the kind of the file
            damaged[rng.random_range(9..whole.len())] = rng.random();
        }
        fs::write(&path, &damaged).unwrap();
        match EmbeddedLedger::open(&path, 0) {
            Ok(ledger) => {
                assert_eq!(ledger.gate_snapshot(&room_id(), 1).await.unwrap().unwrap().gates[0].command_seq, 1)
            }
            Err(error) => {
                refusals += 1;
                assert!(matches!(error, OpenError::Broken { .. }), "{error}");
                assert_eq!(fs::read(&path).unwrap(), damaged);
            }
        }
    }
    assert!(refusals > 50, "{refusals}");
}

#[tokio::test]
async fn the_error_names_the_place_where_no_file_can_be_created() {
    let directory = directory();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = refused(&file.join("ledger.redb"));
    assert!(error.to_string().contains("directory") || error.to_string().contains("Not a directory"), "{error}");
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn queued_changes_are_stored_before_the_file_is_closed() {
    let directory = directory();
    let path = ledger_file(&directory).await;
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    let mut writers: Vec<_> = (0..50).map(|number| (voter(number), partition_writer(&ledger))).collect();
    let mut commits: Vec<_> =
        writers.iter_mut().map(|(voter, writer)| Box::pin(vote(writer.as_mut(), voter, "a"))).collect();
    // poll each commit once, so that all are queued and none is awaited
    for commit in &mut commits {
        assert!(commit.now_or_never().is_none());
    }
    drop(ledger);
    drop(commits);
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    let gate = &ledger.gate_snapshot(&room_id(), 1).await.unwrap().unwrap().gates[0];
    assert_eq!(gate.tally.votes, [50, 0]);
    let told = vote(writers[0].1.as_mut(), &voter(99), "a").await;
    assert!(matches!(told, Err(LedgerError::NotApplied(_))), "{told:?}");
}

#[tokio::test]
async fn the_clock_does_not_fall_behind_a_stored_time() {
    let directory = directory();
    let path = ledger_file(&directory).await;
    let ahead = 4_000_000_000_000;
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(CLOCK_KEY, ahead).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    assert!((ahead..ahead + 60_000).contains(&ledger.check().await.unwrap().now));
    let seq = ledger.room(&room_id()).await.unwrap().unwrap().seq;
    assert!(seq < ahead);
}

/// The system clock was set back by an hour before the start.
#[tokio::test]
async fn a_clock_that_starts_ahead_of_the_system_clock_continues_from_there() {
    let directory = directory();
    let path = ledger_file(&directory).await;
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let ahead = transaction.open_table(META).unwrap().get(CLOCK_KEY).unwrap().unwrap().value() + 3_600_000;
    transaction.open_table(META).unwrap().insert(CLOCK_KEY, ahead).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let ledger = EmbeddedLedger::open(&path, 0).unwrap();
    let first = ledger.check().await.unwrap().now;
    let since = Instant::now();
    assert!(first >= ahead, "{first} {ahead}");
    while since.elapsed() < Duration::from_millis(20) {
        tokio::task::yield_now().await;
    }
    let second = ledger.check().await.unwrap().now;
    assert!(second >= first + 20 && second < first + 60_000, "{first} {second}");
}

/// The file begins with the header of the database, which says where everything else is. An input says which bits of a good
/// file's header are flipped.
#[test]
fn fuzz_ledger_header() {
    let directory = directory();
    let path = directory.path().join("ledger.redb");
    drop(EmbeddedLedger::open(&path, 0).unwrap());
    let good = fs::read(&path).unwrap();
    fuzz::run("ledger_header", 100, |bytes| {
        let flipped = bytes.iter().chain(std::iter::repeat(&0));
        let damaged: Vec<u8> = good.iter().zip(flipped).map(|(byte, flips)| byte ^ flips).collect();
        fs::write(&path, &damaged).unwrap();
        match EmbeddedLedger::open(&path, 0) {
            Ok(_) => "opened".to_owned(),
            Err(error) => {
                assert!(fs::read(&path).unwrap() == damaged, "a file that is refused is not touched: {error}");
                fuzz::shape(&error.to_string().replace(&*path.to_string_lossy(), ""))
            }
        }
    });
}
