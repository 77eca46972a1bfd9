//! Sealing a room: which take is sealed next, and whether the seals of a room fit.
//!
//! Takes are sealed in the order in which they were closed, and each seal follows from the record, the ballots and the
//! seals before it alone. So it does not matter which process makes a seal, or when; one that was lost is made again as it
//! was.

use super::Invalid;
use super::room::{Room, Take};
use super::seal::{Contents, Digest, Seal};

impl Take {
    /// What the seal of this take says, as take `number` in the order of the closes.
    fn contents(&self, round: u16, number: u64, root: Digest, leaves: u64, previous: Option<Digest>) -> Contents<'_> {
        Contents {
            number,
            round,
            take: self.take,
            votes: &self.tally.votes,
            voters: self.tally.voters,
            opened_at: self.opened_at,
            closed_at: self.closed_at,
            by: self.by.as_str(),
            leaves,
            root,
            previous,
        }
    }
}

impl Room {
    /// The closed takes, each with its round number, in the order in which they were closed.
    fn in_order_of_closes(&self) -> Vec<(u16, &Take)> {
        let mut takes: Vec<_> = self.takes().into_iter().filter_map(|(round, _, take)| Some((round, take?))).collect();
        // the version of the counts rises with every change in the room; times may be equal
        takes.sort_by_key(|(round, take)| (take.tally.version, *round, take.take));
        takes
    }

    /// Round and take to be sealed next: the first closed take without a seal. `None` if all are sealed, and for a deleted
    /// room: its record must not change before its purge.
    pub fn next_to_seal(&self) -> Option<(u16, u16)> {
        let unsealed = |(round, take): (u16, &Take)| take.seal.is_none().then_some((round, take.take));
        self.in_order_of_closes().into_iter().find_map(unsealed).filter(|_| self.deleted_at.is_none())
    }

    /// The record with the seal of `take`, whose ballots have this tree. `None` if that is not the one to be sealed next.
    pub fn sealed(&self, take: (u16, u16), root: Digest, leaves: u64) -> Option<Self> {
        let order = self.in_order_of_closes();
        let place = order.iter().position(|(round, known)| (*round, known.take) == take)?;
        if self.next_to_seal() != Some(take) {
            return None;
        }
        let before = place.checked_sub(1).and_then(|before| order[before].1.seal.as_ref());
        let (previous, number) = (before.map(|seal| seal.seal), place as u64 + 1);
        let seal = order[place].1.contents(take.0, number, root, leaves, previous).seal();
        let mut room = self.clone();
        let record = room.round_mut(take.0)?.takes.iter_mut().find(|record| record.take == take.1)?;
        record.seal = Some(Seal { number, leaves, root, previous, seal });
        Some(room)
    }

    /// The record without any seal, for a copy: a copy has other salts, and is sealed anew.
    pub fn without_seals(mut self) -> Self {
        self.rounds.iter_mut().flat_map(|round| &mut round.takes).for_each(|take| take.seal = None);
        self
    }

    /// The record without the seals that `earlier` lacks: as it was before they were added.
    pub fn sealed_as(mut self, earlier: &Self) -> Self {
        for (round, before) in self.rounds.iter_mut().zip(&earlier.rounds) {
            for (take, before) in round.takes.iter_mut().zip(&before.takes) {
                if before.seal.is_none() {
                    take.seal = None;
                }
            }
        }
        self
    }

    /// True if a take has a seal.
    pub fn has_seals(&self) -> bool {
        self.rounds.iter().flat_map(|round| &round.takes).any(|take| take.seal.is_some())
    }

    /// Checks that every seal is the one that record, ballots and the seals before it give. `tree` returns root and number
    /// of leaves for the ballots of a round and take. Not checked for every record that is read: a room with a wrong seal
    /// must be shown and audited, not quarantined.
    ///
    /// # Errors
    /// The first seal that does not fit, in the order of the closes.
    pub fn check_seals(&self, tree: impl Fn((u16, u16)) -> (Digest, u64)) -> Result<(), Invalid> {
        let mut previous = None;
        let mut is_whole = true;
        for ((round, take), number) in self.in_order_of_closes().into_iter().zip(1..) {
            let at = |detail: &str| {
                Err(Invalid::new(format!("rounds[{}].takes[{}].seal", round - 1, take.take - 1), detail))
            };
            let Some(seal) = &take.seal else {
                is_whole = false;
                continue;
            };
            if !is_whole {
                return at("is there, and an earlier take has none");
            }
            let (root, leaves) = tree((round, take.take));
            if (root, leaves) != (seal.root, seal.leaves) {
                return at("is not that of the ballots");
            }
            if (seal.number, seal.previous) != (number, previous) {
                return at("does not follow the seal of the take that was closed before");
            }
            if take.contents(round, number, root, leaves, previous).seal() != seal.seal {
                return at("is not that of the record");
            }
            previous = Some(seal.seal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
