//! The old one or the new one, whole, whatever happens to the command that
//! replaces it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;
use testbed::sandbox::{Run, Sandbox};

use crate::fake::{CREATE, Fake, LOCK};
use crate::faults::injection::{Fault, held_input, inject, points};
use crate::faults::tree::{Tree, temporaries, tree};
use crate::make_product_update::USUAL;

/// A command, and what it replaces.
pub struct Subject {
    pub command: &'static str,
    /// From the place with an old state and a new source.
    args: fn(&Place) -> Vec<String>,
    /// Makes the old state, then the new source.
    pub prepare: fn(&Place),
    /// The directory that is replaced, from `work/`.
    target: &'static str,
    /// The parts of it that are the old ones or the new ones.
    parts: &'static [&'static str],
    /// What must stay as it is.
    untouched: &'static [&'static str],
    /// Whether the program goes when nobody listens to it any more, as the delegate
    /// in a container does.
    removes_itself: bool,
    /// What the first call of the part of a run is about that may be hit.
    from: &'static str,
}

/// A sandbox with a scripted docker.
pub struct Place {
    fake: Fake,
}

impl Place {
    pub fn new() -> Place {
        let mut fake = Fake::new().with(json!({"state": {"Status": "running"}}));
        let pixi = fake.sandbox.bin().join("pixi");
        let script = "#!/bin/bash\ncase $1 in\n--version) echo pixi 0.77.0 ;;\ninstall) echo installed ;;\nesac\n";
        fs::write(&pixi, script).unwrap();
        fs::set_permissions(&pixi, fs::Permissions::from_mode(0o755)).unwrap();
        fake.sandbox
            .set("PIXI_LOG", fake.sandbox.root().join("pixi-log"));
        Place { fake }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.fake.sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.fake.path(name)
    }

    pub fn command(&self, subject: &Subject) -> Command {
        let mut program = testbed::sandbox::binary(subject.command);
        if subject.removes_itself {
            let copy = self.sandbox().bin().join(subject.command);
            if !copy.exists() {
                // By another process: what this one has open for writing may be open
                // still in a child that another thread forks, and cannot be started.
                Run::of(Command::new("cp").args([&program, &copy])).success();
            }
            program = copy;
        }
        let mut command = self.sandbox().program(program);
        command.args((subject.args)(self)).stdin(held_input());
        command
    }

    pub fn log(&self) -> PathBuf {
        self.sandbox().root().join("trace")
    }

