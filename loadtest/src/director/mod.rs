//! The director: makes the room, tells the crews when each step begins, opens and closes rounds, and has everything
//! audited in the end.

mod disturb;
mod gather;
mod ledger;

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use tokio::sync::mpsc::{Sender, channel};

use crate::audit::{Audit, Export, Recount, audit};
use crate::crew::{Brief, Order, Report, remote, unix_ms, work};
use crate::metrics::{Counter, Measures, Timer};
use crate::platform::Interrupts;
use crate::process::{Environment, usage};
use crate::report::commits::commits;
use crate::report::progress::Progress;
use crate::report::summary::{self, Parameters, PhaseSummary, Summary, Verdict};
use crate::scenario::{RoundWish, Scenario, Step, steps};
use crate::target::Target;
use crate::threshold::Threshold;
use crate::tls::Roots;
use disturb::Disturbance;
use gather::{Gather, Until};
use ledger::LedgerWatch;

/// Between an order and the beginning of its step: every crew has it by then, and every phone knows of the round.
const NOTICE: Duration = Duration::from_millis(400);
/// How long what was planned in a step may take to finish after its end.
const SETTLE: Duration = Duration::from_secs(15);
/// How long phones may take to hang up and hand over their books.
const FAREWELL: Duration = Duration::from_secs(60);
/// Best places that are shown.
const TOP: u32 = 50;
/// This program was late itself: what it measured is not only the server's.
const LATE_MS: f64 = 50.0;

/// What a run needs.
pub struct Run {
    /// What is performed; checked.
    pub scenario: Scenario,
    /// What must hold.
    pub thresholds: Vec<Threshold>,
    /// The server.
    pub target: Target,
    /// Its addresses, for the report.
    pub urls: Vec<String>,
    /// Processes with voters; 1: this one.
    pub processes: u32,
    /// Threads of each.
    pub threads: usize,
    /// Whom to trust, besides those that browsers do.
    pub roots: Roots,
    /// Addresses to come from.
    pub sources: Vec<IpAddr>,
    /// Of everything drawn by chance.
    pub seed: u64,
    /// Processes of the server, to see what they use.
    pub pids: Vec<u32>,
    /// What the server's binary says of itself.
    pub server_version: Option<String>,
    /// The server is asked how its ledger was.
    pub slow_log: bool,
    /// What restarts a pod of the server, and the ledger, where a phase wants that.
    pub disturb: Option<String>,
    /// The room stays.
    pub keep: bool,
    /// Where progress is shown.
    pub progress: Progress,
}

/// Performs a run, and removes its room afterwards, however the run ended.
///
/// # Errors
/// The server refused a command or was not there, or a crew died.
pub async fn direct(run: Run) -> anyhow::Result<Summary> {
    let interrupts = Interrupts::listen().context("no signals")?;
    run.target.check_ready().await?;
    let room = run.target.create_room(&run.scenario, &title(&run.scenario)).await?;
    let (target, keep) = (run.target.clone(), run.keep);
    let outcome = hold(run, &room, interrupts).await;
    let afterwards = if keep { "kept, as asked".to_owned() } else { clear_away(&target, &room, &outcome).await };
    match outcome {
        Ok(summary) => Ok(Summary { room, room_afterwards: afterwards, ..summary }),
        Err(error) => {
            eprintln!("loadtest: room {room}: {afterwards}");
            Err(error)
        }
    }
}

/// What becomes of the room of a run, in words. What is on record is all there is to find out with what was wrong.
async fn clear_away(target: &Target, room: &str, outcome: &anyhow::Result<Summary>) -> String {
    let (done, purge) = match outcome {
        Ok(summary) if !summary.audit.exact || !summary.violations.is_empty() => {
            return "kept, for what is on record is wrong; delete it when that is understood".to_owned();
        }
        Ok(_) => ("removed", true),
        Err(_) => ("deleted, and not purged: it was not audited", false),
    };
    match target.remove(room, purge).await {
        Ok(()) => done.to_owned(),
        Err(error) => format!("left behind: {error:#}"),
    }
}

