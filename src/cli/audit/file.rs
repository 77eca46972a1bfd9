//! `tallycast audit FILE`: the same for an export, without a server.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::export::Export;
use super::verify::{Findings, verify};
use crate::cli::arguments::AuditArguments;
use crate::cli::outcome::{Outcome, print};
use crate::cli::style::{bold, green, red, yellow};
use crate::cli::table::{counted, table};
use crate::domain::seal::Digest;

/// Digits of a seal that are shown: as many as on stage.
const SHOWN_DIGITS: usize = 24;

/// True if the argument names a file and not a room.
pub fn is_file(name: &str) -> bool {
    name == "-" || name.ends_with(".json") || name.ends_with(".ndjson") || Path::new(name).is_file()
}

/// Verifies an export, and prints its takes and what is wrong.
///
/// # Errors
/// The file cannot be read, or is not an export.
pub fn audit(name: &str, arguments: &AuditArguments) -> anyhow::Result<Outcome> {
    let text = match name {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        path => std::fs::read_to_string(path),
    };
    let export = text.with_context(|| format!("{name} cannot be read"));
    let export = export.and_then(|text| Export::parse(&text).with_context(|| name.to_owned()))?;
    let mut findings = verify(&export);
    find_noted(&arguments.seal, &mut findings);
    let outcome = match findings.faults.is_empty() {
        false => Outcome::Wrong,
        true if findings.takes.iter().any(|take| take.lacks_seal()) => Outcome::Unseen,
        true => Outcome::Fine,
    };
    if arguments.json {
        print(format_args!("{:#}", report(&export, &findings, outcome)))?;
    } else {
        print(format_args!("{}  {}\n{}", bold(&export.room.room), export.room.title, takes(&findings)))?;
        for fault in &findings.faults {
            print(red(fault))?;
        }
        print(verdict(&findings, outcome))?;
    }
    Ok(outcome)
}

/// Checks that every seal that somebody has noted is in the file.
fn find_noted(noted: &[String], findings: &mut Findings) {
    let seals: Vec<_> = findings.takes.iter().filter_map(|take| take.seal).map(|seal| seal.to_string()).collect();
    for noted in noted {
        if !seals.iter().any(|seal| seal.starts_with(noted)) {
            findings.faults.push(format!("no take has the seal {}", grouped(noted)));
        }
    }
}

fn report(export: &Export, findings: &Findings, outcome: Outcome) -> serde_json::Value {
    let takes = findings.takes.iter().map(|take| {
        json!({
            "round": take.round,
            "take": take.take,
            "tally": take.tally,
            "recount": take.recount,
            "voters": take.voters,
            "seal": take.seal,
        })
    });
    json!({
        "ok": outcome == Outcome::Fine,
        "room": export.room.room,
        "rounds": takes.collect::<Vec<_>>(),
        "faults": findings.faults,
    })
}

fn takes(findings: &Findings) -> String {
    if findings.takes.is_empty() {
        return "no round was opened yet\n".to_owned();
    }
    let votes = |votes: &[u64]| votes.iter().map(u64::to_string).collect::<Vec<_>>().join(" : ");
    let rows = findings.takes.iter().map(|take| {
        let state = match &take.tally {
            _ if !take.is_exact => "DIFFERS",
            None => "open",
            Some(_) if take.seal.is_none() => "not sealed",
            Some(_) => "exact",
        };
        [
            take.round.to_string(),
            take.take.to_string(),
            take.tally.as_deref().map(votes).unwrap_or_default(),
            votes(&take.recount),
            take.voters.to_string(),
            take.seal.map(shown).unwrap_or_default(),
            state.to_owned(),
        ]
    });
    table(["round", "take", "on record", "recounted", "voters", "seal", ""], &rows.collect::<Vec<_>>())
}

/// A seal as it is shown on stage.
fn shown(seal: Digest) -> String {
    grouped(&seal.to_string()[..SHOWN_DIGITS])
}

/// Digits in groups of four.
fn grouped(digits: &str) -> String {
    digits.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
}

fn verdict(findings: &Findings, outcome: Outcome) -> String {
    let votes: u64 = findings.takes.iter().flat_map(|take| &take.recount).sum();
    let exact = format!("{} with {votes} votes recounted: exact", counted(findings.takes.len(), "take"));
    let unsealed = findings.takes.iter().filter(|take| take.lacks_seal()).count();
    match outcome {
        Outcome::Fine => green(&format!("{exact}. Compare the seals with those that were shown.")),
        Outcome::Unseen => yellow(&format!("{exact}, but {} not sealed.", counted(unsealed, "closed take"))),
        _ => red(&format!("{} found.", counted(findings.faults.len(), "fault"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_shown_in_groups_of_four() {
        let seal = Digest::parse(&"0123456789abcdef".repeat(4)).unwrap();
        assert_eq!(shown(seal), "0123 4567 89ab cdef 0123 4567");
    }

    #[test]
    fn exports_are_told_from_rooms_by_their_names() {
        assert!(is_file("-") && is_file("evening.json") && is_file("a/b.votes.ndjson"));
        assert!(!is_file("K7M2QX") && !is_file("summer-party"));
    }
}
