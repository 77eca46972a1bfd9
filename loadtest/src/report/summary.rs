//! The summary of a run: what `--json` writes, and what everything shown is made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::commits::Commits;
use crate::audit::Audit;
use crate::crew::Slow;
use crate::metrics::{Cause, Counter, Measures, Timer, Times};
use crate::process::{Environment, Usage};
use crate::scenario::Scenario;
use crate::threshold::Judgement;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything holds.
    Passed,
    /// A threshold does not hold.
    ThresholdFailed,
    /// What clients were told is not what is on record.
    AuditFailed,
    /// Broken off by Ctrl-C or SIGTERM.
    Interrupted,
}

impl Verdict {
    /// What the program ends with.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::ThresholdFailed => 99,
            Self::AuditFailed => 98,
            Self::Interrupted => 105,
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::ThresholdFailed => "a threshold does not hold",
            Self::AuditFailed => "the audit found differences",
            Self::Interrupted => "interrupted",
        }
    }
}

/// See [module](self).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// How it ended.
    pub verdict: Verdict,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long the phases took, with the pauses between them.
    pub seconds: f64,
    /// What was asked for.
    pub parameters: Parameters,
    /// Where.
    pub environment: Environment,
    /// Thresholds and how they came out.
    pub thresholds: Vec<Judgement>,
    /// What clients were told against the record.
    pub audit: Audit,
    /// All times, by their word.
    pub times: BTreeMap<String, TimeStats>,
    /// All counts that are known, by their word.
    pub counts: BTreeMap<String, u64>,
    /// Errors, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Broken promises, the first ones, in words.
    pub violations: Vec<String>,
    /// What was measured in each phase.
    pub phases: Vec<PhaseSummary>,
    /// What was measured in each second.
    pub timeline: Vec<Moment>,
    /// Slowest acknowledgements.
    pub slowest: Vec<Slow>,
    /// The server's commits during the run.
    pub commits: Option<Commits>,
    /// Commands of the ledger's server that took longest, as its slow log has them; with --slow-log.
    pub slowlog: Vec<SlowCommand>,
    /// Join code of the run's room.
    #[serde(default)]
    pub room: String,
    /// What became of the room afterwards.
    #[serde(default)]
    pub room_afterwards: String,
    /// Whatever makes the result less certain.
    pub remarks: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parameters {
    /// Addresses of the pods.
    pub urls: Vec<String>,
    /// Processes with voters.
    pub processes: u32,
    /// Addresses that voters come from.
    pub sources: Vec<String>,
    /// Of everything drawn by chance.
    pub seed: u64,
    /// What was performed.
    pub scenario: Scenario,
}

/// Times of a kind, in ms.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TimeStats {
    /// How many.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Half of all are not longer.
    pub p50: f64,
    /// 90 % are not longer.
    pub p90: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// Points of the percentile curve: share, ms.
    pub curve: Vec<(f64, f64)>,
}

/// What was measured in a phase.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// Its name, with the number of its repetition.
    pub name: String,
    /// When it began, in seconds from the beginning of the run.
    pub begins: f64,
    /// Until all that was planned in it was finished.
    pub seconds: f64,
    /// Connected at its end.
    pub connected: i64,
    /// Casts sent.
    pub casts: u64,
    /// Votes acknowledged.
    pub votes: u64,
    /// Frames received.
    pub frames: u64,
    /// Voters joined.
    pub joins: u64,
    /// Connections made again.
    pub reconnects: u64,
    /// Errors of all causes.
    pub errors: u64,
    /// `ack` of the phase; none if there was no acknowledgement.
    pub ack_p50: Option<f64>,
    /// The same.
    pub ack_p99: Option<f64>,
    /// What the server used during the phase; memory is that at its end. With --start or --pid.
    pub server: Option<Usage>,
}

/// One second of the timeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds from the beginning of the run.
    pub at: f64,
    /// Sockets with a state.
    pub connected: i64,
    /// `ack` of this second; none if there was no acknowledgement.
    pub ack_p50: Option<f64>,
    /// The same.
    pub ack_p99: Option<f64>,
    /// Casts sent.
    pub casts: u64,
    /// Votes acknowledged.
    pub votes: u64,
    /// Frames received.
    pub frames: u64,
    /// Voters joined and connections made again.
    pub arrivals: u64,
    /// Errors of all causes.
    pub errors: u64,
}

/// A command in the slow log of the ledger's server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlowCommand {
    /// When, by the ledger's clock.
    pub at_unix: i64,
    /// How long it took.
    pub micros: i64,
    /// Its name.
    pub command: String,
}

impl TimeStats {
    fn new(times: &Times) -> Self {
        Self {
            count: times.count(),
            mean: times.mean_ms(),
            p50: times.quantile_ms(0.5),
            p90: times.quantile_ms(0.9),
            p95: times.quantile_ms(0.95),
            p99: times.quantile_ms(0.99),
            p999: times.quantile_ms(0.999),
            max: times.max_ms(),
            curve: times.curve(),
        }
    }
}

/// All times that were measured, by their word.
pub fn times(measures: &Measures) -> BTreeMap<String, TimeStats> {
    let measured = Timer::ALL.iter().filter_map(|timer| Some((timer, measures.times(*timer)?)));
    measured.map(|(timer, times)| (timer.word().to_owned(), TimeStats::new(times))).collect()
}

/// All counts that are known, by their word.
pub fn counts(measures: &Measures) -> BTreeMap<String, u64> {
    let known = Counter::ALL.iter().filter_map(|counter| Some((counter, measures.known(*counter)?)));
    known.map(|(counter, count)| (counter.word().to_owned(), count)).collect()
}

/// All causes that occurred, by their word.
pub fn errors(measures: &Measures) -> BTreeMap<String, u64> {
    let failed = Cause::ALL.iter().map(|cause| (cause.word().to_owned(), measures.failed(*cause)));
    failed.filter(|(_, count)| *count > 0).collect()
}

impl Moment {
    /// From what was measured in a second.
    pub fn new(at: f64, connected: i64, measures: &Measures) -> Self {
        let ack = |share| measures.times(Timer::Ack).map(|times| times.quantile_ms(share));
        Self {
            at,
            connected,
            ack_p50: ack(0.5),
            ack_p99: ack(0.99),
            casts: measures.counted(Counter::Casts),
            votes: measures.counted(Counter::Votes),
            frames: measures.counted(Counter::Frames),
            arrivals: measures.counted(Counter::Joins) + measures.counted(Counter::Reconnects),
            errors: measures.errors(),
        }
    }
}

impl PhaseSummary {
    /// From what was measured in it.
    pub fn fill(&mut self, measures: &Measures) {
        let ack = |share| measures.times(Timer::Ack).map(|times| times.quantile_ms(share));
        self.casts = measures.counted(Counter::Casts);
        self.votes = measures.counted(Counter::Votes);
        self.frames = measures.counted(Counter::Frames);
        self.joins = measures.counted(Counter::Joins);
        self.reconnects = measures.counted(Counter::Reconnects);
        self.errors = measures.errors();
        (self.ack_p50, self.ack_p99) = (ack(0.5), ack(0.99));
    }
}
