//! Containers whose inside is hostile, on the real engine: whatever they put in the place of
//! the paths that they can write, no command touches, reads or waits for anything outside
//! of the directories that the caller named.

mod place;
mod table;
mod witness;

use std::os::unix::fs::MetadataExt as _;

use place::{Place, Transport};
use table::When;

/// Runs the whole table by one transport; as many cases as were planted.
fn run_the_table(transport: Transport) -> u64 {
    // In short, each action at some places; in long, all actions at all places.
    let rounds = testbed::cases(1, table::ACTIONS.len() as u64) as usize;
    let mut cases = 0;
    for round in 0..rounds {
        let round = round + transport as usize * 3;
        let plans = [
            (When::Run, When::Run.plan(&table::FILES, round)),
            (When::Install, When::Install.plan(&table::FILES, round + 7)),
            (When::Run, When::Run.plan(&table::DIRS, round)),
        ];
        for (when, plan) in plans {
            cases += run_one(transport, when, &plan);
        }
    }
    cases
}

/// Runs one plan, and makes a product of what came of it.
fn run_one(transport: Transport, when: When, plan: &str) -> u64 {
    let place = Place::new(plan);
    let run = match when {
        When::Install => place.run_without_verification(transport),
        When::Run => place.run_by(transport, &[]),
    };
    let what = format!("{transport:?} with\n{plan}");
    place.require_harmless(&run, &what);
    let planted = table::planted(&run.stdout);
    // What is mounted cannot be replaced; more than one line of a plan is never all that.
    assert!(
        plan.lines().count() == 1 || !planted.is_empty(),
        "{what}: nothing was planted\n{run}"
    );
    if !transport.is_verification() && place.path("W").exists() {
        let product = place.make();
        place.require_harmless(&product, &what);
    }
    planted.len() as u64
}

macro_rules! transports {
    ($($name:ident: $transport:ident,)*) => {
        $(#[test]
        fn $name() {
            let cases = run_the_table(Transport::$transport);
            assert!(cases >= 20, "only {cases} cases");
            testbed::ran(stringify!($name), cases);
        })*
    };
}

transports! {
    a_hostile_build_with_mounts_touches_nothing_of_the_person: Mounted,
    a_hostile_build_that_is_carried_back_touches_nothing_of_the_person: Carried,
    a_hostile_running_container_touches_nothing_of_the_person: Running,
    a_hostile_verification_with_mounts_touches_nothing_of_the_person: VerifiedMounted,
    a_hostile_verification_that_is_carried_back_touches_nothing_of_the_person: VerifiedCarried,
}

#[test]
fn what_holds_nearly_everything_may_be_anything() {
    let mut cases = 0;
    for (index, transport) in Transport::ALL.into_iter().enumerate() {
        for place in &table::ROOTS[index % 2..] {
            for action in [table::ACTIONS[index], "link-to-dir"] {
                cases += run_one(transport, When::Run, &When::Run.line(action, place));
            }
        }
    }
    assert!(cases >= 8, "only {cases} cases");
    testbed::ran("what_holds_nearly_everything_may_be_anything", cases);
}

