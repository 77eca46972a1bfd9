//! The charts of the page, as SVG: lines over seconds or percentiles, and bars. Colours come from the page's style, so they
//! follow its dark mode.

use std::fmt::Write;

use maud::{Markup, html};

use super::summary::{Summary, TimelinePoint};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
/// Space for labels.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 40.0;
/// About so many labels on an axis.
const LABELS: f64 = 5.0;

/// Every chart with something to show.
pub fn all(summary: &Summary) -> Markup {
    let line = |name: &str, value: fn(&TimelinePoint) -> Option<f64>| Series {
        name: name.to_owned(),
        points: summary.timeline.iter().map(|point| (point.at, value(point))).collect(),
    };
    let marks: Vec<_> = summary.phases.iter().map(|phase| (phase.begins, phase.name.as_str())).collect();
    let over_time = |title, unit, series: Vec<Series>| lines(title, unit, Axis::Seconds, &series, &marks);
    let errors = summary.errors.iter().map(|(cause, count)| (cause.clone(), *count as f64)).collect::<Vec<_>>();
    html! {
        (lines("Percentiles", "ms", Axis::Percentile, &curves(summary), &[]))
        (over_time("Acknowledgement, second by second", "ms", vec![
            line("p50", |point| point.ack_p50),
            line("p99", |point| point.ack_p99),
        ]))
        (over_time("Rates", "per s", vec![
            line("casts", |point| Some(point.casts as f64)),
            line("votes acknowledged", |point| Some(point.votes as f64)),
            line("arrivals", |point| Some(point.arrivals as f64)),
        ]))
        (over_time("Frames received", "per s", vec![line("frames", |point| Some(point.frames as f64))]))
        (over_time("Connections", "", vec![line("connected", |point| Some(point.connected as f64))]))
        @if !errors.is_empty() { (bars("Errors by cause", &errors)) }
        @if let Some(commits) = &summary.commits {
            (bars("Commits of the server that took at most", &commits.by_bound()))
        }
    }
}

fn curves(summary: &Summary) -> Vec<Series> {
    let names = ["ack", "arrival", "comeback", "tally_spread"];
    let series = names.iter().filter_map(|name| {
        let curve = &summary.times.get(*name)?.curve;
        Some(Series { name: (*name).to_owned(), points: curve.iter().map(|(share, ms)| (*share, Some(*ms))).collect() })
    });
    series.collect()
}

/// A line.
struct Series {
    name: String,
    /// A point without a value is a gap.
    points: Vec<(f64, Option<f64>)>,
}

/// The horizontal axis.
#[derive(Clone, Copy, PartialEq)]
enum Axis {
    Seconds,
    /// Shares from 0 to 1, stretched towards 1: each nine is as wide as the one before.
    Percentile,
}

impl Axis {
    fn position(self, x: f64) -> f64 {
        match self {
            Self::Seconds => x,
            Self::Percentile => -(1.0 - x).max(1e-9).log10(),
        }
    }

    /// Positions and texts of the labels up to `right`.
    fn labels(self, right: f64) -> Vec<(f64, String)> {
        match self {
            Self::Seconds => {
                let step = step(right * 0.7).max(1.0);
                let count = (right / step) as usize;
                (0..=count).map(|n| n as f64 * step).map(|at| (at, format!("{} s", label(at)))).collect()
            }
            Self::Percentile => [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999]
                .iter()
                .map(|percent| (self.position(percent / 100.0), format!("{percent} %")))
                .filter(|(at, _)| *at <= right + 1e-6)
                .collect(),
        }
    }
}

/// Maps values to the picture.
struct Scale {
    right: f64,
    top: f64,
    /// Distance between two labels of the vertical axis.
    step: f64,
}

impl Scale {
    fn new(right: f64, highest: f64) -> Self {
        let step = step(highest.max(1e-3));
        Self { right: right.max(1e-9), top: (highest.max(1e-3) / step).ceil() * step, step }
    }

    fn x(&self, x: f64) -> f64 {
        round(LEFT + x / self.right * (WIDTH - LEFT - RIGHT))
    }

    fn y(&self, y: f64) -> f64 {
        round(HEIGHT - BOTTOM - y / self.top * (HEIGHT - TOP - BOTTOM))
    }
}

