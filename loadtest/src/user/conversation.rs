//! What a virtual user sends and receives on its socket, and the promises that it checks on every frame.

use std::time::{Duration, Instant};

use client::protocol::{Ballot, ClientMessage, ServerMessage, State, Tally};
use client::socket::Incoming;
use client::voter::CastOutcome;
use rand::Rng;
use tokio::time::timeout;

use super::VirtualUser;
use crate::metrics::{Cause, Counter, Timer};
use crate::route::Socket;

/// Time for the answer to hello and to a cast.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a pong.
const PONG_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause before a cast that was answered `busy` is sent again.
const BUSY_PAUSE_MS: std::ops::Range<u64> = 100..400;

impl VirtualUser {
    /// Says hello on a new socket and waits for the state.
    pub(super) async fn hello(&mut self, socket: &mut Socket) -> Result<(), Cause> {
        let begun = Instant::now();
        let hello =
            ClientMessage::Hello { room: &self.recorder.config.room, role: "voter", token: self.token.as_deref() };
        socket.send(hello.text()).await.map_err(|_| Cause::Hello)?;
        let answer = async {
            loop {
                match socket.next().await {
                    Incoming::Text(text) => {
                        self.recorder.frame();
                        if let ServerMessage::State(state) = ServerMessage::read(&text) {
                            return Ok(state);
                        }
                    }
                    Incoming::Closed(Some(4401 | 4403 | 4404)) => return Err(Cause::KeptOut),
                    Incoming::Closed(_) | Incoming::Invalid(_) => return Err(Cause::Hello),
                }
            }
        };
        let state = timeout(ANSWER_TIMEOUT, answer).await.unwrap_or(Err(Cause::Hello));
        if state == Err(Cause::KeptOut) {
            self.kept_out = true;
        }
        self.recorder.time(Timer::Hello, begun.elapsed());
        self.apply_state(state?);
        Ok(())
    }

    /// Handles a text frame.
    pub(super) async fn receive(&mut self, text: &str) {
        match ServerMessage::read(text) {
            ServerMessage::Tally(tally) => self.apply_tally(tally),
            ServerMessage::Ballot(ballot) => self.answered(&ballot).await,
            ServerMessage::Mine(ballot) => self.apply_ballot(&ballot),
            ServerMessage::State(state) => {
                let has_own_part = state.you.is_some();
                self.apply_state(state);
                if has_own_part && self.awaiting.is_none() && self.ballots.unknown().is_some() {
                    self.send_cast().await;
                }
                self.cast_next().await;
            }
            ServerMessage::Standing(standing) => self.standing = Some(standing),
            ServerMessage::Pong => {
                self.timers.pong = None;
                self.may_be_closed = false;
            }
            ServerMessage::Bye(retry_ms) => self.bye = Some(retry_ms.unwrap_or(0)),
            ServerMessage::Error => self.recorder.error(Cause::NotUnderstood),
            ServerMessage::Other => {}
        }
    }

    fn apply_state(&mut self, state: State) {
        if state.room.seq < self.seen.seq {
            self.violation(&format!("seq fell from {} to {}", self.seen.seq, state.room.seq));
        }
        self.seen.seq = state.room.seq;
        self.votes_per_round = state.room.votes_per_round;
        self.open = state.room.open_take();
        self.last_closed = self.last_closed.max(state.room.last_closed());
        if let Some(ballot) = state.you.and_then(|you| you.ballot) {
            self.apply_ballot(&ballot);
        }
    }

    fn apply_tally(&mut self, tally: Tally) {
        self.recorder.tally(tally.version, self.measures_spread);
        let take = (tally.round, tally.take);
        if tally.version < self.seen.version {
            self.violation(&format!("the version of a tally fell from {} to {}", self.seen.version, tally.version));
        }
        let before = self.seen.total.filter(|(seen, _)| *seen == take).map_or(0, |(_, total)| total);
        let own = self.ballots.acknowledged(take) as u64;
        if tally.total < before.max(own) {
            let total = tally.total;
            self.violation(&format!("a tally of {total} after one of {before}, with {own} own votes acknowledged"));
        }
        self.seen.version = tally.version;
        self.seen.total = Some((take, tally.total));
    }

