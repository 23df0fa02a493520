//! What is refused, before anything is written.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use testbed::sandbox::{Run, words};

use super::{Delivery, copy, list_anew};
use crate::make_product_update::by_form::{fields, groups, plan_of, product_digest, tree};

#[test]
fn an_update_that_was_changed_is_refused_by_the_name_of_what_changed() {
    let delivery = Delivery::new();
    let update = delivery.path("U");
    let files: Vec<_> = tree(&update)
        .into_iter()
        .filter(|(path, entry)| {
            entry.0 & 0o170_000 == 0o100_000 && path != Path::new("apply-update.sh")
        })
        .collect();
    assert!(files.len() > 20, "{}", files.len());
    for (path, (_, bytes, _)) in &files {
        let name = path.to_str().unwrap();
        let file = update.join(path);
        let expected = if name == "SHA256SUMS" {
            "SHA256SUMS"
        } else {
            name
        };
        for change in ["added byte", "removed", "link", "pipe", "directory"] {
            fs::remove_file(&file).unwrap();
            match change {
                "added byte" => fs::write(&file, [bytes, b"x".as_slice()].concat()).unwrap(),
                "link" => symlink("/dev/zero", &file).unwrap(),
                "pipe" => {
                    Run::of(std::process::Command::new("mkfifo").arg(&file)).success();
                }
                "directory" => fs::create_dir(&file).unwrap(),
                _ => {}
            }
            delivery.refuses(&["opt/weather"], 1, &["ERROR: ", expected]);
            match change {
                "removed" => {}
                "directory" => fs::remove_dir(&file).unwrap(),
                _ => fs::remove_file(&file).unwrap(),
            }
            fs::write(&file, bytes).unwrap();
        }
    }
    // What is added anywhere.
    for added in words(
        "x .hidden files/x files/00/x plan/x product/x product/envs.sh plan/0123456789ab/kept",
    ) {
        delivery.workdir.sandbox.write(format!("U/{added}"), "");
        delivery.refuses(&["opt/weather"], 1, &["added to the update: ", added]);
        fs::remove_file(update.join(added)).unwrap();
        // A directory that was made for it.
        let _ = fs::remove_dir(update.join(added).parent().unwrap());
    }
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
}

#[test]
fn lines_that_no_update_has_are_refused_before_a_file_is_read() {
    let delivery = Delivery::new();
    let sums = delivery.path("U/SHA256SUMS");
    let text = fs::read_to_string(&sums).unwrap();
    let zero = "0".repeat(64);
    for line in [
        format!("{zero}  /dev/zero"),
        format!("{zero}  ../../etc/passwd"),
        format!("{zero}  files/../../x"),
        format!("{zero}  plan/facts"),
        format!("{zero}  files/00/{zero}x"),
        format!("{zero}  plan/[a]/kept"),
        format!("{zero}  -x"),
        format!("\\{zero}  a\\nb"),
        format!("{zero} *README.txt"),
        "$(touch opt/evil)".to_owned(),
        String::new(),
    ] {
        fs::write(&sums, format!("{text}{line}\n")).unwrap();
        delivery.refuses(
            &["opt/weather"],
            1,
            &["SHA256SUMS of the update has a line that no update has"],
        );
    }
    fs::write(&sums, "").unwrap();
    delivery.refuses(&["opt/weather"], 1, &["the update lacks "]);
}

/// Changes a list of the plan, and the update's own list with it.
fn with_list(
    delivery: &Delivery,
    list: &str,
    change: impl Fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>,
) -> Vec<u8> {
    let base = plan_of(&delivery.path("U"), &delivery.path("OLD"));
    let file = match list.strip_prefix("base/") {
        Some(list) => base.join(list),
        None => delivery.path("U/plan").join(list),
    };
    let before = fs::read(&file).unwrap();
    let fields = before
        .split(|byte| *byte == 0)
        .map(<[u8]>::to_vec)
        .collect::<Vec<_>>();
    let fields = change(fields[..fields.len() - 1].to_vec());
    let mut after: Vec<u8> = Vec::new();
    for field in fields {
        after.extend(field);
        after.push(0);
    }
    fs::write(&file, after).unwrap();
    list_anew(&delivery.path("U"));
    before
}