/// A run in a room that there is.
async fn hold(run: Run, room: &str, interrupts: Interrupts) -> anyhow::Result<Summary> {
    let started_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    run.progress.say(&format!(
        "{} · {} voters · about {} · room {room}",
        run.scenario.title,
        run.scenario.hall.voters,
        humantime::format_duration(Duration::from_secs(run.scenario.duration().as_secs()))
    ));
    let (reports, inbox) = channel(remote::QUEUE);
    let crews = hire(&run, room, reports)?;
    let before = run.target.metrics().await;
    let gather = Gather::new(inbox, crews.len(), interrupts);
    let watch = if run.slow_log { Some(LedgerWatch::begin(&run.target).await) } else { None };
    let (room, open, phases, remarks) = (room.to_owned(), None, vec![], vec![]);
    let mut show = Show { gather, crews, room, open, phases, watch, remarks, run };
    for step in steps(&show.run.scenario) {
        show.perform(&step).await?;
        if show.gather.interrupted() {
            break;
        }
    }
    show.close().await?;
    // last frames, as those of a reveal, are still on their way
    show.gather.until("end", &show.run.progress, Until::At(Instant::now() + NOTICE)).await?;
    let seconds = show.gather.elapsed();
    show.order(|| Order::Finish).await?;
    let books = Until::Books { deadline: Instant::now() + FAREWELL };
    show.gather.until("goodbye", &show.run.progress, books).await?;
    show.run.progress.end();
    let Show { run, room, mut gather, phases, watch, mut remarks, .. } = show;

    let after = run.target.metrics().await;
    let audit = audit_room(&run, &room, &gather).await?;
    let (slowlog, unread) = match watch {
        Some(watch) => watch.end(&run.target, &mut gather.total).await,
        None => (vec![], None),
    };
    let measures = &gather.total;
    remarks.extend(unread);
    remarks.extend(own_remarks(measures));
    let judged: Vec<_> = run.thresholds.iter().map(|threshold| threshold.judge(measures, seconds)).collect();
    let verdict = if !audit.exact {
        Verdict::AuditFailed
    } else if gather.interrupted() {
        Verdict::Interrupted
    } else if judged.iter().any(|judgement| !judgement.ok) {
        Verdict::ThresholdFailed
    } else {
        Verdict::Passed
    };
    Ok(Summary {
        verdict,
        started_at,
        seconds,
        environment: Environment { server: run.server_version, ..Environment::here() },
        thresholds: judged,
        audit,
        times: summary::times(measures),
        counts: summary::counts(measures),
        errors: summary::errors(measures),
        remarks,
        violations: gather.violations,
        phases,
        timeline: gather.timeline,
        slowest: gather.slowest,
        commits: commits(&before, &after),
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

fn title(scenario: &Scenario) -> String {
    // a room's title has at most 80 characters
    format!("Load test: {}", scenario.title).chars().take(80).collect()
}

/// Starts all crews.
fn hire(run: &Run, room: &str, reports: Sender<Report>) -> anyhow::Result<Vec<Sender<Order>>> {
    let mut crews = vec![];
    for crew in 0..run.processes {
        let brief = Brief {
            scenario: run.scenario.clone(),
            pods: run.target.pods().to_vec(),
            roots: run.roots.clone(),
            sources: run.sources.clone(),
            room: room.to_owned(),
            run: format!("v{:04x}", rand::random::<u16>()),
            seed: run.seed,
            crew,
            crews: run.processes,
        };
        let (order, orders) = channel(remote::QUEUE);
        if run.processes == 1 {
            tokio::spawn(work(brief, orders, reports.clone()));
        } else {
            remote::start(&brief, run.threads, orders, reports.clone())?;
        }
        crews.push(order);
    }
    Ok(crews)
}

/// A run under way.
struct Show {
    run: Run,
    room: String,
    crews: Vec<Sender<Order>>,
    gather: Gather,
    open: Option<u16>,
    phases: Vec<PhaseSummary>,
    watch: Option<LedgerWatch>,
    remarks: Vec<String>,
}

impl Show {
    async fn order(&self, order: impl Fn() -> Order) -> anyhow::Result<()> {
        for crew in &self.crews {
            if crew.send(order()).await.is_err() {
                bail!("a process with voters has ended early; its last words stand above");
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> anyhow::Result<()> {
        if let Some(round) = self.open.take() {
            self.run.target.close(&self.room, round, self.run.scenario.hall.split).await?;
        }
        Ok(())
    }

    async fn perform(&mut self, step: &Step) -> anyhow::Result<()> {
        let phase = self.run.scenario.phases[step.phase].clone();
        if phase.round != RoundWish::Same {
            self.close().await?;
        }
        if let Some(round) = step.opens {
            self.run.target.open(&self.room, round).await?;
            self.open = Some(round);
        }
        let (used, mut summary) = (usage(&self.run.pids), PhaseSummary { name: step.name.clone(), ..<_>::default() });
        let begins = Instant::now() + NOTICE;
        let (index, round, begins_unix_ms) = (step.index, self.open, unix_ms() + NOTICE.as_millis() as u64);
        self.order(|| Order::Step { index, begins_unix_ms, round }).await?;
        self.until(step, Until::At(begins)).await?;
        self.gather.phase = Measures::default();
        summary.begins = self.gather.elapsed();
        let ends = begins + phase.duration.0;
        if phase.reveal {
            self.reveal(step, begins, phase.duration.0).await?;
        }
        let disturbance = match phase.disturb {
            true => {
                self.until(step, Until::At(begins + phase.duration.0 / 4)).await?;
                self.look_at_ledger().await;
                Some(Disturbance::begin(self.run.disturb.as_deref()))
            }
            false => None,
        };
        self.until(step, Until::At(ends)).await?;
        if phase.sharp {
            self.close().await?;
        }
        self.until(step, Until::Settled { step: step.index, deadline: ends + SETTLE }).await?;
        summary.seconds = self.gather.elapsed() - summary.begins;
        summary.connected = self.gather.connected();
        summary.fill(&self.gather.phase);
        summary.server = usage(&self.run.pids).zip(used).map(|(mut now, before)| {
            now.cpu_seconds -= before.cpu_seconds;
            now
        });
        self.phases.push(summary);
        if let Some(disturbance) = disturbance {
            self.remarks.extend(disturbance.end().await);
        }
        self.look_at_ledger().await;
        Ok(())
    }

    async fn look_at_ledger(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.look(&self.run.target).await;
        }
    }

    async fn until(&mut self, step: &Step, until: Until) -> anyhow::Result<()> {
        self.gather.until(&step.name, &self.run.progress, until).await
    }

    /// Pages of ten places first, then one by one.
    async fn reveal(&mut self, step: &Step, begins: Instant, span: Duration) -> anyhow::Result<()> {
        let top = TOP.min(self.run.scenario.hall.voters);
        let pages = [top + 1].into_iter().chain([41, 31, 21].into_iter().filter(|place| *place <= top));
        let places: Vec<u32> = pages.chain((1..=top.min(11)).rev()).collect();
        for (i, place) in places.iter().enumerate() {
            let at = begins + span.mul_f64(i as f64 / places.len() as f64);
            self.until(step, Until::At(at)).await?;
            if self.gather.interrupted() {
                break;
            }
            self.run.target.reveal(&self.room, *place, top).await?;
        }
        Ok(())
    }
}

async fn audit_room(run: &Run, room: &str, gather: &Gather) -> anyhow::Result<Audit> {
    let export: Export =
        serde_json::from_value(run.target.export(room).await?).context("the export is not readable")?;
    let recount: Recount =
        serde_json::from_value(run.target.audit(room).await?).context("the audit is not readable")?;
    Ok(audit(&gather.books, &export, &recount, run.scenario.hall.votes_per_round as usize))
}

fn own_remarks(measures: &Measures) -> Vec<String> {
    let mut remarks = vec![];
    let late = measures.times(Timer::Lateness).map_or(0.0, |times| times.quantile_ms(0.99));
    if late > LATE_MS {
        remarks.push(format!(
            "this program was itself up to {late:.0} ms late with its plan (lateness.p99), so times are partly its own; give \
             it more of the machine: --processes, --threads, or another machine"
        ));
    }
    let unfinished = measures.counted(Counter::Unfinished);
    if unfinished > 0 {
        remarks.push(format!("{unfinished} planned things were not finished within {SETTLE:?} after their phase"));
    }
    remarks
}
