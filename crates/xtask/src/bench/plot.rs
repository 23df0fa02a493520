//! Time over number of files, as a picture.

use std::fmt::Write as _;

use super::page::Growth;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;

/// An SVG with both axes logarithmic: what grows as the number of files is a line
/// with the slope of the dashed one.
pub fn svg(growth: &[Growth]) -> String {
    let files = |index: usize| growth[index].files as f64;
    let times = || {
        growth
            .iter()
            .flat_map(|at| [at.ours.as_secs_f64(), at.peer.as_secs_f64()])
    };
    let least = times()
        .fold(f64::INFINITY, f64::min)
        .max(1e-4)
        .log10()
        .floor();
    let most = times().fold(0.0, f64::max).max(1e-3).log10().ceil();
    let (first, last) = (files(0).log10(), files(growth.len() - 1).log10());
    let x = |files: f64| {
        MARGIN + (files.log10() - first) / (last - first).max(1e-9) * (WIDTH - 2.0 * MARGIN)
    };
    let y = |time: f64| {
        HEIGHT
            - MARGIN
            - (time.max(1e-6).log10() - least) / (most - least).max(1e-9) * (HEIGHT - 2.0 * MARGIN)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let mut line = |points: &[(f64, f64)], style: &str| {
        let points: Vec<String> = points
            .iter()
            .map(|(files, time)| format!("{:.1},{:.1}", x(*files), y(*time)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" {style} points=\"{}\"/>",
            points.join(" ")
        );
    };
    let mut power = least;
    while power <= most {
        let time = 10_f64.powf(power);
        line(
            &[(files(0), time), (files(growth.len() - 1), time)],
            "stroke=\"#ddd\"",
        );
        power += 1.0;
    }
    let ours: Vec<(f64, f64)> = growth
        .iter()
        .map(|at| (at.files as f64, at.ours.as_secs_f64()))
        .collect();
    let peer: Vec<(f64, f64)> = growth
        .iter()
        .map(|at| (at.files as f64, at.peer.as_secs_f64()))
        .collect();
    let linear: Vec<(f64, f64)> = ours
        .iter()
        .map(|(files, _)| (*files, ours[0].1 * files / ours[0].0))
        .collect();
    line(&linear, "stroke=\"#999\" stroke-dasharray=\"4 4\"");
    line(&peer, "stroke=\"#d1495b\" stroke-width=\"2\"");
    line(&ours, "stroke=\"#00798c\" stroke-width=\"2\"");
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    };
    for at in growth {
        text(
            x(at.files as f64),
            HEIGHT - MARGIN + 18.0,
            "middle",
            &at.files.to_string(),
        );
    }
    let mut power = least;
    while power <= most {
        text(
            MARGIN - 8.0,
            y(10_f64.powf(power)) + 4.0,
            "end",
            &format!("{} s", 10_f64.powf(power)),
        );
        power += 1.0;
    }
    text(WIDTH / 2.0, HEIGHT - 12.0, "middle", "files");
    let end = |points: &[(f64, f64)]| points[points.len() - 1];
    text(WIDTH - MARGIN + 4.0, y(end(&ours).1), "start", "ours");
    text(WIDTH - MARGIN + 4.0, y(end(&peer).1), "start", "rsync");
    text(
        WIDTH - MARGIN + 4.0,
        y(end(&linear).1) + 12.0,
        "start",
        "linear",
    );
    svg.push_str("</svg>\n");
    svg
}
