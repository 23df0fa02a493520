//! Every console block of README and docs, run as it stands.
//!
//! A block is fenced as one of:
//!
//! - `console`: run in a shell on this machine;
//! - `console,target`: run in a container without a network, which finds what the
//!   page has made so far: the other side;
//! - `console,ignore`: not run; a comment of HTML before it says why.
//!
//! A line that begins with `$ ` is a command, and goes on over lines that end with
//! a backslash. What follows is what it prints: each such line must appear, in this
//! order, among the lines that it really prints; `…` stands for any text.
//! The blocks of a page share one shell, and where it stands.

mod page;
mod place;
mod shell;

use std::path::{Path, PathBuf};

use page::{Kind, Page};
use place::Place;
use testbed::SecondEngine;

/// The pages with blocks that are run; each has a test of its own.
const PAGES: [&str; 12] = [
    "README.md",
    "docs/getting-started.md",
    "docs/reference/commands.md",
    "docs/how-to/step-by-step.md",
    "docs/how-to/one-command.md",
    "docs/how-to/sign-and-approve.md",
    "docs/how-to/engines.md",
    "docs/how-to/running-container.md",
    "docs/how-to/several-environments.md",
    "docs/how-to/excludes-and-secrets.md",
    "docs/how-to/at-the-target.md",
    "docs/reference/settings.md",
];

/// Pages whose blocks `tests/engine/production_image` runs, with the images that they need.
const ELSEWHERE: [&str; 1] = ["docs/how-to/production-image.md"];

/// How many blocks may stay out.
const IGNORED: usize = 13;

/// How other fences may be called.
const OTHER: [&str; 5] = ["text", "json", "Dockerfile", "toml", "yaml"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page, by its path from the top of the checkout.
fn all_pages() -> Vec<String> {
    let mut pages: Vec<String> = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ]
    .map(str::to_owned)
    .into();
    let mut dirs = vec![root().join("docs")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let relative = path.strip_prefix(root()).unwrap();
                pages.push(relative.display().to_string());
            }
        }
    }
    pages.sort();
    pages
}

#[test]
fn every_fence_says_what_it_holds_and_few_are_not_run() {
    let mut ignored = Vec::new();
    let mut with_commands = Vec::new();
    for name in all_pages() {
        let page = Page::read(&root(), &name);
        for fence in &page.fences {
            let place = format!("{name}:{}", fence.line);
            match fence.kind {
                Kind::Other(ref tag) => assert!(
                    OTHER.contains(&tag.as_str()),
                    "{place}: a fence is called {tag:?}; commands go into `console`, the rest into one of {OTHER:?}"
                ),
                Kind::Ignored => {
                    assert!(
                        page.comment_before(fence).is_some_and(|why| why.len() > 10),
                        "{place}: a block that is not run needs a comment `<!-- why -->` before it"
                    );
                    ignored.push(place);
                }
                Kind::Here | Kind::Target => {
                    assert!(
                        !fence.commands().is_empty(),
                        "{place} has no line that begins with `$ `"
                    );
                    with_commands.push(name.clone());
                }
            }
        }
    }
    assert!(
        ignored.len() <= IGNORED,
        "{} blocks are not run: {ignored:?}",
        ignored.len()
    );
    with_commands.dedup();
    let mut pages = [PAGES.as_slice(), &ELSEWHERE].concat();
    pages.sort();
    assert_eq!(
        with_commands, pages,
        "the pages with blocks, and those with a test"
    );
}

/// Runs the blocks of a page.
fn run(name: &str) {
    run_in(Place::new(), name);
}

fn run_in(mut place: Place, name: &str) {
    let page = Page::read(&root(), name);
    for fence in &page.fences {
        match fence.kind {
            Kind::Here => place.here().run(name, fence),
            Kind::Target => place.target().run(name, fence),
            Kind::Ignored | Kind::Other(_) => {}
        }
    }
}

#[test]
fn the_readme() {
    run(PAGES[0]);
}

#[test]
fn the_readme_can_be_read_in_a_minute() {
    let text = std::fs::read_to_string(root().join(PAGES[0])).unwrap();
    assert!(text.lines().count() <= 100);
    let first = text.split(". ").next().unwrap();
    assert!(first.contains("air-gapped"), "{first}");
}

#[test]
fn getting_started() {
    run(PAGES[1]);
}

#[test]
fn the_page_of_the_commands() {
    run(PAGES[2]);
}

#[test]
fn the_page_of_the_steps() {
    run(PAGES[3]);
}

#[test]
fn the_page_of_build_offline_product() {
    run(PAGES[4]);
}

#[test]
fn the_page_of_the_approver() {
    run(PAGES[5]);
}

#[test]
fn the_page_of_the_target() {
    run(PAGES[10]);
}

#[test]
fn the_page_of_the_engines() {
    if let Some(reason) = SecondEngine::cannot_start_on_tcp() {
        testbed::skip("the_page_of_the_engines", &reason);
        return;
    }
    run_in(Place::with_engines(), PAGES[6]);
}

#[test]
fn the_pages_of_one_project_each() {
    for page in &PAGES[7..] {
        run(page);
    }
}
