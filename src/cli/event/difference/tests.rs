use serde_json::json;

use super::*;

const TEXT: &str = r#"ref = "party"
title = "Party"
invites = ["Ann", "Ben"]

[[round]]
title = "The song"
choices = ["Red", "Blue"]
seconds = 60

[[round]]
title = "The cake"
choices = ["Lemon", "Plum"]

[[round]]
title = "The end"
choices = ["Yes", "No"]
"#;

fn event(text: &str) -> EventFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("party.toml");
    std::fs::write(&path, text).unwrap();
    EventFile::read(&path).unwrap()
}

/// The room that the file makes, with round 1 closed and round 2 open if `begun`.
fn room(text: &str, begun: bool) -> KnownRoom {
    let room = event(text).room;
    let mut view = body(&room, |_| true);
    view["room"] = "4EYERQ".into();
    view["round"] = if begun { 2 } else { 0 }.into();
    for (index, round) in view["rounds"].as_array_mut().unwrap().iter_mut().enumerate() {
        round["take"] = 1.into();
        round["phase"] = ["closed", "open", "ready"].get(index).filter(|_| begun).unwrap_or(&"ready").to_owned().into();
        round["takes"] = if begun && index == 0 { json!([{ "take": 1 }]) } else { json!([]) };
    }
    serde_json::from_value(view).unwrap()
}

fn difference(text: &str, known: KnownRoom) -> Difference {
    Difference::new(&event(text), Some(known), &["ANN".into(), "Ben".into()]).unwrap()
}

#[test]
fn a_room_like_its_file_has_no_difference() {
    for begun in [false, true] {
        let difference = difference(TEXT, room(TEXT, begun));
        assert!(difference.is_empty() && difference.body.is_none(), "{difference:?}");
    }
}

#[test]
fn a_new_room_is_all_difference() {
    let difference = Difference::new(&event(TEXT), None, &[]).unwrap();
    assert!(!difference.is_empty() && !difference.is_refused());
    assert!(difference.changes.iter().all(|change| change.old.is_none()), "{:?}", difference.changes);
    assert_eq!(difference.invites.new.len(), 2);
    assert_eq!(difference.body.unwrap()["rounds"].as_array().unwrap().len(), 3);
}

#[test]
fn only_what_differs_is_sent() {
    let text = TEXT.replace("\"Party\"", "\"Gala\"");
    let difference = difference(&text, room(TEXT, true));
    assert_eq!(difference.body, Some(json!({ "title": "Gala" })));
    assert_eq!(
        (difference.changes[0].old.clone(), difference.changes[0].new.clone()),
        (Some(json!("Party")), Some(json!("Gala")))
    );
}

#[test]
fn a_refusal_of_the_server_is_predicted() {
    let begun = |from: &str, to: &str| {
        assert_ne!(TEXT.replace(from, to), TEXT);
        let difference = difference(&TEXT.replace(from, to), room(TEXT, true));
        let changes = difference.changes.iter();
        changes.map(|change| (change.field.clone(), change.refused.is_some())).collect::<Vec<_>>()
    };
    let one = |field: &str, refused| vec![(field.to_owned(), refused)];
    assert_eq!(begun("seconds = 60", "seconds = 90"), one("rounds[0].seconds", true));
    assert_eq!(begun("seconds = 60", "seconds = 60\nsplit = \"held\""), one("rounds[0].split", true));
    assert_eq!(begun("\"Plum\"]", "\"Plum\"]\nsplit = \"held\""), one("rounds[1].split", false));
    assert_eq!(begun("\"Plum\"]", "\"Plum\", \"Fig\"]"), one("rounds[1].choices", true));
    assert_eq!(begun("\"Plum\"]", "\"Fig\"]"), one("rounds[1].choices[1].label", false));
    assert_eq!(
        begun("\"No\"]", "\"No\", \"Both\"]\nseconds = 9"),
        [one("rounds[2].choices", false), one("rounds[2].seconds", false)].concat()
    );
    assert_eq!(begun("title = \"Party\"", "title = \"Party\"\nvotes_per_round = 5"), one("votes_per_round", true));
    assert_eq!(begun("title = \"Party\"", "title = \"Party\"\npartitions = 2"), one("partitions", true));
    assert_eq!(begun("title = \"Party\"", "title = \"Party\"\njoin = \"closed\""), one("join", false));
}

#[test]
fn rounds_may_be_added_and_dropped_behind_the_opened_ones() {
    let (one, two) = (TEXT.split("\n[[round]]").take(2), TEXT.split("\n[[round]]").take(3));
    let (one, two) = (one.collect::<Vec<_>>().join("\n[[round]]"), two.collect::<Vec<_>>().join("\n[[round]]"));
    let dropped = |text: &str| {
        let changes = difference(text, room(TEXT, true)).changes;
        changes.iter().map(|change| (change.field.clone(), change.refused.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(dropped(&two), [("rounds[2]".to_owned(), false)]);
    assert_eq!(dropped(&one), [("rounds[1]".to_owned(), true), ("rounds[2]".to_owned(), false)]);
    let added = difference(TEXT, room(&two, true));
    assert_eq!((added.changes[0].field.as_str(), added.is_refused()), ("rounds[2]", false));
    assert_eq!(added.body.unwrap()["rounds"].as_array().unwrap().len(), 3);
}

#[test]
fn the_whole_is_refused_if_and_only_if_a_field_is() {
    for (from, to) in
        [("60", "90"), ("Plum", "Fig"), ("\"Party\"", "\"Gala\""), ("\"Lemon\", ", "\"Lemon\", \"Fig\", ")]
    {
        let text = TEXT.replace(from, to);
        let present = record(&room(TEXT, true)).unwrap();
        let rounds = Some(event(&text).room.rounds.iter().map(plan).collect());
        let whole = Edit { rounds, title: Some(event(&text).room.title), ..Edit::default() };
        assert_eq!(whole.apply(&present).is_err(), difference(&text, room(TEXT, true)).is_refused(), "{from} {to}");
    }
}

#[test]
fn the_id_changes_with_the_difference_and_with_the_room() {
    let gala = difference(&TEXT.replace("\"Party\"", "\"Gala\""), room(TEXT, false));
    let ball = difference(&TEXT.replace("\"Party\"", "\"Ball\""), room(TEXT, false));
    let mut elsewhere = gala.clone();
    elsewhere.room.as_mut().unwrap().code = "K3XYZA".into();
    assert!(gala.id() != ball.id() && gala.id() != elsewhere.id());
    assert_eq!(gala.id().len(), ID_CHARS);
}

#[test]
fn names_are_compared_as_the_server_does_and_nobody_loses_an_invite() {
    let wanted = ["Ann", "Zoë"].map(|name| Name::parse(name).unwrap());
    let invites = InvitesDifference::new(Some(&wanted), &["ann".into(), "Cleo".into()]);
    assert_eq!((invites.new, invites.kept, invites.unlisted), (vec![wanted[1].clone()], 1, vec!["Cleo".to_owned()]));
    let silent = InvitesDifference::new(None, &["Cleo".into()]);
    assert!(silent.new.is_empty() && silent.unlisted.is_empty());
}
