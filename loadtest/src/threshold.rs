//! Thresholds, as in `ack.p99 < 250ms`. If one does not hold at the end, the exit code is 99.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::metrics::{Cause, Counter, Measures, Timer};

/// Part of every run without another threshold on the same metric.
const DEFAULT: &str = "violations == 0";

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    stat: Stat,
    op: Op,
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Timer(Timer),
    Counter(Counter),
    Errors,
    Cause(Cause),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stat {
    Quantile(f64),
    Max,
    Mean,
    Count,
    Rate,
    Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// The result of a threshold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judgement {
    /// As it was written.
    pub threshold: String,
    /// It holds.
    pub ok: bool,
    /// What was measured; `None` if nothing was.
    pub measured: Option<f64>,
    /// Its unit: `ms`, `/s`, `%`, or empty for a count.
    pub unit: String,
}

impl Judgement {
    /// What was measured, as text.
    pub fn measured_text(&self) -> String {
        match self.measured {
            Some(number) => format!("{} {}", (number * 1000.0).round() / 1000.0, self.unit).trim_end().to_owned(),
            None => "nothing measured".to_owned(),
        }
    }
}

const STATS: [(&str, Stat); 11] = [
    ("p50", Stat::Quantile(0.5)),
    ("p90", Stat::Quantile(0.9)),
    ("p95", Stat::Quantile(0.95)),
    ("p99", Stat::Quantile(0.99)),
    ("p999", Stat::Quantile(0.999)),
    ("p9999", Stat::Quantile(0.9999)),
    ("max", Stat::Max),
    ("mean", Stat::Mean),
    ("count", Stat::Count),
    ("rate", Stat::Rate),
    ("share", Stat::Share),
];

/// Longer operators first: `<=` begins like `<`.
const OPS: [(&str, Op); 5] =
    [("<=", Op::AtMost), (">=", Op::AtLeast), ("==", Op::Equal), ("<", Op::Below), (">", Op::Above)];

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: String| format!("threshold \"{text}\": {why}; write it like \"ack.p99 < 250ms\"");
        let (at, (sign, op)) = OPS
            .iter()
            .filter_map(|op| text.find(op.0).map(|at| (at, *op)))
            .min_by_key(|(at, (sign, _))| (*at, std::cmp::Reverse(sign.len())))
            .ok_or_else(|| bad("it has none of <, <=, >, >= and ==".into()))?;
        let (left, right) = (text[..at].trim(), text[at + sign.len()..].trim());
        let (metric, stat) = left_side(left).map_err(bad)?;
        let limit = right_side(right, &metric, stat).map_err(bad)?;
        Ok(Self { text: text.trim().to_owned(), metric, stat, op, limit })
    }
}

fn left_side(left: &str) -> Result<(Metric, Stat), String> {
    let word = |known: &str| left == known || left.starts_with(&format!("{known}."));
    // errors.busy.count: the longest name wins
    let cause = Cause::ALL.iter().find(|cause| word(&format!("errors.{}", cause.name())));
    let counter = Counter::ALL.iter().find(|counter| word(counter.name()));
    let timer = Timer::ALL.iter().find(|timer| word(timer.name()));
    let (metric, name) = match (cause, counter, timer) {
        (Some(cause), ..) => (Metric::Cause(*cause), format!("errors.{}", cause.name())),
        (_, Some(counter), _) => (Metric::Counter(*counter), counter.name().to_owned()),
        (.., Some(timer)) => (Metric::Timer(*timer), timer.name().to_owned()),
        _ if word("errors") => (Metric::Errors, "errors".to_owned()),
        _ => return Err(format!("there is no metric \"{left}\"; there are {}", names())),
    };
    let rest = left[name.len()..].trim_start_matches('.');
    let stat = match rest {
        "" if matches!(metric, Metric::Timer(_)) => {
            return Err(format!("\"{name}\" needs a statistic, as in {name}.p99"));
        }
        "" => Stat::Count,
        known => {
            let stat = STATS.iter().find(|(word, _)| *word == known);
            stat.ok_or_else(|| {
                format!("there is no statistic \"{known}\"; there are {}", STATS.map(|s| s.0).join(", "))
            })?
            .1
        }
    };
    let timed = matches!(stat, Stat::Quantile(_) | Stat::Max | Stat::Mean);
    match (metric, timed, stat) {
        (Metric::Timer(_), _, Stat::Share) => Err("a time has no share".into()),
        (Metric::Timer(_), ..) | (_, false, _) => Ok((metric, stat)),
        _ => Err(format!("\"{name}\" is a count: it has count, rate (per second) and share (of casts, in %)")),
    }
}

fn right_side(right: &str, metric: &Metric, stat: Stat) -> Result<f64, String> {
    let digits = right.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%' || c == '/' || c == 'µ').trim();
    let unit = right[digits.len()..].trim();
    let number: f64 = digits.replace('_', "").parse().map_err(|_| format!("\"{right}\" is not a number"))?;
    let time = matches!(metric, Metric::Timer(_)) && !matches!(stat, Stat::Count | Stat::Rate);
    match unit {
        "ms" if time => Ok(number),
        "s" if time => Ok(number * 1000.0),
        "us" | "µs" if time => Ok(number / 1000.0),
        "" if time => Err(format!("\"{right}\" needs a unit: us, ms or s")),
        "%" if stat == Stat::Share => Ok(number),
        "/s" if stat == Stat::Rate => Ok(number),
        "" => Ok(number),
        _ => Err(format!("the unit \"{unit}\" does not fit")),
    }
}

