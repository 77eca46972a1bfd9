//! Seals of closed takes, the list of records, and the proof for a voter. The hashes are computed here once more, from the
//! protocol's description.

use crate::archives::{archive, import};
use crate::support::cluster::Cluster;
use crate::support::dice;
use crate::support::emcee::{Emcee, plain_round, round};
use crate::support::http::Answer;
use crate::support::reference::{array, text};
use crate::support::seals::{all_sealed, check_chain, check_proof, leaf};
use crate::support::server::Server;
use crate::support::socket::Socket;
use crate::support::voter::{Verdict, Voter};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn crowd(cluster: &Cluster, emcee: &Emcee, room: &str, count: u64) -> Vec<Voter> {
    let mut voters = vec![];
    for number in 0..count {
        let name = format!("Voter {number}");
        voters.push(Voter::join(&emcee.http, &cluster.addresses(), room, &name, dice(51, number)).await);
    }
    voters
}

async fn cast(voter: &mut Voter, round: u32, take: u32, votes: &str) {
    assert_eq!(voter.cast(round, take, votes).await, Verdict::Stored);
}

/// A voter's proof, by way of any process.
async fn proof(emcee: &Emcee, voter: &Voter, round: u32) -> Answer {
    proof_with(emcee, &voter.room, &voter.token, round).await
}

async fn proof_with(emcee: &Emcee, room: &str, token: &str, round: u32) -> Answer {
    let url = emcee.url(&Method::GET, &format!("/rooms/{room}/me/proof?round={round}"));
    let bearer = format!("Bearer {token}");
    emcee.http.send(Method::GET, &url, &[("authorization", &bearer)], None).await.expect("an answer")
}

async fn public_records(emcee: &Emcee, room: &str) -> Vec<Value> {
    let records = emcee.public(Method::GET, &format!("/rooms/{room}/records"), None).await.expect(200, "the records");
    array(&records, "records").clone()
}

