//! A scenario file, as types.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shipped::SHIPPED;
use crate::console::usage_error;
use crate::threshold::Threshold;

/// A scenario file. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line that says what it tests.
    pub title: String,
    /// What must hold at the end.
    #[serde(default)]
    pub thresholds: Vec<String>,
    /// Who takes part, and in what room.
    #[serde(default)]
    pub hall: Hall,
    /// What happens, one phase after the other.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
}

/// `[hall]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hall {
    /// Simulated phones, 1 to 1,000,000.
    pub voters: u32,
    /// Stage pages, 0 to 1,000. They only watch.
    pub stages: u32,
    /// Slips of a voter in a round, 1 to 100.
    pub votes_per_round: u32,
    /// Choices of a round, 2 to 8.
    pub choices: u8,
    /// Length of a timed round, 5 to 86,400. Without it a round is closed at the end of its phase.
    pub seconds: Option<u32>,
    /// When the split may be seen.
    pub split: Split,
    /// Partitions of the room, 1 to 64.
    pub partitions: u16,
    /// Time between two pings of a voter's page; at least 1 s.
    #[serde(with = "humantime_serde")]
    pub ping: Duration,
}

impl Default for Hall {
    fn default() -> Self {
        Self {
            voters: 1000,
            stages: 1,
            votes_per_round: 10,
            choices: 2,
            seconds: None,
            split: Split::Live,
            partitions: 1,
            ping: Duration::from_secs(3),
        }
    }
}

/// When the split of a round may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// At once.
    Live,
    /// After the close.
    Hidden,
    /// When the emcee shows it.
    Held,
}

/// `[[phase]]`: everything in it happens at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name in the report.
    pub name: String,
    /// Its length, written as `90s` or `2m 30s`.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// How many times it runs in a row.
    #[serde(default = "once")]
    pub repeat: u32,
    /// What happens to rounds when it begins.
    #[serde(default)]
    pub round: RoundChange,
    /// How scheduled moments are distributed over it.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// Share of all voters who join in it.
    #[serde(default)]
    pub join: f64,
    /// Taps per second of all voters together.
    #[serde(default)]
    pub taps_per_second: f64,
    /// Taps of each voter in the phase.
    #[serde(default)]
    pub taps_per_voter: u32,
    /// Share of the voters whose connection is cut in it.
    #[serde(default)]
    pub cut: f64,
    /// Share of the voters who do not read during it.
    #[serde(default)]
    pub stall: f64,
    /// The round is closed at its exact end, while votes are still in flight.
    #[serde(default)]
    pub sharp: bool,
    /// The ranking is shown, step by step.
    #[serde(default)]
    pub reveal: bool,
    /// After a quarter of it, a pod of the server and the ledger are to be restarted.
    #[serde(default)]
    pub disturb: bool,
}

fn once() -> u32 {
    1
}

/// What happens to rounds when a phase begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundChange {
    /// An open round is closed.
    #[default]
    None,
    /// An open round is closed, and the next one is opened.
    New,
    /// An open round stays open.
    Same,
}

/// How scheduled moments are distributed over a phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At random, equally likely at any time.
    #[default]
    Poisson,
    /// At equal distances.
    Even,
    /// At random, most of them early: two thirds in the first quarter.
    Front,
}

impl Scenario {
    /// A shipped scenario by its name, or a file by its path.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or is not valid: names the key, the line and what to do.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(text, name);
        }
        let path = Path::new(name);
        if !name.contains(['/', '.']) && !path.exists() {
            let names = SHIPPED.map(|(name, _)| name).join(", ");
            return Err(usage_error(format!(
                "there is no scenario \"{name}\"; there are {names}, or give the path of a file"
            )));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage_error(format!("the scenario {name} cannot be read: {error}; check the path")))?;
        Self::parse(&text, name)
    }

    /// Reads and checks a scenario. `place` is named in errors.
    ///
    /// # Errors
    /// See [`Self::load`].
    pub fn parse(text: &str, place: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            usage_error(format!("{place}, line {line}: {}; docs/loadtest.md lists the keys", error.message().trim()))
        })?;
        scenario.check().map_err(|wrong| usage_error(format!("{place}: {wrong}")))?;
        Ok(scenario)
    }

    /// With another number of voters. `taps_per_second` scales with it.
    pub fn with_voters(mut self, voters: u32) -> Self {
        let scale = f64::from(voters) / f64::from(self.hall.voters.max(1));
        self.hall.voters = voters;
        self.phases.iter_mut().for_each(|phase| phase.taps_per_second *= scale);
        self
    }

    /// With another length: every phase is scaled; `taps_per_second` stays.
    pub fn with_duration(mut self, duration: Duration) -> Self {
        let scale = duration.as_secs_f64() / self.duration().as_secs_f64().max(0.001);
        self.phases.iter_mut().for_each(|phase| phase.duration = phase.duration.mul_f64(scale));
        self
    }

    /// Its length, without the pauses between phases.
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration * phase.repeat).sum()
    }

    /// Its thresholds, parsed.
    ///
    /// # Errors
    /// The first that is not valid.
    pub fn thresholds(&self) -> Result<Vec<Threshold>, String> {
        self.thresholds.iter().map(|text| text.parse()).collect()
    }
}
