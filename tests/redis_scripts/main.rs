//! The Redis ledger against a real Redis: its scripts against the domain's own rules, and what becomes of calls while
//! Redis is stopped, killed, full or misconfigured.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod feed;
mod imports;
mod jobs;
mod replicas;
mod rooms;
mod rule;

use std::time::Duration;

use support::redis::Redis;
use tallycast::domain::ballot::Cast;
use tallycast::domain::gate::{Deadline, DesiredGate};
use tallycast::domain::ids::{RoomId, VoterId};
use tallycast::domain::room::JoinMode;
use tallycast::domain::text::Name;
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tallycast::ledger::{Batch, Feed, FeedEvent, JoinOutcome, JoinRequest, Ledger, fresh_card};
use tokio::time::timeout;

fn ledger(redis: &Redis, tick_ms: u64) -> RedisLedger {
    RedisLedger::new(RedisOptions { tick_ms, ..RedisOptions::new(redis.url()) }).unwrap()
}

fn fresh_room() -> RoomId {
    RoomId::from_entropy(rand::random())
}

fn voter(number: u8) -> VoterId {
    VoterId::parse(&format!("v{number}")).unwrap()
}

fn cast(slip: u32, votes: &str) -> Cast {
    Cast::parse(slip, votes.to_owned()).unwrap()
}

fn batch(casts: Vec<(VoterId, Cast)>) -> Batch {
    Batch::of(1, 1, 0, casts)
}

fn opened(command_seq: u64) -> DesiredGate {
    DesiredGate { command_seq, round: 1, take: 1, choices: 2, votes_per_round: 10, open: Some(Deadline::Never) }
}

async fn join(ledger: &dyn Ledger, room: &RoomId, voter: VoterId) {
    let request = JoinRequest {
        name: Some(Name::parse(&format!("name of {voter}")).unwrap()),
        voter,
        has_token: false,
        card: fresh_card(),
        invite: None,
        mode: JoinMode::Open,
        suggestions: vec![],
    };
    assert!(matches!(ledger.join(room, &request).await.unwrap(), JoinOutcome::Done(_)));
}

async fn hear(feed: &mut Box<dyn Feed>) -> FeedEvent {
    timeout(Duration::from_secs(10), feed.next()).await.expect("a message within ten seconds")
}
