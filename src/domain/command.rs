//! The round machine: what each emcee command does to the room record, and when it fits.
//!
//! Every command is **absolute**: it says what shall be. [`Room::apply`] answers [`Step::Unchanged`] when it is so
//! already; a repeat, a second device or a lost answer never does anything twice.

use super::gate::{Deadline, GateSum};
use super::reveal::{AUTO_MS, DEFAULT_TOP, MAX_TOP, Reveal};
use super::room::{ClosedBy, Decision, Room, Running, Split, Stage, Take};
use super::setup::{Edit, SECONDS, check_seconds};
use super::validate::MAX_TAKES;
use super::visibility::is_dark;
use super::{Invalid, LedgerMs, Refused};

/// A timed round closed later than this after its deadline says so in its record.
const OUTAGE_MS: u64 = 5_000;

/// What the emcee, or the time, wants to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The round is open.
    Open {
        /// Round number, from 1.
        round: u16,
        /// The take that shall run; `None`: the next one.
        take: Option<u16>,
        /// Its length; `None`: as planned.
        seconds: Option<u32>,
    },
    /// The open round closes at this time, or not by itself.
    Deadline {
        /// Round number.
        round: u16,
        /// A past time means now.
        closes_at: Option<LedgerMs>,
    },
    /// The round is closed.
    Close {
        /// Round number.
        round: u16,
        /// Which take is meant; `None`: the one that runs or ran last.
        take: Option<u16>,
    },
    /// This take of the round counts.
    Take {
        /// Round number.
        round: u16,
        /// The next unused number voids the round.
        take: u16,
    },
    /// The held result is shown.
    Show {
        /// Round number.
        round: u16,
    },
    /// This is the outcome; `None`: what the votes say.
    Decide {
        /// Round number.
        round: u16,
        /// The jury's word.
        outcome: Option<Decision>,
    },
    /// So much of the ranking is shown; `place: None`: none, and it is not frozen any more.
    Reveal {
        /// Groups at this place or worse are shown.
        place: Option<u32>,
        /// `None`: 50.
        top: Option<u32>,
        /// `None`: at the emcee's pace.
        auto_ms: Option<u64>,
    },
    /// The next group of an automatic reveal is shown, if that is still due. It lapses when the record has changed: the
    /// emcee may have stopped the reveal, moved it or taken the ranking away, and whoever reads the room next sees
    /// what is due then.
    RevealNext {
        /// Of the record that showed the step due.
        seq: u64,
    },
    /// The stage shows this.
    Stage(Stage),
    /// The settings are these.
    Edit(Edit),
    /// The room is deleted.
    Delete {
        /// Must be the room's title.
        title: String,
    },
    /// The room is not deleted.
    Undelete,
    /// The deleted room's purge has begun, if its record is still this one.
    BeginPurge {
        /// Of the record that was found old enough.
        seq: u64,
    },
}

/// When a command is judged.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The ledger's time.
    pub now: LedgerMs,
    /// When the running round closes by itself, by its gates.
    pub closes_at: Option<LedgerMs>,
    /// The frozen ranking to begin a reveal with, if it was computed already.
    pub ranking: Option<&'a FrozenRanking>,
}

/// What a room record keeps of a frozen ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenRanking {
    /// Its number.
    pub ranking: u64,
    /// Voters who have a place.
    pub of: u64,
    /// See [`Reveal::places`].
    pub places: Vec<u32>,
}

/// What is to be done for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is so already.
    Unchanged,
    /// Store this record; if its `command_seq` rose, the gates must follow its target.
    Store(Box<Room>),
    /// Close the running round first, then ask again.
    CloseFirst(ClosedBy),
    /// Compute and freeze the ranking first, then ask again with it.
    RankFirst,
}

