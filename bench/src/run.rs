//! A run: which rows are measured, and what becomes of them.

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::options::Options;
use crate::record::Record;
use crate::rows;
use crate::server::pin_self;

/// Measures some rows and puts them into the record.
type Measure = fn(&Lab, &mut Record) -> Result<()>;

/// The numbers of rows, whether they need `--full` because they take long, and their measure.
const MEASURES: [(&[u8], bool, Measure); 13] = [
    (&[1], false, rows::to_a_thousand),
    (&[2, 3], false, rows::to_ten_thousand),
    (&[4, 5], false, rows::committed),
    (&[6], false, rows::in_redis),
    (&[7], false, rows::of_fifty),
    (&[8], false, rows::memory),
    (&[9], false, rows::storm),
    (&[10], false, rows::votes_meanwhile),
    (&[11], false, rows::embedded),
    (&[12], false, rows::pods),
    (&[13], false, rows::hundred_thousand_ballots),
    (&[13], true, rows::million_ballots),
    (&[14], true, rows::ninety_thousand),
];

/// Measures what the options say, prints the table, and keeps or writes it. A failed measure does not stop the others.
///
/// # Errors
/// A binary is missing, a file cannot be written, or a measure failed. The text names every failed one.
pub fn run(options: Options) -> Result<()> {
    let Options { scale, write, full, .. } = options;
    ensure!(scale > 0.0 && scale <= 1.0, "--scale must be above 0 and at most 1");
    let lab = Lab::new(options)?;
    pin_self()?;
    let mut record = Record::load(&lab.options.server);
    let wanted = &lab.options.numbers;
    let mut failed = vec![];
    for (numbers, is_long, measure) in MEASURES {
        let is_wanted = wanted.is_empty() || numbers.iter().any(|number| wanted.contains(number));
        if !is_wanted || (is_long && !full) {
            continue;
        }
        eprintln!("measure {numbers:?}");
        if let Err(error) = measure(&lab, &mut record) {
            failed.push(format!("measure {numbers:?}: {error:#}"));
            eprintln!("{}", failed[failed.len() - 1]);
        }
    }
    println!("\n{}", record.table());
    // rows measured before a failure are valid
    if scale == 1.0 {
        record.keep()?;
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    if write { record.publish() } else { Ok(()) }
}
