//! What a phone says and hears on its socket, and the promises that it checks with every frame.

use std::time::{Duration, Instant};

use rand::Rng;
use tokio::time::timeout;

use super::Voter;
use super::ballots::{Running, Verdict};
use super::line::{Heard, Line};
use crate::metrics::{Cause, Counter, Timer};
use crate::wire::{self, Ballot, Frame, State, Tally};

/// How long hello and a cast may go unanswered.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a ping may.
const PONG: Duration = Duration::from_secs(4);
/// Pause before a cast that was answered `busy` is sent again, in ms.
const BUSY_MS: std::ops::Range<u64> = 100..400;

/// The highest that a socket has shown.
#[derive(Debug, Default)]
pub struct Seen {
    seq: u64,
    version: u64,
    tally: Option<(Running, u64)>,
}

impl Voter {
    /// Says hello on a new socket and waits for the state.
    pub(super) async fn hello(&mut self, line: &mut Line) -> Result<(), Cause> {
        let begun = Instant::now();
        let hello = wire::hello(&self.shared.brief.room, "voter", self.token.as_deref());
        line.send(hello).await.map_err(|()| Cause::Hello)?;
        let answer = async {
            loop {
                match line.next().await {
                    Heard::Text(text) => {
                        self.shared.frame();
                        if let Frame::State(state) = wire::read(&text) {
                            return Ok(state);
                        }
                    }
                    Heard::Gone(Some(4401 | 4403 | 4404)) => return Err(Cause::KeptOut),
                    Heard::Gone(_) => return Err(Cause::Hello),
                }
            }
        };
        let state = timeout(PATIENCE, answer).await.unwrap_or(Err(Cause::Hello));
        if state == Err(Cause::KeptOut) {
            self.kept_out = true;
        }
        self.shared.time(Timer::Hello, begun.elapsed());
        self.state(state?);
        Ok(())
    }

    /// Takes in a frame.
    pub(super) async fn hear(&mut self, text: &str) {
        match wire::read(text) {
            Frame::Tally(tally) => self.tally(tally),
            Frame::Ballot(ballot) => self.answered(&ballot).await,
            Frame::Mine(ballot) => self.learn(&ballot),
            Frame::State(state) => {
                let healing = state.you.is_some();
                self.state(state);
                if healing && self.awaiting.is_none() && self.ballots.under_way().is_some() {
                    self.send_cast().await;
                }
                self.cast_next().await;
            }
            Frame::Standing(standing) => self.standing = Some(standing),
            Frame::Pong => {
                self.alarms.pong = None;
                self.forgiven = false;
            }
            Frame::Bye(retry_ms) => self.bye = Some(retry_ms.unwrap_or(0)),
            Frame::Error => self.shared.error(Cause::NotUnderstood),
            Frame::Other => {}
        }
    }

    fn state(&mut self, state: State) {
        if state.room.seq < self.seen.seq {
            self.broken(&format!("seq fell from {} to {}", self.seen.seq, state.room.seq));
        }
        self.seen.seq = state.room.seq;
        self.budget = state.room.votes_per_round;
        self.open = state.room.open();
        self.over = self.over.max(state.room.over());
        if let Some(ballot) = state.you.and_then(|you| you.ballot) {
            self.learn(&ballot);
        }
    }

    fn tally(&mut self, tally: Tally) {
        self.shared.tally(tally.version, self.sampled);
        let running = (tally.round, tally.take);
        if tally.version < self.seen.version {
            self.broken(&format!("a tally's version fell from {} to {}", self.seen.version, tally.version));
        }
        let before = self.seen.tally.filter(|(seen, _)| *seen == running).map_or(0, |(_, total)| total);
        let own = self.ballots.acknowledged(running) as u64;
        if tally.total < before.max(own) {
            let total = tally.total;
            self.broken(&format!("a tally of {total} after one of {before}, with {own} own votes acknowledged"));
        }
        self.seen.version = tally.version;
        self.seen.tally = Some((running, tally.total));
    }

