//! Commands that are interrupted because Redis dies, and that nobody repeats. Within five
//! seconds of its return what is shown and what is taken must agree, on every process.
//!
//! Each command is cut at four places: before the record is written, after that and before the emcee
//! is answered, before the gates follow the record, and after that. Cut between record and gates, a
//! round was once shown as open while every vote was refused, until somebody gave another command.

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use support::cutting_proxy::{Cut, CuttingProxy, Side};
use support::emcee::{Emcee, round};
use support::http::Http;
use support::redis::Redis;
use support::server::Server;
use support::voter::Voter;
use support::{dice, wall_ms};
use tokio::time::{Instant, sleep, timeout};

/// What a command writes to the room record, and to no other place.
const RECORD: &[&str] = &["\"command_seq\":"];
/// The word in what a command writes to the gates: their desired state.
const GATES: &[&str] = &["\r\nnever\r\n", "\r\nafter\r\n", "\r\nat\r\n", "\r\nclosed\r\n"];
/// Until what is shown and what is taken agree, from the moment that Redis is back.
const AGREE_WITHIN: Duration = Duration::from_secs(5);

/// Every command that opens or shuts the gates, in an order in which each fits.
fn commands() -> Vec<(&'static str, Value)> {
    let far = wall_ms() + 3_600_000;
    vec![
        ("rounds/1/open", json!({})),
        ("rounds/1/deadline", json!({"closes_at": far})),
        ("rounds/1/close", json!({})),
        ("rounds/1/take", json!({"take": 2})),
        ("rounds/1/open", json!({"take": 2, "seconds": 3_600})),
        ("rounds/1/take", json!({"take": 3})),
        ("rounds/2/open", json!({})),
        ("rounds/2/deadline", json!({"closes_at": 1})),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_cut_off_before_its_record_leaves_board_and_gates_in_agreement() {
    cut_off_every_command(Cut { words: RECORD, side: Side::Before }, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_cut_off_after_its_record_leaves_board_and_gates_in_agreement() {
    cut_off_every_command(Cut { words: RECORD, side: Side::After }, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_cut_off_before_its_gates_leaves_board_and_gates_in_agreement() {
    cut_off_every_command(Cut { words: GATES, side: Side::Before }, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_cut_off_after_its_gates_leaves_board_and_gates_in_agreement() {
    cut_off_every_command(Cut { words: GATES, side: Side::After }, 2).await;
}

/// Says each command once, kills Redis at the cut, and waits until the processes agree. Only then is
/// the command said again, to go on from where it leads.
async fn cut_off_every_command(cut: Cut, partitions: u16) {
    let mut redis = Redis::start().await;
    let proxy = CuttingProxy::to(SocketAddr::from(([127, 0, 0, 1], redis.port))).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port);
    let mut pods = vec![
        Server::start(&[("TALLYCAST__LEDGER__URL", &url)]).await,
        Server::start(&[("TALLYCAST__LEDGER__URL", &url)]).await,
    ];
    let addresses: Vec<SocketAddr> = pods.iter().map(Server::address).collect();
    let emcee = Emcee::new(addresses.clone()).persistent();
    let pair = json!([{"label": "A"}, {"label": "B"}]);
    let rounds = vec![json!({"title": "A or B", "choices": pair}); 2];
    let room = emcee
        .create(json!({"title": "Cut off", "votes_per_round": 100, "partitions": partitions, "rounds": rounds}))
        .await;
    // one voter on each process, so that the room is active there
    let mut voters = vec![];
    for (number, address) in (0..).zip(&addresses) {
        let mut voter = Voter::join(&emcee.http, &[*address], &room, &format!("Voter {number}"), dice(number, 0)).await;
        voter.come_back().await;
        voters.push(voter);
    }
    for (path, body) in commands() {
        let what = format!("{path} {body}, {cut:?}");
        let path = format!("/rooms/{room}/{path}");
        proxy.arm(cut);
        let said = {
            let (emcee, path, body) = (emcee.clone(), path.clone(), body.clone());
            tokio::spawn(async move { emcee.try_call(Method::POST, &path, Some(&body)).await.map(|a| a.status) })
        };
        let is_cut = timeout(Duration::from_secs(5), proxy.cut()).await.is_ok();
        // a void of a closed round is the one command here that leaves the gates as they are
        assert!(is_cut || (cut.words == GATES && body == json!({"take": 2})), "{what}: it was never cut");
        redis.kill9().await;
        redis.launch().await;
        proxy.mend();
        let back = Instant::now();
        let stored = stored_seq(&redis).await;
        wait_until_agreed(&emcee, &addresses, &room, &voters, (back, stored), &what).await;
        let first = said.await.expect("no panic");
        eprintln!("{what}: answered {first:?}, agreed after {:?}", back.elapsed());
        proxy.disarm();
        for pod in &mut pods {
            pod.ready().await;
        }
        let again = emcee.call(Method::POST, &path, Some(&body)).await;
        // the deadline that lies in the past has closed its round meanwhile
        let is_over = again.status == 409 && again.body["code"] == "not_open" && body == json!({"closes_at": 1});
        assert!(again.status == 200 || is_over, "{what}, said again: {} {}", again.status, again.text);
    }
    assert_eq!(emcee.audit(&room).await["ok"], true);
}

/// `seq` of the one room record that Redis has: a process that shows an older one has not looked yet.
async fn stored_seq(redis: &Redis) -> u64 {
    let keys = redis.command("KEYS tc:*:record").await;
    let key = keys.lines().find(|line| line.starts_with("tc:")).expect("one room");
    let seq = redis.command(&format!("HGET {key} seq")).await;
    seq.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number")
}

/// Waits until every process shows the stored record or a newer one, all of them the same, and a vote
/// is taken exactly where a round is shown as open.
async fn wait_until_agreed(
    emcee: &Emcee,
    pods: &[SocketAddr],
    room: &str,
    voters: &[Voter],
    (back, stored): (Instant, u64),
    what: &str,
) {
    loop {
        let seen = look(emcee, pods, room, voters, stored).await;
        if let Ok(()) = seen {
            return;
        }
        assert!(back.elapsed() < AGREE_WITHIN, "{what}: {}", seen.unwrap_err());
        sleep(Duration::from_millis(50)).await;
    }
}

async fn look(emcee: &Emcee, pods: &[SocketAddr], room: &str, voters: &[Voter], stored: u64) -> Result<(), String> {
    let mut shown = vec![];
    for pod in 0..pods.len() {
        // as voters see it: what the emcee reads comes from the ledger each time
        let answer = emcee.at(pod).public(Method::GET, &format!("/rooms/{room}"), None).await;
        if answer.status != 200 {
            return Err(format!("process {pod} answers {}", answer.status));
        }
        if answer.body["seq"].as_u64() < Some(stored) {
            return Err(format!("process {pod} shows {}, stored is {stored}", answer.body["seq"]));
        }
        shown.push(answer.body);
    }
    for number in 1..=2 {
        let rounds: Vec<&Value> = shown.iter().map(|room| round(room, number)).collect();
        let (take, phase) = (rounds[0]["take"].as_u64().unwrap_or(0), rounds[0]["phase"].clone());
        if rounds.iter().any(|round| round["take"] != take || round["phase"] != phase) {
            return Err(format!("round {number} is shown as {rounds:?}"));
        }
        for voter in voters {
            let taken = cast_next(&emcee.http, voter, number, take).await?;
            if (phase == "open") != taken {
                return Err(format!("round {number} take {take} is shown as {phase}, a vote was taken: {taken}"));
            }
        }
    }
    Ok(())
}

/// Casts one letter behind those that are stored. Returns whether it was stored.
async fn cast_next(http: &Http, voter: &Voter, round: u32, take: u64) -> Result<bool, String> {
    let me = voter.http(http, Method::GET, "/me", None).await;
    let ballots = me.body["ballots"].as_array().ok_or("the voter is not known")?.clone();
    let own = ballots.iter().find(|ballot| ballot["round"] == round && ballot["take"] == take);
    let slip = own.and_then(|ballot| ballot["votes"].as_str()).map_or(0, str::len) + 1;
    let cast = json!({"round": round, "take": take, "slip": slip, "votes": "a"});
    let answer = voter.http(http, Method::POST, "/votes", Some(&cast)).await;
    match (answer.status, answer.body["refused"].as_str()) {
        (200, None) => Ok(true),
        (200, Some("closed" | "stale_take")) => Ok(false),
        other => Err(format!("no definite answer: {other:?}")),
    }
}