/// Every name of a metric.
fn names() -> String {
    let timers = Timer::ALL.iter().map(|timer| timer.name().to_owned());
    let counters = Counter::ALL.iter().map(|counter| counter.name().to_owned());
    let causes = Cause::ALL.iter().map(|cause| format!("errors.{}", cause.name()));
    timers.chain(counters).chain(["errors".to_owned()]).chain(causes).collect::<Vec<_>>().join(", ")
}

impl Threshold {
    /// Adds `violations == 0`, unless there is a threshold on `violations`.
    pub fn with_default(mut given: Vec<Self>) -> Vec<Self> {
        let default: Self = DEFAULT.parse().expect("it is valid");
        if given.iter().all(|threshold| threshold.metric != default.metric) {
            given.push(default);
        }
        given
    }

    /// True if the server must be asked for its ledger's slow log.
    pub fn needs_slow_log(&self) -> bool {
        matches!(self.metric, Metric::Counter(counter) if counter.is_from_ledger())
    }

    /// Checks it against what was measured in a run of `seconds`. It does not hold if nothing was measured.
    pub fn judge(&self, measures: &Measures, seconds: f64) -> Judgement {
        let measured = self.measured(measures, seconds);
        let ok = measured.is_some_and(|measured| match self.op {
            Op::Below => measured < self.limit,
            Op::AtMost => measured <= self.limit,
            Op::Above => measured > self.limit,
            Op::AtLeast => measured >= self.limit,
            Op::Equal => measured == self.limit,
        });
        let unit = match self.stat {
            Stat::Quantile(_) | Stat::Max | Stat::Mean => "ms",
            Stat::Rate => "/s",
            Stat::Share => "%",
            Stat::Count => "",
        };
        Judgement { threshold: self.text.clone(), ok, measured, unit: unit.to_owned() }
    }

    fn measured(&self, measures: &Measures, seconds: f64) -> Option<f64> {
        let count = match self.metric {
            Metric::Timer(timer) => {
                let times = measures.times(timer)?;
                match self.stat {
                    Stat::Quantile(share) => return Some(times.quantile_ms(share)),
                    Stat::Max => return Some(times.max_ms()),
                    Stat::Mean => return Some(times.mean_ms()),
                    Stat::Count | Stat::Rate | Stat::Share => times.count(),
                }
            }
            Metric::Counter(counter) => measures.reported(counter)?,
            Metric::Errors => measures.errors(),
            Metric::Cause(cause) => measures.failed(cause),
        } as f64;
        Some(match self.stat {
            Stat::Rate => count / seconds.max(0.001),
            Stat::Share => 100.0 * count / (measures.counted(Counter::Casts).max(1) as f64),
            _ => count,
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn measures() -> Measures {
        let mut measures = Measures::default();
        for ms in 1..=100 {
            measures.time(Timer::Ack, Duration::from_millis(ms));
        }
        measures.count(Counter::Casts, 200);
        measures.error(Cause::Busy);
        measures.error(Cause::Lost);
        measures
    }

    fn holds(text: &str) -> bool {
        text.parse::<Threshold>().unwrap().judge(&measures(), 10.0).ok
    }

    #[test]
    fn a_threshold_holds_or_does_not_hold() {
        for text in [
            "ack.p99 < 100ms",
            "ack.p99<0.1s",
            "ack.p50 >= 50 ms",
            "ack.max <= 100.1ms",
            "ack.count == 100",
            "ack.rate > 9/s",
            "casts.rate == 20",
            "errors == 2",
            "errors.share <= 1%",
            "errors.busy == 1",
            "errors.busy.count < 2",
            "violations == 0",
        ] {
            assert!(holds(text), "{text}");
        }
        let words = |text: &str| text.parse::<Threshold>().unwrap().judge(&measures(), 10.0).measured_text();
        assert_eq!([words("errors.share < 2%"), words("casts.rate < 1"), words("errors < 1")], ["1 %", "20 /s", "2"]);
        for text in ["ack.p99 < 50ms", "ack.mean > 1s", "errors == 0", "errors.share < 1%", "casts.rate > 1_000"] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn a_threshold_on_a_time_that_was_never_measured_does_not_hold() {
        let judgement = "join.p99 < 1s".parse::<Threshold>().unwrap().judge(&measures(), 10.0);
        assert!(!judgement.ok && judgement.measured.is_none());
        assert_eq!(judgement.measured_text(), "nothing measured");
    }

    #[test]
    fn a_threshold_on_a_count_that_the_ledger_did_not_report_does_not_hold() {
        let threshold: Threshold = "slow_commands == 0".parse().unwrap();
        assert!(threshold.needs_slow_log() && !threshold.judge(&measures(), 10.0).ok);
        let mut told = measures();
        told.count(Counter::SlowCommands, 0);
        assert!(threshold.judge(&told, 10.0).ok);
        assert!(!"violations == 0".parse::<Threshold>().unwrap().needs_slow_log());
    }

    #[test]
    fn a_threshold_that_is_not_valid_is_refused_with_the_reason() {
        for (text, words) in [
            ("ack.p99", "none of <"),
            ("ack < 3ms", "needs a statistic, as in ack.p99"),
            ("ack.p98 < 3ms", "no statistic \"p98\""),
            ("latency.p99 < 3ms", "no metric \"latency.p99\""),
            ("errors.bored == 0", "no statistic \"bored\""),
            ("casts.p99 < 3", "is a count"),
            ("ack.p99 < 3", "needs a unit"),
            ("ack.p99 < fast", "is not a number"),
            ("casts < 3ms", "does not fit"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_scenario_may_allow_violations() {
        let given = |text: &str| Threshold::with_default(vec![text.parse().unwrap()]);
        assert_eq!(given("ack.p99 < 1s").len(), 2);
        assert_eq!(given("violations <= 3").len(), 1);
    }
}
