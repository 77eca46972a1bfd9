//! Each ledger against a plain reference in memory, command by random command.
//!
//! The references know nothing of the ledgers: they keep vectors, state the rules once more, and count by reading
//! everything again. All answers are compared, except times.
//!
//! `TALLYCAST_PROVE_FACTOR` multiplies the number of cases.

#[path = "support/ledgers/mod.rs"]
mod ledgers;
mod support;

use std::sync::OnceLock;

use ledgers::TestLedger;
use proptest::test_runner::Config;
use proptest_state_machine::prop_state_machine;
use tokio::runtime::{Builder, Runtime};

#[path = "ledger_model/people.rs"]
mod people;
#[path = "ledger_model/rooms.rs"]
mod rooms;
#[path = "ledger_model/votes.rs"]
mod votes;

use people::PeopleTest;
use rooms::RoomsTest;
use votes::VotesTest;

/// Which ledger is tested.
pub trait Kind: 'static {
    /// A ledger for one case.
    fn test_ledger() -> TestLedger;
}

/// The file.
#[derive(Debug)]
pub struct Embedded;

impl Kind for Embedded {
    fn test_ledger() -> TestLedger {
        TestLedger::embedded(0)
    }
}

/// The server.
#[derive(Debug)]
pub struct Redis;

impl Kind for Redis {
    fn test_ledger() -> TestLedger {
        TestLedger::redis(0)
    }
}

/// Runs a future to its end.
pub fn wait<T>(asked: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    RUNTIME.get_or_init(build).block_on(asked)
}

fn cases(usual: u32) -> Config {
    let factor = std::env::var("TALLYCAST_PROVE_FACTOR").ok().map_or(1, |text| text.parse().expect("a number"));
    // a failing case is printed whole; a file of seeds would only be good for the commands of that day
    Config { cases: usual * factor, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() }
}

prop_state_machine! {
    #![proptest_config(cases(32))]
    #[test]
    fn votes_in_the_file_match_the_reference(sequential 1..60 => VotesTest<Embedded, 1>);
    #[test]
    fn votes_in_three_partitions_of_the_file_match_the_reference(sequential 1..60 => VotesTest<Embedded, 3>);
    #[test]
    fn votes_in_redis_match_the_reference(sequential 1..60 => VotesTest<Redis, 1>);
    #[test]
    fn votes_in_three_partitions_of_redis_match_the_reference(sequential 1..60 => VotesTest<Redis, 3>);
    #[test]
    fn voters_in_the_file_match_the_reference(sequential 1..80 => PeopleTest<Embedded>);
    #[test]
    fn voters_in_redis_match_the_reference(sequential 1..80 => PeopleTest<Redis>);
    #[test]
    fn rooms_in_the_file_match_the_reference(sequential 1..40 => RoomsTest<Embedded>);
    #[test]
    fn rooms_in_redis_match_the_reference(sequential 1..40 => RoomsTest<Redis>);
}
