//! What is measured: times, counters and errors, each from a closed list, so that a threshold can name any of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

/// Declares a closed list: a variant, its name in thresholds, summaries and reports, and what it means.
macro_rules! names {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident = $name:literal: $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $enum {
            $(#[doc = $text] #[serde(rename = $name)] $variant,)*
        }

        impl $enum {
            /// In the order of the report.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in thresholds, summaries and reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

names! {
    /// A measured time.
    Timer {
        Ack = "ack": "From the scheduled moment of a tap to its acknowledgement.",
        AckService = "ack_service": "From the sending of a cast to its answer.",
        Arrival = "arrival": "From the scheduled moment of a voter's arrival to the first state.",
        Join = "join": "The HTTP call that joins.",
        Connect = "connect": "TCP connection, TLS with https, and WebSocket handshake.",
        Hello = "hello": "From hello to the first state.",
        Comeback = "comeback": "From the loss of a connection to the state on the next one, pauses included.",
        Spread = "tally_spread": "From the first receipt of a tally in a process to that by each other sampled socket.",
        Lateness = "lateness": "How late this program itself was with scheduled actions.",
    }
}

names! {
    /// A count.
    Counter {
        Casts = "casts": "Casts sent, repeats included.",
        Votes = "votes": "Votes acknowledged.",
        Acks = "acks": "Casts with a definite answer.",
        Frames = "frames": "Frames received.",
        Tallies = "tallies": "Tallies among them.",
        Joins = "joins": "Voters joined.",
        Reconnects = "reconnects": "Connections made after one was lost or cut.",
        Late = "late": "Taps that came too late: their round was closed.",
        Healed = "healed": "Casts sent again because the server had lost what it had acknowledged.",
        Unfinished = "unfinished": "Scheduled actions that were not finished in time.",
        Violations = "violations": "Broken promises: a version fell, a ballot shrank, a tally lacks an acknowledged vote.",
        SlowCommands = "slow_commands": "Commands in the slow log of the ledger's server.",
        LedgerRestarts = "ledger_restarts": "Starts of the ledger's server that were seen during the run.",
    }
}

impl Counter {
    /// True if the server under test reports it. Without an answer from it there is no count, not even 0.
    pub fn is_from_ledger(self) -> bool {
        matches!(self, Self::SlowCommands | Self::LedgerRestarts)
    }
}

names! {
    /// Why something failed.
    Cause {
        Connect = "connect": "No TCP connection, or no TLS on it.",
        Join = "join": "The HTTP call that joins failed or was refused.",
        Full = "full": "The handshake was refused because the pod is full (503).",
        Handshake = "handshake": "The handshake failed otherwise.",
        Hello = "hello": "Hello was not answered with a state.",
        Lost = "lost": "A connection ended without a bye, and the load test had not cut it.",
        Silent = "silent": "No pong within 4 s.",
        Timeout = "timeout": "A cast was not answered within 10 s.",
        Busy = "busy": "A cast was answered `busy`.",
        Refused = "refused": "A cast was refused for a reason that a correct client does not meet.",
        NotUnderstood = "not_understood": "The server answered `error`, or a frame could not be read.",
        KeptOut = "kept_out": "Closed with a code that forbids to come back.",
    }
}

/// The statistics of a time, in thresholds and reports: the share of all times that do not exceed it.
pub const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// A histogram of microseconds with three significant digits.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are valid"))
    }
}

impl Times {
    /// Adds a time.
    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4);
        self.0.record(micros).expect("the histogram grows as needed");
    }

    /// Adds every time of another histogram.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the histogram grows as needed");
    }

    /// Number of times.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that a share (0 to 1) of all times do not exceed, in ms; 0 if there are none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1000.0 }
    }

    /// Every one of [`QUANTILES`] with its time in ms.
    pub fn quantiles_ms(&self) -> impl Iterator<Item = (&'static str, f64)> {
        QUANTILES.into_iter().map(|(name, share)| (name, self.quantile_ms(share)))
    }

    /// Points (share, ms) of the percentile curve, up to the last share that stands for a whole sample.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let mut points = vec![];
        let mut rest = 1.0;
        while !self.0.is_empty() && rest * self.0.len() as f64 >= 1.0 {
            points.push((1.0 - rest, self.quantile_ms(1.0 - rest)));
            rest /= 1.25;
        }
        points
    }
}

/// As pairs of value and count.
impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut times = Self::default();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            times.0.record_n(value, count).map_err(D::Error::custom)?;
        }
        Ok(times)
    }
}