    fn broken(&self, what: &str) {
        self.shared.violation(&self.name, what);
    }

    fn learn(&mut self, ballot: &Ballot) {
        match self.ballots.learn(ballot) {
            Ok(grown) => {
                for planned in self.sent.drain(..grown.min(self.sent.len())) {
                    self.shared.acknowledged(&self.id, ballot.round, planned);
                }
            }
            Err(violation) => self.broken(&violation.0),
        }
    }

    async fn answered(&mut self, ballot: &Ballot) {
        self.alarms.answer = None;
        let Some(running) = self.awaiting.take() else {
            self.broken("a cast was answered that was not sent on this socket");
            return;
        };
        self.learn(ballot);
        let verdict = self.ballots.settle(running, ballot);
        match verdict {
            Verdict::Busy => {
                self.shared.error(Cause::Busy);
                let pause = Duration::from_millis(self.rng.random_range(BUSY_MS));
                self.alarms.resend = Some(Instant::now() + pause);
                return;
            }
            Verdict::Healing => {
                self.shared.count(Counter::Healed, 1);
                self.send_cast().await;
                return;
            }
            Verdict::Stored => {
                if let Some(sent_at) = self.sent_at.take() {
                    self.shared.time(Timer::AckService, sent_at.elapsed());
                }
            }
            Verdict::Late => self.shared.count(Counter::Late, self.sent.len()),
            Verdict::Refused => self.shared.error(Cause::Refused),
        }
        self.shared.count(Counter::Acks, 1);
        self.shared.done(self.sent.len());
        self.sent.clear();
        self.cast_next().await;
    }

    /// Casts all taps that wait, if no cast is under way and their round is open.
    pub(super) async fn cast_next(&mut self) {
        let late = self.taps.iter().filter(|(round, _)| *round <= self.over).count();
        if late > 0 {
            self.taps.retain(|(round, _)| *round > self.over);
            self.shared.count(Counter::Late, late);
            self.shared.done(late);
        }
        let Some(running) = self.open else { return };
        if self.line.is_none() || self.ballots.under_way().is_some() {
            return;
        }
        let left = self.budget.saturating_sub(self.ballots.acknowledged(running));
        let ready = self.taps.iter().take_while(|(round, _)| *round == running.0).count().min(left);
        if ready == 0 {
            return;
        }
        let choices = self.shared.brief.scenario.hall.choices;
        // everybody has a favourite in each round, and is true to it three times out of four
        let favourite = (self.index.wrapping_mul(0x9E37_79B1) >> 8).wrapping_add(u32::from(running.0)) as u8 % choices;
        let mut votes = String::with_capacity(ready);
        for (_, planned) in self.taps.drain(..ready) {
            let choice = if self.rng.random_bool(0.75) { favourite } else { self.rng.random_range(0..choices) };
            votes.push(char::from(b'a' + choice));
            self.sent.push_back(planned);
        }
        self.ballots.begin(running, votes);
        self.sent_at = Some(Instant::now());
        self.send_cast().await;
    }

    /// Sends the cast under way, for the first time or again.
    pub(super) async fn send_cast(&mut self) {
        let (Some((running, cast)), Some(line)) = (self.ballots.under_way(), &mut self.line) else { return };
        let frame = wire::cast(running, cast.slip, &cast.votes);
        self.awaiting = Some(running);
        self.alarms.answer = Some(Instant::now() + PATIENCE);
        self.shared.count(Counter::Casts, 1);
        if line.send(frame).await.is_err() {
            self.gone(None);
        }
    }

    /// Asks whether the server is there.
    pub(super) async fn ping(&mut self) {
        let Some(line) = &mut self.line else { return };
        self.pings += 1;
        self.alarms.ping = Some(Instant::now() + self.shared.brief.scenario.hall.ping.0);
        self.alarms.pong.get_or_insert(Instant::now() + PONG);
        if line.send(wire::ping(self.pings)).await.is_err() {
            self.gone(None);
        }
    }
}
