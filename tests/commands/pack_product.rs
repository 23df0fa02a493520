//! A product as one file, or as parts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testbed::ensure_debian_package;
use testbed::limit::InTime as _;
use testbed::sandbox::{has, names, words};

use crate::make_product_update::by_form::tree;
use crate::package_cache::Workdir;

/// A workdir with a product that has what archives lose: long names, names that are no UTF-8, modes, links
/// with long targets, an empty directory, a file of an old time.
fn with_product() -> Workdir {
    use std::os::unix::ffi::OsStrExt as _;
    let workdir = Workdir::new();
    let project = Path::new("W/project/demo");
    let long = "long-".repeat(30);
    workdir.sandbox.write(
        project
            .join(&long)
            .join(&long)
            .join("a name with blanks and ü"),
        "long",
    );
    workdir.sandbox.write(
        project.join(std::ffi::OsStr::from_bytes(b"not\xffutf8")),
        "odd",
    );
    let program = workdir.sandbox.write(project.join("program"), "#!/bin/sh");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let top = workdir.path("W/project/demo");
    symlink(format!("{long}/{long}/{long}"), top.join("dangling")).unwrap();
    symlink("program", top.join("link")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    workdir
        .sandbox
        .write(project.join("large"), numbers(3_000_000));
    workdir.make(&[]).success();
    workdir
}

/// Bytes that no compressor shortens much.
fn numbers(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

impl Workdir {
    fn pack(&self, words: &[&str]) -> testbed::sandbox::Run {
        self.sandbox.run("pack-product", words)
    }

    fn sh(&self, dir: &str, script: &str) -> Output {
        Command::new("sh")
            .args(["-c", script])
            .current_dir(self.path(dir))
            .output_in_time()
            .unwrap()
    }
}

fn succeeds(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_tar_extracts_what_the_product_holds() {
    let workdir = with_product();
    for file in ["demo.tar", "demo.tar.gz", "demo.tar.zst"] {
        workdir
            .pack(&["W/product", file])
            .success()
            .says("OK: packed");
    }
    ensure_debian_package("zstd", "zstd").unwrap();
    let product = tree(&workdir.path("W/product"));
    assert!(product.len() > 30, "{product:?}");
    let bsdtar = ensure_debian_package("bsdtar", "libarchive-tools").unwrap();
    let busybox = ensure_debian_package("busybox", "busybox").unwrap();
    let python = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall('.')";
    for extract in [
        "tar xf ../demo.tar".to_owned(),
        "tar xzf ../demo.tar.gz".to_owned(),
        "zstd -dc ../demo.tar.zst | tar xf -".to_owned(),
        format!("'{}' -xpf ../demo.tar", bsdtar.display()),
        format!("'{}' -xpf ../demo.tar.gz", bsdtar.display()),
        format!("'{}' -xpf ../demo.tar.zst", bsdtar.display()),
        format!("'{}' tar xf ../demo.tar", busybox.display()),
        format!("'{}' tar xzf ../demo.tar.gz", busybox.display()),
        format!("python3 -c \"{python}\" ../demo.tar.gz"),
    ] {
        let out = workdir.path("X");
        fs::create_dir(&out).unwrap();
        let output = workdir.sh("X", &format!("umask 022; {extract}"));
        succeeds(&output);
        assert_eq!(names(&out), ["demo"], "{extract}");
        let found = tree(&out.join("demo"));
        assert!(
            found == product,
            "{extract}: {:?}",
            differing(&found, &product)
        );
        succeeds(&workdir.sh("X/demo", "sha256sum --quiet -c SHA256SUMS"));
        fs::remove_dir_all(out).unwrap();
    }
    succeeds(&workdir.sh(
        ".",
        "sha256sum -c demo.tar.sha256 demo.tar.gz.sha256 demo.tar.zst.sha256",
    ));
}

fn differing<'a, T: PartialEq>(
    one: &'a BTreeMap<PathBuf, T>,
    other: &'a BTreeMap<PathBuf, T>,
) -> Vec<&'a PathBuf> {
    let paths = one.keys().chain(other.keys());
    paths
        .filter(|path| one.get(*path) != other.get(*path))
        .collect()
}

#[test]
fn the_same_product_gives_the_same_bytes() {
    let workdir = with_product();
    // Times of directories, their order on the disk and the owner of the copy are others.
    let copy = "mkdir -p elsewhere && (cd W/product && tar cf - --sort=name .) | tar xf - -C elsewhere && find elsewhere -type d -exec touch -d 2001-01-01 {} +";
    succeeds(&workdir.sh(".", copy));
    for ending in ["tar", "tar.gz", "tar.zst"] {
        let (one, other) = (format!("one.{ending}"), format!("other.{ending}"));
        workdir.pack(&["W/product", &one]).success();
        let program = testbed::sandbox::binary("pack-product");
        let on_one_core = format!("taskset -c 0 '{}' elsewhere {other}", program.display());
        succeeds(&workdir.sh(".", &on_one_core));
        let read = |name: &str| fs::read(workdir.path(name)).unwrap();
        assert!(read(&one) == read(&other), "{ending}");
    }
}

#[test]
fn parts_are_checked_and_joined() {
    let workdir = with_product();
    fs::create_dir(workdir.path("disc")).unwrap();
    workdir.pack(&["W/product", "whole.tar.gz"]).success();
    workdir
        .pack(&["--split", "1M", "W/product", "disc/demo.tar.gz"])
        .success()
        .says("in 4 parts");
    let expected = words(
        "JOIN.txt demo.tar.gz.001 demo.tar.gz.002 demo.tar.gz.003 demo.tar.gz.004 \
         demo.tar.gz.parts.sha256 demo.tar.gz.sha256 join.sh",
    );
    assert_eq!(names(&workdir.path("disc")), expected);
    for part in &expected[1..4] {
        assert_eq!(
            fs::metadata(workdir.path("disc").join(part)).unwrap().len(),
            1_000_000
        );
    }
    let busybox = ensure_debian_package("busybox", "busybox").unwrap();
    let busybox = format!("'{}' sh", busybox.display());
    for (shell, dir) in [
        ("sh", "."),
        ("bash", "disc"),
        ("dash", "/"),
        (&*busybox, "."),
    ] {
        let script = workdir.path("disc/join.sh");
        let to = workdir.path("joined");
        fs::create_dir(&to).unwrap();
        let join = format!("{shell} '{}' '{}'", script.display(), to.display());
        succeeds(&workdir.sh(dir, &join));
        let joined = fs::read(to.join("demo.tar.gz")).unwrap();
        assert!(
            joined == fs::read(workdir.path("whole.tar.gz")).unwrap(),
            "{shell}"
        );
        assert_eq!(names(&to), ["demo.tar.gz"], "{shell}");
        fs::remove_dir_all(to).unwrap();
    }
    // Beside the parts, as somebody types it who is there.
    succeeds(&workdir.sh(
        "disc",
        "sh join.sh && sha256sum -c demo.tar.gz.sha256 && rm demo.tar.gz",
    ));
    assert_eq!(names(&workdir.path("disc")), expected);
    let output = workdir.sh("disc", "sh join.sh && rm demo.tar.gz");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.starts_with("OK: demo.tar.gz, sha256:"), "{told}");
    // What the page tells to type without the script.
    let page = fs::read_to_string(workdir.path("disc/JOIN.txt")).unwrap();
    assert!(
        expected[1..7].iter().all(|name| page.contains(name)),
        "{page}"
    );
    let by_hand = page.lines().find(|line| line.contains("sha256sum -c"));
    succeeds(&workdir.sh("disc", &format!("{} && rm demo.tar.gz", by_hand.unwrap())));
    workdir
        .pack(&["--split", "4G", "W/product", "one.tar"])
        .success()
        .says("in 1 part (");
}

