//! The schedule of a step: who does what when. It is made before the step begins, so no late answer can delay it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::scenario::{Arrivals, Scenario, Step};

/// A scheduled action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// From the beginning of the step.
    pub at: Duration,
    /// Index of the virtual user.
    pub user: u32,
    /// What the user does.
    pub action: Action,
}

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Joins and connects.
    Join,
    /// Taps once.
    Tap,
    /// Loses the connection.
    Cut,
    /// Stops reading.
    Stall,
    /// Reads again.
    Resume,
}

/// Decay of [`Arrivals::Front`] over a phase.
const FRONT_DECAY: f64 = 4.0;

/// Every action of a step, in order of time. The same in every process with the same seed.
pub fn schedule(scenario: &Scenario, step: &Step, seed: u64) -> Vec<Scheduled> {
    let phase = &scenario.phases[step.phase];
    let mut rng = StdRng::seed_from_u64(seed.wrapping_add((step.index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let mut plan = vec![];
    let mut add = |action: Action, users: Vec<u32>, rng: &mut StdRng| {
        let moments = moments(phase.arrivals, users.len(), phase.duration, rng);
        plan.extend(moments.into_iter().zip(users).map(|(at, user)| Scheduled { at, user, action }));
    };
    add(Action::Join, (step.joined..step.joined_after).collect(), &mut rng);

    let mut tapping: Vec<u32> = (step.stalled(scenario)..step.joined).collect();
    let mut taps = Vec::with_capacity(step.taps(scenario) as usize);
    while taps.len() < taps.capacity().min(step.taps(scenario) as usize) {
        // everybody taps once before anybody taps twice, so nobody runs out of slips
        tapping.shuffle(&mut rng);
        let left = step.taps(scenario) as usize - taps.len();
        taps.extend(tapping.iter().take(left));
    }
    add(Action::Tap, taps, &mut rng);

    let mut cut: Vec<u32> = (step.stalled(scenario)..step.joined).collect();
    cut.shuffle(&mut rng);
    cut.truncate((f64::from(step.joined) * phase.cut).round() as usize);
    add(Action::Cut, cut, &mut rng);

    for user in 0..step.stalled(scenario) {
        plan.push(Scheduled { at: Duration::ZERO, user, action: Action::Stall });
        plan.push(Scheduled { at: phase.duration, user, action: Action::Resume });
    }
    plan.sort_by_key(|due| due.at);
    plan
}

/// `count` moments in order. A Poisson process with a known count is a sorted uniform sample.
fn moments(arrivals: Arrivals, count: usize, span: Duration, rng: &mut StdRng) -> Vec<Duration> {
    let mut parts: Vec<f64> = match arrivals {
        Arrivals::Even => (0..count).map(|i| (i as f64 + 0.5) / count as f64).collect(),
        Arrivals::Poisson => (0..count).map(|_| rng.random::<f64>()).collect(),
        Arrivals::Front => {
            let all = 1.0 - (-FRONT_DECAY).exp();
            (0..count).map(|_| -(1.0 - rng.random::<f64>() * all).ln() / FRONT_DECAY).collect()
        }
    };
    parts.sort_by(f64::total_cmp);
    parts.into_iter().map(|part| span.mul_f64(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::steps;

    fn plan(phase: &str, seed: u64) -> Vec<Scheduled> {
        let text = format!(
            "title = \"t\"\n[hall]\nvoters = 1000\nvotes_per_round = 100\n[[phase]]\nname = \"in\"\nduration = \"1s\"\n\
             join = 1.0\n[[phase]]\nname = \"p\"\nduration = \"100s\"\nround = \"new\"\n{phase}"
        );
        let scenario = Scenario::parse(&text, "test").unwrap();
        schedule(&scenario, &steps(&scenario)[1], seed)
    }

    fn in_second(plan: &[Scheduled], second: u64) -> usize {
        plan.iter().filter(|due| due.at.as_secs() == second).count()
    }

    #[test]
    fn an_even_rate_is_the_same_in_every_second() {
        let plan = plan("taps_per_second = 200\narrivals = \"even\"", 1);
        assert_eq!(plan.len(), 20_000);
        for second in 0..100 {
            assert!((199..=201).contains(&in_second(&plan, second)), "second {second}");
        }
    }

    #[test]
    fn poisson_arrivals_vary_at_random_and_keep_their_rate() {
        let plan = plan("taps_per_second = 200", 1);
        assert_eq!(plan.len(), 20_000);
        let counts: Vec<f64> = (0..100).map(|second| in_second(&plan, second) as f64).collect();
        let mean = counts.iter().sum::<f64>() / 100.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 99.0;
        assert!((mean - 200.0).abs() < 1e-9);
        assert!((100.0..400.0).contains(&variance), "{variance}");
    }

    #[test]
    fn front_arrivals_come_early() {
        let plan = plan("taps_per_voter = 10\narrivals = \"front\"", 1);
        let early = plan.iter().filter(|due| due.at < Duration::from_secs(25)).count();
        assert!((6000..7000).contains(&early), "{early} of {}", plan.len());
    }

    #[test]
    fn every_voter_taps_as_often_as_the_others() {
        let plan = plan("taps_per_voter = 7", 3);
        let mut taps = vec![0; 1000];
        plan.iter().for_each(|due| taps[due.user as usize] += 1);
        assert!(taps.iter().all(|taps| *taps == 7));
    }

    #[test]
    fn the_schedule_is_in_order_and_repeats_with_its_seed() {
        let text = "taps_per_second = 50\ncut = 0.3\nstall = 0.1";
        let first = plan(text, 9);
        assert!(first.is_sorted_by_key(|due| due.at));
        assert_eq!(first, plan(text, 9));
        assert_ne!(first, plan(text, 10));
        let count = |action| first.iter().filter(|due| due.action == action).count();
        assert_eq!((count(Action::Cut), count(Action::Stall), count(Action::Resume)), (300, 100, 100));
        let stalled_taps = first.iter().filter(|due| due.action == Action::Tap && due.user < 100).count();
        assert_eq!(stalled_taps, 0);
    }
}
