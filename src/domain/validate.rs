//! Rules that every stored room and gate must satisfy, whoever wrote it.
//!
//! Commands keep these rules, so a record that breaks one is damaged, or comes from an archive that was edited. The
//! rest of the program relies on the rules: it accesses choices by index, adds up times and counts, and allocates as
//! many gates as a record says. So both ledgers check records by [`Room::validate`] and gates by [`Gate::validate`]
//! when they read them, and an import is checked by the same rules.

use super::gate::{Deadline, Gate, GatePhase, Tally};
use super::ids::is_token_key;
use super::reveal::{AUTO_MS, MAX_TOP, Reveal};
use super::room::{Decision, Room, Round, Running, Take};
use super::setup::{
    SECONDS, check_blackout, check_choices, check_color, check_partitions, check_rounds, check_seconds, check_votes,
};
use super::{Invalid, LedgerMs, MAX_NUMBER};

/// Highest take number: it has 16 bits, and commands compute with the next two.
pub const MAX_TAKES: u16 = u16::MAX - 2;

/// Checks that a number is not too large.
///
/// # Errors
/// It is larger than [`MAX_NUMBER`].
pub fn check_number(field: &str, number: u64) -> Result<(), Invalid> {
    must(number <= MAX_NUMBER, field, format_args!("must be at most {MAX_NUMBER}, not {number}"))
}

fn must(holds: bool, field: &str, detail: impl std::fmt::Display) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid::new(field, detail.to_string())) }
}

impl Room {
    /// Checks everything that the rest of the program relies on.
    ///
    /// # Errors
    /// The field that breaks a rule, as the stored form names it.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_rounds(self.rounds.len())?;
        check_votes(self.votes_per_round)?;
        check_partitions(self.partitions)?;
        must(
            self.token_key.as_deref().is_none_or(is_token_key),
            "token_key",
            "must be the 43 characters that a server has made",
        )?;
        check_number("command_seq", self.command_seq)?;
        check_number("seq", self.seq)?;
        check_number("created_at", self.created_at)?;
        check_number("deleted_at", self.deleted_at.unwrap_or_default())?;
        for (index, round) in self.rounds.iter().enumerate() {
            let is_running = self.running.as_ref().is_some_and(|running| usize::from(running.round) == index + 1);
            round.validate(is_running).map_err(|error| error.inside(&format!("rounds[{index}]")))?;
        }
        let was_opened = |number| self.round(number).is_some_and(|round| !round.takes.is_empty());
        match &self.running {
            Some(running) => {
                self.validate_running(running).map_err(|error| error.inside("running"))?;
                must(self.last_round == running.round, "last_round", "must be the round that runs")?;
            }
            None if self.last_round == 0 => {
                must(
                    self.rounds.iter().all(|round| round.takes.is_empty()),
                    "last_round",
                    "is 0, and a round was closed",
                )?;
            }
            None => must(was_opened(self.last_round), "last_round", "must be a round that was opened")?,
        }
        match &self.reveal {
            Some(reveal) => self.validate_reveal(reveal).map_err(|error| error.inside("reveal")),
            None => Ok(()),
        }
    }

    fn validate_running(&self, running: &Running) -> Result<(), Invalid> {
        let round = self.round(running.round);
        let round = round.ok_or_else(|| Invalid::new("round", format!("there is no round {}", running.round)))?;
        must(running.take == round.take, "take", "must be the take of its round")?;
        let longest = LedgerMs::from(*SECONDS.end()) * 1_000;
        match running.deadline {
            Deadline::Never => {}
            Deadline::After(ms) => must(ms <= longest, "deadline", format_args!("must be at most {longest} ms"))?,
            Deadline::At(time) => check_number("deadline", time)?,
        }
        must(self.reveal.is_none(), "round", "no round can be open while the ranking is shown: see reveal")
    }

    fn validate_reveal(&self, reveal: &Reveal) -> Result<(), Invalid> {
        must(self.counted().next().is_some(), "ranking", "no round is closed")?;
        let shown = self.rounds.iter().all(|round| round.counted().is_none() || round.is_shown());
        must(shown, "ranking", "a held result is not shown yet")?;
        must((1..=MAX_TOP).contains(&reveal.top), "top", format_args!("must be 1 to {MAX_TOP}"))?;
        must((1..=reveal.top + 1).contains(&reveal.place), "place", format_args!("must be 1 to {}", reveal.top + 1))?;
        let paced = reveal.auto_ms.is_none_or(|ms| AUTO_MS.contains(&ms));
        must(paced, "auto_ms", format_args!("must be {} to {}", AUTO_MS.start(), AUTO_MS.end()))?;
        check_number("stepped_at", reveal.stepped_at)?;
        check_number("of", reveal.of)?;
        let rise = reveal.places.first().is_none_or(|first| *first == 1) && reveal.places.is_sorted_by(|a, b| a < b);
        must(rise, "places", "must begin at 1 and rise")?;
        let last = reveal.places.last().copied().unwrap_or_default();
        must(
            last <= MAX_TOP && u64::from(last) <= reveal.of,
            "places",
            "must not go beyond the voters who have a place",
        )
    }
}

