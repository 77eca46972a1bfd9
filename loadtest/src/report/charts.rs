//! The charts of a report.

use super::summary::{Moment, Summary};
use super::svg::{Axis, Bars, Lines, Series};

/// All of them that have something to show, as figures.
pub fn all(summary: &Summary) -> String {
    let mut figures = vec![curve(summary)];
    let moment = |name: &str, value: fn(&Moment) -> Option<f64>| Series {
        name: name.to_owned(),
        points: summary.timeline.iter().map(|moment| (moment.at, value(moment))).collect(),
    };
    let marks: Vec<_> = summary.phases.iter().map(|phase| (phase.begins, phase.name.clone())).collect();
    let over_time = |title: &str, unit: &'static str, series: Vec<Series>| {
        Lines { title: title.to_owned(), unit, axis: Axis::Seconds, series, marks: marks.clone() }.draw()
    };
    figures.push(over_time(
        "Acknowledgement, second by second",
        "ms",
        vec![moment("p50", |moment| moment.ack_p50), moment("p99", |moment| moment.ack_p99)],
    ));
    figures.push(over_time(
        "Rates",
        "per s",
        vec![
            moment("casts", |moment| Some(moment.casts as f64)),
            moment("votes acknowledged", |moment| Some(moment.votes as f64)),
            moment("arrivals", |moment| Some(moment.arrivals as f64)),
        ],
    ));
    figures.push(over_time("Frames received", "per s", vec![moment("frames", |moment| Some(moment.frames as f64))]));
    figures.push(over_time("Connections", "", vec![moment("connected", |moment| Some(moment.connected as f64))]));
    if !summary.errors.is_empty() {
        let bars = summary.errors.iter().map(|(cause, count)| (cause.clone(), *count as f64)).collect();
        figures.push(Bars { title: "Errors by cause".into(), unit: "", bars }.draw());
    }
    if let Some(commits) = &summary.commits {
        let name = |bound: &Option<f64>| match bound {
            Some(seconds) if *seconds >= 1.0 => format!("{seconds} s"),
            Some(seconds) => format!("{} ms", (seconds * 1000.0).round()),
            None => "more".to_owned(),
        };
        let bars = commits.bounds.iter().map(name).zip(commits.counts.iter().map(|count| *count as f64)).collect();
        figures.push(Bars { title: "Commits of the server that took at most".into(), unit: "", bars }.draw());
    }
    figures.concat()
}

fn curve(summary: &Summary) -> String {
    let words = ["ack", "arrival", "comeback", "tally_spread"];
    let series = words.iter().filter_map(|word| {
        let stats = summary.times.get(*word)?;
        Some(Series {
            name: (*word).to_owned(),
            points: stats.curve.iter().map(|(share, ms)| (*share, Some(*ms))).collect(),
        })
    });
    let title = "Percentiles".to_owned();
    Lines { title, unit: "ms", axis: Axis::Percentile, series: series.collect(), marks: vec![] }.draw()
}
