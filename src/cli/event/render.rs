//! A difference as text for people.

use serde_json::Value;

use super::difference::{Change, Difference};
use super::file::EventFile;
use super::lines::path;
use crate::cli::style::{bold, green, red, yellow};
use crate::cli::table::counted;

/// Names shown of a longer list.
const MAX_NAMES: usize = 8;

/// The whole difference, with the plan's id in the last line.
pub fn render(event: &EventFile, difference: &Difference) -> String {
    let event_title = format!("{} (ref {})", event.room.title, event.reference());
    let mut text = match &difference.room {
        Some(room) => bold(&format!("{event_title}: room {}", room.code)) + "\n",
        None => bold(&format!("{event_title}: a new room")) + "\n",
    };
    let labels: Vec<_> = difference.changes.iter().map(|change| path(&change.field)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    for (change, label) in difference.changes.iter().zip(labels) {
        text += &line(change, &format!("{label:width$}"));
    }
    let invites = &difference.invites;
    if !invites.new.is_empty() {
        let names: Vec<_> = invites.new.iter().map(|name| name.as_str()).collect();
        text += &green(&format!("  + {}: {}", counted(names.len(), "invite"), first_names(&names)));
        text += "\n";
    }
    if !invites.unlisted.is_empty() {
        let names: Vec<_> = invites.unlisted.iter().map(String::as_str).collect();
        text += &format!("    invited and not in the file, and stays so: {}\n", first_names(&names));
    }
    text + &summary(event, difference)
}

fn line(change: &Change, label: &str) -> String {
    let line = match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("~ {label}  {} → {}", value(old), value(new)),
        (None, Some(new)) => format!("+ {label}  {}", value(new)),
        (Some(old), None) => format!("- {label}  {}", value(old)),
        (None, None) => String::new(),
    };
    let line = match &change.refused {
        Some(why) => red(&format!("  !{}  ({why})", &line[1..])),
        None if line.starts_with('~') => yellow(&format!("  {line}")),
        None if line.starts_with('+') => green(&format!("  {line}")),
        None => red(&format!("  {line}")),
    };
    line + "\n"
}

fn summary(event: &EventFile, difference: &Difference) -> String {
    let file = event.path.display();
    let refused = difference.changes.iter().filter(|change| change.refused.is_some()).count();
    let id = difference.id();
    let changes = match &difference.room {
        Some(room) if difference.is_empty() => {
            return green(&format!("No changes: room {} is as {file} says.", room.code));
        }
        Some(_) if refused > 0 => {
            return red(&format!(
                "The server would refuse what is marked with !, so nothing will be applied. Put the old value back into \
                 {file}, or give it a new ref: that makes a new room."
            ));
        }
        Some(_) => counted(difference.changes.len(), "change"),
        None => format!("a room to make with {}", counted(event.room.rounds.len(), "round")),
    };
    let invites = match difference.invites.new.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, "invite")),
    };
    format!("Plan {id}: {changes}{invites}.")
}

/// A value of the API as text.
fn value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Object(round) => round_line(round),
        Value::Array(values) => values.iter().map(self::value).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

/// A whole round: `"The song": "Red", "Blue"; 60 s; split hidden`.
fn round_line(round: &serde_json::Map<String, Value>) -> String {
    let labels = round["choices"].as_array().into_iter().flatten().map(|choice| choice["label"].to_string());
    let mut line = format!("{}: {}", round["title"], labels.collect::<Vec<_>>().join(", "));
    if let Some(seconds) = round.get("seconds") {
        line += &format!("; {seconds} s");
    }
    if round["split"] != "live" {
        line += &format!("; split {}", round["split"].as_str().unwrap_or_default());
    }
    if round["blackout_seconds"] != 0 {
        line += &format!("; dark for the last {} s", round["blackout_seconds"]);
    }
    line
}

fn first_names(names: &[&str]) -> String {
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
