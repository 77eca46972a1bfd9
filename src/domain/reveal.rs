//! The countdown: groups of voters who share a place, shown from the worst to the best, each whole.

use serde::{Deserialize, Serialize};

use super::LedgerMs;

/// Most places that a reveal can begin at.
pub const MAX_TOP: u32 = 1_000;
/// ConnectionLimit that a reveal begins at unless told otherwise.
pub const DEFAULT_TOP: u32 = 50;
/// Bounds of the automatic pace, in ms.
pub const AUTO_MS: std::ops::RangeInclusive<u64> = 200..=600_000;

/// The part of a reveal that the room record keeps; names lie in the frozen ranking that `ranking` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    /// Which frozen ranking is shown.
    pub ranking: u64,
    /// Voters who have a place.
    pub of: u64,
    /// First places of the groups with a score above 0, best first, down to [`MAX_TOP`].
    pub places: Vec<u32>,
    /// Groups that begin at this place or better are shown in the end.
    pub top: u32,
    /// Groups at this place or worse are shown now; `top + 1`: none yet.
    pub place: u32,
    /// Goes on by itself after so many ms.
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

    /// ConnectionLimit of the groups shown so far, best first.
    pub fn shown(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.within_top().filter(|place| *place >= self.place)
    }

    /// ConnectionLimit of the groups to come, in the order in which they come: worst first.
    pub fn to_come(&self) -> impl Iterator<Item = u32> + '_ {
        self.within_top().filter(|place| *place < self.place).rev()
    }

    /// When the next group is due by itself, and its place.
    pub fn next_step(&self) -> Option<(LedgerMs, u32)> {
        let pause = self.auto_ms.filter(|_| !self.is_done())?;
        // where nobody has scored there is no group, but an end all the same
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
    fn it_begins_with_nothing_and_ends_with_all() {
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
    fn a_reveal_of_nobody_ends_too() {
        assert_eq!(reveal(&[], 50, 51).next_step(), Some((1_500, 1)));
    }

    #[test]
    fn the_next_step_is_the_next_group_and_not_the_next_number() {
        assert_eq!(reveal(&[1, 2, 40], 50, 40).next_step(), Some((1_500, 2)));
    }
}
