//! Forged or damaged archives: whatever they contain, the installation does not change.

use crate::archives::{archive, import};
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, code};
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::{Value, json};

/// The lines of an archive, to be changed and written again.
struct Forgery(Vec<Value>);

impl Forgery {
    fn of(archive: &str) -> Forgery {
        let lines = archive.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        Forgery(lines.collect())
    }

    /// With `change` done to the first line of this kind.
    fn with(&self, kind: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut lines = self.0.clone();
        let line = lines.iter_mut().find_map(|line| line.get_mut(kind)).unwrap_or_else(|| panic!("no line {kind}"));
        change(line);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// With the room's id, code and `ref` changed everywhere that they stand.
    fn named(&self, id: &str, code: &str, reference: Option<&str>) -> Forgery {
        let mut lines = self.0.clone();
        lines[0]["archive"]["room"] = json!(code);
        lines[0]["archive"]["ref"] = json!(reference);
        lines[1]["record"]["id"] = json!(id);
        lines[1]["record"]["code"] = json!(code);
        lines[1]["record"]["reference"] = json!(reference);
        Forgery(lines)
    }

    fn text(&self) -> String {
        self.with("record", |_| {})
    }
}

/// A room with one closed round, one open one, a voter and an invite.
async fn archived(cluster: &Cluster, title: &str, reference: &str) -> (String, Forgery) {
    let emcee = cluster.emcee();
    let choices = json!([{"label": "A"}, {"label": "B"}]);
    let rounds = json!([{"title": "One", "choices": choices}, {"title": "Two", "choices": choices}]);
    let room = emcee.create(json!({"title": title, "ref": reference, "rounds": rounds})).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(81, 0)).await;
    let names = json!({"names": ["Bela"]});
    emcee.call(Method::POST, &format!("/rooms/{room}/invites"), Some(&names)).await.expect(201, "an invite");
    emcee.open(&room, 1).await;
    assert_eq!(ann.cast(1, 1, "aab").await, Verdict::Stored);
    emcee.close(&room, 1).await;
    emcee.open(&room, 2).await;
    assert_eq!(ann.cast(2, 1, "b").await, Verdict::Stored);
    let text = archive(&emcee, &room, false).await;
    emcee.close(&room, 2).await;
    (room, Forgery::of(&text))
}

/// What there is to be seen of all rooms, times aside.
async fn all_rooms(emcee: &Emcee) -> Value {
    let mut rooms = emcee.get("/rooms?deleted=true").await["rooms"].take();
    for room in rooms.as_array_mut().expect("a list") {
        room["now"].take();
    }
    rooms
}

