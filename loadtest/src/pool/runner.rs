//! Runs the virtual users of one process: starts them, carries out the schedule on time, reports five times a second
//! what was measured, and at the end what every client knows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_rustls::TlsConnector;

use super::messages::{ClientRecord, PoolCommand, PoolConfig, PoolReport, Sample, unix_ms};
use super::recorder::Recorder;
use super::stage;
use crate::metrics::{Counter, Timer};
use crate::pod::Pod;
use crate::scenario::steps;
use crate::schedule::{Action, Scheduled, schedule};
use crate::tls;
use crate::user::{Input, VirtualUser};

/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);

/// Works until it is told to finish or the controller is gone.
///
/// # Errors
/// A root is not valid, or the address of a pod cannot be resolved.
pub async fn run(
    config: PoolConfig,
    mut commands: Receiver<PoolCommand>,
    reports: Sender<PoolReport>,
) -> anyhow::Result<()> {
    let connector = TlsConnector::from(Arc::new(tls::config(&config.roots)?));
    let mut pods = vec![];
    for pod in &config.pods {
        pods.push(Pod::resolve(pod, &connector).await?);
    }
    let mut pool = Pool::new(Arc::new(Recorder::new(config, pods)));
    let mut samples = interval(SAMPLE_INTERVAL);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = pool.next_due();
        tokio::select! {
            command = commands.recv() => match command {
                Some(PoolCommand::Step { index, begins_unix_ms, round }) => pool.begin(index, begins_unix_ms, round),
                Some(PoolCommand::Finish) => break,
                None => return Ok(()),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => pool.start_due(),
            _ = samples.tick() => {
                if reports.send(PoolReport::Sample(pool.sample())).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    let clients = pool.finish().await;
    let mut last = pool.sample();
    last.measures.count(Counter::Unfinished, u64::try_from(last.pending).unwrap_or(0));
    // the controller may have ended: then nothing is lost
    let _ = reports.send(PoolReport::Sample(last)).await;
    let _ = reports.send(PoolReport::Clients(clients)).await;
    Ok(())
}

struct Pool {
    recorder: Arc<Recorder>,
    inputs: HashMap<u32, UnboundedSender<Input>>,
    users: JoinSet<ClientRecord>,
    stages: JoinSet<()>,
    schedule: VecDeque<Scheduled>,
    began: Instant,
    round: u32,
    step: Option<usize>,
    /// Users below this index stop reading at some time.
    slow: u32,
}

impl Pool {
    fn new(recorder: Arc<Recorder>) -> Self {
        let config = &recorder.config;
        let slow = steps(&config.scenario).iter().map(|step| step.stalled(&config.scenario)).max().unwrap_or(0);
        let mut stages = JoinSet::new();
        for stage in (0..config.scenario.hall.stages).filter(|stage| stage % config.pools == config.pool) {
            stages.spawn(stage::watch(recorder.clone(), stage));
        }
        Self {
            slow,
            stages,
            inputs: HashMap::new(),
            users: JoinSet::new(),
            schedule: VecDeque::new(),
            began: Instant::now(),
            round: 0,
            step: None,
            recorder,
        }
    }

    fn begin(&mut self, index: usize, begins_unix_ms: u64, round: Option<u32>) {
        let config = &self.recorder.config;
        let Some(step) = steps(&config.scenario).into_iter().nth(index) else { return };
        // replaces what is left of a step that was interrupted
        let all = schedule(&config.scenario, &step, config.seed);
        self.schedule = all.into_iter().filter(|scheduled| scheduled.user % config.pools == config.pool).collect();
        self.began = Instant::now() + Duration::from_millis(begins_unix_ms.saturating_sub(unix_ms()));
        self.round = round.unwrap_or(0);
        self.step = Some(index);
    }

    fn next_due(&self) -> Option<Instant> {
        self.schedule.front().map(|scheduled| self.began + scheduled.at)
    }

    /// Passes on every action that is due.
    fn start_due(&mut self) {
        let now = Instant::now();
        while let Some(due) = self.schedule.pop_front_if(|next| self.began + next.at <= now) {
            let scheduled = self.began + due.at;
            if matches!(due.action, Action::Join | Action::Tap | Action::Cut) {
                self.recorder.pending.fetch_add(1, Ordering::Relaxed);
                self.recorder.time(Timer::Lateness, now - scheduled);
            }
            if due.action == Action::Join {
                let (sender, inputs) = unbounded_channel();
                let slow = due.user < self.slow;
                let user = VirtualUser::new(self.recorder.clone(), due.user, slow, scheduled, inputs);
                self.users.spawn(user.run());
                self.inputs.insert(due.user, sender);
            } else if let Some(user) = self.inputs.get(&due.user) {
                // a user ends only after its inputs do
                let _ = user.send(Input { action: due.action, round: self.round, scheduled });
            }
        }
    }

    fn sample(&self) -> Sample {
        let started = self.step.filter(|_| self.schedule.is_empty());
        Sample { started, pool: self.recorder.config.pool, ..self.recorder.take_sample() }
    }

    /// Ends every user and collects what it knows.
    async fn finish(&mut self) -> Vec<ClientRecord> {
        self.stages.abort_all();
        self.inputs.clear();
        let mut clients = vec![];
        while let Some(client) = self.users.join_next().await {
            match client {
                Ok(client) => clients.push(client),
                Err(error) => self.recorder.violation("loadtest", &format!("a virtual user ended early: {error}")),
            }
        }
        clients
    }
}