#[test]
fn parts_that_are_missing_doubled_damaged_or_of_another_archive_are_named() {
    let workdir = with_product();
    fs::create_dir(workdir.path("disc")).unwrap();
    workdir
        .pack(&["--split", "1M", "W/product", "disc/demo.tar"])
        .success();
    let before = names(&workdir.path("disc"));
    for (change, message) in [
        ("rm demo.tar.002", "demo.tar.002 is missing"),
        (
            "cp demo.tar.001 demo.tar.002",
            "demo.tar.002 is a second copy of demo.tar.001",
        ),
        (
            "printf x >> demo.tar.003",
            "demo.tar.003 is damaged, or a part of another archive",
        ),
        (
            "head -c 999999 demo.tar.002 > x && mv x demo.tar.002",
            "demo.tar.002 is damaged",
        ),
        (
            "cp demo.tar.001 demo.tar.009",
            "demo.tar.009 is not part of this archive",
        ),
        ("rm demo.tar.parts.sha256", "no list NAME.parts.sha256"),
        ("rm demo.tar.sha256", "demo.tar.sha256 is missing"),
        (
            "cp demo.tar.parts.sha256 other.tar.parts.sha256",
            "parts of several archives",
        ),
        (
            "sed -i 2d demo.tar.parts.sha256",
            "demo.tar.002 is not part",
        ),
        (": > demo.tar.parts.sha256", "is empty"),
        (
            "rm demo.tar.001 && printf '%s' \"$(cat demo.tar.parts.sha256)\" > x && mv x demo.tar.parts.sha256",
            "demo.tar.001 is missing",
        ),
        (
            "sed -i 's/^./0/; s/^0\\(.\\)./0\\100/' demo.tar.sha256",
            "does not match demo.tar.sha256",
        ),
    ] {
        succeeds(&workdir.sh(".", "rm -rf copy && cp -a disc copy"));
        succeeds(&workdir.sh("copy", change));
        let output = workdir.sh("copy", "sh join.sh");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{change}");
        assert!(told.contains(message), "{change}: {told}");
        let left = names(&workdir.path("copy"));
        assert!(
            left.iter()
                .all(|name| name != "demo.tar" && !name.contains("joining")),
            "{change}: {left:?}"
        );
    }
    assert_eq!(names(&workdir.path("disc")), before);
}

