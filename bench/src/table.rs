//! Rows of the table: the figure, its limits, and the verdict.

use serde::{Deserialize, Serialize};

/// Name of a contender, as in the table's head.
pub const FLOOR: &str = "floor";
/// See [`FLOOR`].
pub const SOCKETIO: &str = "Socket.IO";

/// A contender's figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Name of the contender.
    pub name: String,
    /// In the row's unit.
    pub value: f64,
}

/// A limit of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// True: the figure must not be above the bound; false: not below it.
    pub is_max: bool,
    /// In the row's unit, or times the reference.
    pub bound: f64,
    /// The reference that the bound multiplies.
    pub times: Option<String>,
}

impl Limit {
    /// The figure must not be above this.
    pub fn most(bound: f64) -> Self {
        Self { is_max: true, bound, times: None }
    }

    /// The figure must not be below this.
    pub fn least(bound: f64) -> Self {
        Self { is_max: false, bound, times: None }
    }

    /// As a multiple of a reference's figure.
    pub fn times(self, name: &str) -> Self {
        Self { times: Some(name.to_owned()), ..self }
    }

    /// How far beyond the limit the figure is: 1.25 is 25 % too much, or too little; up to 1 is kept. `None` if the
    /// reference was not measured.
    fn excess(&self, row: &Row) -> Option<f64> {
        let bound = self.bound * self.times.as_deref().map_or(Some(1.0), |name| row.reference(name))?;
        let (above, below) = if self.is_max { (row.ours, bound) } else { (bound, row.ours) };
        // both may be 0
        Some(if above == below { 1.0 } else { above / below })
    }

    fn text(&self, unit: &str) -> String {
        let sign = if self.is_max { "≤" } else { "≥" };
        match &self.times {
            None => format!("{sign} {} {unit}", figure(self.bound)),
            Some(name) => format!("{sign} {} × {name}", figure(self.bound)),
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Number of the measure.
    pub number: u8,
    /// What is measured; unique within the number.
    pub measure: String,
    /// Unit of every figure.
    pub unit: String,
    /// Tallycast's figure.
    pub ours: f64,
    /// Figures of other contenders.
    pub references: Vec<Reference>,
    /// Limits that must be kept.
    pub must: Vec<Limit>,
    /// Limits that are goals.
    pub aim: Vec<Limit>,
    /// Further figures, as text.
    pub note: String,
}

/// The result of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The figure is within every limit.
    Aim,
    /// The figure is within the limits that must be kept.
    Must,
    /// The worst excess over a limit that must be kept, as a factor.
    Missed(f64),
    /// There is no limit, or the reference was not measured.
    Open,
}

impl Row {
    /// A row without references and limits.
    pub fn new(number: u8, measure: impl Into<String>, unit: &str, ours: f64) -> Self {
        let (references, must, aim, note) = (vec![], vec![], vec![], String::new());
        Self { number, measure: measure.into(), unit: unit.to_owned(), ours, references, must, aim, note }
    }

    /// Adds the figure of another contender.
    pub fn beside(mut self, name: &str, value: f64) -> Self {
        self.references.push(Reference { name: name.to_owned(), value });
        self
    }

    /// Adds limits that must be kept.
    pub fn must(mut self, limits: impl IntoIterator<Item = Limit>) -> Self {
        self.must.extend(limits);
        self
    }

    /// Adds limits that are goals.
    pub fn aim(mut self, limits: impl IntoIterator<Item = Limit>) -> Self {
        self.aim.extend(limits);
        self
    }

    /// Adds further figures, as text.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The figure of another contender.
    pub fn reference(&self, name: &str) -> Option<f64> {
        self.references.iter().find(|reference| reference.name == name).map(|reference| reference.value)
    }

    /// The result.
    pub fn verdict(&self) -> Verdict {
        let worst = |limits: &[Limit]| {
            let excesses: Option<Vec<f64>> = limits.iter().map(|limit| limit.excess(self)).collect();
            excesses?.into_iter().reduce(f64::max)
        };
        match (worst(&self.must), worst(&self.aim)) {
            // a figure that is not a number is not within any limit
            (Some(must), _) if must.is_nan() || must > 1.0 => Verdict::Missed(must),
            (None, _) => Verdict::Open,
            (_, Some(aim)) if aim <= 1.0 => Verdict::Aim,
            _ => Verdict::Must,
        }
    }

