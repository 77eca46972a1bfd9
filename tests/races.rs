//! Races that the ledger has to decide: casts against a close, many copies of one slip, one command
//! from several devices at once.

mod support;

use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::cluster::Cluster;
use support::emcee::{Emcee, code, lasting, round};
use support::http::{Answer, Http};
use support::reference::{array, exported_ballots, record};
use support::socket::{Heard, PATIENCE, Socket};
use support::voter::{Voter, card, join};
use support::{dice, prove_factor, seed};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Voters in one race: half by socket, half by HTTP.
const RACERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_first_sent_after_a_close_is_counted_on_three_processes() {
    close_races(Cluster::redis(3).await, 400 * prove_factor(), seed("close races, redis")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_first_sent_after_a_close_is_counted_on_the_embedded_ledger() {
    close_races(Cluster::embedded().await, 100 * prove_factor(), seed("close races, embedded")).await;
}

/// In each race voters cast as fast as answers come while the emcee closes. Fails if a gate lets a
/// vote in after the close was answered, if the published result misses an acknowledged vote or
/// changes later, or if a refused vote is counted all the same.
async fn close_races(cluster: Cluster, races: usize, seed: u64) {
    let emcee = cluster.emcee();
    let mut when = dice(seed, 0);
    let mut done = 0;
    let mut acknowledged_in_all = 0;
    while done < races {
        let rounds = (races - done).min(100);
        let pair = json!([{"label": "A"}, {"label": "B"}]);
        let programme = vec![json!({"title": "Race", "choices": pair}); rounds];
        let body = json!({"title": "Races", "votes_per_round": 100, "rounds": programme});
        let room = emcee.create(body).await;
        let mut racers = Vec::new();
        for number in 0..RACERS {
            let rng = dice(seed, 1 + number as u64);
            let mut voter = Voter::join(&emcee.http, &cluster.addresses(), &room, &format!("V{number}"), rng).await;
            let pod = cluster.addresses()[number % cluster.pods.len()];
            if number % 2 == 0 {
                assert!(voter.try_connect_to(pod).await, "connected");
            }
            racers.push(voter);
        }
        for number in 1..=rounds as u32 {
            let what = format!("race {done} (round {number}), seed {seed}");
            emcee.open(&room, number).await;
            let closed = Arc::new(AtomicBool::new(false));
            let running: Vec<JoinHandle<Racer>> = racers
                .drain(..)
                .map(|voter| tokio::spawn(race(voter, emcee.http.clone(), number, closed.clone())))
                .collect();
            sleep(Duration::from_micros(when.random_range(0..15_000))).await;
            let answer = emcee.close(&room, number).await;
            closed.store(true, Ordering::SeqCst);
            let mut told = BTreeMap::new();
            for racer in running {
                let racer = racer.await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(racer.late_refusals > 0, "{what}: {} cast after the close", racer.voter.name);
                if !racer.acknowledged.is_empty() {
                    told.insert(racer.voter.id.clone(), racer.acknowledged);
                }
                racers.push(racer.voter);
            }
            let total: usize = told.values().map(String::len).sum();
            acknowledged_in_all += total;
            let published = &round(&answer, number)["tally"];
            assert_eq!(published["total"], total, "{what}: published {published}, told {told:?}");
            if number % 20 == 0 || number == rounds as u32 {
                let export = emcee.export(&room).await;
                let record = record(&export, (number, 1));
                assert_eq!(record["votes"], published["votes"], "{what}: the record and what was published");
                assert_eq!(exported_ballots(&export, (number, 1)), told, "{what}: stored (left), told (right)");
            }
            done += 1;
        }
        // all results once more, long after: a late commit would show here
        let (room_now, export) = (emcee.room(&room).await, emcee.export(&room).await);
        for number in 1..=rounds as u32 {
            let published = &round(&room_now, number)["tally"];
            let stored: usize = exported_ballots(&export, (number, 1)).values().map(String::len).sum();
            assert_eq!(published["total"], stored, "round {number} of {room}, seed {seed}");
        }
        assert_eq!(emcee.audit(&room).await["ok"], true);
    }
    assert!(acknowledged_in_all > races, "the races were races: {acknowledged_in_all} votes in {races}");
}

/// A voter after a race.
struct Racer {
    voter: Voter,
    acknowledged: String,
    late_refusals: u32,
}

/// Casts one letter after another until two casts that were first sent after the close was answered
/// have been refused.
async fn race(mut voter: Voter, http: Http, number: u32, closed: Arc<AtomicBool>) -> Racer {
    let mut acknowledged = String::new();
    let mut late_refusals = 0;
    while late_refusals < 2 {
        assert!(acknowledged.len() < 100, "the close comes before the hundredth answer");
        let late = closed.load(Ordering::SeqCst);
        let slip = acknowledged.len() + 1;
        let letter = if slip.is_multiple_of(3) { "b" } else { "a" };
        let answer = if voter.socket.is_some() {
            voter.begin(number, 1, letter);
            let answer = voter.send_cast(number, 1, slip, letter).await.expect("the socket stays");
            voter.told(number, 1).unknown = None;
            answer
        } else {
            let cast = json!({"round": number, "take": 1, "slip": slip, "votes": letter});
            voter.http(&http, Method::POST, "/votes", Some(&cast)).await.expect(200, "a cast by HTTP")
        };
        match answer["refused"].as_str() {
            None => {
                acknowledged.push_str(letter);
                assert!(!late, "{}: counted although first sent after the close was answered: {answer}", voter.name);
            }
            Some("closed") => late_refusals += u32::from(late),
            Some(other) => panic!("{}: refused as {other}: {answer}", voter.name),
        }
        assert_eq!(answer["votes"], acknowledged, "{}: {answer}", voter.name);
        if acknowledged.len() > 90 {
            // fast machine: leave the last letters for after the close
            sleep(Duration::from_millis(5)).await;
        }
    }
    Racer { voter, acknowledged, late_refusals }
}

/// How the copies of a slip reach the server.
const SOCKETS_PER_POD: usize = 4;
const COPIES_PER_SOCKET: usize = 50;
const COPIES_BY_HTTP: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_copies_of_one_slip_at_once_over_three_processes_are_counted_once() {
    let cluster = Cluster::redis(3).await;
    for letters in [&["a"][..], &["a", "b"][..], &["abab"][..]] {
        thousand_copies(&cluster, letters).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_copies_of_one_slip_at_once_on_the_embedded_ledger_are_counted_once() {
    let cluster = Cluster::embedded().await;
    for letters in [&["a"][..], &["a", "b"][..]] {
        thousand_copies(&cluster, letters).await;
    }
}

/// Sends copies of slip 1 from everywhere at once, several frames in one write. With more than one
/// version of the cast the copies contradict each other: then one version is stored, and everybody
/// gets that one. Fails if two batches of one pod, or two pods, both append.
async fn thousand_copies(cluster: &Cluster, versions: &[&str]) {
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Copies", 1).await;
    let voter = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(7, 7)).await;
    emcee.open(&room, 1).await;
    let gate = Arc::new(Barrier::new(cluster.pods.len() * SOCKETS_PER_POD + 8 + 1));
    let casts: Vec<Value> =
        versions.iter().map(|votes| json!({"round": 1, "take": 1, "slip": 1, "votes": votes})).collect();
    let mut senders: Vec<JoinHandle<Vec<Value>>> = Vec::new();
    for number in 0..cluster.pods.len() * SOCKETS_PER_POD {
        let pod = cluster.addresses()[number % cluster.pods.len()];
        let (socket, _) = Socket::hello(pod, &room, "voter", Some(&voter.token)).await;
        let frames: Vec<String> = (0..COPIES_PER_SOCKET)
            .map(|copy| json!({"cast": casts[(number + copy) % casts.len()]}).to_string())
            .collect();
        senders.push(tokio::spawn(copies_by_socket(socket, frames, gate.clone())));
    }
    for writer in 0..8 {
        let (casts, gate, http) = (casts.clone(), gate.clone(), emcee.http.clone());
        let pod = cluster.addresses()[writer % cluster.pods.len()];
        let url = format!("http://{pod}/api/v1/rooms/{room}/votes");
        let bearer = format!("Bearer {}", voter.token);
        senders.push(tokio::spawn(async move {
            gate.wait().await;
            let mut answers = Vec::new();
            for copy in 0..COPIES_BY_HTTP / 8 {
                let cast = &casts[(writer + copy) % casts.len()];
                let answer = http.send(Method::POST, &url, &[("authorization", &bearer)], Some(cast)).await;
                answers.push(answer.expect("an answer").expect(200, "a cast by HTTP"));
            }
            answers
        }));
    }
    gate.wait().await;
    let mut answers = Vec::new();
    for sender in senders {
        answers.extend(sender.await.expect("no sender fails"));
    }
    let stored = exported_ballots(&emcee.export(&room).await, (1, 1));
    let winner = stored.get(&voter.id).cloned().unwrap_or_default();
    assert!(versions.contains(&winner.as_str()), "one version is stored, once: {stored:?}");
    for answer in &answers {
        let refused = answer["refused"].as_str();
        // a batch in trouble may say busy; everything else must tell of the stored version
        if refused != Some("busy") {
            assert_eq!(answer["votes"], winner, "{answer}");
            assert!(refused.is_none() || (refused == Some("conflict") && versions.len() > 1), "{answer}");
        }
    }
    let closed = emcee.close(&room, 1).await;
    assert_eq!(round(&closed, 1)["tally"]["total"], winner.len(), "{closed}");
    assert_eq!(round(&closed, 1)["tally"]["voters"], 1, "{closed}");
}

/// Writes all frames at once and collects the ballots that answer them.
async fn copies_by_socket(mut socket: Socket, frames: Vec<String>, gate: Arc<Barrier>) -> Vec<Value> {
    gate.wait().await;
    socket.send_together(&frames).await;
    let until = Instant::now() + PATIENCE;
    let mut answers = Vec::new();
    while answers.len() < frames.len() {
        match socket.next_before(until).await {
            Some(Heard::Frame(name, body)) if name == "ballot" => answers.push(body),
            Some(Heard::Frame(..)) => {}
            other => panic!("{} of {} casts were answered, then {other:?}", answers.len(), frames.len()),
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_slips_from_twelve_sockets_at_once_never_exceed_the_budget() {
    let cluster = Cluster::redis(3).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Budget", 1).await;
    let voter = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(8, 8)).await;
    emcee.open(&room, 1).await;
    let gate = Arc::new(Barrier::new(12));
    let mut senders = Vec::new();
    for number in 0..12 {
        let pod = cluster.addresses()[number % 3];
        let (socket, _) = Socket::hello(pod, &room, "voter", Some(&voter.token)).await;
        // every socket goes through all slips, and three beyond the budget
        let frames = (1..=13).map(|slip| json!({"cast": {"round": 1, "slip": slip, "votes": "a"}}).to_string());
        senders.push(tokio::spawn(copies_by_socket(socket, frames.collect(), gate.clone())));
    }
    for sender in senders {
        for answer in sender.await.expect("no sender fails") {
            assert!(answer["votes"].as_str().is_some_and(|votes| votes.len() <= 10), "{answer}");
        }
    }
    let closed = emcee.close(&room, 1).await;
    assert_eq!(round(&closed, 1)["tally"]["total"], 10, "{closed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_emcee_command_sent_to_three_processes_at_once_is_executed_once() {
    let cluster = Cluster::redis(3).await;
    for evening in 0..3 * prove_factor() {
        commands_in_threes(&cluster, evening).await;
    }
}

async fn commands_in_threes(cluster: &Cluster, evening: usize) {
    let emcee = cluster.emcee();
    let pair = json!([{"label": "A"}, {"label": "B"}]);
    let rounds = json!([{"title": "One", "choices": pair}, {"title": "Two", "choices": pair, "split": "held"}]);
    let body = json!({"title": format!("Threes {evening}"), "ref": format!("threes-{evening}"), "rounds": rounds});
    let created = three_at_once(&emcee, Method::POST, "/rooms", &body).await;
    let mut statuses: Vec<u16> = created.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409], "{created:?}");
    let room = created.iter().find(|answer| answer.status == 201).map(|answer| code(&answer.body)).expect("one");
    for refused in created.iter().filter(|answer| answer.status == 409) {
        assert_eq!(refused.body["code"], "ref_taken");
        // the room that has the ref, as a whole or by its code
        let named =
            if refused.body["room"].is_object() { &refused.body["room"]["room"] } else { &refused.body["room"] };
        assert_eq!(named, room.as_str(), "{}", refused.text);
    }
    let rooms = emcee.get("/rooms").await;
    let same_title = array(&rooms, "rooms").iter().filter(|one| one["title"] == body["title"]).count();
    assert_eq!(same_title, 1, "one room: {rooms}");

    let voter = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(9, 9)).await;
    let closes_at = support::wall_ms() + 600_000;
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), body);
    let commands = vec![
        post("/rounds/1/open", json!({})),
        post("/rounds/1/deadline", json!({"closes_at": closes_at})),
        post("/rounds/1/close", json!({})),
        post("/rounds/1/take", json!({"take": 2})),
        post("/rounds/1/open", json!({"take": 2})),
        post("/rounds/1/close", json!({"take": 2})),
        post("/rounds/2/open", json!({"seconds": 600})),
        // voids an open round: closed with a record, then ready
        post("/rounds/2/take", json!({"take": 2})),
        post("/rounds/2/take", json!({"take": 1})),
        post("/rounds/2/show", json!({})),
        post("/rounds/2/decide", json!({"winner": "b"})),
        (Method::PUT, "/reveal".to_owned(), json!({"place": 6, "top": 5})),
        (Method::PUT, "/reveal".to_owned(), json!({"place": 1, "top": 5})),
    ];
    for (method, path, body) in commands {
        let what = format!("{method} {path} {body}");
        let answers = three_at_once(&emcee, method.clone(), &format!("/rooms/{room}{path}"), &body).await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{what}: {}", answer.text);
            let same = still(&answer.body) == still(&answers[0].body);
            assert!(same, "{what}: one answer is {}, another {}", answer.text, answers[0].text);
        }
        if path.ends_with("open") {
            let number: u32 = path[8..9].parse().expect("a round's number");
            let take = round(&answers[0].body, number)["take"].as_u64();
            let cast = json!({"round": number, "take": take, "slip": 1, "votes": "b"});
            let ballot = voter.http(&emcee.http, Method::POST, "/votes", Some(&cast)).await.expect(200, "a cast");
            assert_eq!(ballot["refused"], Value::Null, "{what}, then {ballot}");
        }
    }
    let export = emcee.export(&room).await;
    let records: Vec<usize> = array(&export, "rounds")
        .iter()
        .map(|round| array(round, "takes").iter().filter(|take| take["record"].is_object()).count())
        .collect();
    assert_eq!(records, [2, 1], "records by round: {export}");
    let takes = array(&export, "rounds").iter().map(|round| array(round, "takes").len()).max();
    assert_eq!(takes, Some(2), "no command made a third take: {export}");
    assert_eq!(emcee.audit(&room).await["ok"], true);
}

