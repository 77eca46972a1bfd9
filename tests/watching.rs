//! What the emcee's desk, the chat, and Prometheus with the shipped rules show during a good evening, and during faults.
//!
//! Needs `prometheus` and `redis-server`.

#[path = "support/mod.rs"]
mod support;
#[path = "watching/trouble.rs"]
mod trouble;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use support::cluster::Cluster;
use support::cutting_proxy::CuttingProxy;
use support::emcee::Emcee;
use support::http::Http;
use support::metrics::metric;
use support::prometheus::{Prometheus, ScrapeTarget};
use support::redis::Redis;
use support::server::Server;
use support::socket::{Heard, Socket};
use support::voter::{Verdict, Voter};
use support::{dice, free_port};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Votes of each voter in a round: the maximum.
const BUDGET: u32 = 100;
/// After this time a stored vote must be on every screen.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Alerts about speed, which a machine that runs tests does not promise.
const ABOUT_SPEED: [&str; 2] = ["TallycastAckSlow", "TallycastLedgerSlow"];

/// A room with a budget that lasts for a while.
async fn room(emcee: &Emcee, title: &str, rounds: usize) -> String {
    let round = json!({"title": "A against B", "choices": [{"label": "A"}, {"label": "B"}]});
    emcee.create(json!({"title": title, "votes_per_round": BUDGET, "rounds": vec![round; rounds]})).await
}

/// Voters, spread over the pods.
async fn crowd(pods: &[SocketAddr], room: &str, size: usize, seed: u64) -> Vec<Voter> {
    let (http, mut voters) = (Http::new(), Vec::new());
    for (number, pod) in (0..size).zip(pods.iter().cycle()) {
        let rng = dice(seed, number as u64);
        let mut voter = Voter::join(&http, &[*pod], room, &format!("Voter {number}"), rng).await;
        voter.come_back().await;
        voters.push(voter);
    }
    voters
}

/// How a crowd votes in a round.
#[derive(Clone, Copy)]
struct Pace {
    /// Between two votes of a voter.
    every: Duration,
    votes: u32,
    /// After this many votes everybody pauses together.
    rest: Option<(u32, Duration)>,
    /// After this many votes all voters connect to the first pod.
    gather_after: Option<u32>,
}

/// Lets everybody vote at that pace; returns the voters when all votes are acknowledged.
async fn vote(voters: Vec<Voter>, round: u32, pace: Pace, first: SocketAddr, dice: &mut StdRng) -> Vec<Voter> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for mut voter in voters {
        let offset = pace.every.mul_f64(dice.random());
        tasks.push(tokio::spawn(async move {
            voter.wait_until("the round", |voter| voter.open_round() == Some((round, 1))).await;
            for number in 0..pace.votes {
                let rests = pace.rest.map_or(Duration::ZERO, |(after, rest)| rest * (number / after));
                let due = begun + offset + pace.every * number + rests;
                if pace.gather_after == Some(number) {
                    voter.vanish();
                    assert!(voter.try_connect_to(first).await, "{} moves", voter.name);
                }
                while Instant::now() < due {
                    voter.listen(due).await;
                }
                assert_eq!(voter.cast(round, 1, if number % 3 == 0 { "b" } else { "a" }).await, Verdict::Stored);
            }
            voter
        }));
    }
    let mut voters = Vec::new();
    for task in tasks {
        voters.push(task.await.expect("the voter votes"));
    }
    voters
}

/// Reads the sockets of voters who do not vote now, until it is stopped.
fn listen(voters: Vec<Voter>) -> (watch::Sender<bool>, Vec<JoinHandle<Voter>>) {
    let (stop, stopped) = watch::channel(false);
    let read = |mut voter: Voter| {
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => return voter,
                    heard = voter.listen(Instant::now() + Duration::from_secs(60)) => {
                        assert!(!matches!(heard, Some(Heard::Gone(_))), "{} was sent away", voter.name);
                    }
                }
            }
        })
    };
    let tasks = voters.into_iter().map(read).collect();
    (stop, tasks)
}

/// Lines of a log that report errors.
fn errors(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("ERROR") || line.contains("ALARM")).collect()
}

