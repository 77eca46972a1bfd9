use serde_json::{Value, json};

use super::*;
use crate::domain::seal::Salts;

const VOTERS: [&str; 5] = ["anna", "bela", "cleo", "dora", "emil"];

/// Round, take, and the ballots of the voters above; in the order of the closes. Round 1 is run a second time at the end.
/// Emil never votes, and Dora was removed.
const TAKES: [(u16, u16, [&str; 5]); 4] = [
    (1, 1, ["bb", "b", "", "bbb", ""]),
    (2, 1, ["ab", "a", "b", "", ""]),
    (3, 1, ["", "cc", "c", "aaa", ""]),
    (1, 2, ["aa", "aab", "b", "", ""]),
];

fn ballots(round: u16, take: u16, votes: [&str; 5], salts: &Salts) -> Vec<Value> {
    let cast = VOTERS.iter().zip(votes).zip(1u64..).filter(|((_, votes), _)| !votes.is_empty());
    let ballot = |((voter, votes), number): ((&&str, &str), u64)| {
        let salt = salts.of((round, take), &VoterId::parse(voter).unwrap());
        json!({"voter": voter, "votes": votes, "time_ms": number * 100 + u64::from(round), "salt": salt})
    };
    cast.map(ballot).collect()
}

/// The records, which must be in the order of their closes, with a chain of seals that fits their ballots.
fn seal(takes: &mut [&mut Value]) {
    let mut previous: Option<Digest> = None;
    for (take, number) in takes.iter_mut().zip(1..) {
        let cast: Vec<super::super::export::Ballot> = serde_json::from_value(take["ballots"].clone()).unwrap();
        let hash = |cast: &super::super::export::Ballot| {
            leaf(cast.salt.unwrap(), &cast.voter, &Ballot { votes: cast.votes.clone(), time_ms: cast.time_ms })
        };
        let tree = Tree::new(cast.iter().map(hash).collect());
        let record: Record = serde_json::from_value(take["record"].clone()).unwrap();
        let contents = Contents {
            number,
            round: take["round_of_test"].as_u64().unwrap() as u16,
            take: take["take"].as_u64().unwrap() as u16,
            votes: &record.votes,
            voters: record.voters,
            opened_at: record.opened_at,
            closed_at: record.closed_at,
            by: &record.by,
            leaves: tree.size(),
            root: tree.root(),
            previous,
        };
        let fields = take["record"].as_object_mut().unwrap();
        fields.insert("seal".into(), json!(contents.seal()));
        fields.insert("seal_number".into(), json!(number));
        fields.insert("leaves".into(), json!(tree.size()));
        fields.insert("root".into(), json!(tree.root()));
        if let Some(previous) = previous {
            fields.insert("previous".into(), json!(previous));
        }
        previous = Some(contents.seal());
    }
}

