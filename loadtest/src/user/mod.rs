//! A virtual user: a simulated phone. It joins, votes when scheduled, remembers what it was sent, and reconnects when it
//! is cut off.
//!
//! Its inputs come through a channel without a bound, so a slow answer delays nobody's schedule, not even its own. Taps
//! wait while a cast is unanswered, go out together in the next one, and their latency counts from the scheduled moment.

mod conversation;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use client::protocol::{FINAL_CLOSE_CODES, Standing, TakeId};
use client::socket::Incoming;
use client::voter::{Ballots, card};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

use crate::metrics::{Cause, Counter, Timer};
use crate::pool::messages::ClientRecord;
use crate::pool::recorder::Recorder;
use crate::route::Socket;
use crate::schedule::Action;

/// First and longest pause before a reconnect. Each attempt doubles it, and a random factor shortens it.
const RECONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));
/// Stands for a timer that is not set.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// What the schedule wants of a user that has joined.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// What to do.
    pub action: Action,
    /// The open round.
    pub round: u32,
    /// When it is due.
    pub scheduled: Instant,
}

/// When something must happen without any input.
#[derive(Debug, Clone, Copy, Default)]
struct Timers {
    /// The next ping is sent.
    ping: Option<Instant>,
    /// A pong must have arrived.
    pong: Option<Instant>,
    /// The cast must have been answered.
    answer: Option<Instant>,
    /// The cast is sent again.
    resend: Option<Instant>,
    /// The next connection is made.
    reconnect: Option<Instant>,
}

impl Timers {
    fn next(&self) -> Option<Instant> {
        [self.ping, self.pong, self.answer, self.resend, self.reconnect].into_iter().flatten().min()
    }
}

/// The highest versions that a socket has received.
#[derive(Debug, Default)]
struct Seen {
    seq: u64,
    version: u64,
    /// Of the last take with a tally: its votes.
    total: Option<(TakeId, u64)>,
}

/// See [module](self).
pub struct VirtualUser {
    recorder: Arc<Recorder>,
    inputs: UnboundedReceiver<Input>,
    rng: StdRng,
    index: u32,
    name: String,
    card: String,
    id: String,
    token: Option<String>,
    /// When the arrival was scheduled, until it succeeds.
    arriving: Option<Instant>,
    slow: bool,
    measures_spread: bool,
    socket: Option<Socket>,
    timers: Timers,
    attempt: u32,
    /// When the last connection ended.
    lost_at: Option<Instant>,
    /// A scheduled cut whose reconnect is not finished.
    cut: bool,
    stalled: bool,
    /// It did not read, so the server may close the socket.
    may_be_closed: bool,
    /// The server announced a close: when to come back, in ms.
    bye: Option<u64>,
    /// A close code forbade to come back.
    kept_out: bool,
    open: Option<TakeId>,
    /// The last closed round that it knows of.
    last_closed: u32,
    votes_per_round: usize,
    ballots: Ballots,
    /// Taps that wait: round and scheduled moment.
    taps: VecDeque<(u32, Instant)>,
    /// Scheduled moments of the votes in the unanswered cast.
    sent: VecDeque<Instant>,
    /// When that cast was sent first.
    sent_at: Option<Instant>,
    /// The take of the cast that this socket must answer.
    awaiting: Option<TakeId>,
    seen: Seen,
    pings: u64,
    standing: Option<Standing>,
}

enum Event {
    Input(Option<Input>),
    Incoming(Incoming),
    Timer,
}

impl VirtualUser {
    /// A phone whose arrival is scheduled for `scheduled`.
    pub fn new(
        recorder: Arc<Recorder>,
        index: u32,
        slow: bool,
        scheduled: Instant,
        inputs: UnboundedReceiver<Input>,
    ) -> Self {
        let config = &recorder.config;
        let mut rng = StdRng::seed_from_u64(config.seed ^ (u64::from(index) << 24) ^ 0x5EED);
        Self {
            name: format!("{}-{index}", config.run),
            card: card(&mut rng),
            votes_per_round: config.scenario.hall.votes_per_round as usize,
            measures_spread: recorder.measures_spread(index),
            timers: Timers { reconnect: Some(scheduled), ..Timers::default() },
            arriving: Some(scheduled),
            recorder,
            inputs,
            rng,
            index,
            slow,
            id: String::new(),
            token: None,
            socket: None,
            attempt: 0,
            lost_at: None,
            cut: false,
            stalled: false,
            may_be_closed: false,
            bye: None,
            kept_out: false,
            open: None,
            last_closed: 0,
            ballots: Ballots::default(),
            taps: VecDeque::new(),
            sent: VecDeque::new(),
            sent_at: None,
            awaiting: None,
            seen: Seen::default(),
            pings: 0,
            standing: None,
        }
    }

    /// Runs until its inputs end, and gives what it knows.
    pub async fn run(mut self) -> ClientRecord {
        let never = Instant::now() + NEVER;
        // one timer, which is reset only if the next moment has changed: most frames change none
        let mut timer = pin!(sleep_until(never.into()));
        loop {
            let next = self.timers.next().unwrap_or(never).into();
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            let event = tokio::select! {
                input = self.inputs.recv() => Event::Input(input),
                incoming = receive(&mut self.socket, self.stalled) => Event::Incoming(incoming),
                () = &mut timer => Event::Timer,
            };
            match event {
                Event::Input(None) => return self.leave().await,
                Event::Input(Some(input)) => self.input(input).await,
                Event::Incoming(Incoming::Text(text)) => {
                    self.recorder.frame();
                    self.receive(&text).await;
                }
                Event::Incoming(Incoming::Closed(code)) => self.closed(code),
                Event::Incoming(Incoming::Invalid(_)) => self.fail(Cause::NotUnderstood),
                Event::Timer => self.timer().await,
            }
        }
    }

