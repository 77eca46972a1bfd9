//! `tallycast audit`: every take, recounted from its ballots.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arguments::AuditArguments;
use super::client::Client;
use super::outcome::{Outcome, say};
use super::paint::Paint;
use super::rooms;
use super::table::{counted, table};

/// What the server answers.
#[derive(Debug, Serialize, Deserialize)]
struct Audit {
    ok: bool,
    #[serde(rename = "rounds")]
    takes: Vec<Recount>,
}

/// One take.
#[derive(Debug, Serialize, Deserialize)]
struct Recount {
    round: u16,
    take: u16,
    /// By choice, as on record.
    tally: Vec<u64>,
    /// By choice, as the ballots say.
    recount: Vec<u64>,
    /// Who voted, as the ballots say.
    voters: u64,
}

/// Recounts, and prints a table for each room.
pub async fn audit(arguments: &AuditArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server).await?;
    let mut audits = vec![];
    for room in rooms::chosen(&client, arguments.room.as_deref(), arguments.all).await? {
        let audit: Audit = client.call(Method::GET, &["rooms", &room.code, "audit"]).read().await?;
        audits.push((room, audit));
    }
    let ok = audits.iter().all(|(_, audit)| audit.ok);
    if arguments.json {
        let rooms =
            audits.iter().map(|(room, audit)| json!({ "room": room.code, "ok": audit.ok, "rounds": audit.takes }));
        say(format_args!("{:#}", json!({ "ok": ok, "rooms": rooms.collect::<Vec<_>>() })))?;
    } else {
        let paint = Paint::stdout();
        for (room, audit) in &audits {
            say(format_args!("{}\n{}", paint.bold(&room.described()), shown(audit)))?;
        }
        say(verdict(&audits.iter().map(|(_, audit)| audit).collect::<Vec<_>>(), paint))?;
    }
    Ok(if ok { Outcome::Fine } else { Outcome::Wrong })
}

fn shown(audit: &Audit) -> String {
    if audit.takes.is_empty() {
        return "no round was opened yet\n".to_owned();
    }
    let votes = |votes: &[u64]| votes.iter().map(u64::to_string).collect::<Vec<_>>().join(" : ");
    let row = |take: &Recount| {
        let exact = take.tally == take.recount;
        [
            take.round.to_string(),
            take.take.to_string(),
            votes(&take.tally),
            votes(&take.recount),
            take.voters.to_string(),
            if exact { "exact" } else { "DIFFERS" }.to_owned(),
        ]
    };
    let rows: Vec<_> = audit.takes.iter().map(row).collect();
    table(["round", "take", "on record", "recounted", "voters", ""], &rows)
}

fn verdict(audits: &[&Audit], paint: Paint) -> String {
    let takes: usize = audits.iter().map(|audit| audit.takes.len()).sum();
    let votes: u64 = audits.iter().flat_map(|audit| &audit.takes).flat_map(|take| &take.recount).sum();
    match audits.iter().filter(|audit| !audit.ok).count() {
        0 => paint.green(&format!("{} with {votes} votes recounted: exact.", counted(takes, "take"))),
        wrong => paint.red(&format!(
            "Of {}, {wrong} recount to something else than is on record.",
            counted(audits.len(), "room")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_take_that_recounts_to_something_else_is_shown_beside_what_is_on_record() {
        let take = Recount { round: 2, take: 1, tally: vec![5, 3], recount: vec![5, 2], voters: 4 };
        let audit = Audit { ok: false, takes: vec![take] };
        assert!(shown(&audit).contains("5 : 3      5 : 2      4       DIFFERS"), "{}", shown(&audit));
        assert_eq!(verdict(&[&audit], Paint::plain()), "Of 1 room, 1 recount to something else than is on record.");
    }
}
