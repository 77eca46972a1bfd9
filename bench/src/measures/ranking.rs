//! Row 13: the ranking and the audit of a large room, and their effect on voters of another room.
//!
//! The ballots are stored by the server's own library, while the server has the room open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tallycast::domain::ballot::Cast;
use tallycast::domain::ids::VoterId;
use tallycast::domain::text::Name;
use tallycast::ledger::redis::{RedisLedger, RedisOptions};
use tallycast::ledger::{Batch, MAX_CASTS, ResumeRequest, SharedLedger, Verdict, fresh_card};

use crate::lab::{Aof, Lab, Store};
use crate::measuring::{Crowd, MAX_CASTS_PER_ROUND};
use crate::procs::{peak_bytes, reset_peak, resident_bytes};
use crate::table::{Limit, Row};
use crate::tallycast::Hall;

/// Voters of another room, and the time between two casts of each.
const OTHERS: usize = 50;
const CAST_EVERY: Duration = Duration::from_millis(500);

/// Row 13.
pub fn large(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    one(lab, lab.count(100_000), [1_000.0, 300.0], report)?;
    if lab.options.full {
        one(lab, lab.count(1_000_000), [10_000.0, 3_000.0], report)?;
    }
    Ok(())
}

fn one(lab: &Lab, ballots: usize, [must_ms, aim_ms]: [f64; 2], report: &mut dyn FnMut(Row)) -> Result<()> {
    // the speed of storing does not matter here
    let deployment = lab.deploy(Store::Redis(Aof::EverySecond), 1)?;
    let pod = deployment.pod();
    let mut hall = pod.hall(0, 1, MAX_CASTS_PER_ROUND)?;
    hall.open_next()?;
    eprintln!("   storing {ballots} ballots");
    let options = RedisOptions::new(deployment.redis().url());
    let ledger: SharedLedger = Arc::new(RedisLedger::new(options)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&ledger, &hall, ballots))?;
    hall.close()?;

    let mut others = pod.hall(OTHERS, 1, MAX_CASTS_PER_ROUND)?;
    others.open_next()?;
    let mut crowd = Crowd::connect(&deployment.ports(), others.dialect(), OTHERS)?;
    let mut vote_for = |secs| {
        let end = Instant::now() + Duration::from_secs(secs);
        crowd.paced(OTHERS, CAST_EVERY, || Instant::now() < end)
    };
    vote_for(1)?;
    let quiet = vote_for(3)?;
    for (what, ask) in [("ranking", Hall::reveal as fn(&Hall) -> _), ("audit", Hall::audit)] {
        eprintln!("   {what} of {ballots} ballots");
        reset_peak(pod.pid())?;
        let before = resident_bytes(pod.pid())?;
        let (answer, took, votes) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let began = Instant::now();
                ask(&hall).map(|answer| (answer, began.elapsed()))
            });
            let votes = crowd.paced(OTHERS, CAST_EVERY, || !asked.is_finished());
            let (answer, took) = asked.join().ok().context("the thread that asks has failed")??;
            anyhow::Ok((answer, took, votes?))
        })?;
        let grown = peak_bytes(pod.pid())?.saturating_sub(before) as f64 / 1_048_576.0;
        let counted = match what {
            "ranking" => answer["reveal"]["of"].as_u64(),
            _ => answer["rounds"][0]["voters"].as_u64().filter(|_| answer["ok"] == true),
        };
        ensure!(counted == Some(ballots as u64), "the {what} counts {counted:?} voters instead of {ballots}");

        let name = format!("{what} of {ballots} ballots");
        let row = Row::new(13, name.clone(), "ms", took.as_secs_f64() * 1e3);
        let row = row.must([Limit::most(must_ms)]).aim([Limit::most(aim_ms)]);
        report(row.note(format!("{grown:.0} MiB more at the peak")));
        let row =
            Row::new(13, format!("longest ack of {OTHERS} other voters during the {name}"), "ms", votes.ms(100.0));
        let note = format!("{:.1} ms without it; {} votes", quiet.ms(100.0), votes.count);
        report(row.must([Limit::most(20.0)]).note(note));
    }
    Ok(())
}

/// Stores voters, and one ballot for each, in the open round.
async fn fill(ledger: &SharedLedger, hall: &Hall, ballots: usize) -> Result<()> {
    let voter = |number: usize| VoterId::parse(&format!("voter-{number}"));
    let mut writer = ledger.partition_writer(&hall.id, 0, "bench");
    let numbers: Vec<usize> = (0..ballots).collect();
    for some in numbers.chunks(MAX_CASTS) {
        let greeting = |number: &usize| {
            let name = Name::parse(&format!("Voter {number}"))?;
            Ok(ResumeRequest { voter: voter(*number)?, name, card: fresh_card(), take: None })
        };
        let greetings: Result<Vec<_>> = some.iter().map(greeting).collect();
        ledger.resume(&hall.id, 1, &greetings?).await?;
        let casts: Result<Vec<_>> =
            some.iter().map(|number| Ok((voter(*number)?, Cast::parse(1, letters(*number))?))).collect();
        let commit = writer.commit(&Batch::of(1, 1, 0, casts?)).await?;
        let all_in = commit.verdicts.iter().all(|v| matches!(v, Verdict::Ballot { refused: None, .. }));
        ensure!(all_in, "the ledger refused a ballot");
    }
    Ok(())
}

/// Ten letters by the bits of the voter's number.
fn letters(number: usize) -> String {
    (0..10).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'b' }).collect()
}
