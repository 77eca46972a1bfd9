//! What is measured: times, counters and errors, each from a closed list, so that a threshold can name any of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares a closed list of names with their descriptions.
macro_rules! names {
    ($(#[$doc:meta])* $enum:ident { $($(#[doc = $text:literal])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $enum {
            $($(#[doc = $text])* #[serde(rename = $name)] $variant,)*
        }

        impl $enum {
            /// In the order of the report.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in thresholds, summaries and reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it measures.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($text),*).trim_ascii(),)* }
            }
        }
    };
}

names! {
    /// A measured time.
    Timer {
        /// From the scheduled moment of a tap to its acknowledgement.
        Ack = "ack",
        /// From the sending of a cast to its answer.
        AckService = "ack_service",
        /// From the scheduled moment of a voter's arrival to the first state.
        Arrival = "arrival",
        /// The HTTP call that joins.
        Join = "join",
        /// TCP connection, TLS with https, and WebSocket handshake.
        Connect = "connect",
        /// From hello to the first state.
        Hello = "hello",
        /// From the loss of a connection to the state on the next one, pauses included.
        Comeback = "comeback",
        /// From the first receipt of a tally in a process to its receipt by each other sampled socket.
        Spread = "tally_spread",
        /// How late this program itself was with scheduled actions.
        Lateness = "lateness",
    }
}

names! {
    /// A count.
    Counter {
        /// Casts sent, repeats included.
        Casts = "casts",
        /// Votes acknowledged.
        Votes = "votes",
        /// Casts with a definite answer.
        Acks = "acks",
        /// Frames received.
        Frames = "frames",
        /// Tallies among them.
        Tallies = "tallies",
        /// Voters joined.
        Joins = "joins",
        /// Connections made after one was lost or cut.
        Reconnects = "reconnects",
        /// Taps that came too late: their round was closed.
        Late = "late",
        /// Casts sent again because the server had lost what it had acknowledged.
        Healed = "healed",
        /// Scheduled actions that were not finished in time.
        Unfinished = "unfinished",
        /// Broken promises: versions that fell, ballots that shrank or hold votes never cast, acknowledged votes missing in a tally.
        Violations = "violations",
        /// Commands in the slow log of the ledger's server.
        SlowCommands = "slow_commands",
        /// Starts of the ledger's server that were seen during the run.
        LedgerRestarts = "ledger_restarts",
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
        /// No TCP connection, or no TLS on it.
        Connect = "connect",
        /// The HTTP call that joins failed or was refused.
        Join = "join",
        /// The handshake was refused because the pod is full (503).
        Full = "full",
        /// The handshake failed otherwise.
        Handshake = "handshake",
        /// Hello was not answered with a state.
        Hello = "hello",
        /// A connection ended without a bye, and the load test had not cut it.
        Lost = "lost",
        /// No pong within 4 s.
        Silent = "silent",
        /// A cast was not answered within 10 s.
        Timeout = "timeout",
        /// A cast was answered `busy`.
        Busy = "busy",
        /// A cast was refused for a reason that a correct client does not meet.
        Refused = "refused",
        /// The server answered `error`, or a frame could not be read.
        NotUnderstood = "not_understood",
        /// Closed with a code that forbids to come back.
        KeptOut = "kept_out",
    }
}

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

    /// The longest, in ms.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    /// The mean, in ms.
    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1000.0
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
