//! Seals and proofs once more, written from docs/protocol.md and without the server's code.

use super::emcee::Emcee;
use super::reference::{array, text};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// A worker looks each second.
const SEALED_WITHIN: Duration = Duration::from_secs(30);

fn number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len() as u64), bytes.to_vec()].concat()
}

fn hash(kind: u8, parts: &[Vec<u8>]) -> String {
    hex::encode(Sha256::digest([vec![kind], parts.concat()].concat()))
}

#[track_caller]
fn digest(value: &Value) -> Vec<u8> {
    let digest = value.as_str().and_then(|text| hex::decode(text).ok()).filter(|bytes| bytes.len() == 32);
    digest.unwrap_or_else(|| panic!("{value} is not 64 hexadecimal digits"))
}

#[track_caller]
fn count(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} is not a count in {value}"))
}

/// The leaf of a ballot with its voter, votes, time and salt.
pub fn leaf(ballot: &Value) -> String {
    let [voter, votes] = ["voter", "votes"].map(|field| bytes(text(ballot, field).as_bytes()));
    hash(0, &[bytes(&digest(&ballot["salt"])), voter, votes, number(count(ballot, "time_ms"))])
}

/// The root above leaves: MTH of RFC 6962, section 2.1.
pub fn root(leaves: &[String]) -> String {
    match leaves {
        [] => hex::encode(Sha256::digest([])),
        [leaf] => leaf.clone(),
        more => {
            let split = more.len().next_power_of_two() / 2;
            let halves = [&more[..split], &more[split..]].map(|half| hex::decode(root(half)).expect("a root"));
            hash(1, &halves)
        }
    }
}

/// The root at the end of a proof's path: RFC 9162, section 2.1.3.2. `None` if the path does not fit.
pub fn root_of_path(proof: &Value) -> Option<String> {
    let (mut at, mut last) = (count(proof, "index"), count(proof, "size").checked_sub(1)?);
    if at > last {
        return None;
    }
    let mut root = text(proof, "leaf");
    for beside in array(proof, "path") {
        let (own, beside) = (hex::decode(&root).expect("a hash"), digest(beside));
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            root = hash(1, &[beside, own]);
            while at.is_multiple_of(2) && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            root = hash(1, &[own, beside]);
        }
        (at, last) = (at / 2, last / 2);
    }
    (last == 0).then_some(root)
}

/// The seal of a record as `GET /records` lists it.
pub fn seal(record: &Value) -> String {
    let votes = array(record, "votes").iter().map(|votes| votes.as_u64().expect("a count")).collect::<Vec<_>>();
    let place = [count(record, "seal_number"), count(record, "round"), count(record, "take"), votes.len() as u64];
    let times = ["voters", "opened_at", "closed_at"].map(|field| count(record, field));
    let numbers = place.iter().chain(&votes).chain(&times).flat_map(|count| number(*count)).collect();
    let previous = if record["previous"].is_null() { vec![] } else { digest(&record["previous"]) };
    let by = bytes(text(record, "by").as_bytes());
    hash(2, &[numbers, by, number(count(record, "leaves")), bytes(&digest(&record["root"])), bytes(&previous)])
}

/// Checks all of a proof: leaf, path and seal, and that it is about this voter and these votes.
#[track_caller]
pub fn check_proof(proof: &Value, voter: &str, votes: &str) {
    assert_eq!((text(proof, "voter"), text(proof, "votes")), (voter.to_owned(), votes.to_owned()), "{proof}");
    assert_eq!(text(proof, "leaf"), leaf(proof), "{proof}");
    let record = &proof["record"];
    assert_eq!(root_of_path(proof).as_ref(), record["root"].as_str().map(str::to_owned).as_ref(), "{proof}");
    assert_eq!(proof["size"], record["leaves"], "{proof}");
    assert_eq!((text(proof, "seal"), text(record, "seal")), (seal(record), seal(record)), "{proof}");
}

/// Checks the records as a chain, and each root against the ballots of an export.
#[track_caller]
pub fn check_chain(records: &Value, export: &Value) {
    let mut records: Vec<_> = array(records, "records").iter().collect();
    records.sort_by_key(|record| count(record, "seal_number"));
    let mut previous = Value::Null;
    for (record, seal_number) in records.into_iter().zip(1..) {
        assert_eq!((count(record, "seal_number"), &record["previous"]), (seal_number, &previous), "{record}");
        assert_eq!(text(record, "seal"), seal(record), "{record}");
        previous = record["seal"].clone();
        let rounds = array(export, "rounds").iter().filter(|round| round["round"] == record["round"]);
        let take = rounds.flat_map(|round| array(round, "takes")).find(|take| take["take"] == record["take"]);
        let mut ballots: Vec<_> = array(take.expect("an exported take"), "ballots").iter().collect();
        ballots.sort_by_key(|ballot| text(ballot, "voter"));
        let leaves: Vec<_> = ballots.into_iter().map(leaf).collect();
        assert_eq!((text(record, "root"), count(record, "leaves")), (root(&leaves), leaves.len() as u64), "{record}");
    }
}

/// Waits until the worker has sealed every closed take; gives the records as the emcee sees them.
pub async fn all_sealed(emcee: &Emcee, room: &str) -> Value {
    let since = Instant::now();
    loop {
        let records = emcee.get(&format!("/rooms/{room}/records")).await;
        if array(&records, "records").iter().all(|record| record["seal"].is_string()) {
            return records;
        }
        assert!(since.elapsed() < SEALED_WITHIN, "not everything is sealed: {records}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
