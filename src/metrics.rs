//! Every metric. Each pod has its own Prometheus registry, since tests run many pods in one process.
//!
//! Names are `tallycast_<part>_<what>_<unit>`. Labels come from closed sets, never from rooms or voters, and every
//! labelled series exists from the first scrape.

use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::domain::ballot::Refusal;
use crate::domain::jobs::Task;
use crate::wire::client::Role;
use crate::wire::codes::CloseCode;

mod buckets;
mod recent;
mod slow_commands;

use buckets::{FAST, SIZES};
pub use recent::RecentLatencies;
pub use slow_commands::SlowCommands;

/// See [module](self).
pub struct Metrics {
    registry: Registry,
    /// Sockets that have said hello, by role.
    pub sessions: IntGaugeVec,
    /// The limit of sockets.
    pub sessions_capacity: IntGauge,
    /// All sockets, also before their hello.
    pub sockets: IntGauge,
    /// Sockets refused because the limit is reached.
    pub sockets_refused: IntCounter,
    /// Closes that this side began, by code.
    pub closes: IntCounterVec,
    /// Frames from clients that are not valid messages.
    pub frame_errors: IntCounter,
    /// Voters joined through this pod.
    pub joins: IntCounter,
    /// Casts, by outcome.
    pub casts: CastCounters,
    /// Newly stored slips whose reply this pod received.
    pub votes_acknowledged: IntCounter,
    /// Slips that the ledger holds in the rooms that this pod knows; the same on every pod.
    pub votes_stored: IntCounter,
    /// Slips that every socket of this pod was shown; in a room without sockets all of them.
    pub votes_shown: IntCounter,
    /// Age in seconds of the oldest vote that a socket of this pod was not shown yet.
    pub oldest_unshown_vote: Gauge,
    /// The latency of a commit, from call to reply.
    commit_seconds: Histogram,
    /// The latencies of the last commits.
    pub recent_commits: RecentLatencies,
    /// Casts in a commit.
    pub batch_casts: Histogram,
    /// Casts that wait for a commit now.
    pub casts_waiting: IntGauge,
    /// The latency of a cast, from its frame to its reply.
    pub ack_seconds: Histogram,
    /// The latency of a tally, from the commit's reply or the feed to the write to the last socket.
    pub tally_lag_seconds: Histogram,
    /// Frames written by the fan-out.
    pub fanout_frames: IntCounter,
    /// Frames not written because a socket had not taken the last one. It gets a newer one later.
    pub fanout_skips: IntCounter,
    /// Messages that a full mailbox refused, by mailbox.
    pub mailbox_refusals: IntCounterVec,
    /// Differences between ledger and boards that the feed should have reported.
    pub feed_gaps: IntCounter,
    /// Reconnects of the feed.
    pub feed_resyncs: IntCounter,
    /// Rooms in quarantine, because their stored data cannot be read.
    pub rooms_unreadable: IntGauge,
    /// Failed calls to the ledger, by what is known about the outcome; `not_reached` before its first response.
    pub ledger_errors: IntCounterVec,
    /// Commands in the slow log of Redis since this pod read it first.
    pub slow_commands: SlowCommands,
    /// Sockets dropped because they did not read or answer.
    pub sockets_dropped: IntCounter,
    /// Jobs done by this pod, by kind.
    pub jobs_done: IntCounterVec,
    /// Failed attempts at jobs, by kind.
    pub jobs_failed: IntCounterVec,
    /// Jobs that this pod is doing now.
    pub jobs_running: IntGauge,
    /// Jobs of all rooms that are not done; known to pods that do jobs.
    pub jobs_waiting: IntGauge,
    /// Age in seconds of the oldest of them.
    pub oldest_job: Gauge,
    /// Requests with spans that the collector did not accept.
    pub trace_exports_failed: IntCounter,
    /// 1 if this pod takes voters.
    pub ready: IntGauge,
    /// 1 while this pod drains.
    pub draining: IntGauge,
}