/// What the commands write, move or read by name after a run, each with what would hurt
/// most: the person's files overwritten, moved away, packed, or a run that never ends.
#[test]
fn what_is_written_or_moved_after_a_run_is_never_behind_a_link() {
    use Transport::{Carried, Mounted, Running, VerifiedCarried, VerifiedMounted};
    const CASES: [(Transport, When, &str); 16] = [
        (Running, When::Run, "link-to-dir $top/out"),
        (Running, When::Run, "link-to-file $top/workdir.json.new"),
        (Running, When::Run, "link-to-dir $top/resources"),
        (Running, When::Run, "link-to-dir $project"),
        (Running, When::Run, "swapped $project/pixi.lock"),
        (Carried, When::Run, "link-to-dir $top/out"),
        (Carried, When::Run, "link-to-file $top/workdir.json.new"),
        (Carried, When::Run, "link-to-dir $top/resources"),
        (
            Carried,
            When::Run,
            "link-to-file $cache/pixi-offline-bin/pixi",
        ),
        (VerifiedCarried, When::Run, "link-to-dir $top/out"),
        (
            VerifiedCarried,
            When::Run,
            "link-to-file $out/verification.json",
        ),
        (
            VerifiedMounted,
            When::Install,
            "link-to-file $out/verify.offline.log",
        ),
        (VerifiedMounted, When::Run, "fifo $out/verify.offline.log"),
        (Mounted, When::Install, "link-to-file $out/verify.log"),
        (Mounted, When::Run, "fifo $project/pixi.lock"),
        (
            Mounted,
            When::Install,
            "link-to-file $cache/pixi-offline-bin/pixi",
        ),
    ];
    let mut cases = 0;
    for (transport, when, line) in CASES {
        let (action, place) = line.split_once(' ').unwrap();
        cases += run_one(transport, when, &when.line(action, place));
    }
    testbed::ran(
        "what_is_written_or_moved_after_a_run_is_never_behind_a_link",
        cases,
    );
}

/// A hundred thousand entries come to an end, and are the verification's to leave.
#[test]
fn a_hundred_thousand_entries_end_the_run_in_time() {
    let transports = [Transport::Mounted, Transport::VerifiedCarried];
    for transport in transports {
        run_one(transport, When::Run, &When::Run.line("many", "$out/many"));
    }
    testbed::ran("a_hundred_thousand_entries_end_the_run_in_time", 2);
}

/// A file of ten gigabytes that takes no room in the container must not take it here.
#[test]
fn a_sparse_file_does_not_fill_the_disk() {
    const LEFT: u64 = 1 << 30;
    for transport in [Transport::Mounted, Transport::Carried, Transport::Running] {
        let mut place = Place::new(&When::Run.line("sparse", "$out/sparse"));
        let free = {
            let found = rustix::fs::statvfs(place.path("")).unwrap();
            // As the commands count it: root may write what is kept back for root.
            let blocks = match rustix::process::geteuid().is_root() {
                true => found.f_bfree,
                false => found.f_bavail,
            };
            blocks * found.f_frsize
        };
        let reserved = free.saturating_sub(LEFT);
        place
            .sandbox
            .set("PIXI_OFFLINE_RESERVED_SPACE", reserved.to_string());
        let run = place.run_by(transport, &[]);
        let what = format!("{transport:?}, a sparse file");
        place.require_harmless(&run, &what);
        // Its holes are kept, or the run ends before the disk is full.
        if run.code != 0 {
            run.code(1).says("left");
        }
        let taken = witness::entries(&place.path(""))
            .iter()
            .map(|path| std::fs::symlink_metadata(path).map_or(0, |found| found.blocks() * 512))
            .sum::<u64>();
        assert!(
            taken <= LEFT + LEFT / 4,
            "{what}: {taken} of {free} bytes taken\n{run}"
        );
    }
    testbed::ran("a_sparse_file_does_not_fill_the_disk", 3);
}

#[test]
fn a_container_that_does_no_harm_passes_by_each_transport() {
    for transport in Transport::ALL {
        let place = Place::new("run dir $out/sub\nrun file $out/of-the-verification\n");
        let run = place.run_by(transport, &["--expect-file", "sub/inside"]);
        run.success();
        place.require_harmless(&run, &format!("{transport:?}"));
        let out = if transport.is_verification() {
            "O"
        } else {
            "W/out"
        };
        for name in ["sub/inside", "of-the-verification"] {
            let text = std::fs::read_to_string(place.path(out).join(name)).unwrap();
            assert_eq!(text, "planted\n", "{transport:?}");
        }
        if !transport.is_verification() {
            place.make().success();
        }
    }
}
