//! The socket, message by message: hello, casts, pings, goodbyes and close codes.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, round};
use crate::support::reference::array;
use crate::support::socket::{Heard, Socket};
use crate::support::voter::{Verdict, Voter};
use crate::support::wall_ms;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// A cluster with an open round and a voter.
async fn open_round() -> (Cluster, Emcee, String, Voter) {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Sockets", 2).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(80, 0)).await;
    emcee.open(&room, 1).await;
    (cluster, emcee, room, ann)
}

/// Closes the round and gives the number of votes in it.
async fn total(emcee: &Emcee, room: &str) -> Value {
    round(&emcee.close(room, 1).await, 1)["tally"]["total"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_is_answered_with_the_state_and_every_message_that_applies() {
    let (cluster, emcee, room, mut ann) = open_round().await;
    assert_eq!(ann.cast(1, 1, "ab").await, Verdict::Stored);
    let pod = cluster.addresses()[0];
    let (mut socket, state) = Socket::hello(pod, &room.to_lowercase(), "voter", Some(&ann.token)).await;
    assert_eq!(state["room"]["room"], room.as_str(), "the code in either case");
    let you = &state["you"];
    assert_eq!((&you["voter"], &you["name"], &you["card"]), (&json!(ann.id), &json!("Ann"), &json!(ann.card)));
    let ballot = (&you["ballot"]["round"], &you["ballot"]["take"], &you["ballot"]["votes"], &you["ballot"]["left"]);
    assert_eq!(ballot, (&json!(1), &json!(1), &json!("ab"), &json!(8)), "{you}");
    socket.expect("presence").await;
    let (_, state) = Socket::hello(pod, &room, "stage", None).await;
    assert!(state["you"].is_null() && state["room"]["phase"] == "voting", "{state}");
    let mut desk = Socket::emcee(pod, &room).await;
    let told = desk.expect("desk").await;
    for field in ["connected", "voters", "acknowledged", "stored", "shown"] {
        assert!(told[field].is_u64(), "{field} in {told}");
    }
    for field in ["stages", "desks", "pods"] {
        assert!(told[field].is_array(), "{field} in {told}");
    }
    assert!(told["ledger"]["state"].is_string() && told["ledger"]["durable"].is_boolean(), "{told}");
    emcee.close(&room, 1).await;
    desk.wait_for("three equal numbers", |name, body| {
        name == "desk" && body["acknowledged"] == 2 && body["stored"] == 2 && body["shown"] == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subprotocol_is_agreed_when_asked_for() {
    let cluster = Cluster::embedded().await;
    let room = cluster.emcee().create_plain("Subprotocol", 1).await;
    let asked = [("sec-websocket-protocol", "tallycast.v1")];
    let mut socket =
        Socket::open_with(cluster.addresses()[0], "browser", &asked).await.expect("tungstenite checks the answer");
    socket.say_hello(&room, "stage", None).await;
    socket.expect("state").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_over_a_socket_follow_the_cast_rule_row_by_row() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let emcee = cluster.emcee();
        let room = emcee.create_plain("Table", 2).await;
        let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(81, 0)).await;
        ann.shared = true;
        emcee.open(&room, 1).await;
        ann.come_back().await;
        let table = [
            (1, 1, 1, "a", None, "a"),
            (1, 1, 1, "a", None, "a"),
            (1, 1, 1, "b", Some("conflict"), "a"),
            (1, 1, 3, "a", Some("gap"), "a"),
            (1, 1, 1, "ab", None, "ab"),
            (1, 1, 2, "ab", Some("conflict"), "ab"),
            (1, 1, 3, "h", Some("bad_choice"), "ab"),
            (1, 1, 2, "bba", None, "abba"),
            (1, 1, 5, "aaaaaaaa", Some("out_of_votes"), "abbaaaaaaa"),
            (1, 1, 11, "a", Some("out_of_votes"), "abbaaaaaaa"),
            (1, 1, 5, "aaaaaa", None, "abbaaaaaaa"),
            (2, 1, 1, "a", Some("closed"), ""),
        ];
        for (round, take, slip, votes, refused, ballot) in table {
            let answer = ann.send_cast(round, take, slip, votes).await.expect("the socket stays");
            let what = format!("round {round} slip {slip} {votes:?}: {answer}");
            assert_eq!((&answer["refused"], &answer["votes"]), (&json!(refused), &json!(ballot)), "{what}");
            assert!(refused.is_some() || answer.get("refused").is_none(), "{what}");
        }
    }
}

/// Text frames that are no message of the contract.
fn broken_frames() -> Vec<String> {
    let huge = "9".repeat(40);
    let cast = |fields: &str| format!(r#"{{"cast":{{{fields}}}}}"#);
    let mut frames: Vec<String> =
        ["", " ", "{", "nonsense", "[]", "null", "1", "\"cast\"", "{}", r#"{"state":{}}"#].map(String::from).into();
    frames.extend([
        r#"{"cast":{"round":1,"slip":2,"votes":"a"},"ping":{"id":1}}"#.to_owned(),
        r#"{"cast":{"round":1,"slip":2,"votes":"a"}}{"ping":{"id":1}}"#.to_owned(),
        r#"{"vote":{"round":1,"slip":2,"votes":"a"}}"#.to_owned(),
        r#"{"Cast":{"round":1,"slip":2,"votes":"a"}}"#.to_owned(),
        r#"{"cast":null}"#.to_owned(),
        r#"{"cast":[]}"#.to_owned(),
        r#"{"cast":"a"}"#.to_owned(),
        cast(""),
        cast(r#""slip":2,"votes":"a""#),
        cast(r#""round":1,"votes":"a""#),
        cast(r#""round":1,"slip":2"#),
        cast(r#""round":"1","slip":2,"votes":"a""#),
        cast(r#""round":1,"slip":"2","votes":"a""#),
        cast(r#""round":1,"slip":2,"votes":["a"]"#),
        cast(r#""round":1,"slip":2,"votes":1"#),
        cast(r#""round":1,"slip":2,"votes":"""#),
        cast(r#""round":1,"slip":0,"votes":"a""#),
        cast(r#""round":1,"slip":-1,"votes":"a""#),
        cast(r#""round":1,"slip":1.5,"votes":"a""#),
        cast(r#""round":1,"slip":null,"votes":"a""#),
        cast(r#""round":1,"slip":1e99,"votes":"a""#),
        cast(&format!(r#""round":1,"slip":{huge},"votes":"a""#)),
        cast(r#""round":-1,"slip":2,"votes":"a""#),
        cast(r#""round":1.5,"slip":2,"votes":"a""#),
    ]);
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_not_a_message_are_answered_with_an_error_and_lose_no_vote() {
    let (cluster, emcee, room, mut ann) = open_round().await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    // the fifth error closes, so each socket takes four
    for four in broken_frames().chunks(4) {
        let (mut socket, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
        for frame in four {
            socket.send_text(frame).await;
            let what = format!("an error for {frame:?}");
            let error = socket.wait_for(&what, |name, body| answers(name, body, &what)).await;
            assert!(error["code"].is_string() && error["detail"].is_string(), "{what}: {error}");
        }
        socket.send("cast", json!({"round": 1, "slip": 1, "votes": "a"})).await;
        let ballot = socket.expect("ballot").await;
        assert_eq!((&ballot["votes"], &ballot["refused"]), (&json!("a"), &Value::Null), "the socket still works");
    }
    assert_eq!(total(&emcee, &room).await, 1, "nothing of it was counted");
}

/// Whether a message is the error awaited; a broken frame that is judged as a cast is a fault.
fn answers(name: &str, body: &Value, what: &str) -> bool {
    assert!(!["ballot", "pong"].contains(&name), "{what}: got {name} {body}");
    name == "error"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_for_rounds_and_takes_that_do_not_exist_are_refused_and_lose_no_vote() {
    let (cluster, emcee, room, mut ann) = open_round().await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    let casts = [
        json!({"round": 1, "slip": 2, "votes": "c"}),
        json!({"round": 1, "slip": 2, "votes": "bbbc"}),
        json!({"round": 1, "slip": 2, "votes": "i"}),
        json!({"round": 1, "slip": 2, "votes": "A"}),
        json!({"round": 1, "slip": 2, "votes": " a"}),
        json!({"round": 1, "slip": 2, "votes": "é"}),
        json!({"round": 1, "slip": 2, "votes": "a\u{0}"}),
        json!({"round": 0, "slip": 1, "votes": "a"}),
        json!({"round": 3, "slip": 1, "votes": "a"}),
        json!({"round": 4_000_000_000_u32, "slip": 1, "votes": "a"}),
        json!({"round": 1, "take": 0, "slip": 2, "votes": "a"}),
        json!({"round": 1, "take": 7, "slip": 2, "votes": "a"}),
        json!({"round": 1, "slip": 4_000_000_000_u32, "votes": "a"}),
    ];
    for cast in casts {
        let (mut socket, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
        socket.send("cast", cast.clone()).await;
        let mut heard = String::new();
        let answer = socket
            .wait_for(&format!("the answer to {cast}"), |name, _| {
                heard = name.to_owned();
                ["ballot", "error"].contains(&name)
            })
            .await;
        assert!(heard == "error" || answer["refused"].is_string(), "{cast}: {heard} {answer}");
    }
    assert_eq!(total(&emcee, &room).await, 1, "nothing of it was counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fifth_invalid_frame_closes_with_1008() {
    let (cluster, _, room, ann) = open_round().await;
    let (mut socket, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
    for _ in 0..5 {
        socket.send_text("nonsense").await;
    }
    let (code, before) = socket.closed().await;
    let errors = before.iter().filter(|(name, _)| name == "error").count();
    assert_eq!((code, errors), (Some(1008), 5), "{before:?}");
}

fn frame(opcode: Data, last: bool, payload: impl Into<Vec<u8>>) -> Message {
    Message::Frame(Frame::message(payload.into(), OpCode::Data(opcode), last))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_frames_close_with_their_code_and_lose_no_vote() {
    let (cluster, emcee, room, mut ann) = open_round().await;
    assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
    let padded = |length: usize| {
        let cast = r#"{"cast":{"round":1,"slip":2,"votes":"a"}}"#;
        format!("{cast}{}", " ".repeat(length - cast.len()))
    };
    let half = |last| frame(Data::Continue, last, " ".repeat(3_000));
    let cases: Vec<(&str, Vec<Message>, u16)> = vec![
        ("a text frame over 4 KiB", vec![Message::text(padded(4_097))], 1009),
        ("a far larger text frame", vec![Message::text(padded(1 << 20))], 1009),
        ("fragments over 4 KiB together", vec![frame(Data::Text, false, " ".repeat(3_000)), half(true)], 1009),
        (
            "fragments without end",
            (0..50).map(|n| if n == 0 { frame(Data::Text, false, "{") } else { half(false) }).collect(),
            1009,
        ),
        ("a binary frame", vec![Message::binary(padded(100).into_bytes())], 1003),
        ("text that is not UTF-8", vec![frame(Data::Text, true, b"{\"cast\":\"\xff\xfe\"}".to_vec())], 1007),
        (
            "fragments that are not UTF-8",
            vec![frame(Data::Text, false, b"{\"\xff".to_vec()), frame(Data::Continue, true, "}")],
            1007,
        ),
        ("a continuation of nothing", vec![frame(Data::Continue, true, "{}")], 1002),
        ("a new text inside a text", vec![frame(Data::Text, false, "{"), frame(Data::Text, true, "}")], 1002),
    ];
    for (what, messages, due) in cases {
        let (mut socket, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
        for message in messages {
            socket.send_message(message).await;
        }
        assert_eq!(socket.closed().await.0, Some(due), "{what}");
    }
    assert_eq!(total(&emcee, &room).await, 1, "nothing of it was counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_4_kib_and_a_fragmented_one_are_accepted() {
    let (cluster, emcee, room, ann) = open_round().await;
    let (mut socket, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
    let cast = r#"{"cast":{"round":1,"slip":1,"votes":"a"}}"#;
    socket.send_text(&format!("{cast}{}", " ".repeat(4_096 - cast.len()))).await;
    assert_eq!(socket.expect("ballot").await["votes"], "a");
    let (start, rest) = r#"{"cast":{"round":1,"slip":2,"votes":"b"}}"#.split_at(17);
    socket.send_message(frame(Data::Text, false, start)).await;
    socket.send_message(Message::Ping("in between".into())).await;
    socket.send_message(frame(Data::Continue, false, "")).await;
    socket.send_message(frame(Data::Continue, true, rest)).await;
    assert_eq!(socket.expect("ballot").await["votes"], "ab");
    assert_eq!(total(&emcee, &room).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_without_a_hello_is_closed_after_ten_seconds_with_4408() {
    let cluster = Cluster::embedded().await;
    let mut silent = Socket::open(cluster.addresses()[0], "silent").await.expect("a socket");
    let since = Instant::now();
    let (code, _) = silent.closed_within(Duration::from_secs(20)).await;
    assert_eq!(code, Some(4408));
    let after = since.elapsed();
    assert!((9_000..13_000).contains(&after.as_millis()), "after {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_frame_other_than_hello_and_a_second_hello_are_errors() {
    let (cluster, emcee, room, ann) = open_round().await;
    let mut socket = Socket::open(cluster.addresses()[0], "eager").await.expect("a socket");
    socket.send("cast", json!({"round": 1, "slip": 1, "votes": "a"})).await;
    let heard = socket.next_before(Instant::now() + Duration::from_secs(5)).await;
    let fits = match &heard {
        Some(Heard::Frame(name, _)) => name == "error",
        Some(Heard::Gone(code)) => [Some(1008), Some(4401)].contains(code),
        None => false,
    };
    assert!(fits, "a cast before hello: {heard:?}");
    let (mut socket, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
    socket.say_hello(&room, "stage", None).await;
    socket.expect("error").await;
    assert_eq!(total(&emcee, &room).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_with_an_unknown_room_or_role_is_refused() {
    let (cluster, _, room, ann) = open_round().await;
    for (name, role, token) in
        [("ZZZZZZ", "stage", None), ("ZZZZZZ", "voter", Some(ann.token.as_str())), ("", "stage", None)]
    {
        let mut socket = Socket::open(cluster.addresses()[0], "lost").await.expect("a socket");
        socket.say_hello(name, role, token).await;
        let code = socket.closed().await.0;
        let due = if role == "voter" { vec![4404, 4401] } else { vec![4404] };
        assert!(code.is_some_and(|code| due.contains(&code)), "room {name:?} as {role}: {code:?}");
    }
    let mut socket = Socket::open(cluster.addresses()[0], "jury").await.expect("a socket");
    socket.say_hello(&room, "jury", None).await;
    socket.expect("error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fifth_socket_of_a_voter_replaces_the_oldest() {
    let (cluster, _, room, ann) = open_round().await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await.0);
    }
    for socket in &mut sockets {
        socket.sync().await;
    }
    let (mut fifth, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
    let (code, before) = sockets.remove(0).closed().await;
    assert_eq!(code, Some(4409), "{before:?}");
    assert!(before.iter().any(|(name, body)| name == "bye" && body["reason"] == "replaced"), "{before:?}");
    for socket in sockets.iter_mut().chain([&mut fifth]) {
        socket.sync().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ballot_that_grows_through_one_socket_is_sent_to_the_voters_other_sockets() {
    let (cluster, emcee, room, ann) = open_round().await;
    let (mut one, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
    let (mut two, _) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
    one.send("cast", json!({"round": 1, "slip": 1, "votes": "ab"})).await;
    assert_eq!(one.expect("ballot").await["votes"], "ab");
    let mine = two.expect("mine").await;
    assert_eq!((&mine["votes"], &mine["left"], &mine["take"]), (&json!("ab"), &json!(8), &json!(1)), "{mine}");
    // the other phone continues where this one stopped
    two.send("cast", json!({"round": 1, "slip": 3, "votes": "b"})).await;
    assert_eq!(two.expect("ballot").await["votes"], "abb");
    assert_eq!(one.expect("mine").await["votes"], "abb");
    assert_eq!(total(&emcee, &room).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pong_has_the_time_the_room_version_and_the_ledgers_health() {
    let (cluster, _, room, ann) = open_round().await;
    let (mut socket, state) = Socket::hello(cluster.addresses()[0], &room, "voter", Some(&ann.token)).await;
    socket.send("ping", json!({"id": 77})).await;
    let pong = socket.expect("pong").await;
    assert_eq!((&pong["id"], &pong["ledger"]), (&json!(77), &json!("ok")), "{pong}");
    assert!((pong["now"].as_i64().expect("a time") - wall_ms()).abs() < 2_000, "{pong}");
    assert!(pong["seq"].as_u64() >= state["room"]["seq"].as_u64(), "{pong} after {state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_counts_the_sockets_of_voters_on_all_processes() {
    let cluster = Cluster::redis(2).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Presence", 1).await;
    let mut stages = Vec::new();
    for pod in cluster.addresses() {
        stages.push(Socket::stage(pod, &room).await);
    }
    let mut phones = Vec::new();
    for number in 0..6u64 {
        let voter =
            Voter::join(&emcee.http, &cluster.addresses(), &room, &format!("V{number}"), dice(83, number)).await;
        let pod = cluster.addresses()[number as usize % 2];
        phones.push(Socket::hello(pod, &room, "voter", Some(&voter.token)).await.0);
    }
    for stage in &mut stages {
        stage
            .wait_for("six voters", |name, body| name == "presence" && body["connected"] == 6 && body["voters"] == 6)
            .await;
    }
    for phone in phones.drain(..3) {
        phone.vanish();
    }
    for stage in &mut stages {
        stage
            .wait_for("three left", |name, body| name == "presence" && body["connected"] == 3 && body["voters"] == 6)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_accepted_by_one_process_are_shown_by_all() {
    let cluster = Cluster::redis(3).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("All", 1).await;
    let mut stages = Vec::new();
    for pod in cluster.addresses() {
        stages.push(Socket::stage(pod, &room).await);
    }
    let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(84, 0)).await;
    emcee.open(&room, 1).await;
    for (number, pod) in cluster.addresses().into_iter().enumerate() {
        ann.vanish();
        assert!(ann.try_connect_to(pod).await);
        assert_eq!(ann.cast(1, 1, "a").await, Verdict::Stored);
        for stage in &mut stages {
            let due = json!([number + 1, 0]);
            stage.wait_for(&format!("{due}"), |name, body| name == "tally" && body["votes"] == due).await;
        }
    }
    let desk = Socket::emcee(cluster.addresses()[1], &room).await.expect("desk").await;
    assert_eq!(array(&desk, "pods").len(), 3, "{desk}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_get_of_ws_is_upgraded() {
    let cluster = Cluster::embedded().await;
    let http = crate::support::http::Http::new();
    let plain = http.get(&cluster.pods[0].url("/ws")).await.expect("an answer");
    assert!((400..500).contains(&plain.status), "GET /ws without an upgrade: {} {}", plain.status, plain.text);
    let upgrade = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for path in ["/", "/api/v1/rooms", "/emcee", "/ws/", "/nowhere", "/metrics"] {
        let answer =
            http.send(reqwest::Method::GET, &cluster.pods[0].url(path), &upgrade, None).await.expect("an answer");
        assert!([404, 405].contains(&answer.status), "an upgrade of {path}: {} {}", answer.status, answer.text);
    }
    let posted =
        http.send(reqwest::Method::POST, &cluster.pods[0].url("/ws"), &upgrade, None).await.expect("an answer");
    assert!([404, 405].contains(&posted.status), "POST /ws: {}", posted.status);
}
