//! `apply-update.sh` of an update: bash and coreutils at the target.

mod disks;
mod killed;
mod places;
mod refused;
mod whole_dirs;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};
use testbed::sandbox::{Run, names, words};

use crate::make_product_update::by_form::{Entry, differing, product_digest, tree};
use crate::make_product_update::{USUAL, delivered};
use crate::package_cache::Workdir;

type Tree = std::collections::BTreeMap<PathBuf, Entry>;

/// The old product at `opt/weather`, an update `U` from it to `W/product`.
pub struct Delivery {
    pub workdir: Workdir,
    pub old: Tree,
    pub new: Tree,
}

impl Delivery {
    pub fn new() -> Delivery {
        Delivery::of(delivered())
    }

    /// That of a workdir with the product `OLD` and a newer one.
    pub fn of(workdir: Workdir) -> Delivery {
        workdir.update(&USUAL).success();
        let delivery = Delivery {
            old: tree(&workdir.path("OLD")),
            new: tree(&workdir.path("W/product")),
            workdir,
        };
        delivery.deliver("opt/weather");
        delivery
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.workdir.path(path)
    }

    /// The old product once more.
    pub fn deliver(&self, to: &str) {
        copy(&self.path("OLD"), &self.path(to));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.workdir.sandbox.program("bash");
        command.arg("U/apply-update.sh").args(args);
        command
    }

    pub fn apply(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args))
    }

    /// What the old product is called once it was replaced.
    pub fn kept(&self, of: &str) -> String {
        format!("{of}.{}", &product_digest(&self.path("OLD"))[..12])
    }

    #[track_caller]
    pub fn is_new(&self, path: &str) {
        same(&tree(&self.path(path)), &self.new);
    }

    #[track_caller]
    pub fn is_old(&self, path: &str) {
        same(&tree(&self.path(path)), &self.old);
    }

    /// Everything that is wrong with it: it is refused with the texts, and nothing was touched.
    #[track_caller]
    pub fn refuses(&self, args: &[&str], code: i32, texts: &[&str]) -> Run {
        let before = tree(&self.path("opt"));
        let run = self.apply(args);
        run.code(code);
        for text in texts {
            run.says(text);
        }
        let after = tree(&self.path("opt"));
        assert!(before == after, "{run}{:?}", differing(&before, &after));
        run
    }
}

#[track_caller]
fn same(found: &Tree, wanted: &Tree) {
    assert!(found == wanted, "{:?}", differing(found, wanted));
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    Run::of(Command::new("cp").arg("-a").args([from, to])).success();
}

/// Gives `SHA256SUMS` of an update the digests of its files: somebody changed them who has no key.
pub fn list_anew(update: &Path) {
    let sums = update.join("SHA256SUMS");
    let mut lines = String::new();
    for (path, (mode, bytes, _)) in tree(update) {
        let path = path.to_str().unwrap();
        if mode & 0o170_000 == 0o100_000 && !path.starts_with("SHA256SUMS") {
            lines.push_str(&format!("{:x}  {path}\n", Sha256::digest(bytes)));
        }
    }
    fs::write(sums, lines).unwrap();
}

#[test]
fn the_result_is_the_new_product_to_the_byte_and_the_old_one_stays() {
    let delivery = Delivery::new();
    let before = tree(&delivery.path("."));
    let run = delivery.apply(&["--check", "opt/weather"]);
    run.success().says("opt/weather can become demo");
    same(&tree(&delivery.path(".")), &before);
    let run = delivery.apply(&["opt/weather"]);
    run.success()
        .says("OK: ")
        .says("./bootstrap-project.sh")
        .says_not("NOTE: 0");
    delivery.is_new("opt/weather");
    let kept = delivery.kept("weather");
    delivery.is_old(&format!("opt/{kept}"));
    assert_eq!(names(&delivery.path("opt")), ["weather", &kept]);
    // Its archive has the same bytes, too.
    for (product, file) in [("opt/weather", "made.tar"), ("W/product", "new.tar")] {
        let run = delivery
            .workdir
            .sandbox
            .run("pack-product", [product, file]);
        run.success();
    }
    assert!(
        fs::read(delivery.path("made.tar")).unwrap() == fs::read(delivery.path("new.tar")).unwrap()
    );
    // Once more is no news.
    let run = delivery.apply(&["opt/weather"]);
    run.success().says("is the new product already");
    delivery.is_new("opt/weather");
}

#[test]
fn the_script_is_clean_for_shellcheck() {
    let delivery = Delivery::new();
    let shellcheck = testbed::ensure_debian_package("shellcheck", "shellcheck").unwrap();
    Run::of(
        delivery
            .workdir
            .sandbox
            .program(shellcheck)
            .arg("U/apply-update.sh"),
    )
    .success();
}

