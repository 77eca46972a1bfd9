//! Charts as SVG, made by hand: lines over a linear or a percentile axis, and bars. Colours come from the page's style.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
/// Room for labels: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 16.0, 26.0, 40.0);
/// About so many labels on an axis.
const TICKS: f64 = 5.0;

/// Text that may stand in HTML and SVG, also inside quotes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // not allowed in XML, not even escaped
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A line.
pub struct Series {
    /// In the legend.
    pub name: String,
    /// Points; a gap is a point without a value.
    pub points: Vec<(f64, Option<f64>)>,
}

/// How the horizontal axis runs.
#[derive(Clone, Copy, PartialEq)]
pub enum Axis {
    /// Seconds.
    Seconds,
    /// Shares from 0 to 1, stretched towards 1: each nine is as wide as the one before.
    Percentile,
}

impl Axis {
    fn place(self, x: f64) -> f64 {
        match self {
            Self::Seconds => x,
            Self::Percentile => -(1.0 - x).max(1e-9).log10(),
        }
    }
}

/// Lines in one frame.
pub struct Lines {
    /// Above it.
    pub title: String,
    /// Unit of the vertical axis.
    pub unit: &'static str,
    /// The horizontal axis.
    pub axis: Axis,
    /// At most six.
    pub series: Vec<Series>,
    /// Where something began: seconds and its name.
    pub marks: Vec<(f64, String)>,
}

/// Bars side by side.
pub struct Bars {
    /// Above it.
    pub title: String,
    /// Unit of the vertical axis.
    pub unit: &'static str,
    /// Name and height.
    pub bars: Vec<(String, f64)>,
}

