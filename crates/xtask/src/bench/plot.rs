//! Time over number of files, as a picture.

use std::fmt::Write as _;

use super::results_page::Growth;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;

/// Numbers of files, and the time that each took, in seconds.
type Points = Vec<(f64, f64)>;

/// What the axes show: from the first of these values to the last, logarithmically.
struct Axes {
    files: (f64, f64),
    /// The logarithms of the times.
    powers: (f64, f64),
}

impl Axes {
    fn of(curves: [&Points; 2]) -> Axes {
        let times = || curves.into_iter().flatten().map(|(_, time)| *time);
        let least = times().fold(f64::INFINITY, f64::min).max(1e-4);
        let most = times().fold(1e-3, f64::max);
        let files = curves[0];
        Axes {
            files: (files[0].0, files[files.len() - 1].0),
            powers: (least.log10().floor(), most.log10().ceil()),
        }
    }

    fn x(&self, files: f64) -> f64 {
        let (first, last) = self.files;
        scaled(files.log10(), (first.log10(), last.log10()), WIDTH)
    }

    fn y(&self, time: f64) -> f64 {
        HEIGHT - scaled(time.max(1e-6).log10(), self.powers, HEIGHT)
    }

    /// The times that have a line across the picture.
    fn times(&self) -> Vec<f64> {
        let powers = self.powers.0 as i32..=self.powers.1 as i32;
        powers.map(|power| 10_f64.powi(power)).collect()
    }
}

fn scaled(value: f64, (from, to): (f64, f64), length: f64) -> f64 {
    MARGIN + (value - from) / (to - from).max(1e-9) * (length - 2.0 * MARGIN)
}

/// An SVG with both axes logarithmic: what grows as the number of files is a line
/// with the slope of the dashed one.
pub fn svg(growth: &[Growth]) -> String {
    let points = |time: &dyn Fn(&Growth) -> f64| -> Points {
        let points = growth.iter().map(|at| (at.files as f64, time(at)));
        points.collect()
    };
    let ours = points(&|at| at.ours.as_secs_f64());
    let peer = points(&|at| at.peer.as_secs_f64());
    let linear = points(&|at| ours[0].1 * at.files as f64 / ours[0].0);
    let axes = Axes::of([&ours, &peer]);
    let (first, last) = axes.files;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for time in axes.times() {
        let across = [(first, time), (last, time)];
        svg.push_str(&line(&axes, &across, "stroke=\"#ddd\""));
    }
    let dashed = "stroke=\"#999\" stroke-dasharray=\"4 4\"";
    svg.push_str(&line(&axes, &linear, dashed));
    svg.push_str(&line(&axes, &peer, "stroke=\"#d1495b\" stroke-width=\"2\""));
    svg.push_str(&line(&axes, &ours, "stroke=\"#00798c\" stroke-width=\"2\""));
    for (files, _) in &ours {
        let below = (axes.x(*files), HEIGHT - MARGIN + 18.0);
        svg.push_str(&text(below, "middle", &files.to_string()));
    }
    for time in axes.times() {
        let beside = (MARGIN - 8.0, axes.y(time) + 4.0);
        svg.push_str(&text(beside, "end", &format!("{time} s")));
    }
    svg.push_str(&text((WIDTH / 2.0, HEIGHT - 12.0), "middle", "files"));
    for (points, down, name) in [
        (&ours, 0.0, "ours"),
        (&peer, 0.0, "rsync"),
        (&linear, 12.0, "linear"),
    ] {
        let (_, time) = points[points.len() - 1];
        let at_the_end = (WIDTH - MARGIN + 4.0, axes.y(time) + down);
        svg.push_str(&text(at_the_end, "start", name));
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(axes: &Axes, points: &[(f64, f64)], style: &str) -> String {
    let mut shown = String::new();
    for (files, time) in points {
        let _ = write!(shown, " {:.1},{:.1}", axes.x(*files), axes.y(*time));
    }
    let shown = shown.trim_start();
    format!("<polyline fill=\"none\" {style} points=\"{shown}\"/>\n")
}

fn text((x, y): (f64, f64), anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}