impl Round {
    fn validate(&self, is_running: bool) -> Result<(), Invalid> {
        check_choices(self.choices.len())?;
        for (index, choice) in self.choices.iter().enumerate() {
            check_color(&choice.color).map_err(|error| error.inside(&format!("choices[{index}]")))?;
        }
        check_seconds(self.seconds)?;
        check_blackout(self.blackout_seconds)?;
        for (index, take) in self.takes.iter().enumerate() {
            take.validate(index, self.choices.len()).map_err(|error| error.inside(&format!("takes[{index}]")))?;
        }
        let next = self.takes.len() + 1;
        let least = if is_running { next } else { 1 };
        let fits = (least..=next).contains(&usize::from(self.take)) && self.take <= MAX_TAKES;
        must(fits, "take", format_args!("must be {least} to {next}, not {}", self.take))
    }
}

impl Take {
    fn validate(&self, index: usize, choices: usize) -> Result<(), Invalid> {
        must(usize::from(self.take) == index + 1, "take", format_args!("must be {}, not {}", index + 1, self.take))?;
        self.tally.validate(choices).map_err(|error| error.inside("tally"))?;
        check_number("closed_at", self.closed_at)?;
        must(self.opened_at <= self.closed_at, "opened_at", "must not be later than closed_at")?;
        check_number("outage_ms", self.outage_ms)?;
        if let Some(seal) = &self.seal {
            check_number("seal.number", seal.number)?;
            check_number("seal.leaves", seal.leaves)?;
        }
        match self.decided {
            Some(Decision::Winner(index)) if usize::from(index) >= choices => {
                Err(Invalid::new("decided", format!("must be one of {choices} choices, not number {index} from 0")))
            }
            _ => Ok(()),
        }
    }
}

impl Tally {
    fn validate(&self, choices: usize) -> Result<(), Invalid> {
        let length = self.votes.len();
        must(length == choices, "votes", format_args!("must be one for each of {choices} choices, not {length}"))?;
        self.votes.iter().try_for_each(|votes| check_number("votes", *votes))?;
        check_number("voters", self.voters)?;
        // the version of a room is the sum of the versions of up to 64 gates
        must(self.version <= MAX_NUMBER * 64, "version", "is too large")
    }
}

impl Gate {
    /// Checks everything that the rest of the program relies on.
    ///
    /// # Errors
    /// The field that breaks a rule.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_number("command_seq", self.command_seq)?;
        check_number("clock", self.clock)?;
        check_number("deadline", self.deadline.unwrap_or_default())?;
        check_number("stored", self.stored)?;
        check_number("acknowledged", self.acknowledged)?;
        check_number("version", self.tally.version).map_err(|error| error.inside("tally"))?;
        if self.phase == GatePhase::Idle {
            let untouched = (self.command_seq, self.round, self.take, self.choices) == (0, 0, 0, 0);
            return must(untouched && self.tally.votes.is_empty(), "phase", "is idle, and it follows a command");
        }
        must(self.round > 0, "round", "must be 1 or more")?;
        must(self.take > 0, "take", "must be 1 or more")?;
        check_choices(usize::from(self.choices))?;
        check_votes(self.votes_per_round)?;
        self.tally.validate(usize::from(self.choices)).map_err(|error| error.inside("tally"))?;
        must(self.opened_at <= self.clock, "opened_at", "must not be later than the clock")?;
        let is_closed = self.phase == GatePhase::Closed;
        must(self.closed_at.is_some() == is_closed, "closed_at", "must be there if it is closed, and only then")?;
        must(self.closed_at.is_none_or(|time| time <= self.clock), "closed_at", "must not be later than the clock")
    }

    /// Checks that this can be a gate of `room`. Only for imports: a stored room and its gates are read one after the
    /// other, so a command may change them in between.
    ///
    /// # Errors
    /// The field that contradicts the record.
    pub fn fits(&self, room: &Room) -> Result<(), Invalid> {
        self.validate()?;
        must(self.command_seq <= room.command_seq, "command_seq", "is ahead of the record's")?;
        let take = (self.round, self.take);
        let running = room.running.as_ref().filter(|running| (running.round, running.take) == take);
        if self.phase == GatePhase::Idle {
            return Ok(());
        }
        let known = room.takes().iter().any(|(round, number, _)| (*round, *number) == take);
        let of = format!("round {}, take {}", self.round, self.take);
        must(known, "round", format_args!("{of} was never opened"))?;
        let choices = room.round(self.round).map_or(0, |round| round.choices.len());
        must(usize::from(self.choices) == choices, "choices", format_args!("{of} has {choices}"))?;
        must(self.votes_per_round == room.votes_per_round, "votes_per_round", "must be that of the record")?;
        let is_open = self.phase == GatePhase::Open;
        must(!is_open || running.is_some(), "phase", format_args!("{of} is not open"))?;
        match room.desired_gate().filter(|desired| desired.command_seq == self.command_seq) {
            Some(desired) => {
                must(
                    (desired.round, desired.take) == take,
                    "round",
                    format_args!("{of} is not what the record opened"),
                )?;
                must(desired.open.is_some() == is_open, "phase", "must be what the record's last command says")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
