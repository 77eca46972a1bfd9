//! Event files: what is planned is what is applied, and twice is the same as once.

use super::desk::{Desk, PARTY};
use crate::support::emcee::{Emcee, lasting};
use crate::support::hall::Hall;
use crate::support::voter::join;
use reqwest::Method;
use serde_json::{Value, json};

/// The room of the event file, as the emcee sees it.
async fn party(emcee: &Emcee) -> Value {
    let rooms = emcee.get("/rooms").await;
    let rooms = rooms["rooms"].as_array().expect("a list");
    let code = rooms.iter().find(|room| room["ref"] == "party").expect("the room of the file")["room"].clone();
    emcee.room(code.as_str().expect("a code")).await
}

/// A desk whose file is applied.
async fn applied(hall: &Hall) -> (Desk, String) {
    let desk = Desk::at(hall);
    desk.run(&["apply", "party.toml"]).await.expect(0, &["Applied to room"]);
    let code = party(&hall.emcee()).await["room"].as_str().expect("a code").to_owned();
    (desk, code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_was_applied_leaves_nothing_to_plan() {
    let hall = Hall::embedded().await;
    let desk = Desk::at(&hall);
    let planned =
        desk.run(&["plan", "party.toml"]).await.expect(2, &["a new room", "+ title", "\"Party\"", "+ round 3"]);
    let listed = hall.emcee().get("/rooms").await;
    assert!(listed["rooms"].as_array().expect("a list").iter().all(|room| room["ref"] != "party"), "planned only");

    let applied = desk.run(&["apply", "party.toml"]).await.expect(0, &["Applied to room", "/stage/", "/emcee"]);
    assert!(applied.out.starts_with(&planned.out), "the same difference: {applied:?} {planned:?}");
    let room = party(&hall.emcee()).await;
    assert_eq!((&room["title"], &room["votes_per_round"]), (&json!("Party"), &json!(5)));
    assert_eq!(room["rounds"][0]["choices"][1], json!({"letter": "b", "label": "Blue", "color": "#0000ff"}));
    assert_eq!((&room["rounds"][0]["seconds"], &room["rounds"][2]["split"]), (&json!(60), &json!("held")));

    desk.run(&["plan", "party.toml"]).await.expect(0, &["No changes"]);
    desk.run(&["apply", "party.toml"]).await.expect(0, &["No changes"]);
    assert_eq!(party(&hall.emcee()).await["seq"], room["seq"], "nothing was written the second time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_shown_and_applied_exactly() {
    for hall in [Hall::embedded().await, Hall::redis(2).await] {
        let (desk, code) = applied(&hall).await;
        let stage = json!({"screen": "auto", "message": "AcceptedHandshake", "join_code": true});
        hall.emcee().put(&format!("/rooms/{code}/stage"), stage).await;
        let before = party(&hall.emcee()).await;
        desk.rewrite("\"Party\"", "\"Gala\"");
        desk.rewrite("\"Plum\"]", "\"Plum\"]\nseconds = 90");
        desk.rewrite("\"Red\"", "\"Crimson\"");
        let added = "[[round]]\ntitle = \"Encore\"\nchoices = [\"Yes\", \"No\"]\n";
        desk.write("party.toml", &(desk.read("party.toml") + "\n" + added));
        let says = [
            "~ title                    \"Party\" → \"Gala\"",
            "~ round 1, choice a, label  \"Red\" → \"Crimson\"",
            "~ round 2, seconds         none → 90",
            "+ round 4",
            "4 changes",
        ];
        let says = says.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let planned = desk.run(&["plan", "party.toml"]).await.expect(2, &[]);
        let shown = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
        says.iter().for_each(|line| assert!(shown.contains(line), "{line:?} in {shown}"));
        assert_eq!(party(&hall.emcee()).await["seq"], before["seq"], "a plan changes nothing");

        desk.run(&["apply", "party.toml"]).await.expect(0, &["Applied"]);
        let mut wanted = before.clone();
        wanted["title"] = "Gala".into();
        wanted["rounds"][0]["choices"][0]["label"] = "Crimson".into();
        wanted["rounds"][1]["seconds"] = 90.into();
        let after = party(&hall.emcee()).await;
        let mut fourth = before["rounds"][1].clone();
        (fourth["round"], fourth["title"]) = (4.into(), "Encore".into());
        (fourth["choices"][0]["label"], fourth["choices"][1]["label"]) = ("Yes".into(), "No".into());
        wanted["rounds"].as_array_mut().expect("rounds").push(fourth);
        assert_eq!(lasting(&after), lasting(&wanted), "exactly that, and what the emcee has set stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_that_are_not_in_the_file_any_more_are_dropped() {
    let hall = Hall::embedded().await;
    let (desk, _) = applied(&hall).await;
    let shorter = PARTY.rsplit_once("\n[[round]]").expect("three rounds").0;
    desk.write("party.toml", shorter);
    desk.run(&["plan", "party.toml"]).await.expect(2, &["- round 3", "\"The end\": \"Yes\", \"No\"; split held"]);
    desk.run(&["apply", "party.toml"]).await.expect(0, &[]);
    assert_eq!(party(&hall.emcee()).await["rounds"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_promises_what_the_server_does() {
    let hall = Hall::embedded().await;
    let emcee = hall.emcee();
    // round 1 is closed, round 2 open, round 3 ready
    for (from, to, field) in [
        ("\"Party\"", "\"Gala\"", None),
        ("ref = \"party\"", "ref = \"party\"\njoin = \"closed\"", None),
        ("votes_per_round = 5", "votes_per_round = 6", Some("votes_per_round")),
        ("ref = \"party\"", "ref = \"party\"\nrehearsal = true", Some("rehearsal")),
        ("ref = \"party\"", "ref = \"party\"\npartitions = 2", Some("partitions")),
        ("seconds = 60", "seconds = 90", Some("round 1, seconds")),
        ("seconds = 60", "seconds = 60\nsplit = \"hidden\"", Some("round 1, split")),
        ("seconds = 60", "seconds = 60\nblackout_seconds = 5", Some("round 1, blackout_seconds")),
        ("\"Red\"", "\"Crimson\"", None),
        ("\"Plum\"]", "\"Plum\"]\nsplit = \"hidden\"", None),
        ("\"Plum\"]", "\"Plum\", \"Fig\"]", Some("round 2, choices")),
        ("\"No\"]", "\"No\", \"Both\"]\nseconds = 9", None),
        ("\n[[round]]\ntitle = \"The end\"\nchoices = [\"Yes\", \"No\"]\nsplit = \"held\"\n", "", None),
    ] {
        let (desk, code) = applied(&hall).await;
        emcee.open(&code, 1).await;
        emcee.close(&code, 1).await;
        emcee.open(&code, 2).await;
        let before = party(&emcee).await;
        desk.rewrite(from, to);
        let (planned, done) = (desk.run(&["plan", "party.toml"]).await, desk.run(&["apply", "party.toml"]).await);
        let after = party(&emcee).await;
        if let Some(field) = field {
            planned.expect(1, &[&format!("! {field}"), "would refuse"]);
            done.expect(1, &["would refuse"]);
            assert_eq!(lasting(&after), lasting(&before), "{to}: nothing is applied if a part would be refused");
            // the same, said to the server itself
            let body = desk.run(&["plan", "party.toml", "--json"]).await.json();
            let changed = &body["changes"][0];
            let body = match changed["field"].as_str().expect("a field").split_once('.') {
                None => json!({changed["field"].as_str().expect("a field"): changed["new"]}),
                Some((_, name)) => {
                    let mut rounds = after["rounds"].clone();
                    for round in rounds.as_array_mut().expect("rounds") {
                        let keep = ["title", "choices", "seconds", "split", "blackout_seconds"];
                        round.as_object_mut().expect("a round").retain(|key, _| keep.contains(&key.as_str()));
                        for choice in round["choices"].as_array_mut().expect("choices") {
                            choice.as_object_mut().expect("a choice").remove("letter");
                        }
                    }
                    let index = usize::from(field.starts_with("round 2"));
                    rounds[index][name] = match name {
                        "choices" => json!([{"label": "a"}, {"label": "b"}, {"label": "c"}]),
                        _ => changed["new"].clone(),
                    };
                    json!({"rounds": rounds})
                }
            };
            let answer = emcee.call(Method::PATCH, &format!("/rooms/{code}"), Some(&body)).await;
            answer.expect_problem(409, "not_changeable", to);
        } else {
            planned.expect(2, &["Plan "]);
            done.expect(0, &["Applied"]);
            desk.run(&["plan", "party.toml"]).await.expect(0, &["No changes"]);
        }
        emcee.close(&code, 2).await;
        let title = party(&emcee).await["title"].as_str().expect("a title").to_owned();
        let gone = emcee.call(Method::DELETE, &format!("/rooms/{code}?title={title}"), None).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_not_the_expected_one_any_more_is_not_applied() {
    let hall = Hall::embedded().await;
    let (desk, code) = applied(&hall).await;
    desk.rewrite("\"Party\"", "\"Gala\"");
    let word = desk.run(&["plan", "party.toml", "--json"]).await.json()["plan"].as_str().expect("a word").to_owned();
    hall.emcee().patch(&format!("/rooms/{code}"), json!({"title": "Ball"})).await;
    desk.run(&["apply", "party.toml", "--expect", &word]).await.expect(1, &[&word, "nothing was changed"]);
    assert_eq!(party(&hall.emcee()).await["title"], "Ball");
    let word = desk.run(&["plan", "party.toml", "--json"]).await.json()["plan"].as_str().expect("a word").to_owned();
    desk.run(&["apply", "party.toml", "--expect", &word]).await.expect(0, &["Applied"]);
    let again = desk.run(&["apply", "party.toml", "--expect", &word]).await;
    again.expect(0, &["No changes"]);
    assert_eq!(party(&hall.emcee()).await["title"], "Gala");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invites_are_made_once_written_down_for_their_owner_alone_and_never_taken_back() {
    let hall = Hall::redis(1).await;
    let desk = Desk::at(&hall);
    desk.rewrite("votes_per_round = 5", "join = \"invite\"\ninvites = [\"Ann\"]\ninvites_file = \"guests.csv\"");
    desk.write("guests.csv", "name,table\nBen,1\n");
    desk.run(&["plan", "party.toml"]).await.expect(2, &["+ 2 invites: Ann, Ben"]);
    desk.run(&["apply", "party.toml", "--invites-out", "out.csv"]).await.expect(0, &["Applied"]);
    desk.run(&["plan", "party.toml"]).await.expect(0, &["No changes"]);
    let first = desk.read("out.csv");
    let rows: Vec<Vec<&str>> = first.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].clone(), rows[1][0], rows[2][0]), (3, vec!["name", "invite", "url"], "Ann", "Ben"));
    assert!(rows[1][2].ends_with(&format!("#invite={}", rows[1][1])), "{first}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(desk.path("out.csv")).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let code = party(&hall.emcee()).await["room"].as_str().expect("a code").to_owned();
    let ann = json!({"invite": rows[1][1]});
    let ann = join(&hall.emcee().http, hall.addresses()[0], &code, &ann).await.expect(201, "an invite lets in");
    assert_eq!(ann["name"], "Ann");

    desk.rewrite("[\"Ann\"]", "[\"Cleo\"]");
    desk.run(&["plan", "party.toml"]).await.expect(2, &["+ 1 invite: Cleo", "stays so: Ann"]);
    desk.run(&["apply", "party.toml", "--invites-out", "out.csv"]).await.expect(0, &[]);
    let second = desk.read("out.csv");
    assert!(second.contains(rows[2][1]) && !second.contains("Ann") && second.contains("Cleo"), "{first} {second}");
    desk.run(&["apply", "party.toml"]).await.expect(0, &["No changes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_room_does_not_keep_its_ref() {
    let hall = Hall::embedded().await;
    let (desk, code) = applied(&hall).await;
    let gone = hall.emcee().call(Method::DELETE, &format!("/rooms/{code}?title=Party"), None).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    desk.run(&["plan", "party.toml"]).await.expect(2, &["a new room"]);
    desk.run(&["apply", "party.toml"]).await.expect(0, &["Applied to room"]);
    assert_ne!(party(&hall.emcee()).await["room"], code.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_reads_plans_as_json() {
    let hall = Hall::embedded().await;
    let (desk, code) = applied(&hall).await;
    desk.rewrite("seconds = 60", "seconds = 90");
    let plan = desk.run(&["plan", "party.toml", "--json"]).await.expect(2, &[]).json();
    let change = json!([{"field": "rounds[0].seconds", "old": 60, "new": 90}]);
    assert_eq!((&plan["room"], &plan["refused"], &plan["changes"]), (&json!(code), &json!(false), &change));
    let done = desk.run(&["apply", "party.toml", "--json"]).await.expect(0, &[]).json();
    assert_eq!((&done["plan"], &done["room"]), (&plan["plan"], &json!(code)));
    assert!(done["links"]["voters"].as_str().is_some_and(|link| link.ends_with(&format!("/r/{code}"))), "{done}");
    hall.emcee().open(&code, 1).await;
    desk.rewrite("seconds = 90", "seconds = 91");
    for command in ["plan", "apply"] {
        let refused = desk.run(&[command, "party.toml", "--json"]).await.expect(1, &[]).json();
        assert_eq!(refused["refused"], true, "{command}: {refused}");
        assert!(refused["changes"][0]["refused"].is_string(), "{command}: {refused}");
    }
}