/// An export of these takes, sealed.
fn export_of(takes: [(u16, u16, [&str; 5]); 4]) -> Value {
    let salts = Salts::new(b"secret");
    let mut closed = vec![];
    for ((round, take, votes), number) in takes.into_iter().zip(1u64..) {
        let tally = Tally::count(3, votes);
        let (opened_at, closed_at) = (number * 10_000, number * 10_000 + 5_000);
        let by = if round == 3 { "deadline" } else { "emcee" };
        closed.push(json!({"round_of_test": round, "take": take, "counted": (round, take) != (1, 1),
            "record": {"votes": tally.votes, "voters": tally.voters, "opened_at": opened_at, "closed_at": closed_at, "by": by},
            "ballots": ballots(round, take, votes, &salts)}));
    }
    seal(&mut closed.iter_mut().collect::<Vec<_>>());
    let of_round = |number: u16| {
        let mut takes: Vec<_> = closed.iter().filter(|take| take["round_of_test"] == number).cloned().collect();
        takes.iter_mut().for_each(|take| drop(take.as_object_mut().unwrap().remove("round_of_test")));
        takes
    };
    let mut scores = crate::domain::ranking::Scores::default();
    let view = |number: u16| {
        let takes = of_round(number);
        let counted = takes.last().unwrap();
        let record = &counted["record"];
        let votes: Vec<u64> = serde_json::from_value(record["votes"].clone()).unwrap();
        // the emcee decides round 2, and takes the side of the fewer
        let (winner, by) = match number {
            2 => (Some('b'), "emcee"),
            _ => (most_votes(&votes).map(letter), "votes"),
        };
        let records = takes
            .iter()
            .map(|take| json!({"take": take["take"], "counted": take["counted"], "record": take["record"]}));
        let total: u64 = votes.iter().sum();
        json!({"round": number, "take": counted["take"], "title": "A round", "choices": [{}, {}, {}], "phase": "closed",
            "tally": {"version": 7, "total": total, "voters": record["voters"], "votes": votes},
            "winner": winner, "decided_by": by, "seal": record["seal"], "takes": records.collect::<Vec<_>>()})
    };
    let views: Vec<_> = [1, 2, 3].map(view).into();
    for view in &views {
        let winner = view["winner"].as_str().map(|winner| winner.as_bytes()[0] - b'a');
        let number = view["round"].as_u64().unwrap() as u16;
        for cast in of_round(number).last().unwrap()["ballots"].as_array().unwrap() {
            let ballot =
                Ballot { votes: cast["votes"].as_str().unwrap().into(), time_ms: cast["time_ms"].as_u64().unwrap() };
            scores.add(VoterId::parse(cast["voter"].as_str().unwrap()).unwrap(), number, winner, &ballot);
        }
    }
    scores.remove(&VoterId::parse("dora").unwrap());
    let groups = scores.rank().into_iter().flat_map(|group| {
        let line = move |voter: VoterId| json!({"place": group.place, "voter": voter, "score": group.score, "time_ms": group.time_ms});
        group.voters.into_iter().map(line).collect::<Vec<_>>()
    });
    let voters = VOTERS.map(|voter| match voter {
        "dora" => json!({"voter": voter, "removed": true}),
        _ => json!({"voter": voter}),
    });
    let rounds = [1, 2, 3].map(|number| json!({"round": number, "takes": of_round(number)}));
    json!({
        "room": {"room": "K7M2QX", "title": "An evening", "votes_per_round": 3, "rounds": views},
        "voters": voters,
        "rounds": rounds,
        "ranking": groups.collect::<Vec<_>>(),
    })
}

fn export() -> Value {
    export_of(TAKES)
}

fn findings(export: &Value) -> Findings {
    verify(&Export::parse(&export.to_string()).unwrap())
}

/// The faults of the export after this change.
fn faults(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut export = export();
    change(&mut export);
    findings(&export).faults
}

/// One ballot, record or other part of an export.
fn at<'v>(export: &'v mut Value, pointer: &str) -> &'v mut Value {
    export.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not there"))
}

#[test]
fn an_unchanged_export_is_exact() {
    let found = findings(&export());
    assert_eq!(found.faults, [] as [String; 0]);
    assert!(found.takes.len() == 4 && found.takes.iter().all(|take| take.is_exact && take.seal.is_some()));
}

#[test]
fn an_export_in_lines_is_read_as_the_same() {
    let whole = export();
    let mut lines = vec![json!({"room": whole["room"]})];
    lines.extend(whole["voters"].as_array().unwrap().iter().map(|voter| json!({"voter": voter})));
    for round in whole["rounds"].as_array().unwrap() {
        for take in round["takes"].as_array().unwrap() {
            let mut head = take.clone();
            head.as_object_mut().unwrap().remove("ballots");
            head["round"] = round["round"].clone();
            lines.push(json!({"take": head}));
            for ballot in take["ballots"].as_array().unwrap() {
                let mut ballot = ballot.clone();
                (ballot["round"], ballot["take"]) = (round["round"].clone(), take["take"].clone());
                lines.push(json!({"ballot": ballot}));
            }
        }
    }
    lines.extend(whole["ranking"].as_array().unwrap().iter().map(|ranked| json!({"ranking": ranked})));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let found = verify(&Export::parse(&text).unwrap());
    assert_eq!((found.faults, found.takes.len()), (vec![], 4));
    let last = found.takes.last().and_then(|take| take.seal);
    assert_eq!(last, findings(&whole).takes.last().and_then(|take| take.seal));
    let cut = text
        .lines()
        .filter(|line| !line.contains("\"ballot\"") || !line.contains("bela"))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(!verify(&Export::parse(&cut).unwrap()).faults.is_empty(), "a line that is missing is found");
}

