//! Archives that are not trusted: whatever is in one, it is refused with the name of what is wrong, or it is a
//! room like any other.
//!
//! `tests/corpus/archives` holds archives that servers have written. They are damaged here, field by field and byte by
//! byte: every one is read, and what is let through has its evening.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use tallycast::domain::ballot::Cast;
use tallycast::domain::command::{Command, FrozenRanking, Moment, Step};
use tallycast::domain::gate::{GateSum, partition_of, sum};
use tallycast::domain::jobs::caused_by;
use tallycast::domain::room::{Decision, Room};
use tallycast::domain::visibility::{Audience, Blackout};
use tallycast::ledger::archive::{Archive, Import};
use tallycast::ledger::execute::{ExecuteError, all_voters, execute, rank, reconcile_room};
use tallycast::ledger::{Batch, SharedLedger};
use tallycast::wire::room::RoomView;

use crate::ledgers::{RoomFixture, TestLedger};

/// Archives that are only read.
const READ: u32 = 3_000;
/// Archives that are brought in, as far as they can be: about one in three.
const BROUGHT_IN: u32 = 150;

/// What may stand where something else stood.
fn hostile() -> Vec<Value> {
    let numbers =
        [0, 1, 2, 7, 8, 9, 63, 64, 65, 100, 101, 255, 256, 65_535, 65_536, 1 << 32, 1 << 46, 1 << 53, u64::MAX];
    let texts = [
        "",
        "a",
        "z",
        "aaaaaaaaaaa",
        "dir",
        "a:b",
        "{a}",
        "<b>",
        "../x",
        "\u{202e}x",
        "null",
        "open",
        "closed",
        "idle",
    ];
    let mut values: Vec<Value> = numbers.iter().map(|number| json!(number)).collect();
    values.extend(texts.iter().map(|text| json!(text)));
    values.push(json!("é".repeat(100_000)));
    values.extend([json!(null), json!(true), json!(-1), json!(1e300), json!(0.5), json!([]), json!({}), json!([null])]);
    values.extend([json!({"winner": 200}), json!({"after": u64::MAX}), json!({"at": u64::MAX}), json!("draw")]);
    values
}

/// One thing that is done to a line.
#[derive(Debug, Clone)]
enum Harm {
    /// Something else stands there.
    Replaced(Value),
    /// What a field of the same name has elsewhere, in any archive, stands there.
    Alike(Index),
    /// It is not there.
    Removed,
    /// It is there twice, or one number higher.
    More,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        6 => prop::sample::select(hostile()).prop_map(Harm::Replaced),
        6 => any::<Index>().prop_map(Harm::Alike),
        1 => Just(Harm::Removed),
        2 => Just(Harm::More),
    ]
}

/// The archives, each as its lines.
static CORPUS: LazyLock<Vec<Vec<Value>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/archives");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    let lines = |text: String| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    files.iter().map(|file| lines(std::fs::read_to_string(file).unwrap())).collect()
});

fn text_of(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, here: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, format!("{here}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, format!("{here}/{index}"), found));
        }
        _ => {}
    }
    if !here.is_empty() {
        found.push(here);
    }
}

fn places_of(value: &Value) -> Vec<String> {
    let mut found = vec![];
    places(value, String::new(), &mut found);
    found
}

/// Every value that a field of this name has in any archive.
fn values_of(name: &str) -> Vec<Value> {
    let mut found = vec![];
    for line in CORPUS.iter().flatten() {
        let places = places_of(line);
        let alike = places.iter().filter(|place| place.rsplit_once('/').is_some_and(|(_, last)| last == name));
        found.extend(alike.filter_map(|place| line.pointer(place).cloned()));
    }
    found
}

