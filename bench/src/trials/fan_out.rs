//! One tally to every viewer, ten times a second; and votes at the same time.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::contest::{Figures, median};
use crate::lab::{Contender, Lab};
use crate::usage::Meter;

/// A little longer than the server's shortest time between two tallies, so that each is sent when it is due.
const TALLY_EVERY: Duration = Duration::from_millis(105);
/// Time between two casts of a voter while tallies are sent.
const CAST_EVERY: Duration = Duration::from_millis(500);

/// CPU time of a frame, and how far apart the first and the last viewer are.
pub fn fan_out(lab: &Lab, mut contender: Contender) -> Result<Figures> {
    contender.open_next()?;
    let mut crowd = contender.connect()?;
    crowd.fan_out(TALLY_EVERY, Duration::from_secs(1))?;
    let meter = Meter::start(&contender.servers)?;
    let fan = crowd.fan_out(TALLY_EVERY, lab.length(5.0))?;
    let cpu_us = meter.us()?;
    let (frames, wall_s) = (fan.frames as f64, fan.wall.as_secs_f64());
    Ok(vec![
        ("frame_us", cpu_us / frames),
        // first to last receipt of the same tally
        ("spread_ms", median(fan.spreads.iter().map(|spread| spread.as_secs_f64() * 1e3).collect())),
        ("frames_per_s", frames / wall_s),
        // share of the core
        ("busy_percent", cpu_us / 1e4 / wall_s),
        ("text_bytes", fan.text_bytes as f64 / frames),
        ("partial_tallies", fan.partial as f64),
    ])
}

/// Latency of some voters while tallies are sent to everybody.
pub fn votes_meanwhile(lab: &Lab, mut contender: Contender, casters: usize) -> Result<Figures> {
    contender.open_next()?;
    let mut crowd = contender.connect()?;
    let mut vote = |length| {
        let end = Instant::now() + length;
        crowd.paced(casters, CAST_EVERY, || Instant::now() < end)
    };
    vote(Duration::from_secs(2))?;
    let votes = vote(lab.length(10.0))?;
    let tallies = votes.tallies as f64 / contender.size.voters as f64;
    Ok(vec![
        ("p50_ms", votes.ms(50.0)),
        ("p99_ms", votes.ms(99.0)),
        ("max_ms", votes.ms(100.0)),
        ("votes_per_s", votes.rate()),
        ("tallies_per_s", tallies / votes.wall.as_secs_f64()),
    ])
}
