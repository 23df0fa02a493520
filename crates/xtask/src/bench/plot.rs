//! Time over number of files, as a picture.

use std::fmt::Write as _;

use super::page::Growth;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;

/// An SVG with both axes logarithmic: what grows as the number of files is a line
/// with the slope of the dashed one.
pub fn svg(growth: &[Growth]) -> String {
    let points = |time: &dyn Fn(&Growth) -> f64| -> Vec<(f64, f64)> {
        growth
            .iter()
            .map(|at| (at.files as f64, time(at)))
            .collect()
    };
    let ours = points(&|at| at.ours.as_secs_f64());
    let peer = points(&|at| at.peer.as_secs_f64());
    let linear = points(&|at| ours[0].1 * at.files as f64 / ours[0].0);
    let times = || ours.iter().chain(&peer).map(|(_, time)| *time);
    let least = times()
        .fold(f64::INFINITY, f64::min)
        .max(1e-4)
        .log10()
        .floor();
    let most = times().fold(1e-3, f64::max).log10().ceil();
    let (first, last) = (ours[0].0, ours[ours.len() - 1].0);
    let scaled = |value: f64, from: f64, to: f64, length: f64| {
        MARGIN + (value - from) / (to - from).max(1e-9) * (length - 2.0 * MARGIN)
    };
    let x = |files: f64| scaled(files.log10(), first.log10(), last.log10(), WIDTH);
    let y = |time: f64| HEIGHT - scaled(time.max(1e-6).log10(), least, most, HEIGHT);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let powers: Vec<f64> = (least as i32..=most as i32)
        .map(|power| 10_f64.powi(power))
        .collect();
    let grid = powers
        .iter()
        .map(|time| (vec![(first, *time), (last, *time)], "stroke=\"#ddd\""));
    let curves = [
        (linear.clone(), "stroke=\"#999\" stroke-dasharray=\"4 4\""),
        (peer.clone(), "stroke=\"#d1495b\" stroke-width=\"2\""),
        (ours.clone(), "stroke=\"#00798c\" stroke-width=\"2\""),
    ];
    for (points, style) in grid.chain(curves) {
        let points: Vec<String> = points
            .iter()
            .map(|(files, time)| format!("{:.1},{:.1}", x(*files), y(*time)))
            .collect();
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline fill=\"none\" {style} points=\"{points}\"/>");
    }
    let below = |(files, _): &(f64, f64)| {
        (
            x(*files),
            HEIGHT - MARGIN + 18.0,
            "middle",
            files.to_string(),
        )
    };
    let beside = |time: &f64| (MARGIN - 8.0, y(*time) + 4.0, "end", format!("{time} s"));
    let end = |points: &[(f64, f64)], down: f64, name: &str| {
        let (_, time) = points[points.len() - 1];
        (
            WIDTH - MARGIN + 4.0,
            y(time) + down,
            "start",
            name.to_owned(),
        )
    };
    let names = [
        (WIDTH / 2.0, HEIGHT - 12.0, "middle", "files".to_owned()),
        end(&ours, 0.0, "ours"),
        end(&peer, 0.0, "rsync"),
        end(&linear, 12.0, "linear"),
    ];
    let texts = ours
        .iter()
        .map(below)
        .chain(powers.iter().map(beside))
        .chain(names);
    for (x, y, anchor, text) in texts {
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}
