//! Votes and their answers: in a closed loop, or at scheduled times.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::connection::Received;
use super::crowd::Crowd;

/// Time for the answer to a vote.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest latency in the histogram; longer ones count as this.
const MAX_NS: u64 = 60_000_000_000;

/// The result of many votes.
pub struct Votes {
    /// Votes that were answered and stored.
    pub count: u64,
    /// From the moment the vote was due to its answer, in ns.
    pub latency: Histogram<u64>,
    /// Broadcasts received meanwhile, summed over connections.
    pub tallies: u64,
    /// Bytes of the answers' texts.
    pub ack_bytes: u64,
    /// How long all of them took.
    pub wall: Duration,
}

impl Default for Votes {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1_000, MAX_NS, 3).expect("the bounds are in order");
        Self { count: 0, latency, tallies: 0, ack_bytes: 0, wall: Duration::ZERO }
    }
}

impl Votes {
    /// Adds other votes.
    pub fn add(&mut self, others: &Self) {
        self.count += others.count;
        self.latency.add(&others.latency).expect("both have the same bounds");
        self.tallies += others.tallies;
        self.ack_bytes += others.ack_bytes;
        self.wall += others.wall;
    }

    /// Votes a second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }

    /// A percentile of the latency, in ms.
    pub fn ms(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1e6
    }

    fn answered(&mut self, due: u64, now: u64, ack: &[u8]) {
        self.count += 1;
        self.ack_bytes += ack.len() as u64;
        self.latency.saturating_record(now.saturating_sub(due).max(1_000));
    }
}

impl Crowd {
    /// Every connection casts `each` votes, the next one as soon as the last one is answered.
    ///
    /// # Errors
    /// A vote was refused, or not answered within 10 s, or a connection was closed.
    pub fn closed_loop(&mut self, each: u32) -> Result<Votes> {
        let dialect = self.dialect.clone();
        let began = Instant::now();
        let mut votes = Votes::default();
        let all = self.len() as u64 * u64::from(each);
        let starts: Vec<u32> = self.clients.iter().map(|client| client.casts).collect();
        for number in 0..self.len() {
            let now = self.now();
            self.clients[number].cast(&dialect, now)?;
        }
        let mut answered = (0, Instant::now());
        while votes.count < all {
            self.pump(Duration::from_millis(100), |client, now, received| {
                match received {
                    Received::Tally(_) => votes.tallies += 1,
                    Received::Ack(ack) => {
                        votes.answered(client.due.take().unwrap_or(now), now, ack);
                        if client.casts - starts[client.number] < each {
                            client.cast(&dialect, now)?;
                        }
                    }
                }
                Ok(())
            })?;
            if votes.count > answered.0 {
                answered = (votes.count, Instant::now());
            } else if answered.1.elapsed() > ANSWER_TIMEOUT {
                bail!("{} of {all} votes were answered, and then none for {ANSWER_TIMEOUT:?}", votes.count);
            }
        }
        votes.wall = began.elapsed();
        Ok(votes)
    }

    /// The first `casters` connections cast a vote every `every` each, evenly spread, until `go_on` returns false. The
    /// others only read.
    ///
    /// A vote that is due while the one before is unanswered is sent late and counts from when it was due. The client's
    /// timer has whole ms, so its own lateness is left out.
    ///
    /// # Errors
    /// A vote was refused, or not answered within 10 s, or a connection was closed.
    pub fn paced(&mut self, casters: usize, every: Duration, mut go_on: impl FnMut() -> bool) -> Result<Votes> {
        let dialect = self.dialect.clone();
        let began = Instant::now();
        let step = every / casters as u32;
        let mut votes = Votes::default();
        let mut scheduled: u32 = 0;
        let mut in_flight = 0;
        let mut ended = None;
        loop {
            if ended.is_none() && !go_on() {
                ended = Some(Instant::now());
            }
            if let Some(ended) = ended {
                if in_flight == 0 {
                    break;
                }
                if ended.elapsed() > ANSWER_TIMEOUT {
                    bail!("{in_flight} votes were not answered within {ANSWER_TIMEOUT:?}");
                }
            }
            while ended.is_none() && began.elapsed() >= step * scheduled {
                let now = self.now();
                let client = &mut self.clients[scheduled as usize % casters];
                match client.due {
                    None => client.cast(&dialect, now)?,
                    Some(_) => client.owed.push_back(now),
                }
                scheduled += 1;
                in_flight += 1;
            }
            let next = (step * scheduled).saturating_sub(began.elapsed());
            self.pump(next.min(Duration::from_millis(20)), |client, now, received| {
                match received {
                    Received::Tally(_) => votes.tallies += 1,
                    Received::Ack(ack) => {
                        in_flight -= 1;
                        votes.answered(client.due.take().unwrap_or(now), now, ack);
                        if let Some(due) = client.owed.pop_front() {
                            client.cast(&dialect, due)?;
                        }
                    }
                }
                Ok(())
            })?;
        }
        votes.wall = began.elapsed();
        Ok(votes)
    }
}