#[test]
fn a_plan_that_leads_out_of_the_product_is_refused() {
    let delivery = Delivery::new();
    let base = plan_of(&delivery.path("U"), &delivery.path("OLD"));
    let add = |record: &'static [&'static [u8]]| {
        move |mut fields: Vec<Vec<u8>>| {
            fields.extend(record.iter().map(|field| field.to_vec()));
            fields
        }
    };
    let cases: [(&str, &'static [&'static [u8]]); 25] = [
        ("paths", &[b"../evil"]),
        ("paths", &[b"/tmp/evil"]),
        ("paths", &[b"demo/../../evil"]),
        ("paths", &[b"demo//evil"]),
        ("paths", &[b"nowhere/evil"]),
        ("paths", &[b"demo/pixi.toml"]),
        ("paths", &[b"demo"]),
        ("paths", &[b"demo/link/evil"]),
        ("paths", &[b""]),
        ("paths", &[b"@"]),
        ("dirs", &[b".."]),
        ("dirs", &[b"demo"]),
        ("dirs", &[b"nowhere/dir"]),
        ("dirs", &[b"/tmp/evil"]),
        ("dirs", &[b"demo/link"]),
        ("dirs", &[b"*"]),
        ("links", &[b"demo/pixi.toml", b"/etc/passwd"]),
        ("links", &[b"../evil", b"/etc/passwd"]),
        ("links", &[b"demo", b"/etc"]),
        ("base/kept", &[b"../OLD/envs.sh"]),
        ("base/in-trees", &[b"../OLD/envs.sh"]),
        ("base/trees", &[b"../OLD"]),
        ("base/dirs", &[b"../evil"]),
        ("base/renamed", &[b"../../OLD/envs.sh", b"demo/main.py"]),
        ("base/moved", &[b"../OLD", b"demo", b"envs.sh", b""]),
    ];
    for (list, record) in cases {
        let before = with_list(&delivery, list, add(record));
        let shown = String::from_utf8_lossy(record[0]).into_owned();
        let run = delivery.refuses(&["opt/weather"], 1, &["ERROR: "]);
        assert!(run.stderr.contains("plan"), "{list} {shown}: {run}");
        let file = list
            .strip_prefix("base/")
            .map_or(delivery.path("U/plan").join(list), |list| base.join(list));
        fs::write(file, before).unwrap();
    }
    // A source behind a link, with as many entries as before.
    let before = with_list(&delivery, "base/renamed", |mut fields| {
        fields[0] = b"../OLD/demo/old name".to_vec();
        fields
    });
    delivery.refuses(&["opt/weather"], 1, &["in the plan of the update: ../OLD"]);
    fs::write(base.join("renamed"), before).unwrap();
    // A directory twice, counted right.
    let kept = ["dirs", "facts"].map(|list| (list, fs::read(delivery.path("U/plan").join(list))));
    let stats = delivery.path("U/plan/dir-stats");
    let modes = fs::read_to_string(&stats).unwrap();
    fs::write(&stats, format!("{modes}41ed\n")).unwrap();
    with_list(&delivery, "dirs", add(&[b"demo"]));
    with_list(&delivery, "facts", |mut fields| {
        let at = fields
            .iter()
            .position(|field| field == b"directories")
            .unwrap()
            + 1;
        let count: usize = String::from_utf8_lossy(&fields[at]).parse().unwrap();
        fields[at] = (count + 1).to_string().into_bytes();
        fields
    });
    delivery.refuses(
        &["opt/weather"],
        1,
        &["has a path more than once, or not in its order"],
    );
    fs::write(&stats, modes).unwrap();
    for (list, before) in kept {
        fs::write(delivery.path("U/plan").join(list), before.unwrap()).unwrap();
    }
    // A number that is a program.
    let before = with_list(&delivery, "facts", |mut fields| {
        let place = fields.iter().position(|field| field == b"bytes").unwrap();
        fields[place + 1] = b"a[$(touch opt/evil)]".to_vec();
        fields
    });
    delivery.refuses(&["opt/weather"], 1, &["no number for 'bytes'"]);
    fs::write(delivery.path("U/plan/facts"), before).unwrap();
    list_anew(&delivery.path("U"));
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
}