#[test]
fn hard_links_share_the_package_cache_and_nothing_that_is_written_in_place() {
    let delivery = Delivery::new();
    let run = delivery.apply(&["--hard-links", "opt/weather"]);
    run.success();
    delivery.is_new("opt/weather");
    let kept = format!("opt/{}", delivery.kept("weather"));
    delivery.is_old(&kept);
    let mut shared = 0;
    for (path, (mode, ..)) in &delivery.new {
        if mode & 0o170_000 != 0o100_000 {
            continue;
        }
        let links = fs::metadata(delivery.path("opt/weather").join(path))
            .unwrap()
            .nlink();
        let name = path.to_str().unwrap_or("odd");
        let may_be = name.starts_with("pkg-cache/") && !name.ends_with(".lock");
        assert!(links == 1 || may_be, "{name}: {links}");
        shared += u64::from(links > 1);
    }
    assert!(shared > 5, "{shared}");
    // Without it nothing is.
    delivery.deliver("opt/other");
    delivery.apply(&["opt/other"]).success();
    for path in delivery.new.keys() {
        let found = fs::symlink_metadata(delivery.path("opt/other").join(path)).unwrap();
        assert!(!found.is_file() || found.nlink() == 1, "{}", path.display());
    }
}

#[test]
fn what_a_person_or_an_install_put_into_the_old_product_is_named_and_stays_there() {
    let delivery = Delivery::new();
    let write = |path: &str, text: &str| {
        delivery
            .workdir
            .sandbox
            .write(format!("opt/weather/{path}"), text);
    };
    write("demo/.pixi/envs/default/bin/python", "installed");
    write("demo/.pixi/envs/test/bin/python", "installed");
    write("demo/my notes\n.txt", "mine");
    write("demo/main.py", "print('mine')");
    write("pkg-cache/uv-cache/.lock", "");
    write("own", "mine");
    let installed = tree(&delivery.path("opt/weather"));
    let run = delivery.apply(&["--remove-old", "opt/weather"]);
    let kept = delivery.kept("weather");
    run.success()
        .says("2 environments are installed")
        .says("2 files and directories were added")
        .says(r"  added: $'demo/my notes\n.txt'")
        .says("  added: own")
        .says("added and 1 was changed")
        .says("  changed: demo/main.py")
        .says("1 file or directory in pkg-cache/ is of no list")
        // They were not named before.
        .says("the old product stays");
    delivery.is_new("opt/weather");
    same(&tree(&delivery.path("opt").join(&kept)), &installed);
    // What was changed in the new product is no reason to keep the old one, but a damaged cache is.
    write("demo/main.py", "print('mine')");
    let cached = delivery
        .new
        .keys()
        .find(|path| path.ends_with("bin/tool"))
        .unwrap();
    let cached = delivery.path("opt/weather").join(cached);
    fs::write(&cached, "else").unwrap();
    let run = delivery.refuses(
        &["--remove-old", "opt/weather"],
        1,
        &["is not whole: the old product stays"],
    );
    run.says("bin/tool").says("1 file of the project");
    fs::write(&cached, "tool").unwrap();
    let run = delivery.apply(&["--remove-old", "opt/weather"]);
    run.success().says("OK: removed ").says(&kept);
    assert_eq!(names(&delivery.path("opt")), ["weather"]);
}

#[test]
fn the_old_product_comes_back_and_the_new_one_with_what_was_done_in_it_stays() {
    let delivery = Delivery::new();
    let run = delivery.apply(&["--restore", "opt/weather"]);
    run.success().says("nothing to undo");
    delivery.apply(&["opt/weather"]).success();
    delivery
        .workdir
        .sandbox
        .write("opt/weather/demo/work", "mine");
    let worked = tree(&delivery.path("opt/weather"));
    delivery
        .apply(&["--restore", "opt/weather"])
        .success()
        .says("is the old product again");
    delivery.is_old("opt/weather");
    let other = format!(
        "weather.{}",
        &product_digest(&delivery.path("W/product"))[..12]
    );
    same(&tree(&delivery.path("opt").join(&other)), &worked);
    assert_eq!(names(&delivery.path("opt")), ["weather", &other]);
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
    delivery.refuses(&["--restore", "opt/weather"], 2, &["is there already"]);
    fs::remove_dir_all(delivery.path("opt").join(&other)).unwrap();
    delivery.apply(&["--restore", "opt/weather"]).success();
    delivery.apply(&["opt/weather"]).success();
    fs::remove_dir_all(delivery.path("opt").join(&other)).unwrap();
    let run = delivery.apply(&["--remove-old", "opt/weather"]);
    run.success().says("OK: removed ");
    delivery.is_new("opt/weather");
    assert_eq!(names(&delivery.path("opt")), ["weather"]);
}

