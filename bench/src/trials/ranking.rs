//! The ranking and the audit of a large room, and their effect on the contender's voters, who are in another room.
//!
//! The ballots are stored by the server's own library, while the server has the room open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tallycast::domain::ballot::Cast;
use tallycast::domain::ids::VoterId;
use tallycast::domain::text::Name;
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tallycast::ledger::{Batch, MAX_CASTS, ResumeRequest, SharedLedger, Verdict, fresh_card};

use super::contest::Figures;
use crate::lab::Contender;
use crate::measuring::Crowd;
use crate::room::Room;

/// Time between two casts of each voter.
const CAST_EVERY: Duration = Duration::from_millis(500);

/// How long ranking and audit take, and the longest wait of a voter for an answer meanwhile.
pub fn ranking(mut contender: Contender, ballots: usize) -> Result<Figures> {
    let mut room = Room::create(&contender.servers[0], 1)?;
    room.open_next()?;
    eprintln!("   storing {ballots} ballots");
    let redis = contender.redis.as_ref().context("the ballots are stored in Redis")?;
    let ledger: SharedLedger = Arc::new(RedisLedger::new(RedisOptions::new(redis.url("redis")))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&ledger, &room, ballots))?;
    room.close()?;

    contender.open_next()?;
    let (mut crowd, voters) = (contender.connect()?, contender.size.voters);
    let mut vote_for = |secs| {
        let end = Instant::now() + Duration::from_secs(secs);
        crowd.paced(voters, CAST_EVERY, || Instant::now() < end)
    };
    vote_for(1)?;
    let quiet_ms = vote_for(3)?.ms(100.0);

    let reveal = || room.call(Method::PUT, "reveal", &json!({"place": 51, "top": 50}));
    let (answer, ranking_ms, ranking_ack_ms) = meanwhile(&mut crowd, voters, reveal)?;
    let counted = answer["reveal"]["of"].as_u64();
    ensure!(counted == Some(ballots as u64), "the ranking counts {counted:?} voters instead of {ballots}");

    let audit = || room.call(Method::GET, "audit", &Value::Null);
    let (answer, audit_ms, audit_ack_ms) = meanwhile(&mut crowd, voters, audit)?;
    let counted = answer["rounds"][0]["voters"].as_u64().filter(|_| answer["ok"] == true);
    ensure!(counted == Some(ballots as u64), "the audit counts {counted:?} voters instead of {ballots}");
    Ok(vec![
        ("ranking_ms", ranking_ms),
        ("ranking_ack_ms", ranking_ack_ms),
        ("audit_ms", audit_ms),
        ("audit_ack_ms", audit_ack_ms),
        ("quiet_ack_ms", quiet_ms),
    ])
}

/// Lets voters vote while `ask` runs. Gives its answer and length in ms, and the longest wait of a voter in ms.
fn meanwhile(
    crowd: &mut Crowd,
    voters: usize,
    ask: impl FnOnce() -> Result<Value> + Send,
) -> Result<(Value, f64, f64)> {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let began = Instant::now();
            ask().map(|answer| (answer, began.elapsed()))
        });
        let votes = crowd.paced(voters, CAST_EVERY, || !asked.is_finished());
        let (answer, took) = asked.join().ok().context("the thread that asks has failed")??;
        Ok((answer, took.as_secs_f64() * 1e3, votes?.ms(100.0)))
    })
}

/// Stores voters, and one ballot for each, in the open round.
async fn fill(ledger: &SharedLedger, room: &Room, ballots: usize) -> Result<()> {
    let voter = |number: usize| VoterId::parse(&format!("voter-{number}"));
    let mut writer = ledger.partition_writer(&room.id, 0, "bench");
    let numbers: Vec<usize> = (0..ballots).collect();
    for some in numbers.chunks(MAX_CASTS) {
        let hello = |number: &usize| {
            let name = Name::parse(&format!("Voter {number}"))?;
            Ok(ResumeRequest { voter: voter(*number)?, name, card: fresh_card(), take: None })
        };
        ledger.resume(&room.id, 1, &some.iter().map(hello).collect::<Result<Vec<_>>>()?).await?;
        let cast = |number: &usize| Ok((voter(*number)?, Cast::parse(1, letters(*number))?));
        let casts = some.iter().map(cast).collect::<Result<Vec<_>>>()?;
        let commit = writer.commit(&Batch::of(1, 1, 0, casts)).await?;
        let are_stored = commit.verdicts.iter().all(|v| matches!(v, Verdict::Ballot { refused: None, .. }));
        ensure!(are_stored, "the ledger refused a ballot");
    }
    Ok(())
}

/// Ten letters by the bits of the voter's number.
fn letters(number: usize) -> String {
    (0..10).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'b' }).collect()
}