impl Metrics {
    /// All series, at 0.
    ///
    /// # Panics
    /// Two series of this file have the same name.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Self {
            sessions: gauges(r, "tallycast_sessions", "Sockets that have said hello", "role"),
            sessions_capacity: gauge(r, "tallycast_sessions_capacity", "Most sockets of this pod"),
            sockets: gauge(r, "tallycast_sockets", "All sockets, before hello too"),
            sockets_refused: counter(r, "tallycast_sockets_refused_total", "Sockets refused because the pod is full"),
            closes: counters(r, "tallycast_socket_closes_total", "Closes that the server began", "code"),
            frame_errors: counter(r, "tallycast_frame_errors_total", "Frames from clients not understood"),
            joins: counter(r, "tallycast_joins_total", "Voters joined through this pod"),
            casts: CastCounters::new(&counters(r, "tallycast_casts_total", "Casts judged", "outcome")),
            votes_acknowledged: counter(
                r,
                "tallycast_votes_acknowledged_total",
                "Slips stored anew whose reply this pod received",
            ),
            votes_stored: counter(
                r,
                "tallycast_votes_stored_total",
                "Slips the ledger holds in the rooms this pod has seen; the same on every pod, so take the maximum",
            ),
            votes_shown: counter(
                r,
                "tallycast_votes_shown_total",
                "Stored slips that no socket of this pod waits for; where a room has no sockets, all of them",
            ),
            oldest_unshown_vote: register(
                r,
                Gauge::new("tallycast_oldest_unshown_vote_seconds", "Age of the oldest vote not yet shown"),
            ),
            recent_commits: RecentLatencies::new(Instant::now()),
            commit_seconds: histogram(r, "tallycast_commit_seconds", "A commit, from call to reply", &FAST),
            batch_casts: histogram(r, "tallycast_batch_casts", "Casts of a commit", &SIZES),
            casts_waiting: gauge(r, "tallycast_casts_waiting", "Casts that wait for a commit"),
            ack_seconds: histogram(r, "tallycast_ack_seconds", "A cast, from its frame to its answer", &FAST),
            tally_lag_seconds: histogram(
                r,
                "tallycast_tally_lag_seconds",
                "A tally, from the commit's reply or the feed to the last socket's write",
                &FAST,
            ),
            fanout_frames: counter(r, "tallycast_fanout_frames_total", "Frames written by the fan-out"),
            fanout_skips: counter(r, "tallycast_fanout_skips_total", "Frames skipped because a socket was behind"),
            mailbox_refusals: counters(
                r,
                "tallycast_mailbox_refusals_total",
                "Messages refused by a full mailbox",
                "mailbox",
            ),
            feed_gaps: counter(r, "tallycast_feed_gaps_total", "Changes that the feed did not tell"),
            feed_resyncs: counter(r, "tallycast_feed_resyncs_total", "Times the feed's connection was made again"),
            rooms_unreadable: gauge(r, "tallycast_rooms_unreadable", "Rooms set apart: what is stored cannot be read"),
            ledger_errors: counters(r, "tallycast_ledger_errors_total", "Failed calls to the ledger", "outcome"),
            slow_commands: SlowCommands::new(counter(
                r,
                "tallycast_redis_slow_commands_total",
                "Commands that Redis has logged as slow since this pod looked first; the same on every pod",
            )),
            sockets_dropped: counter(
                r,
                "tallycast_sockets_dropped_total",
                "Sockets dropped because they did not read or answer",
            ),
            jobs_done: counters(r, "tallycast_jobs_done_total", "Jobs done by this pod", "kind"),
            jobs_failed: counters(r, "tallycast_jobs_failed_total", "Tries at a job that failed", "kind"),
            jobs_running: gauge(r, "tallycast_jobs_running", "Jobs under way here"),
            jobs_waiting: gauge(r, "tallycast_jobs_waiting", "Jobs not done; known to pods that do jobs"),
            oldest_job: register(r, Gauge::new("tallycast_oldest_job_seconds", "Age of the oldest job not done")),
            trace_exports_failed: counter(
                r,
                "tallycast_trace_exports_failed_total",
                "Requests with spans that the collector of traces did not take",
            ),
            ready: gauge(r, "tallycast_ready", "1 if this pod takes voters"),
            draining: gauge(r, "tallycast_draining", "1 while this pod says goodbye"),
            registry,
        };
        metrics.create_labelled_series();
        let build = gauges(&metrics.registry, "tallycast_build_info", "1, with the version", "version");
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        if let Some(process) = crate::platform::process_metrics() {
            metrics.registry.register(process).expect("process metrics are registered once");
        }
        metrics
    }

    /// Records the latency of a commit.
    pub fn note_commit(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.recent_commits.observe(took, Instant::now());
    }

    /// Creates every labelled series, so that the first scrape has them all.
    fn create_labelled_series(&self) {
        for role in Role::ALL {
            self.sessions.with_label_values(&[role.as_str()]);
        }
        for code in CloseCode::ALL {
            self.closes.with_label_values(&[(code as u16).to_string().as_str()]);
        }
        for mailbox in ["coordinator", "registry", "session"] {
            self.mailbox_refusals.with_label_values(&[mailbox]);
        }
        for kind in Task::KINDS {
            self.jobs_done.with_label_values(&[kind]);
            self.jobs_failed.with_label_values(&[kind]);
        }
        for outcome in ["not_reached", "not_applied", "maybe_applied", "corrupt"] {
            self.ledger_errors.with_label_values(&[outcome]);
        }
    }

    /// The metrics as Prometheus text, format 0.0.4.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = vec![];
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("a vector takes everything that is written");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Casts by outcome. The series are looked up once, since every cast is counted.
pub struct CastCounters {
    /// The cast added to the ballot.
    pub stored: IntCounter,
    /// The ballot held all of it already.
    pub repeat: IntCounter,
    /// The voter was removed.
    pub removed: IntCounter,
    refused: [IntCounter; Refusal::ALL.len()],
}

impl CastCounters {
    fn new(casts: &IntCounterVec) -> Self {
        let of = |outcome: &str| casts.with_label_values(&[outcome]);
        Self {
            stored: of("stored"),
            repeat: of("repeat"),
            removed: of("removed"),
            refused: Refusal::ALL.map(|refusal| of(refusal.as_str())),
        }
    }

    /// The counter for casts that were refused, wholly or in part.
    pub fn refused(&self, refusal: Refusal) -> &IntCounter {
        &self.refused[refusal as usize]
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, series: prometheus::Result<C>) -> C {
    let series = series.expect("the name is valid");
    registry.register(Box::new(series.clone())).expect("the name is used once");
    series
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), &[label]))
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name, help))
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    register(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}
