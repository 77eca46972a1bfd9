//! The cost of a unit of work, measured by `make bench` and kept in `bench/constants.toml`.

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The file, as of the build of this program.
const TEXT: &str = include_str!("../../../bench/constants.toml");

/// See [module](self). Names end in their unit; `_us` is CPU time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    /// Day of the measurement.
    pub date: String,
    /// Machine of the measurement.
    pub machine: String,
    /// Commit of the measured server.
    pub commit: String,
    /// A tally to one socket.
    pub frame_us: f64,
    /// A cast read, committed and answered.
    pub vote_us: f64,
    /// Connection, handshake, hello and first state.
    pub hello_us: f64,
    /// The HTTP call that joins.
    pub join_us: f64,
    /// A connected voter for a second.
    pub idle_us_per_voter_s: f64,
    /// Redis for a vote in a large batch, `appendfsync everysec`.
    pub redis_vote_us_everysec: f64,
    /// Redis for a vote in a large batch, `appendfsync always`.
    pub redis_vote_us_always: f64,
    /// Server memory of a connected voter.
    pub voter_bytes: f64,
    /// Kernel memory of a connection.
    pub socket_kernel_bytes: f64,
    /// A tally, without TCP and IP.
    pub frame_bytes: f64,
    /// A cast, without TCP and IP.
    pub cast_bytes: f64,
    /// The answer to a cast, without TCP and IP.
    pub ack_bytes: f64,
    /// A ballot of ten votes in Redis.
    pub ballot_redis_bytes: f64,
    /// A voter in Redis.
    pub voter_redis_bytes: f64,
    /// A message on the feed.
    pub publish_bytes: f64,
}

impl Constants {
    /// The constants of this build.
    ///
    /// # Errors
    /// The file is malformed.
    pub fn shipped() -> anyhow::Result<Self> {
        toml::from_str(TEXT).context("bench/constants.toml")
    }
}
