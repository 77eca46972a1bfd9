//! Votes and their answers: as fast as they come, or at planned times.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::client::Heard;
use super::crowd::Crowd;

/// A vote must be answered within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest latency told apart, in ns; longer ones count as this.
const MOST_NS: u64 = 60_000_000_000;

/// What came of many votes.
pub struct Votes {
    /// Votes that were answered, and so taken.
    pub count: u64,
    /// Ns from the moment the vote was due to its answer.
    pub latency: Histogram<u64>,
    /// Broadcasts that came meanwhile, counted at each client.
    pub tallies: u64,
    /// Bytes of the answers' texts.
    pub ack_bytes: u64,
    /// How long it took.
    pub wall: Duration,
}

impl Default for Votes {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1_000, MOST_NS, 3).expect("the bounds are in order");
        Self { count: 0, latency, tallies: 0, ack_bytes: 0, wall: Duration::ZERO }
    }
}

impl Votes {
    /// Takes others of the same kind in.
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
    /// Everybody casts `each` votes, the next as soon as the last is answered.
    pub fn closed_loop(&mut self, each: u32) -> Result<Votes> {
        let speech = self.speech.clone();
        let began = Instant::now();
        let mut votes = Votes::default();
        let all = self.len() as u64 * u64::from(each);
        let starts: Vec<u32> = self.clients.iter().map(|client| client.casts).collect();
        for number in 0..self.len() {
            let now = self.now();
            self.clients[number].cast(&speech, now)?;
        }
        let mut answered = (0, Instant::now());
        while votes.count < all {
            self.pump(Duration::from_millis(100), |client, now, heard| {
                match heard {
                    Heard::Tally(_) => votes.tallies += 1,
                    Heard::Ack(ack) => {
                        votes.answered(client.due.take().unwrap_or(now), now, ack);
                        if client.casts - starts[client.number] < each {
                            client.cast(&speech, now)?;
                        }
                    }
                }
                Ok(())
            })?;
            if votes.count > answered.0 {
                answered = (votes.count, Instant::now());
            } else if answered.1.elapsed() > ANSWER_WITHIN {
                bail!("{} of {all} votes were answered, and then none for {ANSWER_WITHIN:?}", votes.count);
            }
        }
        votes.wall = began.elapsed();
        Ok(votes)
    }

    /// The first `casters` clients cast a vote every `every` each, spread evenly, until `go_on` says no; the others
    /// listen.
    ///
    /// A vote that is due while the one before is unanswered is sent late and counts from when it was due. The
    /// gauge's own timer has whole ms, so what it is late itself is left out.
    pub fn paced(&mut self, casters: usize, every: Duration, mut go_on: impl FnMut() -> bool) -> Result<Votes> {
        let speech = self.speech.clone();
        let began = Instant::now();
        let step = every / casters as u32;
        let mut votes = Votes::default();
        let mut planned: u32 = 0;
        let mut under_way = 0;
        let mut ended = None;
        loop {
            if ended.is_none() && !go_on() {
                ended = Some(Instant::now());
            }
            if let Some(ended) = ended {
                if under_way == 0 {
                    break;
                }
                if ended.elapsed() > ANSWER_WITHIN {
                    bail!("{under_way} votes were not answered within {ANSWER_WITHIN:?}");
                }
            }
            while ended.is_none() && began.elapsed() >= step * planned {
                let now = self.now();
                let client = &mut self.clients[planned as usize % casters];
                match client.due {
                    None => client.cast(&speech, now)?,
                    Some(_) => client.owed.push_back(now),
                }
                planned += 1;
                under_way += 1;
            }
            let next = (step * planned).saturating_sub(began.elapsed());
            self.pump(next.min(Duration::from_millis(20)), |client, now, heard| {
                match heard {
                    Heard::Tally(_) => votes.tallies += 1,
                    Heard::Ack(ack) => {
                        under_way -= 1;
                        votes.answered(client.due.take().unwrap_or(now), now, ack);
                        if let Some(due) = client.owed.pop_front() {
                            client.cast(&speech, due)?;
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
