//! An archive that is replaced: its list of digests is there only when it is whole.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testbed::sandbox::{Run, binary, names};

use crate::faults::injection::{Fault, held_input, inject, points};
use crate::faults::tree::tree;
use crate::package_cache::Workdir;

/// A way to pack: the arguments before the product, the archive, and the script that tells whether
/// what a list names is there, whole.
pub struct Form {
    args: &'static [&'static str],
    pub file: &'static str,
    check: &'static str,
}

pub const FORMS: [Form; 3] = [
    Form {
        args: &[],
        file: "demo.tar",
        check: "sha256sum -c --quiet demo.tar.sha256",
    },
    Form {
        args: &[],
        file: "demo.tar.zst",
        check: "sha256sum -c --quiet demo.tar.zst.sha256",
    },
    Form {
        args: &["--split", "1M"],
        file: "demo.tar.gz",
        check: "sha256sum -c --quiet demo.tar.gz.parts.sha256 && sh join.sh && rm demo.tar.gz",
    },
];

/// A product that changed since it was packed into `before/`.
pub struct Place {
    workdir: Workdir,
}

impl Place {
    pub fn new(form: &Form) -> Place {
        let place = Place {
            workdir: Workdir::new(),
        };
        for generation in [1_u32, 2] {
            // What no compression makes smaller than a part.
            let noise: Vec<u8> = (0..3_000_000_u32)
                .map(|at| (at.wrapping_add(generation).wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect();
            let file = "W/project/demo/noise";
            place.workdir.sandbox.write(file, noise);
            place.workdir.make(&[]).success();
            fs::create_dir_all(place.path("carry")).unwrap();
            if generation == 1 {
                Run::of(&mut place.pack(form)).success();
                place.sh(".", "cp -a carry before").success();
            }
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.workdir.sandbox.work().join(name)
    }

    pub fn pack(&self, form: &Form) -> Command {
        let mut command = self.workdir.sandbox.program(binary("pack-product"));
        let file = format!("carry/{}", form.file);
        command.args(form.args);
        command.args(["--force", "W/product", &file]);
        command.stdin(held_input());
        command
    }

    pub fn sh(&self, dir: &str, script: &str) -> Run {
        let mut command = self.workdir.sandbox.program("sh");
        Run::of(command.args(["-ec", script]).current_dir(self.path(dir)))
    }

    pub fn log(&self) -> PathBuf {
        self.workdir.sandbox.root().join("trace")
    }

    fn carried(&self) -> Vec<String> {
        names(&self.path("carry"))
    }
}

/// Every fault at points all over a run with one form of archive.
fn all_over(form: &Form) -> (usize, usize) {
    let place = Place::new(form);
    let log = place.log();
    let count = usize::try_from(testbed::cases(12, 60)).unwrap();
    let points = points(&place.pack(form), &log, ".incomplete", count);
    let new = tree(&place.path("carry"), &["."]);
    let product = tree(&place.path("W"), &["product"]);
    let (mut came, mut all) = (0, 0);
    for point in &points {
        for fault in Fault::ALL {
            place
                .sh(".", "rm -rf carry && cp -a before carry")
                .success();
            let (output, hit) = inject(&place.pack(form), &log, point, fault);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let case = point.case(form.file, fault, &output);
            (came, all) = (came + usize::from(hit), all + 1);
            let is_listed = place
                .path("carry")
                .join(format!("{}.sha256", form.file))
                .exists();
            if is_listed {
                let check = place.sh("carry", form.check);
                assert_eq!(check.code, 0, "{case}\n{check}");
            }
            if output.status.success() {
                assert!(is_listed, "{case}");
            } else if hit && !matches!(fault, Fault::Kill) && !is_stderr_broken(&log) {
                assert!(stderr.contains("ERROR: "), "{case}");
                assert!(!stderr.contains("panicked"), "{case}");
                let carried = place.carried();
                let left = carried.iter().any(|name| name.contains(".incomplete"));
                // What removes it may meet the fault, too.
                let may_stay = point.call.contains("unlink") || point.call.contains("dir");
                assert!(!left || may_stay, "{case}\n{carried:?}");
            }
            let next = Run::of(&mut place.pack(form));
            assert_eq!(next.code, 0, "{case}\nthe next run: {next}");
            assert!(tree(&place.path("carry"), &["."]) == new, "{case}");
        }
    }
    assert!(tree(&place.path("W"), &["product"]) == product);
    (came, all)
}

/// Whether the fault also met a line for the person.
fn is_stderr_broken(log: &std::path::Path) -> bool {
    let trace = fs::read(log).unwrap_or_default();
    let trace = String::from_utf8_lossy(&trace).into_owned();
    trace
        .lines()
        .any(|line| line.contains(" write(2, ") && line.contains("(INJECTED)"))
}

#[test]
fn an_archive_whose_list_is_there_is_whole_after_any_fault() {
    let (mut came, mut all) = (0, 0);
    for form in &FORMS {
        let (hit, tried) = all_over(form);
        (came, all) = (came + hit, all + tried);
    }
    eprintln!("pack-product: {came} of {all} faults came");
    assert!(came * 10 >= all * 7, "only {came} of {all} faults came");
    testbed::ran(
        "an_archive_whose_list_is_there_is_whole_after_any_fault",
        came as u64,
    );
}

/// As the commands that pack what they have made: the product stays, and the command to go on with
/// is one that succeeds.
#[test]
fn a_product_stays_where_its_archive_cannot_be_written() {
    let place = Place::new(&FORMS[0]);
    let mut make = place
        .workdir
        .sandbox
        .program(binary("make-archive-ready-product"));
    make.args(["--workdir", "W", "--archive", "packed.tar"]);
    make.stdin(held_input());
    let log = place.log();
    let point = points(&make, &log, "packed.tar.incomplete", 20).remove(10);
    for file in ["packed.tar", "packed.tar.sha256"] {
        fs::remove_file(place.path(file)).unwrap();
    }
    let (output, came) = inject(&make, &log, &point, Fault::Full);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(came && !output.status.success(), "{point:?}\n{stderr}");
    assert!(stderr.contains("OK: product created at"), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert!(!place.path("packed.tar").exists(), "{stderr}");
    place
        .sh("W/product", "sha256sum -c --quiet SHA256SUMS")
        .success();
    let mut pack = place.workdir.sandbox.program(binary("pack-product"));
    Run::of(pack.args(["W/product", "packed.tar"])).success();
}
