//! Votes stored and answered.

use std::time::Duration;

use anyhow::Result;

use super::contest::Figures;
use crate::lab::{Contender, Lab};
use crate::measuring::{CASTS_PER_ROUND, Votes};
use crate::usage::Meter;

/// Casts of each voter at the beginning of a round that are not measured.
const WARM: u32 = 1;

/// CPU time, rate and latency of votes in a closed loop.
pub fn votes(_: &Lab, mut contender: Contender) -> Result<Figures> {
    let mut crowd = contender.connect()?;
    let (mut votes, mut server_us, mut redis_us) = (Votes::default(), 0.0, 0.0);
    for _ in 0..contender.size.rounds {
        contender.open_next()?;
        // every connection receives the new state before the measurement starts
        crowd.listen(Duration::from_millis(300))?;
        crowd.closed_loop(WARM)?;
        let server = Meter::start(&contender.servers)?;
        let redis = Meter::start(contender.redis.as_slice())?;
        votes.add(&crowd.closed_loop(CASTS_PER_ROUND - WARM)?);
        server_us += server.us()?;
        redis_us += redis.us()?;
    }
    let count = votes.latency.len() as f64;
    Ok(vec![
        ("vote_us", server_us / count),
        ("redis_vote_us", redis_us / count),
        ("votes_per_s", votes.rate()),
        // by CPU time
        ("votes_per_core_per_s", 1e6 * count / server_us),
        // share of the core
        ("busy_percent", server_us / 1e4 / votes.wall.as_secs_f64()),
        ("p50_ms", votes.ms(50.0)),
        ("p99_ms", votes.ms(99.0)),
        ("casts_per_commit", contender.casts_per_commit()?),
        ("ack_bytes", votes.ack_bytes as f64 / count),
    ])
}
