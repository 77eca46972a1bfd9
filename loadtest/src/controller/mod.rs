//! The controller of a run: creates the room, starts the pools, tells them when each step begins, opens and closes rounds,
//! and has the result audited.

mod collector;
mod disturb;
mod slow_log;

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use tokio::sync::mpsc::{Sender, channel};

use crate::audit::{Audit, Export, Recount, audit};
use crate::metrics::{Counter, Measures, Timer};
use crate::platform::{Environment, Interrupts, usage};
use crate::pool::messages::{PoolCommand, PoolConfig, PoolReport, QUEUE, unix_ms};
use crate::pool::{process, runner};
use crate::report::commits::commits;
use crate::report::progress::Progress;
use crate::report::summary::{self, Parameters, PhaseSummary, Summary, Verdict};
use crate::scenario::{RoundChange, Scenario, Step, steps};
use crate::target::Target;
use crate::threshold::Threshold;
use crate::tls::Roots;
use collector::{Collector, Until};
use disturb::Disturbance;
use slow_log::SlowLogReader;

/// From the command to the beginning of its step: time for every pool to receive it, and for every phone to know the round.
const NOTICE: Duration = Duration::from_millis(400);
/// Time to finish what was scheduled in a step, after its end.
const FINISH_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for every pool to disconnect and report what its clients know.
const CLIENTS_TIMEOUT: Duration = Duration::from_secs(60);
/// Places of the ranking that are revealed.
const REVEALED_PLACES: u32 = 50;
/// Lateness of this program from which a remark is added.
const LATE_MS: f64 = 50.0;

/// What a run needs.
pub struct Run {
    /// The scenario, checked.
    pub scenario: Scenario,
    /// What must hold.
    pub thresholds: Vec<Threshold>,
    /// The server.
    pub target: Target,
    /// Its addresses, for the report.
    pub urls: Vec<String>,
    /// Processes with voters; 1: this one.
    pub processes: u32,
    /// Threads of each process.
    pub threads: usize,
    /// Trusted roots, besides those that browsers trust.
    pub roots: Roots,
    /// Local addresses to connect from.
    pub sources: Vec<IpAddr>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Processes of the server that are measured.
    pub pids: Vec<u32>,
    /// What the server's binary prints for `--version`.
    pub server_version: Option<String>,
    /// Read the slow log of the ledger's server.
    pub slow_log: bool,
    /// Command of a phase with `disturb`.
    pub disturb: Option<String>,
    /// Keep the room.
    pub keep: bool,
    /// Where progress is shown.
    pub progress: Progress,
}

/// Carries out a run, and removes its room afterwards, also after a failure.
///
/// # Errors
/// The server refused a command or was not reachable, or a pool ended early.
pub async fn execute(run: Run) -> anyhow::Result<Summary> {
    let interrupts = Interrupts::listen().context("signals cannot be received")?;
    run.target.check_ready().await?;
    let room = run.target.create_room(&run.scenario, &title(&run.scenario)).await?;
    let (target, keep) = (run.target.clone(), run.keep);
    let outcome = run_in_room(run, &room, interrupts).await;
    let afterwards = if keep { "kept, as asked".to_owned() } else { remove_room(&target, &room, &outcome).await };
    match outcome {
        Ok(summary) => Ok(Summary { room, room_afterwards: afterwards, ..summary }),
        Err(error) => {
            eprintln!("loadtest: room {room}: {afterwards}");
            Err(error)
        }
    }
}

/// Removes the room of a run unless it is needed to find a fault, and says what happened to it.
async fn remove_room(target: &Target, room: &str, outcome: &anyhow::Result<Summary>) -> String {
    let (done, purge) = match outcome {
        Ok(summary) if !summary.audit.exact || !summary.violations.is_empty() => {
            return "kept, because its record is wrong; delete it once the fault is found".to_owned();
        }
        Ok(_) => ("removed", true),
        Err(_) => ("deleted but not purged, because it was not audited", false),
    };
    match target.remove(room, purge).await {
        Ok(()) => done.to_owned(),
        Err(error) => format!("not removed: {error:#}"),
    }
}