/// What must be the same in three answers: all but the moment of reading, and counts, which reach
/// each process in their own time.
fn still(body: &Value) -> Value {
    let mut body = lasting(body);
    if let Some(fields) = body["reveal"].as_object_mut() {
        fields.remove("seq");
    }
    for round in body["rounds"].as_array_mut().into_iter().flatten() {
        if round["phase"] != "closed"
            && let Some(fields) = round.as_object_mut()
        {
            fields.remove("tally");
        }
    }
    body
}

async fn three_at_once(emcee: &Emcee, method: Method, path: &str, body: &Value) -> Vec<Answer> {
    let gate = Arc::new(Barrier::new(3));
    let said: Vec<JoinHandle<Answer>> = (0..3)
        .map(|pod| {
            let (emcee, gate) = (emcee.at(pod), gate.clone());
            let (method, path, body) = (method.clone(), path.to_owned(), body.clone());
            tokio::spawn(async move {
                gate.wait().await;
                emcee.call(method, &path, Some(&body)).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for one in said {
        answers.push(one.await.expect("no panic"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_card_joining_at_three_processes_at_once_is_one_voter() {
    let cluster = Cluster::redis(3).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Joins", 1).await;
    let http = Http::new();
    for number in 0..20 {
        let body = json!({"name": format!("Ann {number}"), "card": card(&mut dice(10, number))});
        let (a, b, c) = tokio::join!(
            join(&http, cluster.addresses()[0], &room, &body),
            join(&http, cluster.addresses()[1], &room, &body),
            join(&http, cluster.addresses()[2], &room, &body),
        );
        let mut statuses = [a.status, b.status, c.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 201], "{} {} {}", a.text, b.text, c.text);
        assert!(
            a.body["voter"] == b.body["voter"] && b.body["voter"] == c.body["voter"],
            "{} {} {}",
            a.text,
            b.text,
            c.text
        );
    }
    let voters = emcee.get(&format!("/rooms/{room}/voters")).await;
    assert_eq!(array(&voters, "voters").len(), 20, "{voters}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_requested_by_three_phones_at_once_goes_to_one_of_them() {
    let cluster = Cluster::redis(3).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Names", 1).await;
    let http = Http::new();
    let mut cards = dice(11, 0);
    for number in 0..20 {
        let bodies: Vec<Value> = ["Bea", "BEA", "bea"]
            .iter()
            .map(|name| json!({"name": format!("{name} {number}"), "card": card(&mut cards)}))
            .collect();
        let (a, b, c) = tokio::join!(
            join(&http, cluster.addresses()[0], &room, &bodies[0]),
            join(&http, cluster.addresses()[1], &room, &bodies[1]),
            join(&http, cluster.addresses()[2], &room, &bodies[2]),
        );
        let mut statuses = [a.status, b.status, c.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409], "{} {} {}", a.text, b.text, c.text);
    }
}
