//! Faults during a round raise their alerts while they last, and no others: a pod is drained, a worker is recreated, and
//! Redis is killed and restarted, with steady votes all the time.

use super::*;
use std::collections::BTreeSet;
use support::cutting_proxy::{Cut, CuttingProxy, Side};

/// Between two votes of a voter: so a round's budget lasts longer than the test.
const EVERY: Duration = Duration::from_millis(1_200);
/// From a scrape until each rule that has no `for` has seen it: scraped each second, evaluated each 5 s.
const SEEN_BY_RULES: Duration = Duration::from_secs(7);
/// How long after an outage its errors still fire: the window of `increase`, and the delay of rules and scrapes.
const FIRES_AFTER: Duration = Duration::from_secs(60 + 30);
/// The part of this time with votes. In the rest nobody votes: only then are shown and stored compared.
const VOTES_GO_ON: Duration = Duration::from_secs(35);

/// An alert that fires: its name, how bad it is, and which pod it is about; empty if it is about all of them.
type Firing = BTreeSet<(String, String, String)>;

/// Alerts as a set. A machine that runs tests promises no speed.
fn set(alerts: &[Value]) -> Firing {
    let of = |alert: &Value| {
        // an answer to a query calls them `metric`, the list of alerts `labels`
        let labels = if alert["labels"].is_object() { &alert["labels"] } else { &alert["metric"] };
        ["alertname", "severity", "pod"].map(|label| labels[label].as_str().unwrap_or_default().to_owned()).into()
    };
    alerts
        .iter()
        .map(of)
        .filter(|(name, ..): &(String, String, String)| !ABOUT_SPEED.contains(&name.as_str()))
        .collect()
}

/// Waits until exactly these alerts fire.
async fn until_firing(prometheus: &Prometheus, wanted: &Firing, limit: Duration) {
    let since = Instant::now();
    loop {
        let firing: Vec<Value> =
            prometheus.alerts().await.into_iter().filter(|alert| alert["state"] == "firing").collect();
        if set(&firing) == *wanted {
            return;
        }
        assert!(since.elapsed() < limit, "firing: {:?}\nwanted: {wanted:?}", set(&firing));
        sleep(Duration::from_millis(200)).await;
    }
}

/// Everybody votes at the same steady pace until `stop`.
fn vote_on(voters: Vec<Voter>, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<Voter>> {
    let vote = |(number, mut voter): (usize, Voter)| {
        let stop = stop.clone();
        tokio::spawn(async move {
            voter.wait_until("the round", |voter| voter.open_round() == Some((1, 1))).await;
            let begun = Instant::now() + EVERY * (number as u32 % 10) / 10;
            for vote in 0..BUDGET {
                while Instant::now() < begun + EVERY * vote {
                    voter.listen(begun + EVERY * vote).await;
                }
                if *stop.borrow() {
                    break;
                }
                assert_eq!(voter.cast(1, 1, if vote % 3 == 0 { "b" } else { "a" }).await, Verdict::Stored);
            }
            voter
        })
    };
    voters.into_iter().enumerate().map(vote).collect()
}

/// Goes on where a good evening has ended: `hall` is two servers, an admin and a worker, which reaches Redis by `way`.
pub async fn is_told(cluster: &mut Cluster, prometheus: &Prometheus, proxy: &CuttingProxy) {
    let addresses = cluster.addresses();
    let metrics: Vec<_> = cluster.pods.iter().map(Server::metrics_address).collect();
    let target = |pod: &str, component: &'static str, place: usize| ScrapeTarget {
        pod: pod.to_owned(),
        component,
        address: metrics[place],
    };
    let others =
        || vec![target("server-0", "server", 0), target("admin-2", "admin", 2), target("worker-3", "worker", 3)];

    let emcee = cluster.emcee().at(2).persistent();
    let room = room(&emcee, "Trouble", 1).await;
    let mut voters = vec![];
    for number in 0..40 {
        let name = format!("Voter {number}");
        let mut voter = Voter::join(&emcee.http, &addresses[..2], &room, &name, dice(123, number)).await;
        voter.come_back().await;
        voters.push(voter);
    }
    emcee.open(&room, 1).await;
    let (stop, stopped) = watch::channel(false);
    let voting = vote_on(voters, &stopped);

    // a pod goes: discovery forgets it when it has ended, and another takes its place
    cluster.pods[1].signal("TERM");
    assert!(cluster.pods[1].exit().await.success());
    prometheus.watch(&others());
    cluster.pods[1].launch();
    cluster.pods[1].ready().await;
    prometheus.watch(&others().into_iter().chain([target("server-4", "server", 1)]).collect::<Vec<_>>());

    // a worker is recreated with the same name and address, and its network is ready a moment later
    let worker = &mut cluster.pods[3];
    worker.kill9().await;
    proxy.arm(Cut { words: &["CLIENT", "HELLO", "TIME", "SETRANGE", "PUBLISH", "EVALSHA"], side: Side::Before });
    worker.launch();
    proxy.cut().await;
    while !worker.log().contains("the ledger does not answer") {
        sleep(Duration::from_millis(50)).await;
    }
    proxy.mend();
    worker.ready().await;
    sleep(SEEN_BY_RULES).await;
    let scraped = r#"min(count_over_time(tallycast_ready{pod=~"server-4|worker-3"}[5s]))"#;
    assert!(prometheus.number(scraped).await > Some(1.0), "the new ones are scraped");
    let fired = set(&prometheus.fired(r#"namespace="tallycast""#).await);
    assert_eq!(fired, Firing::new(), "a drain and a new worker are no trouble");

    // while Redis is down every pod reports it, and an alert says that no pod is ready
    let redis = cluster.redis.as_mut().expect("a Redis");
    redis.kill9().await;
    let alert = |name: &str, severity: &str, pod: &str| (name.to_owned(), severity.to_owned(), pod.to_owned());
    let pods = ["server-0", "server-4", "admin-2", "worker-3"];
    let warnings = |name| pods.map(|pod| alert(name, "warning", pod));
    let errors_told: Firing = warnings("TallycastLedgerErrors").into();
    let mut all_told: Firing = warnings("TallycastNotReady").into();
    all_told.extend(errors_told.clone());
    all_told.insert(alert("TallycastNotReady", "critical", ""));
    until_firing(prometheus, &all_told, Duration::from_secs(60)).await;

    // and when it is back, only that there were errors, until that is a minute ago
    redis.launch().await;
    let back = Instant::now();
    until_firing(prometheus, &errors_told, Duration::from_secs(40)).await;
    sleep(VOTES_GO_ON.saturating_sub(back.elapsed())).await;
    stop.send_replace(true);
    let mut voters = vec![];
    for task in voting {
        voters.push(task.await.expect("the voter votes"));
    }
    let votes: usize = voters.iter_mut().map(|voter| voter.told(1, 1).votes.len()).sum();
    let (_stop, _listening) = listen(voters);
    while !set(&prometheus.alerts().await).is_empty() {
        let alerts = set(&prometheus.alerts().await);
        assert!(back.elapsed() < FIRES_AFTER, "pending or firing long after: {alerts:?}");
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(set(&prometheus.fired(r#"namespace="tallycast""#).await), all_told, "in the whole evening");
    let closed = emcee.close(&room, 1).await;
    let stored: u64 =
        closed["rounds"][0]["tally"]["votes"].as_array().expect("counts").iter().filter_map(Value::as_u64).sum();
    assert_eq!(stored, votes as u64, "what was acknowledged is what is stored");
}