/// Lists whose last line has no end are those that a person edited.
#[test]
fn hidden_archives_cut_lists_and_leftovers_of_ended_runs_are_joined() {
    let workdir = with_product();
    fs::create_dir(workdir.path("disc")).unwrap();
    let words = ["--split", "1M", "W/product", "disc/.demo.tar"];
    workdir.pack(&words).success();
    let cut = "for list in .demo.tar.parts.sha256 .demo.tar.sha256; do
        printf '%s' \"$(cat $list)\" >x && mv x $list
    done";
    succeeds(&workdir.sh("disc", cut));
    let left = workdir.path("disc/..demo.tar.joining.999999999");
    fs::write(&left, "of a run that was killed").unwrap();
    // What macOS writes beside a file on a stick.
    fs::write(workdir.path("disc/._.demo.tar.parts.sha256"), "").unwrap();
    let output = workdir.sh("disc", "sh join.sh");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    succeeds(&output);
    has(&told, "joining.999999999 is of another run");
    assert!(left.exists());
    workdir.pack(&["W/product", "whole.tar"]).success();
    let joined = fs::read(workdir.path("disc/.demo.tar")).unwrap();
    assert!(joined == fs::read(workdir.path("whole.tar")).unwrap());
}

#[test]
fn two_runs_of_the_join_script_end_in_a_whole_archive_or_an_error() {
    let workdir = with_product();
    fs::create_dir(workdir.path("disc")).unwrap();
    workdir
        .pack(&["--split", "1M", "W/product", "disc/demo.tar"])
        .success();
    // The first waits before it renames until the second writes, which waits for the archive.
    let script = r#"
        mkdir mv cat
        printf '#!/bin/sh\nwhile [ ! -e ../begun ]; do sleep 0.1; done\nexec /bin/mv "$@"\n' >mv/mv
        printf '#!/bin/sh\ncase $1 in *.002) : >../begun; while [ ! -e demo.tar ]; do sleep 0.1; done ;; esac\nexec /bin/cat "$@"\n' >cat/cat
        chmod +x mv/mv cat/cat
        cd disc
        PATH=$PWD/../mv:$PATH sh join.sh &
        PATH=$PWD/../cat:$PATH sh join.sh 2>../second; echo $? >../code
        wait $! && sha256sum -c demo.tar.sha256"#;
    succeeds(&workdir.sh(".", script));
    assert_eq!(fs::read_to_string(workdir.path("code")).unwrap(), "1\n");
    let second = fs::read_to_string(workdir.path("second")).unwrap();
    // Before it there may be a note of the first one's file.
    let error = second.lines().last().unwrap_or_default();
    let meanwhile = "ERROR: ./demo.tar was made meanwhile, and is left as it is";
    assert_eq!(error, meanwhile, "{second}");
    let left = names(&workdir.path("disc"));
    assert!(
        left.iter().all(|name| !name.contains("joining")),
        "{left:?}"
    );
}

