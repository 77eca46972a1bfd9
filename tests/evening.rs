//! A whole evening by script, through the public protocol only: a thousand phones, seven rounds with
//! every kind of split, a draw that the emcee decides, a result the emcee overrides, a round voided
//! while open and run again, phones that drop out and come back, casts repeated at random. At the
//! end everything the server says must equal what a reference computes from what the phones were
//! told.
//!
//! `TALLYCAST_EVENING_VOTERS` and `TALLYCAST_EVENING_MS` (the voting time of a round) scale it.

mod support;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::cluster::Cluster;
use support::emcee::{Emcee, round};
use support::ranking::Ranking;
use support::reference::{Reference, TakeId, array, number, record};
use support::seals::{all_sealed, check_chain, check_proof};
use support::socket::{Heard, PATIENCE, Socket};
use support::voter::{Verdict, Voter};
use support::{count, dice, seed};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, timeout};

/// Each evening is made to fill the machine; two at once would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

const DRAW: u32 = 5;
const VOIDED: u32 = 6;
const LAST: u32 = 7;
/// Gates open one after another, and clocks are read at both ends of a connection.
const TIME_SLACK_MS: i64 = 50;

/// Seven rounds: live, hidden, held, a timed one with a blackout, and three more for what the emcee
/// does to them.
fn programme() -> Value {
    let pair = json!([{"label": "Left"}, {"label": "Right"}]);
    json!([
        {"title": "Live", "choices": pair},
        {"title": "Hidden", "choices": pair, "split": "hidden"},
        {"title": "Held", "choices": [{"label": "Red"}, {"label": "Green"}, {"label": "Blue"}], "split": "held"},
        {"title": "Timed", "choices": pair, "seconds": 5, "blackout_seconds": 2},
        {"title": "Drawn", "choices": pair},
        {"title": "Run again", "choices": pair, "split": "hidden"},
        {"title": "Overruled", "choices": [{"label": "1"}, {"label": "2"}, {"label": "3"}, {"label": "4"}]},
    ])
}

/// What phones report to the director of the evening.
enum Report {
    Joined,
    /// All taps of this take are answered.
    Finished(TakeId),
    /// The phone knows that the take is over, and has a definite answer for every cast in it.
    Concluded(TakeId),
}

