//! A simulated phone: joins, votes when planned, keeps what it was told, and comes back when it is cut off.
//!
//! Its plan comes through a channel that is never full, so a slow answer delays nobody's plan, not even its own: taps
//! gather while a cast is unanswered, go out together in the next, and their latency counts from when they were due.

pub mod ballots;
pub mod line;
mod talk;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

use crate::crew::shared::Shared;
use crate::metrics::{Cause, Counter, Timer};
use crate::wire::Standing;
use ballots::{Ballots, Running, Told};
use line::{Heard, Line};

/// First and longest pause before a connection is made again; each attempt doubles it, and chance shortens it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));
/// Alphabet of cards.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Far enough away to stand for never.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// What a voter shall do.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Tap, in this round; planned for then.
    Tap(u16, Instant),
    /// Lose the connection and come back.
    Cut,
    /// Stop reading.
    Stall,
    /// Read on.
    Resume,
}

/// What a voter knows in the end, for the audit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Book {
    /// Id, empty if joining never succeeded.
    pub voter: String,
    /// Name.
    pub name: String,
    /// Of every running with a cast.
    pub takes: Vec<(Running, Told)>,
    /// The place that it was told.
    pub standing: Option<Standing>,
}

/// When something has to happen by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Alarms {
    /// The next ping.
    ping: Option<Instant>,
    /// A pong must have come.
    pong: Option<Instant>,
    /// The cast must have been answered.
    answer: Option<Instant>,
    /// The cast is sent again.
    resend: Option<Instant>,
    /// The connection is made again.
    comeback: Option<Instant>,
}

impl Alarms {
    fn next(&self) -> Option<Instant> {
        [self.ping, self.pong, self.answer, self.resend, self.comeback].into_iter().flatten().min()
    }
}

/// See [module](self).
pub struct Voter {
    shared: Arc<Shared>,
    acts: UnboundedReceiver<Act>,
    rng: StdRng,
    index: u32,
    name: String,
    card: String,
    id: String,
    token: Option<String>,
    /// When the arrival was planned, until it succeeded.
    arriving: Option<Instant>,
    slow: bool,
    sampled: bool,
    line: Option<Line>,
    alarms: Alarms,
    attempt: u32,
    /// When the last connection ended.
    lost_at: Option<Instant>,
    /// A cut was planned whose comeback is awaited.
    cut: bool,
    stalled: bool,
    /// The server may drop it: it did not read.
    forgiven: bool,
    bye: Option<u64>,
    kept_out: bool,
    open: Option<Running>,
    /// The last closed round that it knows of.
    over: u16,
    budget: usize,
    ballots: Ballots,
    /// Taps that wait: their round and planned moment.
    taps: VecDeque<(u16, Instant)>,
    /// Planned moments of the letters under way.
    sent: VecDeque<Instant>,
    sent_at: Option<Instant>,
    /// The running of the cast that this socket owes an answer for.
    awaiting: Option<Running>,
    seen: talk::Seen,
    pings: u64,
    standing: Option<Standing>,
}

enum Event {
    Act(Option<Act>),
    Heard(Heard),
    Alarm,
}

impl Voter {
    /// A phone whose arrival was planned for `planned`.
    pub fn new(shared: Arc<Shared>, index: u32, slow: bool, planned: Instant, acts: UnboundedReceiver<Act>) -> Self {
        let brief = &shared.brief;
        let mut rng = StdRng::seed_from_u64(brief.seed ^ (u64::from(index) << 24) ^ 0x5EED);
        let name = format!("{}-{index}", brief.run);
        let card = (0..12).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
        let budget = brief.scenario.hall.votes_per_round as usize;
        let sampled = shared.samples(index);
        Self {
            shared,
            acts,
            rng,
            index,
            name,
            card,
            id: String::new(),
            token: None,
            arriving: Some(planned),
            slow,
            sampled,
            line: None,
            alarms: Alarms { comeback: Some(planned), ..Alarms::default() },
            attempt: 0,
            lost_at: None,
            cut: false,
            stalled: false,
            forgiven: false,
            bye: None,
            kept_out: false,
            open: None,
            over: 0,
            budget,
            ballots: Ballots::default(),
            taps: VecDeque::new(),
            sent: VecDeque::new(),
            sent_at: None,
            awaiting: None,
            seen: talk::Seen::default(),
            pings: 0,
            standing: None,
        }
    }

