//! Reading all ballots or voters of a room, slice by slice.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use crate::domain::ballot::Ballot;
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::room::Room;
use crate::domain::text::Name;
use crate::ledger::{Ledger, LedgerError, SLICE, Voter, VotersQuery};

/// Every ballot of one take.
///
/// # Errors
/// See [`LedgerError`].
pub async fn all_ballots(
    ledger: &dyn Ledger,
    room: &Room,
    take: (u16, u16),
) -> Result<HashMap<VoterId, Ballot>, LedgerError> {
    let mut ballots = HashMap::new();
    for partition in 0..room.partitions {
        let mut cursor = None;
        loop {
            let (slice, next) = ledger.ballots(&room.id, partition, take, cursor).await?;
            ballots.extend(slice);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(ballots)
}

/// All voters, removed ones too.
///
/// # Errors
/// See [`LedgerError`].
pub async fn all_voters(ledger: &dyn Ledger, id: &RoomId) -> Result<Vec<Voter>, LedgerError> {
    let mut voters = vec![];
    let mut after = None;
    loop {
        let page = ledger.voters(id, &VotersQuery { text: String::new(), after, limit: SLICE }).await?;
        voters.extend(page.voters);
        after = page.next;
        if after.is_none() {
            return Ok(voters);
        }
    }
}

/// The names of all voters, and the ids of those who were removed.
///
/// # Errors
/// See [`LedgerError`].
pub async fn all_names(
    ledger: &dyn Ledger,
    id: &RoomId,
) -> Result<(HashMap<VoterId, Name>, HashSet<VoterId>), LedgerError> {
    let (mut names, mut removed) = (HashMap::new(), HashSet::new());
    for voter in all_voters(ledger, id).await? {
        if voter.removed {
            removed.insert(voter.voter.clone());
        }
        names.insert(voter.voter, voter.name);
    }
    Ok((names, removed))
}

/// Runs work on a whole room on a blocking thread: a million ballots take seconds, and votes must not wait for that.
///
/// # Errors
/// The errors of the work. [`LedgerError::NotApplied`] if it panics.
pub async fn run_blocking<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<LedgerError> + Send + 'static,
{
    // the I/O of the work is still driven by this runtime, which owns the connections
    let runtime = tokio::runtime::Handle::current();
    let result = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    result.unwrap_or_else(|error| Err(LedgerError::NotApplied(error.to_string()).into()))
}
