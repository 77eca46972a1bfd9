//! The measures of the table, by family.
//!
//! Contenders take turns, so other work on the machine affects all of them alike, and medians are kept. Every trial starts
//! its servers anew.
//!
//! | file | rows |
//! | --- | --- |
//! | [`fan_out`] | 1, 2, 3: one tally to every viewer; 10: votes at the same time |
//! | [`votes`] | 4 to 7: votes stored and answered; 11: in the embedded ledger; 15: with traces |
//! | [`sockets`] | 8: memory, and CPU time without activity; 9: everybody connects at once |
//! | [`pods`] | 12: several pods on one Redis |
//! | [`ranking`] | 13: ranking and audit of a large room |
//! | [`many`] | 14: ninety thousand voters |
//! | [`trials`] | runs contenders in turn |

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::table::Row;

mod fan_out;
mod many;
mod pods;
mod ranking;
mod sockets;
mod trials;
mod votes;

/// Numbers of all measures.
pub const NUMBERS: std::ops::RangeInclusive<u8> = 1..=15;

/// Measures the rows of its numbers and passes each on.
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

/// Runs the wanted measures and passes each row on. A failed measure does not stop the others.
///
/// # Errors
/// A measure failed. The text names every failed one.
pub fn run(lab: &Lab, wanted: &BTreeSet<u8>, report: &mut dyn FnMut(Row)) -> Result<()> {
    let mut failed = vec![];
    let many: [(&[u8], Measure); 1] = [(&[14], many::ninety_thousand)];
    let long = if lab.options.full { &many[..] } else { &[] };
    for (numbers, measure) in MEASURES.iter().chain(long) {
        if !numbers.iter().any(|number| wanted.contains(number)) {
            continue;
        }
        eprintln!("measure {numbers:?}");
        let mut report_wanted = |row: Row| {
            if wanted.contains(&row.number) {
                report(row);
            }
        };
        if let Err(error) = measure(lab, &mut report_wanted) {
            let error = format!("measure {numbers:?}: {error:#}");
            eprintln!("{error}");
            failed.push(error);
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