#[test]
fn files_of_the_old_product_that_are_missing_or_differ_are_all_named_before_anything_is_written() {
    let delivery = Delivery::new();
    let target = delivery.path("opt/weather");
    fs::write(target.join("demo/pixi.lock"), "mine").unwrap();
    fs::remove_file(target.join("demo/-f")).unwrap();
    fs::remove_file(target.join("demo/program")).unwrap();
    symlink("/dev/zero", target.join("demo/program")).unwrap();
    fs::write(target.join("res/model.bin"), "x".repeat(5)).unwrap();
    let run = delivery.refuses(
        &["opt/weather"],
        2,
        &["is not as it was delivered", "nothing was changed"],
    );
    for name in ["demo/pixi.lock", "demo/-f", "demo/program", "res/model.bin"] {
        run.says(&format!("or not as it was delivered: {name}\n"));
    }
    // --check says the same.
    delivery.refuses(&["--check", "opt/weather"], 2, &["demo/pixi.lock"]);
    // A directory of it that became a link, and a link that leads elsewhere.
    fs::remove_dir_all(&target).unwrap();
    delivery.deliver("opt/weather");
    fs::rename(target.join("pkg-cache"), delivery.path("opt/elsewhere")).unwrap();
    symlink("../elsewhere", target.join("pkg-cache")).unwrap();
    delivery.refuses(&["opt/weather"], 2, &["and no directory: pkg-cache"]);
    fs::remove_file(target.join("pkg-cache")).unwrap();
    fs::rename(delivery.path("opt/elsewhere"), target.join("pkg-cache")).unwrap();
    let link = delivery
        .old
        .iter()
        .find(|(path, entry)| path.starts_with("pkg-cache") && entry.1 == b"tool");
    let link = link.unwrap().0;
    fs::remove_file(target.join(link)).unwrap();
    symlink("/etc/passwd", target.join(link)).unwrap();
    delivery.refuses(&["opt/weather"], 2, &[link.to_str().unwrap()]);
}

#[test]
fn many_are_a_screenful_and_a_number() {
    let delivery = Delivery::new();
    for (path, (mode, ..)) in &delivery.old {
        if mode & 0o170_000 == 0o100_000 && path != Path::new("SHA256SUMS") {
            fs::remove_file(delivery.path("opt/weather").join(path)).unwrap();
        }
    }
    let plan = plan_of(&delivery.path("U"), &delivery.path("OLD"));
    let moved = groups(&plan.join("moved")).into_iter().flat_map(|group| {
        let from = group[0].clone();
        let paths = group.into_iter().skip(2);
        paths.map(move |path| [&from[..], b"/", &path].concat())
    });
    let renamed = fields(&plan.join("renamed")).into_iter().step_by(2);
    let kept = ["kept", "in-trees"].map(|list| fields(&plan.join(list)));
    let needed: BTreeSet<_> = kept
        .into_iter()
        .flatten()
        .chain(moved)
        .chain(renamed)
        .collect();
    let is_file = |path: &&Vec<u8>| {
        let entry = delivery.old.get(Path::new(OsStr::from_bytes(path)));
        entry.is_some_and(|(mode, ..)| mode & 0o170_000 == 0o100_000)
    };
    let gone = needed.iter().filter(is_file).count();
    assert!(gone > 21, "{gone}");
    let run = delivery.refuses(&["opt/weather"], 2, &[&format!(": {} more\n", gone - 20)]);
    assert_eq!(
        run.stderr.matches("or not as it was delivered: ").count(),
        21,
        "{run}"
    );
}

#[test]
fn bytes_that_changed_under_the_same_size_and_time_are_found_in_what_was_made() {
    let delivery = Delivery::new();
    let path = delivery
        .old
        .keys()
        .find(|path| path.starts_with("pkg-cache") && path.ends_with("bin/tool"))
        .unwrap();
    let file = delivery.path("opt/weather").join(path);
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "tOOl").unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(time)
        .unwrap();
    let name = path.to_str().unwrap();
    delivery.refuses(
        &["opt/weather"],
        1,
        &[
            name,
            "so it was removed",
            "is as it was",
            "U/apply-update.sh --check /",
        ],
    );
    // What only looks reads everything.
    delivery.refuses(
        &["--check", "opt/weather"],
        2,
        &[name, "or not as it was delivered"],
    );
}

