//! A crew: the voters of one process. It is told when each step begins, performs the plan on time, says five times a
//! second what it measured, and in the end hands over what its voters know.

pub mod remote;
pub mod shared;
mod viewer;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_rustls::TlsConnector;

use crate::arrivals::{Due, What, schedule};
use crate::metrics::{Counter, Measures, Timer};
use crate::pod::Address;
use crate::scenario::{Scenario, steps};
use crate::tls::{self, Roots};
use crate::voter::{Act, Book, Voter};
use shared::Shared;

/// How often a crew says what it measured.
const SLICE: Duration = Duration::from_millis(200);

/// What a crew has to know before it begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Brief {
    /// What is performed.
    pub scenario: Scenario,
    /// Every pod.
    pub pods: Vec<Address>,
    /// Whom to trust, besides those that browsers do.
    pub roots: Roots,
    /// Addresses to come from; none: the system chooses.
    pub sources: Vec<IpAddr>,
    /// Join code.
    pub room: String,
    /// Begins the names of this run's voters.
    pub run: String,
    /// Of everything drawn by chance.
    pub seed: u64,
    /// Number of this crew, from 0: it has the voters whose index leaves this remainder.
    pub crew: u32,
    /// How many crews there are.
    pub crews: u32,
}

/// What a crew is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// Perform a step.
    Step {
        /// Its index.
        index: usize,
        /// When it begins, by the machine's clock.
        begins_unix_ms: u64,
        /// The round that is open in it.
        round: Option<u16>,
    },
    /// Leave, and hand over the books.
    Finish,
}

/// What a crew says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// Five times a second.
    Slice(Slice),
    /// In the end.
    Books(Vec<Book>),
}

/// What happened since the slice before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Slice {
    /// Whose it is.
    pub crew: u32,
    /// What was measured.
    pub measures: Measures,
    /// Slowest acknowledgements of it.
    pub slowest: Vec<Slow>,
    /// Broken promises, in words.
    pub violations: Vec<String>,
    /// Sockets with a state now.
    pub connected: i64,
    /// Planned things that are not finished now.
    pub pending: i64,
    /// The last step whose plan has been carried out.
    pub performed: Option<usize>,
}

/// A slow acknowledgement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slow {
    /// From the planned moment.
    pub ms: f64,
    /// Whose.
    pub voter: String,
    /// In which round.
    pub round: u16,
    /// When it came, by the machine's clock.
    pub at_unix_ms: u64,
}

/// The machine's clock, in ms.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Works until it is told to finish, or nobody tells it anything any more.
///
/// # Errors
/// A pod's address cannot be found.
pub async fn work(brief: Brief, mut orders: Receiver<Order>, reports: Sender<Report>) -> anyhow::Result<()> {
    let connector = TlsConnector::from(Arc::new(tls::config(&brief.roots)?));
    let mut pods = vec![];
    for pod in &brief.pods {
        pods.push(pod.look_up(&connector).await?);
    }
    let mut crew = Crew::new(Arc::new(Shared::new(brief, pods)));
    let mut slices = interval(SLICE);
    slices.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = crew.next_due();
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Step { index, begins_unix_ms, round }) => crew.begin(index, begins_unix_ms, round),
                Some(Order::Finish) => break,
                None => return Ok(()),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => crew.perform(),
            _ = slices.tick() => {
                if reports.send(Report::Slice(crew.slice())).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    let books = crew.finish().await;
    let mut last = crew.slice();
    last.measures.count(Counter::Unfinished, u64::try_from(last.pending).unwrap_or(0));
    // a director who is gone misses nothing
    let _ = reports.send(Report::Slice(last)).await;
    let _ = reports.send(Report::Books(books)).await;
    Ok(())
}

struct Crew {
    shared: Arc<Shared>,
    voters: HashMap<u32, UnboundedSender<Act>>,
    tasks: JoinSet<Book>,
    viewers: JoinSet<()>,
    plan: VecDeque<Due>,
    began: Instant,
    round: u16,
    step: Option<usize>,
    /// Voters below this index will stop reading some time.
    slow: u32,
}

impl Crew {
    fn new(shared: Arc<Shared>) -> Self {
        let scenario = &shared.brief.scenario;
        let slow = steps(scenario).iter().map(|step| step.stalled(scenario)).max().unwrap_or(0);
        let mut viewers = JoinSet::new();
        let own = (0..scenario.hall.stages).filter(|stage| stage % shared.brief.crews == shared.brief.crew);
        for stage in own {
            viewers.spawn(viewer::watch(shared.clone(), stage));
        }
        Self {
            slow,
            viewers,
            voters: HashMap::new(),
            tasks: JoinSet::new(),
            plan: VecDeque::new(),
            began: Instant::now(),
            round: 0,
            step: None,
            shared,
        }
    }

    fn begin(&mut self, index: usize, begins_unix_ms: u64, round: Option<u16>) {
        let brief = &self.shared.brief;
        let Some(step) = steps(&brief.scenario).into_iter().nth(index) else { return };
        let own = |due: &Due| due.voter % brief.crews == brief.crew;
        // what of the last step is left was not performed because that step was broken off
        self.plan = schedule(&brief.scenario, &step, brief.seed).into_iter().filter(own).collect();
        self.began = Instant::now() + Duration::from_millis(begins_unix_ms.saturating_sub(unix_ms()));
        self.round = round.unwrap_or(0);
        self.step = Some(index);
    }

    fn next_due(&self) -> Option<Instant> {
        self.plan.front().map(|due| self.began + due.at)
    }

    /// Passes on everything that is due.
    fn perform(&mut self) {
        let now = Instant::now();
        while let Some(due) = self.plan.pop_front_if(|due| self.began + due.at <= now) {
            let planned = self.began + due.at;
            if matches!(due.what, What::Join | What::Tap | What::Cut) {
                self.shared.pending.fetch_add(1, Ordering::Relaxed);
                self.shared.time(Timer::Lateness, now - planned);
            }
            let act = match due.what {
                What::Join => {
                    let (acts, plan) = unbounded_channel();
                    let slow = due.voter < self.slow;
                    self.tasks.spawn(Voter::new(self.shared.clone(), due.voter, slow, planned, plan).run());
                    self.voters.insert(due.voter, acts);
                    continue;
                }
                What::Tap => Act::Tap(self.round, planned),
                What::Cut => Act::Cut,
                What::Stall => Act::Stall,
                What::Resume => Act::Resume,
            };
            if let Some(voter) = self.voters.get(&due.voter) {
                // a voter ends only after its plan
                let _ = voter.send(act);
            }
        }
    }

    fn slice(&self) -> Slice {
        let performed = self.step.filter(|_| self.plan.is_empty());
        Slice { performed, crew: self.shared.brief.crew, ..self.shared.take_slice() }
    }

    /// Ends every plan, and waits for the books.
    async fn finish(&mut self) -> Vec<Book> {
        self.viewers.abort_all();
        self.voters.clear();
        let mut books = vec![];
        while let Some(book) = self.tasks.join_next().await {
            match book {
                Ok(book) => books.push(book),
                Err(error) => self.shared.violation("loadtest", &format!("a voter ended early: {error}")),
            }
        }
        books
    }
}
