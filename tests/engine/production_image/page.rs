//! The page "Containers in production": every block of it runs, in its order.

use std::fs;
use std::path::{Path, PathBuf};

use testbed::sandbox::{Run, binary};

use crate::production_image::parts::{Name, base, docker, example, knows_the_example, prune};

/// A command of the page, and what it shows below it.
#[derive(Debug)]
struct Shown {
    command: String,
    output: Vec<String>,
}

/// The commands of the blocks that are marked `console`.
fn commands(page: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (inside, line) {
            (false, _) => inside = line == "```console",
            (true, "```") => inside = false,
            (true, line) => match line.strip_prefix("$ ") {
                Some(command) => all.push(Shown {
                    command: command.to_owned(),
                    output: Vec::new(),
                }),
                None => all
                    .last_mut()
                    .expect("a block begins with a command")
                    .output
                    .push(line.to_owned()),
            },
        }
    }
    all
}

/// Whether a line is as shown, where `…` stands for any text.
fn line_fits(shown: &str, line: &str) -> bool {
    match shown.split_once('…') {
        None => shown == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            let starts = rest
                .char_indices()
                .map(|(place, _)| place)
                .chain([rest.len()]);
            starts
                .into_iter()
                .any(|place| line_fits(after, &rest[place..]))
        }),
    }
}

/// Whether an output is as shown; a line `…` stands for any number of lines.
fn fits(shown: &[String], lines: &[&str]) -> bool {
    match shown {
        [] => lines.is_empty(),
        [first, rest @ ..] if first == "…" => {
            (0..=lines.len()).any(|skipped| fits(rest, &lines[skipped..]))
        }
        [first, rest @ ..] => {
            lines.first().is_some_and(|line| line_fits(first, line)) && fits(rest, &lines[1..])
        }
    }
}

#[test]
fn every_block_of_the_page_runs_and_shows_what_it_says() {
    let test = "page::every_block_of_the_page_runs_and_shows_what_it_says";
    if !knows_the_example(test) {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/how-to/production-image.md");
    let page = fs::read_to_string(page).unwrap();
    let all = commands(&page);
    assert!(all.len() > 10, "{all:?}");
    let real = example("page", false);
    // Names of people's images and containers stay theirs.
    let own = format!("pixi-offline-test-page-{}", std::process::id());
    let names = [
        ("ghcr.io/prefix-dev/pixi:0.77.0", real.image.clone()),
        ("debian:bookworm-slim", base().to_owned()),
        ("web-service:1.0", format!("{own}/web-service:1.0")),
        ("web-service:by-hand", format!("{own}/web-service:by-hand")),
        ("--name web-service ", format!("--name {own} ")),
        ("docker exec web-service ", format!("docker exec {own} ")),
        ("docker stop web-service", format!("docker stop {own}")),
        ("docker rm web-service", format!("docker rm {own}")),
        (
            "'{{.State.ExitCode}}' web-service",
            format!("'{{{{.State.ExitCode}}}}' {own}"),
        ),
    ];
    let _tidy = Tidy {
        product: real.path("work/product"),
        container: own.clone(),
        _images: ["1.0", "by-hand"].map(|tag| Name(format!("{own}/web-service:{tag}"))),
    };
    let ours = binary("make-production-image");
    let dir = ours.parent().unwrap().display();
    for shown in &all {
        let mut command = shown.command.clone();
        let mut output = shown.output.join("\n");
        for (theirs, here) in &names {
            command = command.replace(theirs, here);
            output = output.replace(theirs, here);
        }
        if output == "web-service" {
            output.clone_from(&own);
        }
        let script = format!("PATH={dir}:$PATH; exec 2>&1; {command}");
        let run = Run::of(real.sandbox.program("sh").args(["-c", &script]));
        run.success();
        let output: Vec<String> = output.lines().map(str::to_owned).collect();
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert!(
            fits(&output, &lines),
            "the page shows of `{}`:\n{}\n{run}",
            shown.command,
            output.join("\n")
        );
    }
}

/// Removes what the page makes, also when it shows something else.
struct Tidy {
    product: PathBuf,
    container: String,
    _images: [Name; 2],
}

impl Drop for Tidy {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.container]);
        if self.product.is_dir() {
            prune(&self.product);
        }
    }
}

#[test]
fn shown_output_is_compared_line_by_line() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (text, lines, fit) in [
        ("a", vec!["a"], true),
        ("a", vec!["a", "b"], false),
        ("…\nb", vec!["a", "b"], true),
        ("…\nb", vec!["b", "a"], false),
        ("a…c", vec!["abc"], true),
        ("a…c", vec!["abcd"], false),
        ("a…", vec!["abcd"], true),
        ("…/c", vec!["a/c/c"], true),
        ("…", vec![], true),
    ] {
        assert_eq!(fits(&shown(text), &lines), fit, "{text:?} {lines:?}");
    }
}