    fn violation(&self, what: &str) {
        self.recorder.violation(&self.name, what);
    }

    fn apply_ballot(&mut self, ballot: &Ballot) {
        match self.ballots.apply(ballot) {
            Ok(grown) => {
                for scheduled in self.sent.drain(..grown.min(self.sent.len())) {
                    self.recorder.acknowledged(scheduled);
                }
            }
            Err(violation) => self.violation(&violation.0),
        }
    }

    async fn answered(&mut self, ballot: &Ballot) {
        self.timers.answer = None;
        let Some(take) = self.awaiting.take() else {
            self.violation("a cast was answered that was not sent on this socket");
            return;
        };
        self.apply_ballot(ballot);
        match self.ballots.outcome(take, ballot) {
            CastOutcome::Busy => {
                self.recorder.error(Cause::Busy);
                let pause = Duration::from_millis(self.rng.random_range(BUSY_PAUSE_MS));
                self.timers.resend = Some(Instant::now() + pause);
                return;
            }
            CastOutcome::Healing => {
                self.recorder.count(Counter::Healed, 1);
                self.send_cast().await;
                return;
            }
            CastOutcome::Stored => {
                if let Some(sent_at) = self.sent_at.take() {
                    self.recorder.time(Timer::AckService, sent_at.elapsed());
                }
            }
            CastOutcome::Late => self.recorder.count(Counter::Late, self.sent.len()),
            CastOutcome::Refused => self.recorder.error(Cause::Refused),
        }
        self.recorder.count(Counter::Acks, 1);
        self.recorder.finished(self.sent.len());
        self.sent.clear();
        self.cast_next().await;
    }

    /// Casts every tap that waits, if no cast is unanswered and the round of the taps is open.
    pub(super) async fn cast_next(&mut self) {
        let late = self.taps.iter().filter(|(round, _)| *round <= self.last_closed).count();
        if late > 0 {
            self.taps.retain(|(round, _)| *round > self.last_closed);
            self.recorder.count(Counter::Late, late);
            self.recorder.finished(late);
        }
        let Some(take) = self.open else { return };
        if self.socket.is_none() || self.ballots.unknown().is_some() {
            return;
        }
        let left = self.votes_per_round.saturating_sub(self.ballots.acknowledged(take));
        let ready = self.taps.iter().take_while(|(round, _)| *round == take.0).count().min(left);
        if ready == 0 {
            return;
        }
        let choices = self.recorder.config.scenario.hall.choices;
        // every user has a favourite in each round and votes for it three times out of four
        let favourite = (self.index.wrapping_mul(0x9E37_79B1) >> 8).wrapping_add(take.0) as u8 % choices;
        let mut votes = String::with_capacity(ready);
        for (_, scheduled) in self.taps.drain(..ready) {
            let choice = if self.rng.random_bool(0.75) { favourite } else { self.rng.random_range(0..choices) };
            votes.push(char::from(b'a' + choice));
            self.sent.push_back(scheduled);
        }
        self.ballots.begin(take, votes);
        self.sent_at = Some(Instant::now());
        self.send_cast().await;
    }

    /// Sends the unknown cast, for the first time or again.
    pub(super) async fn send_cast(&mut self) {
        let (Some((take, cast)), Some(socket)) = (self.ballots.unknown(), &mut self.socket) else { return };
        let message = ClientMessage::Cast { round: take.0, take: take.1, slip: cast.slip, votes: &cast.votes };
        self.awaiting = Some(take);
        self.timers.answer = Some(Instant::now() + ANSWER_TIMEOUT);
        self.recorder.count(Counter::Casts, 1);
        if socket.send(message.text()).await.is_err() {
            self.closed(None);
        }
    }

    /// Checks that the server answers.
    pub(super) async fn ping(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        self.pings += 1;
        self.timers.ping = Some(Instant::now() + self.recorder.config.scenario.hall.ping);
        self.timers.pong.get_or_insert(Instant::now() + PONG_TIMEOUT);
        if socket.send(ClientMessage::Ping { id: self.pings }.text()).await.is_err() {
            self.closed(None);
        }
    }
}
