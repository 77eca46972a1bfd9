//! The controller of a run: creates the room, starts the pools, tells them when each step begins, opens and closes rounds,
//! and has the result audited.

mod collector;
mod disturb;
mod slow_log;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::json;
use tokio::sync::mpsc::{Sender, channel};

use crate::audit::{Export, Recount, audit};
use crate::cli::RunArguments;
use crate::metrics::{Counter, Measures, Timer};
use crate::platform::{Interrupts, Usage, machine, usage};
use crate::pool::messages::{PoolCommand, PoolConfig, PoolReport, QUEUE, unix_ms};
use crate::pool::{process, runner};
use crate::report::progress::Progress;
use crate::report::summary::{Figures, Parameters, PhaseSummary, Summary, Verdict};
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
pub struct Run<'a> {
    /// The options. With `--start` they name the started server, as if it had been there before.
    pub options: &'a RunArguments,
    /// The scenario, checked.
    pub scenario: Scenario,
    /// What must hold.
    pub thresholds: Vec<Threshold>,
    /// The server.
    pub target: Target,
    /// Trusted roots, besides those that browsers trust.
    pub roots: Roots,
    /// What the server's binary prints for `--version`.
    pub server_version: Option<String>,
}

impl Run<'_> {
    fn needs_slow_log(&self) -> bool {
        let asked = self.options.slow_log || self.options.redis.is_some();
        asked || self.thresholds.iter().any(Threshold::needs_slow_log)
    }
}

