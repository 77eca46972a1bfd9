use super::EventFile;
use crate::fuzz;

const SMALL: &str = r##"ref = "party"
title = "Party"

[[round]]
title = "The song"
choices = ["Red", { label = "Blue", color = "#0000FF" }]
seconds = 60
"##;

/// Reads this text, with a list of guests beside it.
fn read(text: &str, guests: &str) -> anyhow::Result<EventFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("party.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("guests.csv"), guests).unwrap();
    EventFile::read(&path)
}

#[track_caller]
fn refused(text: &str, guests: &str, says: &[&str]) {
    let error = format!("{:#}", read(text, guests).unwrap_err());
    for word in says {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

#[test]
fn what_is_left_out_has_the_servers_default() {
    let event = read(SMALL, "").unwrap();
    assert_eq!(event.reference(), "party");
    assert_eq!((event.room.votes_per_round, event.room.partitions, event.room.rehearsal), (10, 1, false));
    let colors: Vec<_> = event.room.rounds[0].choices.iter().map(|choice| choice.color.as_str()).collect();
    assert_eq!(colors, ["#3d7dff", "#0000ff"]);
    assert_eq!(event.invites, None);
}

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_page_to_read() {
    refused(&SMALL.replace("seconds", "secnds"), "", &["party.toml, line 7", "`secnds`", "docs/event-files.md"]);
    refused(&SMALL.replace("title = \"Party\"", "titel = \"Party\""), "", &["line 2", "`titel`", "`title`"]);
    refused(&SMALL.replace("color =", "colour ="), "", &["line 6", "`colour`"]);
}

#[test]
fn a_missing_key_is_named() {
    refused(&SMALL.replace("ref = \"party\"\n", ""), "", &["party.toml", "`ref`"]);
    refused("ref = \"x\"\ntitle = \"y\"\n", "", &["`round`"]);
}

#[test]
fn a_value_out_of_bounds_is_reported_with_its_line_and_its_bounds() {
    for (from, to, says) in [
        ("seconds = 60", "seconds = 4", &["line 7", "seconds of round 1", "must be 5 to 86400, not 4"][..]),
        ("#0000FF", "blue", &["line 6", "color of choice b of round 1", "must be #rrggbb"]),
        ("\"Red\", ", "", &["line 6", "choices of round 1", "must be 2 to 8, not 1"]),
        ("ref = \"party\"", "ref = \"\"", &["line 1", "ref must be 1 to 200 bytes"]),
        ("title = \"Party\"", "title = \"\"", &["line 2", "title must be 1 to 80"]),
        (
            "title = \"Party\"",
            "title = \"Party\"\nvotes_per_round = 0",
            &["line 3", "votes_per_round must be 1 to 100"],
        ),
        ("title = \"Party\"", "title = \"Party\"\njoin = \"opn\"", &["line 3", "`opn`", "`invite`"]),
        ("seconds = 60", "seconds = \"60\"", &["line 7", "string \"60\""]),
        ("\"Red\"", "3", &["line 6", "as in \"Red\""]),
        ("title = \"Party\"", "title = ", &["line 2"]),
    ] {
        assert_ne!(SMALL.replace(from, to), SMALL, "{from}");
        refused(&SMALL.replace(from, to), "", says);
    }
}

#[test]
fn invites_come_from_the_file_and_from_the_list_beside_it() {
    let text = format!("invites = [\"Ann\"]\ninvites_file = \"guests.csv\"\n{SMALL}");
    let names = |event: EventFile| event.invites.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(read(&text, "id,name\n1,Zoe\u{308}\n2,Ben\n").unwrap()), ["Ann", "Zoë", "Ben"]);
    assert_eq!(names(read(&format!("invites = []\n{SMALL}"), "").unwrap()), Vec::<String>::new());
}

#[test]
fn an_invalid_or_duplicate_name_is_reported() {
    let text = format!("invites = [\"Ann\"]\ninvites_file = \"guests.csv\"\n{SMALL}");
    refused(&text, "name\nBen\nANN\n", &["guests.csv", "\"ANN\" is the same name as \"Ann\""]);
    refused(&text, "who\nBen\n", &["guests.csv", "column \"name\""]);
    refused(&format!("invites = [\n  \"Ann\",\n  \"{}\",\n]\n{SMALL}", "x".repeat(25)), "", &["line 3", "1 to 24"]);
    refused(&text.replace("guests.csv", "none.csv"), "", &["none.csv cannot be read"]);
}

#[test]
fn a_missing_file_is_reported() {
    let error = EventFile::read(std::path::Path::new("none.toml")).unwrap_err();
    assert!(format!("{error:#}").contains("the event file none.toml cannot be read"), "{error:#}");
}

#[test]
fn the_shipped_example_is_an_event() {
    let event = EventFile::read(std::path::Path::new("docs/examples/summer-party.toml")).unwrap();
    assert_eq!(event.room.rounds.len(), 7);
    assert!(event.invites.is_some_and(|names| !names.is_empty()));
}

#[test]
fn every_event_of_the_manual_is_valid() {
    let page = std::fs::read_to_string("docs/event-files.md").unwrap();
    let events: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!events.is_empty());
    for text in events {
        read(text, "").unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    }
}

#[test]
fn every_key_is_in_the_manual() {
    let page = std::fs::read_to_string("docs/event-files.md").unwrap();
    for text in ["nonsense = 1\n".to_owned() + SMALL, SMALL.replace("seconds =", "nonsense =")] {
        let error = read(&text, "").unwrap_err().to_string();
        let keys: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        assert!(keys.len() >= 5, "{error}");
        for key in keys {
            assert!(page.contains(&format!("| `{key}` |")) || page.contains(&format!("| `[[{key}]]` |")), "{key}");
        }
    }
}

#[test]
fn fuzz_event_files() {
    fuzz::run("event_files", 3_000, |bytes| match read(&String::from_utf8_lossy(bytes), "name\nAnn\n") {
        Ok(event) => {
            let room = &event.room;
            room.validate().expect("a room that is accepted is valid");
            assert!(!event.reference().is_empty(), "an event has a ref");
            format!("{} rounds", room.rounds.len())
        }
        Err(error) => fuzz::shape(format!("{error:#}").split_once("line ").map_or("", |(_, what)| what)),
    });
}