#[test]
fn stale_parts_of_an_earlier_run_go() {
    let workdir = with_product();
    fs::create_dir(workdir.path("disc")).unwrap();
    let pack = |words: &[&str]| {
        let usual = ["W/product", "disc/demo.tar"];
        workdir.pack(&[words, &usual].concat())
    };
    pack(&["--split", "1M"]).success();
    let parts = names(&workdir.path("disc"));
    assert!(parts.iter().any(|name| name == "demo.tar.004"), "{parts:?}");
    pack(&["--split", "2M"])
        .code(2)
        .says("demo.tar.001 already exists")
        .says("--force");
    assert_eq!(names(&workdir.path("disc")), parts);
    pack(&["--split", "2M", "--force"])
        .success()
        .says("in 2 parts");
    let parts = names(&workdir.path("disc"));
    assert!(parts.iter().all(|name| name != "demo.tar.003"), "{parts:?}");
    succeeds(&workdir.sh("disc", "sh join.sh && rm demo.tar"));
    // One file in place of parts, and what is not the archive's stays.
    workdir.sandbox.write("disc/demo.tar.txt", "mine");
    pack(&["--force"]).success();
    assert_eq!(
        names(&workdir.path("disc")),
        words("JOIN.txt demo.tar demo.tar.sha256 demo.tar.txt join.sh")
    );
}

#[test]
fn a_join_script_of_somebody_else_is_not_overwritten() {
    let workdir = with_product();
    workdir.sandbox.write("disc/join.sh", "mine");
    let words = ["--split", "1M", "W/product", "disc/demo.tar"];
    for force in [&[][..], &["--force"]] {
        workdir
            .pack(&[force, &words].concat())
            .code(2)
            .says("join.sh already exists and is not that of an archive")
            .says("name another directory");
        assert_eq!(names(&workdir.path("disc")), ["join.sh"]);
        assert_eq!(fs::read(workdir.path("disc/join.sh")).unwrap(), b"mine");
    }
    fs::remove_file(workdir.path("disc/join.sh")).unwrap();
    workdir.pack(&words).success();
    // That of another archive is ours.
    let words = ["--split", "1M", "W/product", "disc/other.tar"];
    workdir.pack(&words).success();
}

#[test]
fn a_product_that_was_changed_gives_no_archive() {
    let workdir = with_product();
    let product = workdir.path("W/product");
    let refused = |message: &str, code: i32| {
        workdir
            .pack(&["W/product", "demo.tar"])
            .code(code)
            .says(message);
        let left = names(&workdir.sandbox.work());
        assert!(
            left.iter().all(|name| !name.contains("demo.tar")),
            "{left:?}"
        );
    };
    let edit = |path: &str, content: &[u8]| {
        let file = product.join(path);
        let before = fs::read(&file).unwrap();
        fs::write(&file, content).unwrap();
        before
    };
    // Of the same length: only the bytes tell.
    let before = edit("demo/program", b"#!/bin/SH");
    refused("demo/program is not as it is listed", 1);
    edit("demo/program", &before);
    let before = edit("demo/program", b"");
    refused("changed: demo/program", 1);
    edit("demo/program", &before);
    workdir.sandbox.write("W/product/stranger", "");
    refused("added: stranger", 1);
    fs::remove_file(product.join("stranger")).unwrap();
    fs::remove_file(product.join("manifest.json")).unwrap();
    refused("manifest.json is missing", 1);
    fs::remove_file(product.join("SHA256SUMS")).unwrap();
    fs::write(product.join("bootstrap-project.sh"), "").unwrap();
    refused("has no manifest.json and no SHA256SUMS", 2);
}

#[test]
fn wrong_words_end_with_2_and_touch_nothing() {
    let workdir = with_product();
    workdir.sandbox.write("there.tar", "mine");
    fs::create_dir(workdir.path("dir.tar")).unwrap();
    let before = names(&workdir.sandbox.work());
    for (words, message) in [
        (&["W/product"][..], "<FILE>"),
        (&["W/product", "demo.zip"], "must end in"),
        (&["W/product", "demo.tgz"], "must end in"),
        (&["W/product", "gone/demo.tar"], "gone"),
        (&["W/product", "W/product/demo.tar"], "outside of it"),
        (&["W/product", "there.tar"], "--force"),
        (&["--force", "W/product", "dir.tar"], "not a regular file"),
        (&["--split", "10K", "W/product", "demo.tar"], "at least 1M"),
        (&["gone", "demo.tar"], "PRODUCT"),
        (&["W/project", "demo.tar"], "it is not a product"),
        (
            &["--sign-password-file", "x", "W/product", "demo.tar"],
            "--sign-key",
        ),
    ] {
        workdir.pack(words).code(2).says(message);
    }
    assert_eq!(names(&workdir.sandbox.work()), before);
    assert_eq!(fs::read(workdir.path("there.tar")).unwrap(), b"mine");
    workdir
        .pack(&["--force", "W/product", "there.tar"])
        .success();
    assert!(fs::metadata(workdir.path("there.tar")).unwrap().len() > 3_000_000);
}

