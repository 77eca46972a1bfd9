//! `tallycast purge`: removes old rooms for good.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::arguments::PurgeArguments;
use super::client::Client;
use super::outcome::{Outcome, print};
use super::table::{counted, table};

/// A room to remove.
#[derive(Deserialize)]
struct OldRoom {
    room: String,
    title: String,
    /// When it was deleted or last changed, in ms since 1970.
    since: u64,
}

/// Asks for the removal, and prints the rooms. Workers remove them, maybe after this command has ended.
///
/// # Errors
/// The server does not answer, or refuses the call.
pub async fn purge(arguments: &PurgeArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server).await?;
    let asked = json!({
        "older_than_seconds": arguments.older_than.as_secs(),
        "all": arguments.all,
        "dry_run": arguments.dry_run,
    });
    let answer: Value = client.call(Method::POST, &["purge"]).json(&asked).read().await?;
    if arguments.json {
        print(format_args!("{answer:#}"))?;
        return Ok(Outcome::Fine);
    }
    let rooms: Vec<OldRoom> = serde_json::from_value(answer["rooms"].clone())?;
    if rooms.is_empty() {
        print("No room is that old.")?;
        return Ok(Outcome::Fine);
    }
    let rows: Vec<_> = rooms.iter().map(|room| [room.room.clone(), date(room.since), room.title.clone()]).collect();
    print(table(["room", "since", "title"], &rows))?;
    let count = counted(rooms.len(), "room");
    match arguments.dry_run {
        true => print(format_args!("{count} would go for good. Nothing was removed."))?,
        false => print(format_args!("{count} to go for good: the workers have been told."))?,
    }
    Ok(Outcome::Fine)
}

/// The date of a time in ms since 1970.
fn date(ms: u64) -> String {
    // the formatter has no dates after the year 9999
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms.min(253_402_300_799_000));
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_time_is_shown_as_its_date() {
        assert_eq!(date(1_795_186_968_764), "2026-11-20");
        assert_eq!(date(u64::MAX), "9999-12-31");
    }
}
