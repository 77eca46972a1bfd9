//! The ballots of a closed take, hashed for its seal and for proofs.

use super::scan::all_ballots;
use crate::domain::gate::Tally;
use crate::domain::room::Room;
use crate::domain::seal::{Salts, Tree};
use crate::ledger::{Ledger, LedgerError};

/// All ballots of a closed take.
pub struct HashedBallots {
    /// Their tree.
    pub tree: Tree,
    /// Their counts, with version 0.
    pub tally: Tally,
}

/// Reads and hashes the ballots of a closed take. Many ballots take a while, so call it by [`super::run_blocking`].
///
/// # Errors
/// See [`LedgerError`].
pub async fn hash_ballots(
    ledger: &dyn Ledger,
    room: &Room,
    take: (u16, u16),
    salts: &Salts,
) -> Result<HashedBallots, LedgerError> {
    let ballots = all_ballots(ledger, room, take).await?;
    let choices = room.round(take.0).map_or(0, |round| round.choices.len());
    let tally = Tally::count(choices, ballots.values().map(|ballot| ballot.votes.as_str()));
    Ok(HashedBallots { tree: Tree::of_ballots(salts, take, &ballots), tally })
}
