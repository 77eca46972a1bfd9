//! What may not be seen never leaves the server: every frame to voter and stage sockets is recorded
//! as it came and searched, and so is the public view over HTTP. Each test ends by showing the data
//! on the same sockets, which proves that the search would have found it.

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use support::cluster::Cluster;
use support::delaying_proxy::DelayingProxy;
use support::emcee::{Emcee, round};
use support::http::Http;
use support::redis::Redis;
use support::socket::Socket;
use support::voter::{Verdict, Voter};
use support::{dice, wall_ms};
use tokio::time::sleep;

/// Public listeners: on every process a stage and a voter who does not vote.
struct Listeners {
    sockets: Vec<Socket>,
    room: String,
    cluster: Vec<std::net::SocketAddr>,
    http: Http,
}

impl Listeners {
    async fn open(cluster: &Cluster, room: &str) -> Listeners {
        let http = Http::new();
        let mut sockets = Vec::new();
        for (number, pod) in cluster.addresses().into_iter().enumerate() {
            sockets.push(Socket::stage(pod, room).await);
            let name = format!("Listener {number}");
            let voter = Voter::join(&http, &cluster.addresses(), room, &name, dice(20, number as u64)).await;
            let mut socket = Socket::open(pod, &name).await.expect("a voter may connect");
            socket.record();
            socket.say_hello(room, "voter", Some(&voter.token)).await;
            socket.expect("state").await;
            sockets.push(socket);
        }
        Listeners { sockets, room: room.to_owned(), cluster: cluster.addresses(), http }
    }

    /// Waits until every listener has received this.
    async fn hear(&mut self, what: &str, mut wanted: impl FnMut(&str, &Value) -> bool) {
        for socket in &mut self.sockets {
            socket.wait_for(what, &mut wanted).await;
        }
    }

    /// Waits until every listener was sent `total` votes in a round.
    async fn hear_total(&mut self, number: u32, total: u64) {
        let what = format!("{total} votes in round {number}");
        self.hear(&what, |name, body| counts(name, body, number).is_some_and(|tally| tally["total"] == total)).await;
    }

    /// All that leaves the server for people without rights: the frames so far, the public view of
    /// the room from every process, and the first frames of a stage that connects now.
    async fn everything(&mut self) -> Vec<String> {
        let mut texts: Vec<String> = self.sockets.iter().flat_map(|socket| socket.recorded.clone()).collect();
        for pod in &self.cluster {
            let answer = self.http.get(&format!("http://{pod}/api/v1/rooms/{}", self.room)).await.expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text);
            texts.push(answer.text);
            let mut late = Socket::stage(*pod, &self.room).await;
            late.sync().await;
            texts.extend(late.recorded);
        }
        texts
    }

    async fn assert_never(&mut self, secret: &str, when: &str) {
        for text in self.everything().await {
            assert!(!text.contains(secret), "{secret:?} left the server {when}: {text}");
        }
    }

    /// No text so far tells how the votes of a round split, nor who won it.
    async fn assert_no_split(&mut self, number: u32, when: &str) {
        for text in self.everything().await {
            for tally in all_counts(&text, number) {
                assert!(tally.get("votes").is_none(), "a split left the server {when}: {text}");
            }
            assert!(!tells_winner(&text, number), "a winner left the server {when}: {text}");
        }
    }

    async fn assert_all_told(&mut self, number: u32, votes: Value) {
        self.hear(&format!("{votes} in round {number}"), |name, body| {
            counts(name, body, number).is_some_and(|tally| tally["votes"] == votes)
        })
        .await;
    }
}

/// The counts of a round in a message, wherever the message carries them.
fn counts<'a>(name: &str, body: &'a Value, number: u32) -> Option<&'a Value> {
    match name {
        "tally" => Some(body).filter(|body| body["round"] == number),
        "state" => Some(&round(&body["room"], number)["tally"]).filter(|tally| tally.is_object()),
        _ => None,
    }
}

/// The counts of a round in a frame or in a public room.
fn all_counts(text: &str, number: u32) -> Vec<Value> {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let message = value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.iter().next());
    match message {
        Some((name, body)) => counts(name, body, number).into_iter().cloned().collect(),
        None => Some(round(&value, number)["tally"].clone()).into_iter().filter(Value::is_object).collect(),
    }
}

fn tells_winner(text: &str, number: u32) -> bool {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let room = if value["state"].is_object() { &value["state"]["room"] } else { &value };
    let rounds = room["rounds"].as_array();
    rounds.is_some_and(|rounds| rounds.iter().any(|r| r["round"] == number && r.get("winner").is_some()))
}

async fn clusters() -> [Cluster; 2] {
    [Cluster::embedded().await, Cluster::redis(2).await]
}

