//! kill -9 and Ctrl-C, in mid-round and between any two steps: nothing that was acknowledged is
//! lost, nothing is counted twice, and the next start continues where the last one was.
//!
//! After each crash the ledger is read *before* any phone is back, so that no repeated cast can hide
//! a loss. There `A ⊆ C ⊆ A ∪ U` must hold (acknowledged, in the record, with unknown outcome). Then
//! the phones come back, turn every unknown into a known, and `C` must equal `A`. This fails if a
//! vote is acknowledged before its commit is durable, or if a repeat after a crash is counted anew.
//!
//! `TALLYCAST_PROVE_FACTOR` multiplies the repetitions.

mod support;

use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use support::cluster::Cluster;
use support::emcee::{Emcee, code, lasting, round};
use support::reference::{Reference, TakeId, exported_ballots, record};
use support::socket::Socket;
use support::voter::{Verdict, Voter};
use support::{dice, prove_factor, seed, wall_ms};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const CROWD: usize = 40;

/// What is done to the cluster during a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// SIGKILL to a process.
    KillPod(usize),
    /// SIGINT to a process: Ctrl-C.
    Interrupt(usize),
    /// SIGKILL to Redis.
    KillRedis,
}

impl Fault {
    /// Does it, and starts what was ended again.
    async fn strike(self, cluster: &mut Cluster) {
        match self {
            Fault::KillPod(pod) => cluster.pods[pod].crash_and_restart().await,
            Fault::Interrupt(pod) => {
                let status = cluster.pods[pod].interrupt().await;
                assert!(status.success(), "Ctrl-C ends with {status}\n{}", cluster.pods[pod].log());
                cluster.pods[pod].launch();
            }
            Fault::KillRedis => {
                let redis = cluster.redis.as_mut().expect("a cluster on Redis");
                redis.kill9().await;
                redis.launch().await;
            }
        }
        cluster.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_only_process_in_mid_round_loses_nothing_acknowledged() {
    strike_in_mid_round(Cluster::embedded().await, &[Fault::KillPod(0)], 6, "kill -9, embedded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_one_of_three_processes_in_mid_round_loses_nothing_acknowledged() {
    let faults = [Fault::KillPod(0), Fault::KillPod(1), Fault::KillPod(2)];
    strike_in_mid_round(Cluster::redis(3).await, &faults, 6, "kill -9, one of three").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_redis_in_mid_round_loses_nothing_acknowledged() {
    strike_in_mid_round(Cluster::redis(3).await, &[Fault::KillRedis], 5, "kill -9 of redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_in_mid_round_exits_0_and_loses_nothing() {
    strike_in_mid_round(Cluster::embedded().await, &[Fault::Interrupt(0)], 3, "ctrl-c, embedded").await;
    let faults = [Fault::Interrupt(1), Fault::Interrupt(2)];
    strike_in_mid_round(Cluster::redis(3).await, &faults, 2, "ctrl-c, one of three").await;
}

/// Lets a crowd vote, strikes at a random moment, reads the ledger, lets the crowd come back.
async fn strike_in_mid_round(mut cluster: Cluster, faults: &[Fault], rounds: usize, test: &str) {
    let seed = seed(test);
    let mut when = dice(seed, 0);
    let rounds = rounds * prove_factor();
    let emcee = cluster.emcee().persistent();
    let room = emcee.create_plain(test, rounds.min(100)).await;
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let rng = dice(seed, 1 + number as u64);
        crowd.push(Voter::join(&emcee.http, &cluster.addresses(), &room, &format!("Voter {number}"), rng).await);
    }
    let mut unknown_in_all = 0;
    for number in 1..=rounds {
        // more rounds than a room holds are further takes of the last one
        let (number, take) = (number.min(100) as u32, number.saturating_sub(99).max(1) as u32);
        let take_id = (number, take);
        if take > 1 {
            emcee.take(&room, number, take).await;
        }
        let opened = lasting(round(&emcee.open(&room, number).await, number));
        let voting: Vec<JoinHandle<Voter>> = crowd
            .drain(..)
            .zip(0..)
            .map(|(voter, part)| tokio::spawn(vote_until_cut_off(voter, take_id, dice(seed, 1_000 + part))))
            .collect();
        let fault = faults[when.random_range(0..faults.len())];
        sleep(Duration::from_millis(when.random_range(20..400))).await;
        fault.strike(&mut cluster).await;
        for phone in voting {
            crowd.push(phone.await.expect("no phone fails"));
        }
        let what = format!("{test}: {fault:?} in {take_id:?}, seed {seed}");
        let after = emcee.room(&room).await;
        let (was, is) = (&opened, round(&after, number));
        for field in ["take", "phase", "opened_at", "closes_at"] {
            assert_eq!(is[field], was[field], "{what}: {field} after the next start");
        }
        unknown_in_all += check_known_and_unknown(&emcee.export(&room).await, &crowd, take_id, &what);

        let back: Vec<JoinHandle<Voter>> = crowd.drain(..).map(|voter| tokio::spawn(finish(voter, take_id))).collect();
        for phone in back {
            crowd.push(phone.await.expect("no phone fails"));
        }
        let closed = emcee.close(&room, number).await;
        check_equal(&emcee, &room, &closed, &mut crowd, take_id, &what).await;
    }
    eprintln!("{test}: {unknown_in_all} votes had an unknown outcome at a crash");
}

/// Casts one to three letters at a time, with short pauses, until the ballot is full or the outcome
/// of a cast is unknown. Does not come back by itself.
async fn vote_until_cut_off(mut voter: Voter, (round, take): TakeId, mut rng: impl Rng) -> Voter {
    voter.wait_until("the open round", |v| v.open_round() == Some((round, take))).await;
    loop {
        let left = voter.votes_per_round - voter.told(round, take).votes.len();
        if left == 0 || voter.socket.is_none() {
            return voter;
        }
        let letters: String =
            (0..rng.random_range(1..=left.min(3))).map(|_| if rng.random() { 'a' } else { 'b' }).collect();
        match voter.cast_once(round, take, &letters).await {
            Some(Verdict::Stored) => {}
            Some(refused) => panic!("{} in an open round: {refused:?}", voter.name),
            None => return voter,
        }
        voter.listen(Instant::now() + Duration::from_millis(rng.random_range(0..60))).await;
    }
}

/// Comes back, turns the unknown into a known, and uses up the rest.
async fn finish(mut voter: Voter, (round, take): TakeId) -> Voter {
    voter.come_back().await;
    voter.resolve(round, take).await;
    while voter.told(round, take).votes.len() < voter.votes_per_round {
        let verdict = voter.cast(round, take, "a").await;
        assert_eq!(verdict, Verdict::Stored, "{} in an open round", voter.name);
    }
    voter
}

/// `A ⊆ C ⊆ A ∪ U`, voter by voter, while no phone is back. Gives the number of unknown votes.
fn check_known_and_unknown(export: &Value, crowd: &[Voter], take_id: TakeId, what: &str) -> usize {
    let stored = exported_ballots(export, take_id);
    let mut unknown_votes = 0;
    for voter in crowd {
        let told = voter.told.get(&take_id).cloned().unwrap_or_default();
        let unknown = told.unknown.clone().map_or(String::new(), |cast| cast.votes);
        unknown_votes += unknown.len();
        let possible = format!("{}{unknown}", told.votes);
        let stored = stored.get(&voter.id).map_or("", String::as_str);
        let fits = stored == told.votes || stored == possible;
        assert!(
            fits,
            "{what}: {} was acknowledged {:?}, unknown {unknown:?}, stored {stored:?}",
            voter.name, told.votes
        );
    }
    unknown_votes
}

/// After all unknowns are known: ballots, tally, record and audit say the same as the phones.
async fn check_equal(emcee: &Emcee, room: &str, closed: &Value, crowd: &mut [Voter], take_id: TakeId, what: &str) {
    let mut reference = Reference::default();
    reference.choices.insert(take_id.0, 2);
    reference.counted.insert(take_id.0, take_id.1);
    for voter in crowd.iter_mut() {
        let votes = voter.told(take_id.0, take_id.1).votes.clone();
        reference.add(take_id, &voter.id, &votes);
    }
    eprintln!("{what}: tally {:?}", reference.tally(take_id));
    reference.check_room(closed);
    let export = emcee.export(room).await;
    let stored = exported_ballots(&export, take_id);
    assert_eq!(stored, reference.ballots_of(take_id), "{what}: stored (left), told (right)");
    assert_eq!(record(&export, take_id)["votes"], json!(reference.tally(take_id)), "{what}: the record");
    assert_eq!(emcee.audit(room).await["ok"], true, "{what}: the audit");
}

/// One step of an evening, as a command.
struct Step {
    method: Method,
    path: &'static str,
    body: Value,
}

/// Every kind of command, in an order in which each fits.
fn steps() -> Vec<Step> {
    let far = wall_ms() + 3_600_000;
    let post = |path, body| Step { method: Method::POST, path, body };
    let put = |path, body| Step { method: Method::PUT, path, body };
    vec![
        post("/rounds/1/open", json!({})),
        post("/rounds/1/deadline", json!({"closes_at": far})),
        post("/rounds/1/close", json!({})),
        post("/rounds/1/take", json!({"take": 2})),
        post("/rounds/1/open", json!({"take": 2})),
        post("/rounds/1/close", json!({"take": 2})),
        post("/rounds/1/take", json!({"take": 1})),
        post("/rounds/2/open", json!({"seconds": 3_600})),
        post("/rounds/2/close", json!({})),
        post("/rounds/2/show", json!({})),
        post("/rounds/2/decide", json!({"winner": "b"})),
        Step { method: Method::PATCH, path: "", body: json!({"title": "Another title"}) },
        put("/reveal", json!({"place": 4, "top": 3})),
        put("/reveal", json!({"place": 1, "top": 3})),
        put("/reveal", json!({"place": null})),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_after_any_step_keeps_every_acknowledged_change() {
    strike_after_every_step(Cluster::embedded().await, &[Fault::KillPod(0)]).await;
    strike_after_every_step(Cluster::redis(3).await, &[Fault::KillPod(0), Fault::KillRedis]).await;
}

/// Says a command, strikes right after its answer, and compares the room with that answer. A vote
/// cast in every open round must survive too.
async fn strike_after_every_step(mut cluster: Cluster, faults: &[Fault]) {
    let emcee = cluster.emcee().persistent();
    let room = two_rounds(&emcee).await;
    let mut voter = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(1, 1)).await;
    for (step, fault) in steps().into_iter().zip(faults.iter().cycle()) {
        let what = format!("{} {} {} before {fault:?}", step.method, step.path, step.body);
        let path = format!("/rooms/{room}{}", step.path);
        let answer = emcee.call(step.method.clone(), &path, Some(&step.body)).await.expect(200, &what);
        let before = if answer["room"].is_string() { lasting(&answer) } else { lasting(&emcee.room(&room).await) };
        let acknowledged = vote_in_the_open_round(&mut voter, &before).await;
        fault.strike(&mut cluster).await;
        let after = lasting(&emcee.room(&room).await);
        assert_eq!(without_tallies(&after), without_tallies(&before), "{what}: after (left), as answered (right)");
        if let Some((take_id, votes)) = acknowledged {
            let stored = exported_ballots(&emcee.export(&room).await, take_id);
            assert_eq!(stored.get(&voter.id), Some(&votes), "{what}: the ballot");
        }
        let again = emcee.call(step.method, &path, Some(&step.body)).await;
        assert_eq!(again.status, 200, "{what}, said again: {}", again.text);
    }
    let audit = emcee.audit(&room).await;
    assert_eq!(audit["ok"], true, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_interrupted_by_kill_9_is_executed_once_when_repeated() {
    let seed = seed("cut off commands");
    cut_off_every_step(Cluster::embedded().await, Fault::KillPod(0), seed).await;
    cut_off_every_step(Cluster::redis(2).await, Fault::KillRedis, seed).await;
}

/// Sends a command and kills without waiting for its answer. Sent again it succeeds, and at the
/// end there are exactly as many takes and records as were commanded.
async fn cut_off_every_step(mut cluster: Cluster, fault: Fault, seed: u64) {
    let mut when = dice(seed, 0);
    let emcee = cluster.emcee().persistent();
    let room = two_rounds(&emcee).await;
    for step in steps() {
        let path = format!("/rooms/{room}{}", step.path);
        let first = {
            let (emcee, path, method, body) = (emcee.clone(), path.clone(), step.method.clone(), step.body.clone());
            tokio::spawn(async move { emcee.try_call(method, &path, Some(&body)).await.map(|answer| answer.status) })
        };
        sleep(Duration::from_micros(when.random_range(0..8_000))).await;
        fault.strike(&mut cluster).await;
        let what =
            format!("{} {path} {}, first {:?}, seed {seed}", step.method, step.body, first.await.expect("no panic"));
        let answer = emcee.call(step.method, &path, Some(&step.body)).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text);
    }
    let export = emcee.export(&room).await;
    let takes: Vec<usize> = support::reference::array(&export, "rounds")
        .iter()
        .map(|round| support::reference::array(round, "takes").iter().filter(|t| t["record"].is_object()).count())
        .collect();
    assert_eq!(takes, [2, 1], "records by round: {export}");
    assert_eq!(round(&emcee.room(&room).await, 1)["take"], 1, "the first take was brought back");
    assert_eq!(emcee.audit(&room).await["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_creation_that_was_interrupted_is_completed_once_by_its_ref() {
    let mut cluster = Cluster::embedded().await;
    let emcee = cluster.emcee().persistent();
    let mut when = dice(seed("cut off creation"), 0);
    for number in 0..5 {
        let body = json!({"title": "Once", "ref": format!("ref-{number}"), "rounds": [support::emcee::plain_round()]});
        let first = {
            let (emcee, body) = (emcee.clone(), body.clone());
            tokio::spawn(async move { emcee.try_call(Method::POST, "/rooms", Some(&body)).await.map(|a| a.status) })
        };
        sleep(Duration::from_micros(when.random_range(0..8_000))).await;
        cluster.pods[0].crash_and_restart().await;
        let first = first.await.expect("no panic");
        let again = emcee.call(Method::POST, "/rooms", Some(&body)).await;
        assert!([201, 409].contains(&again.status), "first {first:?}, then {} {}", again.status, again.text);
    }
    let rooms = emcee.get("/rooms").await;
    let once = support::reference::array(&rooms, "rooms").iter().filter(|room| room["title"] == "Once").count();
    assert_eq!(once, 5, "one room for each ref: {rooms}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_while_everything_is_down_closes_the_round_at_that_deadline() {
    let (mut alone, mut three) = (Cluster::embedded().await, Cluster::redis(3).await);
    // both at once: the waiting is the longest part of it
    tokio::join!(sleep_through_a_deadline(&mut alone), sleep_through_a_deadline(&mut three));
}

async fn sleep_through_a_deadline(cluster: &mut Cluster) {
    let emcee = cluster.emcee().persistent();
    let room = two_rounds(&emcee).await;
    let mut voter = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(2, 2)).await;
    let opened = emcee.post(&format!("/rooms/{room}/rounds/1/open"), json!({"seconds": 5})).await;
    let deadline = round(&opened, 1)["closes_at"].as_i64().expect("a timed round has a deadline");
    assert_eq!(voter.cast(1, 1, "aab").await, Verdict::Stored);
    for pod in &mut cluster.pods {
        pod.kill9().await;
    }
    if let Some(redis) = &mut cluster.redis {
        redis.kill9().await;
    }
    let left = u64::try_from(deadline - wall_ms()).expect("the crash came before the deadline");
    sleep(Duration::from_millis(left + 500)).await;
    if let Some(redis) = &mut cluster.redis {
        redis.launch().await;
    }
    for pod in &mut cluster.pods {
        pod.launch();
    }
    cluster.ready().await;
    // nobody closes it: the round closes by itself, and every socket is told
    voter.wait_until("the close", |voter| voter.is_over(1, 1)).await;
    assert_eq!(voter.cast(1, 1, "b").await, Verdict::Refused("closed".into()));
    let export = emcee.export(&room).await;
    assert_eq!(record(&export, (1, 1))["closed_at"], deadline, "{}", record(&export, (1, 1)));
    assert_eq!(record(&export, (1, 1))["votes"], json!([2, 1]));
    assert_eq!(round(&emcee.room(&room).await, 1)["winner"], "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_sends_bye_to_every_socket_and_exits_0() {
    let mut cluster = Cluster::embedded().await;
    let emcee = cluster.emcee().persistent();
    let room = two_rounds(&emcee).await;
    let mut sockets =
        vec![Socket::stage(cluster.addresses()[0], &room).await, Socket::emcee(cluster.addresses()[0], &room).await];
    for number in 0..20 {
        let voter = Voter::join(&emcee.http, &cluster.addresses(), &room, &format!("V{number}"), dice(3, number)).await;
        sockets.push(Socket::hello(cluster.addresses()[0], &room, "voter", Some(&voter.token)).await.0);
    }
    cluster.pods[0].signal("INT");
    for mut socket in sockets {
        let (close_code, before) = socket.closed_within(Duration::from_secs(30)).await;
        let bye = before.iter().find(|(name, _)| name == "bye").map(|(_, body)| &body["reason"]);
        assert_eq!((close_code, bye), (Some(1012), Some(&json!("draining"))), "{before:?}");
    }
    let status = cluster.pods[0].exit().await;
    assert_eq!(status.code(), Some(0), "{}", cluster.pods[0].log());
    cluster.pods[0].launch();
    cluster.ready().await;
    assert_eq!(code(&emcee.room(&room).await), room);
}

async fn two_rounds(emcee: &Emcee) -> String {
    let pair = json!([{"label": "A"}, {"label": "B"}]);
    let rounds = json!([{"title": "One", "choices": pair}, {"title": "Two", "choices": pair, "split": "held"}]);
    emcee.create(json!({"title": "Two rounds", "rounds": rounds})).await
}

/// Casts one letter if a round is open, and gives the acknowledged ballot.
async fn vote_in_the_open_round(voter: &mut Voter, room: &Value) -> Option<(TakeId, String)> {
    let open = room["rounds"].as_array()?.iter().find(|round| round["phase"] == "open")?;
    let take_id = (support::reference::number(open, "round"), support::reference::number(open, "take"));
    assert_eq!(voter.cast(take_id.0, take_id.1, "a").await, Verdict::Stored);
    Some((take_id, voter.told(take_id.0, take_id.1).votes.clone()))
}

/// A room without counts, which change without commands, and without their versions.
fn without_tallies(room: &Value) -> Value {
    let mut room = room.clone();
    for round in room["rounds"].as_array_mut().into_iter().flatten() {
        let closed = round["phase"] == "closed";
        let Some(fields) = round.as_object_mut() else { continue };
        match fields.get_mut("tally").and_then(Value::as_object_mut) {
            Some(tally) if closed => drop(tally.remove("version")),
            _ => drop(fields.remove("tally")),
        }
    }
    room
}
