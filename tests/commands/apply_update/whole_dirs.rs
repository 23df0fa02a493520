//! Directories that both products have with the same in them, which are copied as a whole.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use testbed::sandbox::{Run, names};

use super::{Delivery, copy, same};
use crate::make_product_update::USUAL;
use crate::make_product_update::by_form::{fields, plan_of, tree};
use crate::package_cache::Workdir;

/// The directory of the project that stays as it is, and how many files it has at least.
const KEPT: &str = "demo/kept";
const FILES: u64 = 40;

/// Products with a directory of every kind of thing, of which the newer one has other times.
fn delivery() -> Delivery {
    let workdir = Workdir::new();
    let sandbox = &workdir.sandbox;
    let top = Path::new("W/project").join(KEPT);
    for number in 0..FILES {
        sandbox.write(top.join(format!("deep/er/{number}")), number.to_string());
    }
    for name in [
        &b"odd\xff\n\\ name"[..],
        b"-f",
        b"two  spaces",
        b"a\ttab",
        b"one\x01",
        b"percent%41",
    ] {
        let dir = top.join("odd").join(OsStr::from_bytes(name));
        sandbox.write(dir.join(OsStr::from_bytes(name)), name);
    }
    sandbox.write(top.join("nothing"), "");
    sandbox.write(top.join("closed/file"), "closed");
    sandbox.write(
        top.join("unlisted/file"),
        "in a directory that cannot be listed",
    );
    let inner = |path: &str| sandbox.work().join(&top).join(path);
    fs::create_dir(inner("empty")).unwrap();
    symlink("deep/er", inner("link")).unwrap();
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(inner(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("closed", 0o555);
    mode("closed/file", 0o444);
    mode("unlisted", 0o300);
    workdir.make(&[]).success();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();
    for number in 0..FILES {
        let file = fs::File::open(inner(&format!("deep/er/{number}"))).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000 + number);
        file.set_times(fs::FileTimes::new().set_modified(time))
            .unwrap();
    }
    sandbox.write("W/project/demo/main.py", "print(2)");
    workdir.make(&[]).success();
    Delivery::of(workdir)
}

fn paths(file: &Path) -> Vec<PathBuf> {
    let path = |field: Vec<u8>| PathBuf::from(OsStr::from_bytes(&field));
    fields(file).into_iter().map(path).collect()
}

/// Both products as they should be, and nothing else but an old one that was changed.
#[track_caller]
fn is_applied(delivery: &Delivery, run: &Run) {
    run.success();
    delivery.is_new("opt/weather");
    let kept = delivery.kept("weather");
    assert_eq!(names(&delivery.path("opt")), ["weather", &kept], "{run}");
    fs::remove_dir_all(delivery.path("opt")).unwrap();
    delivery.deliver("opt/weather");
}

#[test]
fn a_directory_that_stays_is_copied_with_everything_in_it_and_gets_its_modes_and_times() {
    let delivery = delivery();
    let plan = plan_of(&delivery.path("U"), &delivery.path("OLD"));
    let trees = paths(&plan.join("trees"));
    let kept = Path::new(KEPT);
    // One in which nothing can be listed is none, so what it is in is none.
    assert!(
        !trees.iter().any(|tree| kept.starts_with(tree)),
        "{trees:?}"
    );
    for inner in ["deep", "odd", "closed"] {
        assert!(trees.contains(&kept.join(inner)), "{inner}: {trees:?}");
    }
    let times = delivery
        .new
        .iter()
        .filter(|(path, _)| path.starts_with(kept.join("deep/er")));
    let times: std::collections::BTreeSet<i64> = times.map(|(_, entry)| entry.2).collect();
    assert!(times.len() as u64 >= FILES, "{times:?}");
    is_applied(&delivery, &delivery.apply(&["opt/weather"]));
    is_applied(&delivery, &delivery.apply(&["--hard-links", "opt/weather"]));
}

#[test]
fn what_was_added_to_such_a_directory_is_not_copied_and_what_it_lacks_is_made() {
    let delivery = delivery();
    let kept = delivery.path("opt/weather").join(KEPT);
    let cached = delivery
        .old
        .keys()
        .find(|path| path.ends_with("bin/tool"))
        .unwrap();
    let cached = delivery.path("opt/weather").join(cached);
    let pipe = |path: PathBuf| {
        Run::of(std::process::Command::new("mkfifo").arg(path)).success();
    };
    fs::write(kept.join("deep/er/added"), "mine").unwrap();
    pipe(kept.join("deep/pipe"));
    fs::create_dir(kept.join("odd/added")).unwrap();
    pipe(cached.with_file_name("pipe"));
    fs::remove_dir(kept.join("empty")).unwrap();
    let run = delivery.apply(&["opt/weather"]);
    run.success()
        .says("3 files and directories were added")
        .says("added: demo/kept/deep/er/added")
        .says("1 file or directory in pkg-cache/");
    is_applied(&delivery, &run);
    // With hard links, path by path.
    fs::write(kept.join("deep/er/added"), "mine").unwrap();
    let run = delivery.apply(&["--hard-links", "opt/weather"]);
    run.says("added: demo/kept/deep/er/added");
    is_applied(&delivery, &run);
}

#[test]
fn what_such_a_directory_lacks_or_has_otherwise_is_named_before_anything_is_written() {
    let delivery = delivery();
    let top = delivery.path("opt/weather");
    let inner = |name: &str| {
        let found = delivery.old.iter().find(|(path, entry)| {
            path.starts_with("pkg-cache") && path.ends_with(name) && entry.0 != 0
        });
        found.unwrap().0.clone()
    };
    let cached = inner("bin/tool");
    let kept = Path::new(KEPT);
    let changes: [(&str, PathBuf); 5] = [
        ("removed", cached.clone()),
        ("other bytes", cached),
        ("removed", kept.join("deep/er/7")),
        ("pipe", kept.join("nothing")),
        ("link", kept.join("link")),
    ];
    for (change, path) in changes {
        let file = top.join(&path);
        fs::remove_file(&file).unwrap();
        match change {
            "other bytes" => fs::write(&file, "of another length").unwrap(),
            "pipe" => {
                Run::of(std::process::Command::new("mkfifo").arg(&file)).success();
            }
            "link" => symlink("elsewhere", &file).unwrap(),
            _ => {}
        }
        let named = format!("or not as it was delivered: {}\n", path.display());
        for words in [&["opt/weather"][..], &["--check", "opt/weather"]] {
            let run = delivery.apply(words);
            run.code(2).says("nothing was changed").says(&named);
            let count = run.stderr.matches("or not as it was delivered").count();
            assert_eq!(count, 1, "{run}");
            assert_eq!(names(&delivery.path("opt")), ["weather"], "{run}");
        }
        fs::remove_dir_all(&top).unwrap();
        delivery.deliver("opt/weather");
    }
}

#[test]
fn a_pipe_in_the_place_of_a_cached_file_ends_the_run_and_nothing_is_left() {
    let delivery = delivery();
    let empty = delivery.old.iter().find(|(path, entry)| {
        path.starts_with("pkg-cache") && entry.0 & 0o170_000 == 0o100_000 && entry.1.is_empty()
    });
    let (path, entry) = empty.expect("no empty file in the cache");
    let file = delivery.path("opt/weather").join(path);
    fs::remove_file(&file).unwrap();
    Run::of(std::process::Command::new("mkfifo").arg(&file)).success();
    let time = format!("@{}", entry.2);
    Run::of(
        std::process::Command::new("touch")
            .args(["-d", &time])
            .arg(&file),
    )
    .success();
    // Which end it takes depends on whether its mode tells; it waits for no writer.
    let run = delivery.apply(&["opt/weather"]);
    assert!(run.code == 1 || run.code == 2, "{run}");
    run.says(path.to_str().unwrap());
    assert_eq!(names(&delivery.path("opt")), ["weather"], "{run}");
}

#[test]
fn what_is_copied_as_a_whole_is_below_real_directories() {
    let delivery = delivery();
    let top = delivery.path("opt/weather");
    let deep = top.join(KEPT).join("deep");
    fs::rename(&deep, delivery.path("opt/elsewhere")).unwrap();
    symlink("../../../elsewhere", &deep).unwrap();
    delivery.refuses(&["opt/weather"], 2, &["and no directory: demo/kept/deep\n"]);
}

#[test]
fn more_files_than_a_batch_has_are_applied_where_a_command_may_have_few_words() {
    let workdir = Workdir::new();
    let sandbox = &workdir.sandbox;
    let long = "n".repeat(150);
    for number in 0..5_100 {
        sandbox.write(format!("W/resources/{}/{long}-{number}", number % 7), "");
    }
    workdir.make(&[]).success();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();
    sandbox.write("W/resources/3/new", "new");
    workdir.make(&[]).success();
    workdir.update(&USUAL).success();
    copy(&workdir.path("OLD"), &workdir.path("opt/weather"));
    let script = "ulimit -s 512; exec bash U/apply-update.sh opt/weather";
    Run::of(sandbox.program("bash").args(["-c", script])).success();
    same(
        &tree(&workdir.path("opt/weather")),
        &tree(&workdir.path("W/product")),
    );
}

#[test]
fn an_old_bash_applies_as_a_new_one() {
    let Some(bash) = std::env::var_os("PIXI_OFFLINE_BASH_4_2") else {
        return testbed::skip(
            "whole_dirs::an_old_bash_applies_as_a_new_one",
            "PIXI_OFFLINE_BASH_4_2 names no bash of 4.2",
        );
    };
    let delivery = delivery();
    let run = |words: &[&str]| {
        let mut command = delivery.workdir.sandbox.program(&bash);
        Run::of(command.arg("U/apply-update.sh").args(words))
    };
    is_applied(&delivery, &run(&["opt/weather"]));
    let added = delivery.path("opt/weather").join(KEPT).join("deep/added\n");
    fs::write(&added, "mine").unwrap();
    let applied = run(&["--hard-links", "opt/weather"]);
    applied.says(r"added: $'demo/kept/deep/added\n'");
    is_applied(&delivery, &applied);
    fs::write(&added, "mine").unwrap();
    is_applied(&delivery, &run(&["opt/weather"]));
    fs::remove_file(delivery.path("opt/weather").join(KEPT).join("nothing")).unwrap();
    run(&["opt/weather"])
        .code(2)
        .says("delivered: demo/kept/nothing");
}
