//! Rankings: computed from the ballots, then frozen so that every step of a reveal reads the same.

use std::collections::HashMap;
use std::ops::Range;

use super::scan::{all_ballots, all_names, run_blocking};
use crate::domain::command::FrozenRanking;
use crate::domain::ids::{RoomId, VoterId};
use crate::domain::ranking::{Group, Scores};
use crate::domain::reveal::MAX_TOP;
use crate::domain::room::Room;
use crate::domain::text::Name;
use crate::ledger::{Ledger, LedgerError, RankEntry, SLICE, SharedLedger};

/// Computes the ranking from the ballots as they are now, best first.
///
/// # Errors
/// See [`LedgerError`].
pub async fn rank(ledger: &dyn Ledger, room: &Room) -> Result<Vec<RankEntry>, LedgerError> {
    let mut scores = Scores::default();
    for (number, take) in room.counted() {
        for (voter, ballot) in all_ballots(ledger, room, (number, take.take)).await? {
            scores.add(voter, number, take.winner(), &ballot);
        }
    }
    let (names, removed) = all_names(ledger, &room.id).await?;
    for voter in &removed {
        scores.remove(voter);
    }
    Ok(entries(scores.rank(), scores, &names))
}

fn entries(groups: Vec<Group>, scores: Scores, names: &HashMap<VoterId, Name>) -> Vec<RankEntry> {
    let mut scores = scores.into_scores();
    let members = groups.into_iter().flat_map(|group| {
        let place = group.place;
        group.voters.into_iter().map(move |voter| (place, voter))
    });
    let entry = |(place, voter): (u32, VoterId)| {
        let score = scores.remove(&voter)?;
        let name = names.get(&voter).cloned().or_else(|| Name::parse(voter.as_str()).ok())?;
        Some(RankEntry { place, voter, name, score: score.score, time_ms: score.time_ms, rounds: score.rounds })
    };
    members.filter_map(entry).collect()
}

/// Computes the ranking and stores it under a new number.
///
/// # Errors
/// See [`LedgerError`].
pub async fn freeze(ledger: &SharedLedger, room: &Room) -> Result<FrozenRanking, LedgerError> {
    let (ledger, room) = (ledger.clone(), room.clone());
    run_blocking(async move {
        let entries = rank(&*ledger, &room).await?;
        let ranking = rand::random_range(ranking_numbers(room.seq));
        for (slice, entries) in (0..).zip(entries.chunks(SLICE)) {
            ledger.store_ranking(&room.id, ranking, slice, entries).await?;
        }
        let mut places: Vec<u32> = vec![];
        for entry in entries.iter().take_while(|entry| entry.place <= MAX_TOP && entry.score > 0) {
            if places.last() != Some(&entry.place) {
                places.push(entry.place);
            }
        }
        Ok(FrozenRanking { ranking, of: entries.len() as u64, places })
    })
    .await
}

/// A whole frozen ranking, best first.
///
/// # Errors
/// See [`LedgerError`].
pub async fn frozen(ledger: &dyn Ledger, id: &RoomId, ranking: u64) -> Result<Vec<RankEntry>, LedgerError> {
    let mut entries = vec![];
    for slice in 0.. {
        let more = ledger.ranking(id, ranking, slice).await?;
        if more.is_empty() {
            break;
        }
        entries.extend(more);
    }
    Ok(entries)
}

/// The numbers for rankings that are frozen from the record with this `seq`. They rise with `seq`, so rankings of older
/// records can be told from those that a reveal may be about to show. Within one record they are random, because two
/// pods may freeze a ranking at once.
fn ranking_numbers(seq: u64) -> Range<u64> {
    (seq << 10)..((seq + 1) << 10)
}

/// Drops rankings that are no longer needed when a reveal starts or is taken away, also those of reveals that failed to
/// start. What cannot be dropped now is dropped the next time, or with the room.
pub async fn drop_older_rankings(ledger: &dyn Ledger, before: &Room, stored: &Room) {
    let shown = |room: &Room| room.reveal.as_ref().map(|reveal| reveal.ranking);
    if shown(before) != shown(stored) {
        let oldest_kept = shown(stored).unwrap_or(ranking_numbers(stored.seq).start);
        let _ = ledger.drop_rankings(&stored.id, 0..oldest_kept).await;
    }
}

/// Drops a ranking that was frozen for a command and then not used.
pub async fn drop_unused(ledger: &dyn Ledger, id: &RoomId, frozen: Option<FrozenRanking>) {
    if let Some(FrozenRanking { ranking, .. }) = frozen {
        let _ = ledger.drop_rankings(id, ranking..ranking + 1).await;
    }
}
