//! The constants of `loadtest plan`: what a unit of work costs. Rows that measure one note it here.

use std::collections::BTreeMap;

/// Every constant. `_us` is CPU time of the server, or of Redis in `redis_…`.
const NAMES: [&str; 15] = [
    "ack_bytes",
    "ballot_redis_bytes",
    "cast_bytes",
    "frame_bytes",
    "frame_us",
    "hello_us",
    "idle_us_per_voter_s",
    "join_us",
    "publish_bytes",
    "redis_vote_us_always",
    "redis_vote_us_everysec",
    "socket_kernel_bytes",
    "vote_us",
    "voter_bytes",
    "voter_redis_bytes",
];

/// Measured values by name. What was not measured is missing.
pub type Constants = BTreeMap<String, f64>;

/// Notes a value: bytes as a whole number, times with two digits. More digits would not be exact.
///
/// # Panics
/// There is no constant of this name: the caller's mistake.
pub fn note(constants: &mut Constants, name: &str, value: f64) {
    assert!(NAMES.contains(&name), "{name} is not a constant of the plan");
    let digits = if name.ends_with("_bytes") { 1.0 } else { 100.0 };
    constants.insert(name.to_owned(), (value * digits).round() / digits);
}
