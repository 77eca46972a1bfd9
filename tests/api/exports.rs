//! Exports, the ranking as a list, and the audit.

use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, code, plain_round, round};
use crate::support::ranking::Ranking;
use crate::support::reference::{Reference, array, text};
use crate::support::voter::{Verdict, Voter};
use reqwest::Method;
use serde_json::{Value, json};

/// A short evening: two rounds, the first run twice, four voters. Gives what a reference knows of it.
async fn small_evening(cluster: &Cluster) -> (Emcee, String, Reference) {
    let emcee = cluster.emcee();
    let body = json!({"title": "Small", "votes_per_round": 3, "rounds": [
        {"title": "First", "choices": [{"label": "Red", "color": "#ff0000"}, {"label": "Blue"}], "seconds": 600, "blackout_seconds": 5},
        {"title": "Second", "choices": [{"label": "X"}, {"label": "Y"}, {"label": "Z"}], "split": "hidden"}]});
    let room = emcee.create(body).await;
    let mut reference =
        Reference { choices: [(1, 2), (2, 3)].into(), counted: [(1, 2), (2, 1)].into(), ..Reference::default() };
    let mut voters = Vec::new();
    for name in ["Ann", "Bea, \"B\"", "Cyn", "Dée"] {
        let voter = Voter::join(&emcee.http, &cluster.addresses(), &room, name, dice(60, voters.len() as u64)).await;
        reference.names.insert(voter.id.clone(), voter.name.clone());
        voters.push(voter);
    }
    let plan = [((1, 1), ["bbb", "b", "", "b"]), ((1, 2), ["aab", "a", "b", ""]), ((2, 1), ["ccc", "ca", "b", ""])];
    for (take_id, votes) in plan {
        if take_id == (1, 2) {
            emcee.take(&room, 1, 2).await;
        }
        emcee.open(&room, take_id.0).await;
        for (voter, votes) in voters.iter_mut().zip(votes) {
            reference.add(take_id, &voter.id, votes);
            if !votes.is_empty() {
                assert_eq!(voter.cast(take_id.0, take_id.1, votes).await, Verdict::Stored);
            }
        }
        emcee.close(&room, take_id.0).await;
    }
    (emcee, room, reference)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_json_export_holds_every_ballot_of_every_take_and_the_ranking() {
    for cluster in [Cluster::embedded().await, Cluster::redis(1).await] {
        let (emcee, room, mut reference) = small_evening(&cluster).await;
        let export = emcee.export(&room).await;
        assert_eq!(code(&export["room"]), room);
        reference.check_export(&export);
        reference.check_room(&export["room"]);
        let names: Vec<String> = array(&export, "voters").iter().map(|voter| text(voter, "name")).collect();
        assert_eq!(names.len(), 4, "{export}");
        let ranking = Ranking::of(&reference);
        assert_eq!(ranking.placed.len(), 3, "who voted in the voided take alone has no place");
        ranking.check_entries(array(&export, "ranking"), u32::MAX);
        let listed = emcee.get(&format!("/rooms/{room}/ranking")).await;
        ranking.check_entries(array(&listed, "entries"), 50);
        assert_eq!(listed["of"], 3, "{listed}");
        let top = emcee.get(&format!("/rooms/{room}/ranking?top=1")).await;
        ranking.check_entries(array(&top, "entries"), 1);
        reference.check_audit(&emcee.audit(&room).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_csv_and_ndjson_exports_are_complete_and_well_formed() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = small_evening(&cluster).await;
    let csv = emcee.call(Method::GET, &format!("/rooms/{room}/export?format=csv"), None).await;
    assert_eq!(csv.status, 200, "{}", csv.text);
    assert!(csv.header("content-type").starts_with("text/csv"), "{}", csv.header("content-type"));
    let mut rows = csv::ReaderBuilder::new().from_reader(csv.text.trim_start_matches('\u{feff}').as_bytes());
    let header = rows.headers().expect("a header").clone();
    assert!(header.iter().any(|column| column == "votes"), "{header:?}");
    let rows: Vec<csv::StringRecord> =
        rows.records().collect::<Result<_, _>>().expect("every row has the header's columns");
    assert_eq!(rows.len(), 9, "one row for each ballot: {}", csv.text);
    assert!(rows.iter().any(|row| row.iter().any(|cell| cell == "Bea, \"B\"")), "quoted: {}", csv.text);

    let lines = emcee.call(Method::GET, &format!("/rooms/{room}/export?format=ndjson"), None).await;
    assert_eq!(lines.status, 200, "{}", lines.text);
    assert!(lines.header("content-type").contains("ndjson"), "{}", lines.header("content-type"));
    let parsed: Result<Vec<Value>, _> = lines.text.lines().map(serde_json::from_str).collect();
    let parsed = parsed.expect("every line is JSON");
    let ballots = parsed.iter().filter(|line| line.to_string().contains("\"votes\":\"")).count();
    assert_eq!(ballots, 9, "a line for each ballot: {}", lines.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_event_creates_the_same_room() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = small_evening(&cluster).await;
    let event = emcee.get(&format!("/rooms/{room}/export?format=event")).await;
    let again = emcee.call(Method::POST, "/rooms", Some(&event)).await.expect(201, &format!("POST {event}"));
    assert_ne!(code(&again), room);
    let before = emcee.room(&room).await;
    for field in ["title", "votes_per_round", "join", "programme", "rehearsal"] {
        assert_eq!(again[field], before[field], "{field}");
    }
    for number in 1..=2 {
        for field in ["title", "choices", "split", "blackout_seconds"] {
            assert_eq!(round(&again, number)[field], round(&before, number)[field], "round {number}: {field}");
        }
    }
    let opened = emcee.open(&code(&again), 1).await;
    let first = round(&opened, 1);
    let runs = first["closes_at"].as_i64().expect("timed") - first["opened_at"].as_i64().expect("opened");
    assert_eq!(runs, 600_000, "the seconds too: {first}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_format_is_refused() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Formats", 1).await;
    for query in ["?format=pdf", "?format=", "?format=JSON5"] {
        let answer = emcee.call(Method::GET, &format!("/rooms/{room}/export{query}"), None).await;
        answer.expect_problem(422, "bad_request", query);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_partitions_does_not_change_any_output() {
    for cluster in [Cluster::embedded().await, Cluster::redis(2).await] {
        let emcee = cluster.emcee();
        let rounds = json!([plain_round()]);
        let room = emcee.create(json!({"title": "Parts", "partitions": 7, "rounds": rounds})).await;
        emcee.open(&room, 1).await;
        let mut reference = Reference { choices: [(1, 2)].into(), counted: [(1, 1)].into(), ..Reference::default() };
        for number in 0..40u64 {
            let name = format!("Voter {number}");
            let mut voter = Voter::join(&emcee.http, &cluster.addresses(), &room, &name, dice(61, number)).await;
            let votes = if number % 3 == 0 { "aab" } else { "abb" };
            assert_eq!(voter.cast(1, 1, votes).await, Verdict::Stored);
            reference.names.insert(voter.id.clone(), name);
            reference.add((1, 1), &voter.id, votes);
        }
        reference.check_room(&emcee.close(&room, 1).await);
        let export = emcee.export(&room).await;
        reference.check_export(&export);
        reference.check_audit(&emcee.audit(&room).await);
        Ranking::of(&reference).check_entries(array(&export, "ranking"), u32::MAX);
    }
}
