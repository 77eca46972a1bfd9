//! The summary of a run: the content of `--json`, and the source of every report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::commits::Commits;
use crate::audit::Audit;
use crate::metrics::{Cause, Counter, Measures, Timer, Times};
use crate::platform::{Environment, Usage};
use crate::pool::messages::SlowAck;
use crate::scenario::Scenario;
use crate::threshold::Judgement;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every threshold holds, and the audit is exact.
    Passed,
    /// A threshold does not hold.
    ThresholdFailed,
    /// What clients know differs from the record.
    AuditFailed,
    /// Ended early by Ctrl-C or SIGTERM.
    Interrupted,
}

impl Verdict {
    /// The exit code of the program.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::ThresholdFailed => 99,
            Self::AuditFailed => 98,
            Self::Interrupted => 105,
        }
    }

    /// As text.
    pub fn text(self) -> &'static str {
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
    /// The options of the run.
    pub parameters: Parameters,
    /// The machine.
    pub environment: Environment,
    /// Thresholds and their results.
    pub thresholds: Vec<Judgement>,
    /// What clients know against the record.
    pub audit: Audit,
    /// Every measured time, by its name.
    pub times: BTreeMap<String, TimeStats>,
    /// Every known counter, by its name.
    pub counts: BTreeMap<String, u64>,
    /// Errors, by cause.
    pub errors: BTreeMap<String, u64>,
    /// The first violations, as text.
    pub violations: Vec<String>,
    /// What was measured in each phase.
    pub phases: Vec<PhaseSummary>,
    /// What was measured in each second.
    pub timeline: Vec<TimelinePoint>,
    /// Slowest acknowledgements.
    pub slowest: Vec<SlowAck>,
    /// The server's commits during the run.
    pub commits: Option<Commits>,
    /// The slowest commands of the ledger's server, from its slow log. With `--slow-log`.
    pub slowlog: Vec<SlowCommand>,
    /// Join code of the run's room.
    #[serde(default)]
    pub room: String,
    /// What happened to the room afterwards.
    #[serde(default)]
    pub room_afterwards: String,
    /// What makes the result less certain.
    pub remarks: Vec<String>,
}

/// The options of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parameters {
    /// Addresses of the pods.
    pub urls: Vec<String>,
    /// Processes with voters.
    pub processes: u32,
    /// Local addresses of the voters.
    pub sources: Vec<String>,
    /// Seed of every random choice.
    pub seed: u64,
    /// The scenario.
    pub scenario: Scenario,
}

/// Times of a kind, in ms.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TimeStats {
    /// Number of times.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
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
    /// Until everything scheduled in it was finished.
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
    /// Connections made after one was lost or cut.
    pub reconnects: u64,
    /// Errors of all causes.
    pub errors: u64,
    /// Median of `ack`; `None` without an acknowledgement.
    pub ack_p50: Option<f64>,
    /// 99th percentile of `ack`.
    pub ack_p99: Option<f64>,
    /// CPU time of the server in the phase, and its memory at the end. With `--start` or `--pid`.
    pub server: Option<Usage>,
}

/// One second of the timeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// Seconds from the beginning of the run.
    pub at: f64,
    /// Sockets with a state.
    pub connected: i64,
    /// Median of `ack`; `None` without an acknowledgement.
    pub ack_p50: Option<f64>,
    /// 99th percentile of `ack`.
    pub ack_p99: Option<f64>,
    /// Casts sent.
    pub casts: u64,
    /// Votes acknowledged.
    pub votes: u64,
    /// Frames received.
    pub frames: u64,
    /// Voters joined, and connections made after one was lost or cut.
    pub arrivals: u64,
    /// Errors of all causes.
    pub errors: u64,
}

/// A command in the slow log of the ledger's server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlowCommand {
    /// When, by the ledger's clock, in s since 1970.
    pub at_unix: i64,
    /// How long it took, in µs.
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

/// Every measured time, by its name.
pub fn times(measures: &Measures) -> BTreeMap<String, TimeStats> {
    let measured = Timer::ALL.iter().filter_map(|timer| Some((timer, measures.times(*timer)?)));
    measured.map(|(timer, times)| (timer.name().to_owned(), TimeStats::new(times))).collect()
}

/// Every known counter, by its name.
pub fn counts(measures: &Measures) -> BTreeMap<String, u64> {
    let known = Counter::ALL.iter().filter_map(|counter| Some((counter, measures.reported(*counter)?)));
    known.map(|(counter, count)| (counter.name().to_owned(), count)).collect()
}

/// Every cause with an error, by its name.
pub fn errors(measures: &Measures) -> BTreeMap<String, u64> {
    let failed = Cause::ALL.iter().map(|cause| (cause.name().to_owned(), measures.failed(*cause)));
    failed.filter(|(_, count)| *count > 0).collect()
}

impl TimelinePoint {
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