/// A figure with axes; `content` is drawn over the grid.
fn figure(
    title: &str,
    unit: &str,
    scale: &Scale,
    labels: &[(f64, String)],
    legend: &[&str],
    content: Markup,
) -> Markup {
    let rules = (0..=(scale.top / scale.step).round() as usize).map(|n| n as f64 * scale.step);
    html! {
        figure {
            figcaption {
                b { (title) }
                @for (number, name) in legend.iter().enumerate() { " " span.key.{ "k" (number) } { (name) } }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
                title { (title) }
                @for value in rules {
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(scale.y(value)) y2=(scale.y(value)) {}
                    text.tick text-anchor="end" x=(LEFT - 8.0) y=(scale.y(value) + 4.0) { (label(value)) }
                }
                text.tick text-anchor="end" x=(LEFT - 8.0) y="14" { (unit) }
                @for (at, text) in labels {
                    text.tick text-anchor="middle" x=(scale.x(*at)) y=(HEIGHT - BOTTOM + 18.0) { (text) }
                }
                (content)
            }
        }
    }
}

/// Lines over an axis, with marks where phases begin.
fn lines(title: &str, unit: &str, axis: Axis, series: &[Series], marks: &[(f64, &str)]) -> Markup {
    let points = || series.iter().flat_map(|series| &series.points);
    let right = points().map(|(x, _)| axis.position(*x)).fold(1.0, f64::max);
    let scale = Scale::new(right, points().filter_map(|(_, y)| *y).fold(0.0, f64::max));
    let legend: Vec<_> = series.iter().map(|series| series.name.as_str()).collect();
    let content = html! {
        @for (at, name) in marks {
            line.mark x1=(scale.x(*at)) x2=(scale.x(*at)) y1=(TOP) y2=(HEIGHT - BOTTOM) { title { (name) } }
        }
        @for (number, series) in series.iter().enumerate() {
            path.line.{ "c" (number) } d=(path(series, axis, &scale)) {}
        }
    };
    figure(title, unit, &scale, &axis.labels(right), &legend, content)
}

fn path(series: &Series, axis: Axis, scale: &Scale) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for (x, y) in &series.points {
        if let Some(y) = y {
            let (x, y) = (scale.x(axis.position(*x)), scale.y(*y));
            // a short line makes a single point visible
            let _ = if drawing { write!(path, "L{x} {y}") } else { write!(path, "M{x} {y}h0.01") };
        }
        drawing = y.is_some();
    }
    path
}

/// Bars side by side.
fn bars(title: &str, bars: &[(String, f64)]) -> Markup {
    let scale = Scale::new(bars.len() as f64, bars.iter().map(|(_, height)| *height).fold(0.0, f64::max));
    let labels: Vec<_> = bars.iter().enumerate().map(|(n, (name, _))| (n as f64 + 0.5, name.clone())).collect();
    let content = html! {
        @for (number, (name, height)) in bars.iter().enumerate() {
            @let (left, right) = (scale.x(number as f64 + 0.15), scale.x(number as f64 + 0.85));
            @let top = scale.y(*height);
            rect.bar x=(left) y=(top) width=(round(right - left)) height=(round(HEIGHT - BOTTOM - top)) {
                title { (name) ": " (label(*height)) }
            }
        }
    };
    figure(title, "", &scale, &labels, &[], content)
}

/// A round distance between labels, so that about [`LABELS`] of them cover `span`.
fn step(span: f64) -> f64 {
    let raw = span / LABELS;
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(raw)
}

/// A number for a label.
fn label(number: f64) -> String {
    match number.abs() {
        n if n >= 10_000_000.0 => format!("{:.0}M", number / 1e6),
        n if n >= 10_000.0 => format!("{}k", (number / 100.0).round() / 10.0),
        _ => format!("{}", (number * 1000.0).round() / 1000.0),
    }
}

/// A coordinate with one digit.
fn round(coordinate: f64) -> f64 {
    (coordinate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_cannot_become_markup() {
        let nasty = "</title><script>alert(1)</script>";
        let bars = bars(nasty, &[(nasty.to_owned(), 1.0)]).into_string();
        let series = [Series { name: nasty.into(), points: vec![(0.0, Some(1.0))] }];
        let lines = lines(nasty, "", Axis::Seconds, &series, &[(0.0, nasty)]).into_string();
        assert!(!bars.contains("<script") && !lines.contains("<script"));
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points = vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(1.0)), (3.0, Some(2.0))];
        let path = path(&Series { name: "x".into(), points }, Axis::Seconds, &Scale::new(3.0, 2.0));
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }

    #[test]
    fn charts_without_data_hold_only_finite_numbers() {
        let lines = lines("t", "", Axis::Percentile, &[], &[]).into_string();
        let bars = bars("t", &[]).into_string();
        assert!(!lines.contains("NaN") && !lines.contains("inf") && !bars.contains("NaN"));
    }

    #[test]
    fn every_nine_is_as_wide_as_the_one_before() {
        let position = |share: f64| Axis::Percentile.position(share);
        assert!((position(0.99) - 2.0 * position(0.9)).abs() < 1e-9);
        assert!((position(0.999) - 3.0 * position(0.9)).abs() < 1e-9);
    }
}
