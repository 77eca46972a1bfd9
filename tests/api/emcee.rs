//! Rooms: made, listed, changed, deleted and brought back.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, code, lasting, plain_round, round};
use crate::support::reference::array;
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_creates_a_sample_event_of_seven_rounds_and_the_next_does_not_repeat_it() {
    let mut cluster = Cluster::embedded().await;
    for start in 1..=2 {
        let rooms = cluster.emcee().get("/rooms").await;
        let rooms = array(&rooms, "rooms");
        assert_eq!(rooms.len(), 1, "start {start}: {rooms:?}");
        let rounds = array(&rooms[0], "rounds");
        assert_eq!(rounds.len(), 7, "start {start}: {rounds:?}");
        assert!(rounds.iter().all(|round| array(round, "choices").len() == 2), "A and B: {rounds:?}");
        for round in &rounds[1..] {
            let sides = json!([{"letter": "a", "label": "Team Red", "color": "#d7263d"}, {"letter": "b", "label": "Team Blue", "color": "#2274a5"}]);
            assert_eq!(round["choices"], sides, "each side in the colour of its name");
        }
        cluster.pods[0].crash_and_restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_created_with_the_defaults_of_the_contract() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let rounds = json!([plain_round(), {"title": "Three", "choices": [{"label": "X", "color": "#ff0000"}, {"label": "Y"}, {"label": "Z"}],
        "seconds": 60, "split": "hidden", "blackout_seconds": 10}]);
    let body = json!({"title": "  The room  ", "rounds": rounds});
    let room = emcee.call(Method::POST, "/rooms", Some(&body)).await.expect(201, "POST /rooms");
    let code = code(&room);
    let due = [
        ("title", json!("The room")),
        ("phase", json!("lobby")),
        ("votes_per_round", json!(10)),
        ("join", json!("open")),
        ("programme", json!("open")),
        ("rehearsal", json!(false)),
        ("round", json!(0)),
    ];
    for (field, value) in due {
        assert_eq!(room[field], value, "{field}: {room}");
    }
    assert!(room["seq"].is_u64() && room["now"].is_u64() && room["stage"].is_object(), "{room}");
    assert!(room.get("reveal").is_none_or(Value::is_null), "{room}");
    let first = round(&room, 1);
    let due = [("take", json!(1)), ("phase", json!("ready")), ("split", json!("live")), ("blackout_seconds", json!(0))];
    for (field, value) in due {
        assert_eq!(first[field], value, "{field}: {first}");
    }
    let letters: Vec<&Value> = array(round(&room, 2), "choices").iter().map(|choice| &choice["letter"]).collect();
    assert_eq!(letters, ["a", "b", "c"]);
    assert_eq!(round(&room, 2)["choices"][0]["color"], "#ff0000");
    assert!(round(&room, 2)["choices"][1]["color"].is_string(), "a colour is chosen where none is given: {room}");
    for path in [format!("/rooms/{code}"), format!("/rooms/{}", code.to_lowercase())] {
        assert_eq!(lasting(&emcee.get(&path).await), lasting(&room), "the code in either case: {path}");
    }
    let public = emcee.public(Method::GET, &format!("/rooms/{code}"), None).await.expect(200, "anybody may look");
    assert_eq!(public["title"], "The room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ref_names_one_room() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let body = json!({"title": "One", "ref": "party-2025", "rounds": [plain_round()]});
    let room = emcee.create(body.clone()).await;
    let problem = emcee.refused("/rooms", body, 409, "ref_taken").await;
    assert!(problem.to_string().contains(&room), "the answer names the room that has it: {problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_are_listed_for_the_emcee() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let (one, two) = (emcee.create_plain("One", 1).await, emcee.create_plain("Two", 2).await);
    let rooms = emcee.get("/rooms").await;
    for code in [one, two] {
        let listed = array(&rooms, "rooms").iter().find(|room| room["room"] == code.as_str());
        assert!(listed.is_some_and(|room| room["rounds"].is_array()), "{code} in {rooms}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_can_be_edited_until_voting_has_made_a_field_final() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Before", 2).await;
    let path = format!("/rooms/{room}");
    let changed = emcee
        .patch(&path, json!({"title": "After", "votes_per_round": 5, "join": "invite", "programme": "secret"}))
        .await;
    let fields = (&changed["title"], &changed["votes_per_round"], &changed["join"], &changed["programme"]);
    assert_eq!(fields, (&json!("After"), &json!(5), &json!("invite"), &json!("secret")), "{changed}");
    emcee.patch(&path, json!({"programme": "open", "join": "open"})).await;

    emcee.open(&room, 1).await;
    let refused = |answer: crate::support::http::Answer, field: &str| {
        let problem = answer.expect_problem(409, "not_changeable", field);
        assert!(problem.to_string().contains(field), "the answer names {field}: {problem}");
    };
    let mut labels = plain_round();
    labels["title"] = json!("New title");
    labels["choices"][0] = json!({"label": "New label", "color": "#123456"});
    labels["split"] = json!("hidden");
    let mut later = plain_round();
    later["seconds"] = json!(90);
    let rounds = json!([labels, later, plain_round()]);
    let changed = emcee.patch(&path, json!({"rounds": rounds})).await;
    let first = round(&changed, 1);
    assert_eq!((&first["title"], &first["split"]), (&json!("New title"), &json!("hidden")), "{first}");
    assert_eq!((&first["choices"][0]["label"], &first["phase"]), (&json!("New label"), &json!("open")), "{first}");
    assert_eq!(array(&changed, "rounds").len(), 3, "a round was added: {changed}");

    let mut third_choice = labels.clone();
    third_choice["choices"] = json!([{"label": "A"}, {"label": "B"}, {"label": "C"}]);
    let body = json!({"rounds": [third_choice, later]});
    refused(emcee.call(Method::PATCH, &path, Some(&body)).await, "choices");
    let body = json!({"rounds": []});
    let answer = emcee.call(Method::PATCH, &path, Some(&body)).await;
    assert!([409, 422].contains(&answer.status), "an opened round cannot be dropped: {}", answer.text);
    let body = json!({"partitions": 4});
    refused(emcee.call(Method::PATCH, &path, Some(&body)).await, "partitions");
    emcee.close(&room, 1).await;
    labels["split"] = json!("live");
    let body = json!({"rounds": [labels, later]});
    refused(emcee.call(Method::PATCH, &path, Some(&body)).await, "split");
    labels["split"] = json!("hidden");
    let dropped = emcee.patch(&path, json!({"rounds": [labels, later]})).await;
    assert_eq!(array(&dropped, "rounds").len(), 2, "a later round was dropped: {dropped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_sent_to_every_socket() {
    let cluster = Cluster::redis(2).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Before", 1).await;
    let mut stages = Vec::new();
    for pod in cluster.addresses() {
        stages.push(Socket::stage(pod, &room).await);
    }
    emcee.at(0).patch(&format!("/rooms/{room}"), json!({"title": "After"})).await;
    for stage in &mut stages {
        stage.wait_for("the new title", |name, body| name == "state" && body["room"]["title"] == "After").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_shows_counts_and_results_over_http() {
    for cluster in [Cluster::embedded().await, Cluster::redis(2).await] {
        let emcee = cluster.emcee();
        let room = emcee.create_plain("Seen", 1).await;
        let mut ann = Voter::join(&emcee.http, &cluster.addresses(), &room, "Ann", dice(110, 0)).await;
        emcee.open(&room, 1).await;
        for (letters, votes) in [("aa", json!([2, 0])), ("b", json!([2, 1]))] {
            assert_eq!(ann.cast(1, 1, letters).await, Verdict::Stored);
            for pod in 0..cluster.pods.len() {
                soon(&emcee.at(pod), &room, |room| round(room, 1)["tally"]["votes"] == votes).await;
            }
        }
        emcee.close(&room, 1).await;
        for pod in 0..cluster.pods.len() {
            let at = emcee.at(pod);
            soon(&at, &room, |room| round(room, 1)["winner"] == "a").await;
            let ranking = at.get(&format!("/rooms/{room}/ranking")).await;
            assert_eq!(ranking["of"], 1, "process {pod} ranks what it shows as closed: {ranking}");
        }
    }
}

/// Reads the room until it is as expected: viewers agree within a second where nothing fails.
async fn soon(emcee: &Emcee, room: &str, expected: impl Fn(&Value) -> bool) {
    let since = Instant::now();
    loop {
        let seen = emcee.room(room).await;
        if expected(&seen) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(1), "after a second still {seen}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_room_needs_its_title_and_can_be_undone() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Mine & yours", 1).await;
    let mut stage = Socket::stage(cluster.addresses()[0], &room).await;
    let delete = |title: &str| format!("/rooms/{room}?title={title}");
    emcee.open(&room, 1).await;
    let answer = emcee.call(Method::DELETE, &delete("Mine%20%26%20yours"), None).await;
    assert_eq!(answer.status, 409, "a round is open: {}", answer.text);
    emcee.close(&room, 1).await;
    for wrong in ["", "Mine", "mine%20%26%20yours"] {
        let answer = emcee.call(Method::DELETE, &delete(wrong), None).await;
        assert!([409, 422].contains(&answer.status), "title {wrong:?}: {} {}", answer.status, answer.text);
    }
    emcee.call(Method::DELETE, &delete("Mine%20%26%20yours"), None).await.expect(204, "DELETE");
    let (_, before) = stage.closed().await;
    assert!(before.iter().any(|(name, body)| name == "bye" && body["reason"] == "room_deleted"), "{before:?}");
    let gone = emcee.public(Method::GET, &format!("/rooms/{room}"), None).await;
    gone.expect_problem(404, "no_such_room", "a deleted room");
    let back = emcee.post(&format!("/rooms/{room}/undelete"), json!({})).await;
    assert_eq!((&back["title"], &round(&back, 1)["phase"]), (&json!("Mine & yours"), &json!("closed")), "{back}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_does_not_exist_is_404_for_every_call_on_it() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let calls = [
        (Method::GET, "", Value::Null),
        (Method::PATCH, "", json!({"title": "x"})),
        (Method::DELETE, "?title=x", Value::Null),
        (Method::POST, "/undelete", json!({})),
        (Method::POST, "/join", json!({"name": "Ann"})),
        (Method::GET, "/voters", Value::Null),
        (Method::PATCH, "/voters/nobody", json!({"removed": true})),
        (Method::POST, "/invites", json!({"names": ["Ann"]})),
        (Method::POST, "/rounds/1/open", json!({})),
        (Method::POST, "/rounds/1/deadline", json!({"closes_at": null})),
        (Method::POST, "/rounds/1/close", json!({})),
        (Method::POST, "/rounds/1/take", json!({"take": 1})),
        (Method::POST, "/rounds/1/show", json!({})),
        (Method::POST, "/rounds/1/decide", json!({"winner": null})),
        (Method::PUT, "/reveal", json!({"place": 1})),
        (Method::PUT, "/stage", json!({"screen": "auto"})),
        (Method::GET, "/ranking", Value::Null),
        (Method::GET, "/export?format=json", Value::Null),
        (Method::GET, "/audit", Value::Null),
    ];
    for (method, path, body) in calls {
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = emcee.call(method.clone(), &format!("/rooms/ZZZZZZ{path}"), body).await;
        answer.expect_problem(404, "no_such_room", &format!("{method} {path}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_does_not_exist_is_404() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("One round", 1).await;
    for number in [0, 2, 101] {
        let path = format!("/rooms/{room}/rounds/{number}/open");
        let answer = emcee.call(Method::POST, &path, Some(&json!({}))).await;
        assert!([404, 422].contains(&answer.status), "round {number}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stage_settings_can_be_reset() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Stage", 1).await;
    let answer = emcee.put(&format!("/rooms/{room}/stage"), json!({"screen": "auto"})).await;
    assert_eq!(answer["stage"]["screen"], "auto", "{answer}");
}
