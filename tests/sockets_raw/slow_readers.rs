//! Peers that read slowly, late, or never, while a room changes quickly: large states several times a second, and
//! tallies as fast as possible. All of it happens at once in one room, because the timeouts of the server take long.

use crate::raw::{CLOSE, Frame, PING, PONG, Raw, TEXT, TIMEOUT, frame, handshake, message, request};
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, plain_round};
use crate::support::metrics::{metric, metric_becomes};
use crate::support::voter::{Verdict, Voter};
use crate::support::watch::Watch;
use rand::Rng;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const LAST_TITLE: &str = "The last title";
const NEVER_READERS: usize = 200;
const VOTERS: u64 = 5;
const VOTES: u64 = 100;
/// A large state goes out this often.
const NEWS_EVERY: Duration = Duration::from_millis(200);
/// Minimum length of the test: longer than the server's timeout for peers that do not read.
const SHOW: Duration = Duration::from_secs(16);

/// Where it happens.
#[derive(Clone)]
struct Scene {
    server: SocketAddr,
    room: String,
    /// How many titles there were.
    titles: Arc<AtomicU64>,
    /// True when the last title stands and the last vote is stored.
    over: watch::Receiver<bool>,
}

/// A stage, and what it received: whole frames, none older than the one before.
struct Viewer {
    who: String,
    raw: Raw,
    watch: Watch,
    states: u64,
    title: Value,
    total: Value,
    answers_pings: bool,
}

impl Viewer {
    async fn hello(scene: &Scene, who: &str, receive_bytes: u32) -> Viewer {
        let mut raw = Raw::connect_narrow(scene.server, receive_bytes).await;
        raw.upgrade(scene.server).await;
        raw.hello(&scene.room, "stage", None).await;
        let (title, total) = (Value::Null, Value::Null);
        Viewer { who: who.to_owned(), raw, watch: Watch::new(who), states: 0, title, total, answers_pings: true }
    }

    /// Reads at most this many bytes. False at the end.
    async fn read(&mut self, most: usize) -> bool {
        if !self.raw.read_some(most).await {
            return false;
        }
        while let Some(Frame { first, payload }) = self.raw.whole_frame() {
            match first {
                TEXT => self.hear(&String::from_utf8(payload).expect("a text is UTF-8")),
                PING if self.answers_pings => self.raw.send(&frame(PONG, &payload)).await,
                PING => {}
                CLOSE => return false,
                other => panic!("{}: a frame of {other:#x}", self.who),
            }
        }
        true
    }

    fn hear(&mut self, text: &str) {
        let (name, body) = self.watch.read(text);
        match name.as_str() {
            "state" => {
                self.states += 1;
                self.title = body["room"]["title"].clone();
            }
            "tally" => self.total = body["total"].clone(),
            _ => {}
        }
    }

    /// Reads as `pace` says, a pause and then at most so many bytes, until it knows the last of everything.
    async fn read_to_the_last(mut self, scene: &Scene, mut pace: impl FnMut() -> (Duration, usize)) -> u64 {
        let mut over_since = None;
        while self.title != LAST_TITLE || self.total != VOTERS * VOTES {
            let (pause, most) = pace();
            sleep(pause).await;
            assert!(self.read(most).await, "{} was dropped although it reads", self.who);
            if *scene.over.borrow() {
                let late = over_since.get_or_insert_with(Instant::now).elapsed();
                assert!(late < TIMEOUT, "{} knows only {} and {}", self.who, self.title, self.total);
            }
        }
        self.states
    }
}

/// A new title several times a second, until the voters are done and the show is over. The longest that a vote took.
async fn show(scene: Scene, emcee: Emcee, over: watch::Sender<bool>, voters: JoinSet<Duration>) -> Duration {
    let since = Instant::now();
    let path = format!("/rooms/{}", scene.room);
    while since.elapsed() < SHOW {
        let number = scene.titles.fetch_add(1, Ordering::Relaxed) + 1;
        emcee.patch(&path, json!({"title": format!("Title {number}")})).await;
        sleep(NEWS_EVERY).await;
    }
    let slowest = voters.join_all().await.into_iter().max().expect("voters");
    emcee.patch(&path, json!({"title": LAST_TITLE})).await;
    over.send(true).expect("somebody looks on");
    slowest
}