async fn run_in_room(run: Run, room: &str, interrupts: Interrupts) -> anyhow::Result<Summary> {
    let started_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    run.progress.print(&format!(
        "{} · {} voters · about {} · room {room}",
        run.scenario.title,
        run.scenario.hall.voters,
        humantime::format_duration(Duration::from_secs(run.scenario.duration().as_secs()))
    ));
    let (reports, inbox) = channel(QUEUE);
    let pools = start_pools(&run, room, reports)?;
    let before = run.target.metrics().await;
    let collector = Collector::new(inbox, pools.len(), interrupts);
    let slow_log = if run.slow_log { Some(SlowLogReader::begin(&run.target).await) } else { None };
    let (room, open, phases, remarks) = (room.to_owned(), None, vec![], vec![]);
    let mut execution = Execution { collector, pools, room, open, phases, slow_log, remarks, run };
    for step in steps(&execution.run.scenario) {
        execution.step(&step).await?;
        if execution.collector.interrupted() {
            break;
        }
    }
    execution.close_round().await?;
    // the last frames, as those of a reveal, are still in flight
    execution.wait("end", Until::At(Instant::now() + NOTICE)).await?;
    let seconds = execution.collector.elapsed();
    execution.command(PoolCommand::Finish).await?;
    execution.wait("disconnecting", Until::Clients { deadline: Instant::now() + CLIENTS_TIMEOUT }).await?;
    execution.run.progress.end();
    execution.summarise(started_at, seconds, &before).await
}

/// At most 80 characters, as the server allows.
fn title(scenario: &Scenario) -> String {
    format!("Load test: {}", scenario.title).chars().take(80).collect()
}

fn start_pools(run: &Run, room: &str, reports: Sender<PoolReport>) -> anyhow::Result<Vec<Sender<PoolCommand>>> {
    let mut pools = vec![];
    for pool in 0..run.processes {
        let config = PoolConfig {
            scenario: run.scenario.clone(),
            pods: run.target.pods().to_vec(),
            roots: run.roots.clone(),
            sources: run.sources.clone(),
            room: room.to_owned(),
            run: format!("v{:04x}", rand::random::<u16>()),
            seed: run.seed,
            pool,
            pools: run.processes,
        };
        let (command, commands) = channel(QUEUE);
        if run.processes == 1 {
            tokio::spawn(runner::run(config, commands, reports.clone()));
        } else {
            process::start(config, run.threads, commands, reports.clone())?;
        }
        pools.push(command);
    }
    Ok(pools)
}

/// A run in progress.
struct Execution {
    run: Run,
    room: String,
    pools: Vec<Sender<PoolCommand>>,
    collector: Collector,
    /// The open round.
    open: Option<u32>,
    phases: Vec<PhaseSummary>,
    slow_log: Option<SlowLogReader>,
    remarks: Vec<String>,
}

impl Execution {
    async fn command(&self, command: PoolCommand) -> anyhow::Result<()> {
        for pool in &self.pools {
            if pool.send(command.clone()).await.is_err() {
                bail!("a pool of voters has ended early; the messages above say why");
            }
        }
        Ok(())
    }

    async fn wait(&mut self, phase: &str, until: Until) -> anyhow::Result<()> {
        self.collector.wait(phase, &self.run.progress, until).await
    }