#[test]
fn what_an_install_left_stays_out_and_what_a_killed_run_left_goes() {
    let workdir = with_product();
    workdir.pack(&["W/product", "before.tar"]).success();
    workdir
        .sandbox
        .write("W/product/demo/.pixi/envs/default/bin/tool", "tool");
    workdir
        .sandbox
        .write(".after.tar.incomplete/after.tar", "half");
    workdir
        .pack(&["W/product", "after.tar"])
        .success()
        .says("NOTE: left out of the archive: ");
    let read = |name: &str| fs::read(workdir.path(name)).unwrap();
    assert!(read("before.tar") == read("after.tar"));
    assert!(!workdir.path(".after.tar.incomplete").exists());
}

/// With an address space that is smaller than the product, on one processor: there are as many
/// buffers as threads.
#[test]
fn a_product_is_larger_than_the_memory_that_packs_it() {
    let workdir = with_product();
    let sparse = fs::File::create(workdir.path("W/project/demo/sparse")).unwrap();
    sparse.set_len(400_000_000).unwrap();
    workdir.make(&["--secrets", "off"]).success();
    let program = testbed::sandbox::binary("pack-product");
    for file in ["demo.tar", "demo.tar.gz", "demo.tar.zst"] {
        let script = format!(
            "ulimit -v 300000 && exec taskset -c 0 '{}' W/product {file}",
            program.display()
        );
        succeeds(&workdir.sh(".", &script));
        succeeds(&workdir.sh(".", &format!("sha256sum -c {file}.sha256 && rm {file}")));
    }
}

#[test]
fn the_list_of_an_archive_is_signed() {
    let workdir = with_product();
    ensure_debian_package("minisign", "minisign").unwrap();
    succeeds(&workdir.sh(".", "minisign -G -W -p key.pub -s key.sec"));
    workdir
        .pack(&["--sign-key", "key.sec", "W/product", "demo.tar.zst"])
        .success();
    let output = workdir.sh(".", "minisign -V -p key.pub -m demo.tar.zst.sha256");
    succeeds(&output);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.contains("project:demo") && told.contains("file:demo.tar.zst.sha256"),
        "{told}"
    );
    succeeds(&workdir.sh(".", "sha256sum -c demo.tar.zst.sha256"));
}

#[test]
fn a_product_is_packed_as_it_is_made() {
    let workdir = with_product();
    let in_product = ["--archive", "W/product/demo.tar.zst"];
    workdir.make(&in_product).code(2).says("outside of it");
    workdir.make(&["--split", "1M"]).code(2).says("--archive");
    workdir
        .make(&["--archive", "demo.tar.bz2"])
        .code(2)
        .says("must end in");
    workdir
        .make(&["--archive", "made.tar.zst"])
        .success()
        .says("OK: packed");
    workdir.pack(&["W/product", "packed.tar.zst"]).success();
    let read = |name: &str| fs::read(workdir.path(name)).unwrap();
    assert!(read("packed.tar.zst") == read("made.tar.zst"));
    // A second run would replace it: it is refused before the product is made again.
    fs::remove_file(workdir.path("W/project/demo/program")).unwrap();
    let again = ["--archive", "made.tar.zst"];
    workdir
        .make(&again)
        .code(2)
        .says("made.tar.zst already exists");
    assert!(workdir.path("W/product/demo/program").exists());
    workdir
        .make(&["--archive", "made.tar.zst", "--force"])
        .success()
        .says("OK: packed");
    assert!(!workdir.path("W/product/demo/program").exists());
    assert!(read("packed.tar.zst") != read("made.tar.zst"));
    // The workdir is not the product that is in it.
    workdir
        .pack(&["W", "x.tar"])
        .code(2)
        .says("did you mean ")
        .says("W/product?");
}
