//! Broadcasts: how many frames arrive, and how long after the first receipt the last one is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::connection::Received;
use super::crowd::Crowd;

/// Time for the last broadcast to reach every connection.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of a series of broadcasts.
pub struct FanOut {
    /// Received frames.
    pub frames: u64,
    /// Bytes of their texts.
    pub text_bytes: usize,
    /// Of each broadcast that reached every connection: from the first receipt to the last.
    pub spreads: Vec<Duration>,
    /// Broadcasts that did not reach every connection.
    pub partial: usize,
    /// Length of the series.
    pub wall: Duration,
}

/// The receipts of one broadcast.
struct Broadcast {
    first: Instant,
    last: Instant,
    receipts: usize,
}

impl Crowd {
    /// Causes a broadcast every `period` for `length`, and counts until the last one has reached every connection.
    ///
    /// A server that broadcasts on demand is asked by the first connection; if it falls behind, it is asked again once
    /// every connection has the last broadcast. For Tallycast a vote is cast instead, each time by the next connection;
    /// if it falls behind, the next vote is cast once the last one is answered.
    ///
    /// # Errors
    /// A connection was closed, or the last broadcast did not reach every connection within 5 s.
    pub fn fan_out(&mut self, period: Duration, length: Duration) -> Result<FanOut> {
        let (all, dialect) = (self.clients.len(), self.dialect.clone());
        let began = Instant::now();
        let end = began + length;
        let (mut caused, mut acks, mut frames, mut text_bytes) = (0u32, 0u32, 0u64, 0);
        let mut broadcasts = BTreeMap::<u64, Broadcast>::new();
        loop {
            let (now, due) = (Instant::now(), began + period * caused);
            let is_answered = match dialect.ask {
                Some(_) => frames == u64::from(caused) * all as u64,
                None => acks == caused,
            };
            if is_answered && due < end && due <= now {
                match &dialect.ask {
                    Some(ask) => self.clients[0].send(ask)?,
                    None => self.clients[caused as usize % all].cast(now)?,
                }
                caused += 1;
                continue;
            }
            let is_whole = broadcasts.values().next_back().is_some_and(|last| last.receipts == all);
            if is_answered && due >= end && is_whole {
                break;
            }
            ensure!(now < end + LAST_TIMEOUT, "the last broadcast did not reach every connection in {LAST_TIMEOUT:?}");
            let wait = if due > now { due - now } else { Duration::from_millis(100) };
            match self.next(wait)? {
                Some((_, now, Received::Tally(name, bytes))) => {
                    frames += 1;
                    text_bytes += bytes;
                    let new = Broadcast { first: now, last: now, receipts: 0 };
                    let broadcast = broadcasts.entry(name).or_insert(new);
                    broadcast.last = now;
                    broadcast.receipts += 1;
                }
                Some((_, _, Received::Ack(..))) => acks += 1,
                _ => {}
            }
        }
        let wall = began.elapsed();
        let whole = broadcasts.values().filter(|broadcast| broadcast.receipts == all);
        let spreads: Vec<_> = whole.map(|broadcast| broadcast.last - broadcast.first).collect();
        Ok(FanOut { frames, text_bytes, partial: broadcasts.len() - spreads.len(), spreads, wall })
    }
}
