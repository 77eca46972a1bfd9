//! The end of a run on the terminal: thresholds first, then what was measured, then the audit.

use std::fmt::Write;

use super::summary::Summary;
use crate::metrics::{Cause, Counter, Timer};

/// A time for people: as many digits as tell something.
pub fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// Everything, as lines.
pub fn text(summary: &Summary) -> String {
    let mut text = String::from("\n");
    // writing to a string cannot fail
    let _ = write_all(&mut text, summary);
    text
}

fn write_all(out: &mut String, summary: &Summary) -> std::fmt::Result {
    for judged in &summary.thresholds {
        writeln!(out, "  {} {:<32}{}", if judged.ok { '✓' } else { '✗' }, judged.threshold, judged.words())?;
    }
    writeln!(
        out,
        "\n  {:<14}{:>9}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}",
        "", "count", "mean", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for timer in Timer::ALL {
        let Some(stats) = summary.times.get(timer.word()) else { continue };
        write!(out, "  {:<14}{:>9}", timer.word(), stats.count)?;
        for value in [stats.mean, stats.p50, stats.p90, stats.p99, stats.p999, stats.max] {
            write!(out, "{:>11}", ms(value))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\n  {:<16}{:>10}{:>12}", "", "count", "a second")?;
    for counter in Counter::ALL {
        let count = summary.counts.get(counter.word()).copied().unwrap_or(0);
        if count > 0 {
            writeln!(out, "  {:<16}{count:>10}{:>12.1}", counter.word(), count as f64 / summary.seconds.max(0.001))?;
        }
    }
    if !summary.errors.is_empty() {
        writeln!(out, "\n  errors")?;
    }
    for cause in Cause::ALL {
        if let Some(count) = summary.errors.get(cause.word()) {
            writeln!(out, "  {:<14}{count:>12}   {}", cause.word(), cause.meaning())?;
        }
    }
    if summary.phases.iter().any(|phase| phase.server.is_some()) {
        writeln!(out, "\n  {:<26}{:>9}{:>12}{:>12}", "the server", "seconds", "cores", "memory")?;
        for phase in &summary.phases {
            let Some(used) = phase.server else { continue };
            let cores = used.cpu_seconds / phase.seconds.max(0.001);
            let mib = used.rss_bytes as f64 / 1024.0 / 1024.0;
            writeln!(out, "  {:<26}{:>9.1}{cores:>12.2}{mib:>8.1} MiB", phase.name, phase.seconds)?;
        }
    }
    if !summary.slowlog.is_empty() {
        writeln!(out, "\n  slowest commands of the ledger's server")?;
    }
    for slow in &summary.slowlog {
        writeln!(out, "  {:<26}{:>9}", slow.command, ms(slow.micros as f64 / 1000.0))?;
    }
    for violation in &summary.violations {
        writeln!(out, "  broken promise: {violation}")?;
    }
    for remark in &summary.remarks {
        writeln!(out, "  note: {remark}")?;
    }
    audit(out, summary)?;
    writeln!(out, "room {}: {}", summary.room, summary.room_afterwards)?;
    writeln!(out, "\n{} after {:.0} s", summary.verdict.words(), summary.seconds)
}

fn audit(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let audit = &summary.audit;
    if !audit.rounds.is_empty() {
        writeln!(
            out,
            "\n  {:<12}{:>8}{:>14}{:>10}{:>12}   by choice",
            "round/take", "voters", "acknowledged", "unknown", "on record"
        )?;
    }
    for row in &audit.rounds {
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        let choices: Vec<_> =
            (b'a'..).zip(&row.recorded).map(|(letter, n)| format!("{} {n}", char::from(letter))).collect();
        writeln!(
            out,
            "  {:<12}{:>8}{:>14}{:>10}{:>12}   {}",
            format!("{}/{}", row.round, row.take),
            row.voters,
            sum(&row.acknowledged),
            sum(&row.unknown),
            sum(&row.recorded),
            choices.join(", ")
        )?;
    }
    for told in &audit.told {
        writeln!(out, "  difference: {told}")?;
    }
    match audit.exact {
        true => writeln!(
            out,
            "\nAUDIT: exact ({} places recomputed, {} of them told to phones)",
            audit.places, audit.standings
        ),
        false => writeln!(out, "\nAUDIT: {} differences", audit.differences),
    }
}
