//! An export that is verified without a server: what a losing side does after the evening.

use super::operator::Operator;
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, plain_round};
use crate::support::reference::{array, text};
use crate::support::seals::all_sealed;
use crate::support::voter::{Verdict, Voter};
use serde_json::{Value, json};

const NAMES: [&str; 4] = ["Ann of the hall", "Bela of the hall", "Cleo of the hall", "Dora of the hall"];

/// An evening of two rounds, the first run twice, the second decided by the emcee; sealed.
async fn evening(cluster: &Cluster) -> (Emcee, String, Value) {
    let emcee = cluster.emcee();
    let room = emcee.create(json!({"title": "Gala", "ref": "gala", "rounds": [plain_round(), plain_round()]})).await;
    let mut voters = vec![];
    for (name, number) in NAMES.into_iter().zip(0..) {
        voters.push(Voter::join(&emcee.http, &cluster.addresses(), &room, name, dice(61, number)).await);
    }
    let plan = [(1, 1, ["bb", "b", "a", ""]), (1, 2, ["aab", "a", "b", ""]), (2, 1, ["ab", "bbb", "", "b"])];
    for (round, take, votes) in plan {
        if take == 2 {
            emcee.take(&room, 1, 2).await;
        }
        emcee.open(&room, round).await;
        for (voter, votes) in voters.iter_mut().zip(votes).filter(|(_, votes)| !votes.is_empty()) {
            assert_eq!(voter.cast(round, take, votes).await, Verdict::Stored);
        }
        emcee.close(&room, round).await;
    }
    emcee.decide(&room, 2, json!("a")).await;
    let removed = format!("/rooms/{room}/voters/{}", voters[2].id);
    emcee.patch(&removed, json!({"removed": true})).await;
    let records = all_sealed(&emcee, &room).await;
    (emcee, room, records)
}

