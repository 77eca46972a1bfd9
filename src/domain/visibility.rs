//! Who may see what. Everything that leaves the server for a socket or over HTTP passes through here.

use super::LedgerMs;
use super::room::{Programme, Room, Split};

/// Who is looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Voters, stages and everybody else.
    Public,
    /// Holders of the emcee key.
    Emcee,
}

/// True if the split of `round` may be seen. `closes_at` and `now` are those of the running round.
pub fn sees_split(room: &Room, number: u16, closes_at: Option<LedgerMs>, now: LedgerMs, audience: Audience) -> bool {
    let Some(round) = room.round(number) else { return false };
    if audience == Audience::Emcee {
        return true;
    }
    match &room.running {
        Some(running) if running.round == number => round.split == Split::Live && !is_dark(room, closes_at, now),
        _ => round.is_shown(),
    }
}

/// True while the running round is in its blackout: the last seconds of a timed round with a live split, and from
/// then on until the close.
pub fn is_dark(room: &Room, closes_at: Option<LedgerMs>, now: LedgerMs) -> bool {
    room.running.as_ref().is_some_and(|running| running.dark)
        || dark_from(room, closes_at).is_some_and(|dark_from| now >= dark_from)
}

/// When the running round goes dark, if it does.
pub fn dark_from(room: &Room, closes_at: Option<LedgerMs>) -> Option<LedgerMs> {
    let running = room.running.as_ref()?;
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

/// True if title and choices of `round` may be seen. A round that was opened once stays known.
pub fn sees_programme(room: &Room, number: u16, audience: Audience) -> bool {
    let known = room.round(number).is_some_and(|round| !round.takes.is_empty());
    let running = room.running.as_ref().is_some_and(|running| running.round == number);
    audience == Audience::Emcee || room.programme == Programme::Open || known || running
}