/// The newest `desk` message of an emcee's socket.
struct Desk {
    newest: watch::Receiver<Value>,
    task: JoinHandle<()>,
}

impl Desk {
    /// Reads a desk until it is dropped, and checks the three numbers in each frame.
    async fn open(pod: SocketAddr, room: &str) -> Desk {
        let mut socket = Socket::emcee(pod, room).await;
        let (told, newest) = watch::channel(Value::Null);
        let task = tokio::spawn(async move {
            while let Heard::Frame(name, desk) = socket.next().await {
                if name != "desk" {
                    continue;
                }
                let [acknowledged, stored, shown, oldest_ms] =
                    ["acknowledged", "stored", "shown", "oldest_unshown_ms"].map(|field| desk[field].as_u64());
                assert!(acknowledged <= stored && shown <= stored, "{desk}");
                assert!(oldest_ms <= Some(SHOWN_WITHIN.as_millis() as u64), "{desk}");
                told.send_replace(desk);
            }
            panic!("the desk was sent away");
        });
        Desk { newest, task }
    }

    /// Waits until the desk says this.
    async fn until(&mut self, what: &str, wanted: impl FnMut(&Value) -> bool) -> Value {
        let heard = timeout(Duration::from_secs(10), self.newest.wait_for(wanted)).await;
        let heard = heard.map(|heard| heard.map(|desk| desk.clone()));
        match heard {
            Ok(Ok(desk)) => desk,
            Ok(Err(_)) => panic!("the desk broke a promise, see above"),
            Err(_) => panic!("the desk never says {what}: {}", *self.newest.borrow()),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Votes without a pause for a minute: at no moment are all of them shown, and yet none waits for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_without_a_pause_are_shown_and_raise_no_alarm() {
    const STEADY: Duration = Duration::from_secs(60);
    let cluster = Cluster::embedded_with(&[("TALLYCAST__SERVER__WORKERS", "4")]).await;
    let (emcee, pods) = (cluster.emcee(), cluster.addresses());
    let room = room(&emcee, "Steady", 1).await;
    let voters = crowd(&pods, &room, 200, 121).await;
    let mut desk = Desk::open(pods[0], &room).await;
    emcee.open(&room, 1).await;
    let pace = Pace { every: STEADY / BUDGET, votes: BUDGET, rest: None, gather_after: None };
    let voting = tokio::spawn(async move { vote(voters, 1, pace, pods[0], &mut dice(121, 1_000)).await });
    let (mut oldest, mut seen) = (0.0, 0);
    while !voting.is_finished() {
        oldest = f64::max(oldest, metric(&cluster.pods[0], "tallycast_oldest_unshown_vote_seconds").await);
        seen += 1;
        assert!(!desk.task.is_finished(), "the desk broke a promise, see above");
        sleep(Duration::from_millis(100)).await;
    }
    let voters = voting.await.expect("all have voted");
    eprintln!("oldest vote that was not shown, in {seen} readings: {oldest} s");
    assert_eq!(errors(&cluster.pods[0].log()), [] as [&str; 0]);
    assert!(oldest <= SHOWN_WITHIN.as_secs_f64(), "a vote was not shown for {oldest} s");
    let votes = voters.len() as u64 * u64::from(BUDGET);
    let (_stop, _listening) = listen(voters);
    desk.until("that all is shown", |desk| {
        ["acknowledged", "stored", "shown"].iter().all(|field| desk[*field] == votes)
    })
    .await;
}

/// The shipped topology: pods for the audience, one for the emcee, a worker. The worker has no sockets, and later one pod
/// has none either: without sockets a pod shows nothing, and that must not look like votes that are not shown. After the
/// evening the same installation has faults, and only true alerts may fire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_evening_raises_no_alarm_and_faults_raise_theirs_while_they_last() {
    let ports = [free_port(), free_port()].map(|port| port.to_string());
    let audience = |port| {
        vec![
            ("TALLYCAST__SERVER__ROLE", "audience"),
            ("TALLYCAST__SERVER__WORKERS", "2"),
            ("TALLYCAST__METRICS__PORT", port),
        ]
    };
    let redis = Redis::start().await;
    let proxy = CuttingProxy::to(SocketAddr::from(([127, 0, 0, 1], redis.port))).await;
    let through_the_proxy = format!("redis://127.0.0.1:{}", proxy.port);
    let worker = vec![("TALLYCAST__SERVER__ROLE", "worker"), ("TALLYCAST__LEDGER__URL", through_the_proxy.as_str())];
    let pods = [audience(ports[0].as_str()), audience(ports[1].as_str()), vec![("ADMIN", "1")], worker];
    let mut cluster = Cluster::over(redis, &pods).await;
    let prometheus = Prometheus::start().await;
    let components = ["server", "server", "admin", "worker"];
    let target =
        |(component, (number, address))| ScrapeTarget { pod: format!("{component}-{number}"), component, address };
    let targets = components.into_iter().zip(cluster.pods.iter().map(Server::metrics_address).enumerate()).map(target);
    prometheus.watch(&targets.collect::<Vec<_>>());

    let emcee = cluster.emcee().at(2);
    let addresses = cluster.addresses();
    let (pods, admin) = (&addresses[..2], addresses[2]);
    let room = room(&emcee, "Evening", 3).await;
    let mut voters = crowd(pods, &room, 40, 122).await;
    let mut desk = Desk::open(admin, &room).await;
    let steady = Pace { every: Duration::from_millis(400), votes: 40, rest: None, gather_after: None };
    let paces = [
        steady,
        Pace { votes: 20, rest: Some((5, Duration::from_secs(2))), ..steady },
        Pace { gather_after: Some(15), ..steady },
    ];
    let mut votes = 0;
    let mut dice = dice(122, 1_000);
    for (round, pace) in (1..).zip(paces) {
        emcee.open(&room, round).await;
        votes += voters.len() as u64 * u64::from(pace.votes);
        voters = vote(voters, round, pace, pods[0], &mut dice).await;
        // the desk's own pod commits nothing: this comes from the others
        desk.until("how long commits take", |desk| desk["ledger"]["commit_p99_ms"].as_f64() > Some(0.0)).await;
        let alerts = prometheus.alerts().await;
        let numbers = ["TallycastNumbersDisagree", "TallycastOldestUnshownVote"];
        let wrong = |alert: &&Value| numbers.iter().any(|name| alert["labels"]["alertname"] == *name);
        assert_eq!(alerts.iter().filter(wrong).collect::<Vec<_>>(), [] as [&Value; 0], "in round {round}");
        emcee.close(&room, round).await;
    }
    for place in [51, 11, 1] {
        emcee.reveal(&room, json!({"place": place})).await;
    }
    let (_stop, _listening) = listen(voters);
    desk.until("that all is acknowledged, stored and shown", |desk| {
        ["acknowledged", "stored", "shown"].iter().all(|field| desk[*field] == votes)
    })
    .await;
    // as long as the slowest of the rules about the numbers takes to fire
    sleep(Duration::from_secs(20)).await;
    let told = desk.until("that nothing is committed", |desk| desk["ledger"]["commit_p99_ms"] == 0.0).await;
    assert_eq!(told["oldest_unshown_ms"], 0, "{told}");
    let mut alerts = prometheus.alerts().await;
    alerts.retain(|alert| ABOUT_SPEED.iter().all(|name| alert["labels"]["alertname"] != *name));
    assert_eq!(alerts, [] as [Value; 0], "nothing is wrong");
    let fired = prometheus.fired(&format!(r#"alertname!~"{}""#, ABOUT_SPEED.join("|"))).await;
    assert_eq!(fired, [] as [Value; 0], "nothing was wrong");
    for pod in &cluster.pods {
        assert_eq!(errors(&pod.log()), [] as [&str; 0]);
    }
    // one message for each result and one for the ranking, but none about an alarm
    let done = r#"sum(tallycast_jobs_done_total{kind="message"})"#;
    assert_eq!(prometheus.number(done).await, Some(4.0), "messages to the chat");
    drop(desk);
    trouble::is_told(&mut cluster, &prometheus, &proxy).await;
}
