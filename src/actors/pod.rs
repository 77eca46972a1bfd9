//! What all actors of one process share: the ledger and its clock, keys, metrics, and the health of the process.

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

/// After a call slower than this the ledger counts as `slow`.
const SLOW: Duration = Duration::from_millis(500);

/// One process, a pod in a cluster.
pub struct Pod {
    /// Unique over all processes of the installation and over restarts.
    pub name: String,
    /// Stores everything that must survive this process.
    pub ledger: SharedLedger,
    /// The same ledger by a way of its own, for what an emcee waits for during a show: commands, and checks of a sign-in.
    /// No crowd of voters can occupy it. Exports, lists and imports use the other way.
    pub command_ledger: SharedLedger,
    /// This process's estimate of the ledger's clock.
    pub clock: LedgerClock,
    /// Makes and checks keys, tokens and cookies.
    pub auth: Auth,
    /// Every metric.
    pub metrics: Metrics,
    /// Spans of casts, commands and jobs.
    pub traces: Traces,
    /// Rooms that cannot be read.
    pub quarantine: Quarantine,
    /// Whether this process can take voters, and why not.
    pub health: PodHealth,
    /// Shortest time between two tallies to the same socket.
    pub tick: Duration,
    /// True if this process does what is due in a room, and stores alarms. See [`crate::settings::PodRole::keeps_records`].
    pub keeps_records: bool,
    /// Where voters reach this server, without a slash at the end: as set, or the address that leads out of this
    /// machine. `None`: only the request tells.
    pub voters_url: Option<String>,
    /// Id of the next socket. Ids rise in the order of arrival.
    pub next_session: AtomicU64,
    /// Names of all processes whose beacons are fresh, this one too.
    pub peers: RwLock<Vec<String>>,
    /// Slips stored anew whose reply this process received, since its start.
    pub acknowledged: AtomicU64,
}

impl Pod {
    /// The key that signs the tokens of this room's voters.
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
        // a ledger with an invalid record has answered
        if !matches!(error, LedgerError::Corrupt(_)) {
            self.health.set_ledger(LedgerState::Down);
            self.health.doubt();
        }
    }

    /// Notes how long an answer of the ledger took.
    pub fn note_ledger_took(&self, took: Duration) {
        self.health.set_ledger(if took > SLOW { LedgerState::Slow } else { LedgerState::Ok });
    }

    /// Lists all rooms, and quarantines those that cannot be read.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn list_rooms(&self) -> Result<Listing, LedgerError> {
        self.quarantine.list_rooms(&*self.ledger).await
    }

    /// Names of all processes whose beacons are fresh, this one too.
    pub fn peers(&self) -> Vec<String> {
        self.peers.read().expect("the lock is never poisoned").clone()
    }

    /// True if this process takes voters. Updates the metric that says so.
    pub fn is_ready(&self) -> bool {
        let ready = self.health.reasons().is_empty();
        self.metrics.ready.set(i64::from(ready));
        ready
    }
}

/// Held by an actor that the process cannot do without. If the actor panics, the process aborts, and its supervisor starts
/// a new one: without its registry, subscriber or a coordinator it would look alive and serve nobody.
pub struct AbortOnPanic(
    /// The actor's name, for the log.
    pub &'static str,
);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            die(self.0);
        }
    }
}

/// Aborts the process because `actor` is gone.
pub fn die(actor: &str) -> ! {
    tracing::error!(actor, "this process cannot go on without this actor, and aborts");
    std::process::abort();
}

/// This process's estimate of the ledger's clock, see [`ClockEstimate`]. Before the first answer it is the system clock.
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

    /// The latest time that the ledger's clock may show now.
    pub fn now(&self) -> LedgerMs {
        self.estimate().now(self.local(Instant::now()))
    }

    /// Notes that the ledger's clock showed `said` at some moment since `asked`. Returns false as
    /// [`ClockEstimate::observe`] does.
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

    /// How long until `time`; zero if it has passed.
    pub fn until(&self, time: LedgerMs) -> Duration {
        Duration::from_millis(time.saturating_sub(self.now()))
    }
}

/// Whether a process can take voters, and why not.
#[derive(Default)]
pub struct PodHealth {
    /// 0 before the first answer, then 1, 2, 3 for the variants of [`LedgerState`] from `Ok` to `Down`.
    ledger: AtomicU8,
    /// The ledger has answered at least once.
    reached: AtomicBool,
    /// The last check found that acknowledged votes are stored durably.
    durable: AtomicBool,
    /// See [`PodHealth::doubt`].
    doubted: AtomicBool,
    /// Set by the operator: take votes even if they are not stored durably.
    allow_unverified: AtomicBool,
    /// The feed is connected.
    feed: AtomicBool,
    /// The process is being stopped.
    draining: AtomicBool,
    /// The limit of sockets is reached.
    full: AtomicBool,
    /// Why acknowledged votes are not stored durably.
    unsafe_because: Mutex<Option<String>>,
}

impl PodHealth {
    /// With `allow_unverified` the process takes votes also where the ledger does not store them durably.
    pub fn new(allow_unverified: bool) -> Self {
        Self { allow_unverified: AtomicBool::new(allow_unverified), ..Self::default() }
    }

    /// How the ledger answered last.
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

    /// True once the ledger has answered this process.
    pub fn has_reached_ledger(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// True if the last check found that acknowledged votes survive a power cut.
    pub fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// Notes that a check is due: a call has failed, or the ledger may have been restarted.
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// Returns whether a check was due since this was last called: reads may succeed where writes fail.
    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
    }

    /// Notes the result of a check; `None`: votes are stored durably.
    pub fn set_durable(&self, unsafe_because: Option<String>) {
        self.durable.store(unsafe_because.is_none(), Ordering::Relaxed);
        *self.unsafe_because.lock().expect("the lock is never poisoned") = unsafe_because;
    }

    /// Notes whether the feed is connected.
    pub fn set_feed(&self, connected: bool) {
        self.feed.store(connected, Ordering::Relaxed);
    }

    /// True while the process is being stopped.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on the process takes no voters and closes its sockets.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Notes whether the limit of sockets is reached.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Why this process does not take voters; empty if it does.
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

    /// Why an acknowledged vote may be lost in a power cut; `None` if it is safe.
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
