//! The summary of a run: the content of `--json`, and the source of every report.

use serde::Serialize;

use crate::audit::Audit;
use crate::metrics::{self, Counter, Measures, Timer};
use crate::platform::Usage;
use crate::scenario::Scenario;
use crate::threshold::Judgement;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How it ended.
    pub verdict: Verdict,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long the phases took, with the pauses between them.
    pub seconds: f64,
    /// The options of the run.
    pub parameters: Parameters,
    /// Thresholds and their results.
    pub thresholds: Vec<Judgement>,
    /// What clients know against the record.
    pub audit: Audit,
    /// What was measured in the whole run.
    #[serde(flatten, serialize_with = "metrics::in_summary")]
    pub measures: Measures,
    /// The first violations, as text.
    pub violations: Vec<String>,
    /// What was measured in each phase.
    pub phases: Vec<PhaseSummary>,
    /// What was measured in each second.
    pub timeline: Vec<Figures>,
    /// Join code of the run's room.
    pub room: String,
    /// What happened to the room afterwards.
    pub room_afterwards: String,
    /// What makes the result less certain.
    pub remarks: Vec<String>,
}

impl Summary {
    /// What a reader must know besides the figures.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let remarks = self.remarks.iter().map(|remark| format!("note: {remark}"));
        let violations = self.violations.iter().map(|violation| format!("broken promise: {violation}"));
        let differences = self.audit.told.iter().map(|difference| format!("difference: {difference}"));
        remarks.chain(violations).chain(differences)
    }
}

/// The options of a run, and where it ran.
#[derive(Debug, Serialize)]
pub struct Parameters {
    /// Addresses of the pods.
    pub urls: Vec<String>,
    /// Processes with voters.
    pub processes: u32,
    /// Seed of every random choice.
    pub seed: u64,
    /// The machine of the load test.
    pub machine: String,
    /// What the server's binary prints for `--version`. Only with `--start`.
    pub server: Option<String>,
    /// The scenario.
    pub scenario: Scenario,
}

/// What was measured in a phase.
#[derive(Debug, Serialize)]
pub struct PhaseSummary {
    /// Its name, with the number of its repetition.
    pub name: String,
    /// When it began, in seconds from the beginning of the run.
    pub begins: f64,
    /// Until everything scheduled in it was finished.
    pub seconds: f64,
    /// What was measured, until its end.
    #[serde(flatten)]
    pub figures: Figures,
    /// CPU time of the server in the phase, and its memory at the end. With `--start` or `--pid`.
    pub server: Option<Usage>,
}

/// What was measured in a phase or a second, in short.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// End, in seconds from the beginning of the run.
    pub at: f64,
    /// Sockets with a state at the end.
    pub connected: i64,
    /// Median of `ack` in ms; `None` without an acknowledgement.
    pub ack_p50: Option<f64>,
    /// 99th percentile of `ack` in ms.
    pub ack_p99: Option<f64>,
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
}

impl Figures {
    /// From everything that was measured until `at`.
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
            joins: measures.counted(Counter::Joins),
            reconnects: measures.counted(Counter::Reconnects),
            errors: measures.errors(),
        }
    }
}
