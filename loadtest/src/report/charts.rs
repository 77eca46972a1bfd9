//! The charts of the page, as SVG. `page.css` replaces their colours, by their value, so that they follow its dark mode.

use std::io;
use std::ops::Range;

use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::summary::{Figures, Summary};
use crate::metrics::Timer;

const SIZE: (u32, u32) = (720, 260);
/// One for each line of a chart.
const COLORS: [RGBColor; 4] =
    [RGBColor(0x1F, 0x6F, 0xEB), RGBColor(0xD9, 0x48, 0x0F), RGBColor(0x2B, 0x8A, 0x3E), RGBColor(0x9C, 0x36, 0xB5)];
/// Where a phase begins.
const MARK: RGBColor = RGBColor(0x62, 0x6B, 0x75);
/// Times of which the percentile curve is shown.
const CURVES: [Timer; 4] = [Timer::Ack, Timer::Arrival, Timer::Comeback, Timer::Spread];

/// A line with its name. A point without a value is a gap.
type Line = (&'static str, Vec<(f64, Option<f64>)>);

/// The horizontal axis: from 0 to an end.
struct Axis {
    scale: RangedCoordf64,
    /// Where labels are; empty: at round values.
    ticks: Vec<f64>,
}

impl Axis {
    fn new(end: f64, ticks: Vec<f64>) -> Self {
        Self { scale: (0.0..end).into(), ticks }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.scale.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if self.ticks.is_empty() { self.scale.key_points(hint) } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.scale.range()
    }
}

/// A chart without its horizontal axis.
struct Chart<'a> {
    title: &'a str,
    lines: Vec<Line>,
    width: u32,
    /// Where vertical lines are drawn.
    marks: &'a [f64],
}

/// Every chart with something to show.
pub fn all(summary: &Summary) -> Markup {
    let line = |name, value: fn(&Figures) -> Option<f64>| -> Line {
        (name, summary.timeline.iter().map(|second| (second.at, value(second))).collect())
    };
    let marks: Vec<_> = summary.phases.iter().map(|phase| phase.begins).collect();
    let end = summary.timeline.last().map_or(1.0, |second| second.at);
    let over_time = |title, lines| {
        let chart = Chart { title, lines, width: 2, marks: &marks };
        figure(&chart, Axis::new(end, vec![]), &|at| format!("{at} s"))
    };
    html! {
        (percentiles(summary))
        (over_time("Acknowledgement, second by second, ms", vec![
            line("p50", |second| second.ack_p50),
            line("p99", |second| second.ack_p99),
        ]))
        (over_time("Rates, per s", vec![
            line("casts", |second| Some(second.casts as f64)),
            line("votes acknowledged", |second| Some(second.votes as f64)),
            line("arrivals", |second| Some((second.joins + second.reconnects) as f64)),
        ]))
        (over_time("Frames, per s", vec![line("received", |second| Some(second.frames as f64))]))
        (over_time("Connections", vec![line("connected", |second| Some(second.connected as f64))]))
        @if summary.measures.errors() > 0 { (errors(summary)) }
    }
}

/// Over the number of nines, so that each is as wide as the one before: 0 is 0 %, 1 is 90 %, 2 is 99 %.
fn percentiles(summary: &Summary) -> Markup {
    let nines = |share: f64| -(1.0 - share).log10();
    let curve = |timer: Timer| -> Option<Line> {
        let points = summary.measures.times(timer)?.curve();
        Some((timer.name(), points.into_iter().map(|(share, ms)| (nines(share), Some(ms))).collect()))
    };
    let lines: Vec<_> = CURVES.into_iter().filter_map(curve).collect();
    let end = lines.iter().flat_map(|(_, points)| points).map(|(x, _)| *x).fold(1.0, f64::max);
    let axis = Axis::new(end, (0..=end as u32).map(f64::from).collect());
    let chart = Chart { title: "Percentiles, ms", lines, width: 2, marks: &[] };
    figure(&chart, axis, &|nines| format!("{} %", 100.0 - 100.0 / 10f64.powf(*nines)))
}