impl Room {
    /// What is to be done so that `command` holds.
    ///
    /// # Errors
    /// The command does not fit, or is malformed. Nothing is to be done then.
    pub fn apply(&self, command: &Command, at: Moment<'_>) -> Result<Step, Refused> {
        if let Some(by) = self.close_due(at.now, at.closes_at) {
            return Ok(Step::CloseFirst(by));
        }
        match command {
            Command::Open { round, take, seconds } => self.open(*round, *take, *seconds),
            Command::Deadline { round, closes_at } => self.set_deadline(*round, *closes_at, at),
            Command::Close { round, take } => self.close(*round, *take),
            Command::Take { round, take } => self.set_take(*round, *take),
            Command::Show { round } => self.show(*round),
            Command::Decide { round, outcome } => self.decide(*round, outcome.as_ref()),
            Command::Reveal { place, top, auto_ms } => self.set_reveal(*place, *top, *auto_ms, at),
            Command::RevealNext { seq } => self.reveal_next(*seq, at.now),
            Command::Stage(stage) => self.store_if_changed(Room { stage: stage.clone(), ..self.clone() }),
            Command::Edit(edit) => self.store_if_changed(edit.apply(self)?),
            Command::Delete { title } => self.delete(title, at.now),
            Command::Undelete if self.purging => Err(Refused::Purging),
            Command::Undelete => self.store_if_changed(Room { deleted_at: None, ..self.clone() }),
            Command::BeginPurge { seq } => self.begin_purge(*seq),
        }
    }

    /// `Some` when the running round must be closed before anything else: its time is up, or its close has begun.
    pub fn close_due(&self, now: LedgerMs, closes_at: Option<LedgerMs>) -> Option<ClosedBy> {
        let running = self.running.as_ref()?;
        let over = closes_at.is_some_and(|closes_at| now >= closes_at);
        running.closing.or(over.then_some(ClosedBy::Deadline))
    }

    /// The command that is due by itself, and when: a step of an automatic reveal.
    pub fn next_auto_step(&self) -> Option<(LedgerMs, Command)> {
        let (due, _) = self.reveal.as_ref()?.next_step()?;
        Some((due, Command::RevealNext { seq: self.seq }))
    }

    /// The record with the close begun: votes are refused from the moment that its target is on the gates.
    pub fn begin_close(&self, by: ClosedBy) -> Room {
        let mut room = self.clone();
        if let Some(running) = room.running.as_mut().filter(|running| running.closing.is_none()) {
            running.closing = Some(by);
            room.command_seq += 1;
        }
        room
    }

    /// The record with the close done, from the frozen gates.
    ///
    /// # Invariants
    /// `gates` are all at this room's `command_seq`: what they count cannot change any more.
    pub fn finish_close(&self, gates: &GateSum, now: LedgerMs) -> Room {
        let mut room = self.clone();
        let Some(running) = room.running.take() else { return room };
        let closed_at = gates.closed_at.unwrap_or(now);
        let by = running.closing.unwrap_or(ClosedBy::Emcee);
        let late = now.saturating_sub(closed_at);
        let record = Take {
            take: running.take,
            tally: gates.tally.clone(),
            opened_at: gates.opened_at,
            closed_at,
            by,
            outage_ms: if by == ClosedBy::Deadline && late > OUTAGE_MS { late } else { 0 },
            decided: None,
            shown: false,
        };
        if let Some(round) = room.round_mut(running.round) {
            round.takes.push(record);
        }
        room
    }

    fn known(&self, number: u16) -> Result<&super::room::Round, Refused> {
        self.round(number).ok_or(Refused::NoSuchRound(number))
    }

    fn running_is(&self, number: u16) -> Option<&Running> {
        self.running.as_ref().filter(|running| running.round == number)
    }

    fn no_other_open(&self, number: u16) -> Result<(), Refused> {
        match &self.running {
            Some(running) if running.round != number => Err(Refused::AnotherRoundOpen),
            _ => Ok(()),
        }
    }

    fn no_ranking_shown(&self) -> Result<(), Refused> {
        if self.reveal.is_some() { Err(Refused::RankingShown) } else { Ok(()) }
    }

    fn store_if_changed(&self, room: Room) -> Result<Step, Refused> {
        Ok(if room == *self { Step::Unchanged } else { Step::Store(Box::new(room)) })
    }