fn damage(lines: &mut [Value], line: Index, place: Index, harm: &Harm) {
    let line = line.index(lines.len());
    let places = places_of(&lines[line]);
    if places.is_empty() {
        return;
    }
    let pointer = place.get(&places);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let found = lines[line].pointer_mut(pointer).unwrap();
    match harm {
        Harm::Replaced(value) => *found = value.clone(),
        Harm::Alike(which) => {
            let values = values_of(name);
            *found = values.get(which.index(values.len().max(1))).cloned().unwrap_or_default();
        }
        Harm::More => match found {
            Value::Array(items) => items.extend(items.last().cloned()),
            Value::Number(number) => *found = json!(number.as_u64().map_or(1, |number| number.wrapping_add(1))),
            Value::String(text) => text.push('a'),
            _ => {}
        },
        Harm::Removed => match lines[line].pointer_mut(parent) {
            Some(Value::Object(fields)) => drop(fields.remove(name)),
            Some(Value::Array(items)) => drop(items.remove(name.parse().unwrap())),
            _ => {}
        },
    }
}

/// An archive of the corpus with some changes.
fn damaged(most: usize) -> impl Strategy<Value = String> {
    let harms = prop::collection::vec((any::<Index>(), any::<Index>(), harm()), 1..=most);
    (prop::sample::select(CORPUS.clone()), harms).prop_map(|(mut lines, harms)| {
        for (line, place, harm) in &harms {
            damage(&mut lines, *line, *place, harm);
        }
        text_of(&lines)
    })
}

