//! Votes and their answers: in a closed loop, or at scheduled times.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::connection::Received;
use super::crowd::Crowd;

/// Time without an answer to any vote.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of many votes.
pub struct Votes {
    /// From the moment a vote was due to its answer, in ns. Each vote was stored.
    pub latency: Histogram<u64>,
    /// Broadcasts received meanwhile, summed over connections.
    pub tallies: u64,
    /// Bytes of the answers' texts.
    pub ack_bytes: usize,
    /// How long all of them took.
    pub wall: Duration,
    /// When the last answer was received, or the first vote was cast.
    last: Instant,
}

impl Default for Votes {
    fn default() -> Self {
        let latency = Histogram::new(3).expect("three digits are possible");
        Self { latency, tallies: 0, ack_bytes: 0, wall: Duration::ZERO, last: Instant::now() }
    }
}

impl Votes {
    /// Adds other votes.
    pub fn add(&mut self, others: &Self) {
        self.latency += &others.latency;
        self.tallies += others.tallies;
        self.ack_bytes += others.ack_bytes;
        self.wall += others.wall;
    }

    /// Votes a second.
    pub fn rate(&self) -> f64 {
        self.latency.len() as f64 / self.wall.as_secs_f64()
    }

    /// A percentile of the latency, in ms.
    pub fn ms(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1e6
    }
}

impl Crowd {
    /// Every connection casts `each` votes, the next one as soon as the last one is answered.
    ///
    /// # Errors
    /// A vote was refused, or none was answered for 10 s, or a connection was closed.
    pub fn closed_loop(&mut self, each: u32) -> Result<Votes> {
        let (mut votes, began) = (Votes::default(), Instant::now());
        self.clients.iter_mut().try_for_each(|client| client.cast(Instant::now()))?;
        let mut cast = vec![1; self.clients.len()];
        let all = self.clients.len() as u64 * u64::from(each);
        while votes.latency.len() < all {
            if let Some((client, now)) = self.next_answer(&mut votes, Duration::from_millis(100))?
                && cast[client] < each
            {
                cast[client] += 1;
                self.clients[client].cast(now)?;
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
    /// A vote was refused, or none was answered for 10 s, or a connection was closed.
    pub fn paced(&mut self, casters: usize, every: Duration, go_on: impl Fn() -> bool) -> Result<Votes> {
        let (mut votes, began) = (Votes::default(), Instant::now());
        let step = every / casters as u32;
        let mut scheduled: u32 = 0;
        while go_on() || votes.latency.len() < u64::from(scheduled) {
            while go_on() && began.elapsed() >= step * scheduled {
                let client = &mut self.clients[scheduled as usize % casters];
                match client.due {
                    None => client.cast(Instant::now())?,
                    Some(_) => client.owed.push_back(Instant::now()),
                }
                scheduled += 1;
            }
            let wait = (step * scheduled).saturating_sub(began.elapsed()).min(Duration::from_millis(20));
            if let Some((client, _)) = self.next_answer(&mut votes, wait)?
                && let Some(due) = self.clients[client].owed.pop_front()
            {
                self.clients[client].cast(due)?;
            }
        }
        votes.wall = began.elapsed();
        Ok(votes)
    }

    /// Adds what is received next to `votes`. If it is an answer, gives its connection and time.
    fn next_answer(&mut self, votes: &mut Votes, timeout: Duration) -> Result<Option<(usize, Instant)>> {
        match self.next(timeout)? {
            Some((client, now, Received::Ack(due, bytes))) => {
                votes.last = now;
                votes.ack_bytes += bytes;
                votes.latency += now.saturating_duration_since(due).as_nanos() as u64;
                return Ok(Some((client, now)));
            }
            Some((_, _, Received::Tally(..))) => votes.tallies += 1,
            _ => {}
        }
        let (count, is_stuck) = (votes.latency.len(), votes.last.elapsed() > ANSWER_TIMEOUT);
        ensure!(!is_stuck, "{count} votes were answered, and then none for {ANSWER_TIMEOUT:?}");
        Ok(None)
    }
}
