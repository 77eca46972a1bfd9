//! The measures of the table, by family.
//!
//! Contenders take turns, so that whatever else the machine does falls on all of them alike, and medians are kept.
//! Every trial starts its servers anew.
//!
//! | file | rows |
//! | --- | --- |
//! | [`fan_out`] | 1, 2, 3: one tally to all; 10: votes meanwhile |
//! | [`votes`] | 4 to 7: votes stored and answered; 11: in the embedded ledger; 15: with traces |
//! | [`sockets`] | 8: memory; 9: the storm; idling |
//! | [`pods`] | 12: several pods on one Redis |
//! | [`ranking`] | 13: ranking and audit |
//! | [`many`] | 14: ninety thousand |

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;
use crate::table::{Row, median};

mod fan_out;
mod many;
mod pods;
mod ranking;
mod sockets;
mod votes;

/// The measures there are.
pub const NUMBERS: std::ops::RangeInclusive<u8> = 1..=15;

/// Measures the rows of its numbers and tells each as it comes.
type Measure = fn(&Lab, &mut dyn FnMut(Row)) -> Result<()>;

const MEASURES: [(&[u8], Measure); 12] = [
    (&[1], fan_out::to_a_thousand),
    (&[2, 3], fan_out::to_ten_thousand),
    (&[4, 5], votes::committed),
    (&[6], votes::in_redis),
    (&[7], votes::of_fifty),
    (&[8], sockets::memory),
    (&[9], sockets::storm),
    (&[10], fan_out::votes_meanwhile),
    (&[11], votes::embedded),
    (&[12], pods::level),
    (&[13], ranking::large),
    (&[15], votes::traced),
];

/// Measures what is wanted and tells each row as it comes. A measure that fails does not keep the others from their
/// turn.
///
/// # Errors
/// Some measure failed; the text names all that did.
pub fn run(lab: &Lab, wanted: &BTreeSet<u8>, tell: &mut dyn FnMut(Row)) -> Result<()> {
    let mut failed = vec![];
    let many: [(&[u8], Measure); 1] = [(&[14], many::ninety_thousand)];
    let long = if lab.options.full { &many[..] } else { &[] };
    for (numbers, measure) in MEASURES.iter().chain(long) {
        if !numbers.iter().any(|number| wanted.contains(number)) {
            continue;
        }
        eprintln!("measure {numbers:?}");
        let mut tell_wanted = |row: Row| {
            if wanted.contains(&row.number) {
                tell(row);
            }
        };
        if let Err(error) = measure(lab, &mut tell_wanted) {
            let error = format!("measure {numbers:?}: {error:#}");
            eprintln!("{error}");
            failed.push(error);
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// A contender's name and its trial.
type Contender<'c, T> = (&'c str, &'c dyn Fn() -> Result<T>);

/// Gives every contender its turn, round after round; answers the trials of each.
fn in_turn<T, const N: usize>(lab: &Lab, contenders: [Contender<'_, T>; N]) -> Result<[Vec<T>; N]> {
    let mut trials = [(); N].map(|()| vec![]);
    for round in 1..=lab.options.rounds {
        for ((name, trial), trials) in contenders.iter().zip(&mut trials) {
            eprintln!("   round {round}: {name}");
            trials.push(trial().with_context(|| format!("{name}, round {round}"))?);
        }
    }
    Ok(trials)
}

/// The median of one figure over trials.
fn middle<T>(trials: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(trials.iter().map(figure))
}
