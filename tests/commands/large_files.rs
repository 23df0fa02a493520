//! A file of more than 4 GiB, which 32 bits do not count, in an archive and in an update.

use std::fs;

use testbed::ensure_debian_package;
use testbed::sandbox::{Run, words};

use crate::package_cache::Workdir;

/// One byte more than 32 bits count.
const SIZE: u64 = (4 << 30) + 1;

/// Where it is in the workdir, and in an archive.
const FILE: &str = "pkg-cache/pkgs/a-1.0-0/share/data";

/// A workdir with a product that has the file, all of it a hole; the product shares it with the cache.
fn with_large_file() -> Workdir {
    let workdir = Workdir::new();
    let package = workdir.path("W/pixi-cache/pkgs/a-1.0-0");
    let file = fs::File::create(package.join("share/data")).unwrap();
    file.set_len(SIZE).unwrap();
    let paths = package.join("info/paths.json");
    let text = fs::read_to_string(&paths).unwrap();
    let changed = text.replace("\"size_in_bytes\":0", &format!("\"size_in_bytes\":{SIZE}"));
    assert_ne!(text, changed);
    fs::write(paths, changed).unwrap();
    let words = ["--link-mode", "hardlink", "--secrets", "off"];
    workdir.make(&words).success();
    let made = workdir.path("W/product").join(FILE);
    assert_eq!(fs::metadata(made).unwrap().len(), SIZE);
    workdir
}

impl Workdir {
    fn bash(&self, script: &str) -> Run {
        let mut bash = self.sandbox.program("bash");
        Run::of(bash.args(["-ec", &format!("set -o pipefail\n{script}")]))
    }
}

#[test]
fn every_tar_extracts_a_file_of_more_than_four_gibibytes() {
    let workdir = with_large_file();
    let pack = ["W/product", "demo.tar.zst"];
    workdir.sandbox.run("pack-product", pack).success();
    ensure_debian_package("zstd", "zstd").unwrap();
    let bsdtar = ensure_debian_package("bsdtar", "libarchive-tools").unwrap();
    let busybox = ensure_debian_package("busybox", "busybox").unwrap();
    let python = format!(
        r#"import shutil, sys, tarfile
archive = tarfile.open("demo.tar")
for entry in archive:
    if entry.name == "demo/{FILE}":
        assert entry.size == {SIZE}, entry.size
        shutil.copyfileobj(archive.extractfile(entry), sys.stdout.buffer, 1 << 20)
"#
    );
    let script = workdir.sandbox.write("extract.py", python);
    // Its zeros take no room there either.
    workdir
        .bash("zstd -dq --sparse demo.tar.zst -o demo.tar")
        .success();
    let tars = [
        "tar".to_owned(),
        bsdtar.display().to_string(),
        format!("{} tar", busybox.display()),
    ];
    let mut commands: Vec<String> = tars
        .iter()
        .map(|tar| format!("{tar} -xOf demo.tar demo/{FILE}"))
        .collect();
    commands.push(format!("python3 {}", script.display()));
    for extract in commands {
        let run = workdir.bash(&format!("{extract} | cmp - W/product/{FILE}"));
        assert_eq!(run.code, 0, "{extract}: {run}");
    }
    for tar in &tars {
        let run = workdir.bash(&format!("{tar} -tvf demo.tar demo/{FILE}"));
        run.success().prints(&format!(" {SIZE} "));
    }
}

#[test]
fn an_update_names_a_file_that_fat_cannot_hold_and_says_what_carries_it() {
    let workdir = with_large_file();
    fs::rename(workdir.path("W/product"), workdir.path("NEW")).unwrap();
    // The older one has an empty file there; the newer one shares its own with the cache.
    let package = workdir.path("W/pixi-cache/pkgs/a-1.0-0");
    let paths = fs::read_to_string(package.join("info/paths.json")).unwrap();
    for (file, text) in [
        ("share/data", String::new()),
        ("info/paths.json", paths.replace(&SIZE.to_string(), "0")),
    ] {
        fs::remove_file(package.join(file)).unwrap();
        fs::write(package.join(file), text).unwrap();
    }
    workdir.make(&[]).success();
    let words = words("--from W/product --product-dir NEW --output U");
    workdir
        .update(&[&words[..], &["--dry-run"]].concat())
        .success()
        .prints(" with 4.3 GB")
        .says("NOTE: 1 file is too large for a FAT file system, pkg-cache/pkgs/a-1.0-0/share/data with 4.3 GB")
        .says("as an archive in parts (--archive FILE --split 4G)");
}
