//! What the voters of a process share: where to go, and where they write down what they see.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Brief, Slice, Slow};
use crate::metrics::{Cause, Counter, Timer};
use crate::pod::Pod;
use crate::voter::line::Route;

/// Slowest acknowledgements kept of each slice.
pub const SLOWEST: usize = 10;
/// Most violations told in words; all are counted.
const MOST_VIOLATIONS: usize = 20;
/// Tallies whose first sight is remembered.
const SIGHTS: usize = 32;
/// About so many sockets of a process measure the spread of tallies.
const SAMPLED: u32 = 64;

/// See [module](self).
pub struct Shared {
    /// What is to be done.
    pub brief: Brief,
    pods: Vec<Pod>,
    sources: Vec<IpAddr>,
    slice: Mutex<Slice>,
    frames: AtomicU64,
    tallies: AtomicU64,
    /// Sockets that have been answered with a state.
    pub connected: AtomicI64,
    /// Planned things that are not finished.
    pub pending: AtomicI64,
    newest: AtomicU64,
    sights: Mutex<VecDeque<(u64, Instant)>>,
}

impl Shared {
    /// For a brief whose addresses were looked up.
    pub fn new(brief: Brief, pods: Vec<Pod>) -> Self {
        Self {
            sources: brief.sources.clone(),
            brief,
            pods,
            slice: Mutex::default(),
            frames: AtomicU64::new(0),
            tallies: AtomicU64::new(0),
            connected: AtomicI64::new(0),
            pending: AtomicI64::new(0),
            newest: AtomicU64::new(0),
            sights: Mutex::default(),
        }
    }

    /// The way for a voter's `attempt`-th connection: voters are spread over pods, and go to the next one if it fails.
    pub fn route(&self, voter: u32, attempt: u32, slow: bool) -> Route {
        let pod = self.pods[(voter as usize + attempt as usize) % self.pods.len()].clone();
        // pods and sources must not go in step, else each pod would see one source only
        let turn = voter as usize / self.pods.len() / self.brief.crews as usize;
        let source = self.sources.get(turn % self.sources.len().max(1)).copied();
        Route { pod, source, slow }
    }

    /// Whether this voter's socket measures the spread of tallies.
    pub fn samples(&self, voter: u32) -> bool {
        let own = self.brief.scenario.hall.voters.div_ceil(self.brief.crews);
        (voter / self.brief.crews).is_multiple_of(own.div_ceil(SAMPLED).max(1))
    }

    fn note(&self, write: impl FnOnce(&mut Slice)) {
        write(&mut self.slice.lock().expect("no holder of this lock panics"));
    }

    /// Adds a time.
    pub fn time(&self, timer: Timer, time: Duration) {
        self.note(|slice| slice.measures.time(timer, time));
    }

    /// Counts.
    pub fn count(&self, counter: Counter, by: usize) {
        self.note(|slice| slice.measures.count(counter, by as u64));
    }

    /// Counts an error.
    pub fn error(&self, cause: Cause) {
        self.note(|slice| slice.measures.error(cause));
    }

    /// Counts a broken promise.
    pub fn violation(&self, who: &str, what: &str) {
        self.note(|slice| {
            slice.measures.count(Counter::Violations, 1);
            if slice.violations.len() < MOST_VIOLATIONS {
                slice.violations.push(format!("{who}: {what}"));
            }
        });
    }

    /// An acknowledged tap.
    pub fn acknowledged(&self, voter: &str, round: u16, planned: Instant) {
        let time = planned.elapsed();
        self.done(1);
        self.note(|slice| {
            slice.measures.time(Timer::Ack, time);
            slice.measures.count(Counter::Votes, 1);
            let ms = time.as_secs_f64() * 1000.0;
            if slice.slowest.len() < SLOWEST || slice.slowest.iter().any(|slow| slow.ms < ms) {
                slice.slowest.push(Slow { ms, voter: voter.to_owned(), round, at_unix_ms: super::unix_ms() });
                slice.slowest.sort_by(|a, b| b.ms.total_cmp(&a.ms));
                slice.slowest.truncate(SLOWEST);
            }
        });
    }

    /// Planned things are finished, one way or the other.
    pub fn done(&self, count: usize) {
        self.pending.fetch_sub(count as i64, Ordering::Relaxed);
    }

    /// A frame came.
    pub fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// A tally came.
    pub fn tally(&self, version: u64, sampled: bool) {
        self.tallies.fetch_add(1, Ordering::Relaxed);
        let newest = self.newest.fetch_max(version, Ordering::Relaxed);
        if newest < version {
            let mut sights = self.sights.lock().expect("no holder of this lock panics");
            sights.push_back((version, Instant::now()));
            if sights.len() > SIGHTS {
                sights.pop_front();
            }
        } else if sampled {
            let sights = self.sights.lock().expect("no holder of this lock panics");
            let first = sights.iter().rev().find(|(seen, _)| *seen == version).map(|(_, at)| *at);
            drop(sights);
            if let Some(first) = first {
                self.time(Timer::Spread, first.elapsed());
            }
        }
    }

    /// What happened since this was asked last.
    pub fn take_slice(&self) -> Slice {
        let mut slice = Slice::default();
        self.note(|current| std::mem::swap(current, &mut slice));
        slice.measures.count(Counter::Frames, self.frames.swap(0, Ordering::Relaxed));
        slice.measures.count(Counter::Tallies, self.tallies.swap(0, Ordering::Relaxed));
        slice.connected = self.connected.load(Ordering::Relaxed);
        slice.pending = self.pending.load(Ordering::Relaxed);
        slice
    }
}
