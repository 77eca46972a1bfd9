//! Event files: what an evening shall be, as its organiser writes it down, and how a room differs from it.
//!
//! Both sides become a room record of the domain, so what is out of bounds and what may not change any more is asked of
//! the very rules that the server follows.

mod difference;
mod file;
mod lines;
mod show;

pub use difference::Difference;
pub use file::EventFile;
pub use show::shown;

use serde_json::{Value, json};

use crate::domain::room::Round;

/// A round as `POST` and `PATCH /rooms` take it.
fn round_body(round: &Round) -> Value {
    let choices = round.choices.iter().map(|choice| json!({ "label": choice.label, "color": choice.color }));
    let mut body = json!({
        "title": round.title,
        "choices": choices.collect::<Vec<_>>(),
        "split": round.split,
        "blackout_seconds": round.blackout_seconds,
    });
    if let Some(seconds) = round.seconds {
        body["seconds"] = seconds.into();
    }
    body
}