#[test]
fn an_update_for_another_product_and_an_older_one_are_refused() {
    let delivery = Delivery::new();
    let target = "opt/weather";
    fs::write(delivery.path("opt/weather/SHA256SUMS"), "other\n").unwrap();
    delivery.refuses(
        &[target],
        2,
        &[
            "is another product (sha256:",
            "this update begins with demo",
        ],
    );
    fs::remove_file(delivery.path("opt/weather/SHA256SUMS")).unwrap();
    delivery.refuses(&[target], 2, &["has no SHA256SUMS, so it is not a product"]);
    fs::remove_dir_all(delivery.path(target)).unwrap();
    delivery.refuses(&[target], 2, &["is not there"]);
    delivery.deliver(target);
    // By versions, by times, and by neither.
    let facts = |name: &str, old: &str, new: &str| {
        for (list, value) in [("facts", new), ("base/facts", old)] {
            with_list(&delivery, list, |mut fields| {
                let place = fields
                    .iter()
                    .position(|field| field == name.as_bytes())
                    .unwrap();
                fields[place + 1] = value.as_bytes().to_vec();
                fields
            });
        }
    };
    let early = "2026-01-01T00:00:00Z";
    facts("made", early, "2026-01-02T00:00:00Z");
    facts("version", "1.10.0", "1.9.9");
    let run = delivery.refuses(&[target], 2, &["is newer", "--older goes on"]);
    run.says("demo 1.10.0").says("demo 1.9.9");
    facts("version", "1.9", "1.10");
    facts("made", "2026-01-02T00:00:00Z", early);
    delivery
        .apply(&["--check", target])
        .success()
        .says_not("newer");
    facts("version", "1.9", "1.9rc1");
    delivery.refuses(&[target], 2, &["is newer"]);
    facts("version", "1.9", "1.9.0");
    delivery.refuses(&["--check", target], 2, &["is newer"]);
    facts("made", early, early);
    let run = delivery.apply(&["--check", target]);
    run.success().says("which is newer cannot be told");
    facts("version", "2.0", "1.0");
    let run = delivery.apply(&["--older", target]);
    run.success()
        .says("WARNING: ")
        .says("is newer than demo 1.0");
    delivery.is_new(target);
}

#[test]
fn wrong_args_are_refused_and_touch_nothing() {
    let delivery = Delivery::new();
    copy(&delivery.path("U"), &delivery.path("opt/weather/update"));
    for (args, text) in [
        (&[][..], "name the product"),
        (&[""], "name the product"),
        (&["opt/weather", "opt/other"], "one TARGET"),
        (&["--force", "opt/weather"], "unknown option --force"),
        (
            &["--restore", "--check", "opt/weather"],
            "--restore is used without",
        ),
        (&["/"], "the root of the file system"),
        (&["opt/nothing"], "is not there"),
        (&["nowhere/nothing"], "is no directory"),
        (&["OLD/envs.sh"], "not a product"),
        (&["U"], "is in the update"),
        (&["U/product"], "is in the update"),
    ] {
        delivery.refuses(args, 2, &["ERROR: ", text]);
    }
    let mut inner = delivery.workdir.sandbox.program("bash");
    let run = Run::of(inner.args(["opt/weather/update/apply-update.sh", "opt/weather"]));
    run.code(2).says("the update is in");
    let run = delivery.apply(&["--help"]);
    run.success().prints("Usage: ./apply-update.sh");
    fs::remove_dir_all(delivery.path("opt/weather/update")).unwrap();
    // A name that is to be given to the old product is taken.
    let kept = format!("opt/{}", delivery.kept("weather"));
    fs::create_dir(delivery.path(&kept)).unwrap();
    delivery.refuses(&["opt/weather"], 2, &["is there already"]);
    let digest = product_digest(&delivery.path("OLD"));
    assert!(kept.ends_with(&digest[..12]));
}