/// Every number, word and truth of the export, by its place.
fn scalars(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| scalars(value, &format!("{at}/{name}"), found)),
        Value::Array(items) => {
            (0..).zip(items).for_each(|(index, value): (usize, _)| scalars(value, &format!("{at}/{index}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn a_change_of_any_single_value_is_found() {
    let whole = export();
    let mut places = vec![];
    scalars(&whole, "", &mut places);
    // what no seal covers, and what nothing can be compared with
    let free = |place: &str| {
        place.ends_with("/title")
            || place.ends_with("/version")
            || ["/room/room", "/room/votes_per_round"].contains(&place)
            || place == "/voters/4/voter"
    };
    let (mut changed, mut missed) = (0, vec![]);
    for place in places.iter().filter(|place| !free(place)) {
        let mut export = whole.clone();
        let value = at(&mut export, place);
        *value = match &*value {
            Value::Number(number) => json!(number.as_u64().unwrap() + 1),
            Value::Bool(truth) => json!(!truth),
            // a draw
            Value::Null => json!("a"),
            // the last letter, and for a digest the last digit
            Value::String(text) => {
                let (rest, last) = text.split_at(text.len() - 1);
                json!(format!("{rest}{}", if last == "b" { "a" } else { "b" }))
            }
            other => panic!("{place}: {other}"),
        };
        changed += 1;
        let found = Export::parse(&export.to_string()).map_or(true, |export| !verify(&export).faults.is_empty());
        if !found {
            missed.push(place);
        }
    }
    assert_eq!(missed, [] as [&String; 0]);
    assert!(changed > 150, "{changed} values were changed");
}

#[test]
fn a_ballot_that_was_dropped_added_doubled_or_moved_is_found() {
    let dropped = faults(|export| drop(at(export, "/rounds/0/takes/1/ballots").as_array_mut().unwrap().remove(0)));
    assert!(
        dropped.iter().any(|fault| fault.starts_with("round 1, take 2: [4, 2, 0] of 3 voters are on record")),
        "{dropped:?}"
    );
    assert!(dropped.iter().any(|fault| fault.contains("the ballots are not those that were sealed")), "{dropped:?}");
    let added = faults(|export| {
        let ballot = json!({"voter": "emil", "votes": "a", "time_ms": 1, "salt": "00".repeat(32)});
        at(export, "/rounds/1/takes/0/ballots").as_array_mut().unwrap().push(ballot);
    });
    assert!(added.iter().any(|fault| fault.contains("the ballots are not those that were sealed")), "{added:?}");
    let unknown = faults(|export| drop(at(export, "/voters").as_array_mut().unwrap().remove(0)));
    assert!(unknown.iter().any(|fault| fault.contains("anna has a ballot and is not a voter")), "{unknown:?}");
    let doubled = faults(|export| {
        let ballots = at(export, "/rounds/1/takes/0/ballots").as_array_mut().unwrap();
        ballots.push(ballots[0].clone());
    });
    assert!(doubled.iter().any(|fault| fault.contains("anna has two ballots")), "{doubled:?}");
    // the same letters twice as often: even the counts are those on record
    let swapped = faults(|export| {
        let first = at(export, "/rounds/0/takes/0/ballots").take();
        let second = std::mem::replace(at(export, "/rounds/0/takes/1/ballots"), first);
        *at(export, "/rounds/0/takes/0/ballots") = second;
    });
    for take in ["round 1, take 1", "round 1, take 2"] {
        let fault = format!("{take}: the ballots are not those that were sealed");
        assert!(swapped.contains(&fault), "{swapped:?}");
    }
}

/// Two voters trade their ballots: every count, and the record, stay as they were.
#[test]
fn ballots_that_two_voters_have_traded_are_found() {
    let traded = faults(|export| {
        for field in ["votes", "time_ms"] {
            let first = at(export, &format!("/rounds/0/takes/0/ballots/0/{field}")).take();
            let second = std::mem::replace(at(export, &format!("/rounds/0/takes/0/ballots/1/{field}")), first);
            *at(export, &format!("/rounds/0/takes/0/ballots/0/{field}")) = second;
        }
    });
    assert_eq!(traded, ["round 1, take 1: the ballots are not those that were sealed"]);
}

#[test]
fn a_seal_that_was_replaced_dropped_or_put_elsewhere_is_found() {
    let record = |round: usize, take: usize| format!("/rounds/{round}/takes/{take}/record");
    let replaced = faults(|export| {
        for place in [record(0, 1), "/room/rounds/0/takes/1/record".to_owned()] {
            at(export, &place)["seal"] = json!("ab".repeat(32));
        }
        at(export, "/room/rounds/0")["seal"] = json!("ab".repeat(32));
    });
    assert_eq!(replaced, ["round 1, take 2: the record is not the one that was sealed"]);
    let drop_seal = |export: &mut Value, place: &str| {
        for field in ["seal", "previous", "seal_number", "leaves", "root"] {
            at(export, place).as_object_mut().unwrap().remove(field);
        }
    };
    let dropped = faults(|export| drop_seal(export, &record(1, 0)));
    assert!(dropped.iter().any(|fault| fault.contains("a take that was closed later has one")), "{dropped:?}");
    assert!(dropped.iter().any(|fault| fault.contains("must have seal number 2")), "{dropped:?}");
    let without_salt = faults(|export| {
        at(export, "/rounds/0/takes/1/ballots/0").as_object_mut().unwrap().remove("salt");
    });
    assert!(without_salt[0].contains("the ballot of anna has no salt"), "{without_salt:?}");
    // the take that was closed last: nothing contradicts a seal that is not there, but it is missed
    let mut last = export();
    drop_seal(&mut last, &record(0, 1));
    let found = findings(&last);
    assert_eq!((found.faults.len(), found.takes.iter().filter(|take| take.lacks_seal()).count()), (0, 1));
}

#[test]
fn a_chain_in_another_order_is_found() {
    // rounds 2 and 3 change places, each sealed anew for its new place; what follows is as it was
    let reordered = faults(|export| {
        let other = export_of([TAKES[0], TAKES[2], TAKES[1], TAKES[3]]);
        for round in [1, 2] {
            *at(export, &format!("/rounds/{round}")) = other["rounds"][round].clone();
            *at(export, &format!("/room/rounds/{round}")) = other["room"]["rounds"][round].clone();
        }
    });
    assert!(
        reordered.contains(&"round 1, take 2: its seal does not follow the one before".to_owned()),
        "{reordered:?}"
    );
    let renumbered = faults(|export| {
        let number = at(export, "/rounds/1/takes/0/record/seal_number").take();
        let other = std::mem::replace(at(export, "/rounds/2/takes/0/record/seal_number"), number);
        *at(export, "/rounds/1/takes/0/record/seal_number") = other;
    });
    assert!(renumbered.iter().filter(|fault| fault.contains("does not follow")).count() >= 2, "{renumbered:?}");
}

/// What only the seals that the hall has seen can find.
#[test]
fn an_export_that_was_written_anew_fits_itself_and_has_another_last_seal() {
    let mut forged = TAKES;
    forged[1].2 = ["bb", "a", "b", "", ""];
    let (honest, forged) = (findings(&export()), findings(&export_of(forged)));
    assert_eq!(forged.faults, [] as [String; 0]);
    let seal = |found: &Findings, round, take| {
        found.takes.iter().find(|known| (known.round, known.take) == (round, take)).and_then(|take| take.seal).unwrap()
    };
    assert_eq!(seal(&forged, 1, 1), seal(&honest, 1, 1), "closed before what was forged");
    for (round, take) in [(2, 1), (3, 1), (1, 2)] {
        assert_ne!(seal(&forged, round, take), seal(&honest, round, take), "round {round}");
    }
}

#[test]
fn an_archive_or_something_else_is_refused_with_what_to_do() {
    let refused = |text: &str| format!("{:#}", Export::parse(text).unwrap_err());
    assert!(refused("{\"archive\":{\"version\":1}}\n{\"record\":{}}\n").contains("format json or ndjson"));
    for text in ["", "hello", "{}", "[]", "{\"voter\":{\"voter\":\"anna\"}}\n"] {
        assert!(!refused(text).is_empty(), "{text}");
    }
}