    /// A tree with some of everything, different for each generation.
    fn fill(&self, dir: &str, generation: &str) {
        for number in 0..12 {
            self.sandbox().write(
                format!("{dir}/part-{}/file-{number}", number % 3),
                format!("{generation} {number}").repeat(100),
            );
        }
        let link = self.path(dir).join("link");
        let _ = fs::remove_file(&link);
        symlink(generation, link).unwrap();
        let closed = self.path(dir).join("part-0");
        fs::set_permissions(closed, fs::Permissions::from_mode(0o555)).unwrap();
    }
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

/// An old workdir, then a project that changed.
fn old_workdir(place: &Place) {
    place.fill("demo/data", "old");
    place.fill("res", "old");
    let more = ["--resources-dir", "res"];
    place.fake.create(&more).success();
    place.fill("demo/data", "new");
    place.fill("res", "new");
}

pub const FROM_HOST: Subject = Subject {
    command: "create-workdir-from-host",
    args: |_| owned(&[&CREATE[..], &["--resources-dir", "res"]].concat()),
    prepare: old_workdir,
    target: "W",
    parts: &["project", "resources", "helpers"],
    untouched: &["demo", "res"],
    removes_itself: false,
    from: "pixi-offline-lock",
};

const FROM_CONTAINER: Subject = Subject {
    command: "create-workdir-from-container",
    args: |place| {
        let (project, resources) = (place.path("demo"), place.path("res"));
        let inside = place.sandbox().root().join("in-container");
        owned(&[
            "--container-id",
            "c1",
            "--project-path-in-container",
            project.to_str().unwrap(),
            "--resources-path-in-container",
            resources.to_str().unwrap(),
            "--container-workdir-path",
            inside.to_str().unwrap(),
            "--workdir",
            "W",
        ])
    },
    ..FROM_HOST
};

/// What create-workdir-from-container does in the container, by itself there.
const INSIDE: Subject = Subject {
    command: "create-workdir-from-container",
    args: |place| {
        let order = json!({"stage": {
            "project": place.path("demo"), "resources": place.path("res"),
            "workdir": place.path("W"), "name": "demo", "excludes": [],
            "secrets": "warn", "known_secrets": [], "reuse_cache": false,
        }});
        owned(&["--inside-container", &order.to_string()])
    },
    prepare: |place| {
        place.fill("demo/data", "old");
        place.fill("res", "old");
        Run::of(&mut place.command(&INSIDE)).success();
        place.fill("demo/data", "new");
        place.fill("res", "new");
    },
    target: "W",
    // The directory may be a mount point, which cannot be exchanged: it is emptied
    // and filled. The next run must accept what is left.
    parts: &[],
    untouched: &["demo", "res"],
    removes_itself: true,
    from: "workdir.json",
};

pub const PRODUCT: Subject = Subject {
    command: "make-archive-ready-product",
    args: |_| owned(&["--workdir", "W", "--cache", "full", "--env", "A=1"]),
    prepare: |place| {
        place.sandbox().write("W/project/demo/pixi.toml", "");
        place.sandbox().write("W/project/demo/pixi.lock", LOCK);
        fs::create_dir_all(place.path("W/out")).unwrap();
        let fill = |text: &str| {
            for dir in [
                "project/demo/data",
                "resources/data",
                "pixi-cache/pkgs/a-1-0",
            ] {
                place.fill(&format!("W/{dir}"), text);
            }
        };
        fill("old");
        Run::of(&mut place.command(&PRODUCT)).success();
        fill("new");
    },
    target: "W/product",
    parts: &["."],
    untouched: &["W/project", "W/resources", "W/pixi-cache"],
    removes_itself: false,
    from: "pixi-offline-lock",
};

const FINAL: Subject = Subject {
    command: "final-verify-product",
    args: |_| {
        "--image img:1 --product-dir W/product --out-dir O --attach"
            .split(' ')
            .map(str::to_owned)
            .collect()
    },
    prepare: |place| {
        (PRODUCT.prepare)(place);
        Run::of(&mut place.command(&FINAL)).success();
    },
    // Logs are written where they are; the product is what must stay.
    target: "O",
    parts: &[],
    untouched: &["W"],
    removes_itself: false,
    from: "pixi-offline-lock",
};

/// The whole way: the workdir is replaced around a product that has passed.
const ALL: Subject = Subject {
    command: "build-offline-product",
    args: |_| {
        "--image img:1 --project-dir demo --resources-dir res --workdir W --verify-task t --cache full"
            .split(' ')
            .map(str::to_owned)
            .collect()
    },
    prepare: |place| {
        for generation in ["old", "new"] {
            place.fill("demo/data", generation);
            place.fill("res", generation);
            if generation == "old" {
                Run::of(&mut place.command(&ALL)).success();
            }
        }
    },
    target: "W/product",
    parts: &["."],
    untouched: &["demo", "res"],
    removes_itself: false,
    from: "pixi-offline-lock",
};

/// An update in the place of an older one.
pub const UPDATE: Subject = Subject {
    command: "make-product-update",
    args: |_| owned(&[&USUAL[..], &["--force"]].concat()),
    prepare: |place| {
        (PRODUCT.prepare)(place);
        fs::rename(place.path("W/product"), place.path("OLD")).unwrap();
        for generation in ["newer", "newest"] {
            place.fill("W/project/demo/data", generation);
            Run::of(&mut place.command(&PRODUCT)).success();
            if generation == "newer" {
                Run::of(&mut place.command(&UPDATE)).success();
            }
        }
    },
    target: "U",
    parts: &["."],
    untouched: &["OLD", "W"],
    removes_itself: false,
    // Reading is in it, too.
    from: "manifest.json",
};

/// What of a product has the times of runs in it.
const TIMED: [&str; 3] = ["provenance.json", "verification.json", "report.html"];

/// The state of what is replaced, and of what must stay.
pub fn state(place: &Place, subject: &Subject) -> (Tree, Tree) {
    let mut replaced = tree(&place.path(subject.target), subject.parts);
    let mut stays = tree(&place.path(""), subject.untouched);
    for tree in [&mut replaced, &mut stays] {
        tree.retain(|path, _| !TIMED.iter().any(|name| path.ends_with(name)));
        // A file that is being written beside another is swept by the next run.
        tree.retain(|path, _| !path.to_string_lossy().contains("/.pixi-offline-new-"));
    }
    (replaced, stays)
}

/// One fault: what is there then, and after the next run.
fn one(subject: &Subject, point: &crate::faults::injection::Point, fault: Fault) -> bool {
    let place = Place::new();
    (subject.prepare)(&place);
    let (old, untouched) = state(&place, subject);
    let (output, came) = inject(&place.command(subject), &place.log(), point, fault);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let case = point.case(subject.command, fault, &output);
    let (after, still) = state(&place, subject);
    assert_eq!(still, untouched, "{case}");
    if subject.command == ALL.command {
        require_passed(&place, &case);
    }
    // What a killed command leaves writing to nobody, the scripted docker for example, is not
    // what is looked at.
    let is_killed = matches!(fault, Fault::Kill);
    assert!(!came || is_killed || !stderr.contains("panicked"), "{case}");

    let next = Run::of(&mut place.command(subject));
    assert_eq!(next.code, 0, "{case}\nthe next run: {next}");
    let (new, still) = state(&place, subject);
    assert_eq!(still, untouched, "{case}");
    assert!(
        after == old || after == new,
        "a mixture: {case}\n{:?}",
        differing(&after, &old, &new)
    );
    if output.status.success() {
        assert_eq!(after, new, "{case}");
    } else if came && !matches!(fault, Fault::Kill) && !is_stderr_broken(&place) {
        assert!(stderr.contains("ERROR: "), "{case}");
    }
    assert_eq!(temporaries(&place.path("")), [] as [&Path; 0], "{case}");
    came
}

/// Whether the fault also met a line for the person: each thread counts its calls, so the one
/// that reports an error may meet it as well as the one that has the error.
fn is_stderr_broken(place: &Place) -> bool {
    let trace = fs::read(place.log()).unwrap_or_default();
    let trace = String::from_utf8_lossy(&trace).into_owned();
    trace
        .lines()
        .any(|line| line.contains(" write(2, ") && line.contains("(INJECTED)"))
}

/// The product is there, whole, with the record that it passed.
fn require_passed(place: &Place, case: &str) {
    let product = place.path("W/product");
    let record = fs::read_to_string(product.join("verification.json"));
    let record = record.unwrap_or_else(|error| panic!("{error}: {case}"));
    assert!(
        record.contains("\"outcome\": \"passed\""),
        "{case}\n{record}"
    );
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "SHA256SUMS"]);
    assert_eq!(Run::of(check.current_dir(product)).code, 0, "{case}");
}

