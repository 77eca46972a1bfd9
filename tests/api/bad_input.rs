//! Bad input over HTTP gets a clear error that names the field, and changes nothing.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::plain_round;
use crate::support::reference::{array, text};
use crate::support::server::EMCEE_KEY;
use crate::support::voter::Voter;
use reqwest::Method;
use serde_json::{Value, json};

/// A room body with one thing changed.
fn room_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut room = json!({"title": "Fine", "rounds": [plain_round()]});
    change(&mut room);
    room
}

fn round_with(field: &str, value: Value) -> Value {
    room_with(|room| room["rounds"][0][field] = value)
}

fn choices(count: usize) -> Value {
    Value::Array((0..count).map(|number| json!({"label": format!("C{number}")})).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_outside_the_bounds_is_refused_and_the_field_is_named() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let before = array(&emcee.get("/rooms").await, "rooms").len();
    let with = |field: &str, value: Value| room_with(|room| room[field] = value);
    let table = [
        ("title", with("title", json!(""))),
        ("title", with("title", json!("  "))),
        ("title", with("title", json!("x".repeat(81)))),
        ("title", with("title", json!("a\nb"))),
        ("title", with("title", json!(7))),
        ("title", with("title", Value::Null)),
        ("title", room_with(|room| drop(room.as_object_mut().expect("fields").remove("title")))),
        ("votes_per_round", with("votes_per_round", json!(0))),
        ("votes_per_round", with("votes_per_round", json!(101))),
        ("votes_per_round", with("votes_per_round", json!(-1))),
        ("votes_per_round", with("votes_per_round", json!(1.5))),
        ("votes_per_round", with("votes_per_round", json!("10"))),
        ("join", with("join", json!("maybe"))),
        ("programme", with("programme", json!("hidden"))),
        ("rehearsal", with("rehearsal", json!("yes"))),
        ("partitions", with("partitions", json!(0))),
        ("partitions", with("partitions", json!(65))),
        ("rounds", with("rounds", json!([]))),
        ("rounds", with("rounds", Value::Array(vec![plain_round(); 101]))),
        ("rounds", with("rounds", json!("seven"))),
        ("rounds", room_with(|room| drop(room.as_object_mut().expect("fields").remove("rounds")))),
        ("title", round_with("title", json!("x".repeat(81)))),
        ("choices", round_with("choices", choices(1))),
        ("choices", round_with("choices", choices(9))),
        ("choices", round_with("choices", Value::Null)),
        ("label", round_with("choices", json!([{"label": "x".repeat(41)}, {"label": "B"}]))),
        ("label", round_with("choices", json!([{"label": ""}, {"label": "B"}]))),
        ("label", round_with("choices", json!([{"name": "A"}, {"label": "B"}]))),
        ("color", round_with("choices", json!([{"label": "A", "color": "red;}"}, {"label": "B"}]))),
        ("seconds", round_with("seconds", json!(4))),
        ("seconds", round_with("seconds", json!(86_401))),
        ("seconds", round_with("seconds", json!(-60))),
        ("seconds", round_with("seconds", json!("60"))),
        ("split", round_with("split", json!("secret"))),
        ("blackout_seconds", round_with("blackout_seconds", json!(-1))),
        ("blackout_seconds", round_with("blackout_seconds", json!("5"))),
    ];
    for (field, body) in table {
        let shown: String = body.to_string().chars().take(200).collect();
        let answer = emcee.call(Method::POST, "/rooms", Some(&body)).await;
        let problem = answer.expect_problem(422, "bad_request", &shown);
        assert!(text(&problem, "detail").contains(field), "{field} is not named for {shown}: {problem}");
    }
    assert_eq!(array(&emcee.get("/rooms").await, "rooms").len(), before, "no room was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_at_the_bounds_is_accepted() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let widest = json!({
        "title": "é".repeat(80), "votes_per_round": 100, "partitions": 64,
        "rounds": vec![json!({"title": "👍🏽".repeat(80), "choices": choices(8), "seconds": 86_400, "blackout_seconds": 0}); 100],
    });
    emcee.create(widest).await;
    let label = json!([{"label": "é".repeat(40)}, {"label": "x"}]);
    let narrowest = json!({"title": "x", "votes_per_round": 1, "partitions": 1,
        "rounds": [{"title": "y", "choices": label, "seconds": 5}]});
    emcee.create(narrowest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_not_json_are_refused_by_every_call_that_takes_one() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Bodies", 1).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(100, 0)).await;
    let (key, token) = (format!("Bearer {EMCEE_KEY}"), format!("Bearer {}", ann.token));
    let before = emcee.export(&room).await;
    let calls = [
        (Method::POST, "/rooms".to_owned(), &key),
        (Method::PATCH, format!("/rooms/{room}"), &key),
        (Method::POST, format!("/rooms/{room}/join"), &key),
        (Method::PATCH, format!("/rooms/{room}/me"), &token),
        (Method::POST, format!("/rooms/{room}/votes"), &token),
        (Method::PATCH, format!("/rooms/{room}/voters/{}", ann.id), &key),
        (Method::POST, format!("/rooms/{room}/invites"), &key),
        (Method::POST, format!("/rooms/{room}/rounds/1/open"), &key),
        (Method::POST, format!("/rooms/{room}/rounds/1/deadline"), &key),
        (Method::POST, format!("/rooms/{room}/rounds/1/close"), &key),
        (Method::POST, format!("/rooms/{room}/rounds/1/take"), &key),
        (Method::POST, format!("/rooms/{room}/rounds/1/decide"), &key),
        (Method::PUT, format!("/rooms/{room}/reveal"), &key),
        (Method::PUT, format!("/rooms/{room}/stage"), &key),
        (Method::POST, "/session".to_owned(), &key),
    ];
    let bodies: [&[u8]; 6] =
        [b"{", b"nonsense", b"{\"a\":1}{\"b\":2}", b"[1,2]", b"\"text\"", b"{\"name\":\"\xff\xfe\"}"];
    for (method, path, credentials) in calls {
        for body in bodies {
            let headers = [("authorization", credentials.as_str()), ("content-type", "application/json")];
            let sent = emcee.http.send_bytes(method.clone(), &emcee.url(&method, &path), &headers, body.to_vec()).await;
            let what = format!("{method} {path} with {:?}", String::from_utf8_lossy(body));
            sent.expect("an answer").expect_problem(422, "bad_request", &what);
        }
    }
    let after = emcee.export(&room).await;
    assert_eq!((&after["voters"], &after["rounds"]), (&before["voters"], &before["rounds"]), "nothing was changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_with_wrong_fields_are_refused_and_change_nothing() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Commands", 2).await;
    emcee.open(&room, 1).await;
    let before = emcee.room(&room).await["rounds"].clone();
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), body);
    let put = |path: &str, body: Value| (Method::PUT, path.to_owned(), body);
    let table = [
        ("seconds", post("/rounds/2/open", json!({"seconds": 4}))),
        ("seconds", post("/rounds/2/open", json!({"seconds": 86_401}))),
        ("seconds", post("/rounds/2/open", json!({"seconds": "60"}))),
        ("take", post("/rounds/2/open", json!({"take": "one"}))),
        ("closes_at", post("/rounds/1/deadline", json!({}))),
        ("closes_at", post("/rounds/1/deadline", json!({"closes_at": "soon"}))),
        ("take", post("/rounds/1/close", json!({"take": -1}))),
        ("take", post("/rounds/1/take", json!({}))),
        ("take", post("/rounds/1/take", json!({"take": 0}))),
        ("take", post("/rounds/1/take", json!({"take": 1.5}))),
        ("winner", post("/rounds/1/decide", json!({}))),
        ("winner", post("/rounds/1/decide", json!({"winner": 1}))),
        ("winner", post("/rounds/1/decide", json!({"winner": "ab"}))),
        ("place", put("/reveal", json!({}))),
        ("place", put("/reveal", json!({"place": 0}))),
        ("place", put("/reveal", json!({"place": 52, "top": 50}))),
        ("place", put("/reveal", json!({"place": "first"}))),
        ("top", put("/reveal", json!({"place": 1, "top": 0}))),
        ("top", put("/reveal", json!({"place": 1, "top": 1_001}))),
        ("auto_ms", put("/reveal", json!({"place": 1, "auto_ms": -1}))),
        ("screen", put("/stage", json!({}))),
        ("screen", put("/stage", json!({"screen": "fireworks"}))),
        ("names", post("/invites", json!({}))),
        ("names", post("/invites", json!({"names": "Ann"}))),
        ("name", post("/invites", json!({"names": ["Ann", ""]}))),
        ("name", post("/invites", json!({"names": ["A name that is far too long for this"]}))),
        ("removed", (Method::PATCH, "/voters/x".to_owned(), json!({"removed": "yes"}))),
    ];
    for (field, (method, path, body)) in table {
        let what = format!("{method} {path} {body}");
        let answer = emcee.call(method, &format!("/rooms/{room}{path}"), Some(&body)).await;
        let problem = answer.expect_problem(422, "bad_request", &what);
        assert!(text(&problem, "detail").contains(field), "{field} is not named for {what}: {problem}");
    }
    assert_eq!(emcee.room(&room).await["rounds"], before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_cast_over_http_is_422_and_loses_no_vote() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("No casts", 1).await;
    let ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(101, 0)).await;
    emcee.open(&room, 1).await;
    let cast = json!({"round": 1, "slip": 1, "votes": "ab"});
    ann.http(&emcee.http, Method::POST, "/votes", Some(&cast)).await.expect(200, "a cast");
    let table = [
        ("slip", json!({"round": 1, "slip": 0, "votes": "a"})),
        ("slip", json!({"round": 1, "slip": -1, "votes": "a"})),
        ("slip", json!({"round": 1, "slip": 1.5, "votes": "a"})),
        ("slip", json!({"round": 1, "slip": "3", "votes": "a"})),
        ("slip", json!({"round": 1, "slip": 1e30, "votes": "a"})),
        ("slip", json!({"round": 1, "slip": null, "votes": "a"})),
        ("slip", json!({"round": 1, "votes": "a"})),
        ("votes", json!({"round": 1, "slip": 3, "votes": ""})),
        ("votes", json!({"round": 1, "slip": 3, "votes": 1})),
        ("votes", json!({"round": 1, "slip": 3, "votes": ["a"]})),
        ("votes", json!({"round": 1, "slip": 3})),
        ("round", json!({"slip": 3, "votes": "a"})),
        ("round", json!({"round": "1", "slip": 3, "votes": "a"})),
        ("round", json!({"round": -1, "slip": 3, "votes": "a"})),
        ("take", json!({"round": 1, "take": "1", "slip": 3, "votes": "a"})),
    ];
    for (field, body) in table {
        let answer = ann.http(&emcee.http, Method::POST, "/votes", Some(&body)).await;
        let problem = answer.expect_problem(422, "bad_request", &body.to_string());
        assert!(text(&problem, "detail").contains(field), "{field} is not named for {body}: {problem}");
    }
    // far beyond the budget is a cast all the same, and judged
    let body = json!({"round": 1, "slip": 3, "votes": "a".repeat(90)});
    let answer = ann.http(&emcee.http, Method::POST, "/votes", Some(&body)).await.expect(200, "a long cast");
    assert_eq!((&answer["refused"], &answer["votes"]), (&json!("out_of_votes"), &json!("abaaaaaaaa")), "{answer}");
    let closed = emcee.close(&room, 1).await;
    assert_eq!(closed["rounds"][0]["tally"]["votes"], json!([9, 1]), "{closed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_queries_and_paths_are_refused() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Paths", 1).await;
    for path in [
        "/voters?limit=0",
        "/voters?limit=many",
        "/voters?limit=-1",
        "/ranking?top=0",
        "/ranking?top=1001",
        "/ranking?top=all",
    ] {
        let answer = emcee.call(Method::GET, &format!("/rooms/{room}{path}"), None).await;
        answer.expect_problem(422, "bad_request", path);
    }
    for path in
        ["/rooms/TOOLONGCODE", "/rooms/OOOOOO", "/rooms/%00%00%00", "/rooms/..%2f..%2f", "/rooms/\u{fc}\u{fc}\u{fc}"]
    {
        let answer = emcee.call(Method::GET, path, None).await;
        assert!([404, 422].contains(&answer.status), "{path}: {} {}", answer.status, answer.text);
    }
    for (method, path) in [
        (Method::PUT, "/rooms"),
        (Method::DELETE, "/rooms/{room}/join"),
        (Method::GET, "/rooms/{room}/votes"),
        (Method::POST, "/nowhere"),
    ] {
        let answer = emcee.call(method.clone(), &path.replace("{room}", &room), Some(&json!({}))).await;
        assert!([404, 405].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_and_the_server_continues() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Large", 1).await;
    let name = "x".repeat(8 << 20);
    let url = emcee.url(&Method::POST, &format!("/rooms/{room}/join"));
    // the server may stop reading and close: then there is no answer, which is as good as a refusal
    if let Ok(answer) = emcee.http.send(Method::POST, &url, &[], Some(&json!({"name": name}))).await {
        assert!([413, 422].contains(&answer.status), "{} {}", answer.status, answer.text);
    }
    emcee.room(&room).await;
}
