//! A row of the table: figures, limits, and the verdict.

/// The first cells of the table: the number, and those of [`Row::cells`].
pub const HEAD: [&str; 8] = ["#", "measure", "Tallycast", "beside it", "must", "aim", "verdict", "note"];

/// A limit of Tallycast's figure: in the row's unit, or as a multiple of another contender's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It must not be above this.
    Max(f64),
    /// It must not be below this.
    Min(f64),
    /// It must not be above this multiple.
    MaxTimes(f64, &'static str),
    /// It must not be below this multiple.
    MinTimes(f64, &'static str),
}

/// See [module](self).
#[derive(Debug, Clone, Default)]
pub struct Row<'r> {
    /// Number of the measure.
    pub number: u8,
    /// What is measured; unique within the number.
    pub measure: String,
    /// Unit of every figure.
    pub unit: &'static str,
    /// Contenders and their figures. Tallycast is the first.
    pub figures: Vec<(&'static str, f64)>,
    /// Limits that must be kept.
    pub must: &'r [Limit],
    /// Limits that are goals.
    pub aim: &'r [Limit],
    /// Further figures, as text.
    pub note: String,
}

impl Row<'_> {
    /// The cells of the table after the number, in Markdown.
    pub fn cells(&self) -> [String; 7] {
        let ours = self.figures[0].1;
        let beside = |(name, value): &(&str, f64)| format!("{name} {} ({} ×)", figure(*value), figure(ours / value));
        let beside: Vec<_> = self.figures[1..].iter().map(beside).collect();
        let limits = |limits: &[Limit]| limits.iter().map(|limit| self.text(limit)).collect::<Vec<_>>().join(", ");
        let ours = format!("{} {}", figure(ours), self.unit);
        let (must, aim) = (limits(self.must), limits(self.aim));
        [self.measure.clone(), ours, beside.join("<br>"), must, aim, self.verdict(), self.note.clone()]
    }

    /// Whether the figure is within the goals, or within the limits that must be kept, or how far beyond the worst of them.
    fn verdict(&self) -> String {
        let worst = |limits: &[Limit]| limits.iter().map(|limit| self.excess(limit)).max_by(f64::total_cmp);
        match (worst(self.must), worst(self.aim)) {
            (None, _) => "–".to_owned(),
            (Some(must), Some(aim)) if must <= 1.0 && aim <= 1.0 => "aim".to_owned(),
            (Some(must), _) if must <= 1.0 => "must".to_owned(),
            (Some(must), _) => format!("**missed** by {:.0} %", (must - 1.0) * 100.0),
        }
    }

    /// How far beyond the limit the figure is: 1.25 is 25 % too much, or too little; up to 1 it is kept.
    fn excess(&self, limit: &Limit) -> f64 {
        let ours = self.figures[0].1;
        let (above, below) = match *limit {
            Limit::Max(bound) => (ours, bound),
            Limit::Min(bound) => (bound, ours),
            Limit::MaxTimes(factor, name) => (ours, factor * self.figure(name)),
            Limit::MinTimes(factor, name) => (factor * self.figure(name), ours),
        };
        // both may be 0
        if above == below { 1.0 } else { above / below }
    }

    fn text(&self, limit: &Limit) -> String {
        match limit {
            Limit::Max(bound) => format!("≤ {} {}", figure(*bound), self.unit),
            Limit::Min(bound) => format!("≥ {} {}", figure(*bound), self.unit),
            Limit::MaxTimes(factor, name) => format!("≤ {} × {name}", figure(*factor)),
            Limit::MinTimes(factor, name) => format!("≥ {} × {name}", figure(*factor)),
        }
    }

    /// The figure of another contender; not a number if it has none.
    fn figure(&self, contender: &str) -> f64 {
        self.figures.iter().find(|(name, _)| *name == contender).map_or(f64::NAN, |(_, value)| *value)
    }
}

/// Three digits that matter, thousands grouped.
fn figure(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        medium if medium < 100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: &str = "floor";
    const SOCKETIO: &str = "Socket.IO";

    fn row(ours: f64) -> Row<'static> {
        Row {
            measure: "frames".to_owned(),
            unit: "µs",
            figures: vec![("Tallycast", ours), (FLOOR, 4.0), (SOCKETIO, 10.0)],
            must: &[Limit::MaxTimes(1.15, FLOOR), Limit::MaxTimes(0.55, SOCKETIO)],
            aim: &[Limit::MaxTimes(1.05, FLOOR)],
            ..Row::default()
        }
    }

    #[test]
    fn a_verdict_is_that_of_the_worst_limit() {
        let verdicts = [4.1, 4.5, 5.0, 6.0].map(|ours| row(ours).verdict());
        assert_eq!(verdicts, ["aim", "must", "**missed** by 9 %", "**missed** by 30 %"]);
        assert_eq!(Row { must: &[], ..row(4.1) }.verdict(), "–");
    }

    #[test]
    fn a_lower_limit_is_missed_from_below() {
        let rate = |ours| Row { must: &[Limit::Min(50_000.0)], aim: &[], ..row(ours) }.verdict();
        assert_eq!([50_000.0, 40_000.0].map(rate), ["must", "**missed** by 25 %"]);
    }

    #[test]
    fn a_limit_of_zero_can_be_kept() {
        let errors = |ours| Row { must: &[Limit::Max(0.0)], aim: &[], ..row(ours) }.verdict();
        assert_eq!(errors(0.0), "must");
        assert!([1.0, f64::INFINITY, f64::NAN].map(errors).iter().all(|verdict| verdict.contains("missed")));
    }

    #[test]
    fn figures_are_rounded_for_reading() {
        assert_eq!([0.123, 12.34, 123.4, 1_234_567.0].map(figure), ["0.12", "12.3", "123", "1,234,567"]);
    }

    #[test]
    fn cells_hold_figures_with_their_ratios_and_limits() {
        let beside = "floor 4.00 (1.25 ×)<br>Socket.IO 10.0 (0.50 ×)";
        let must = "≤ 1.15 × floor, ≤ 0.55 × Socket.IO";
        let cells = ["frames", "5.00 µs", beside, must, "≤ 1.05 × floor", "**missed** by 9 %", ""];
        assert_eq!(row(5.0).cells(), cells);
    }
}
