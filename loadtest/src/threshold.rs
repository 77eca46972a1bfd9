//! Thresholds, as in `ack.p99 < 250ms`. If one does not hold at the end, the exit code is 99.

use std::str::FromStr;

use serde::Serialize;

use crate::metrics::{Cause, Counter, Measures, QUANTILES, Timer};

/// Part of every run without another threshold on the same metric.
const DEFAULT: &str = "violations == 0";

/// One condition.
#[derive(Debug, Clone)]
pub struct Threshold {
    text: String,
    metric: Metric,
    stat: Stat,
    holds: fn(&f64, &f64) -> bool,
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Timer(Timer),
    Counter(Counter),
    /// Errors of every cause.
    Errors,
    Cause(Cause),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stat {
    Quantile(f64),
    Count,
    Rate,
    Share,
}

/// An operator, and whether it holds for a measured value and the limit.
type Op = (&'static str, fn(&f64, &f64) -> bool);

/// Longer operators first: `<=` begins like `<`.
const OPS: [Op; 5] = [("<=", f64::le), (">=", f64::ge), ("==", f64::eq), ("<", f64::lt), (">", f64::gt)];

/// The result of a threshold.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement {
    /// As it was written.
    pub threshold: String,
    /// It holds.
    pub ok: bool,
    /// What was measured; `None` if nothing was.
    pub measured: Option<f64>,
    /// Its unit: `ms`, `/s`, `%`, or empty for a count.
    pub unit: &'static str,
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

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: String| format!("threshold \"{text}\": {why}; write it like \"ack.p99 < 250ms\"");
        let (left, holds, right) = OPS
            .iter()
            .find_map(|(sign, holds)| text.split_once(sign).map(|(left, right)| (left.trim(), *holds, right.trim())))
            .ok_or_else(|| bad("it has none of <, <=, >, >= and ==".into()))?;
        let (metric, stat) = left_side(left).map_err(bad)?;
        let limit = right_side(right, metric, stat).map_err(bad)?;
        Ok(Self { text: text.trim().to_owned(), metric, stat, holds, limit })
    }
}

/// Every metric with its name.
fn metrics() -> impl Iterator<Item = (String, Metric)> {
    let timers = Timer::ALL.iter().map(|timer| (timer.name().to_owned(), Metric::Timer(*timer)));
    let counters = Counter::ALL.iter().map(|counter| (counter.name().to_owned(), Metric::Counter(*counter)));
    let causes = Cause::ALL.iter().map(|cause| (format!("errors.{}", cause.name()), Metric::Cause(*cause)));
    timers.chain(counters).chain([("errors".to_owned(), Metric::Errors)]).chain(causes)
}

/// A metric and its statistic. A count without one means its total.
fn left_side(left: &str) -> Result<(Metric, Stat), String> {
    let named = |name: &str| metrics().find(|(known, _)| known == name).map(|(_, metric)| metric);
    let (name, metric, stat) = match (named(left), left.rsplit_once('.')) {
        (Some(metric), _) => (left, Some(metric), None),
        (None, Some((name, stat))) => (name, named(name), Some(stat)),
        (None, None) => (left, None, None),
    };
    let Some(metric) = metric else {
        let names: Vec<_> = metrics().map(|(name, _)| name).collect();
        return Err(format!("there is no metric \"{left}\"; there are {}", names.join(", ")));
    };
    let is_time = matches!(metric, Metric::Timer(_));
    let stat = match stat {
        None if is_time => return Err(format!("\"{name}\" needs a statistic, as in {name}.p99")),
        None | Some("count") => Stat::Count,
        Some("rate") => Stat::Rate,
        Some("share") if is_time => return Err("a time has no share".into()),
        Some("share") => Stat::Share,
        Some(stat) => match QUANTILES.iter().find(|(known, _)| *known == stat) {
            Some((_, share)) if is_time => Stat::Quantile(*share),
            Some(_) => {
                return Err(format!(
                    "\"{name}\" is a count: it has count, rate (per second) and share (of casts, in %)"
                ));
            }
            None => {
                let known = QUANTILES.map(|(name, _)| name).join(", ");
                return Err(format!("there is no statistic \"{stat}\"; there are {known}, count, rate and share"));
            }
        },
    };
    Ok((metric, stat))
}

fn right_side(right: &str, metric: Metric, stat: Stat) -> Result<f64, String> {
    let digits = right.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%' || c == '/' || c == 'µ').trim();
    let unit = right[digits.len()..].trim();
    let number: f64 = digits.replace('_', "").parse().map_err(|_| format!("\"{right}\" is not a number"))?;
    let time = matches!((metric, stat), (Metric::Timer(_), Stat::Quantile(_)));
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
        let ok = measured.is_some_and(|measured| (self.holds)(&measured, &self.limit));
        let unit = match self.stat {
            Stat::Quantile(_) => "ms",
            Stat::Rate => "/s",
            Stat::Share => "%",
            Stat::Count => "",
        };
        Judgement { threshold: self.text.clone(), ok, measured, unit }
    }

    fn measured(&self, measures: &Measures, seconds: f64) -> Option<f64> {
        let count = match self.metric {
            Metric::Timer(timer) => {
                let times = measures.times(timer)?;
                if let Stat::Quantile(share) = self.stat {
                    return Some(times.quantile_ms(share));
                }
                times.count()
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
        for text in ["ack.p99 < 50ms", "ack.max > 1s", "errors == 0", "errors.share < 1%", "casts.rate > 1_000"] {
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