/// What a phone needs to play its part.
struct Part {
    reports: mpsc::UnboundedSender<Report>,
    /// True once the last round is over and phones only listen.
    curtain: watch::Receiver<bool>,
    /// The place that the emcee's last reveal command named; large before the reveal.
    commanded: Arc<AtomicU32>,
    voting: Duration,
    dice: StdRng,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evening_on_the_embedded_ledger_ends_as_the_reference_says() {
    let _alone = ONE_AT_A_TIME.lock().await;
    evening(Cluster::embedded().await, seed("evening, embedded")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evening_on_redis_with_three_processes_ends_as_the_reference_says() {
    let _alone = ONE_AT_A_TIME.lock().await;
    evening(Cluster::redis(3).await, seed("evening, redis")).await;
}

async fn evening(cluster: Cluster, seed: u64) {
    let crowd = count("TALLYCAST_EVENING_VOTERS", 1_000);
    let voting = Duration::from_millis(count("TALLYCAST_EVENING_MS", 2_500) as u64);
    let emcee = cluster.emcee();
    let room = emcee.create(json!({"title": "The evening", "rounds": programme()})).await;
    let mut stage = watched(Socket::stage(cluster.addresses()[0], &room).await);

    let (reports, mut inbox) = mpsc::unbounded_channel();
    let (curtain_falls, curtain) = watch::channel(false);
    let commanded = Arc::new(AtomicU32::new(u32::MAX));
    let phones: Vec<JoinHandle<Voter>> = (0..crowd)
        .map(|number| {
            let part = Part {
                reports: reports.clone(),
                curtain: curtain.clone(),
                commanded: commanded.clone(),
                voting,
                dice: dice(seed, 2 * number as u64),
            };
            let (http, pods, room) = (emcee.http.clone(), cluster.addresses(), room.clone());
            let joining = dice(seed, 2 * number as u64 + 1);
            tokio::spawn(async move {
                let mut voter = Voter::join(&http, &pods, &room, &format!("Voter {number}"), joining).await;
                play(&mut voter, part).await;
                voter
            })
        })
        .collect();
    drop(reports);

    let alive = phones.iter().map(JoinHandle::abort_handle).collect();
    let mut director = Director { emcee: emcee.clone(), room: room.clone(), phones: alive, voting };
    director.gather(&mut inbox, "joined", |report| matches!(report, Report::Joined)).await;
    let mut reference = director.rounds(&mut inbox).await;

    let ranking = reveal(&emcee, &room, &mut stage, &mut reference, &commanded, &phones, &curtain_falls).await;
    let mut voters = Vec::new();
    for phone in phones {
        voters.push(timeout(Duration::from_secs(60), phone).await.expect("every phone ends").expect("no phone fails"));
    }
    check_evening(&cluster, &emcee, &room, &mut reference, &ranking, &voters).await;
}

/// Opens, closes, voids and decides.
struct Director {
    emcee: Emcee,
    room: String,
    phones: Vec<AbortHandle>,
    voting: Duration,
}

impl Director {
    /// Waits until every phone has sent a report that fits.
    async fn gather(&self, inbox: &mut mpsc::UnboundedReceiver<Report>, what: &str, fits: impl Fn(&Report) -> bool) {
        let mut missing = self.phones.len();
        let until = Instant::now() + Duration::from_secs(60);
        while missing > 0 {
            // no phone ends before the reveal unless it fails; then there is no point in waiting
            let failed = self.phones.iter().filter(|phone| phone.is_finished()).count();
            assert_eq!(failed, 0, "phones failed, see above; {missing} have not {what}");
            assert!(Instant::now() < until, "{missing} of {} phones have not {what}", self.phones.len());
            match timeout(Duration::from_millis(500), inbox.recv()).await {
                Ok(report) => missing -= usize::from(report.is_some_and(|report| fits(&report))),
                Err(_) => continue,
            }
        }
    }

    async fn concluded(&self, inbox: &mut mpsc::UnboundedReceiver<Report>, take_id: TakeId) {
        let what = format!("learned the end of {take_id:?}");
        self.gather(inbox, &what, |report| matches!(report, Report::Concluded(r) if *r == take_id)).await;
    }

    /// Runs the seven rounds and gives a reference that knows what the emcee did.
    async fn rounds(&mut self, inbox: &mut mpsc::UnboundedReceiver<Report>) -> Reference {
        let (emcee, room) = (self.emcee.clone(), self.room.clone());
        let mut reference = Reference {
            choices: [2, 2, 3, 2, 2, 2, 4].into_iter().zip(1..).map(|(c, r)| (r, c)).collect(),
            ..Reference::default()
        };
        for number in 1..=LAST {
            let opened = emcee.open(&room, number).await;
            let mut take = 1;
            match number {
                // a draw needs every vote, so this round lasts until the last phone is through
                DRAW => self.gather(inbox, "finished voting", |r| matches!(r, Report::Finished((DRAW, 1)))).await,
                _ => sleep(self.voting).await,
            }
            if number == VOIDED {
                // voided while open: closed with a record first, then ready for another take
                emcee.take(&room, number, 2).await;
                self.concluded(inbox, (number, 1)).await;
                emcee.open(&room, number).await;
                take = 2;
                sleep(self.voting).await;
            }
            if round(&opened, number)["closes_at"].is_null() {
                emcee.close(&room, number).await;
            }
            self.concluded(inbox, (number, take)).await;
            reference.counted.insert(number, take);
        }
        emcee.show(&room, 3).await;
        let drawn = emcee.room(&room).await;
        assert_eq!(round(&drawn, DRAW)["winner"], Value::Null, "as many votes on both: {}", round(&drawn, DRAW));
        assert_eq!(round(&drawn, DRAW)["decided_by"], "votes");
        emcee.decide(&room, DRAW, json!("b")).await;
        emcee.decide(&room, LAST, json!("d")).await;
        reference.decided.insert(DRAW, Some('b'));
        reference.decided.insert(LAST, Some('d'));
        reference
    }
}

/// One phone's evening: it votes in every take, then watches the reveal.
async fn play(voter: &mut Voter, mut part: Part) {
    voter.come_back().await;
    let _ = part.reports.send(Report::Joined);
    let mut next: TakeId = (1, 1);
    while next.0 <= LAST {
        voter.wait_until("the next take", |v| v.open_round() == Some(next) || v.is_over(next.0, next.1)).await;
        vote(voter, next, &mut part).await;
        let _ = part.reports.send(Report::Finished(next));
        voter.wait_until("the end of the take", |v| v.is_over(next.0, next.1)).await;
        voter.resolve(next.0, next.1).await;
        let _ = part.reports.send(Report::Concluded(next));
        next = if next == (VOIDED, 1) { (VOIDED, 2) } else { (next.0 + 1, 1) };
    }
    // the reveal: no voter is told a place before the emcee shows it
    let mut told_place = false;
    while !(*part.curtain.borrow() && voter.socket.is_some() && told_all(voter)) {
        voter.come_back().await;
        if let Some(standing) = &voter.standing
            && !told_place
        {
            told_place = true;
            let (place, commanded) = (number(standing, "place"), part.commanded.load(Ordering::SeqCst));
            assert!(place >= commanded || commanded == 1, "place {place} told while {commanded} was shown");
        }
        tokio::select! {
            _ = voter.listen(Instant::now() + Duration::from_secs(30)) => {}
            changed = part.curtain.changed() => if changed.is_err() { return },
        }
    }
}

/// Whether the phone has the end of the evening: the last group, and its own place if it has one.
fn told_all(voter: &Voter) -> bool {
    let voted = voter.told.iter().any(|(take_id, told)| !told.votes.is_empty() && *take_id != (VOIDED, 1));
    let done = voter.reveal.as_ref().is_some_and(|reveal| reveal["done"] == true);
    done && voter.view["phase"] == "finished" && (!voted || voter.standing.is_some())
}

/// Taps at random moments; drops out and repeats itself now and then.
async fn vote(voter: &mut Voter, (round, take): TakeId, part: &mut Part) {
    let Part { dice, voting, .. } = part;
    let choices: u8 = match round {
        3 => 3,
        LAST => 4,
        _ => 2,
    };
    let favourite = dice.random_range(0..choices);
    let mut letters: Vec<char> = match round {
        DRAW => "aaaaabbbbb".chars().collect(),
        // one in twenty abstains, and some do not use all they have
        _ if dice.random_bool(0.05) => Vec::new(),
        _ => {
            let taps = if dice.random_bool(0.2) { dice.random_range(1..10) } else { 10 };
            let mut letter = || if dice.random_bool(0.6) { favourite } else { dice.random_range(0..choices) };
            (0..taps).map(|_| char::from(b'a' + letter())).collect()
        }
    };
    letters.shuffle(dice);
    // the last taps come when the round is over, or nearly
    let spread = voting.mul_f64(if round == DRAW { 0.8 } else { 1.05 });
    let mut taps: Vec<Duration> = letters.iter().map(|_| spread.mul_f64(dice.random())).collect();
    taps.sort();
    let drop_at = dice.random_bool(0.1).then(|| spread.mul_f64(dice.random()));
    let mut dropped = drop_at.is_none();
    let start = Instant::now();
    let mut used = 0;
    while used < letters.len() {
        let next_tap = start + taps[used];
        let drop_now = !dropped && drop_at.is_some_and(|at| at < taps[used]);
        let until = if drop_now { start + drop_at.unwrap_or_default() } else { next_tap };
        while Instant::now() < until {
            voter.come_back().await;
            voter.listen(until).await;
        }
        // everything tapped while the last cast was unanswered goes out at once
        let due = taps.iter().filter(|tap| start + **tap <= Instant::now()).count().max(used + 1);
        let gathered: String = letters[used..due].iter().collect();
        if drop_now {
            dropped = true;
            match dice.random_bool(0.5) {
                true => voter.vanish(),
                false => voter.cast_and_vanish(round, take, &gathered).await,
            }
            sleep(Duration::from_millis(dice.random_range(20..400))).await;
            voter.come_back().await;
            if voter.told(round, take).unknown.is_none() {
                continue;
            }
        } else {
            voter.begin(round, take, &gathered);
        }
        match voter.resolve(round, take).await {
            Some(Verdict::Stored) => used = due,
            Some(Verdict::Refused(code)) if ["closed", "stale_take"].contains(&code.as_str()) => return,
            other => panic!("{} cast {gathered:?} in ({round}, {take}) and got {other:?}", voter.name),
        }
        if dice.random_bool(0.15) {
            repeat(voter, (round, take), dice).await;
        }
    }
}

/// Casts a part of the acknowledged ballot again: answered with the whole ballot, without a refusal,
/// whether the round is still open or not. Counting it twice would show in every tally.
async fn repeat(voter: &mut Voter, (round, take): TakeId, dice: &mut StdRng) {
    let votes = voter.told(round, take).votes.clone();
    let from = dice.random_range(0..votes.len());
    let to = dice.random_range(from + 1..=votes.len());
    voter.come_back().await;
    let answer = voter.send_cast(round, take, from + 1, &votes[from..to]).await;
    if let Some(answer) = answer.filter(|answer| answer["refused"] != "busy") {
        assert_eq!((&answer["refused"], &answer["votes"]), (&Value::Null, &json!(votes)), "a repeat: {answer}");
    }
}

/// Reads a stage's socket all evening, as a stage page does: one that does not read is dropped.
fn watched(mut stage: Socket) -> mpsc::UnboundedReceiver<(String, Value)> {
    let (heard, inbox) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Heard::Frame(name, body) = stage.next().await {
            if heard.send((name, body)).is_err() {
                return;
            }
        }
    });
    inbox
}

/// Reveals the ranking page by page, then group by group, and compares every step.
#[allow(clippy::too_many_arguments)] // one step of one test, called once
async fn reveal(
    emcee: &Emcee,
    room: &str,
    stage: &mut mpsc::UnboundedReceiver<(String, Value)>,
    reference: &mut Reference,
    commanded: &AtomicU32,
    phones: &[JoinHandle<Voter>],
    curtain: &watch::Sender<bool>,
) -> Ranking {
    assert!(!phones.iter().any(JoinHandle::is_finished), "no phone leaves before the reveal");
    // the ranking is computed from what the ledger holds; `check_evening` compares that with the phones
    let export = emcee.export(room).await;
    for voter in array(&export, "voters") {
        reference
            .names
            .insert(voter["voter"].as_str().expect("an id").into(), voter["name"].as_str().expect("a name").into());
    }
    for round in array(&export, "rounds") {
        for take in array(round, "takes") {
            let take_id = (number(round, "round"), number(take, "take"));
            for ballot in array(take, "ballots") {
                let voter = ballot["voter"].as_str().expect("an id");
                reference.add(take_id, voter, ballot["votes"].as_str().expect("votes"));
                reference.times.insert((take_id, voter.to_owned()), ballot["time_ms"].as_i64().expect("a time"));
            }
        }
    }
    let ranking = Ranking::of(reference);
    let top = 50;
    let groups = ranking.groups(top);
    let mut steps = vec![top + 1];
    steps.extend(
        [41, 31, 21, 11]
            .iter()
            .filter_map(|page| groups.iter().map(|group| group.place).filter(|place| place >= page).min()),
    );
    let slowly_from = *steps.last().expect("a first step");
    steps.extend(groups.iter().rev().map(|group| group.place).filter(|place| *place < slowly_from));
    for place in steps {
        commanded.store(place, Ordering::SeqCst);
        let answer = emcee.reveal(room, json!({"place": place, "top": top})).await;
        ranking.check_reveal(&answer["reveal"], place, top);
        ranking.check_preview(&answer["preview"], place, top);
        let shown = timeout(PATIENCE, async {
            loop {
                let (name, body) = stage.recv().await.expect("the stage stays connected");
                if name == "reveal" && body["place"] == place {
                    return body;
                }
            }
        });
        let shown = shown.await.unwrap_or_else(|_| panic!("place {place} was not revealed on stage"));
        ranking.check_reveal(&shown, place, top);
    }
    curtain.send_replace(true);
    ranking
}

/// Compares all that the server says with all that the phones were told.
async fn check_evening(
    cluster: &Cluster,
    emcee: &Emcee,
    room: &str,
    reference: &mut Reference,
    ranking: &Ranking,
    voters: &[Voter],
) {
    // from here on the ballots are those the phones know, not those of the export
    reference.ballots.clear();
    for voter in voters {
        for (take_id, told) in &voter.told {
            assert!(told.unknown.is_none(), "{} has a cast without an answer: {told:?}", voter.name);
            reference.add(*take_id, &voter.id, &told.votes);
        }
    }
    let mut voted = 0;
    for pod in 0..cluster.pods.len() {
        let emcee = emcee.at(pod);
        let export = emcee.export(room).await;
        reference.check_export(&export);
        reference.check_room(&emcee.room(room).await);
        reference.check_room(&export["room"]);
        reference.check_audit(&emcee.audit(room).await);
        let entries = emcee.get(&format!("/rooms/{room}/ranking?top=1000")).await;
        assert_eq!(entries["of"], ranking.placed.len());
        ranking.check_entries(array(&entries, "entries"), 1_000);
        ranking.check_entries(array(&export, "ranking"), u32::MAX);
        assert_eq!(array(&export, "voters").len(), voters.len());
        voted = voters.iter().flat_map(|voter| voter.told.values()).map(|told| told.votes.len()).sum();
        for voter in voters {
            for (take_id, told) in voter.told.iter().filter(|(_, told)| !told.votes.is_empty()) {
                let record = record(&export, *take_id);
                reference.check_time(*take_id, &voter.id, record, told.grown_between_ms, TIME_SLACK_MS);
            }
        }
    }
    assert!(voted > voters.len() * 30, "the crowd voted: {voted} votes");
    for voter in voters {
        let reveal = voter.reveal.as_ref().expect("awaited by the phone");
        ranking.check_reveal(reveal, 1, 50);
        ranking.check_standing(&voter.id, voter.standing.as_ref());
        assert_eq!(voter.view["phase"], "finished", "{}: {}", voter.name, voter.view);
    }
    check_me(emcee, ranking, voters).await;
    check_seals(emcee, room, voters).await;
}

/// Every take is sealed, each phone can prove its votes, and a stranger can verify the export.
async fn check_seals(emcee: &Emcee, room: &str, voters: &[Voter]) {
    let records = all_sealed(emcee, room).await;
    let export = emcee.export(room).await;
    check_chain(&records, &export);
    assert_eq!(array(&records, "records").len(), 8, "seven rounds, one of them run twice");
    for voter in voters {
        let proof = voter.http(&emcee.http, Method::GET, &format!("/me/proof?round={LAST}"), None).await;
        match voter.told.get(&(LAST, 1)).filter(|told| !told.votes.is_empty()) {
            Some(told) => check_proof(&proof.expect(200, "a proof"), &voter.id, &told.votes),
            None => drop(proof.expect_problem(404, "no_ballot", &voter.name)),
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("evening.json");
    std::fs::write(&file, export.to_string()).expect("a file of the test's own");
    let audit = std::process::Command::new(env!("CARGO_BIN_EXE_tallycast")).arg("audit").arg(file).env_clear().output();
    let audit = audit.expect("the binary starts");
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

/// `GET /me` tells a phone that forgot everything the same as what it knew.
async fn check_me(emcee: &Emcee, ranking: &Ranking, voters: &[Voter]) {
    for voter in voters.iter().step_by(7) {
        let me = voter.http(&emcee.http, Method::GET, "/me", None).await.expect(200, "GET /me");
        assert_eq!(
            (&me["voter"], &me["name"], &me["card"]),
            (&json!(voter.id), &json!(voter.name), &json!(voter.card))
        );
        ranking.check_standing(&voter.id, Some(&me["standing"]).filter(|standing| standing.is_object()));
        // the voided take need not be told any more
        let cast = voter.told.iter().filter(|(take_id, told)| !told.votes.is_empty() && **take_id != (VOIDED, 1));
        for (take_id, told) in cast {
            let mut ballots = array(&me, "ballots").iter();
            let ballot = ballots.find(|b| (number(b, "round"), number(b, "take")) == *take_id);
            let ballot = ballot.unwrap_or_else(|| panic!("{take_id:?} is missing in {me}"));
            assert_eq!(ballot["votes"], told.votes, "{take_id:?} in {me}");
            assert_eq!(ballot["left"], 10 - told.votes.len(), "{take_id:?} in {me}");
        }
    }
}