/// A bar for each cause: a thick line from 0.
fn errors(summary: &Summary) -> Markup {
    let causes: Vec<_> = summary.measures.all_errors().collect();
    let middles: Vec<_> = (0..causes.len()).map(|n| n as f64 + 0.5).collect();
    let bars = middles.iter().zip(&causes);
    let bars = bars.map(|(at, (cause, count))| (cause.name(), vec![(*at, Some(0.0)), (*at, Some(*count as f64))]));
    let chart = Chart { title: "Errors by cause", lines: bars.collect(), width: 40, marks: &[] };
    figure(&chart, Axis::new(causes.len() as f64, middles), &|at| causes[*at as usize].0.name().to_owned())
}

fn figure(chart: &Chart, axis: Axis, label: &dyn Fn(&f64) -> String) -> Markup {
    let svg = draw(chart, axis, label).expect("a string can be written to");
    html! {
        figure {
            figcaption {
                b { (chart.title) }
                @for (number, (name, _)) in chart.lines.iter().enumerate() {
                    " " span.key.{ "k" (number % COLORS.len()) } { (name) }
                }
            }
            (PreEscaped(svg))
        }
    }
}

/// The picture. Its texts are escaped.
fn draw(chart: &Chart, axis: Axis, label: &dyn Fn(&f64) -> String) -> Result<String, DrawingAreaErrorKind<io::Error>> {
    let values = chart.lines.iter().flat_map(|(_, points)| points).filter_map(|(_, y)| *y);
    let top = values.fold(1.0, f64::max) * 1.05;
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let mut context = ChartBuilder::on(&area)
        .margin_top(8)
        .margin_right(16)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d(axis, 0.0..top)?;
    let mut mesh = context.configure_mesh();
    mesh.disable_x_mesh().max_light_lines(0).y_labels(6).x_label_formatter(label).y_label_formatter(&number);
    mesh.label_style(("sans-serif", 17)).draw()?;
    for at in chart.marks {
        context.draw_series(LineSeries::new([(*at, 0.0), (*at, top)], MARK.mix(0.4)))?;
    }
    for (number, (_, points)) in chart.lines.iter().enumerate() {
        let style = COLORS[number % COLORS.len()].stroke_width(chart.width);
        for run in points.split(|(_, y)| y.is_none()).filter(|run| !run.is_empty()) {
            // with its first point twice, a line of one point is drawn as a dot
            let run = run.iter().take(1).chain(run).filter_map(|(x, y)| Some((*x, (*y)?)));
            context.draw_series(LineSeries::new(run, style))?;
        }
    }
    area.present()?;
    drop(context);
    drop(area);
    Ok(svg)
}

/// A value on the vertical axis.
fn number(number: &f64) -> String {
    match *number {
        n if n >= 10_000_000.0 => format!("{:.0}M", n / 1e6),
        n if n >= 10_000.0 => format!("{}k", (n / 100.0).round() / 10.0),
        n => format!("{}", (n * 1000.0).round() / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lines: Vec<Line>) -> String {
        draw(&Chart { title: "", lines, width: 2, marks: &[] }, Axis::new(3.0, vec![]), &f64::to_string).unwrap()
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let whole = vec![(0.0, Some(1.0)), (1.0, Some(1.0)), (2.0, Some(1.0)), (3.0, Some(2.0))];
        let mut broken = whole.clone();
        broken[1].1 = None;
        let lines = |points| drawn(vec![("x", points)]).matches("<polyline").count();
        assert_eq!(lines(broken), lines(whole) + 1);
    }

    #[test]
    fn a_chart_without_data_holds_only_finite_numbers() {
        let svg = drawn(vec![]);
        assert!(svg.contains("<text") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
