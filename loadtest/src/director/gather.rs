//! Takes in what the crews report, and keeps totals, timeline and progress.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until};

use crate::crew::shared::SLOWEST;
use crate::crew::{Report, Slice, Slow};
use crate::metrics::Measures;
use crate::platform::Interrupts;
use crate::report::progress::Progress;
use crate::report::summary::Moment;
use crate::voter::Book;

/// Most violations told in words.
const MOST_VIOLATIONS: usize = 20;

/// What is waited for. An interruption ends every wait but that for the books.
pub enum Until {
    /// A moment.
    At(Instant),
    /// Everything planned in a step is finished, or the deadline.
    Settled {
        /// The step.
        step: usize,
        /// When to go on anyhow.
        deadline: Instant,
    },
    /// The books of all crews.
    Books {
        /// When to give up.
        deadline: Instant,
    },
}

/// See [module](self).
pub struct Gather {
    /// Everything so far.
    pub total: Measures,
    /// Everything since the phase began.
    pub phase: Measures,
    /// One entry a second.
    pub timeline: Vec<Moment>,
    /// Slowest acknowledgements.
    pub slowest: Vec<Slow>,
    /// Broken promises in words.
    pub violations: Vec<String>,
    /// What all voters know.
    pub books: Vec<Book>,
    inbox: Receiver<Report>,
    crews: usize,
    /// Newest slice of each crew, by its number.
    newest: Vec<(u32, Slice)>,
    handed_over: usize,
    second: Measures,
    seconds: Interval,
    began: Instant,
    interrupts: Interrupts,
    interrupted: bool,
}

impl Gather {
    /// For so many crews.
    pub fn new(inbox: Receiver<Report>, crews: usize, interrupts: Interrupts) -> Self {
        let began = Instant::now();
        let mut seconds = interval_at((began + Duration::from_secs(1)).into(), Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            total: Measures::default(),
            phase: Measures::default(),
            timeline: vec![],
            slowest: vec![],
            violations: vec![],
            books: vec![],
            inbox,
            crews,
            newest: vec![],
            handed_over: 0,
            second: Measures::default(),
            seconds,
            began,
            interrupts,
            interrupted: false,
        }
    }

    /// Since the beginning, in seconds.
    pub fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Ctrl-C was pressed, or somebody asked the program to stop.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Sockets with a state, over all crews.
    pub fn connected(&self) -> i64 {
        self.newest.iter().map(|(_, slice)| slice.connected).sum()
    }

    fn pending(&self) -> i64 {
        self.newest.iter().map(|(_, slice)| slice.pending).sum()
    }

    fn settled(&self, step: usize) -> bool {
        let performed = self.newest.iter().filter(|(_, slice)| slice.performed >= Some(step)).count();
        performed == self.crews && self.pending() == 0
    }

    /// Takes in reports until what is waited for is there.
    ///
    /// # Errors
    /// The crews have ended, or do not hand over their books.
    pub async fn until(&mut self, phase: &str, progress: &Progress, until: Until) -> anyhow::Result<()> {
        let deadline = match until {
            Until::At(deadline) | Until::Settled { deadline, .. } | Until::Books { deadline } => deadline,
        };
        let books = matches!(until, Until::Books { .. });
        loop {
            let there = match until {
                Until::At(_) => self.interrupted,
                Until::Settled { step, .. } => self.interrupted || self.settled(step),
                Until::Books { .. } => self.handed_over == self.crews,
            };
            if there {
                return Ok(());
            }
            tokio::select! {
                report = self.inbox.recv() => match report {
                    Some(report) => self.take(report),
                    None => bail!("the voters have ended early; their last words stand above"),
                },
                _ = self.seconds.tick() => self.second(phase, progress),
                () = self.interrupts.next() => {
                    if self.interrupted {
                        bail!("interrupted twice: left without an audit");
                    }
                    progress.say("interrupted: the round is closed, and what was measured is audited; once more leaves at once");
                    self.interrupted = true;
                }
                () = sleep_until(deadline.into()) => match books {
                    true => bail!("a process with voters did not hand over what they know; nothing can be audited"),
                    false => return Ok(()),
                },
            }
        }
    }

    fn take(&mut self, report: Report) {
        let mut slice = match report {
            Report::Slice(slice) => slice,
            Report::Books(books) => {
                self.books.extend(books);
                self.handed_over += 1;
                return;
            }
        };
        for sum in [&mut self.total, &mut self.phase, &mut self.second] {
            sum.add(&slice.measures);
        }
        slice.measures = Measures::default();
        self.slowest.append(&mut slice.slowest);
        self.slowest.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        self.slowest.truncate(SLOWEST);
        self.violations.append(&mut slice.violations);
        self.violations.truncate(MOST_VIOLATIONS);
        match self.newest.iter_mut().find(|(crew, _)| *crew == slice.crew) {
            Some((_, newest)) => *newest = slice,
            None => self.newest.push((slice.crew, slice)),
        }
    }

    fn second(&mut self, phase: &str, progress: &Progress) {
        let moment = Moment::new(self.elapsed(), self.connected(), &self.second);
        self.second = Measures::default();
        progress.show(phase, self.pending(), &moment);
        self.timeline.push(moment);
    }
}
