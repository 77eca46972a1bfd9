//! Rows 1, 2, 3: one tally to every viewer, ten times a second. Row 10: votes at the same time, on the same core.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::trials::{in_turn, middle};
use crate::lab::{Aof, Lab, Store};
use crate::measuring::{Crowd, Dialect, MAX_CASTS_PER_ROUND};
use crate::procs::Meter;
use crate::table::{FLOOR, Limit, Row, SOCKETIO, median};

/// A little longer than the server's shortest time between two tallies, so that each is sent when it is due.
pub(super) const TALLY_EVERY: Duration = Duration::from_millis(105);
/// Length of a tally's text, until one was measured.
const TALLY_BYTES: usize = 105;
/// Voters of row 10, and the time between two casts of each.
const CASTERS: usize = 200;
const CAST_EVERY: Duration = Duration::from_millis(500);

/// The result of one trial.
struct Trial {
    cpu_us_per_frame: f64,
    /// First to last receipt of the same tally.
    spread_ms: f64,
    frames_per_s: f64,
    /// Share of the core.
    busy: f64,
    text_bytes: f64,
    partial: usize,
}

/// Row 1.
pub fn to_a_thousand(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let viewers = lab.count(1_000);
    let [ours, floor, socketio] = &contest(lab, viewers)?;
    let row = cpu_row(1, viewers, ours, floor, socketio);
    report(row.must([most(1.15, FLOOR), most(0.55, SOCKETIO)]).aim([most(1.05, FLOOR)]));
    Ok(())
}

/// Rows 2 and 3.
pub fn to_ten_thousand(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let viewers = lab.count(10_000);
    let [ours, floor, socketio] = &contest(lab, viewers)?;
    let row = cpu_row(2, viewers, ours, floor, socketio);
    lab.note("frame_us", row.ours);
    let text_bytes = middle(ours, |trial| trial.text_bytes).round();
    // with its header of two or four bytes
    lab.note("frame_bytes", text_bytes + if text_bytes < 126.0 { 2.0 } else { 4.0 });
    report(row.must([most(1.15, FLOOR), most(0.40, SOCKETIO)]).aim([most(1.03, FLOOR)]));

    let spread = |trials: &[Trial]| middle(trials, |trial| trial.spread_ms);
    let row = Row::new(3, format!("one tally to {viewers} viewers, first to last, p50"), "ms", spread(ours));
    let row = row.beside(FLOOR, spread(floor)).beside(SOCKETIO, spread(socketio));
    report(row.must([most(1.2, FLOOR)]).aim([most(1.05, FLOOR)]));
    Ok(())
}

/// Row 10.
pub fn votes_meanwhile(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let (viewers, casters) = (lab.count(10_000), lab.count(CASTERS));
    let trial = || {
        let deployment = lab.deploy(Store::Redis(Aof::Always), 1)?;
        let mut hall = deployment.pod().hall(viewers, 1, MAX_CASTS_PER_ROUND)?;
        hall.open_next()?;
        let mut crowd = Crowd::connect(&deployment.ports(), hall.dialect(), viewers)?;
        crowd.paced(casters, CAST_EVERY, for_a(Duration::from_secs(2)))?;
        crowd.paced(casters, CAST_EVERY, for_a(lab.length(10.0)))
    };
    let [trials] = &in_turn(lab, [("Tallycast", &trial)])?;
    let name = format!("ack p99 of {casters} voters while tallies go to {viewers} viewers on the same core");
    let tallies = middle(trials, |votes| votes.tallies as f64 / viewers as f64 / votes.wall.as_secs_f64());
    let [p50, p99, max] = [50.0, 99.0, 100.0].map(|percentile| middle(trials, |votes| votes.ms(percentile)));
    let note = format!(
        "{tallies:.1} tallies and {:.0} votes a second; p50 {p50:.1} ms, longest {max:.1} ms",
        middle(trials, |votes| votes.rate())
    );
    report(Row::new(10, name, "ms", p99).must([Limit::most(15.0)]).aim([Limit::most(5.0)]).note(note));
    Ok(())
}

fn for_a(length: Duration) -> impl FnMut() -> bool {
    let end = Instant::now() + length;
    move || Instant::now() < end
}

fn contest(lab: &Lab, viewers: usize) -> Result<[Vec<Trial>; 3]> {
    // the others send texts of the same length
    let payload = Cell::new(TALLY_BYTES);
    let ours = || {
        let deployment = lab.deploy(Store::Redis(Aof::Always), 1)?;
        let mut hall = deployment.pod().hall(viewers, 1, MAX_CASTS_PER_ROUND)?;
        hall.open_next()?;
        let trial = trial(lab, deployment.pod().pid(), Crowd::connect(&deployment.ports(), hall.dialect(), viewers)?)?;
        payload.set(trial.text_bytes.round() as usize);
        Ok(trial)
    };
    let floor = || {
        let reference = lab.floor(payload.get())?;
        trial(lab, reference.pid, Crowd::connect(&[reference.port], Dialect::floor(), viewers)?)
    };
    let socketio = || {
        let reference = lab.socketio(payload.get(), None)?;
        trial(lab, reference.pid, Crowd::connect(&[reference.port], Dialect::socketio(), viewers)?)
    };
    let trials = in_turn(lab, [("Tallycast", &ours), (FLOOR, &floor), (SOCKETIO, &socketio)])?;
    Ok(trials)
}

fn trial(lab: &Lab, pid: u32, mut crowd: Crowd) -> Result<Trial> {
    crowd.fan_out(TALLY_EVERY, Duration::from_secs(1))?;
    let meter = Meter::start(&[pid])?;
    let fan = crowd.fan_out(TALLY_EVERY, lab.length(5.0))?;
    let cpu_us = meter.read()?[0];
    let wall = fan.wall.as_secs_f64();
    Ok(Trial {
        cpu_us_per_frame: cpu_us / fan.frames as f64,
        spread_ms: median(fan.spreads.iter().map(|spread| spread.as_secs_f64() * 1e3)),
        frames_per_s: fan.frames as f64 / wall,
        busy: cpu_us / 1e6 / wall,
        text_bytes: fan.text_bytes as f64 / fan.frames as f64,
        partial: fan.partial,
    })
}

fn cpu_row(number: u8, viewers: usize, ours: &[Trial], floor: &[Trial], socketio: &[Trial]) -> Row {
    let cpu = |trials: &[Trial]| middle(trials, |trial| trial.cpu_us_per_frame);
    let row =
        Row::new(number, format!("fan-out of a tally, CPU per delivered frame, {viewers} viewers"), "µs", cpu(ours));
    let partial: usize = ours.iter().map(|trial| trial.partial).sum();
    let note = format!(
        "texts of {:.0} bytes; {:.0} frames a second at {:.0} % of the core, Socket.IO {:.0} at {:.0} %; {partial} \
         tallies did not reach every viewer",
        middle(ours, |trial| trial.text_bytes),
        middle(ours, |trial| trial.frames_per_s),
        middle(ours, |trial| trial.busy * 100.0),
        middle(socketio, |trial| trial.frames_per_s),
        middle(socketio, |trial| trial.busy * 100.0),
    );
    row.beside(FLOOR, cpu(floor)).beside(SOCKETIO, cpu(socketio)).note(note)
}

fn most(factor: f64, name: &str) -> Limit {
    Limit::most(factor).times(name)
}
