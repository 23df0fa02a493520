//! Every kind of dependency, taken the whole way with every pixi of this machine: built online,
//! made into a product, verified, carried to another path, installed there by another user in an
//! empty home, with the network off and the clock two days on. `table.toml` says what must come
//! of it; any other end fails, a good one too.

mod draft;
mod journey;
mod kind;
mod monorepo;
mod parts;
mod same_content;
mod source_packages;
mod sources;
mod supported;
mod table;
mod ways;

use std::io::Write as _;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use testbed::images::PixiImage;

use journey::{Failure, Proof};
use kind::{KINDS, Kind};
use parts::Parts;
use table::{Expected, Table};

/// How many journeys go on side by side: most of one is waiting for containers.
const AT_ONCE: usize = 2;

/// What was seen of one kind with one pixi.
struct Seen {
    place: usize,
    line: String,
    deviation: Option<String>,
}

#[test]
fn every_kind_of_dependency_ends_as_the_table_says() {
    let table = Table::read();
    let chosen = chosen_kinds();
    let parts = Parts::get();
    table.skip_what_no_pixi_is_here_for(&parts.images);
    let journeys: Vec<_> = parts
        .images
        .iter()
        .flat_map(|image| chosen.iter().map(move |kind| (*kind, image)))
        .filter_map(|(kind, image)| Some((kind, image, table.expected(kind.name, image)?)))
        .filter(|(kind, image, _)| {
            !kind.needs_backends || parts.has_backends(&format!("kinds::{}", kind.name), image)
        })
        .enumerate()
        .collect();

    let start = Instant::now();
    let left = Mutex::new(journeys.into_iter());
    let seen = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().next();
                    let Some((place, (kind, image, expected))) = next else {
                        break;
                    };
                    let one = see(place, kind, image, expected, parts);
                    seen.lock().unwrap().push(one);
                }
            });
        }
    });

    let mut seen = seen.into_inner().unwrap();
    seen.sort_by_key(|one| one.place);
    let mut text = String::from("\nkind                     pixi     seen\n");
    for one in &seen {
        text.push_str(&one.line);
    }
    let deviations: String = seen.into_iter().filter_map(|one| one.deviation).collect();
    text.push_str(&format!("in {:.0} s\n", start.elapsed().as_secs_f64()));
    // Not with eprintln: the table is to be seen when the test passes, too.
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    assert!(
        deviations.is_empty(),
        "not what tests/engine/kinds/table.toml says:\n{deviations}"
    );
}

/// All of them, or those that `PIXI_OFFLINE_KINDS` names, for whoever works on one.
fn chosen_kinds() -> Vec<&'static Kind> {
    let named = std::env::var("PIXI_OFFLINE_KINDS").unwrap_or_default();
    let named: Vec<&str> = named.split_whitespace().collect();
    let (chosen, others): (Vec<_>, Vec<_>) = KINDS
        .iter()
        .partition(|kind| named.is_empty() || named.contains(&kind.name));
    assert!(!chosen.is_empty(), "PIXI_OFFLINE_KINDS names no kind");
    for kind in others {
        testbed::skip(
            &format!("kinds::{}", kind.name),
            "PIXI_OFFLINE_KINDS names others",
        );
    }
    chosen
}

fn see(place: usize, kind: &Kind, image: &PixiImage, expected: &Expected, parts: &Parts) -> Seen {
    let start = Instant::now();
    let end = journey::take(kind, image, parts);
    let what = match &end {
        Ok(Proof { later: true }) => "works".to_owned(),
        Ok(Proof { later: false }) => "works, today: a static pixi takes no later clock".to_owned(),
        Err(failure) => format!("fails at {}: {}", failure.stage, failure.gist(expected)),
    };
    let line = format!(
        "{:24} {:8} {what} ({:.0} s)\n",
        kind.name,
        image.version.to_string(),
        start.elapsed().as_secs_f64()
    );
    let as_expected = match &end {
        Ok(_) => expected.works(),
        Err(Failure { stage, output }) => expected.fails(*stage, output),
    };
    let deviation = (!as_expected).then(|| {
        let output = end.err().map(|failure| failure.output).unwrap_or_default();
        format!("{line}    the table says: {expected}\n{output}\n")
    });
    Seen {
        place,
        line,
        deviation,
    }
}