/// Somebody without a server and without a key.
fn stranger() -> Operator {
    let operator = Operator::at_url("http://127.0.0.1:9");
    Operator { key: String::new(), ..operator }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_an_evening_is_verified_without_a_server() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, records) = evening(&cluster).await;
    let (operator, stranger) = (Operator::at(&cluster), stranger());
    let last = text(&records["records"][2], "seal");
    // before a ranking is shown, and while one is
    for step in ["before", "shown"] {
        if step == "shown" {
            emcee.reveal(&room, json!({"place": 1})).await;
        }
        for format in ["json", "ndjson"] {
            for names in [&["--no-names"][..], &[]] {
                let export = [&["export", "gala", "--format", format, "--out", "votes"], names].concat();
                operator.run(&export).await.expect(0, &[]);
                stranger.write("votes.json", &operator.read("votes"));
                let output = stranger.run(&["audit", "votes.json"]).await;
                let output = output.expect(0, &["Gala", "3 takes with 15 votes recounted: exact"]);
                assert_eq!(output.out.matches(" exact\n").count(), 3, "{output:?}");
                let shown = format!("{} {} {}", &last[..4], &last[4..8], &last[8..12]);
                assert!(output.out.contains(&shown), "the seal as it is on stage: {output:?}");
            }
        }
    }
    let json = stranger.run_reading(&["audit", "-", "--json"], "votes.json").await.expect(0, &[]).json();
    assert_eq!((&json["ok"], &json["rounds"][2]["seal"], &json["faults"]), (&json!(true), &json!(last), &json!([])));
    stranger.run(&["audit", "votes.json", "--seal", &last[..16]]).await.expect(0, &[]);
    let noted = ["audit", "votes.json", "--seal", &last, "--seal", "0000 1111 2222 3333"];
    stranger.run(&noted).await.expect(3, &["no take has the seal 0000 1111 2222 3333"]);
    operator.run(&["audit", "gala", "--seal", &last]).await.expect(1, &["--seal is for a file"]);
    operator.run(&["audit", "missing.json"]).await.expect(1, &["missing.json cannot be read"]);
    operator.run(&["export", "gala", "--out", "archive.ndjson"]).await.expect(0, &[]);
    operator.run(&["audit", "archive.ndjson"]).await.expect(1, &["this is an archive", "tallycast import"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_real_export_is_found() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = evening(&cluster).await;
    let (export, stranger) = (emcee.export(&room).await, stranger());
    type Change<'c> = (&'c str, &'c dyn Fn(&mut Value));
    let take = |round: usize, take: usize| format!("/rounds/{round}/takes/{take}");
    fn at<'v>(export: &'v mut Value, pointer: &str) -> &'v mut Value {
        export.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not there"))
    }
    let swap = |export: &mut Value, one: &str, other: &str| {
        let first = at(export, one).take();
        let second = std::mem::replace(at(export, other), first);
        *at(export, one) = second;
    };
    let ballots = |round, number| take(round, number) + "/ballots";
    let changes: [Change<'_>; 13] = [
        ("a vote", &|export| *at(export, &(ballots(1, 0) + "/0/votes")) = json!("a")),
        // of the next three only the seal tells: counts, winner and ranking are as they were
        ("the order of the votes on a ballot", &|export| {
            let votes = array(&export["rounds"][0]["takes"][1], "ballots").iter().map(|ballot| text(ballot, "votes"));
            let index = votes.into_iter().position(|votes| votes == "aab").expect("Ann's ballot");
            *at(export, &format!("{}/{index}/votes", ballots(0, 1))) = json!("aba");
        }),
        ("the votes of two voters in a voided take", &|export| {
            swap(export, &(ballots(0, 0) + "/0/votes"), &(ballots(0, 0) + "/1/votes"));
        }),
        ("a time in a voided take", &|export| {
            let time = at(export, &(ballots(0, 0) + "/0/time_ms"));
            *time = json!(if *time == 0 { 1 } else { 0 });
        }),
        ("a ballot less", &|export| drop(at(export, &ballots(1, 0)).as_array_mut().unwrap().pop())),
        ("a ballot more", &|export| {
            let id = export["voters"].as_array().unwrap().iter().map(|voter| text(voter, "voter"));
            let cast = array(&export["rounds"][0]["takes"][1], "ballots").iter().map(|ballot| text(ballot, "voter"));
            let cast: Vec<_> = cast.collect();
            let idle = id.into_iter().find(|id| !cast.contains(id)).expect("somebody who did not vote");
            let ballot = json!({"voter": idle, "votes": "a", "time_ms": 1, "salt": "00".repeat(32)});
            at(export, &ballots(0, 1)).as_array_mut().unwrap().push(ballot);
        }),
        ("the ballots of two takes", &|export| swap(export, &ballots(0, 0), &ballots(0, 1))),
        ("the counts of a record", &|export| {
            swap(export, &(take(0, 1) + "/record/votes/0"), &(take(0, 1) + "/record/votes/1"))
        }),
        ("when it was closed", &|export| {
            *at(export, &(take(1, 0) + "/record/closed_at")) = json!(9_000_000_000_000u64)
        }),
        ("a seal", &|export| *at(export, &(take(1, 0) + "/record/seal")) = json!("ab".repeat(32))),
        ("the order of the chain", &|export| swap(export, &(take(0, 0) + "/record"), &(take(0, 1) + "/record"))),
        ("a winner", &|export| *at(export, "/room/rounds/0/winner") = json!("b")),
        ("a place", &|export| swap(export, "/ranking/0/voter", "/ranking/1/voter")),
    ];
    for (what, change) in changes {
        let mut changed = export.clone();
        change(&mut changed);
        assert_ne!(changed, export, "{what} was changed");
        stranger.write("changed.json", &changed.to_string());
        let output = stranger.run(&["audit", "changed.json"]).await;
        assert_eq!(output.code, Some(3), "{what}: {output:?}");
    }
    // without its last seal, nothing in the file contradicts itself
    let mut unsealed = export.clone();
    for field in ["seal", "previous", "seal_number", "leaves", "root"] {
        at(&mut unsealed, &(take(1, 0) + "/record")).as_object_mut().unwrap().remove(field);
    }
    stranger.write("unsealed.json", &unsealed.to_string());
    let output = stranger.run(&["audit", "unsealed.json"]).await.expect(4, &["1 closed take not sealed", "not sealed"]);
    assert_eq!(output.out.matches(" exact\n").count(), 2, "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_without_names_has_none_anywhere() {
    let cluster = Cluster::embedded().await;
    let (emcee, room, _) = evening(&cluster).await;
    let operator = Operator::at(&cluster);
    emcee.reveal(&room, json!({"place": 1})).await;
    for format in ["json", "ndjson", "csv"] {
        let with = operator.run(&["export", "gala", "--format", format]).await.expect(0, &[]).out;
        assert!(NAMES.iter().all(|name| with.contains(name)), "{format}: the search finds them");
        let without = operator.run(&["export", "gala", "--format", format, "--no-names"]).await.expect(0, &[]).out;
        assert!(NAMES.iter().all(|name| !without.contains(name)), "{format}: {without}");
        let voters =
            array(&emcee.export(&room).await, "voters").iter().map(|voter| text(voter, "voter")).collect::<Vec<_>>();
        assert!(voters.iter().all(|voter| without.contains(voter)), "{format}: the ids stay");
        if format == "csv" {
            assert!(without.starts_with("round,take,counted,voter,votes,time_ms\r\n"), "{without}");
        }
    }
    operator.run(&["export", "gala", "--no-names"]).await.expect(1, &["an archive has --mask"]);
    operator.run(&["export", "gala", "--format", "event", "--no-names"]).await.expect(1, &["--no-names is for"]);
    let path = format!("/rooms/{room}/export?format=archive&names=no");
    let refused = emcee.call(reqwest::Method::GET, &path, None).await;
    assert_eq!(refused.expect_problem(422, "bad_request", "an archive")["field"], "names");
}
