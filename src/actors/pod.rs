//! What all actors of one process share: the ledger, its clock, who is who, what is measured, and how the pod is.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use super::quarantine::Quarantine;
use crate::auth::{Auth, TokenKey};
use crate::domain::LedgerMs;
use crate::domain::clock::{ClockEstimate, LocalUs};
use crate::domain::room::Room;
use crate::ledger::{LedgerError, Listing, SharedLedger};
use crate::metrics::Metrics;
use crate::traces::Traces;
use crate::wire::server::LedgerState;

/// A call slower than this makes the ledger `slow`.
const SLOW: Duration = Duration::from_millis(500);

/// One process.
pub struct Pod {
    /// Unique in the installation and for each start.
    pub name: String,
    /// Where everything is kept.
    pub ledger: SharedLedger,
    /// The ledger's time, here.
    pub clock: LedgerClock,
    /// Keys and tokens.
    pub auth: Auth,
    /// Every series.
    pub metrics: Metrics,
    /// Where the time goes.
    pub traces: Traces,
    /// Rooms that cannot be read.
    pub quarantine: Quarantine,
    /// How the pod is.
    pub health: PodHealth,
    /// Between two tallies to the same socket.
    pub tick: Duration,
    /// Emcees may sign in here.
    pub serves_emcee: bool,
    /// Where voters reach this server, without a slash at the end: as set, or the address that leads out of this
    /// machine. `None`: only the request tells.
    pub voters_url: Option<String>,
    /// Numbers sockets, in the order of their arrival.
    pub next_session: AtomicU64,
    /// Names of the pods that live, this one too.
    pub peers: RwLock<Vec<String>>,
    /// Slips stored anew whose reply this pod received, ever.
    pub acknowledged: AtomicU64,
}

impl Pod {
    /// What the tokens of this room's voters are signed with.
    pub fn token_key(&self, room: &Room) -> TokenKey {
        self.auth.token_key(&room.id, room.token_key.as_deref())
    }

    /// Notes a failed call to the ledger. What fails before the ledger has ever answered is counted quarantine: a process
    /// often starts a moment before its network does, and until then it takes nobody and has lost nothing.
    pub fn note_ledger_error(&self, error: &LedgerError) {
        let outcome = match error {
            LedgerError::Corrupt(_) => "corrupt",
            _ if !self.health.has_reached_ledger() => "not_reached",
            LedgerError::NotApplied(_) => "not_applied",
            LedgerError::MaybeApplied(_) => "maybe_applied",
        };
        self.metrics.ledger_errors.with_label_values(&[outcome]).inc();
        // a ledger that says what makes no sense has answered
        if !matches!(error, LedgerError::Corrupt(_)) {
            self.health.set_ledger(LedgerState::Down);
            self.health.doubted.store(true, Ordering::Relaxed);
        }
    }

    /// Notes how long an answer of the ledger took.
    pub fn note_ledger_took(&self, took: Duration) {
        self.health.set_ledger(if took > SLOW { LedgerState::Slow } else { LedgerState::Ok });
    }

    /// All rooms; those that cannot be read are set apart.
    ///
    /// # Errors
    /// The ledger cannot be asked.
    pub async fn list_rooms(&self) -> Result<Listing, LedgerError> {
        self.quarantine.list_rooms(&*self.ledger).await
    }

    /// Names of the pods that live, this one too.
    pub fn peers(&self) -> Vec<String> {
        self.peers.read().expect("the lock is never poisoned").clone()
    }

    /// True if this pod takes voters, and says so in its metrics.
    pub fn is_ready(&self) -> bool {
        let ready = self.health.reasons().is_empty();
        self.metrics.ready.set(i64::from(ready));
        ready
    }
}

/// Held by an actor that the pod cannot do without: if it panics the process ends, and whoever watches it starts a
/// new one. Without its registry, subscriber or a coordinator a pod would look alive and serve nobody.
pub struct AbortOnPanic(
    /// Its name, for the log.
    pub &'static str,
);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            die(self.0);
        }
    }
}

/// Ends the process because `actor` is gone.
pub fn die(actor: &str) -> ! {
    tracing::error!(actor, "an actor is gone that this pod cannot do without");
    std::process::abort();
}

/// The ledger's clock as this pod knows it, see [`ClockEstimate`]; before the first answer the system's.
pub struct LedgerClock {
    start: Instant,
    estimate: Mutex<ClockEstimate>,
}

impl Default for LedgerClock {
    fn default() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let estimate = ClockEstimate::new(0, unix.as_millis() as LedgerMs);
        Self { start: Instant::now(), estimate: Mutex::new(estimate) }
    }
}

impl LedgerClock {
    fn local(&self, at: Instant) -> LocalUs {
        at.saturating_duration_since(self.start).as_micros() as LocalUs
    }