    async fn close_round(&mut self) -> anyhow::Result<()> {
        if let Some(round) = self.open.take() {
            self.run.target.close(&self.room, round, self.run.scenario.hall.split).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        let phase = self.run.scenario.phases[step.phase].clone();
        if phase.round != RoundChange::Same {
            self.close_round().await?;
        }
        if let Some(round) = step.opens {
            self.run.target.open(&self.room, round).await?;
            self.open = Some(round);
        }
        let used_before = usage(&self.run.pids);
        let mut summary = PhaseSummary { name: step.name.clone(), ..PhaseSummary::default() };
        let begins = Instant::now() + NOTICE;
        let begins_unix_ms = unix_ms() + NOTICE.as_millis() as u64;
        self.command(PoolCommand::Step { index: step.index, begins_unix_ms, round: self.open }).await?;
        self.wait(&step.name, Until::At(begins)).await?;
        self.collector.phase = Measures::default();
        summary.begins = self.collector.elapsed();
        let ends = begins + phase.duration.0;
        if phase.reveal {
            self.reveal(step, begins, phase.duration.0).await?;
        }
        let mut disturbance = None;
        if phase.disturb {
            self.wait(&step.name, Until::At(begins + phase.duration.0 / 4)).await?;
            self.read_slow_log().await;
            disturbance = Some(Disturbance::begin(self.run.disturb.as_deref()));
        }
        self.wait(&step.name, Until::At(ends)).await?;
        if phase.sharp {
            self.close_round().await?;
        }
        self.wait(&step.name, Until::Finished { step: step.index, deadline: ends + FINISH_TIMEOUT }).await?;
        summary.seconds = self.collector.elapsed() - summary.begins;
        summary.connected = self.collector.connected();
        summary.fill(&self.collector.phase);
        summary.server = usage(&self.run.pids).zip(used_before).map(|(mut used, before)| {
            used.cpu_seconds -= before.cpu_seconds;
            used
        });
        self.phases.push(summary);
        if let Some(disturbance) = disturbance {
            self.remarks.extend(disturbance.end().await);
        }
        self.read_slow_log().await;
        Ok(())
    }

    async fn read_slow_log(&mut self) {
        if let Some(slow_log) = &mut self.slow_log {
            slow_log.read(&self.run.target).await;
        }
    }

    /// Reveals ten places at a time, and the last ten one by one.
    async fn reveal(&mut self, step: &Step, begins: Instant, length: Duration) -> anyhow::Result<()> {
        let top = REVEALED_PLACES.min(self.run.scenario.hall.voters);
        let pages = [top + 1].into_iter().chain([41, 31, 21].into_iter().filter(|place| *place <= top));
        let places: Vec<u32> = pages.chain((1..=top.min(11)).rev()).collect();
        for (i, place) in places.iter().enumerate() {
            let at = begins + length.mul_f64(i as f64 / places.len() as f64);
            self.wait(&step.name, Until::At(at)).await?;
            if self.collector.interrupted() {
                break;
            }
            self.run.target.reveal(&self.room, *place, top).await?;
        }
        Ok(())
    }

    /// Audits the room and judges the thresholds. `before` is the text of every pod's metrics before the run.
    async fn summarise(self, started_at: String, seconds: f64, before: &[String]) -> anyhow::Result<Summary> {
        let Self { run, room, mut collector, phases, slow_log, mut remarks, .. } = self;
        let after = run.target.metrics().await;
        let audit = audit_room(&run, &room, &collector).await?;
        let (slowlog, unread) = match slow_log {
            Some(slow_log) => slow_log.end(&run.target, &mut collector.total).await,
            None => (vec![], None),
        };
        let measures = &collector.total;
        remarks.extend(unread);
        remarks.extend(own_remarks(measures));
        let thresholds: Vec<_> = run.thresholds.iter().map(|threshold| threshold.judge(measures, seconds)).collect();
        let verdict = if !audit.exact {
            Verdict::AuditFailed
        } else if collector.interrupted() {
            Verdict::Interrupted
        } else if thresholds.iter().any(|judgement| !judgement.ok) {
            Verdict::ThresholdFailed
        } else {
            Verdict::Passed
        };
        Ok(Summary {
            verdict,
            started_at,
            seconds,
            environment: Environment { server: run.server_version, ..Environment::here() },
            thresholds,
            audit,
            times: summary::times(measures),
            counts: summary::counts(measures),
            errors: summary::errors(measures),
            remarks,
            violations: collector.violations,
            phases,
            timeline: collector.timeline,
            slowest: collector.slowest,
            commits: commits(before, &after),
            slowlog,
            room,
            room_afterwards: String::new(),
            parameters: Parameters {
                urls: run.urls,
                processes: run.processes,
                sources: run.sources.iter().map(IpAddr::to_string).collect(),
                seed: run.seed,
                scenario: run.scenario,
            },
        })
    }
}

async fn audit_room(run: &Run, room: &str, collector: &Collector) -> anyhow::Result<Audit> {
    let export: Export = serde_json::from_value(run.target.export(room).await?).context("the export is malformed")?;
    let recount: Recount =
        serde_json::from_value(run.target.audit(room).await?).context("the audit of the server is malformed")?;
    Ok(audit(&collector.clients, &export, &recount, run.scenario.hall.votes_per_round as usize))
}

fn own_remarks(measures: &Measures) -> Vec<String> {
    let mut remarks = vec![];
    let late = measures.times(Timer::Lateness).map_or(0.0, |times| times.quantile_ms(0.99));
    if late > LATE_MS {
        remarks.push(format!(
            "this program itself was up to {late:.0} ms late (lateness.p99), so the times are partly its own; give it more \
             of the machine: --processes, --threads, or another machine"
        ));
    }
    let unfinished = measures.counted(Counter::Unfinished);
    if unfinished > 0 {
        remarks.push(format!(
            "{unfinished} scheduled actions were not finished within {FINISH_TIMEOUT:?} after their phase"
        ));
    }
    remarks
}