/// Carries out a run, and removes its room afterwards, also after a failure.
///
/// # Errors
/// The server refused a command or was not reachable, or a pool ended early.
pub async fn execute(run: Run<'_>) -> anyhow::Result<Summary> {
    let interrupts = Interrupts::listen().context("signals cannot be received")?;
    run.target.check_ready().await?;
    let room = run.target.create_room(&run.scenario, &title(&run.scenario)).await?;
    let (target, keep) = (run.target.clone(), run.options.keep);
    let outcome = run_in_room(run, &room, interrupts).await;
    let afterwards = if keep { "kept, as asked".to_owned() } else { remove_room(&target, &room, &outcome).await };
    match outcome {
        Ok(summary) => Ok(Summary { room_afterwards: afterwards, ..summary }),
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

async fn run_in_room(run: Run<'_>, room: &str, interrupts: Interrupts) -> anyhow::Result<Summary> {
    let started_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let progress = Progress::new(run.options.quiet);
    progress.print(&format!(
        "{} · {} voters · about {} · room {room}",
        run.scenario.title,
        run.scenario.hall.voters,
        humantime::format_duration(Duration::from_secs(run.scenario.duration().as_secs()))
    ));
    let (reports, inbox) = channel(QUEUE);
    let pools = start_pools(&run, room, reports)?;
    let collector = Collector::new(inbox, pools.len(), interrupts, progress);
    let slow_log = if run.needs_slow_log() { Some(SlowLogReader::begin(&run.target).await) } else { None };
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
    execution.collector.wait("end", Until::Deadline, Instant::now() + NOTICE).await?;
    let seconds = execution.collector.elapsed();
    execution.command(PoolCommand::Finish).await?;
    execution.collector.wait("disconnecting", Until::Clients, Instant::now() + CLIENTS_TIMEOUT).await?;
    execution.summarise(started_at, seconds).await
}

/// At most 80 characters, as the server allows.
fn title(scenario: &Scenario) -> String {
    format!("Load test: {}", scenario.title).chars().take(80).collect()
}

fn start_pools(run: &Run, room: &str, reports: Sender<PoolReport>) -> anyhow::Result<Vec<Sender<PoolCommand>>> {
    let mut pools = vec![];
    let processes = run.options.processes;
    for pool in 0..processes {
        let config = PoolConfig {
            scenario: run.scenario.clone(),
            pods: run.options.url.clone(),
            roots: run.roots.clone(),
            sources: run.options.source.clone(),
            room: room.to_owned(),
            run: format!("v{:04x}", rand::random::<u16>()),
            seed: run.options.seed,
            pool,
            pools: processes,
        };
        let (command, commands) = channel(QUEUE);
        if processes == 1 {
            tokio::spawn(runner::run(config, commands, reports.clone()));
        } else {
            process::start(config, commands, reports.clone())?;
        }
        pools.push(command);
    }
    Ok(pools)
}

/// A run in progress.
struct Execution<'a> {
    run: Run<'a>,
    room: String,
    pools: Vec<Sender<PoolCommand>>,
    collector: Collector,
    /// The open round.
    open: Option<u32>,
    phases: Vec<PhaseSummary>,
    slow_log: Option<SlowLogReader>,
    remarks: Vec<String>,
}

impl Execution<'_> {
    async fn command(&self, command: PoolCommand) -> anyhow::Result<()> {
        for pool in &self.pools {
            if pool.send(command.clone()).await.is_err() {
                bail!("a pool of voters has ended early; the messages above say why");
            }
        }
        Ok(())
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
            let open = format!("rooms/{}/rounds/{round}/open", self.room);
            self.run.target.command(Method::POST, &open, &json!({"take": 1})).await?;
            self.open = Some(round);
        }
        let used_before = usage(&self.run.options.pid);
        let begins = Instant::now() + NOTICE;
        let begins_unix_ms = unix_ms() + NOTICE.as_millis() as u64;
        self.command(PoolCommand::Step { index: step.index, begins_unix_ms, round: self.open }).await?;
        self.collector.wait(&step.name, Until::Deadline, begins).await?;
        self.collector.phase = Measures::default();
        let began = self.collector.elapsed();
        let ends = begins + phase.duration;
        if phase.reveal {
            self.reveal(step, begins, phase.duration).await?;
        }
        let mut disturbance = None;
        if phase.disturb {
            self.collector.wait(&step.name, Until::Deadline, begins + phase.duration / 4).await?;
            self.read_slow_log().await;
            disturbance = Some(Disturbance::begin(self.run.options.disturb.as_deref()));
        }
        self.collector.wait(&step.name, Until::Deadline, ends).await?;
        if phase.sharp {
            self.close_round().await?;
        }
        self.collector.wait(&step.name, Until::Finished(step.index), ends + FINISH_TIMEOUT).await?;
        let ended = self.collector.elapsed();
        self.phases.push(PhaseSummary {
            name: step.name.clone(),
            begins: began,
            seconds: ended - began,
            figures: Figures::new(ended, self.collector.connected(), &self.collector.phase),
            server: usage(&self.run.options.pid)
                .zip(used_before)
                .map(|(used, before)| Usage { cpu_seconds: used.cpu_seconds - before.cpu_seconds, ..used }),
        });
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
            self.collector.wait(&step.name, Until::Deadline, at).await?;
            if self.collector.interrupted() {
                break;
            }
            let reveal = format!("rooms/{}/reveal", self.room);
            self.run.target.command(Method::PUT, &reveal, &json!({"place": place, "top": top})).await?;
        }
        Ok(())
    }

    /// Audits the room and judges the thresholds.
    async fn summarise(self, started_at: String, seconds: f64) -> anyhow::Result<Summary> {
        let Self { run, room, mut collector, phases, slow_log, mut remarks, .. } = self;
        let export: Export = run.target.get(&format!("rooms/{room}/export?format=json")).await?;
        let recount: Recount = run.target.get(&format!("rooms/{room}/audit")).await?;
        let audit = audit(&collector.clients, &export, &recount, run.scenario.hall.votes_per_round as usize);
        if let Some(slow_log) = slow_log {
            remarks.extend(slow_log.end(&run.target, &mut collector.total).await);
        }
        let interrupted = collector.interrupted();
        let Collector { total: measures, violations, timeline, .. } = collector;
        remarks.extend(own_remarks(&measures));
        let thresholds: Vec<_> = run.thresholds.iter().map(|threshold| threshold.judge(&measures, seconds)).collect();
        let verdict = if !audit.exact {
            Verdict::AuditFailed
        } else if interrupted {
            Verdict::Interrupted
        } else if thresholds.iter().any(|judgement| !judgement.ok) {
            Verdict::ThresholdFailed
        } else {
            Verdict::Passed
        };
        let parameters = Parameters {
            urls: run.options.url.clone(),
            processes: run.options.processes,
            seed: run.options.seed,
            machine: machine(),
            server: run.server_version,
            scenario: run.scenario,
        };
        let room_afterwards = String::new();
        Ok(Summary {
            verdict,
            started_at,
            seconds,
            parameters,
            thresholds,
            audit,
            measures,
            violations,
            phases,
            timeline,
            room,
            room_afterwards,
            remarks,
        })
    }
}

fn own_remarks(measures: &Measures) -> Vec<String> {
    let mut remarks = vec![];
    let late = measures.times(Timer::Lateness).map_or(0.0, |times| times.quantile_ms(0.99));
    if late > LATE_MS {
        remarks.push(format!(
            "this program itself was up to {late:.0} ms late (lateness.p99), so the times are partly its own; give it more \
             of the machine: --processes, or another machine"
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