/// Everything measured in a span of time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measures {
    times: BTreeMap<Timer, Times>,
    counts: BTreeMap<Counter, u64>,
    errors: BTreeMap<Cause, u64>,
}

impl Measures {
    /// Adds a time.
    pub fn time(&mut self, timer: Timer, time: Duration) {
        self.times.entry(timer).or_default().record(time);
    }

    /// Adds to a counter.
    pub fn count(&mut self, counter: Counter, by: u64) {
        *self.counts.entry(counter).or_default() += by;
    }

    /// Counts an error.
    pub fn error(&mut self, cause: Cause) {
        *self.errors.entry(cause).or_default() += 1;
    }

    /// Adds everything of another span.
    pub fn add(&mut self, other: &Self) {
        for (timer, times) in &other.times {
            self.times.entry(*timer).or_default().add(times);
        }
        for (counter, by) in &other.counts {
            self.count(*counter, *by);
        }
        for (cause, by) in &other.errors {
            *self.errors.entry(*cause).or_default() += by;
        }
    }

    /// Times of a kind; `None` if nothing was measured.
    pub fn times(&self, timer: Timer) -> Option<&Times> {
        self.times.get(&timer).filter(|times| times.count() > 0)
    }

    /// A count.
    pub fn counted(&self, counter: Counter) -> u64 {
        self.counts.get(&counter).copied().unwrap_or(0)
    }

    /// A count; `None` if the server did not report it.
    pub fn reported(&self, counter: Counter) -> Option<u64> {
        let counted = self.counts.get(&counter).copied();
        if counter.is_from_ledger() { counted } else { Some(counted.unwrap_or(0)) }
    }

    /// Errors of a cause.
    pub fn failed(&self, cause: Cause) -> u64 {
        self.errors.get(&cause).copied().unwrap_or(0)
    }

    /// Errors of every cause.
    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Every measured time.
    pub fn all_times(&self) -> impl Iterator<Item = (Timer, &Times)> {
        Timer::ALL.iter().filter_map(|timer| Some((*timer, self.times(*timer)?)))
    }

    /// Every counter that was reported, and its count.
    pub fn all_counts(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.iter().filter_map(|counter| Some((*counter, self.reported(*counter)?)))
    }

    /// Every cause with an error, and how many there were.
    pub fn all_errors(&self) -> impl Iterator<Item = (Cause, u64)> {
        self.errors.iter().map(|(cause, count)| (*cause, *count))
    }
}

/// `times`, `counts` and `errors` as `--json` writes them: by name, and times in ms.
pub fn in_summary<S: Serializer>(measures: &Measures, serializer: S) -> Result<S::Ok, S::Error> {
    let stats = |times: &Times| {
        let count = [("count", times.count() as f64)];
        count.into_iter().chain(times.quantiles_ms()).collect::<BTreeMap<_, _>>()
    };
    let times: BTreeMap<_, _> = measures.all_times().map(|(timer, times)| (timer, stats(times))).collect();
    let counts: BTreeMap<_, _> = measures.all_counts().collect();
    json!({"times": times, "counts": counts, "errors": measures.errors}).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_same_in_another_process() {
        let mut times = Times::default();
        for ms in 1..=1000 {
            times.record(Duration::from_millis(ms));
        }
        let text = serde_json::to_string(&times).unwrap();
        let back: Times = serde_json::from_str(&text).unwrap();
        assert_eq!(back.count(), 1000);
        assert!((back.quantile_ms(0.99) - 990.0).abs() < 2.0, "{}", back.quantile_ms(0.99));
        assert_eq!(back.quantile_ms(0.5), times.quantile_ms(0.5));
    }

    #[test]
    fn the_percentile_curve_ends_at_one_sample() {
        let mut times = Times::default();
        (0..100).for_each(|_| times.record(Duration::from_millis(3)));
        let (last, _) = *times.curve().last().unwrap();
        assert!((0.98..=0.99).contains(&last), "{last}");
        assert!(Times::default().curve().is_empty());
    }

    #[test]
    fn spans_add_up() {
        let mut all = Measures::default();
        let mut one = Measures::default();
        one.count(Counter::Votes, 3);
        one.error(Cause::Busy);
        one.time(Timer::Ack, Duration::from_millis(5));
        all.add(&one);
        all.add(&one);
        assert_eq!((all.counted(Counter::Votes), all.failed(Cause::Busy), all.errors()), (6, 2, 2));
        assert_eq!(all.times(Timer::Ack).map(Times::count), Some(2));
        assert!(all.times(Timer::Join).is_none());
    }
}
