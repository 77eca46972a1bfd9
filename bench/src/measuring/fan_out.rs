//! Broadcasts: how many frames arrive, and how long after the first receipt the last one is.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::connection::Received;
use super::crowd::Crowd;

/// Time for the last broadcast to reach every connection.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of a series of broadcasts.
pub struct FanOut {
    /// Received frames.
    pub frames: u64,
    /// Bytes of their texts.
    pub text_bytes: u64,
    /// Of each broadcast that reached every connection: from the first receipt to the last.
    pub spreads: Vec<Duration>,
    /// Broadcasts that did not reach every connection.
    pub partial: usize,
    /// Length of the series.
    pub wall: Duration,
}

/// A broadcast in progress.
struct Broadcast {
    name: u64,
    first: u64,
    last: u64,
    receipts: usize,
}

impl Crowd {
    /// Causes a broadcast every `period` for `length`, and counts until the last one has reached every connection.
    ///
    /// A server that broadcasts on demand is asked by the first connection; if it falls behind, it is asked again once
    /// every connection has the last broadcast. For Tallycast a vote is cast instead, each time by the next connection.
    ///
    /// # Errors
    /// A connection was closed, or the last broadcast did not reach every connection within 5 s.
    pub fn fan_out(&mut self, period: Duration, length: Duration) -> Result<FanOut> {
        let all = self.len();
        let dialect = self.dialect.clone();
        let began = Instant::now();
        let (mut ticks, mut frames, mut text_bytes) = (0, 0u64, 0);
        let mut broadcasts: Vec<Broadcast> = vec![];
        let mut acks = 0;
        loop {
            let planned = began + period * ticks;
            let behind = dialect.ask.is_some() && frames < u64::from(ticks) * all as u64;
            let over = planned >= began + length;
            let settled = match &dialect.ask {
                Some(_) => !behind,
                None => acks == ticks && broadcasts.last().is_some_and(|last| last.receipts == all),
            };
            if over && settled {
                break;
            }
            let now = Instant::now();
            if !over && !behind && now >= planned {
                self.tick(ticks)?;
                ticks += 1;
                continue;
            }
            if now > began + length + LAST_TIMEOUT {
                bail!("the last broadcast did not reach every connection within {LAST_TIMEOUT:?}");
            }
            let wait = if over || behind { Duration::from_millis(100) } else { planned - now };
            self.pump(wait, |client, now, received| {
                match received {
                    Received::Ack(_) => {
                        client.due = None;
                        acks += 1;
                    }
                    Received::Tally(text) => {
                        frames += 1;
                        text_bytes += text.len() as u64;
                        let name = (dialect.name)(text, client.tallies);
                        // almost always the last one
                        match broadcasts.iter_mut().rev().find(|broadcast| broadcast.name == name) {
                            Some(broadcast) => {
                                broadcast.last = now;
                                broadcast.receipts += 1;
                            }
                            None => broadcasts.push(Broadcast { name, first: now, last: now, receipts: 1 }),
                        }
                    }
                }
                Ok(())
            })?;
        }
        let wall = began.elapsed();
        let whole = broadcasts.iter().filter(|broadcast| broadcast.receipts == all);
        let spreads: Vec<_> = whole.map(|broadcast| Duration::from_nanos(broadcast.last - broadcast.first)).collect();
        Ok(FanOut { frames, text_bytes, partial: broadcasts.len() - spreads.len(), spreads, wall })
    }

    fn tick(&mut self, tick: u32) -> Result<()> {
        let now = self.now();
        let dialect = self.dialect.clone();
        match &dialect.ask {
            Some(frame) => self.clients[0].send(frame),
            None => {
                let next = tick as usize % self.len();
                self.clients[next].cast(&dialect, now)
            }
        }
    }
}
