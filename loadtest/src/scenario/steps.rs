//! The phases of a scenario with their repetitions, one after the other.

use super::model::{RoundChange, Scenario};

/// One run of a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index among all steps.
    pub index: usize,
    /// Index of its phase.
    pub phase: usize,
    /// Its name in the report.
    pub name: String,
    /// Voters who had joined before: those with a lower index.
    pub joined: u32,
    /// Voters who have joined after it.
    pub joined_after: u32,
    /// Number of the round that it opens, from 1.
    pub opens: Option<u32>,
}

/// All steps of a scenario.
pub fn steps(scenario: &Scenario) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let (mut share, mut rounds) = (0.0, 0);
    for (phase, plan) in scenario.phases.iter().enumerate() {
        for turn in 1..=plan.repeat {
            let joined = voters(scenario, share);
            share += plan.join;
            rounds += u32::from(plan.round == RoundChange::New);
            steps.push(Step {
                index: steps.len(),
                phase,
                name: if plan.repeat == 1 { plan.name.clone() } else { format!("{} {turn}", plan.name) },
                joined,
                joined_after: voters(scenario, share),
                opens: (plan.round == RoundChange::New).then_some(rounds),
            });
        }
    }
    steps
}

fn voters(scenario: &Scenario, share: f64) -> u32 {
    ((f64::from(scenario.hall.voters) * share).round() as u32).min(scenario.hall.voters)
}

impl Step {
    /// Voters who do not read in it: those with the lowest indices.
    pub fn stalled(&self, scenario: &Scenario) -> u32 {
        (f64::from(self.joined) * scenario.phases[self.phase].stall).round() as u32
    }

    /// Voters who tap in it.
    pub fn tapping(&self, scenario: &Scenario) -> u32 {
        self.joined - self.stalled(scenario)
    }

    /// Taps scheduled in it.
    pub fn taps(&self, scenario: &Scenario) -> u64 {
        let phase = &scenario.phases[self.phase];
        let by_rate = (phase.taps_per_second * phase.duration.as_secs_f64()).round() as u64;
        by_rate + u64::from(phase.taps_per_voter) * u64::from(self.tapping(scenario))
    }
}
