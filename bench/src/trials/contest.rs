//! Trials of several contenders in turn.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::lab::{Contender, Kind, Lab, Size};
use crate::row::Row;

/// The figures of one trial, by name. A name ends in the unit.
pub type Figures = Vec<(&'static str, f64)>;

/// The median of each figure, by contender and name.
pub struct Medians(BTreeMap<(&'static str, &'static str), f64>);

impl Medians {
    /// A contender's figure.
    ///
    /// # Panics
    /// There is no such contender or figure: the caller's mistake.
    pub fn of(&self, contender: &'static str, figure: &'static str) -> f64 {
        *self.0.get(&(contender, figure)).unwrap_or_else(|| panic!("{contender} has no figure {figure}"))
    }

    /// A row without limits: a figure of Tallycast, which comes first, and of other contenders.
    ///
    /// # Panics
    /// There is no such contender or figure: the caller's mistake.
    pub fn row(&self, number: u8, measure: String, figure: &'static str, contenders: &[&'static str]) -> Row<'static> {
        let figures = contenders.iter().map(|contender| (*contender, self.of(contender, figure))).collect();
        Row { number, measure, unit: unit(figure), figures, ..Row::default() }
    }
}

/// Runs every contender's trial, round after round: other work on the machine affects all of them alike.
pub fn contest(
    lab: &Lab,
    size: Size,
    contenders: &[(&'static str, Kind)],
    trial: impl Fn(&Lab, Contender) -> Result<Figures>,
) -> Result<Medians> {
    let mut trials = BTreeMap::<_, Vec<f64>>::new();
    for round in 1..=lab.options.rounds {
        for (name, kind) in contenders {
            eprintln!("   round {round}: {name}");
            let figures = lab.start(*kind, size).and_then(|contender| trial(lab, contender));
            for (figure, value) in figures.with_context(|| format!("{name}, round {round}"))? {
                trials.entry((*name, figure)).or_default().push(value);
            }
        }
    }
    Ok(Medians(trials.into_iter().map(|(key, values)| (key, median(values))).collect()))
}

/// A figure's unit, by the end of its name.
fn unit(figure: &str) -> &'static str {
    let units = [("_us", "µs"), ("_ms", "ms"), ("_kib", "KiB"), ("_percent", "% of a core"), ("_per_s", "/s")];
    units.into_iter().find(|(end, _)| figure.ends_with(end)).map_or("", |(_, unit)| unit)
}

/// The median of some figures; not a number if there are none.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    match (figures.len() / 2, figures.len() % 2) {
        (0, 0) => f64::NAN,
        (half, 0) => f64::midpoint(figures[half - 1], figures[half]),
        (half, _) => figures[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!([vec![3.0, 1.0, 2.0], vec![4.0, 1.0, 2.0, 3.0]].map(median), [2.0, 2.5]);
        assert!(median(vec![]).is_nan());
    }
}