/// Round and take of each record.
fn takes(records: &[Value]) -> Vec<(u64, u64)> {
    let number = |record: &Value, field: &str| record[field].as_u64().expect("a number");
    records.iter().map(|record| (number(record, "round"), number(record, "take"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_takes_are_sealed_and_every_voter_can_prove_the_own_votes() {
    for cluster in [Cluster::embedded().await, Cluster::redis(2).await] {
        let emcee = cluster.emcee();
        let room = emcee.create(json!({"title": "Sealed", "partitions": 3, "rounds": vec![plain_round(); 3]})).await;
        let mut stage = Socket::stage(cluster.addresses()[0], &room).await;
        let mut voters = crowd(&cluster, &emcee, &room, 7).await;
        // round 2 first, then round 1 twice
        for (number, take, votes) in [(2, 1, "ab"), (1, 1, "bb"), (1, 2, "aab")] {
            if take == 2 {
                emcee.take(&room, 1, 2).await;
            }
            emcee.open(&room, number).await;
            for voter in &mut voters[..6] {
                cast(voter, number, take, votes).await;
            }
            emcee.close(&room, number).await;
        }
        let records = all_sealed(&emcee, &room).await;
        check_chain(&records, &emcee.export(&room).await);
        let listed = array(&records, "records");
        assert_eq!(takes(listed), [(1, 1), (1, 2), (2, 1)]);
        let numbers: Vec<_> = listed.iter().map(|record| record["seal_number"].clone()).collect();
        assert_eq!(numbers, [2, 3, 1], "in the order of the closes");
        let counted: Vec<_> = listed.iter().map(|record| record["counted"].clone()).collect();
        assert_eq!(counted, [false, true, true]);
        // the hall sees the seal as well
        let seal = listed[1]["seal"].clone();
        stage.wait_for("the seal", |name, body| name == "state" && round(&body["room"], 1)["seal"] == seal).await;
        for voter in &voters[..6] {
            for (number, votes) in [(1, "aab"), (2, "ab")] {
                check_proof(&proof(&emcee, voter, number).await.expect(200, "a proof"), &voter.id, votes);
            }
        }
        let nobody = proof(&emcee, &voters[6], 1).await;
        nobody.expect_problem(404, "no_ballot", "who did not vote");
        proof(&emcee, &voters[0], 3).await.expect_problem(404, "not_sealed", "a round that was never closed");
        proof(&emcee, &voters[0], 4).await.expect_problem(404, "no_such_round", "no round");
        proof_with(&emcee, &room, "v1.x", 1).await.expect_problem(401, "bad_token", "no token");
        let url = emcee.url(&Method::GET, &format!("/rooms/{room}/me/proof"));
        let bearer = format!("Bearer {}", voters[0].token);
        let unasked = emcee.http.send(Method::GET, &url, &[("authorization", &bearer)], None).await.expect("an answer");
        unasked.expect_problem(422, "bad_request", "no round named");
        let path = format!("/rooms/{room}/voters/{}", voters[0].id);
        emcee.patch(&path, json!({"removed": true})).await;
        proof(&emcee, &voters[0], 1).await.expect_problem(403, "removed", "a removed voter");
        assert_eq!(all_sealed(&emcee, &room).await, records, "and the removal changes no record");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_follows_changes_a_sealed_record() {
    let cluster = Cluster::redis(1).await;
    let emcee = cluster.emcee();
    let room = emcee.create_plain("Final", 1).await;
    let mut voters = crowd(&cluster, &emcee, &room, 2).await;
    emcee.open(&room, 1).await;
    for voter in &mut voters {
        cast(voter, 1, 1, "aab").await;
    }
    emcee.close(&room, 1).await;
    let first = all_sealed(&emcee, &room).await["records"][0].clone();
    emcee.decide(&room, 1, json!("b")).await;
    emcee.take(&room, 1, 2).await;
    emcee.open(&room, 1).await;
    cast(&mut voters[0], 1, 2, "b").await;
    emcee.close(&room, 1).await;
    let records = all_sealed(&emcee, &room).await;
    let mut voided = records["records"][0].clone();
    assert_eq!((&voided["counted"], &records["records"][1]["previous"]), (&json!(false), &first["seal"]));
    voided["counted"] = json!(true);
    assert_eq!(voided, first);
    emcee.take(&room, 1, 1).await;
    let back = all_sealed(&emcee, &room).await;
    assert_eq!(back["records"][0], first, "brought back, it is what it was");
    check_proof(&proof(&emcee, &voters[1], 1).await.expect(200, "a proof"), &voters[1].id, "aab");
    check_chain(&back, &emcee.export(&room).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_listed_only_for_those_who_may_see_the_result() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let with = |split: &str| json!({"title": "x", "choices": [{"label": "A"}, {"label": "B"}], "split": split});
    let rounds = json!([with("held"), with("hidden"), with("live")]);
    let room = emcee.create(json!({"title": "Secrets", "rounds": rounds})).await;
    let mut ann = crowd(&cluster, &emcee, &room, 1).await.remove(0);
    for number in 1..=3 {
        emcee.open(&room, number).await;
        cast(&mut ann, number, 1, "ab").await;
        let open = public_records(&emcee, &room).await;
        assert!(takes(&open).iter().all(|(round, _)| *round < number.into()), "no record of an open round: {open:?}");
        emcee.close(&room, number).await;
    }
    let all = all_sealed(&emcee, &room).await;
    assert_eq!(takes(array(&all, "records")), [(1, 1), (2, 1), (3, 1)], "the emcee sees all");
    let held = &all["records"][0];
    assert_eq!(takes(&public_records(&emcee, &room).await), [(2, 1), (3, 1)], "the first is held");
    proof(&emcee, &ann, 1).await.expect_problem(404, "not_sealed", "a proof would tell the result");
    let view = emcee.public(Method::GET, &format!("/rooms/{room}"), None).await;
    assert!(!view.text.contains(&text(held, "seal")), "{}", view.text);
    assert!(view.text.contains(&text(&all["records"][1], "seal")), "the search finds a seal: {}", view.text);
    emcee.show(&room, 1).await;
    assert_eq!(public_records(&emcee, &room).await[0], *held);
    check_proof(&proof(&emcee, &ann, 1).await.expect(200, "a proof"), &ann.id, "ab");

    // a voided result is gone from the list until its round has one again
    for number in [1, 2, 3] {
        emcee.take(&room, number, 2).await;
    }
    assert_eq!(public_records(&emcee, &room).await, [] as [Value; 0]);
    proof(&emcee, &ann, 2).await.expect_problem(404, "not_sealed", "the take that counts has no record");
    let listed = async || takes(&public_records(&emcee, &room).await);
    emcee.open(&room, 1).await;
    emcee.close(&room, 1).await;
    assert_eq!(listed().await, [], "the second take of round 1 is held as well");
    emcee.show(&room, 1).await;
    assert_eq!(listed().await, [(1, 1), (1, 2)]);
    emcee.open(&room, 2).await;
    assert_eq!(listed().await, [(1, 1), (1, 2)], "round 2 runs anew");
    emcee.close(&room, 2).await;
    assert_eq!(listed().await, [(1, 1), (1, 2), (2, 1), (2, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_worker_records_have_no_seal_and_the_first_worker_makes_them_all() {
    let roles = [vec![("TALLYCAST__SERVER__ROLE", "audience")], vec![("ADMIN", "1")]];
    let cluster = Cluster::redis_with(&roles).await;
    let emcee = cluster.emcee().at(1);
    let room = emcee.create_plain("Unsealed", 2).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses()[..1], &room, "Ann", dice(52, 0)).await;
    for number in [1, 2] {
        emcee.open(&room, number).await;
        cast(&mut ann, number, 1, "a").await;
        emcee.close(&room, number).await;
    }
    let audience = cluster.emcee().at(0);
    let since = Instant::now();
    while public_records(&audience, &room).await.len() < 2 {
        assert!(since.elapsed() < Duration::from_secs(10), "an audience pod lists the records");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let records = emcee.get(&format!("/rooms/{room}/records")).await;
    for record in array(&records, "records") {
        assert!(record.get("seal").is_none() && record.get("root").is_none(), "{record}");
    }
    proof(&audience, &ann, 1).await.expect_problem(404, "not_sealed", "nobody has sealed it");
    let mut stage = Socket::stage(cluster.addresses()[0], &room).await;
    let redis = cluster.redis.as_ref().expect("a Redis").url();
    let _worker = Server::start(&[("TALLYCAST__SERVER__ROLE", "worker"), ("TALLYCAST__LEDGER__URL", &redis)]).await;
    let sealed = all_sealed(&emcee, &room).await;
    check_chain(&sealed, &emcee.export(&room).await);
    let seal = sealed["records"][1]["seal"].clone();
    stage.wait_for("the seal", |name, body| name == "state" && round(&body["room"], 2)["seal"] == seal).await;
    check_proof(&proof(&audience, &ann, 2).await.expect(200, "from an audience pod"), &ann.id, "a");
}

/// A connection of the test's own to the ledger.
async fn ledger(cluster: &Cluster) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(cluster.redis.as_ref().expect("a Redis").url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

/// How many scans of a hash Redis has served: so the ballots of a take are read.
async fn scans(cluster: &Cluster) -> u64 {
    let mut info = redis::cmd("INFO");
    let text: String = info.arg("commandstats").query_async(&mut ledger(cluster).await).await.expect("an answer");
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_hscan:calls="));
    line.map_or(0, |line| line.split(',').next().and_then(|calls| calls.parse().ok()).expect("a number"))
}

/// A closed and sealed round in which this many voters have voted `aab`.
async fn voted(cluster: &Cluster, emcee: &Emcee, count: u64) -> (String, Vec<Voter>) {
    let room = emcee.create_plain("Crowd", 1).await;
    emcee.open(&room, 1).await;
    let joined = (0..count).map(|number| {
        let (emcee, room) = (emcee.clone(), room.clone());
        async move {
            let name = format!("Voter {number}");
            let mut voter = Voter::join(&emcee.http, &cluster.addresses(), &room, &name, dice(53, number)).await;
            cast(&mut voter, 1, 1, "aab").await;
            voter.socket = None;
            voter
        }
    });
    // in turns: how many can join at once is not the question here
    let voters = stream::iter(joined).buffered(16).collect().await;
    emcee.close(&room, 1).await;
    all_sealed(emcee, &room).await;
    (room, voters)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hall_that_asks_for_its_proofs_at_once_costs_one_read_of_the_ballots() {
    let cluster = Cluster::redis(1).await;
    let emcee = cluster.emcee();
    let (_, voters) = voted(&cluster, &emcee, 300).await;
    let before = scans(&cluster).await;
    let proofs = join_all(voters.iter().map(|voter| proof(&emcee, voter, 1))).await;
    let reads = scans(&cluster).await - before;
    for (voter, proof) in voters.iter().zip(proofs) {
        check_proof(&proof.expect(200, "a proof"), &voter.id, "aab");
    }
    assert!((1..=2).contains(&reads), "the ballots of 300 voters were read {reads} times");
}

/// The hashes on the path of a proof are leaves of others. A voter who knows who they are, as from an export without names,
/// tries every ballot that they can have cast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_does_not_tell_the_votes_of_a_neighbour() {
    let cluster = Cluster::embedded().await;
    let emcee = cluster.emcee();
    let (room, voters) = voted(&cluster, &emcee, 2).await;
    let proof = proof(&emcee, &voters[0], 1).await.expect(200, "a proof");
    let neighbours: Vec<&str> = array(&proof, "path").iter().filter_map(Value::as_str).collect();
    let [neighbour] = neighbours.as_slice() else { panic!("two leaves have one neighbour each: {neighbours:?}") };
    let record = &proof["record"];
    let longest =
        record["closed_at"].as_u64().zip(record["opened_at"].as_u64()).map(|(closed, opened)| closed - opened);
    let tries = |salt: &Value| {
        let ballots = ["a", "b", "aa", "ab", "ba", "bb", "aaa", "aab", "aba", "abb", "baa", "bab", "bba", "bbb"];
        let times = 0..=longest.expect("times");
        let mut leaves = times.flat_map(|time| {
            ballots.map(|votes| leaf(&json!({"voter": voters[1].id, "votes": votes, "time_ms": time, "salt": salt})))
        });
        leaves.any(|leaf| leaf == *neighbour)
    };
    assert!(!tries(&proof["salt"]), "found with the own salt");
    assert!(!tries(&json!("00".repeat(32))), "found without a salt");
    let export = emcee.export(&room).await;
    let ballots = array(&export["rounds"][0]["takes"][0], "ballots");
    let other = ballots.iter().find(|ballot| ballot["voter"] == voters[1].id.as_str()).expect("a ballot");
    assert!(tries(&other["salt"]), "the search would find it");
}

/// Somebody who can write to Redis changes a vote, and leaves every count as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ballot_that_was_changed_in_the_ledger_is_found_by_its_voter_and_by_all_others() {
    let cluster = Cluster::redis(1).await;
    let emcee = cluster.emcee();
    let (room, voters) = voted(&cluster, &emcee, 3).await;
    let mut redis = ledger(&cluster).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*:ballots:1.1").query_async(&mut redis).await.expect("keys");
    let [key] = keys.as_slice() else { panic!("one hash of ballots: {keys:?}") };
    let stored: String =
        redis::cmd("HGET").arg(key).arg(&voters[0].id).query_async(&mut redis).await.expect("a ballot");
    let changed = stored.replace("aab", "aba");
    let _: i64 =
        redis::cmd("HSET").arg(key).arg(&voters[0].id).arg(&changed).query_async(&mut redis).await.expect("stored");
    assert_eq!(emcee.audit(&room).await["ok"], true, "the counts do not tell");
    for voter in &voters {
        proof(&emcee, voter, 1).await.expect_problem(409, "seal_broken", &voter.name);
    }
    let log = cluster.pods[0].log();
    assert_eq!(log.matches("ALARM").count(), 1, "once, whoever asks: {log}");
    let _: i64 =
        redis::cmd("HSET").arg(key).arg(&voters[0].id).arg(&stored).query_async(&mut redis).await.expect("stored");
    // a process that has not seen it broken
    let other = Server::start(&[("TALLYCAST__LEDGER__URL", &cluster.redis.as_ref().expect("a Redis").url())]).await;
    let there = Emcee::new(vec![other.address()]);
    for voter in &voters {
        check_proof(&proof(&there, voter, 1).await.expect(200, "a proof"), &voter.id, "aab");
    }
}

/// The ledger lost a ballot between the close and the seal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_whose_ballots_do_not_add_up_raises_an_alarm_and_stops_no_other_seal() {
    let roles = [vec![("TALLYCAST__SERVER__ROLE", "audience")], vec![("ADMIN", "1")]];
    let cluster = Cluster::redis_with(&roles).await;
    let emcee = cluster.emcee().at(1);
    let room = emcee.create_plain("Damaged", 2).await;
    let mut ann = Voter::join(&emcee.http, &cluster.addresses()[..1], &room, "Ann", dice(54, 0)).await;
    for number in [1, 2] {
        emcee.open(&room, number).await;
        cast(&mut ann, number, 1, "ab").await;
        emcee.close(&room, number).await;
    }
    let mut redis = ledger(&cluster).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*:ballots:1.1").query_async(&mut redis).await.expect("keys");
    let lost: i64 = redis::cmd("HDEL").arg(&keys).arg(&ann.id).query_async(&mut redis).await.expect("an answer");
    assert_eq!(lost, 1, "{keys:?}");
    let redis = cluster.redis.as_ref().expect("a Redis").url();
    let worker = Server::start(&[("TALLYCAST__SERVER__ROLE", "worker"), ("TALLYCAST__LEDGER__URL", &redis)]).await;
    let records = all_sealed(&emcee, &room).await;
    let leaves: Vec<_> = array(&records, "records").iter().map(|record| record["leaves"].clone()).collect();
    assert_eq!(leaves, [0, 1]);
    check_chain(&records, &emcee.export(&room).await);
    let log = worker.log();
    let alarms: Vec<_> = log.lines().filter(|line| line.contains("ALARM")).collect();
    assert!(alarms.len() == 1 && alarms[0].contains("the ballots of round 1, take 1 do not add up"), "{log}");
    assert_eq!(emcee.audit(&room).await["ok"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_moves_keeps_its_seals_and_a_changed_archive_is_refused() {
    let here = Cluster::embedded().await;
    let emcee = here.emcee();
    let (room, voters) = voted(&here, &emcee, 3).await;
    let records = all_sealed(&emcee, &room).await;
    let text = archive(&emcee, &room, false).await;
    let there = Cluster::embedded_with(&[("TALLYCAST__SERVER__SECRET", "another-secret-altogether")]).await;
    let emcee = there.emcee();
    // a vote that was cast sooner: every count stays as it was
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ballot = lines.iter_mut().find(|line| line["ballot"]["voter"] == voters[0].id.as_str()).expect("a ballot");
    let time = ballot["ballot"]["time_ms"].as_u64().expect("ms");
    ballot["ballot"]["time_ms"] = json!(if time == 0 { 1 } else { time - 1 });
    let forged: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let problem = import(&emcee, &forged, "").await.expect_problem(422, "bad_request", "a ballot with another time");
    assert_eq!(problem["field"], "record.rounds[0].takes[0].seal", "{problem}");

    import(&emcee, &text, "").await.expect(201, "the archive as it was written");
    assert_eq!(all_sealed(&emcee, &room).await, records);
    for voter in &voters {
        check_proof(&proof(&emcee, voter, 1).await.expect(200, "with the token of the first"), &voter.id, "aab");
    }
    check_chain(&records, &emcee.export(&room).await);
}