#[test]
fn updates_are_applied_one_after_the_other_and_one_from_several_products_skips_some() {
    let delivery = Delivery::new();
    let workdir = &delivery.workdir;
    let sandbox = &workdir.sandbox;
    fs::rename(delivery.path("W/product"), delivery.path("V2")).unwrap();
    sandbox.write("W/project/demo/main.py", "print(3)");
    workdir.make(&[]).success();
    let update = |args: &[&str]| {
        let args = [args, &["--product-dir", "W/product"]].concat();
        workdir.update(&args).success();
    };
    update(&["--from", "V2", "--output", "U23"]);
    update(&["--from", "OLD", "--from", "V2", "--output", "UALL"]);
    let third = tree(&delivery.path("W/product"));
    let run = |script: &str, target: &str| Run::of(sandbox.program("bash").args([script, target]));
    // Not in another order.
    let refused = run("U23/apply-update.sh", "opt/weather");
    refused
        .code(2)
        .says("is another product")
        .says("this update begins with demo");
    delivery.is_old("opt/weather");
    run("U/apply-update.sh", "opt/weather").success();
    run("U23/apply-update.sh", "opt/weather").success();
    same(&tree(&delivery.path("opt/weather")), &third);
    // The first update is no more for it.
    run("U/apply-update.sh", "opt/weather")
        .code(2)
        .says("is another product");
    for (number, from) in ["OLD", "V2"].iter().enumerate() {
        let target = format!("opt/direct-{number}");
        copy(&delivery.path(from), &delivery.path(&target));
        run("UALL/apply-update.sh", &target).success();
        same(&tree(&delivery.path(&target)), &third);
    }
}

#[test]
fn times_and_modes_that_the_old_product_lost_are_those_of_the_new_one_again() {
    let delivery = Delivery::new();
    let target = delivery.path("opt/weather");
    for (path, (mode, ..)) in &delivery.old {
        if mode & 0o170_000 == 0o100_000 {
            let file = target.join(path);
            let other = fs::Permissions::from_mode(0o600 | mode & 0o100);
            fs::set_permissions(&file, other).unwrap();
            let file = fs::File::options().write(true).open(&file).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }
    fs::set_permissions(delivery.path("opt"), fs::Permissions::from_mode(0o2775)).unwrap();
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
}

#[test]
fn evidence_and_signatures_of_the_new_product_are_in_it() {
    let workdir = delivered();
    let signed = ["--sign-key", "builder.key", "--sign-password-file", "empty"];
    workdir.sandbox.write("empty", "\n");
    let minisign = testbed::ensure_debian_package("minisign", "minisign").unwrap();
    let mut key = workdir.sandbox.program(minisign);
    Run::of(key.args(["-G", "-W", "-p", "builder.pub", "-s", "builder.key"])).success();
    workdir.make(&signed[..2]).success();
    let args = words("--from OLD --product-dir W/product --output U --sign-key builder.key");
    workdir.update(&args).success();
    copy(&workdir.path("OLD"), &workdir.path("opt/weather"));
    Run::of(
        workdir
            .sandbox
            .program("bash")
            .args(["U/apply-update.sh", "opt/weather"]),
    )
    .success();
    let made = tree(&workdir.path("opt/weather"));
    assert!(
        made.contains_key(Path::new("SHA256SUMS.minisig")),
        "{made:?}"
    );
    same(&made, &tree(&workdir.path("W/product")));
    // A signature of the update itself stands beside its list.
    assert!(workdir.path("U/SHA256SUMS.minisig").is_file());
}

#[test]
fn small_files_of_every_kind_are_brought_byte_by_byte() {
    let workdir = delivered();
    let contents: [&[u8]; 10] = [
        b"\0",
        b"\0\0",
        b"a\0",
        b"\0a",
        b"a\0b",
        b"a\0\0b\0\0",
        b"\n",
        b"\\0\x01\x7f\x80\xff",
        b"%s\\n",
        b"-n",
    ];
    for (number, content) in contents.iter().enumerate() {
        workdir
            .sandbox
            .write(format!("W/project/demo/small-{number}"), content);
    }
    for size in [8191, 8192, 8193] {
        workdir
            .sandbox
            .write(format!("W/project/demo/zeros-{size}"), vec![0; size]);
    }
    symlink("small-0", workdir.path("W/project/demo/small")).unwrap();
    workdir.make(&[]).success();
    let delivery = Delivery::of(workdir);
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
}

#[test]
fn every_file_of_evidence_that_a_product_may_have_arrives() {
    use pixi_offline::layout::Product;
    let workdir = delivered();
    crate::make_product_update::carried::keys(&workdir, "mine");
    workdir
        .make(&["--previous", "OLD", "--sign-key", "mine.key"])
        .success();
    let product = workdir.path("W/product");
    assert!(product.join("changes.json").is_file());
    for name in Product::UNCOVERED {
        if !product.join(name).exists() {
            fs::write(product.join(name), "evidence of another command").unwrap();
        }
    }
    let delivery = Delivery::of(workdir);
    assert!(delivery.path("U/product/changes.json").is_file());
    delivery.apply(&["opt/weather"]).success();
    delivery.is_new("opt/weather");
}
