//! The countdown: groups of voters who share a place, shown from the worst to the best, each group at once.

use serde::{Deserialize, Serialize};

use super::LedgerMs;

/// Most places of a reveal.
pub const MAX_TOP: u32 = 1_000;
/// Places of a reveal unless the emcee names another number.
pub const DEFAULT_TOP: u32 = 50;
/// Bounds of the time between two automatic steps, in ms.
pub const AUTO_MS: std::ops::RangeInclusive<u64> = 200..=600_000;

/// The part of a reveal that the room record keeps. The names are in the frozen ranking with the number `ranking`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    /// Number of the frozen ranking.
    pub ranking: u64,
    /// Voters who have a place.
    pub of: u64,
    /// First places of the groups with a score above 0, best first, down to [`MAX_TOP`].
    pub places: Vec<u32>,
    /// Groups at this place or better are shown in the end.
    pub top: u32,
    /// Groups at this place or worse are shown now; `top + 1` before the first group.
    pub place: u32,
    /// Time between two automatic steps, in ms; `None` for steps by command only.
    #[serde(default)]
    pub auto_ms: Option<u64>,
    /// When `place` was set.
    pub stepped_at: LedgerMs,
}

impl Reveal {
    /// True once everything is shown.
    pub fn is_done(&self) -> bool {
        self.place <= 1
    }

    /// Places of the groups that are shown, best first.
    pub fn shown(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.within_top().filter(|place| *place >= self.place)
    }

    /// Places of the groups that are still to come, in the order in which they come: worst first.
    pub fn to_come(&self) -> impl Iterator<Item = u32> + '_ {
        self.within_top().filter(|place| *place < self.place).rev()
    }

    /// Time and place of the next automatic step.
    pub fn next_step(&self) -> Option<(LedgerMs, u32)> {
        let pause = self.auto_ms.filter(|_| !self.is_done())?;
        // if nobody has scored there is no group, but the reveal ends all the same
        let next = self.to_come().next().unwrap_or(1);
        Some((self.stepped_at + pause, next))
    }

    fn within_top(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.places.iter().copied().filter(|place| *place <= self.top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reveal(places: &[u32], top: u32, place: u32) -> Reveal {
        Reveal { ranking: 1, of: 9, places: places.to_vec(), top, place, auto_ms: Some(1_000), stepped_at: 500 }
    }

    #[test]
    fn a_reveal_begins_with_no_group_and_ends_with_all() {
        let begun = reveal(&[1, 2, 2 + 2], 4, 5);
        assert_eq!(begun.shown().count(), 0);
        assert_eq!(begun.to_come().collect::<Vec<_>>(), [4, 2, 1]);
        let done = reveal(&[1, 2, 4], 4, 1);
        assert!(done.is_done());
        assert_eq!(done.shown().collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(done.next_step(), None);
    }

    #[test]
    fn a_group_beyond_the_top_is_never_shown() {
        assert_eq!(reveal(&[1, 3, 51], 50, 1).shown().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_reveal_without_groups_ends_too() {
        assert_eq!(reveal(&[], 50, 51).next_step(), Some((1_500, 1)));
    }

    #[test]
    fn the_next_step_is_the_next_group_and_not_the_next_number() {
        assert_eq!(reveal(&[1, 2, 40], 50, 40).next_step(), Some((1_500, 2)));
    }
}