    async fn input(&mut self, input: Input) {
        match input.action {
            Action::Join => {}
            Action::Tap => {
                self.taps.push_back((input.round, input.scheduled));
                self.cast_next().await;
            }
            Action::Cut if self.socket.is_none() || self.cut => self.recorder.finished(1),
            Action::Cut => {
                self.cut = true;
                self.disconnect();
                self.reconnect_later(None);
            }
            Action::Stall => {
                self.stalled = true;
                self.may_be_closed = true;
                self.timers = Timers { reconnect: self.timers.reconnect, ..Timers::default() };
            }
            Action::Resume => {
                self.stalled = false;
                if self.socket.is_some() {
                    self.timers.ping = Some(Instant::now());
                }
            }
        }
    }

    async fn timer(&mut self) {
        let now = Instant::now();
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        if due(&mut self.timers.reconnect) {
            match self.connect().await {
                Ok(()) => self.attempt = 0,
                Err(cause) => {
                    self.recorder.error(cause);
                    self.reconnect_later(None);
                }
            }
        }
        if due(&mut self.timers.pong) {
            self.fail(Cause::Silent);
        }
        if due(&mut self.timers.answer) {
            self.fail(Cause::Timeout);
        }
        if due(&mut self.timers.resend) {
            self.send_cast().await;
        }
        if due(&mut self.timers.ping) {
            self.ping().await;
        }
    }

    async fn connect(&mut self) -> Result<(), Cause> {
        let recorder = self.recorder.clone();
        let route = recorder.route(self.index, self.attempt, self.slow);
        if self.token.is_none() {
            let begun = Instant::now();
            let joined = route.join(&recorder.config.room, &self.name, &self.card).await?;
            recorder.time(Timer::Join, begun.elapsed());
            recorder.count(Counter::Joins, 1);
            (self.id, self.token) = (joined.voter, Some(joined.token));
        }
        let begun = Instant::now();
        let mut socket = route.open().await?;
        recorder.time(Timer::Connect, begun.elapsed());
        self.hello(&mut socket).await?;
        self.socket = Some(socket);
        recorder.connected.fetch_add(1, Ordering::Relaxed);
        match (self.arriving.take(), self.lost_at.take()) {
            (Some(scheduled), _) => {
                recorder.time(Timer::Arrival, scheduled.elapsed());
                recorder.finished(1);
            }
            (None, Some(lost)) => {
                recorder.time(Timer::Comeback, lost.elapsed());
                recorder.count(Counter::Reconnects, 1);
            }
            (None, None) => {}
        }
        if std::mem::take(&mut self.cut) {
            recorder.finished(1);
        }
        self.may_be_closed = self.stalled;
        let ping = recorder.config.scenario.hall.ping;
        self.timers.ping = Some(Instant::now() + ping.mul_f64(self.rng.random_range(0.5..1.5)));
        if self.ballots.unknown().is_some() {
            self.send_cast().await;
        } else {
            self.cast_next().await;
        }
        Ok(())
    }

    /// The socket has ended by itself.
    fn closed(&mut self, code: Option<u16>) {
        self.disconnect();
        let bye = self.bye.take();
        match code {
            Some(code) if FINAL_CLOSE_CODES.contains(&code) => {
                self.recorder.error(Cause::KeptOut);
                self.kept_out = true;
                return;
            }
            Some(1012) => {}
            _ if bye.is_some() || self.may_be_closed => {}
            _ => self.recorder.error(Cause::Lost),
        }
        self.reconnect_later(bye);
    }

    /// Gives the socket up.
    fn fail(&mut self, cause: Cause) {
        if self.socket.is_some() && !self.may_be_closed {
            self.recorder.error(cause);
        }
        self.disconnect();
        self.reconnect_later(None);
    }

    fn disconnect(&mut self) {
        if self.socket.take().is_some() {
            self.recorder.connected.fetch_sub(1, Ordering::Relaxed);
            self.lost_at.get_or_insert_with(Instant::now);
        }
        self.timers = Timers::default();
        self.awaiting = None;
        self.seen = Seen::default();
    }

    /// Schedules the next connection: after the pause that the server asked for, or after one that grows. With jitter.
    fn reconnect_later(&mut self, retry_ms: Option<u64>) {
        if self.kept_out {
            return;
        }
        let (first, longest) = RECONNECT_PAUSES;
        let pause = match retry_ms {
            Some(ms) => Duration::from_millis(ms).mul_f64(self.rng.random_range(1.0..1.5)),
            None => (first * 2u32.pow(self.attempt.min(8))).min(longest).mul_f64(self.rng.random()),
        };
        self.attempt += 1;
        self.timers.reconnect = Some(Instant::now() + pause);
    }

    async fn leave(mut self) -> ClientRecord {
        // actions without an answer count with the time that they have waited, or the slowest would be missing
        for scheduled in self.sent.iter().chain(self.taps.iter().map(|(_, scheduled)| scheduled)) {
            self.recorder.time(Timer::Ack, scheduled.elapsed());
        }
        if let Some(scheduled) = self.arriving {
            self.recorder.time(Timer::Arrival, scheduled.elapsed());
        }
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
        let ballots = self.ballots.into_known();
        ClientRecord { voter: self.id, name: self.name, ballots, standing: self.standing }
    }
}

async fn receive(socket: &mut Option<Socket>, stalled: bool) -> Incoming {
    match socket {
        Some(socket) if !stalled => socket.next().await,
        _ => std::future::pending().await,
    }
}
