//! What every ledger promises: the same functions over the embedded one and over Redis.
//!
//! Each test is a sentence of the contract that `tallycast::ledger` states.

#[path = "support/ledgers/mod.rs"]
mod ledgers;
mod support;

/// Makes a test of each function for each ledger. The functions take a ledger that publishes each gate at most once
/// in `tick_ms`; those of `restarts` take a ledger that can be opened again, those of `alone` have a server of their own.
macro_rules! contract {
    (restarts; $($name:ident),+ $(,)?) => {
        contract! { @each crate::ledgers::TestLedger::embedded(0), embedded, test_ledger => test_ledger; $($name),+ }
        contract! { @each crate::ledgers::TestLedger::redis_of_its_own(0), redis, test_ledger => test_ledger; $($name),+ }
    };
    // for what the other tests of a server would disturb
    (alone; $($name:ident),+ $(,)?) => {
        contract! { @each crate::ledgers::TestLedger::embedded(0), embedded_alone, test_ledger => test_ledger.ledger.clone(); $($name),+ }
        contract! { @each crate::ledgers::TestLedger::redis_of_its_own(0), redis_alone, test_ledger => test_ledger.ledger.clone(); $($name),+ }
    };
    (tick_ms = $tick_ms:expr; $($name:ident),+ $(,)?) => {
        contract! { @each crate::ledgers::TestLedger::embedded($tick_ms), embedded, test_ledger => test_ledger.ledger.clone(); $($name),+ }
        contract! { @each crate::ledgers::TestLedger::redis($tick_ms), redis, test_ledger => test_ledger.ledger.clone(); $($name),+ }
    };
    (@each $make:expr, $ledger:ident, $test_ledger:ident => $argument:expr; $($name:ident),+) => {
        mod $ledger {
            $(
                #[tokio::test]
                async fn $name() {
                    let $test_ledger = $make;
                    super::$name($argument).await;
                }
            )+
        }
    };
}

#[path = "ledger_contract/archives.rs"]
mod archives;
#[path = "ledger_contract/casts.rs"]
mod casts;
#[path = "ledger_contract/crowds.rs"]
mod crowds;
#[path = "ledger_contract/forged_archives.rs"]
mod forged_archives;
#[path = "ledger_contract/gates.rs"]
mod gates;
#[path = "ledger_contract/jobs.rs"]
mod jobs;
#[path = "ledger_contract/joining.rs"]
mod joining;
#[path = "ledger_contract/pods.rs"]
mod pods;
#[path = "ledger_contract/publishing.rs"]
mod publishing;
#[path = "ledger_contract/restarts.rs"]
mod restarts;
#[path = "ledger_contract/reveals.rs"]
mod reveals;
#[path = "ledger_contract/rooms.rs"]
mod rooms;
#[path = "ledger_contract/seals.rs"]
mod seals;
#[path = "ledger_contract/voters.rs"]
mod voters;
