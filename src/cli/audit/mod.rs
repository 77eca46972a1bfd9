//! `tallycast audit`: recounts every take from its ballots, on a server or in a file.

use anyhow::ensure;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arguments::AuditArguments;
use super::client::Client;
use super::outcome::{Outcome, print};
use super::rooms;
use super::style::{bold, green, red};
use super::table::{counted, table};

mod export;
mod file;
mod ranking;
mod verify;

/// The server's recount of a room.
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
    /// Votes by choice, as on record.
    tally: Vec<u64>,
    /// Votes by choice, as counted from the ballots.
    recount: Vec<u64>,
    /// Voters with a vote in their ballot.
    voters: u64,
}

/// Recounts, and prints a table for each room.
///
/// # Errors
/// The server does not answer, or there is no such room; or the file is not an export.
pub async fn audit(arguments: &AuditArguments) -> anyhow::Result<Outcome> {
    if let Some(name) = arguments.room.as_deref().filter(|name| file::is_file(name)) {
        return file::audit(name, arguments);
    }
    ensure!(arguments.seal.is_empty(), "--seal is for a file; GET /rooms/{{room}}/records lists the seals of a server");
    let client = Client::new(&arguments.server).await?;
    let mut audits = vec![];
    for room in rooms::select(&client, arguments.room.as_deref(), arguments.all).await? {
        let audit: Audit = client.call(Method::GET, &["rooms", &room.code, "audit"]).read().await?;
        audits.push((room, audit));
    }
    let ok = audits.iter().all(|(_, audit)| audit.ok);
    if arguments.json {
        let rooms =
            audits.iter().map(|(room, audit)| json!({ "room": room.code, "ok": audit.ok, "rounds": audit.takes }));
        print(format_args!("{:#}", json!({ "ok": ok, "rooms": rooms.collect::<Vec<_>>() })))?;
    } else {
        for (room, audit) in &audits {
            print(format_args!("{}\n{}", bold(&room.described()), takes(audit)))?;
        }
        print(verdict(&audits.iter().map(|(_, audit)| audit).collect::<Vec<_>>()))?;
    }
    Ok(if ok { Outcome::Fine } else { Outcome::Wrong })
}

fn takes(audit: &Audit) -> String {
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

fn verdict(audits: &[&Audit]) -> String {
    let takes: usize = audits.iter().map(|audit| audit.takes.len()).sum();
    let votes: u64 = audits.iter().flat_map(|audit| &audit.takes).flat_map(|take| &take.recount).sum();
    match audits.iter().filter(|audit| !audit.ok).count() {
        0 => green(&format!("{} with {votes} votes recounted: exact.", counted(takes, "take"))),
        wrong => {
            red(&format!("Of {}, {wrong} recount to something else than is on record.", counted(audits.len(), "room")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_take_with_another_recount_is_shown_beside_its_record() {
        let take = Recount { round: 2, take: 1, tally: vec![5, 3], recount: vec![5, 2], voters: 4 };
        let audit = Audit { ok: false, takes: vec![take] };
        assert!(takes(&audit).contains("5 : 3      5 : 2      4       DIFFERS"), "{}", takes(&audit));
        let verdict = anstream::adapter::strip_str(&verdict(&[&audit])).to_string();
        assert_eq!(verdict, "Of 1 room, 1 recount to something else than is on record.");
    }
}
