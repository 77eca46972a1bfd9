//! Decoding the text of an archive, line by line.

use serde::Deserialize;
use serde_json::Deserializer;

use super::format::{Archive, Head, Part, VERSION};
use crate::domain::gate::Gate;
use crate::domain::ids::VoterId;
use crate::domain::room::Room;
use crate::domain::{Invalid, LedgerMs};
use crate::ledger::{Invited, RankEntry, Voter};

/// One line.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Archive(Head),
    Record(Box<Room>),
    Gate { partition: u16, gate: Box<Gate> },
    Voter(Voter),
    Invited(Invited),
    Ballot { round: u16, take: u16, voter: VoterId, votes: String, time_ms: LedgerMs },
    Ranked(RankEntry),
    End { lines: usize },
}

/// An error in line `index`, from 0.
pub(super) fn at_line(index: usize, invalid: &Invalid) -> Invalid {
    Invalid::new(invalid.field.clone(), format!("{} (line {})", invalid.detail, index + 1))
}

/// Decodes the text. Whether the lines fit together is not checked yet, see [`super::check`].
pub(super) fn read(text: &str) -> Result<Archive, Invalid> {
    let (mut head, mut room, mut parts, mut ranking) = (None, None, vec![], vec![]);
    let mut ended = false;
    for (index, text) in text.lines().enumerate() {
        let at = |field: &str, detail: &str| at_line(index, &Invalid::new(field, detail));
        if ended {
            return Err(at("end", "there is more after the end"));
        }
        match parse(text).map_err(|invalid| at_line(index, &invalid))? {
            Line::Archive(found) if index == 0 && !(1..=VERSION).contains(&found.version) => {
                let why = if found.version > VERSION { "newer than this server" } else { "not a valid version" };
                let detail = format!("version {} is {why}; this server reads version {VERSION}", found.version);
                return Err(at("archive.version", &detail));
            }
            Line::Archive(found) if index == 0 => head = Some(found),
            Line::Record(found) if index == 1 => room = Some(*found),
            Line::Archive(_) | Line::Record(_) => return Err(at("body", "this line cannot be here")),
            Line::Gate { partition, gate } => parts.push(Part::Gate { partition, gate }),
            Line::Voter(voter) => parts.push(Part::Voter(voter)),
            Line::Invited(invited) => parts.push(Part::Invited(invited)),
            Line::Ballot { round, take, voter, votes, time_ms } => {
                parts.push(Part::Ballot { round, take, voter, votes, time_ms });
            }
            Line::Ranked(entry) => ranking.push(entry),
            Line::End { lines } if lines == index => ended = true,
            Line::End { lines } => {
                return Err(at("end.lines", &format!("{lines} lines were written, and {index} are here")));
            }
        }
    }
    let missing = |what: &str| Invalid::new("body", format!("is not an archive: {what} is missing"));
    let head = head.ok_or_else(|| missing("the line \"archive\""))?;
    let room = room.ok_or_else(|| missing("the line \"record\""))?;
    if !ended {
        return Err(missing("its last line, so it was cut off"));
    }
    Ok(Archive { head, room, parts, ranking })
}

fn parse(text: &str) -> Result<Line, Invalid> {
    let mut json = Deserializer::from_str(text);
    let line = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." => "body".to_owned(),
            path => path,
        };
        Invalid::new(field, short(&error.inner().to_string()))
    })?;
    json.end().map_err(|error| Invalid::new("body", error.to_string()))?;
    Ok(line)
}

/// Cuts an error text, because it may repeat input of any length.
fn short(detail: &str) -> String {
    const MAX_BYTES: usize = 200;
    match detail.len() > MAX_BYTES {
        true => format!("{}…", &detail[..detail.floor_char_boundary(MAX_BYTES)]),
        false => detail.to_owned(),
    }
}
