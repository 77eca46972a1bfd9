//! The state machine of rounds: what each emcee command does to the room record, and when it fits.
//!
//! Every command is **absolute**: it says which state must hold. If that state holds already, [`Room::apply`] returns
//! [`Step::Unchanged`]. So a repeat, a second device or a lost answer never does anything twice.

use super::gate::{Deadline, GateSum};
use super::reveal::{AUTO_MS, DEFAULT_TOP, MAX_TOP, Reveal};
use super::room::{ClosedBy, Decision, Room, Running, Split, Stage, Take};
use super::seal::Digest;
use super::setup::{Edit, SECONDS, check_seconds};
use super::validate::MAX_TAKES;
use super::visibility::is_dark;
use super::{Invalid, LedgerMs, Refused};

/// A round that is closed later than this after its deadline has the delay in its record.
const MIN_OUTAGE_MS: u64 = 5_000;

/// A state that the emcee, or a timer, wants to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The round is open.
    Open {
        /// Round number, from 1.
        round: u16,
        /// The take to open; `None` for the current one.
        take: Option<u16>,
        /// Its length in seconds; `None` for the planned length.
        seconds: Option<u32>,
    },
    /// The open round closes at this time, or only by command.
    Deadline {
        /// Round number.
        round: u16,
        /// The deadline, where a past time means now; `None` for no deadline.
        closes_at: Option<LedgerMs>,
    },
    /// The round is closed.
    Close {
        /// Round number.
        round: u16,
        /// The take to close; `None` for the one that is open or was open last.
        take: Option<u16>,
    },
    /// This take of the round counts.
    Take {
        /// Round number.
        round: u16,
        /// Take number. The next unused number voids the round.
        take: u16,
    },
    /// The held result is shown.
    Show {
        /// Round number.
        round: u16,
    },
    /// The round has this outcome.
    Decide {
        /// Round number.
        round: u16,
        /// The emcee's decision; `None` for the outcome of the votes.
        outcome: Option<Decision>,
    },
    /// The ranking is shown down to a place, or not at all.
    Reveal {
        /// Groups at this place or worse are shown; `None` to take the ranking away.
        place: Option<u32>,
        /// The best groups that are shown in the end; `None` for [`DEFAULT_TOP`].
        top: Option<u32>,
        /// Time between two automatic steps; `None` for steps by command only.
        auto_ms: Option<u64>,
    },
    /// The next group of an automatic reveal is shown, if that is still due. Does nothing if the record has changed:
    /// the emcee may have stopped the reveal, moved it or taken the ranking away. The next read of the room finds what
    /// is due then.
    RevealNext {
        /// `seq` of the record in which the step was found due.
        seq: u64,
    },
    /// The stage has these settings.
    Stage(Stage),
    /// The room has these settings.
    Edit(Edit),
    /// The room is deleted.
    Delete {
        /// Must be the room's title.
        title: String,
    },
    /// The room is not deleted.
    Undelete,
    /// The purge of the deleted room has begun, if its record has not changed.
    BeginPurge {
        /// `seq` of the record that was found old enough.
        seq: u64,
    },
    /// The closed take has its seal. Does nothing unless it is the one to be sealed next, see [`Room::next_to_seal`].
    Seal {
        /// Round number.
        round: u16,
        /// Take number.
        take: u16,
        /// Root of the tree of its ballots.
        root: Digest,
        /// Ballots in the tree.
        leaves: u64,
    },
}

/// The moment at which a command is judged.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The ledger's time.
    pub now: LedgerMs,
    /// When the running round closes by itself, according to its gates.
    pub closes_at: Option<LedgerMs>,
    /// The frozen ranking for a reveal that begins, if it was computed already.
    pub ranking: Option<&'a FrozenRanking>,
}

/// The part of a frozen ranking that the room record keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenRanking {
    /// The number of the ranking.
    pub ranking: u64,
    /// Voters who have a place.
    pub of: u64,
    /// See [`Reveal::places`].
    pub places: Vec<u32>,
}

/// What must be done for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the state holds already.
    Unchanged,
    /// Store this record. If its `command_seq` has risen, apply its desired state to the gates.
    Store(Box<Room>),
    /// Close the running round, then call [`Room::apply`] again.
    CloseFirst(ClosedBy),
    /// Freeze the ranking, then call [`Room::apply`] again with it.
    RankFirst,
}

impl Room {
    /// What must be done so that `command` holds.
    ///
    /// # Errors
    /// The command does not fit, or is malformed.
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
            Command::Seal { round, take, root, leaves } => {
                let sealed = self.sealed((*round, *take), *root, *leaves);
                Ok(sealed.map_or(Step::Unchanged, |room| Step::Store(Box::new(room))))
            }
        }
    }

    /// Whether the running round must be closed before anything else, and by whom: its deadline has passed, or its
    /// close has begun.
    pub fn close_due(&self, now: LedgerMs, closes_at: Option<LedgerMs>) -> Option<ClosedBy> {
        let running = self.running.as_ref()?;
        let over = closes_at.is_some_and(|closes_at| now >= closes_at);
        running.closing.or(over.then_some(ClosedBy::Deadline))
    }

    /// The next automatic command and its time: a step of an automatic reveal.
    pub fn next_auto_step(&self) -> Option<(LedgerMs, Command)> {
        let (due, _) = self.reveal.as_ref()?.next_step()?;
        Some((due, Command::RevealNext { seq: self.seq }))
    }

    /// The record with the close begun. Votes are refused as soon as its desired state is on the gates.
    pub fn begin_close(&self, by: ClosedBy) -> Room {
        let mut room = self.clone();
        if let Some(running) = room.running.as_mut().filter(|running| running.closing.is_none()) {
            running.closing = Some(by);
            room.command_seq += 1;
        }
        room
    }

    /// The record with the close finished, with the counts of the frozen gates.
    ///
    /// # Invariants
    /// All `gates` are at this room's `command_seq`: their counts cannot change any more.
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
            outage_ms: if by == ClosedBy::Deadline && late > MIN_OUTAGE_MS { late } else { 0 },
            decided: None,
            shown: false,
            seal: None,
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
            // the next number voids the open take, which is closed and recorded first
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
        self.check_closed(number)?;
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
        self.check_closed(number)?;
        let mut room = self.clone();
        if let Some(take) = room.round_mut(number).and_then(|round| round.counted_mut()) {
            take.decided = outcome.cloned();
        }
        Ok(Step::Store(Box::new(room)))
    }

    /// `decide` and `show` need the round closed, no other round open and no ranking shown.
    fn check_closed(&self, number: u16) -> Result<(), Refused> {
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
    Invalid::new("take", format!("must be an earlier take, or {next} to run the round again")).into()
}

#[cfg(test)]
mod tests;
