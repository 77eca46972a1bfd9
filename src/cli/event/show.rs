//! A difference as people read it.

use serde_json::Value;

use super::difference::{Change, Difference};
use super::file::EventFile;
use super::lines::path;
use crate::cli::paint::Paint;
use crate::cli::table::counted;

/// Names that are shown of a longer list.
const SHOWN_NAMES: usize = 8;

/// The whole difference, with its word in the last line.
pub fn shown(event: &EventFile, difference: &Difference, paint: Paint) -> String {
    let of = format!("{} (ref {})", event.room.title, event.reference());
    let mut text = match &difference.room {
        Some(room) => paint.bold(&format!("{of}: room {}", room.code)) + "\n",
        None => paint.bold(&format!("{of}: a new room")) + "\n",
    };
    let labels: Vec<_> = difference.changes.iter().map(|change| path(&change.field)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    for (change, label) in difference.changes.iter().zip(labels) {
        text += &line(change, &format!("{label:width$}"), paint);
    }
    let invites = &difference.invites;
    if !invites.new.is_empty() {
        let names: Vec<_> = invites.new.iter().map(|name| name.as_str()).collect();
        text += &paint.green(&format!("  + {}: {}", counted(names.len(), "invite"), some(&names)));
        text += "\n";
    }
    if !invites.unlisted.is_empty() {
        let names: Vec<_> = invites.unlisted.iter().map(String::as_str).collect();
        text += &format!("    invited and not in the file, and stays so: {}\n", some(&names));
    }
    text + &summary(event, difference, paint)
}

fn line(change: &Change, label: &str, paint: Paint) -> String {
    let line = match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("~ {label}  {} → {}", value(old), value(new)),
        (None, Some(new)) => format!("+ {label}  {}", value(new)),
        (Some(old), None) => format!("- {label}  {}", value(old)),
        (None, None) => String::new(),
    };
    let line = match &change.refused {
        Some(why) => paint.red(&format!("  !{}  ({why})", &line[1..])),
        None if line.starts_with('~') => paint.yellow(&format!("  {line}")),
        None if line.starts_with('+') => paint.green(&format!("  {line}")),
        None => paint.red(&format!("  {line}")),
    };
    line + "\n"
}

fn summary(event: &EventFile, difference: &Difference, paint: Paint) -> String {
    let file = event.path.display();
    let refused = difference.changes.iter().filter(|change| change.refused.is_some()).count();
    let word = difference.word();
    let changes = match &difference.room {
        Some(room) if difference.is_empty() => {
            return paint.green(&format!("No changes: room {} is as {file} says.", room.code));
        }
        Some(_) if refused > 0 => {
            return paint.red(&format!(
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
    format!("Plan {word}: {changes}{invites}.")
}

/// A value as people read it.
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

fn some(names: &[&str]) -> String {
    let shown = names.iter().take(SHOWN_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
