//! Limits of a scenario, beyond its syntax.

use std::time::Duration;

use super::model::{RoundChange, Scenario};
use super::steps::steps;

/// Rounds that a room may have.
const MAX_ROUNDS: usize = 100;

impl Scenario {
    /// Checks it.
    ///
    /// # Errors
    /// The first key that is not valid, with what to do.
    pub fn check(&self) -> Result<(), String> {
        self.check_hall()?;
        self.thresholds()?;
        if self.phases.is_empty() {
            return Err("it has no [[phase]]; add at least one in which voters join".into());
        }
        for phase in &self.phases {
            let wrong = |key: &str, why: &str| Err(format!("phase \"{}\": {key} {why}", phase.name));
            for (key, share) in [("join", phase.join), ("cut", phase.cut), ("stall", phase.stall)] {
                if !(0.0..=1.0).contains(&share) {
                    return wrong(key, "is a share: from 0.0 to 1.0");
                }
            }
            if phase.duration.is_zero() {
                return wrong("duration", "must be longer than 0s");
            }
            if !(1..=1000).contains(&phase.repeat) {
                return wrong("repeat", "must be from 1 to 1000");
            }
            if !phase.taps_per_second.is_finite() || phase.taps_per_second < 0.0 {
                return wrong("taps_per_second", "must be 0 or more");
            }
            if phase.taps_per_second > 0.0 && phase.taps_per_voter > 0 {
                return wrong("taps_per_second", "and taps_per_voter cannot be combined: leave one out");
            }
            if phase.reveal && phase.round != RoundChange::None {
                return wrong("reveal", "works only while no round is open: leave out round");
            }
        }
        self.check_steps()
    }

    fn check_hall(&self) -> Result<(), String> {
        let hall = &self.hall;
        let bounds = [
            ("voters", u64::from(hall.voters), 1, 1_000_000),
            ("stages", u64::from(hall.stages), 0, 1000),
            ("votes_per_round", u64::from(hall.votes_per_round), 1, 100),
            ("choices", u64::from(hall.choices), 2, 8),
            ("seconds", u64::from(hall.seconds.unwrap_or(5)), 5, 86_400),
            ("partitions", u64::from(hall.partitions), 1, 64),
        ];
        for (key, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(format!("hall.{key} is {value}; it must be from {min} to {max}"));
            }
        }
        if hall.ping < Duration::from_secs(1) {
            return Err("hall.ping must be 1s or longer: the server allows one ping a second".into());
        }
        Ok(())
    }

    /// Goes through every step: there must be enough rounds, voters and slips for it.
    fn check_steps(&self) -> Result<(), String> {
        let (mut joined, mut spent) = (0.0, 0u64);
        let mut rounds = 0;
        let mut open = false;
        for step in steps(self) {
            let phase = &self.phases[step.phase];
            let wrong = |text: String| Err(format!("phase \"{}\": {text}", phase.name));
            match phase.round {
                RoundChange::New => (open, spent, rounds) = (true, 0, rounds + 1),
                RoundChange::None => open = false,
                RoundChange::Same => {}
            }
            let taps = step.taps(self);
            if taps > 0 && !open {
                return wrong("there are taps but no round is open; set round = \"new\"".into());
            }
            if (taps > 0 || phase.cut > 0.0 || phase.stall > 0.0) && step.joined == 0 {
                return wrong("nobody has joined before it; put a phase with join = 1.0 first".into());
            }
            if phase.reveal && rounds == 0 {
                return wrong("there is no result to reveal before the first round".into());
            }
            joined += phase.join;
            if joined > 1.0 + 1e-9 {
                return wrong("more than all voters join; the shares of all phases may add up to 1.0".into());
            }
            spent += taps;
            let slips = u64::from(step.tapping(self)) * u64::from(self.hall.votes_per_round);
            if spent > slips {
                return wrong(format!(
                    "{spent} taps are planned in one round, and its voters have {slips} slips; raise \
                     hall.votes_per_round (up to 100), lower taps_per_second, or shorten it and set repeat"
                ));
            }
        }
        if rounds > MAX_ROUNDS {
            return Err(format!("it opens {rounds} rounds; a room has at most {MAX_ROUNDS}, so make phases longer"));
        }
        Ok(())
    }
}