/// An archive of the corpus with some bytes changed, cut out or repeated.
fn torn() -> impl Strategy<Value = String> {
    let tears = prop::collection::vec((any::<Index>(), 0usize..40, any::<u8>()), 1..5);
    (prop::sample::select(CORPUS.clone()), tears).prop_map(|(lines, tears)| {
        let mut bytes = text_of(&lines).into_bytes();
        for (at, length, byte) in tears {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            let part = bytes[at..end].to_vec();
            match byte % 3 {
                0 => drop(bytes.drain(at..end)),
                1 => drop(bytes.splice(at..at, part)),
                _ => bytes[at] = byte,
            }
            if bytes.is_empty() {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Reads it: a refusal names what is wrong, briefly; an accepted room can be shown, encoded and commanded.
fn is_refused_or_sound(text: &str) -> Result<Option<Archive>, TestCaseError> {
    let archive = match Archive::read(text) {
        Ok(archive) => archive,
        Err(invalid) => {
            prop_assert!(!invalid.field.is_empty() && !invalid.detail.is_empty(), "{invalid:?}");
            prop_assert!(invalid.to_string().len() < 600, "{} bytes", invalid.to_string().len());
            return Ok(None);
        }
    };
    let room = &archive.room;
    prop_assert_eq!(room.validate(), Ok(()));
    show(room, &GateSum::default());
    for command in commands(room) {
        let ranking = FrozenRanking { ranking: 7, of: 0, places: vec![] };
        let moment = Moment { now: 1_800_000_000_000, closes_at: None, ranking: Some(&ranking) };
        if let Ok(Step::Store(after)) = room.apply(&command, moment) {
            prop_assert_eq!(after.validate(), Ok(()), "after {:?}", command);
            caused_by(room, &after);
            show(&after, &GateSum::default());
        }
    }
    Ok(Some(archive))
}

fn show(room: &Room, gates: &GateSum) {
    for audience in [Audience::Public, Audience::Emcee] {
        let view = RoomView::new(room, gates, None, Blackout::default(), audience);
        assert!(serde_json::to_string(&view).is_ok());
    }
}

/// An evening of commands, in an order in which most of them fit.
fn commands(room: &Room) -> Vec<Command> {
    let mut commands = vec![Command::Reveal { place: None, top: None, auto_ms: None }, Command::Undelete];
    for (number, round) in (1..).zip(&room.rounds) {
        commands.extend([
            Command::Open { round: number, take: None, seconds: None },
            Command::Deadline { round: number, closes_at: None },
            Command::Close { round: number, take: None },
            Command::Show { round: number },
            Command::Decide { round: number, outcome: Some(Decision::Winner(1)) },
            Command::Take { round: number, take: round.next_take() },
            Command::Take { round: number, take: 1 },
        ]);
    }
    commands.push(Command::Reveal { place: Some(1), top: None, auto_ms: None });
    commands.push(Command::Delete { title: room.title.to_string() });
    commands
}

#[test]
fn a_damaged_archive_is_refused_with_its_fault_or_is_still_valid() {
    let mut runner = TestRunner::new(Config { cases: READ, failure_persistence: None, ..Config::default() });
    runner.run(&damaged(3), |text| is_refused_or_sound(&text).map(drop)).unwrap();
    runner.run(&torn(), |text| is_refused_or_sound(&text).map(drop)).unwrap();
}

#[test]
fn archives_of_earlier_servers_are_read_and_written_unchanged() {
    for lines in CORPUS.iter() {
        let archive = Archive::read(&text_of(lines)).unwrap();
        let again: Vec<Value> =
            archive.write().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(again, *lines);
    }
}

/// Brings damaged archives in. Whatever is let through has its evening, and a room beside it has lost nothing.
fn are_rooms_like_any_other(test_ledger: &TestLedger, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ledger = &test_ledger.ledger;
    let beside = runtime.block_on(RoomFixture::new(ledger, 1));
    let before = runtime.block_on(reconcile_room(&**ledger, beside.id())).unwrap();
    let let_through = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let evening = |text: String| {
        let Some(archive) = is_refused_or_sound(&text)? else { return Ok(()) };
        runtime.block_on(has_its_evening(ledger, &archive));
        let_through.set(let_through.get() + 1);
        let after = runtime.block_on(reconcile_room(&**ledger, beside.id())).unwrap();
        prop_assert_eq!((&after.room, &after.gates), (&before.room, &before.gates));
        let listing = runtime.block_on(ledger.rooms()).unwrap();
        prop_assert_eq!(listing.unreadable, vec![]);
        Ok(())
    };
    runner.run(&damaged(1), evening).unwrap();
    assert!(let_through.get() > cases / 10, "only {} of {cases} were let through", let_through.get());
}

async fn has_its_evening(ledger: &SharedLedger, archive: &Archive) {
    let room = match archive.import(&**ledger).await.unwrap() {
        Import::Done(room) => room,
        Import::Refused(invalid) => return assert!(!invalid.field.is_empty()),
        other => panic!("nothing stands in its way: {other:?}"),
    };
    assert!(ledger.rooms().await.unwrap().rooms.contains(&room));
    for command in commands(&room) {
        match execute(ledger, &room.id, &command).await {
            Ok(snapshot) => show(&snapshot.room, &sum(&snapshot.gates)),
            Err(ExecuteError::Refused(_)) => {}
            Err(error) => panic!("{command:?}: {error}"),
        }
        if let Some((round, take)) = room.current_take().filter(|_| matches!(command, Command::Open { .. })) {
            for voter in all_voters(&**ledger, &room.id).await.unwrap() {
                let partition = partition_of(voter.voter.as_str(), room.partitions);
                let cast = Cast::parse(1, "ab".into()).unwrap();
                let batch = Batch::of(round, take, 0, [(voter.voter, cast)]);
                ledger.partition_writer(&room.id, partition, "pod").commit(&batch).await.unwrap();
            }
        }
        let snapshot = reconcile_room(&**ledger, &room.id).await.unwrap();
        rank(&**ledger, &snapshot.room).await.unwrap();
    }
    // and it can be exported again, as it is now
    let key = archive.room.token_key.as_deref().unwrap_or("dGhlLWtleS1vZi10aGUtdG9rZW5zLWlzLXNlY3JldCE");
    let again = Archive::of(&**ledger, &room.id, key).await.unwrap().write().unwrap();
    Archive::read(&again).unwrap_or_else(|invalid| panic!("{invalid}: {again}"));
    let room = ledger.room(&room.id).await.unwrap().unwrap();
    ledger.purge_room(&room).await.unwrap();
}

#[test]
fn an_accepted_archive_becomes_a_working_room_in_a_file() {
    are_rooms_like_any_other(&TestLedger::embedded(0), BROUGHT_IN);
}

#[test]
fn an_accepted_archive_becomes_a_working_room_in_redis() {
    are_rooms_like_any_other(&TestLedger::redis_of_its_own(0), BROUGHT_IN);
}