    fn open(&self, number: u16, take: Option<u16>, seconds: Option<u32>) -> Result<Step, Refused> {
        check_seconds(seconds)?;
        check_take(take)?;
        let round = self.known(number)?;
        self.no_other_open(number)?;
        if let Some(running) = self.running_is(number) {
            return match take {
                Some(take) if take != running.take => Err(Refused::OtherTake),
                _ => Ok(Step::Unchanged),
            };
        }
        if take.is_some_and(|take| take != round.take) {
            return Err(Refused::OtherTake);
        }
        if round.counted().is_some() {
            return Err(Refused::AlreadyClosed);
        }
        self.no_ranking_shown()?;
        let mut room = self.clone();
        let deadline = match seconds.or(round.seconds) {
            Some(seconds) => Deadline::After(u64::from(seconds) * 1_000),
            None => Deadline::Never,
        };
        room.running = Some(Running { round: number, take: round.take, deadline, closing: None, dark: false });
        room.last_round = number;
        room.command_seq += 1;
        Ok(Step::Store(Box::new(room)))
    }

    fn set_deadline(&self, number: u16, wanted: Option<LedgerMs>, at: Moment<'_>) -> Result<Step, Refused> {
        self.known(number)?;
        let running = self.running_is(number).ok_or(Refused::NotOpen)?;
        if wanted == at.closes_at {
            return Ok(Step::Unchanged);
        }
        let latest = at.now + u64::from(*SECONDS.end()) * 1_000;
        if wanted.is_some_and(|wanted| wanted > latest) {
            return Err(Invalid::new("closes_at", "must be at most 86,400 s from now").into());
        }
        let deadline = wanted.map_or(Deadline::Never, |wanted| Deadline::At(wanted.max(at.now)));
        let dark = is_dark(self, at.closes_at, at.now);
        let mut room = self.clone();
        room.running = Some(Running { deadline, dark, ..running.clone() });
        room.command_seq += 1;
        Ok(Step::Store(Box::new(room)))
    }

    fn close(&self, number: u16, take: Option<u16>) -> Result<Step, Refused> {
        check_take(take)?;
        let round = self.known(number)?;
        let is_closed = |take| round.takes.iter().any(|record| record.take == take);
        match (self.running_is(number), take) {
            (Some(running), None) if running.closing.is_none() => Ok(Step::CloseFirst(ClosedBy::Emcee)),
            (Some(running), Some(take)) if running.take == take => Ok(Step::CloseFirst(ClosedBy::Emcee)),
            (_, Some(take)) if is_closed(take) => Ok(Step::Unchanged),
            (None, None) if is_closed(round.take) => Ok(Step::Unchanged),
            _ => Err(Refused::NotOpen),
        }
    }

    fn set_take(&self, number: u16, take: u16) -> Result<Step, Refused> {
        let round = self.known(number)?;
        if take > MAX_TAKES {
            return Err(Invalid::new("take", format!("must be at most {MAX_TAKES}")).into());
        }
        let is_on_record = |take| round.takes.iter().any(|record| record.take == take);
        self.no_other_open(number)?;
        if self.running_is(number).is_some() {
            // the number after the one that runs voids it; the close gives it its record first
            if take == round.take {
                return Ok(Step::Unchanged);
            }
            if take != round.take + 1 && !is_on_record(take) {
                return Err(invalid_take(round.take + 1));
            }
            return Ok(Step::CloseFirst(ClosedBy::Emcee));
        }
        if take == round.take {
            return Ok(Step::Unchanged);
        }
        if take != round.next_take() && !is_on_record(take) {
            return Err(invalid_take(round.next_take()));
        }
        self.no_ranking_shown()?;
        let mut room = self.clone();
        if let Some(round) = room.round_mut(number) {
            round.take = take;
        }
        Ok(Step::Store(Box::new(room)))
    }

    fn show(&self, number: u16) -> Result<Step, Refused> {
        let round = self.known(number)?;
        if round.is_shown() {
            return Ok(Step::Unchanged);
        }
        self.judge_closed(number)?;
        let mut room = self.clone();
        if let Some(take) = room.round_mut(number).and_then(|round| round.counted_mut()) {
            take.shown = round.split == Split::Held;
        }
        Ok(Step::Store(Box::new(room)))
    }

    fn decide(&self, number: u16, outcome: Option<&Decision>) -> Result<Step, Refused> {
        let round = self.known(number)?;
        if let Some(Decision::Winner(index)) = outcome
            && usize::from(*index) >= round.choices.len()
        {
            return Err(Invalid::new("winner", "must be a letter of the round, null for a draw, or \"votes\"").into());
        }
        if round.counted().is_some_and(|take| take.decided.as_ref() == outcome) {
            return Ok(Step::Unchanged);
        }
        self.judge_closed(number)?;
        let mut room = self.clone();
        if let Some(take) = room.round_mut(number).and_then(|round| round.counted_mut()) {
            take.decided = outcome.cloned();
        }
        Ok(Step::Store(Box::new(room)))
    }