/// The paths in which a tree is neither the one nor the other.
fn differing<'a>(tree: &'a Tree, old: &'a Tree, new: &'a Tree) -> [Vec<&'a Path>; 2] {
    [old, new].map(|other| {
        tree.keys()
            .chain(other.keys())
            .filter(|path| tree.get(*path) != other.get(*path))
            .map(PathBuf::as_path)
            .take(5)
            .collect()
    })
}

/// Every fault at points all over a run, on two threads.
fn all_over(test: &str, subject: &Subject) {
    let count = usize::try_from(testbed::cases(30, 100)).unwrap();
    let place = Place::new();
    (subject.prepare)(&place);
    let points = points(&place.command(subject), &place.log(), subject.from, count);
    let cases: Vec<_> = points
        .iter()
        .flat_map(|point| Fault::ALL.map(|fault| (point, fault)))
        .collect();
    let next = AtomicUsize::new(0);
    let came = Mutex::new(0_usize);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((point, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if one(subject, point, *fault) {
                        *came.lock().unwrap() += 1;
                    }
                }
            });
        }
    });
    let came = came.into_inner().unwrap();
    let all = cases.len();
    eprintln!("{}: {came} of {all} faults came", subject.command);
    assert!(came * 10 >= all * 8, "only {came} of {all} faults came");
    testbed::ran(test, came as u64);
}

#[test]
fn a_workdir_from_the_host_is_the_old_or_the_new_one_after_any_fault() {
    all_over(
        "a_workdir_from_the_host_is_the_old_or_the_new_one_after_any_fault",
        &FROM_HOST,
    );
}

#[test]
fn a_workdir_from_a_container_is_the_old_or_the_new_one_after_any_fault() {
    all_over(
        "a_workdir_from_a_container_is_the_old_or_the_new_one_after_any_fault",
        &FROM_CONTAINER,
    );
}

#[test]
fn a_workdir_in_a_container_is_accepted_by_the_next_run_after_any_fault() {
    all_over(
        "a_workdir_in_a_container_is_accepted_by_the_next_run_after_any_fault",
        &INSIDE,
    );
}

#[test]
fn a_product_is_the_old_or_the_new_one_after_any_fault() {
    all_over(
        "a_product_is_the_old_or_the_new_one_after_any_fault",
        &PRODUCT,
    );
}

#[test]
fn an_update_is_the_old_or_the_new_one_after_any_fault() {
    all_over(
        "an_update_is_the_old_or_the_new_one_after_any_fault",
        &UPDATE,
    );
}

#[test]
fn a_verified_product_is_what_it_was_after_any_fault() {
    all_over("a_verified_product_is_what_it_was_after_any_fault", &FINAL);
}

/// The last product that passed, until a new one has: whatever the moment, `product/` holds
/// one that passed, the old or the new.
#[test]
fn a_product_that_has_passed_is_the_old_or_the_new_one_after_any_fault() {
    all_over(
        "a_product_that_has_passed_is_the_old_or_the_new_one_after_any_fault",
        &ALL,
    );
}
