//! Who may see what. Everything that is sent to sockets or returned over HTTP is decided here.

use super::LedgerMs;
use super::room::{Programme, Room, Running, Split, Take};

/// For whom something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Voters, stage pages and everybody else.
    Public,
    /// Holders of the emcee key.
    Emcee,
}

/// What a process remembers about the blackout of the open round: once dark, a take stays dark until its close, even if
/// clock, deadline or settings change. Holds round and take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blackout(Option<(u16, u16)>);

impl Blackout {
    /// Updates it from the record and the clock. True if that has changed what may be seen.
    pub fn update(&mut self, room: &Room, closes_at: Option<LedgerMs>, now: LedgerMs) -> bool {
        let before = *self;
        let running = room.running.as_ref().map(|running| (running.round, running.take));
        self.0 = running.filter(|_| self.0 == running || is_dark(room, closes_at, now));
        *self != before
    }

    /// True if the split of the open round must not be shown.
    pub fn hides(&self, running: &Running) -> bool {
        running.dark || self.0 == Some((running.round, running.take))
    }
}

/// True if the split of `round` may be seen.
pub fn sees_split(room: &Room, number: u16, blackout: Blackout, audience: Audience) -> bool {
    let Some(round) = room.round(number) else { return false };
    if audience == Audience::Emcee {
        return true;
    }
    match &room.running {
        Some(running) if running.round == number => round.split == Split::Live && !blackout.hides(running),
        _ => round.is_shown(),
    }
}

/// True if the open round is in its blackout, according to the record or at `now`: in the last seconds of a timed round
/// with a live split. `closes_at` is the deadline of the open round.
pub fn is_dark(room: &Room, closes_at: Option<LedgerMs>, now: LedgerMs) -> bool {
    room.running.as_ref().is_some_and(|running| running.dark)
        || dark_from(room, closes_at).is_some_and(|dark_from| now >= dark_from)
}

/// The record with the blackout begun, if it begins at or before `now` and is not in the record yet. Once this is
/// stored, the round is dark for every process, also for one that starts later or has another clock.
pub fn darkened(room: &Room, closes_at: Option<LedgerMs>, now: LedgerMs) -> Option<Room> {
    dark_from(room, closes_at).filter(|dark_from| now >= *dark_from)?;
    let mut room = room.clone();
    room.running.as_mut()?.dark = true;
    Some(room)
}

/// When the open round goes dark; `None` if it does not, or is dark already according to the record.
pub fn dark_from(room: &Room, closes_at: Option<LedgerMs>) -> Option<LedgerMs> {
    let running = room.running.as_ref().filter(|running| !running.dark)?;
    let round = room.round(running.round)?;
    let blackout = if round.split == Split::Live { round.blackout_seconds } else { 0 };
    (blackout > 0).then_some(closes_at?.saturating_sub(u64::from(blackout) * 1_000))
}

/// True if winner and decision of `round` may be seen.
pub fn sees_result(room: &Room, number: u16, audience: Audience) -> bool {
    room.round(number).is_some_and(|round| match audience {
        Audience::Emcee => round.counted().is_some(),
        Audience::Public => round.is_shown(),
    })
}

/// True if the record of a closed take of `round` may be seen, and with it what proves it. The take that counts follows the
/// result of its round. An earlier one may be seen again once that result may: while a round runs anew, nothing of the
/// voided votes is shown; and a held result that was never shown stays hidden.
pub fn sees_record(room: &Room, number: u16, take: &Take, audience: Audience) -> bool {
    let Some(round) = room.round(number) else { return false };
    audience == Audience::Emcee || (round.is_shown() && (round.split != Split::Held || take.shown))
}

