//! Trials of several contenders in turn.

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::table::median;

/// A contender's name and its trial.
type Contender<'c, T> = (&'c str, &'c dyn Fn() -> Result<T>);

/// Runs every contender's trial, round after round, and gives the trials of each.
pub fn in_turn<T, const N: usize>(lab: &Lab, contenders: [Contender<'_, T>; N]) -> Result<[Vec<T>; N]> {
    let mut trials = [(); N].map(|()| vec![]);
    for round in 1..=lab.options.rounds {
        for ((name, trial), trials) in contenders.iter().zip(&mut trials) {
            eprintln!("   round {round}: {name}");
            trials.push(trial().with_context(|| format!("{name}, round {round}"))?);
        }
    }
    Ok(trials)
}

/// The median of a figure over trials.
pub fn middle<T>(trials: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(trials.iter().map(figure))
}
