//! Collects the reports of every pool: totals, timeline and progress.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until};

use crate::metrics::Measures;
use crate::platform::Interrupts;
use crate::pool::messages::{ClientRecord, MAX_VIOLATIONS, PoolReport, Sample};
use crate::report::progress::Progress;
use crate::report::summary::Figures;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The deadline, or an interruption.
    Deadline,
    /// Everything scheduled in a step is finished. The deadline and an interruption end the wait, too.
    Finished(usize),
    /// Every pool has reported what its clients know. Without that nothing can be audited.
    Clients,
}

/// See [module](self).
pub struct Collector {
    /// Measured in the run so far.
    pub total: Measures,
    /// Measured in the phase so far.
    pub phase: Measures,
    /// One entry a second.
    pub timeline: Vec<Figures>,
    /// The first violations, as text.
    pub violations: Vec<String>,
    /// What every client knows.
    pub clients: Vec<ClientRecord>,
    reports: Receiver<PoolReport>,
    pools: usize,
    /// Newest sample of each pool, by its number.
    newest: BTreeMap<u32, Sample>,
    /// Pools that have reported what their clients know.
    pools_done: usize,
    second: Measures,
    seconds: Interval,
    began: Instant,
    interrupts: Interrupts,
    interrupted: bool,
    progress: Progress,
}

impl Collector {
    /// For so many pools.
    pub fn new(reports: Receiver<PoolReport>, pools: usize, interrupts: Interrupts, progress: Progress) -> Self {
        let began = Instant::now();
        let mut seconds = interval_at((began + Duration::from_secs(1)).into(), Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            total: Measures::default(),
            phase: Measures::default(),
            timeline: vec![],
            violations: vec![],
            clients: vec![],
            reports,
            pools,
            newest: BTreeMap::new(),
            pools_done: 0,
            second: Measures::default(),
            seconds,
            began,
            interrupts,
            interrupted: false,
            progress,
        }
    }

    /// Seconds since the beginning.
    pub fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// True after Ctrl-C or SIGTERM.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Sockets with a state, over all pools.
    pub fn connected(&self) -> i64 {
        self.newest.values().map(|sample| sample.connected).sum()
    }

    fn pending(&self) -> i64 {
        self.newest.values().map(|sample| sample.pending).sum()
    }

    fn finished(&self, step: usize) -> bool {
        let started = self.newest.values().filter(|sample| sample.started >= Some(step)).count();
        started == self.pools && self.pending() == 0
    }

    /// Collects reports until the event has come.
    ///
    /// # Errors
    /// A pool has ended, or does not report what its clients know.
    pub async fn wait(&mut self, phase: &str, until: Until, deadline: Instant) -> anyhow::Result<()> {
        loop {
            let done = match until {
                Until::Deadline => self.interrupted,
                Until::Finished(step) => self.interrupted || self.finished(step),
                Until::Clients => self.pools_done == self.pools,
            };
            if done {
                return Ok(());
            }
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(report) => self.add(report),
                    None => bail!("the pools of voters have ended early; the messages above say why"),
                },
                _ = self.seconds.tick() => self.end_second(phase),
                () = self.interrupts.next() => {
                    if self.interrupted {
                        bail!("interrupted twice: ended without an audit");
                    }
                    let told = "interrupted: the round is closed and the result audited; interrupt again to leave at once";
                    self.progress.print(told);
                    self.interrupted = true;
                }
                () = sleep_until(deadline.into()) => {
                    ensure!(until != Until::Clients, "a pool of voters did not report what they know: nothing can be audited");
                    return Ok(());
                }
            }
        }
    }

    fn add(&mut self, report: PoolReport) {
        let mut sample = match report {
            PoolReport::Sample(sample) => sample,
            PoolReport::Clients(clients) => {
                self.clients.extend(clients);
                self.pools_done += 1;
                return;
            }
        };
        for sum in [&mut self.total, &mut self.phase, &mut self.second] {
            sum.add(&sample.measures);
        }
        sample.measures = Measures::default();
        self.violations.append(&mut sample.violations);
        self.violations.truncate(MAX_VIOLATIONS);
        self.newest.insert(sample.pool, sample);
    }

    fn end_second(&mut self, phase: &str) {
        let second = Figures::new(self.elapsed(), self.connected(), &std::mem::take(&mut self.second));
        self.progress.show(phase, self.pending(), &second);
        self.timeline.push(second);
    }
}