/// True if title and choices of `round` may be seen. A round that was opened once stays visible.
pub fn sees_programme(room: &Room, number: u16, audience: Audience) -> bool {
    let known = room.round(number).is_some_and(|round| !round.takes.is_empty());
    let running = room.running.as_ref().is_some_and(|running| running.round == number);
    audience == Audience::Emcee || room.programme == Programme::Open || known || running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::{Deadline, Tally};
    use crate::domain::ids::{RoomCode, RoomId};
    use crate::domain::room::ClosedBy;
    use crate::domain::setup::{Plan, RoundPlan};
    use crate::domain::text::Title;

    /// A room whose first round runs, dark in its last ten seconds.
    fn running(take: u16) -> Room {
        let choices = [("A".to_owned(), None), ("B".to_owned(), None)];
        let round = RoundPlan::new("Round", &choices, Some(60), Split::Live, 10).unwrap();
        let plan = Plan::new(Title::parse("Evening").unwrap(), vec![round]);
        let room = plan.into_room(RoomId::from_entropy([1; 16]), RoomCode::from_entropy([1; 6]), 0).unwrap();
        let running = Running { round: 1, take, deadline: Deadline::Never, closing: None, dark: false };
        Room { running: Some(running), ..room }
    }

    const CLOSES_AT: Option<LedgerMs> = Some(100_000);

    fn sees(room: &Room, blackout: Blackout) -> bool {
        sees_split(room, 1, blackout, Audience::Public)
    }

    #[test]
    fn a_dark_take_stays_dark_when_the_clock_is_set_back_or_the_deadline_moves() {
        let (room, mut blackout) = (running(1), Blackout::default());
        assert!(!blackout.update(&room, CLOSES_AT, 89_999) && sees(&room, blackout));
        assert!(blackout.update(&room, CLOSES_AT, 90_000) && !sees(&room, blackout));
        for (closes_at, now) in [(CLOSES_AT, 89_999), (CLOSES_AT, 0), (Some(900_000), 90_001), (None, 90_002)] {
            assert!(!blackout.update(&room, closes_at, now) && !sees(&room, blackout), "{closes_at:?} {now}");
        }
    }

    #[test]
    fn the_blackout_ends_with_its_take() {
        let mut blackout = Blackout::default();
        blackout.update(&running(1), CLOSES_AT, 95_000);
        let closed = Room { running: None, ..running(1) };
        assert!(blackout.update(&closed, None, 95_001), "the hidden split may be seen");
        blackout.update(&running(1), CLOSES_AT, 95_002);
        let next = running(2);
        assert!(sees(&next, blackout), "also before the first update");
        assert!(blackout.update(&next, CLOSES_AT, 1) && sees(&next, blackout));
    }

    #[test]
    fn a_voided_record_is_seen_only_while_a_result_of_its_round_is() {
        let closed = |take, shown| Take {
            take,
            tally: Tally { votes: vec![1, 0], voters: 1, version: u64::from(take) },
            opened_at: 1,
            closed_at: 2,
            by: ClosedBy::Emcee,
            outage_ms: 0,
            decided: None,
            shown,
            seal: None,
        };
        let room = |split, take, is_open: bool, takes: Vec<Take>| {
            let mut room = running(take);
            room.running = room.running.filter(|_| is_open);
            let round = &mut room.rounds[0];
            (round.split, round.take, round.takes) = (split, take, takes);
            room
        };
        let seen = |room: &Room, audience| {
            let takes = room.rounds[0].takes.iter();
            takes.map(|take| sees_record(room, 1, take, audience)).collect::<Vec<_>>()
        };
        let (one, two) = (closed(1, false), closed(2, false));
        for split in [Split::Live, Split::Hidden] {
            assert_eq!(seen(&room(split, 1, false, vec![one.clone()]), Audience::Public), [true]);
            let voided = room(split, 2, false, vec![one.clone()]);
            assert_eq!(seen(&voided, Audience::Public), [false], "the round is run again");
            assert_eq!(seen(&room(split, 2, true, vec![one.clone()]), Audience::Public), [false], "and open");
            assert_eq!(seen(&room(split, 2, false, vec![one.clone(), two.clone()]), Audience::Public), [true, true]);
            assert_eq!(seen(&voided, Audience::Emcee), [true]);
        }
        let held = room(Split::Held, 1, false, vec![one.clone()]);
        assert_eq!((seen(&held, Audience::Public), seen(&held, Audience::Emcee)), (vec![false], vec![true]));
        let shown = room(Split::Held, 2, false, vec![one, closed(2, true)]);
        assert_eq!(seen(&shown, Audience::Public), [false, true], "the first was never shown");
    }

    #[test]
    fn a_blackout_in_the_record_holds_for_a_process_that_starts_later() {
        let room = running(1);
        assert_eq!(darkened(&room, CLOSES_AT, 89_999), None);
        assert_eq!(darkened(&room, None, 95_000), None);
        let dark = darkened(&room, CLOSES_AT, 90_000).unwrap();
        assert_eq!(darkened(&dark, CLOSES_AT, 90_001), None, "it is in the record already");
        assert!(!sees(&dark, Blackout::default()));
        let mut blackout = Blackout::default();
        blackout.update(&dark, CLOSES_AT, 0);
        assert!(!sees(&dark, blackout));
    }
}