/// What is wrong, a word that the refusal must name, and the archive.
fn forgeries(of: &Forgery) -> Vec<(&'static str, &'static str, String)> {
    let record = |change: fn(&mut Value)| of.with("record", change);
    let ballot = |change: fn(&mut Value)| of.with("ballot", change);
    let voter = |change: fn(&mut Value)| of.with("voter", change);
    let gate = |change: fn(&mut Value)| of.with("gate", |line| change(&mut line["gate"]));
    let choice = json!({"label": "x", "color": "#123456"});
    vec![
        (
            "a winner that is no choice",
            "decided",
            record(|r| r["rounds"][0]["takes"][0]["decided"] = json!({"winner": 200})),
        ),
        (
            "a tally longer than the choices",
            "tally",
            record(|r| r["rounds"][0]["takes"][0]["tally"]["votes"] = json!([1, 2, 3, 4, 5, 6, 7, 8, 9])),
        ),
        (
            "a tally shorter than the choices",
            "tally",
            record(|r| r["rounds"][0]["takes"][0]["tally"]["votes"] = json!([3])),
        ),
        (
            "counts that the ballots do not have",
            "tally",
            record(|r| r["rounds"][0]["takes"][0]["tally"]["votes"] = json!([3, 0])),
        ),
        ("twelve choices", "choices", of.with("record", |r| r["rounds"][1]["choices"] = json!(vec![choice; 12]))),
        ("one choice", "choices", record(|r| drop(r["rounds"][1]["choices"].as_array_mut().map(Vec::pop)))),
        ("an empty token key", "token_key", record(|r| r["token_key"] = json!(""))),
        ("a token key of one letter", "token_key", record(|r| r["token_key"] = json!("a"))),
        (
            "a colour with markup",
            "color",
            record(|r| r["rounds"][0]["choices"][0]["color"] = json!("red\"><script>x</script>")),
        ),
        ("65,535 votes a round", "votes_per_round", record(|r| r["votes_per_round"] = json!(65_535))),
        ("no votes", "votes_per_round", record(|r| r["votes_per_round"] = json!(0))),
        ("a long ref", "ref", of.named("abcdefghijklmnop", "ABCDEF", Some(&"r".repeat(100_000))).text()),
        ("no rounds", "rounds", record(|r| r["rounds"] = json!([]))),
        ("too many rounds", "rounds", record(|r| r["rounds"] = json!(vec![r["rounds"][1].clone(); 101]))),
        ("65 partitions", "partitions", record(|r| r["partitions"] = json!(65))),
        ("seconds out of bounds", "seconds", record(|r| r["rounds"][1]["seconds"] = json!(4))),
        (
            "a blackout out of bounds",
            "blackout_seconds",
            record(|r| r["rounds"][1]["blackout_seconds"] = json!(90_000)),
        ),
        ("a round that runs and is not there", "running", record(|r| r["running"]["round"] = json!(7))),
        ("a last round that is not there", "last_round", record(|r| r["last_round"] = json!(7))),
        ("takes out of order", "take", record(|r| r["rounds"][0]["takes"][0]["take"] = json!(5))),
        ("a take that nobody can run", "take", record(|r| r["rounds"][0]["take"] = json!(9))),
        (
            "a reveal while a round is open",
            "reveal",
            record(|r| {
                r["reveal"] = json!({"ranking": 1, "of": 0, "places": [0], "top": 50, "place": 51, "stepped_at": 1});
            }),
        ),
        ("a room id that spells the directory", "id", of.named("dir", "ABCDEF", None).text()),
        ("a room id that is too long", "id", of.named("abcdefghijklmnopq", "ABCDEF", None).text()),
        ("a voter id of another form", "voter", voter(|v| v["voter"] = json!("ann"))),
        ("a ballot of another form of voter", "voter", ballot(|b| b["voter"] = json!("x"))),
        ("more votes than there are slips", "votes", ballot(|b| b["votes"] = json!("a".repeat(11)))),
        ("a letter that the round has not", "votes", ballot(|b| b["votes"] = json!("aah"))),
        ("letters that are none", "votes", ballot(|b| b["votes"] = json!("a1b"))),
        ("a ballot without votes", "votes", ballot(|b| b["votes"] = json!(""))),
        ("a ballot of a take that never ran", "take", ballot(|b| b["take"] = json!(3))),
        ("a gate of another round", "round", gate(|g| g["round"] = json!(9))),
        ("a gate with other choices", "choices", gate(|g| g["choices"] = json!(8))),
        (
            "a gate that was opened after its last vote",
            "opened_at",
            gate(|g| g["opened_at"] = json!(g["clock"].as_u64().unwrap_or(0) + 10)),
        ),
        ("a gate that is ahead of its record", "command_seq", gate(|g| g["command_seq"] = json!(1_000))),
        ("a gate from a far future", "clock", gate(|g| g["clock"] = json!(9_000_000_000_000_u64))),
        ("a time that no number holds", "created_at", record(|r| r["created_at"] = json!(u64::MAX))),
        ("a number of commands that cannot rise", "command_seq", record(|r| r["command_seq"] = json!(1_u64 << 46))),
        ("a version that cannot rise", "seq", record(|r| r["seq"] = json!(u64::MAX))),
        ("a gate of a partition that is not there", "partition", of.with("gate", |line| line["partition"] = json!(1))),
        ("a head that names another room", "archive", of.with("archive", |line| line["room"] = json!("ZZZZZZ"))),
        ("a ranking that nobody shows", "ranked", {
            let mut lines = of.0.clone();
            let at = lines.len() - 1;
            lines.insert(at, json!({"ranked": {"place": 1, "voter": "abcdefghijklmnop", "name": "X", "score": 1, "time_ms": 1, "rounds": []}}));
            lines[at + 1]["end"]["lines"] = json!(at + 1);
            Forgery(lines).text()
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_archive_is_refused_with_the_field_that_is_wrong_and_changes_nothing() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let emcee = cluster.emcee();
        let (_, forgery) = archived(&cluster, "Here", "here").await;
        // as it comes from elsewhere: another room
        let foreign = forgery.named("abcdefghijklmnop", "ABCDEF", Some("elsewhere"));
        let before = all_rooms(&emcee).await;
        for (wrong, names, text) in forgeries(&foreign) {
            let problem = import(&emcee, &text, "").await.expect_problem(422, "bad_request", wrong);
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(names) && detail.len() < 500, "{wrong}: {names} is not named: {detail}");
            assert_eq!(all_rooms(&emcee).await, before, "{wrong}");
        }
        // what was forged is all that was wrong
        let room = code(&import(&emcee, &foreign.text(), "").await.expect(201, "as it was written"));
        assert_eq!(emcee.audit(&room).await["ok"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_archive_affects_no_other_room() {
    let mut cluster = Cluster::redis(1).await;
    let emcee = cluster.emcee();
    let (here, forgery) = archived(&cluster, "Here", "here").await;
    let other = emcee.create_plain("Other", 1).await;
    // its ref is taken, so it is refused, and what it wrote is taken back
    let hostile = forgery.named("dir", "ABCDEF", Some("here")).text();
    let refused = import(&emcee, &hostile, "").await;
    assert_eq!(refused.status / 100, 4, "{}", refused.text);
    cluster.pods[0].crash_and_restart().await;
    let titles: Vec<_> = [&here, &other].into_iter().map(|room| emcee.room(room)).collect();
    for (found, title) in futures_util::future::join_all(titles).await.iter().zip(["Here", "Other"]) {
        assert_eq!(found["title"], title);
    }
}
