//! What the tests share: real processes to test against, and clients that know the public protocol and nothing else.
//!
//! - `server`, `redis`, `guarded_redis`, `prometheus`: processes, each killed by its own handle. `cluster` is one or several servers over
//!   one ledger.
//! - `cutting_proxy`, `delaying_proxy`: faults of the network between them. `receiver`: what the server sends requests to.
//! - `http`, `emcee`, `socket`, `voter`: clients. `metrics`: what `/metrics` says.
//! - `watch`: promises checked on every frame that any client receives.
//! - `reference`, `ranking`, `seals`: the rules once more, written for the tests, to compare the server with.
//! - `ledgers/`: both ledgers, for the suites that call them without a server. A suite includes it by itself.
#![allow(dead_code)] // every test binary uses its own part of this

pub mod cluster;
pub mod cutting_proxy;
pub mod delaying_proxy;
pub mod emcee;
pub mod guarded_redis;
pub mod http;
pub mod metrics;
pub mod prometheus;
pub mod ranking;
pub mod receiver;
pub mod redis;
pub mod reference;
pub mod seals;
pub mod server;
pub mod socket;
pub mod voter;
pub mod watch;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of a test: `TALLYCAST_SEED`, or a fresh one. It is printed, so that a failure can be
/// run again with the same choices.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("TALLYCAST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| rand::rng().random::<u32>().into());
    eprintln!("{test}: TALLYCAST_SEED={seed}");
    seed
}

/// A separate random source for part `part` of a test, so that parts do not affect each other.
pub fn dice(seed: u64, part: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(part))
}

/// A count from the environment, for runs larger than the normal one.
pub fn count(variable: &str, normal: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
        Err(_) => normal,
    }
}

/// How many times the normal number of repetitions a run makes.
pub fn prove_factor() -> usize {
    count("TALLYCAST_PROVE_FACTOR", 1)
}

/// Milliseconds of the wall clock, which on one machine is also the ledger's.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

/// A port nobody listens on. It lies below the kernel's range for outgoing connections: a port from
/// that range may be taken by a client's socket before the server binds it.
pub fn free_port() -> u16 {
    loop {
        let port = rand::rng().random_range(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
