//! Event files: what is planned is what is applied, and twice is the same as once.

use super::operator::{Operator, PARTY};
use crate::support::cluster::Cluster;
use crate::support::emcee::{Emcee, lasting};
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
async fn applied(cluster: &Cluster) -> (Operator, String) {
    let operator = Operator::at(cluster);
    operator.run(&["apply", "party.toml"]).await.expect(0, &["Applied to room"]);
    let code = party(&cluster.emcee()).await["room"].as_str().expect("a code").to_owned();
    (operator, code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applied_file_has_no_further_changes() {
    let cluster = Cluster::embedded().await;
    let operator = Operator::at(&cluster);
    let planned =
        operator.run(&["plan", "party.toml"]).await.expect(2, &["a new room", "+ title", "\"Party\"", "+ round 3"]);
    let listed = cluster.emcee().get("/rooms").await;
    assert!(listed["rooms"].as_array().expect("a list").iter().all(|room| room["ref"] != "party"), "planned only");

    let applied = operator.run(&["apply", "party.toml"]).await.expect(0, &["Applied to room", "/stage/", "/emcee"]);
    assert!(applied.out.starts_with(&planned.out), "the same difference: {applied:?} {planned:?}");
    let room = party(&cluster.emcee()).await;
    assert_eq!((&room["title"], &room["votes_per_round"]), (&json!("Party"), &json!(5)));
    assert_eq!(room["rounds"][0]["choices"][1], json!({"letter": "b", "label": "Blue", "color": "#0000ff"}));
    assert_eq!((&room["rounds"][0]["seconds"], &room["rounds"][2]["split"]), (&json!(60), &json!("held")));

    operator.run(&["plan", "party.toml"]).await.expect(0, &["No changes"]);
    operator.run(&["apply", "party.toml"]).await.expect(0, &["No changes"]);
    assert_eq!(party(&cluster.emcee()).await["seq"], room["seq"], "nothing was written the second time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_shown_and_applied_exactly() {
    for cluster in [Cluster::embedded().await, Cluster::redis(2).await] {
        let (operator, code) = applied(&cluster).await;
        let stage = json!({"screen": "auto", "message": "AcceptedHandshake", "join_code": true});
        cluster.emcee().put(&format!("/rooms/{code}/stage"), stage).await;
        let before = party(&cluster.emcee()).await;
        operator.rewrite("\"Party\"", "\"Gala\"");
        operator.rewrite("\"Plum\"]", "\"Plum\"]\nseconds = 90");
        operator.rewrite("\"Red\"", "\"Crimson\"");
        let added = "[[round]]\ntitle = \"Encore\"\nchoices = [\"Yes\", \"No\"]\n";
        operator.write("party.toml", &(operator.read("party.toml") + "\n" + added));
        let says = [
            "~ title                    \"Party\" → \"Gala\"",
            "~ round 1, choice a, label  \"Red\" → \"Crimson\"",
            "~ round 2, seconds         none → 90",
            "+ round 4",
            "4 changes",
        ];
        let says = says.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let planned = operator.run(&["plan", "party.toml"]).await.expect(2, &[]);
        let shown = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
        says.iter().for_each(|line| assert!(shown.contains(line), "{line:?} in {shown}"));
        assert_eq!(party(&cluster.emcee()).await["seq"], before["seq"], "a plan changes nothing");

        operator.run(&["apply", "party.toml"]).await.expect(0, &["Applied"]);
        let mut wanted = before.clone();
        wanted["title"] = "Gala".into();
        wanted["rounds"][0]["choices"][0]["label"] = "Crimson".into();
        wanted["rounds"][1]["seconds"] = 90.into();
        let after = party(&cluster.emcee()).await;
        let mut fourth = before["rounds"][1].clone();
        (fourth["round"], fourth["title"]) = (4.into(), "Encore".into());
        (fourth["choices"][0]["label"], fourth["choices"][1]["label"]) = ("Yes".into(), "No".into());
        wanted["rounds"].as_array_mut().expect("rounds").push(fourth);
        assert_eq!(lasting(&after), lasting(&wanted), "exactly that, and what the emcee has set stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_removed_from_the_file_are_dropped() {
    let cluster = Cluster::embedded().await;
    let (operator, _) = applied(&cluster).await;
    let shorter = PARTY.rsplit_once("\n[[round]]").expect("three rounds").0;
    operator.write("party.toml", shorter);
    operator.run(&["plan", "party.toml"]).await.expect(2, &["- round 3", "\"The end\": \"Yes\", \"No\"; split held"]);
    operator.run(&["apply", "party.toml"]).await.expect(0, &[]);
    assert_eq!(party(&cluster.emcee()).await["rounds"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_promises_what_the_server_does() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
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
        let (operator, code) = applied(&cluster).await;
        emcee.open(&code, 1).await;
        emcee.close(&code, 1).await;
        emcee.open(&code, 2).await;
        let before = party(&emcee).await;
        operator.rewrite(from, to);
        let (planned, done) =
            (operator.run(&["plan", "party.toml"]).await, operator.run(&["apply", "party.toml"]).await);
        let after = party(&emcee).await;
        if let Some(field) = field {
            planned.expect(1, &[&format!("! {field}"), "would refuse"]);
            done.expect(1, &["would refuse"]);
            assert_eq!(lasting(&after), lasting(&before), "{to}: nothing is applied if a part would be refused");
            // the same, said to the server itself
            let body = operator.run(&["plan", "party.toml", "--json"]).await.json();
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
            operator.run(&["plan", "party.toml"]).await.expect(0, &["No changes"]);
        }
        emcee.close(&code, 2).await;
        let title = party(&emcee).await["title"].as_str().expect("a title").to_owned();
        let gone = emcee.call(Method::DELETE, &format!("/rooms/{code}?title={title}"), None).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_has_changed_since_it_was_shown_is_not_applied() {
    let cluster = Cluster::embedded().await;
    let (operator, code) = applied(&cluster).await;
    operator.rewrite("\"Party\"", "\"Gala\"");
    let word =
        operator.run(&["plan", "party.toml", "--json"]).await.json()["plan"].as_str().expect("a word").to_owned();
    cluster.emcee().patch(&format!("/rooms/{code}"), json!({"title": "Ball"})).await;
    operator.run(&["apply", "party.toml", "--expect", &word]).await.expect(1, &[&word, "nothing was changed"]);
    assert_eq!(party(&cluster.emcee()).await["title"], "Ball");
    let word =
        operator.run(&["plan", "party.toml", "--json"]).await.json()["plan"].as_str().expect("a word").to_owned();
    operator.run(&["apply", "party.toml", "--expect", &word]).await.expect(0, &["Applied"]);
    let again = operator.run(&["apply", "party.toml", "--expect", &word]).await;
    again.expect(0, &["No changes"]);
    assert_eq!(party(&cluster.emcee()).await["title"], "Gala");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invites_are_made_once_written_with_private_permissions_and_never_revoked() {
    let cluster = Cluster::redis(1).await;
    let operator = Operator::at(&cluster);
    operator.rewrite("votes_per_round = 5", "join = \"invite\"\ninvites = [\"Ann\"]\ninvites_file = \"guests.csv\"");
    operator.write("guests.csv", "name,table\nBen,1\n");
    operator.run(&["plan", "party.toml"]).await.expect(2, &["+ 2 invites: Ann, Ben"]);
    operator.run(&["apply", "party.toml", "--invites-out", "out.csv"]).await.expect(0, &["Applied"]);
    operator.run(&["plan", "party.toml"]).await.expect(0, &["No changes"]);
    let first = operator.read("out.csv");
    let rows: Vec<Vec<&str>> = first.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].clone(), rows[1][0], rows[2][0]), (3, vec!["name", "invite", "url"], "Ann", "Ben"));
    assert!(rows[1][2].ends_with(&format!("#invite={}", rows[1][1])), "{first}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(operator.path("out.csv")).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let code = party(&cluster.emcee()).await["room"].as_str().expect("a code").to_owned();
    let ann = json!({"invite": rows[1][1]});
    let ann = join(&cluster.emcee().http, cluster.addresses()[0], &code, &ann).await.expect(201, "an invite lets in");
    assert_eq!(ann["name"], "Ann");

    operator.rewrite("[\"Ann\"]", "[\"Cleo\"]");
    operator.run(&["plan", "party.toml"]).await.expect(2, &["+ 1 invite: Cleo", "stays so: Ann"]);
    operator.run(&["apply", "party.toml", "--invites-out", "out.csv"]).await.expect(0, &[]);
    let second = operator.read("out.csv");
    assert!(second.contains(rows[2][1]) && !second.contains("Ann") && second.contains("Cleo"), "{first} {second}");
    operator.run(&["apply", "party.toml"]).await.expect(0, &["No changes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_room_releases_its_ref() {
    let cluster = Cluster::embedded().await;
    let (operator, code) = applied(&cluster).await;
    let gone = cluster.emcee().call(Method::DELETE, &format!("/rooms/{code}?title=Party"), None).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    operator.run(&["plan", "party.toml"]).await.expect(2, &["a new room"]);
    operator.run(&["apply", "party.toml"]).await.expect(0, &["Applied to room"]);
    assert_ne!(party(&cluster.emcee()).await["room"], code.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_can_be_printed_as_json() {
    let cluster = Cluster::embedded().await;
    let (operator, code) = applied(&cluster).await;
    operator.rewrite("seconds = 60", "seconds = 90");
    let plan = operator.run(&["plan", "party.toml", "--json"]).await.expect(2, &[]).json();
    let change = json!([{"field": "rounds[0].seconds", "old": 60, "new": 90}]);
    assert_eq!((&plan["room"], &plan["refused"], &plan["changes"]), (&json!(code), &json!(false), &change));
    let done = operator.run(&["apply", "party.toml", "--json"]).await.expect(0, &[]).json();
    assert_eq!((&done["plan"], &done["room"]), (&plan["plan"], &json!(code)));
    assert!(done["links"]["voters"].as_str().is_some_and(|link| link.ends_with(&format!("/r/{code}"))), "{done}");
    cluster.emcee().open(&code, 1).await;
    operator.rewrite("seconds = 90", "seconds = 91");
    for command in ["plan", "apply"] {
        let refused = operator.run(&[command, "party.toml", "--json"]).await.expect(1, &[]).json();
        assert_eq!(refused["refused"], true, "{command}: {refused}");
        assert!(refused["changes"][0]["refused"].is_string(), "{command}: {refused}");
    }
}