    /// `decide` and `show` need the round closed, no other open and no ranking shown.
    fn judge_closed(&self, number: u16) -> Result<(), Refused> {
        self.no_other_open(number)?;
        if self.known(number)?.counted().is_none() {
            return Err(Refused::NotClosed);
        }
        self.no_ranking_shown()
    }

    fn set_reveal(
        &self,
        place: Option<u32>,
        top: Option<u32>,
        auto_ms: Option<u64>,
        at: Moment<'_>,
    ) -> Result<Step, Refused> {
        let Some(place) = place else {
            return self.store_if_changed(Room { reveal: None, ..self.clone() });
        };
        let top = top.unwrap_or(DEFAULT_TOP);
        if !(1..=MAX_TOP).contains(&top) {
            return Err(Invalid::new("top", format!("must be 1 to {MAX_TOP}, not {top}")).into());
        }
        if !(1..=top + 1).contains(&place) {
            return Err(Invalid::new("place", format!("must be 1 to {}, not {place}", top + 1)).into());
        }
        if auto_ms.is_some_and(|ms| !AUTO_MS.contains(&ms)) {
            let (least, most) = AUTO_MS.into_inner();
            return Err(Invalid::new("auto_ms", format!("must be {least} to {most}")).into());
        }
        if let Some(present) = &self.reveal {
            if (present.place, present.top, present.auto_ms) == (place, top, auto_ms) {
                return Ok(Step::Unchanged);
            }
            let reveal = Reveal { place, top, auto_ms, stepped_at: at.now, ..present.clone() };
            return Ok(Step::Store(Box::new(Room { reveal: Some(reveal), ..self.clone() })));
        }
        if self.running.is_some() {
            return Err(Refused::RoundOpen);
        }
        if self.counted().next().is_none() {
            return Err(Refused::NothingClosed);
        }
        if self.rounds.iter().any(|round| round.counted().is_some() && !round.is_shown()) {
            return Err(Refused::NotShown);
        }
        let Some(FrozenRanking { ranking, of, places }) = at.ranking.cloned() else { return Ok(Step::RankFirst) };
        let reveal = Reveal { ranking, of, places, top, place, auto_ms, stepped_at: at.now };
        Ok(Step::Store(Box::new(Room { reveal: Some(reveal), ..self.clone() })))
    }

    fn reveal_next(&self, seq: u64, now: LedgerMs) -> Result<Step, Refused> {
        let Some(present) = self.reveal.as_ref().filter(|_| self.seq == seq) else { return Ok(Step::Unchanged) };
        match present.next_step() {
            Some((due, place)) if now >= due => {
                let reveal = Reveal { place, stepped_at: now, ..present.clone() };
                Ok(Step::Store(Box::new(Room { reveal: Some(reveal), ..self.clone() })))
            }
            _ => Ok(Step::Unchanged),
        }
    }

    fn delete(&self, title: &str, now: LedgerMs) -> Result<Step, Refused> {
        if title != self.title.as_str() {
            return Err(Invalid::new("title", "must be the title of the room").into());
        }
        if self.running.is_some() {
            return Err(Refused::RoundOpen);
        }
        if self.deleted_at.is_some() {
            return Ok(Step::Unchanged);
        }
        Ok(Step::Store(Box::new(Room { deleted_at: Some(now), ..self.clone() })))
    }

    fn begin_purge(&self, seq: u64) -> Result<Step, Refused> {
        match self.deleted_at {
            Some(_) if self.purging => Ok(Step::Unchanged),
            Some(_) if self.seq == seq => Ok(Step::Store(Box::new(Room { purging: true, ..self.clone() }))),
            _ => Err(Refused::NotPurgeable),
        }
    }
}

fn check_take(take: Option<u16>) -> Result<(), Invalid> {
    if take == Some(0) {
        return Err(Invalid::new("take", "takes are numbered from 1"));
    }
    Ok(())
}

fn invalid_take(next: u16) -> Refused {
    Invalid::new("take", format!("must be an earlier take, or {next} for a fresh running")).into()
}

#[cfg(test)]
mod tests;
