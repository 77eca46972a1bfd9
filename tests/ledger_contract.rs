//! What every ledger promises: the same functions over the embedded one and over Redis.
//!
//! Each test is a sentence of the contract that `tallycast::ledger` states.

mod ledger_support;

/// Makes a test of each function for each ledger. The functions take a ledger that publishes each gate at most once
/// in `tick_ms`; those of `restarts` take a whole stand, those of `alone` have a server of their own.
macro_rules! contract {
    (restarts; $($name:ident),+ $(,)?) => {
        contract! { @each crate::ledger_support::Stand::embedded(0), embedded, stand => stand; $($name),+ }
        contract! { @each crate::ledger_support::Stand::redis_of_its_own(0), redis, stand => stand; $($name),+ }
    };
    // for what the other tests of a server would disturb
    (alone; $($name:ident),+ $(,)?) => {
        contract! { @each crate::ledger_support::Stand::embedded(0), embedded_alone, stand => stand.ledger.clone(); $($name),+ }
        contract! { @each crate::ledger_support::Stand::redis_of_its_own(0), redis_alone, stand => stand.ledger.clone(); $($name),+ }
    };
    (tick_ms = $tick_ms:expr; $($name:ident),+ $(,)?) => {
        contract! { @each crate::ledger_support::Stand::embedded($tick_ms), embedded, stand => stand.ledger.clone(); $($name),+ }
        contract! { @each crate::ledger_support::Stand::redis($tick_ms), redis, stand => stand.ledger.clone(); $($name),+ }
    };
    (@each $make:expr, $ledger:ident, $stand:ident => $argument:expr; $($name:ident),+) => {
        mod $ledger {
            $(
                #[tokio::test]
                async fn $name() {
                    let $stand = $make;
                    super::$name($argument).await;
                }
            )+
        }
    };
}

#[path = "ledger_contract/casts.rs"]
mod casts;
#[path = "ledger_contract/crowds.rs"]
mod crowds;
#[path = "ledger_contract/gates.rs"]
mod gates;
#[path = "ledger_contract/jobs.rs"]
mod jobs;
#[path = "ledger_contract/joining.rs"]
mod joining;
#[path = "ledger_contract/moving.rs"]
mod moving;
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
#[path = "ledger_contract/strangers.rs"]
mod strangers;
#[path = "ledger_contract/voters.rs"]
mod voters;