    fn estimate(&self) -> MutexGuard<'_, ClockEstimate> {
        self.estimate.lock().expect("the lock is never poisoned")
    }

    /// The latest that the ledger's clock may say.
    pub fn now(&self) -> LedgerMs {
        self.estimate().now(self.local(Instant::now()))
    }

    /// The ledger said `said` at some moment since it was `asked`. `false`: see [`ClockEstimate::observe`].
    #[must_use]
    pub fn observe(&self, asked: Instant, said: LedgerMs) -> bool {
        let received = self.local(Instant::now());
        self.estimate().observe(self.local(asked), received, said)
    }

    /// See [`ClockEstimate::set_back`].
    pub fn set_back(&self, asked: Instant, said: LedgerMs) {
        let received = self.local(Instant::now());
        self.estimate().set_back(self.local(asked), received, said);
    }

    /// How long until `time`; zero if it is past.
    pub fn until(&self, time: LedgerMs) -> Duration {
        Duration::from_millis(time.saturating_sub(self.now()))
    }
}

/// How a pod is.
#[derive(Default)]
pub struct PodHealth {
    /// See [`LedgerState`]; 0 before the first answer.
    ledger: AtomicU8,
    /// The ledger has answered once.
    reached: AtomicBool,
    /// The last check found an acknowledged vote safe.
    durable: AtomicBool,
    /// A call has failed since the last check.
    doubted: AtomicBool,
    /// Take votes although they may not be.
    allow_unverified: AtomicBool,
    /// The feed is connected.
    feed: AtomicBool,
    /// Saying goodbye.
    draining: AtomicBool,
    /// All places for sockets are taken.
    full: AtomicBool,
    /// Why votes are not safe.
    unsafe_because: Mutex<Option<String>>,
}

impl PodHealth {
    /// A pod that takes votes also from a ledger that may lose them, if `allow_unverified`.
    pub fn new(allow_unverified: bool) -> Self {
        Self { allow_unverified: AtomicBool::new(allow_unverified), ..Self::default() }
    }

    /// How the ledger answers.
    pub fn ledger(&self) -> LedgerState {
        match self.ledger.load(Ordering::Relaxed) {
            1 => LedgerState::Ok,
            2 => LedgerState::Slow,
            _ => LedgerState::Down,
        }
    }

    /// See [`PodHealth::ledger`].
    pub fn set_ledger(&self, state: LedgerState) {
        let state = match state {
            LedgerState::Ok => 1,
            LedgerState::Slow => 2,
            LedgerState::Down => 3,
        };
        self.ledger.store(state, Ordering::Relaxed);
        if state != 3 {
            self.reached.store(true, Ordering::Relaxed);
        }
    }

    /// True if the ledger has ever answered to this process.
    pub fn has_reached_ledger(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// True if the last check found that an acknowledged vote survives a power cut.
    pub fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// True if a call has failed since this was last asked: reads may go on where changes do not, so only a check tells.
    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
    }

    /// Notes what a check has found.
    pub fn set_durable(&self, unsafe_because: Option<String>) {
        self.durable.store(unsafe_because.is_none(), Ordering::Relaxed);
        *self.unsafe_because.lock().expect("the lock is never poisoned") = unsafe_because;
    }

    /// Notes whether the feed is connected.
    pub fn set_feed(&self, connected: bool) {
        self.feed.store(connected, Ordering::Relaxed);
    }

    /// True while the pod says goodbye.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins the goodbye.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Notes whether there is a place for one more socket.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Why this pod does not take voters; empty: it does.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = vec![];
        if self.is_draining() {
            reasons.push("draining: this process is being stopped".to_owned());
        }
        match self.ledger.load(Ordering::Relaxed) {
            0 => reasons.push("ledger: waiting for its first answer".to_owned()),
            3 => reasons.push("ledger: it does not answer".to_owned()),
            _ if !self.is_durable() && !self.allow_unverified.load(Ordering::Relaxed) => {
                reasons.push(format!("durability: {}", self.warning().unwrap_or("not checked yet".into())));
            }
            _ => {}
        }
        if !self.feed.load(Ordering::Relaxed) {
            reasons.push("feed: not connected".to_owned());
        }
        if self.full.load(Ordering::Relaxed) {
            reasons.push("full: all places for sockets are taken".to_owned());
        }
        reasons
    }

    /// Why an acknowledged vote may be lost in a power cut, if it may.
    pub fn warning(&self) -> Option<String> {
        self.unsafe_because.lock().expect("the lock is never poisoned").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::AbortOnPanic;

    #[test]
    fn a_panic_of_a_guarded_actor_ends_the_process() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "actors::pod::tests::child_whose_guarded_actor_panics", "--ignored"])
            .output()
            .unwrap();
        // ended by a signal: a panic that was caught would end in an exit code
        assert_eq!(child.status.code(), None, "{child:?}");
    }

    #[test]
    #[ignore = "the child of another test"]
    fn child_whose_guarded_actor_panics() {
        let _abort_on_panic = AbortOnPanic("a test");
        panic!("as an actor would");
    }
}