/// A step between labels: 1, 2 or 5 times a power of ten.
fn step(span: f64) -> f64 {
    let raw = (span / TICKS).max(1e-6);
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

struct Frame {
    svg: String,
    x: (f64, f64),
    top: f64,
}

impl Frame {
    fn new(title: &str, unit: &str, x: (f64, f64), highest: f64) -> Self {
        let step = step(highest.max(1e-3));
        let top = (highest.max(1e-3) / step).ceil() * step;
        let mut svg = format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{0}"><title>{0}</title>"#,
            escape(title)
        );
        let mut frame = Self { svg: String::new(), x, top };
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let y = frame.y(value);
            let (left, right) = (MARGIN.0, WIDTH - MARGIN.1);
            let _ = write!(svg, r#"<line class="grid" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#);
            let _ = write!(
                svg,
                r#"<text class="tick" text-anchor="end" x="{:.1}" y="{:.1}">{}</text>"#,
                left - 8.0,
                y + 4.0,
                label(value)
            );
            value += step;
        }
        let _ = write!(
            svg,
            r#"<text class="tick" text-anchor="end" x="{}" y="14">{}</text>"#,
            MARGIN.0 - 8.0,
            escape(unit)
        );
        frame.svg = svg;
        frame
    }

    fn x(&self, x: f64) -> f64 {
        let span = (self.x.1 - self.x.0).max(1e-9);
        MARGIN.0 + (x - self.x.0) / span * (WIDTH - MARGIN.0 - MARGIN.1)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - MARGIN.3 - y / self.top * (HEIGHT - MARGIN.2 - MARGIN.3)
    }

    fn x_label(&mut self, at: f64, text: &str) {
        let y = HEIGHT - MARGIN.3 + 18.0;
        let _ =
            write!(self.svg, r#"<text class="tick" text-anchor="middle" x="{at:.1}" y="{y}">{}</text>"#, escape(text));
    }

    fn end(mut self, title: &str, legend: &str) -> String {
        self.svg.push_str("</svg>");
        format!(r#"<figure><figcaption><b>{}</b>{legend}</figcaption>{}</figure>"#, escape(title), self.svg)
    }
}

impl Lines {
    /// As a figure.
    pub fn draw(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let xs = points().map(|(x, _)| self.axis.place(*x));
        let right = xs.fold(1.0, f64::max);
        let highest = points().filter_map(|(_, y)| *y).fold(0.0, f64::max);
        let mut frame = Frame::new(&self.title, self.unit, (0.0, right), highest);
        self.x_axis(&mut frame, right);
        for (at, name) in &self.marks {
            let (x, top, bottom) = (frame.x(*at), MARGIN.2, HEIGHT - MARGIN.3);
            let _ = write!(
                frame.svg,
                r#"<line class="mark" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"><title>{}</title></line>"#,
                escape(name)
            );
        }
        let mut legend = String::new();
        for (number, series) in self.series.iter().enumerate() {
            let mut path = String::new();
            let mut drawing = false;
            for (x, y) in &series.points {
                if let Some(y) = y {
                    let (x, y) = (frame.x(self.axis.place(*x)), frame.y(*y));
                    // a line to itself shows a point that stands alone
                    let _ = match drawing {
                        true => write!(path, "L{x:.1} {y:.1}"),
                        false => write!(path, "M{x:.1} {y:.1}h0.01"),
                    };
                }
                drawing = y.is_some();
            }
            let _ = write!(frame.svg, r#"<path class="line c{number}" d="{path}"/>"#);
            let _ = write!(legend, r#" <span class="key k{number}">{}</span>"#, escape(&series.name));
        }
        frame.end(&self.title, &legend)
    }

    fn x_axis(&self, frame: &mut Frame, right: f64) {
        match self.axis {
            Axis::Seconds => {
                let step = step(right * 0.7).max(1.0);
                let mut at = 0.0;
                while at <= right {
                    frame.x_label(frame.x(at), &format!("{} s", label(at)));
                    at += step;
                }
            }
            Axis::Percentile => {
                for share in ["0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"] {
                    let place = self.axis.place(share.parse::<f64>().unwrap_or(0.0) / 100.0);
                    if place <= right + 1e-6 {
                        frame.x_label(frame.x(place), &format!("{share} %"));
                    }
                }
            }
        }
    }
}

impl Bars {
    /// As a figure.
    pub fn draw(&self) -> String {
        let highest = self.bars.iter().map(|(_, height)| *height).fold(0.0, f64::max);
        let count = self.bars.len().max(1) as f64;
        let mut frame = Frame::new(&self.title, self.unit, (0.0, count), highest);
        for (number, (name, height)) in self.bars.iter().enumerate() {
            let left = frame.x(number as f64 + 0.15);
            let (width, top) = (frame.x(number as f64 + 0.85) - left, frame.y(*height));
            let tall = HEIGHT - MARGIN.3 - top;
            let _ = write!(
                frame.svg,
                r#"<rect class="bar" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{tall:.1}"><title>{}: {}</title></rect>"#,
                escape(name),
                label(*height)
            );
            frame.x_label(left + width / 2.0, name);
        }
        frame.end(&self.title, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_become_markup() {
        assert_eq!(escape(r#"<a b="c">&'"#), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
        assert_eq!(escape("a\u{0}b\u{1b}"), "a\u{FFFD}b\u{FFFD}");
        let nasty = "</title><script>alert(1)</script>";
        let bars = Bars { title: nasty.into(), unit: "", bars: vec![(nasty.into(), 1.0)] }.draw();
        let series = vec![Series { name: nasty.into(), points: vec![(0.0, Some(1.0))] }];
        let marks = vec![(0.0, nasty.into())];
        let lines = Lines { title: nasty.into(), unit: "", axis: Axis::Seconds, series, marks }.draw();
        assert!(!bars.contains("<script") && !lines.contains("<script"));
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points = vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(1.0)), (3.0, Some(2.0))];
        let series = vec![Series { name: "x".into(), points }];
        let svg = Lines { title: "t".into(), unit: "", axis: Axis::Seconds, series, marks: vec![] }.draw();
        assert_eq!((svg.matches('M').count(), svg.matches('L').count()), (2, 1), "{svg}");
    }

    #[test]
    fn nothing_to_draw_is_drawn_without_a_number_gone_wrong() {
        let svg = Lines { title: "t".into(), unit: "", axis: Axis::Percentile, series: vec![], marks: vec![] }.draw();
        let bars = Bars { title: "t".into(), unit: "", bars: vec![] }.draw();
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !bars.contains("NaN"));
    }

    #[test]
    fn every_nine_is_as_wide_as_the_one_before() {
        let place = |share: f64| Axis::Percentile.place(share);
        assert!((place(0.99) - 2.0 * place(0.9)).abs() < 1e-9 && (place(0.999) - 3.0 * place(0.9)).abs() < 1e-9);
    }
}