async fn one_round(emcee: &Emcee, extra: Value) -> String {
    let mut round = support::emcee::plain_round();
    for (key, value) in extra.as_object().expect("fields") {
        round[key] = value.clone();
    }
    emcee.create(json!({"title": "Secrets", "rounds": [round]})).await
}

async fn crowd(emcee: &Emcee, cluster: &Cluster, room: &str, count: usize) -> Vec<Voter> {
    let mut voters = Vec::new();
    for number in 0..count {
        let name = format!("Caster {number}");
        voters.push(Voter::join(&emcee.http, &cluster.addresses(), room, &name, dice(21, number as u64)).await);
    }
    voters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_split_of_a_hidden_round_is_sent_at_its_close_and_no_sooner() {
    for cluster in clusters().await {
        let emcee = cluster.emcee();
        let room = one_round(&emcee, json!({"split": "hidden"})).await;
        let mut desk = Socket::emcee(cluster.addresses()[0], &room).await;
        let mut listeners = Listeners::open(&cluster, &room).await;
        emcee.open(&room, 1).await;
        for voter in &mut crowd(&emcee, &cluster, &room, 3).await {
            assert_eq!(voter.cast(1, 1, "aaab").await, Verdict::Stored);
        }
        listeners.hear_total(1, 12).await;
        desk.wait_for("the split, for the emcee", |name, body| {
            counts(name, body, 1).is_some_and(|tally| tally["votes"] == json!([9, 3]))
        })
        .await;
        listeners.assert_no_split(1, "while the round was open").await;
        emcee.close(&room, 1).await;
        listeners.assert_all_told(1, json!([9, 3])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_of_a_held_round_is_sent_when_the_emcee_shows_it_and_no_sooner() {
    for cluster in clusters().await {
        let emcee = cluster.emcee();
        let room = one_round(&emcee, json!({"split": "held"})).await;
        let mut listeners = Listeners::open(&cluster, &room).await;
        emcee.open(&room, 1).await;
        for voter in &mut crowd(&emcee, &cluster, &room, 3).await {
            assert_eq!(voter.cast(1, 1, "aaab").await, Verdict::Stored);
        }
        listeners.hear_total(1, 12).await;
        emcee.close(&room, 1).await;
        emcee.decide(&room, 1, json!("b")).await;
        listeners.hear("the close", |name, body| name == "state" && round(&body["room"], 1)["phase"] == "closed").await;
        listeners.assert_no_split(1, "before the emcee showed it").await;
        emcee.show(&room, 1).await;
        listeners.assert_all_told(1, json!([9, 3])).await;
        let shown = listeners.everything().await;
        assert!(shown.iter().any(|text| tells_winner(text, 1)), "the search finds a winner once it is shown");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blackout_hides_the_split_until_the_close_even_if_the_round_is_extended() {
    for cluster in clusters().await {
        let emcee = cluster.emcee();
        let room = one_round(&emcee, json!({"seconds": 6, "blackout_seconds": 4})).await;
        let mut listeners = Listeners::open(&cluster, &room).await;
        let mut voters = crowd(&emcee, &cluster, &room, 2).await;
        for voter in &mut voters {
            voter.come_back().await;
        }
        let opened = emcee.open(&room, 1).await;
        let closes_at = round(&opened, 1)["closes_at"].as_i64().expect("a deadline");
        assert_eq!(voters[0].cast(1, 1, "aaaaa").await, Verdict::Stored);
        listeners.assert_all_told(1, json!([5, 0])).await;
        let heard_in_the_light: Vec<usize> = listeners.sockets.iter().map(|socket| socket.recorded.len()).collect();

        // 100 ms into the dark; what is cast now must not be seen split before the close
        let dark_in = closes_at - 4_000 + 100 - wall_ms();
        sleep(Duration::from_millis(u64::try_from(dark_in).unwrap_or(0))).await;
        assert_eq!(voters[1].cast(1, 1, "bbbbb").await, Verdict::Stored);
        listeners.hear_total(1, 10).await;
        let path = format!("/rooms/{room}/rounds/1/deadline");
        emcee.post(&path, json!({"closes_at": wall_ms() + 60_000})).await;
        listeners
            .hear("the new deadline", |name, body| {
                name == "state" && round(&body["room"], 1)["closes_at"].as_i64() > Some(closes_at)
            })
            .await;
        assert_eq!(voters[1].cast(1, 1, "bb").await, Verdict::Stored);
        listeners.hear_total(1, 12).await;
        for (socket, light) in listeners.sockets.iter_mut().zip(heard_in_the_light) {
            // what was sent before the blackout may be known; only what follows is searched
            socket.recorded.drain(..light);
            let dark = |text: &String| {
                all_counts(text, 1).iter().all(|tally| tally["votes"] == Value::Null || tally["votes"][1] == 0)
            };
            let leak = socket.recorded.iter().find(|text| !dark(text));
            assert!(leak.is_none(), "a vote cast in the dark was seen split: {leak:?}");
            let after =
                socket.recorded.iter().position(|text| all_counts(text, 1).iter().any(|tally| tally["total"] == 10));
            socket.recorded.drain(..after.expect("heard above"));
        }
        listeners.assert_no_split(1, "in the dark").await;
        emcee.close(&room, 1).await;
        listeners.assert_all_told(1, json!([5, 7])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blackout_stays_dark_with_a_slow_ledger_and_on_a_process_that_starts_during_it() {
    const BLACKOUT_MS: i64 = 35_000;
    let redis = Redis::start().await;
    let proxy = DelayingProxy::to(redis.port).await;
    let behind = format!("redis://127.0.0.1:{}", proxy.port);
    let mut cluster = Cluster::over(redis, &[vec![], vec![("TALLYCAST__LEDGER__URL", behind.as_str())]]).await;
    let emcee = Emcee::new(cluster.addresses()[..1].to_vec());
    let room = one_round(&emcee, json!({"seconds": 40, "blackout_seconds": BLACKOUT_MS / 1_000})).await;
    let mut listeners = Listeners::open(&cluster, &room).await;
    let mut voter = Voter::join(&emcee.http, &cluster.addresses()[1..], &room, "Ann", dice(25, 0)).await;
    let opened = emcee.open(&room, 1).await;
    let dark_at = round(&opened, 1)["closes_at"].as_i64().expect("a deadline") - BLACKOUT_MS;
    assert_eq!(voter.cast(1, 1, "aa").await, Verdict::Stored);
    listeners.assert_all_told(1, json!([2, 0])).await;

    // the first vote is stored before the blackout, and its delayed answer arrives in the blackout
    sleep(Duration::from_millis(u64::try_from(dark_at - 600 - wall_ms()).unwrap_or(0))).await;
    proxy.delay_answers(Duration::from_millis(900));
    let casting = tokio::spawn(async move {
        for _ in 0..6 {
            assert_eq!(voter.cast(1, 1, "b").await, Verdict::Stored);
        }
    });
    listeners.hear("the dark", |name, body| name == "state" && round(&body["room"], 1)["dark"] == true).await;
    for socket in &mut listeners.sockets {
        socket.recorded.clear();
    }
    while !casting.is_finished() {
        listeners.assert_no_split(1, "in the dark, while the ledger answers late").await;
    }
    casting.await.expect("every vote is stored");
    listeners.hear_total(1, 8).await;
    listeners.assert_no_split(1, "in the dark, while the ledger answers late").await;

    proxy.delay_answers(Duration::ZERO);
    cluster.pods[1].crash_and_restart().await;
    let mut listeners = Listeners::open(&cluster, &room).await;
    listeners.assert_no_split(1, "in the dark, where a process has just started").await;
    emcee.close(&room, 1).await;
    listeners.assert_all_told(1, json!([2, 6])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rounds_of_a_secret_programme_are_sent_when_they_open_and_no_sooner() {
    for cluster in clusters().await {
        let emcee = cluster.emcee();
        let round_of = |n: u32| {
            let choices = json!([{"label": format!("SECRET-LABEL-{n}-A")}, {"label": format!("SECRET-LABEL-{n}-B")}]);
            json!({"title": format!("SECRET-TITLE-{n}"), "choices": choices})
        };
        let rounds: Vec<Value> = (1..=3).map(round_of).collect();
        let room = emcee.create(json!({"title": "A surprise", "programme": "secret", "rounds": rounds})).await;
        let mut listeners = Listeners::open(&cluster, &room).await;
        listeners.assert_never("SECRET-", "before the first round").await;
        assert_eq!(round(&emcee.room(&room).await, 2)["title"], "SECRET-TITLE-2", "the emcee sees everything");
        for number in 1..=2 {
            emcee.open(&room, number).await;
            let title = format!("SECRET-TITLE-{number}");
            listeners
                .hear(&title, |name, body| name == "state" && round(&body["room"], number)["title"] == title.as_str())
                .await;
            listeners.assert_never(&format!("SECRET-TITLE-{}", number + 1), "before its round opened").await;
            listeners.assert_never(&format!("SECRET-LABEL-{}", number + 1), "before its round opened").await;
            emcee.close(&room, number).await;
        }
        // a change to a round that is still secret stays secret too
        let mut changed: Vec<Value> = (1..=3).map(round_of).collect();
        changed[2]["title"] = json!("SECRET-CHANGE");
        emcee.patch(&format!("/rooms/{room}"), json!({"rounds": changed, "title": "Another surprise"})).await;
        listeners
            .hear("the new title", |name, body| name == "state" && body["room"]["title"] == "Another surprise")
            .await;
        listeners.assert_never("SECRET-CHANGE", "before its round opened").await;
        listeners.assert_never("SECRET-TITLE-3", "before its round opened").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_ranking_is_sent_before_it_is_revealed() {
    for cluster in clusters().await {
        let emcee = cluster.emcee();
        let room = one_round(&emcee, json!({})).await;
        let mut listeners = Listeners::open(&cluster, &room).await;
        // ten voters, place n with 11 - n votes on the winner; their names are the marks to search for
        let mut voters = Vec::new();
        for place in 1..=10u64 {
            let name = format!("MARK-{place:02}");
            voters.push(Voter::join(&emcee.http, &cluster.addresses(), &room, &name, dice(22, place)).await);
        }
        emcee.open(&room, 1).await;
        for (voter, place) in voters.iter_mut().zip(1..) {
            let verdict = voter.cast(1, 1, &"a".repeat(11 - place)).await;
            assert_eq!(verdict, Verdict::Stored, "{}", voter.name);
        }
        emcee.close(&room, 1).await;
        listeners.assert_never("MARK-", "before the reveal").await;
        let mut own = Socket::open(cluster.addresses()[0], "place 3").await.expect("a voter may connect");
        own.record();
        own.say_hello(&room, "voter", Some(&voters[2].token)).await;

        for shown in [11, 8, 5, 4, 3, 2, 1] {
            emcee.reveal(&room, json!({"place": shown, "top": 10})).await;
            listeners.hear("the reveal", |name, body| name == "reveal" && body["place"] == shown).await;
            own.wait_for("the reveal", |name, body| name == "reveal" && body["place"] == shown).await;
            let public = listeners.everything().await;
            for hidden in 1..shown {
                let mark = format!("MARK-{hidden:02}");
                let leak = public.iter().find(|text| text.contains(&mark));
                assert!(leak.is_none(), "{mark} left the server while place {shown} was shown: {leak:?}");
                let leak = own.recorded.iter().find(|text| hidden != 3 && text.contains(&mark));
                assert!(leak.is_none(), "{mark} told to another voter while place {shown} was shown: {leak:?}");
            }
            let me = voters[2].http(&emcee.http, Method::GET, "/me", None).await.expect(200, "GET /me");
            assert_eq!(me["standing"].is_null(), shown > 3, "place 3 over HTTP while {shown} is shown: {me}");
            // the ping's answer comes after whatever this step told the voter
            own.sync().await;
            let standing = own.recorded.iter().any(|text| text.starts_with("{\"standing\""));
            assert_eq!(standing, shown <= 3, "place 3 by socket while {shown} is shown");
        }
        for place in 1..=10 {
            let mark = format!("MARK-{place:02}");
            let found = listeners.sockets.iter().all(|socket| socket.recorded.iter().any(|text| text.contains(&mark)));
            assert!(found, "{mark} was shown to all in the end");
        }
        for private in ["\"preview\"", "\"desk\"", "\"time_ms\""] {
            listeners.assert_never(private, "to somebody who is no emcee").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ranking_that_was_taken_away_is_not_sent_to_later_sockets() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = one_round(&emcee, json!({})).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "MARK-ANN", dice(23, 1)).await;
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    emcee.reveal(&room, json!({"place": 1})).await;
    emcee.reveal(&room, json!({"place": null})).await;
    let mut listeners = Listeners::open(&cluster, &room).await;
    listeners.assert_never("MARK-ANN", "after the ranking was taken away").await;
    let me = ann.http(&emcee.http, Method::GET, "/me", None).await.expect(200, "GET /me");
    assert!(me["standing"].is_null(), "a place in a ranking that was taken away: {me}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emcee_data_is_refused_to_everybody_else() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = one_round(&emcee, json!({"split": "hidden"})).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "MARK-ANN", dice(24, 1)).await;
    for path in [
        "/voters",
        "/ranking",
        "/export?format=json",
        "/export?format=csv",
        "/export?format=ndjson",
        "/export?format=event",
        "/audit",
    ] {
        let path_of_room = format!("/rooms/{room}{path}");
        let nobody = emcee.public(Method::GET, &path_of_room, None).await;
        let voter = ann.http(&emcee.http, Method::GET, path, None).await;
        for (who, answer) in [("nobody", nobody), ("a voter", voter)] {
            assert!([401, 403].contains(&answer.status), "{path} to {who}: {} {}", answer.status, answer.text);
            assert!(!answer.text.contains("MARK-ANN"), "{path} to {who}: {}", answer.text);
        }
    }
    let rooms = emcee.public(Method::GET, "/rooms", None).await;
    assert!([401, 403].contains(&rooms.status) && !rooms.text.contains(&room), "the list of rooms: {}", rooms.text);
}
