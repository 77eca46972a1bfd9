//! Scaling from end to end: a real Prometheus scrapes real servers, query and targets are those of the shipped
//! ScaledObject, pods are started and drained by its formula, and meanwhile 3,000 phones vote. No vote is lost.
//!
//! Needs `prometheus` and `redis-server`, and `loadtest` built beside `tallycast`.

#[path = "../support/mod.rs"]
mod support;

mod autoscaler;
mod crowd;
mod fleet;
mod formula;
mod service;

use autoscaler::Autoscaler;
use crowd::Crowd;
use fleet::Fleet;
use service::Service;
use std::time::{Duration, Instant};
use support::prometheus::Prometheus;
use support::redis::Redis;

const SCALED_OBJECT: &str = include_str!("../../manifests/components/autoscaling-keda/scaled-object.yaml");
/// All times of the autoscaler are divided by this: 300 quiet seconds are 20, one pod a minute is one in 4 s.
const SPEED_UP: u32 = 15;
/// How often a HorizontalPodAutoscaler decides (15 s), divided by `SPEED_UP`.
const SYNC: Duration = Duration::from_secs(1);
/// Sockets of a pod: with 60 % of it as the target, 3,002 sessions take five pods.
const CAPACITY: u32 = 1_050;
/// Voters and stage pages of each scenario file.
const STAYING: u32 = 601;
const LEAVING: u32 = 2_401;
/// After the start of those who stay, their round ends: the phases of staying.toml.
const ROUND_ENDS: Duration = Duration::from_secs(160);
/// Production's drain.
const DRAIN: Duration = Duration::from_secs(10);
/// What is left of a pod's grace period, 60 s, after preStop: then it would be killed.
const GRACE: Duration = Duration::from_secs(55);

/// The number of pods at each change, and what the triggers requested.
struct Course {
    sizes: Vec<u32>,
    /// The most pods that each trigger requested.
    asked: Vec<u32>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_scales_up_and_down_with_its_audience_and_keeps_every_vote() {
    let redis = Redis::start().await;
    let prometheus = Prometheus::start().await;
    let service = Service::open().await;
    let mut autoscaler = Autoscaler::read(SCALED_OBJECT, SPEED_UP);
    let settings = vec![
        ("TALLYCAST__LEDGER__URL", redis.url()),
        ("TALLYCAST__SERVER__MAX_SOCKETS", CAPACITY.to_string()),
        ("TALLYCAST__SERVER__DRAIN_MS", DRAIN.as_millis().to_string()),
        // two cores are shared by all pods, Redis, Prometheus and every phone
        ("TALLYCAST__SERVER__TICK_MS", "1000".to_owned()),
        ("TALLYCAST__SERVER__WORKERS", "1".to_owned()),
    ];
    let mut fleet = Fleet::new(settings, service.clone());
    let least = autoscaler.least;
    fleet.scale(least, &prometheus).await;
    until("the first pods are ready", || service.ready().len() == least as usize).await;

    let begun = Instant::now();
    let mut course = Course { sizes: vec![least], asked: vec![0; autoscaler.triggers.len()] };
    let mut staying = Crowd::send("staying.toml", service.address);
    let mut leaving = Crowd::send("leaving.toml", service.address);
    while leaving.is_here() {
        step(&mut autoscaler, &mut fleet, &prometheus, &mut course).await;
    }
    let left = leaving.leave().await;
    while staying.is_here() {
        step(&mut autoscaler, &mut fleet, &prometheus, &mut course).await;
    }
    let stayed = staying.leave().await;
    fleet.all_ended(&prometheus).await;
    eprintln!("pods: {:?}; asked for at most by sessions, commits: {:?}", course.sizes, course.asked);

    for (verdict, voters) in [(&left, LEAVING - 1), (&stayed, STAYING - 1)] {
        assert!(verdict.exact && verdict.exit == Some(0), "exit {:?}\n{}", verdict.exit, verdict.text);
        let votes = verdict.summary["counts"]["votes"].as_u64();
        assert!(votes.is_some_and(|votes| votes > u64::from(voters) * 5), "they voted: {votes:?}");
    }

    let target = autoscaler.triggers[0].target * f64::from(CAPACITY);
    let wanted = (f64::from(STAYING + LEAVING) / target).ceil() as u32;
    assert_eq!(wanted, 5, "the hall was chosen for five pods");
    assert_eq!(course.asked[0], wanted, "by sessions");
    // on a machine so busy that commits are slow, those request more
    let asked = course.asked.iter().max().copied().unwrap_or(wanted).min(autoscaler.most);
    let most = course.sizes.iter().max().copied().unwrap_or(least);
    assert!((wanted..=asked).contains(&most), "it is scaled up: {:?}", course.sizes);
    assert_eq!(course.sizes.last(), Some(&least), "it is scaled down again: {:?}", course.sizes);
    assert_eq!(fleet.ended.len(), (most - least) as usize, "each was drained");
    for ended in &fleet.ended {
        assert!(ended.status.success() && ended.took < GRACE, "{ended:?}");
    }
    let in_the_round = fleet.ended.iter().filter(|ended| ended.at < begun + ROUND_ENDS).count();
    let back = stayed.summary["counts"]["reconnects"].as_u64();
    assert!(in_the_round > 0 && back > Some(100), "drained while they voted: {in_the_round}; came back: {back:?}");

    let alarms = prometheus.alarms().await;
    assert!(alarms.is_empty(), "nothing was wrong, so nobody had to be woken: {alarms:?}");
}

/// One turn of the autoscaler.
async fn step(autoscaler: &mut Autoscaler, fleet: &mut Fleet, prometheus: &Prometheus, course: &mut Course) {
    let mut values = vec![];
    for trigger in &autoscaler.triggers {
        values.push(prometheus.number(&trigger.query).await);
    }
    let size = fleet.size();
    for ((asked, trigger), value) in course.asked.iter_mut().zip(&autoscaler.triggers).zip(&values) {
        let wish = value.map_or(0, |value| Autoscaler::wish(trigger, value, size));
        *asked = wish.max(*asked);
    }
    let wanted = autoscaler.decide(Instant::now(), size, &values);
    if wanted != size {
        eprintln!("{size} pods become {wanted}: {values:?}");
        course.sizes.push(wanted);
    }
    fleet.scale(wanted, prometheus).await;
    tokio::time::sleep(SYNC).await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(60), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
