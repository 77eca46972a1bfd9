//! What the controller and a pool send each other.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use client::protocol::{Standing, TakeId};
use client::voter::KnownBallot;
use serde::{Deserialize, Serialize};

use crate::metrics::Measures;
use crate::scenario::Scenario;
use crate::tls::Roots;

/// Messages that may wait between the controller and a pool.
pub const QUEUE: usize = 64;
/// Violations that are kept as text; all are counted.
pub const MAX_VIOLATIONS: usize = 20;

/// What a pool must know before it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolConfig {
    /// The scenario.
    pub scenario: Scenario,
    /// URL of every pod.
    pub pods: Vec<String>,
    /// Trusted roots, besides those that browsers trust.
    pub roots: Roots,
    /// Local addresses to connect from; empty: the system chooses.
    pub sources: Vec<IpAddr>,
    /// Join code.
    pub room: String,
    /// Begins the names of this run's voters.
    pub run: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Number of this pool, from 0. It has the users whose index leaves this remainder.
    pub pool: u32,
    /// Number of pools.
    pub pools: u32,
}

/// From the controller to a pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PoolCommand {
    /// Carry out a step.
    Step {
        /// Its index.
        index: usize,
        /// When it begins, by the machine's clock.
        begins_unix_ms: u64,
        /// The round that is open in it.
        round: Option<u32>,
    },
    /// Disconnect, and report what every client knows.
    Finish,
}

/// From a pool to the controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PoolReport {
    /// Five times a second.
    Sample(Sample),
    /// At the end.
    Clients(Vec<ClientRecord>),
}

/// What a pool measured since the sample before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Number of the pool.
    pub pool: u32,
    /// What was measured.
    pub measures: Measures,
    /// Its violations, at most [`MAX_VIOLATIONS`].
    pub violations: Vec<String>,
    /// Sockets that have received a state, now.
    pub connected: i64,
    /// Scheduled actions that are not finished, now.
    pub pending: i64,
    /// The last step that has nothing left to start.
    pub started: Option<usize>,
}

/// What one virtual user knows at the end, for the audit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientRecord {
    /// Id; empty if joining never succeeded.
    pub voter: String,
    /// Name.
    pub name: String,
    /// Its ballot in every take with a cast.
    pub ballots: Vec<(TakeId, KnownBallot)>,
    /// The place that it was sent.
    pub standing: Option<Standing>,
}

/// The machine's clock, in ms.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
