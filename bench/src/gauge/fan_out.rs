//! One to all: how many frames arrive, and how long the last client waits behind the first.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::client::Heard;
use super::crowd::Crowd;

/// After the last broadcast was asked for, it must have reached everybody within this.
const LAST_WITHIN: Duration = Duration::from_secs(5);

/// What came of a row of broadcasts.
pub struct FanOut {
    /// Broadcast frames that clients received.
    pub frames: u64,
    /// Bytes of their texts.
    pub text_bytes: u64,
    /// Broadcasts that reached everybody: from the first receipt to the last.
    pub spreads: Vec<Duration>,
    /// Broadcasts that somebody skipped.
    pub partial: usize,
    /// How long it took.
    pub wall: Duration,
}

/// A broadcast under way.
struct Broadcast {
    name: u64,
    first: u64,
    last: u64,
    receipts: usize,
}

impl Crowd {
    /// Has a broadcast made each `period`, for `length`, and counts until everybody has the last.
    ///
    /// A server that broadcasts on demand is asked by the first client; if it falls behind, it is asked again only when
    /// everybody has the last one. Tallycast is given a vote instead, each time by the next voter.
    pub fn fan_out(&mut self, period: Duration, length: Duration) -> Result<FanOut> {
        let everybody = self.len();
        let speech = self.speech.clone();
        let began = Instant::now();
        let (mut beats, mut frames, mut text_bytes) = (0, 0u64, 0);
        let mut broadcasts: Vec<Broadcast> = vec![];
        let mut acks = 0;
        loop {
            let planned = began + period * beats;
            let behind = speech.ask.is_some() && frames < u64::from(beats) * everybody as u64;
            let over = planned >= began + length;
            let settled = match &speech.ask {
                Some(_) => !behind,
                None => acks == beats && broadcasts.last().is_some_and(|last| last.receipts == everybody),
            };
            if over && settled {
                break;
            }
            let now = Instant::now();
            if !over && !behind && now >= planned {
                self.beat(beats)?;
                beats += 1;
                continue;
            }
            if now > began + length + LAST_WITHIN {
                bail!("the last broadcast did not reach everybody within {LAST_WITHIN:?}");
            }
            let wait = if over || behind { Duration::from_millis(100) } else { planned - now };
            self.pump(wait, |client, now, heard| {
                match heard {
                    Heard::Ack(_) => {
                        client.due = None;
                        acks += 1;
                    }
                    Heard::Tally(text) => {
                        frames += 1;
                        text_bytes += text.len() as u64;
                        let name = (speech.name)(text, client.tallies);
                        // nearly always the last one
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
        let whole = broadcasts.iter().filter(|broadcast| broadcast.receipts == everybody);
        let spreads: Vec<_> = whole.map(|broadcast| Duration::from_nanos(broadcast.last - broadcast.first)).collect();
        Ok(FanOut { frames, text_bytes, partial: broadcasts.len() - spreads.len(), spreads, wall })
    }

    fn beat(&mut self, beat: u32) -> Result<()> {
        let now = self.now();
        let speech = self.speech.clone();
        match &speech.ask {
            Some(frame) => self.clients[0].send(frame),
            None => {
                let next = beat as usize % self.len();
                self.clients[next].cast(&speech, now)
            }
        }
    }
}
