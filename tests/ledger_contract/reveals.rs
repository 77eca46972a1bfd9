//! Reveals, and the rankings that are frozen for them.

use tallycast::domain::command::Command;
use tallycast::domain::ids::RoomId;
use tallycast::ledger::execute::{RoomSnapshot, execute};
use tallycast::ledger::{RankEntry, SharedLedger};

use crate::ledgers::{RoomFixture, name, voter};

contract! { tick_ms = 0;
    a_reveal_that_begins_or_ends_drops_older_frozen_rankings,
}

async fn must(ledger: &SharedLedger, room: &RoomId, command: Command) -> RoomSnapshot {
    execute(ledger, room, &command).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Slices as a process leaves them that dies while it stores a ranking.
async fn left_behind(ledger: &SharedLedger, room: &RoomId, ranking: u64) {
    let entry = RankEntry { place: 1, voter: voter(1), name: name("Anna"), score: 1, time_ms: 1, rounds: vec![] };
    for slice in 0..2 {
        ledger.store_ranking(room, ranking, slice, std::slice::from_ref(&entry)).await.unwrap();
    }
}

async fn is_there(ledger: &SharedLedger, room: &RoomId, ranking: u64) -> bool {
    !ledger.ranking(room, ranking, 0).await.unwrap().is_empty()
}

async fn a_reveal_that_begins_or_ends_drops_older_frozen_rankings(ledger: SharedLedger) {
    let fixture = RoomFixture::new(&ledger, 1).await;
    let (room, other) = (fixture.id().clone(), RoomFixture::new(&ledger, 1).await.room.id);
    must(&ledger, &room, Command::Open { round: 1, take: None, seconds: None }).await;
    fixture.cast(&voter(1), 1, "a").await;
    must(&ledger, &room, Command::Close { round: 1, take: None }).await;
    left_behind(&ledger, &room, 7).await;
    left_behind(&ledger, &other, 7).await;
    let reveal = |place| Command::Reveal { place, top: Some(3), auto_ms: None };

    let shown = must(&ledger, &room, reveal(Some(4))).await.room.reveal.unwrap().ranking;
    assert!(!is_there(&ledger, &room, 7).await, "left by a reveal that failed");
    assert!(is_there(&ledger, &room, shown).await, "the one that is shown");
    assert!(is_there(&ledger, &other, 7).await, "another room's");

    left_behind(&ledger, &room, shown + 1).await;
    must(&ledger, &room, reveal(Some(1))).await;
    assert!(is_there(&ledger, &room, shown).await, "one step on");
    must(&ledger, &room, reveal(None)).await;
    assert!(!is_there(&ledger, &room, shown).await, "taken away");
    assert!(!is_there(&ledger, &room, shown + 1).await, "frozen by another pod at the same time");
}