    /// Lives until its plan ends.
    pub async fn run(mut self) -> Book {
        let never = Instant::now() + NEVER;
        // one timer for good, moved when an alarm has moved: most frames move none
        let mut clock = pin!(sleep_until(never.into()));
        loop {
            let alarm = self.alarms.next().unwrap_or(never).into();
            if clock.deadline() != alarm {
                clock.as_mut().reset(alarm);
            }
            let event = tokio::select! {
                act = self.acts.recv() => Event::Act(act),
                heard = hear(&mut self.line, self.stalled) => Event::Heard(heard),
                () = &mut clock => Event::Alarm,
            };
            match event {
                Event::Act(None) => return self.leave().await,
                Event::Act(Some(act)) => self.act(act).await,
                Event::Heard(Heard::Text(text)) => {
                    self.shared.frame();
                    self.hear(&text).await;
                }
                Event::Heard(Heard::Gone(code)) => self.gone(code),
                Event::Alarm => self.alarm().await,
            }
        }
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Tap(round, planned) => {
                self.taps.push_back((round, planned));
                self.cast_next().await;
            }
            Act::Cut if self.line.is_none() || self.cut => self.shared.done(1),
            Act::Cut => {
                self.cut = true;
                self.hang_up();
                self.come_back_after(None);
            }
            Act::Stall => {
                self.stalled = true;
                self.forgiven = true;
                self.alarms = Alarms { comeback: self.alarms.comeback, ..Alarms::default() };
            }
            Act::Resume => {
                self.stalled = false;
                if self.line.is_some() {
                    self.alarms.ping = Some(Instant::now());
                }
            }
        }
    }

    async fn alarm(&mut self) {
        let now = Instant::now();
        let due = |alarm: &mut Option<Instant>| alarm.take_if(|at| *at <= now).is_some();
        if due(&mut self.alarms.comeback) {
            self.connect().await;
        }
        if due(&mut self.alarms.pong) {
            self.fail(Cause::Silent);
        }
        if due(&mut self.alarms.answer) {
            self.fail(Cause::Timeout);
        }
        if due(&mut self.alarms.resend) {
            self.send_cast().await;
        }
        if due(&mut self.alarms.ping) {
            self.ping().await;
        }
    }

    async fn connect(&mut self) {
        match self.try_connect().await {
            Ok(()) => self.attempt = 0,
            Err(cause) => {
                self.shared.error(cause);
                self.come_back_after(None);
            }
        }
    }

    async fn try_connect(&mut self) -> Result<(), Cause> {
        let shared = self.shared.clone();
        let route = shared.route(self.index, self.attempt, self.slow);
        if self.token.is_none() {
            let begun = Instant::now();
            let joined = route.join(&shared.brief.room, &self.name, &self.card).await?;
            shared.time(Timer::Join, begun.elapsed());
            shared.count(Counter::Joins, 1);
            (self.id, self.token) = (joined.voter, Some(joined.token));
        }
        let begun = Instant::now();
        let mut line = route.open().await?;
        shared.time(Timer::Connect, begun.elapsed());
        self.hello(&mut line).await?;
        self.line = Some(line);
        shared.connected.fetch_add(1, Ordering::Relaxed);
        match (self.arriving.take(), self.lost_at.take()) {
            (Some(planned), _) => {
                shared.time(Timer::Arrival, planned.elapsed());
                shared.done(1);
            }
            (None, Some(lost)) => {
                shared.time(Timer::Comeback, lost.elapsed());
                shared.count(Counter::Reconnects, 1);
            }
            (None, None) => {}
        }
        if std::mem::take(&mut self.cut) {
            shared.done(1);
        }
        self.forgiven = self.stalled;
        let ping = shared.brief.scenario.hall.ping.0;
        self.alarms.ping = Some(Instant::now() + ping.mul_f64(self.rng.random_range(0.5..1.5)));
        if self.ballots.under_way().is_some() {
            self.send_cast().await;
        } else {
            self.cast_next().await;
        }
        Ok(())
    }

    /// The socket ended without our doing.
    fn gone(&mut self, code: Option<u16>) {
        self.hang_up();
        let bye = self.bye.take();
        match code {
            Some(1002 | 1003 | 1007 | 1008 | 1009 | 4401 | 4403 | 4404 | 4409) => {
                self.shared.error(Cause::KeptOut);
                self.kept_out = true;
                return;
            }
            Some(1012) => {}
            _ if bye.is_some() || self.forgiven => {}
            _ => self.shared.error(Cause::Lost),
        }
        self.come_back_after(bye);
    }

    /// The socket is of no use any more.
    fn fail(&mut self, cause: Cause) {
        if self.line.is_some() && !self.forgiven {
            self.shared.error(cause);
        }
        self.hang_up();
        self.come_back_after(None);
    }

    fn hang_up(&mut self) {
        if self.line.take().is_some() {
            self.shared.connected.fetch_sub(1, Ordering::Relaxed);
            self.lost_at.get_or_insert_with(Instant::now);
        }
        self.alarms = Alarms::default();
        self.awaiting = None;
        self.seen = talk::Seen::default();
    }

    /// Plans the next connection: after what the server asked for, or else after a pause that grows; with jitter.
    fn come_back_after(&mut self, retry_ms: Option<u64>) {
        if self.kept_out {
            return;
        }
        let pause = match retry_ms {
            Some(ms) => Duration::from_millis(ms).mul_f64(self.rng.random_range(1.0..1.5)),
            None => (PAUSES.0 * 2u32.pow(self.attempt.min(8))).min(PAUSES.1).mul_f64(self.rng.random()),
        };
        self.attempt += 1;
        self.alarms.comeback = Some(Instant::now() + pause);
    }

    async fn leave(mut self) -> Book {
        // what was never answered counts with the time that it has waited, else the slowest would be missing
        for planned in self.sent.iter().chain(self.taps.iter().map(|(_, planned)| planned)) {
            self.shared.time(Timer::Ack, planned.elapsed());
        }
        if let Some(planned) = self.arriving {
            self.shared.time(Timer::Arrival, planned.elapsed());
        }
        if let Some(line) = self.line.take() {
            line.close().await;
        }
        Book {
            voter: self.id,
            name: self.name,
            takes: self.ballots.into_told().into_iter().collect(),
            standing: self.standing,
        }
    }
}

async fn hear(line: &mut Option<Line>, stalled: bool) -> Heard {
    match line {
        Some(line) if !stalled => line.next().await,
        _ => std::future::pending().await,
    }
}