    /// In one line, for the terminal.
    pub fn line(&self) -> String {
        let beside: Vec<_> = self.references.iter().map(|r| self.against(r)).collect();
        let beside = if beside.is_empty() { String::new() } else { format!(" | {}", beside.join(", ")) };
        let note = if self.note.is_empty() { String::new() } else { format!(" | {}", self.note) };
        let (number, measure, unit) = (self.number, &self.measure, &self.unit);
        format!("{number:>2} {measure}: {} {unit}{beside} | {}{note}", figure(self.ours), self.verdict().text())
    }

    /// A line of a Markdown table with the columns of [`markdown`].
    fn markdown(&self) -> String {
        let limits = |limits: &[Limit]| limits.iter().map(|l| l.text(&self.unit)).collect::<Vec<_>>().join(", ");
        let beside: Vec<_> = self.references.iter().map(|r| self.against(r)).collect();
        format!(
            "| {} | {} | {} {} | {} | {} | {} | {} | {} |",
            self.number,
            self.measure,
            figure(self.ours),
            self.unit,
            beside.join("<br>"),
            limits(&self.must),
            limits(&self.aim),
            self.verdict().text(),
            self.note,
        )
    }

    fn against(&self, reference: &Reference) -> String {
        let ratio = figure(self.ours / reference.value);
        format!("{} {} ({ratio} ×)", reference.name, figure(reference.value))
    }
}

impl Verdict {
    fn text(self) -> String {
        match self {
            Self::Aim => "aim".to_owned(),
            Self::Must => "must".to_owned(),
            Self::Missed(excess) => format!("**missed** by {:.0} %", (excess - 1.0) * 100.0),
            Self::Open => "–".to_owned(),
        }
    }
}

/// The whole table.
pub fn markdown(rows: &[Row]) -> String {
    let head = "| # | measure | Tallycast | beside it | must | aim | verdict | note |\n\
                | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    rows.iter().fold(head.to_owned(), |table, row| table + &row.markdown() + "\n")
}

/// Three digits that matter, thousands grouped.
fn figure(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        medium if medium < 100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let grouped = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect::<Vec<_>>();
            grouped.join(",")
        }
    }
}

/// The median of some figures; not a number if there are none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64) -> Row {
        Row::new(1, "frames", "µs", ours)
            .beside(FLOOR, 4.0)
            .beside(SOCKETIO, 10.0)
            .must([Limit::most(1.15).times(FLOOR), Limit::most(0.55).times(SOCKETIO)])
            .aim([Limit::most(1.05).times(FLOOR)])
    }

    #[test]
    fn a_verdict_is_that_of_the_worst_limit() {
        assert_eq!(row(4.1).verdict(), Verdict::Aim);
        assert_eq!(row(4.5).verdict(), Verdict::Must);
        assert_eq!(row(5.0).verdict(), Verdict::Missed(5.0 / 4.6));
        assert_eq!(row(6.0).verdict(), Verdict::Missed(6.0 / 4.6));
    }

    #[test]
    fn a_lower_limit_is_missed_from_below() {
        let rate = |ours| Row::new(11, "votes", "/s", ours).must([Limit::least(50_000.0)]).verdict();
        assert_eq!(rate(50_000.0), Verdict::Must);
        assert_eq!(rate(40_000.0), Verdict::Missed(1.25));
    }

    #[test]
    fn without_the_other_figure_there_is_no_verdict() {
        let unmeasured = Row::new(1, "frames", "µs", 1.0).must([Limit::most(1.0).times(FLOOR)]);
        assert_eq!(unmeasured.verdict(), Verdict::Open);
        assert_eq!(Row::new(1, "frames", "µs", 1.0).verdict(), Verdict::Open);
        assert!(matches!(row(f64::NAN).verdict(), Verdict::Missed(_)));
    }

    #[test]
    fn medians_and_figures_are_rounded_for_reading() {
        assert_eq!([median([3.0, 1.0, 2.0]), median([4.0, 1.0, 2.0, 3.0])], [2.0, 2.5]);
        assert!(median([]).is_nan());
        assert_eq!([0.123, 12.34, 123.4, 1_234_567.0].map(figure), ["0.12", "12.3", "123", "1,234,567"]);
    }

    #[test]
    fn a_line_of_the_table_holds_the_verdict() {
        let line = markdown(&[row(5.0)]);
        assert!(line.ends_with(
            "| 1 | frames | 5.00 µs | floor 4.00 (1.25 ×)<br>Socket.IO 10.0 (0.50 ×) | ≤ 1.15 × floor, ≤ 0.55 × \
             Socket.IO | ≤ 1.05 × floor | **missed** by 9 % |  |\n"
        ));
    }
}