/// Votes all through the show. The longest that an answer took.
async fn vote(mut voter: Voter) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..VOTES {
        let since = Instant::now();
        assert_eq!(voter.cast(1, 1, "a").await, Verdict::Stored);
        slowest = slowest.max(since.elapsed());
        while voter.listen(since + SHOW / VOTES as u32).await.is_some() {}
    }
    slowest
}

/// Sockets that say hello and never read a byte: when the last of them was gone, and the most memory meanwhile.
async fn never_readers(scene: &Scene, cluster: &Cluster) -> (Duration, f64) {
    let pod = &cluster.pods[0];
    let others = metric(pod, "tallycast_sockets").await;
    let before = metric(pod, "process_resident_memory_bytes").await;
    let hello = message("hello", json!({"room": scene.room, "role": "stage"}));
    let opening = [request(&handshake(scene.server)), hello].concat();
    let mut sockets = vec![];
    for _ in 0..NEVER_READERS {
        let mut raw = Raw::connect_narrow(scene.server, 2_048).await;
        raw.send(&opening).await;
        sockets.push(raw);
    }
    let since = Instant::now();
    let (mut most, mut connected) = (0_f64, 0_f64);
    loop {
        most = most.max(metric(pod, "process_resident_memory_bytes").await - before);
        let now = metric(pod, "tallycast_sockets").await - others;
        connected = connected.max(now);
        if connected == NEVER_READERS as f64 && now <= 0.0 {
            return (since.elapsed(), most);
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{now} of {connected} are still there");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Reads nothing for a while, and then everything: few frames, whole, and soon the newest.
async fn late_reader(scene: Scene) {
    let number = |title: &Value| title.as_str().and_then(|title| title.strip_prefix("Title ")?.parse::<u64>().ok());
    let mut late = Viewer::hello(&scene, "the late reader", 8_192).await;
    while number(&late.title).is_none() {
        assert!(late.read(1_024).await);
    }
    let (before, shown) = (scene.titles.load(Ordering::Relaxed), late.states);
    sleep(Duration::from_secs(6)).await;
    let missed = scene.titles.load(Ordering::Relaxed) - before;
    let due = before + missed;
    while number(&late.title) < Some(due) {
        assert!(late.read(65_536).await, "it was dropped before its time");
    }
    let came = late.states - shown;
    assert!(came < missed / 2, "{came} states for {missed} titles: they were queued");
    late.read_to_the_last(&scene, || (Duration::ZERO, 65_536)).await;
}

/// Reads in small bites with pauses, never as fast as the news come.
async fn throttled_reader(scene: Scene, number: u64) {
    let viewer = Viewer::hello(&scene, &format!("throttled reader {number}"), 4_096).await;
    let mut dice = dice(99, number);
    let pace = || (Duration::from_millis(dice.random_range(0..20)), dice.random_range(1..1_200));
    let states = viewer.read_to_the_last(&scene, pace).await;
    let titles = scene.titles.load(Ordering::Relaxed);
    assert!(states < titles, "throttled reader {number} was sent {states} states of {titles}");
}

/// Reads everything and answers no ping: when it was dropped.
async fn mute_reader(scene: Scene) -> Duration {
    let mut mute = Viewer::hello(&scene, "the mute reader", 65_536).await;
    mute.answers_pings = false;
    let since = Instant::now();
    while mute.read(65_536).await {}
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_get_whole_frames_or_are_dropped_and_delay_nobody_else() {
    let cluster = Cluster::embedded().await;
    let (server, emcee) = (cluster.addresses()[0], cluster.emcee());
    let rounds = vec![plain_round(); 100];
    let room = emcee.create(json!({"title": "Begin", "votes_per_round": VOTES, "rounds": rounds})).await;
    emcee.open(&room, 1).await;
    let (tell_over, over) = watch::channel(false);
    let scene = Scene { server, room: room.clone(), titles: Arc::default(), over };

    let mut voters = JoinSet::new();
    for number in 0..VOTERS {
        let voter = Voter::join(&emcee.http, &[server], &room, &format!("V{number}"), dice(5, number)).await;
        voters.spawn(vote(voter));
    }
    let show = tokio::spawn(show(scene.clone(), emcee, tell_over, voters));
    let mut readers = JoinSet::new();
    for number in 0..10 {
        readers.spawn(throttled_reader(scene.clone(), number));
    }
    readers.spawn(late_reader(scene.clone()));
    let mute = tokio::spawn(mute_reader(scene.clone()));
    sleep(Duration::from_secs(1)).await;

    let (gone_after, memory) = never_readers(&scene, &cluster).await;
    assert!(gone_after < Duration::from_secs(15), "those who never read were gone after {gone_after:?}");
    let each = memory / NEVER_READERS as f64 / 1_024.0;
    assert!(each <= 64.0, "each of them cost {each:.1} KiB");

    let mute = mute.await.expect("the mute reader reads whole frames");
    assert!((10.0..15.0).contains(&mute.as_secs_f64()), "a peer that answers no ping was dropped after {mute:?}");
    let slowest = show.await.expect("the voters are answered");
    assert!(slowest < Duration::from_secs(2), "a vote took {slowest:?}");
    readers.join_all().await;
    eprintln!("never-readers: gone after {gone_after:?}, {each:.1} KiB each; slowest vote: {slowest:?}");
    let dropped = metric(&cluster.pods[0], "tallycast_sockets_dropped_total").await;
    assert_eq!(dropped, NEVER_READERS as f64 + 1.0, "those who do not read, and the one that does not answer");
}

/// Once a second there is news in any case; so that none of these just waits for it, they begin to read at different
/// moments of that second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_resumes_gets_the_newest_frames_at_once() {
    let cluster = Cluster::embedded().await;
    let (server, emcee) = (cluster.addresses()[0], cluster.emcee());
    let room = emcee.create(json!({"title": "Begin", "rounds": vec![plain_round(); 100]})).await;
    let scene = Scene { server, room: room.clone(), titles: Arc::default(), over: watch::channel(false).1 };
    let mut viewers = vec![];
    for number in 0..5 {
        let mut viewer = Viewer::hello(&scene, &format!("reader {number}"), 8_192).await;
        while viewer.states == 0 {
            assert!(viewer.read(65_536).await);
        }
        viewers.push(viewer);
    }
    for title in ["One", "Two", "Three", "Four", "Five", LAST_TITLE] {
        emcee.patch(&format!("/rooms/{room}"), json!({"title": title})).await;
        sleep(NEWS_EVERY).await;
    }
    let mut waits = JoinSet::new();
    for (number, mut viewer) in viewers.into_iter().enumerate() {
        waits.spawn(async move {
            sleep(NEWS_EVERY * number as u32).await;
            let since = Instant::now();
            while viewer.title != LAST_TITLE {
                assert!(viewer.read(65_536).await);
            }
            assert!(viewer.states < 6, "{} states were queued", viewer.states);
            since.elapsed()
        });
    }
    let waits = waits.join_all().await;
    assert!(waits.iter().all(|wait| *wait < Duration::from_millis(400)), "the newest came after {waits:?}");
}

/// Its voter casts at another device meanwhile. What it has missed of that it would never be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_a_full_mailbox_is_closed_so_that_it_reconnects_to_its_whole_ballot() {
    let cluster = Cluster::embedded().await;
    let (server, emcee) = (cluster.addresses()[0], cluster.emcee());
    // a state that no kernel takes at once: its session has to wait for a peer that does not read
    let choices: Vec<Value> = (0..8).map(|n| json!({"label": format!("{n} {}", "label ".repeat(6))})).collect();
    let rounds = vec![json!({"title": "Round", "choices": choices}); 100];
    let room = emcee.create(json!({"title": "Large", "votes_per_round": 60, "rounds": rounds})).await;
    emcee.open(&room, 1).await;
    let mut voter = Voter::join(&emcee.http, &[server], &room, "Ann", dice(6, 1)).await;
    let mut stuck = Raw::connect_narrow(server, 4_096).await;
    stuck.upgrade(server).await;
    stuck.hello(&room, "voter", Some(&voter.token)).await;
    let sessions = r#"tallycast_sessions{role="voter"}"#;
    metric_becomes(&cluster.pods[0], sessions, TIMEOUT, |sessions| sessions == 1.0).await;
    for _ in 0..40 {
        assert_eq!(voter.cast(1, 1, "a").await, Verdict::Stored);
    }
    let closed = timeout(TIMEOUT, stuck.closed()).await.expect("it is closed, and not left with a part of its ballot");
    assert_eq!(closed, Some(1012), "come back");
    assert!(metric(&cluster.pods[0], r#"tallycast_mailbox_refusals_total{mailbox="session"}"#).await > 0.0);
    let mut back = Raw::open(server).await;
    back.hello(&room, "voter", Some(&voter.token)).await;
    back.text_with(&format!(r#""votes":"{}""#, "a".repeat(40))).await;
}
