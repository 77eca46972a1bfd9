//! `tallycast purge`: rooms that were deleted long ago go for good.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::arguments::PurgeArguments;
use super::client::Client;
use super::outcome::{Outcome, print};
use super::table::{counted, table};

/// A room that is removed.
#[derive(Deserialize)]
struct Goes {
    room: String,
    title: String,
    /// In ms since 1970: deleted, or last changed, then.
    since: u64,
}

/// Asks for the removal, and prints what goes. Workers do it; a job may still be waiting when this ends.
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
    let rooms: Vec<Goes> = serde_json::from_value(answer["rooms"].clone())?;
    if rooms.is_empty() {
        print("No room is that old.")?;
        return Ok(Outcome::Fine);
    }
    let rows: Vec<_> = rooms.iter().map(|goes| [goes.room.clone(), date(goes.since), goes.title.clone()]).collect();
    print(table(["room", "since", "title"], &rows))?;
    let count = counted(rooms.len(), "room");
    match arguments.dry_run {
        true => print(format_args!("{count} would go for good. Nothing was removed."))?,
        false => print(format_args!("{count} to go for good: the workers have been told."))?,
    }
    Ok(Outcome::Fine)
}

/// A time of the ledger as a date.
fn date(ms: u64) -> String {
    // far beyond the year 9999 a date is of no use, and the formatter has none
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms.min(253_402_300_799_000));
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_time_is_shown_as_its_day() {
        assert_eq!(date(1_795_186_968_764), "2026-11-20");
        assert_eq!(date(u64::MAX), "9999-12-31");
    }
}
