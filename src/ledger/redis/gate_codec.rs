//! The stored form of a gate: the fields of a hash. And its line: the words that scripts return and publish.

use std::str::FromStr;

use crate::domain::gate::{Gate, GatePhase, Tally};

/// The fields, in the order of the line. `scripts/gate.lua` has the same list.
pub(super) const FIELDS: [&str; 15] = [
    "command_seq",
    "round",
    "take",
    "phase",
    "choices",
    "votes_per_round",
    "opened_at",
    "deadline",
    "closed_at",
    "clock",
    "votes",
    "voters",
    "version",
    "stored",
    "acknowledged",
];

/// Stands for a value that is not set.
const NONE: &str = "-";

/// Decodes the line of a gate. `None` if it is invalid.
pub(super) fn from_line(line: &str) -> Option<Gate> {
    let words: Vec<&str> = line.split(' ').collect();
    decode(&words)
}

/// Decodes the fields of a stored gate, which are all missing before anything was stored. `None` if they are invalid.
pub(super) fn from_fields(fields: &[Option<String>]) -> Option<Gate> {
    if fields.iter().all(Option::is_none) {
        return Some(Gate::default());
    }
    // `acknowledged` is stored by the first pod that reports a count, the other fields by the first desired state
    if fields[..FIELDS.len() - 1].iter().all(Option::is_none) {
        let acknowledged = fields.last()?.as_deref()?.parse().ok()?;
        return Some(Gate { acknowledged, ..Gate::default() });
    }
    let words: Vec<&str> = fields.iter().map(|field| field.as_deref().unwrap_or("0")).collect();
    decode(&words)
}

/// Encodes the line of a gate.
pub(super) fn to_line(gate: &Gate) -> String {
    let phase = match gate.phase {
        GatePhase::Idle => "idle",
        GatePhase::Open => "open",
        GatePhase::Closed => "closed",
    };
    let time = |time: Option<u64>| time.map_or(NONE.to_owned(), |time| time.to_string());
    let votes: Vec<String> = gate.tally.votes.iter().map(u64::to_string).collect();
    let votes = if votes.is_empty() { NONE.to_owned() } else { votes.join(",") };
    [
        gate.command_seq.to_string(),
        gate.round.to_string(),
        gate.take.to_string(),
        phase.to_owned(),
        gate.choices.to_string(),
        gate.votes_per_round.to_string(),
        gate.opened_at.to_string(),
        time(gate.deadline),
        time(gate.closed_at),
        gate.clock.to_string(),
        votes,
        gate.tally.voters.to_string(),
        gate.tally.version.to_string(),
        gate.stored.to_string(),
        gate.acknowledged.to_string(),
    ]
    .join(" ")
}

fn decode(words: &[&str]) -> Option<Gate> {
    let [
        command_seq,
        round,
        take,
        phase,
        choices,
        votes_per_round,
        opened_at,
        deadline,
        closed_at,
        clock,
        votes,
        voters,
        version,
        stored,
        acknowledged,
    ] = <[&str; FIELDS.len()]>::try_from(words).ok()?;
    let phase = match phase {
        "idle" => GatePhase::Idle,
        "open" => GatePhase::Open,
        "closed" => GatePhase::Closed,
        _ => return None,
    };
    let votes = match votes {
        NONE => vec![],
        votes => votes.split(',').map(number).collect::<Option<_>>()?,
    };
    let gate = Gate {
        command_seq: number(command_seq)?,
        round: number(round)?,
        take: number(take)?,
        phase,
        choices: number(choices)?,
        votes_per_round: number(votes_per_round)?,
        opened_at: number(opened_at)?,
        deadline: optional(deadline)?,
        closed_at: optional(closed_at)?,
        clock: number(clock)?,
        tally: Tally { votes, voters: number(voters)?, version: number(version)? },
        stored: number(stored)?,
        acknowledged: number(acknowledged)?,
    };
    gate.validate().is_ok().then_some(gate)
}

fn number<N: FromStr>(word: &str) -> Option<N> {
    word.parse().ok()
}

fn optional(word: &str) -> Option<Option<u64>> {
    if word == NONE { Some(None) } else { number(word).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate {
            command_seq: 7,
            round: 2,
            take: 3,
            phase: GatePhase::Open,
            choices: 2,
            votes_per_round: 10,
            opened_at: 1_700_000_000_123,
            deadline: Some(1_700_000_060_123),
            closed_at: None,
            clock: 1_700_000_001_000,
            tally: Tally { votes: vec![3, 0], voters: 2, version: 1_700_000_001_001 },
            stored: 12,
            acknowledged: 11,
        }
    }

    #[test]
    fn a_gate_is_decoded_from_its_line() {
        for gate in [Gate::default(), gate()] {
            assert_eq!(from_line(&to_line(&gate)), Some(gate));
        }
    }

    #[test]
    fn an_invalid_line_is_not_decoded() {
        let line = to_line(&gate());
        for broken in ["", "1 2", &line.replace("open", "ajar"), &line.replace("3,0", "3,x"), &format!("{line} 1")] {
            assert_eq!(from_line(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_gate_without_stored_fields_is_idle() {
        assert_eq!(from_fields(&vec![None; FIELDS.len()]), Some(Gate::default()));
        let mut fields = vec![None; FIELDS.len()];
        fields[FIELDS.len() - 1] = Some("4".to_owned());
        assert_eq!(from_fields(&fields), Some(Gate { acknowledged: 4, ..Gate::default() }));
    }

    #[test]
    fn the_scripts_have_the_same_fields_in_the_same_order() {
        let script = include_str!("scripts/gate.lua");
        let (_, list) = script.split_once("local FIELDS = {").unwrap();
        let list = list.split_once('}').unwrap().0;
        let names: Vec<&str> =
            list.split(',').map(|name| name.trim().trim_matches('\'')).filter(|n| !n.is_empty()).collect();
        assert_eq!(names, FIELDS);
    }
}
