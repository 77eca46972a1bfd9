//! What the users of a pool share: where to connect, and what was measured.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::messages::{MAX_VIOLATIONS, PoolConfig, Sample};
use crate::metrics::{Cause, Counter, Timer};
use crate::pod::Pod;
use crate::route::Route;

/// Tallies of which the first receipt is remembered.
const REMEMBERED_TALLIES: usize = 32;
/// About so many sockets of a pool measure the spread of tallies.
const SPREAD_SOCKETS: u32 = 64;

/// See [module](self).
pub struct Recorder {
    /// What the pool was started with.
    pub config: PoolConfig,
    pods: Vec<Pod>,
    sample: Mutex<Sample>,
    frames: AtomicU64,
    tallies: AtomicU64,
    /// Sockets that have received a state.
    pub connected: AtomicI64,
    /// Scheduled actions that are not finished.
    pub pending: AtomicI64,
    newest_tally: AtomicU64,
    /// Versions of tallies and when each was first received.
    first_receipts: Mutex<VecDeque<(u64, Instant)>>,
}

impl Recorder {
    /// For pods whose addresses are resolved.
    pub fn new(config: PoolConfig, pods: Vec<Pod>) -> Self {
        Self {
            config,
            pods,
            sample: Mutex::default(),
            frames: AtomicU64::new(0),
            tallies: AtomicU64::new(0),
            connected: AtomicI64::new(0),
            pending: AtomicI64::new(0),
            newest_tally: AtomicU64::new(0),
            first_receipts: Mutex::default(),
        }
    }

    /// The route of a user's `attempt`-th connection. Users are spread over the pods, and try the next pod after a
    /// failure.
    pub fn route(&self, user: u32, attempt: u32, slow: bool) -> Route {
        let pod = self.pods[(user as usize + attempt as usize) % self.pods.len()].clone();
        let sources = &self.config.sources;
        // pods and sources must not advance together, or each pod would get connections from one source only
        let turn = user as usize / self.pods.len() / self.config.pools as usize;
        let source = sources.get(turn % sources.len().max(1)).copied();
        Route { pod, source, slow }
    }

    /// True if this user's socket measures the spread of tallies.
    pub fn measures_spread(&self, user: u32) -> bool {
        let own = self.config.scenario.hall.voters.div_ceil(self.config.pools);
        (user / self.config.pools).is_multiple_of(own.div_ceil(SPREAD_SOCKETS).max(1))
    }

    fn update(&self, update: impl FnOnce(&mut Sample)) {
        update(&mut self.sample.lock().expect("no holder of this lock panics"));
    }

    /// Records a time.
    pub fn time(&self, timer: Timer, time: Duration) {
        self.update(|sample| sample.measures.time(timer, time));
    }

    /// Adds to a counter.
    pub fn count(&self, counter: Counter, by: usize) {
        self.update(|sample| sample.measures.count(counter, by as u64));
    }

    /// Counts an error.
    pub fn error(&self, cause: Cause) {
        self.update(|sample| sample.measures.error(cause));
    }

    /// Counts a violation.
    pub fn violation(&self, who: &str, what: &str) {
        self.update(|sample| {
            sample.measures.count(Counter::Violations, 1);
            if sample.violations.len() < MAX_VIOLATIONS {
                sample.violations.push(format!("{who}: {what}"));
            }
        });
    }

    /// Records an acknowledged tap that was scheduled for `scheduled`. Its action is finished.
    pub fn acknowledged(&self, scheduled: Instant) {
        self.finished(1);
        self.update(|sample| {
            sample.measures.time(Timer::Ack, scheduled.elapsed());
            sample.measures.count(Counter::Votes, 1);
        });
    }

    /// Scheduled actions are finished, with or without success.
    pub fn finished(&self, count: usize) {
        self.pending.fetch_sub(count as i64, Ordering::Relaxed);
    }

    /// Counts a received frame.
    pub fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a received tally, and measures its spread if this socket does.
    pub fn tally(&self, version: u64, measures_spread: bool) {
        self.tallies.fetch_add(1, Ordering::Relaxed);
        let is_new = self.newest_tally.fetch_max(version, Ordering::Relaxed) < version;
        if !is_new && !measures_spread {
            return;
        }
        let mut receipts = self.first_receipts.lock().expect("no holder of this lock panics");
        if is_new {
            receipts.push_back((version, Instant::now()));
            if receipts.len() > REMEMBERED_TALLIES {
                receipts.pop_front();
            }
            return;
        }
        let first = receipts.iter().rev().find(|(seen, _)| *seen == version).map(|(_, at)| *at);
        drop(receipts);
        if let Some(first) = first {
            self.time(Timer::Spread, first.elapsed());
        }
    }

    /// What was measured since the last call.
    pub fn take_sample(&self) -> Sample {
        let mut sample = Sample::default();
        self.update(|current| std::mem::swap(current, &mut sample));
        sample.measures.count(Counter::Frames, self.frames.swap(0, Ordering::Relaxed));
        sample.measures.count(Counter::Tallies, self.tallies.swap(0, Ordering::Relaxed));
        sample.connected = self.connected.load(Ordering::Relaxed);
        sample.pending = self.pending.load(Ordering::Relaxed);
        sample
    }
}
