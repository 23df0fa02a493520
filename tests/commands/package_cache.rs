//! What of a package cache goes into a product, and what is found missing or
//! damaged. The caches have the layout that pixi and uv write.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use testbed::sandbox::{Run, Sandbox};

const ARCHIVE_SHA: [&str; 3] = [
    "aa00000000000000000000000000000000000000000000000000000000000000",
    "bb00000000000000000000000000000000000000000000000000000000000000",
    "cc00000000000000000000000000000000000000000000000000000000000000",
];

/// A workdir whose lock needs conda package `a` in `default`, `a` and `b` in
/// `test`, the wheel `six` and the source distribution `docopt` in both; the cache
/// holds these and a lot that nobody needs.
pub struct Workdir {
    pub sandbox: Sandbox,
}

/// A pointer as uv writes it, in MessagePack: id, hashes, and for wheels file name and
/// version; what follows in such a file is the request.
fn pointer(id: &str, sha256: Option<&str>, file: Option<&str>) -> Vec<u8> {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend([0xd9, u8::try_from(text.len()).unwrap()]);
        bytes.extend(text.as_bytes());
    };
    let mut bytes = vec![if file.is_some() { 0x94 } else { 0x92 }];
    text(&mut bytes, id);
    match sha256 {
        None => bytes.push(0x90),
        Some(sha256) => {
            bytes.extend([0x91, 0x92]);
            text(&mut bytes, "Sha256");
            text(&mut bytes, sha256);
        }
    }
    if let Some(file) = file {
        text(&mut bytes, file);
        bytes.push(0);
    }
    bytes.extend(b"https://files.example/\0");
    bytes
}

impl Workdir {
    pub fn new() -> Workdir {
        let workdir = Workdir {
            sandbox: Sandbox::new(),
        };
        let python = "\n      - pypi: https://files.example/six-1.17.0-py3-none-any.whl\n      - pypi: https://files.example/docopt-0.6.2.tar.gz";
        let package = |name: &str| {
            format!("\n      - conda: https://conda.example/chan/linux-64/{name}-1.0-0.conda")
        };
        let lock = format!(
            "version: 6
environments:
  default:
    channels:
    - url: https://conda.example/chan/
    indexes:
    - https://index.example/simple
    packages:
      linux-64:{a}{python}
  test:
    channels:
    - url: https://conda.example/chan/
    indexes:
    - https://index.example/simple
    packages:
      linux-64:{a}{b}{python}
packages:
- conda: https://conda.example/chan/linux-64/a-1.0-0.conda
  sha256: {0}
- conda: https://conda.example/chan/linux-64/b-1.0-0.conda
  sha256: {1}
- pypi: https://files.example/six-1.17.0-py3-none-any.whl
  name: six
  version: 1.17.0
  sha256: {0}
- pypi: https://files.example/docopt-0.6.2.tar.gz
  name: docopt
  version: 0.6.2
  sha256: {0}
",
            ARCHIVE_SHA[0],
            ARCHIVE_SHA[1],
            a = package("a"),
            b = package("b"),
        );
        workdir.sandbox.write("W/project/demo/pixi.toml", "");
        workdir.sandbox.write("W/project/demo/pixi.lock", lock);
        for (name, sha256) in ["a", "b", "c"].iter().zip(ARCHIVE_SHA) {
            workdir.conda_package(name, sha256);
        }
        workdir.wheel(
            "six",
            "1.17.0",
            "six-id",
            "wheels-v6/pypi/six/1.17.0-py3-none-any",
        );
        workdir.built(
            "docopt",
            "0.6.2",
            "docopt-id",
            "sdists-v9/pypi/docopt/0.6.2",
        );
        workdir.wheel(
            "idna",
            "3.20",
            "idna-id",
            "wheels-v6/pypi/idna/3.20-py3-none-any",
        );
        for other in [
            "repodata/x.json",
            "http-cache/x",
            "uv-cache/simple-v21/pypi/six.rkyv",
            "uv-cache/builds-v0/x",
            "uv-cache/interpreter-v4/x",
            "pixi-offline-bin/pixi",
        ] {
            workdir
                .sandbox
                .write(Path::new("W/pixi-cache").join(other), "x");
        }
        workdir
    }

    fn cache(&self) -> PathBuf {
        self.sandbox.work().join("W/pixi-cache")
    }

    fn conda_package(&self, name: &str, sha256: &str) {
        let folder = PathBuf::from(format!("W/pixi-cache/pkgs/{name}-1.0-0"));
        self.sandbox.write(folder.join("info/index.json"), "{}");
        let mut paths = Vec::new();
        for (file, content) in [("bin/tool", "tool"), ("share/data", "")] {
            self.sandbox.write(folder.join(file), content);
            paths.push(serde_json::json!({
                "_path": file, "path_type": "hardlink", "size_in_bytes": content.len(),
                "sha256": format!("{:x}", Sha256::digest(content)),
            }));
        }
        symlink("tool", self.sandbox.work().join(&folder).join("bin/link")).unwrap();
        paths.push(serde_json::json!({
            "_path": "bin/link", "path_type": "softlink", "sha256": format!("{:x}", Sha256::digest("tool")),
        }));
        let paths = serde_json::json!({"paths": paths, "paths_version": 1});
        self.sandbox
            .write(folder.join("info/paths.json"), paths.to_string());
        let mut record = vec![0, 0, 0, 0, 0, 0, 0, 1];
        record
            .extend((0..32).map(|at| u8::from_str_radix(&sha256[2 * at..2 * at + 2], 16).unwrap()));
        self.sandbox
            .write(folder.with_file_name(format!("{name}-1.0-0.lock")), record);
    }

    /// A wheel that uv fetched, with the file name that the lock has.
    fn wheel(&self, name: &str, version: &str, id: &str, link: &str) {
        let file = format!("{name}-{version}-py3-none-any.whl");
        self.unpacked(name, version, id, link);
        self.pointer(&format!("{link}.http"), &pointer(id, None, Some(&file)));
    }

    /// A wheel that uv built of a source distribution, whose folder is `source`.
    fn built(&self, name: &str, version: &str, id: &str, source: &str) {
        let link = format!("{source}/rev/{name}-{version}-py3-none-any");
        self.unpacked(name, version, id, &link);
        self.pointer(&format!("{link}.whl"), b"PK");
        self.pointer(&format!("{source}/rev/src/pyproject.toml"), b"");
        self.pointer(
            &format!("{source}/revision.http"),
            &pointer("rev", None, None),
        );
    }

    /// A small file in uv's part of the cache.
    fn pointer(&self, path: &str, bytes: &[u8]) {
        let path = Path::new("W/pixi-cache/uv-cache").join(path);
        self.sandbox.write(path, bytes);
    }

    /// An unpacked wheel, and the link that leads to it.
    fn unpacked(&self, name: &str, version: &str, id: &str, link: &str) {
        let archive = PathBuf::from("W/pixi-cache/uv-cache/archive-v0").join(id);
        let content = format!("# {name}");
        let hash = data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(&content));
        self.sandbox
            .write(archive.join(format!("{name}.py")), &content);
        let metadata = format!("{name}-{version}.dist-info");
        let record = format!(
            "{name}.py,sha256={hash},{}\n{metadata}/RECORD,,\n",
            content.len()
        );
        self.sandbox
            .write(archive.join(metadata).join("RECORD"), record);
        let link = self.cache().join("uv-cache").join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let target = format!("/workdir/pixi-cache/uv-cache/archive-v0/{id}");
        symlink(target, link).unwrap();
    }

    pub fn make(&self, more: &[&str]) -> Run {
        self.sandbox.run(
            "make-archive-ready-product",
            ["--workdir", "W"].iter().chain(more),
        )
    }

    /// Files and links of the product's cache.
    pub fn shipped(&self) -> Vec<String> {
        let top = self.sandbox.work().join("W/product/pkg-cache");
        let mut files = Vec::new();
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    files.push(
                        path.strip_prefix(&top)
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .to_owned(),
                    );
                }
            }
        }
        files.sort();
        files
    }
}

#[test]
fn only_what_the_environments_need_is_shipped() {
    let workdir = Workdir::new();
    let run = workdir.make(&[]);
    run.success()
        .says("Package cache: ")
        .says("left out as not needed: ");
    assert_eq!(
        workdir.shipped(),
        [
            "pkgs/a-1.0-0.lock",
            "pkgs/a-1.0-0/bin/link",
            "pkgs/a-1.0-0/bin/tool",
            "pkgs/a-1.0-0/info/index.json",
            "pkgs/a-1.0-0/info/paths.json",
            "pkgs/a-1.0-0/share/data",
            "uv-cache/archive-v0/docopt-id/docopt-0.6.2.dist-info/RECORD",
            "uv-cache/archive-v0/docopt-id/docopt.py",
            "uv-cache/archive-v0/six-id/six-1.17.0.dist-info/RECORD",
            "uv-cache/archive-v0/six-id/six.py",
            "uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-py3-none-any",
            "uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-py3-none-any.whl",
            "uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/src/pyproject.toml",
            "uv-cache/sdists-v9/pypi/docopt/0.6.2/revision.http",
            "uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any",
            "uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any.http",
        ]
    );
    let link = "W/product/pkg-cache/uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any/six.py";
    assert_eq!(
        fs::read_to_string(workdir.sandbox.work().join(link)).unwrap(),
        "# six"
    );
}

#[test]
fn the_whole_cache_is_shipped_on_request() {
    let workdir = Workdir::new();
    workdir.make(&["--cache", "full"]).success();
    let shipped = workdir.shipped();
    for file in [
        "pkgs/c-1.0-0.lock",
        "repodata/x.json",
        "uv-cache/simple-v21/pypi/six.rkyv",
        "uv-cache/archive-v0/idna-id/idna.py",
    ] {
        assert!(
            shipped.iter().any(|shipped| shipped == file),
            "{file}: {shipped:?}"
        );
    }
    for never in ["builds-v0", "interpreter-v4", "pixi-offline-bin"] {
        assert!(
            !shipped.iter().any(|shipped| shipped.contains(never)),
            "{never}: {shipped:?}"
        );
    }
    workdir.make(&["--cache", "half"]).code(2).says("needed");
}

#[test]
fn a_project_that_is_built_at_the_target_keeps_what_a_build_may_take() {
    let workdir = Workdir::new();
    let lock = workdir.sandbox.work().join("W/project/demo/pixi.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let text = text.replace(
        "\n      - pypi: https://files.example/six",
        "\n      - pypi: ./\n      - pypi: https://files.example/six",
    ) + "- pypi: ./\n  name: demo\n  version: 0.1.0\n  editable: true\n";
    fs::write(lock, text).unwrap();
    workdir.make(&[]).success();
    let shipped = workdir.shipped();
    for file in [
        "uv-cache/simple-v21/pypi/six.rkyv",
        "uv-cache/archive-v0/idna-id/idna.py",
    ] {
        assert!(
            shipped.iter().any(|shipped| shipped == file),
            "{file}: {shipped:?}"
        );
    }
    assert!(
        !shipped.iter().any(|shipped| shipped.starts_with("pkgs/c-")),
        "{shipped:?}"
    );
}

#[test]
fn any_missing_package_is_found_without_looking_deep_and_the_old_product_stays() {
    for (missing, text) in [
        ("pkgs/a-1.0-0", "a-1.0-0: is not in the package cache"),
        ("pkgs/a-1.0-0/info/index.json", "a-1.0-0: info/index.json"),
        ("pkgs/a-1.0-0/info/paths.json", "a-1.0-0: info/paths.json"),
        ("pkgs/a-1.0-0/bin/tool", "a-1.0-0: bin/tool is missing"),
        ("pkgs/a-1.0-0/bin/link", "a-1.0-0: bin/link is missing"),
        (
            "uv-cache/archive-v0/six-id",
            "six 1.17.0: is not in the package cache",
        ),
        (
            "uv-cache/archive-v0/six-id/six.py",
            "six 1.17.0: six.py is missing",
        ),
        (
            "uv-cache/wheels-v6",
            "six 1.17.0: nothing in the package cache leads to it",
        ),
        (
            "uv-cache/archive-v0/docopt-id",
            "docopt 0.6.2: is not in the package cache",
        ),
        ("uv-cache", "six 1.17.0: is not in the package cache"),
        ("pkgs", "a-1.0-0: is not in the package cache"),
    ] {
        let workdir = Workdir::new();
        workdir.make(&[]).success();
        let before = workdir.shipped();
        let path = workdir.cache().join(missing);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
        .unwrap();
        workdir.make(&[]).code(1).says(text);
        assert_eq!(workdir.shipped(), before);
    }
    // What no chosen environment needs may be missing.
    let workdir = Workdir::new();
    fs::remove_dir_all(workdir.cache().join("pkgs/b-1.0-0")).unwrap();
    workdir.make(&["--deep"]).success();
}

#[test]
fn odd_caches_are_named() {
    let workdir = Workdir::new();
    fs::write(
        workdir.cache().join("pkgs/a-1.0-0/info/paths.json"),
        "{\"paths\":",
    )
    .unwrap();
    workdir
        .make(&[])
        .code(1)
        .says("a-1.0-0: info/paths.json cannot be parsed");
    let workdir = Workdir::new();
    fs::remove_dir_all(workdir.cache().join("pkgs/a-1.0-0")).unwrap();
    fs::write(workdir.cache().join("pkgs/a-1.0-0"), "").unwrap();
    workdir.make(&[]).code(1).says("is no folder");
    let workdir = Workdir::new();
    symlink("loop", workdir.cache().join("uv-cache/wheels-v6/loop")).unwrap();
    workdir.make(&[]).success();
    let workdir = Workdir::new();
    let record = workdir.cache().join("pkgs/a-1.0-0.lock");
    let mut bytes = fs::read(&record).unwrap();
    bytes[8] = 0;
    fs::write(&record, bytes).unwrap();
    workdir
        .make(&[])
        .code(1)
        .says("another archive of this name");
}

#[test]
fn damage_to_any_listed_file_is_found_deep() {
    for (file, text) in [
        ("pkgs/a-1.0-0/bin/tool", "a-1.0-0: bin/tool"),
        ("pkgs/a-1.0-0/share/data", "a-1.0-0: share/data"),
        ("uv-cache/archive-v0/six-id/six.py", "six 1.17.0: six.py"),
        (
            "uv-cache/archive-v0/docopt-id/docopt.py",
            "docopt 0.6.2: docopt.py",
        ),
    ] {
        let workdir = Workdir::new();
        workdir.make(&["--deep"]).success();
        let path = workdir.cache().join(file);
        let mut bytes = fs::read(&path).unwrap();
        match bytes.last_mut() {
            Some(last) => *last ^= 1,
            None => bytes.push(b'x'),
        }
        fs::write(path, bytes).unwrap();
        workdir.make(&["--deep"]).code(1).says(text);
    }
}

#[test]
fn a_link_that_was_turned_is_found_deep() {
    let workdir = Workdir::new();
    let link = workdir.cache().join("pkgs/a-1.0-0/bin/link");
    fs::remove_file(&link).unwrap();
    symlink("../share/data", &link).unwrap();
    workdir.make(&[]).success();
    workdir
        .make(&["--deep"])
        .code(1)
        .says("a-1.0-0: bin/link leads to something else");
}

#[test]
fn a_cache_that_another_program_is_writing_is_left_alone() {
    for lock in ["pkgs/a-1.0-0.lock", "uv-cache/.lock"] {
        let workdir = Workdir::new();
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(workdir.cache().join(lock))
            .unwrap();
        file.lock().unwrap();
        workdir
            .make(&[])
            .code(1)
            .says("another program is writing")
            .says(lock);
        drop(file);
        workdir.make(&[]).success();
    }
}

#[test]
fn a_pixi_is_bundled_on_request() {
    let workdir = Workdir::new();
    workdir.make(&["--bundle-pixi"]).success();
    assert_eq!(
        fs::read(workdir.sandbox.work().join("W/product/bin/pixi")).unwrap(),
        b"x"
    );
    fs::remove_dir_all(workdir.cache().join("pixi-offline-bin")).unwrap();
    workdir
        .make(&["--bundle-pixi"])
        .code(2)
        .says("--bundle-pixi");
    workdir.make(&[]).success();
    assert!(!workdir.sandbox.work().join("W/product/bin").exists());
}

impl Workdir {
    /// Changes the lock's text.
    fn relock(&self, change: impl FnOnce(String) -> String) {
        let lock = self.sandbox.work().join("W/project/demo/pixi.lock");
        let text = fs::read_to_string(&lock).unwrap();
        fs::write(lock, change(text)).unwrap();
    }

    /// A number in the manifest's count of packages.
    fn counted(&self, key: &str) -> serde_json::Value {
        let manifest = self.sandbox.work().join("W/product/manifest.json");
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        manifest["packages"][key].clone()
    }

    fn page(&self) -> String {
        fs::read_to_string(self.sandbox.work().join("W/product/report.html")).unwrap()
    }

    #[track_caller]
    fn ships(&self, wanted: &[&str], unwanted: &[&str]) {
        let shipped = self.shipped();
        for part in wanted {
            assert!(
                shipped.iter().any(|path| path.contains(part)),
                "{part}: {shipped:?}"
            );
        }
        for part in unwanted {
            assert!(
                !shipped.iter().any(|path| path.contains(part)),
                "{part}: {shipped:?}"
            );
        }
    }
}

#[test]
fn a_wheel_is_tied_to_the_lock_by_name_and_sha256() {
    let file = "six-1.17.0-py3-none-any.whl";
    let place = "wheels-v6/pypi/six/1.17.0-py3-none-any.http";
    let workdir = Workdir::new();
    workdir.make(&["--deep"]).success();
    assert_eq!(workdir.counted("wheels_by_name"), 1);
    assert!(
        workdir.page().contains("1 wheel of the list"),
        "{}",
        workdir.page()
    );

    workdir.pointer(place, &pointer("six-id", Some(ARCHIVE_SHA[0]), Some(file)));
    workdir.make(&[]).success();
    assert_eq!(workdir.counted("wheels_by_name"), 0);

    workdir.pointer(place, &pointer("six-id", Some(ARCHIVE_SHA[1]), Some(file)));
    for more in [&["--deep"][..], &[]] {
        workdir
            .make(more)
            .code(1)
            .says("six 1.17.0: the cache holds another file of this name")
            .says(ARCHIVE_SHA[1]);
    }

    // The same version, for another machine.
    for other in [
        "six-1.17.0-cp39-cp39-macosx_11_0_arm64.whl",
        "six-1.17.0-1-py3-none-any.whl",
    ] {
        let workdir = Workdir::new();
        let folder = workdir.cache().join("uv-cache/wheels-v6/pypi/six");
        fs::remove_dir_all(folder).unwrap();
        let key = other
            .strip_prefix("six-")
            .unwrap()
            .strip_suffix(".whl")
            .unwrap();
        let place = format!("wheels-v6/pypi/six/{key}.http");
        workdir.pointer(&place, &pointer("six-id", None, Some(other)));
        workdir.make(&["--deep"]).code(1).says("six 1.17.0: is not in the package cache (uv-cache) as six-1.17.0-py3-none-any.whl; what is there: six-1.17.0-");
    }

    // A source distribution is known by its own sha256.
    let workdir = Workdir::new();
    let revision = "sdists-v9/pypi/docopt/0.6.2/revision.http";
    workdir.pointer(revision, &pointer("rev", Some(ARCHIVE_SHA[1]), None));
    workdir
        .make(&[])
        .code(1)
        .says("docopt 0.6.2: the cache holds another file");
    // And only the revision that uv's pointer names counts.
    workdir.pointer(revision, &pointer("other", None, None));
    workdir
        .make(&[])
        .code(1)
        .says("docopt 0.6.2: nothing in the package cache leads to it");
}

#[test]
fn a_wheel_that_was_built_for_another_python_is_not_the_needed_one() {
    let workdir = Workdir::new();
    let built = |tags: &str, id: &str| {
        let link = format!("sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-{tags}");
        workdir.unpacked("docopt", "0.6.2", id, &link);
    };
    let plain = "uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-py3-none-any";
    fs::remove_file(workdir.cache().join(plain)).unwrap();
    built("cp311-cp311-linux_x86_64", "docopt-id");
    workdir.conda_package("python", ARCHIVE_SHA[2]);
    let python = |minor: u32| {
        format!("\n      - conda: https://conda.example/chan/linux-64/python-3.{minor}.1-0.conda")
    };
    let location = "\n      - conda: https://conda.example/chan/linux-64/a-1.0-0.conda";
    for (minor, code) in [(11, 0), (12, 1)] {
        let workdir_python = format!("W/pixi-cache/pkgs/python-3.{minor}.1-0");
        workdir
            .sandbox
            .write(Path::new(&workdir_python).join("info/index.json"), "{}");
        workdir.sandbox.write(
            Path::new(&workdir_python).join("info/paths.json"),
            "{\"paths\": []}",
        );
        let lock = workdir.sandbox.work().join("W/project/demo/pixi.lock");
        let before = fs::read_to_string(&lock).unwrap();
        let text = before.replacen(location, &format!("{location}{}", python(minor)), 1)
            + &format!("- conda: https://conda.example/chan/linux-64/python-3.{minor}.1-0.conda\n");
        fs::write(&lock, text).unwrap();
        let run = workdir.make(&[]);
        run.code(code);
        if code != 0 {
            run.says("docopt 0.6.2: is not in the package cache");
        }
        fs::write(&lock, before).unwrap();
    }
}

#[test]
fn names_that_differ_from_the_lock_are_found_by_uvs_pointers() {
    let workdir = Workdir::new();
    let wheel = |name: &str, inside: &str, file: &str, id: &str| {
        let key = file
            .split_once('-')
            .unwrap()
            .1
            .strip_suffix(".whl")
            .unwrap();
        let link = format!("wheels-v6/index/0123456789abcdef/{name}/{key}");
        workdir.unpacked(name, inside, id, &link);
        workdir.pointer(&format!("{link}.http"), &pointer(id, None, Some(file)));
    };
    wheel(
        "calver",
        "2025.05.09",
        "calver-2025.5.9-py3-none-any.whl",
        "calver-id",
    );
    wheel(
        "lockloc",
        "0.2",
        "lockloc-0.2-py3-none-any.whl",
        "lockloc-id",
    );
    wheel("zeros", "1.0.0", "zeros-1.0.0-py3-none-any.whl", "zeros-id");
    wheel(
        "plus",
        "0.2+cu130",
        "plus-0.2+cu130-py3-none-any.whl",
        "plus-id",
    );
    let source = "sdists-v9/index/0123456789abcdef/flash-attn/2.5.8";
    let link = format!("{source}/rev/flash_attn-2.5.8+cu122torch2.3-py3-none-any");
    workdir.unpacked("flash_attn", "2.5.8+cu122torch2.3", "flash-id", &link);
    workdir.pointer(&format!("{source}/rev/src/setup.py"), b"");
    workdir.pointer(
        &format!("{source}/revision.http"),
        &pointer("rev", None, None),
    );
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let link = format!(
        "sdists-v9/git/0a1b2c3d4e5f6789/{}/fromgit-1.0-py3-none-any",
        &commit[..16]
    );
    workdir.unpacked("fromgit", "1.0", "fromgit-id", &link);
    workdir.relock(|text| {
        let more = [
            (
                "https://files.example/calver-2025.5.9-py3-none-any.whl",
                "calver",
                "2025.5.9",
            ),
            (
                "https://files.example/lockloc-0.2-py3-none-any.whl",
                "lockloc",
                "0.2+local",
            ),
            (
                "https://files.example/zeros-1.0.0-py3-none-any.whl",
                "zeros",
                "1.0",
            ),
            (
                "https://files.example/plus-0.2%2Bcu130-py3-none-any.whl",
                "plus",
                "0.2+cu130",
            ),
            (
                "https://files.example/flash_attn-2.5.8.tar.gz",
                "flash-attn",
                "2.5.8",
            ),
            (
                &format!("git+https://h.example/f.git?rev=main#{commit}"),
                "fromgit",
                "1.0",
            ),
        ];
        more.iter().fold(text, |text, (url, name, version)| {
            let six = "\n      - pypi: https://files.example/six";
            text.replace(six, &format!("\n      - pypi: {url}{six}"))
                + &format!("- pypi: {url}\n  name: {name}\n  version: '{version}'\n")
        })
    });
    workdir.make(&["--deep"]).success();
    workdir.ships(
        &[
            "calver-id/",
            "lockloc-id/",
            "zeros-id/",
            "plus-id/",
            "flash-id/",
            "fromgit-id/",
            "rev/src/setup.py",
        ],
        &[],
    );
    // uv builds it again where it is installed, and the build may ask for more.
    assert!(workdir.page().contains("idna 3.20"), "{}", workdir.page());
    // Another commit is another package.
    workdir.relock(|text| text.replace(commit, &commit.replace('0', "f")));
    workdir
        .make(&[])
        .code(1)
        .says("fromgit 1.0: is not in the package cache");
}

/// What earlier builds, of this project and others, leave in a cache.
fn fill_with_strangers(workdir: &Workdir) {
    workdir.built(
        "secretsrc",
        "1.0",
        "secretsrc-id",
        "sdists-v9/pypi/secretsrc/1.0",
    );
    let git = "sdists-v9/git/0a1b2c3d4e5f6789/0123456789abcdef/gp-1.0-py3-none-any";
    workdir.unpacked("gp", "1.0", "gp-id", git);
    for (path, text) in [
        (&*format!("{git}.whl"), "PK"),
        (
            "git-v0/db/0a1b/.git/FETCH_HEAD",
            "0123\t\thttps://h.example/gp\n",
        ),
        ("git-v0/db/0a1b/.git/objects/pack/history", "x"),
        ("git-v0/checkouts/0a1b/0123456/gp.py", "x"),
        ("git-v0/locks/0a1b", ""),
        ("sdists-v9/editable/9c23a73a584df722/revision.rev", "x"),
        ("sdists-v9/pypi/docopt/0.6.2/stale/src/old_secret.py", "x"),
        ("sdists-v9/pypi/docopt/0.6.1/revision.http", "x"),
        ("wheels-v6/pypi/idna/3.19-py3-none-any.msgpack", "x"),
        ("wheels-v5/pypi/old/1.0-py3-none-any.http", "x"),
        ("archive-v0/nobodys/nobody.py", "x"),
        ("flat-index-v2/index/0a1b.msgpack", "x"),
        ("osv-v0/x", "x"),
        ("sdists-v9/.git", ""),
        ("CACHEDIR.TAG", "x"),
    ] {
        workdir.pointer(path, text.as_bytes());
    }
}

#[test]
fn strangers_in_a_cache_stay_behind_or_are_named_with_a_reason() {
    let workdir = Workdir::new();
    workdir.make(&[]).success();
    let clean = workdir.shipped();
    fill_with_strangers(&workdir);
    workdir.make(&[]).success();
    let shipped = workdir.shipped();
    let more: Vec<&String> = shipped
        .iter()
        .filter(|path| !clean.contains(path))
        .collect();
    assert_eq!(more, ["uv-cache/CACHEDIR.TAG", "uv-cache/sdists-v9/.git"]);
    let nothing = "Nothing: every entry of it belongs to a package";
    assert!(workdir.page().contains(nothing));

    // Moving leaves the same.
    workdir.make(&["--cache", "full"]).success();
    let page = workdir.page();
    assert!(
        !page.contains(nothing) && page.contains("carried whole"),
        "{page}"
    );
    for named in [
        "pkgs/c-1.0-0",
        "uv-cache/git-v0",
        "uv-cache/archive-v0/nobodys",
        "repodata",
    ] {
        assert!(page.contains(named), "{named}: {page}");
    }

    // Where something is built, a repository goes along only when the build takes from it.
    for (requires, repository) in [
        ("hatchling", false),
        ("gp @ git+https://u:p@h.example/gp.git@main", true),
    ] {
        let workdir = Workdir::new();
        fill_with_strangers(&workdir);
        let pyproject = format!("[build-system]\nrequires = ['{requires}']\n");
        workdir
            .sandbox
            .write("W/project/demo/pyproject.toml", pyproject);
        workdir.relock(|text| {
            let six = "\n      - pypi: https://files.example/six";
            text.replace(six, &format!("\n      - pypi: ./{six}"))
                + "- pypi: ./\n  name: demo\n  version: 0.1.0\n  editable: true\n"
        });
        workdir.make(&["--secrets", "off"]).success();
        let git = ["git-v0/db/0a1b/.git/objects/pack/history", "gp-id/"];
        let (wanted, unwanted): (&[&str], &[&str]) =
            if repository { (&git, &[]) } else { (&[], &git) };
        workdir.ships(wanted, unwanted);
        workdir.ships(
            &["idna-id", "secretsrc-id", "simple-v21"],
            &["nobodys", "osv-v0", "editable"],
        );
        let page = workdir.page();
        assert!(
            page.contains("may ask for") && page.contains("idna 3.20"),
            "{page}"
        );
        assert_eq!(page.contains("https://h.example/gp"), repository, "{page}");
    }
}

#[test]
fn a_wheel_that_only_another_environment_needs_stays_behind_also_where_something_is_built() {
    let workdir = Workdir::new();
    workdir.relock(|text| {
        let six = "\n      - pypi: https://files.example/six";
        let idna = "\n      - pypi: https://files.example/idna-3.20-py3-none-any.whl";
        let (default, test) = text.split_once("\n  test:").unwrap();
        let default = default.replace(six, &format!("\n      - pypi: ./{six}"));
        let test = test.replacen(six, &format!("{idna}{six}"), 1);
        format!("{default}\n  test:{test}")
            + "- pypi: ./\n  name: demo\n  version: 0.1.0\n  editable: true\n- pypi: https://files.example/idna-3.20-py3-none-any.whl\n  name: idna\n  version: '3.20'\n"
    });
    workdir.make(&[]).success();
    workdir.ships(&["six-id", "simple-v21"], &["idna"]);
}

#[test]
fn a_conda_package_from_before_2017_is_known_by_its_list_of_files() {
    let workdir = Workdir::new();
    let info = workdir.cache().join("pkgs/a-1.0-0/info");
    fs::remove_file(info.join("paths.json")).unwrap();
    fs::write(info.join("files"), "bin/tool\nbin/link\nshare/data\n").unwrap();
    fs::write(
        info.join("has_prefix"),
        "/opt/build text bin/tool\nshare/data\n",
    )
    .unwrap();
    fs::write(info.join("no_link"), "share/data\n").unwrap();
    workdir.make(&[]).success();
    workdir
        .make(&["--deep"])
        .success()
        .says("NOTE: --deep compared the files of 1 conda packages by name only");
    assert_eq!(workdir.counted("conda_by_name"), 1);
    for (file, text) in [
        ("bin/tool", "a-1.0-0: bin/tool is missing"),
        ("bin/link", "a-1.0-0: bin/link is missing"),
        ("info/files", "a-1.0-0: info/paths.json cannot be read"),
    ] {
        let (there, aside) = (
            workdir.cache().join("pkgs/a-1.0-0").join(file),
            workdir.sandbox.work().join("aside"),
        );
        fs::rename(&there, &aside).unwrap();
        workdir.make(&[]).code(1).says(text);
        fs::rename(&aside, &there).unwrap();
    }
    fs::write(info.join("has_prefix"), "/opt/build binary lib/gone.so\n").unwrap();
    workdir
        .make(&[])
        .code(1)
        .says("a-1.0-0: lib/gone.so is missing");
    fs::remove_file(info.join("has_prefix")).unwrap();
    fs::write(info.join("files"), "../../../../etc/passwd\n").unwrap();
    workdir.make(&[]).code(1).says("leads out of the package");
}

#[test]
fn the_oldest_glibc_is_that_of_all_packages() {
    for (tags, glibc) in [
        ("manylinux_2_34_x86_64", "2.34"),
        ("manylinux_2_5_x86_64.manylinux1_x86_64", "2.5"),
        ("manylinux2014_x86_64", "2.17"),
        ("any", ""),
    ] {
        let workdir = Workdir::new();
        let file = format!("g-1.0-py3-none-{tags}.whl");
        let link = format!("wheels-v6/pypi/g/1.0-py3-none-{tags}");
        workdir.unpacked("g", "1.0", "g-id", &link);
        workdir.pointer(&format!("{link}.http"), &pointer("g-id", None, Some(&file)));
        workdir.relock(|text| {
            let six = "\n      - pypi: https://files.example/six";
            text.replace(
                six,
                &format!("\n      - pypi: https://files.example/{file}{six}"),
            ) + &format!("- pypi: https://files.example/{file}\n  name: g\n  version: '1.0'\n")
        });
        workdir.make(&[]).success();
        let script = workdir
            .sandbox
            .work()
            .join("W/product/bootstrap-project.sh");
        let script = fs::read_to_string(script).unwrap();
        let line = script
            .lines()
            .find(|line| line.trim().starts_with("glibc="))
            .unwrap();
        assert!(line.contains(&format!("'{glibc}'")), "{tags}: {line}");
    }
}

/// The guide's command that looks for logins in a product's cache.
fn command_of_the_guide() -> String {
    let guide =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide.md")).unwrap();
    let mut lines = guide
        .lines()
        .filter(|line| line.starts_with("$ ! ") && line.contains("pkg-cache"));
    lines
        .next()
        .unwrap()
        .strip_prefix("$ ")
        .unwrap()
        .replace("work/product", "W/product")
}

#[test]
fn logins_in_the_cache_are_found_by_us_and_by_the_guides_command() {
    const VALUE: &str = "S3CRETpw";
    let by_the_guide = |workdir: &Workdir| {
        let mut command = workdir.sandbox.program(Path::new("/bin/bash"));
        command.args(["-c", &command_of_the_guide()]);
        Run::of(&mut command)
    };
    let clean = Workdir::new();
    clean.sandbox.write(
        "W/pixi-cache/pkgs/a-1.0-0/info/repodata_record.json",
        "{\"url\": \"https://conda.example/chan/linux-64/a-1.0-0.conda\"}",
    );
    let run = clean.make(&["--secrets", "deny"]);
    run.success();
    by_the_guide(&clean).success();

    let basic = data_encoding::BASE64.encode(format!("user:{VALUE}").as_bytes());
    let plant = |text: &str| {
        let mut bytes = pointer("six-id", None, Some("six-1.17.0-py3-none-any.whl"));
        bytes.extend(b"\0\xff\x94");
        bytes.extend(text.as_bytes());
        bytes.extend(b"\0\0\xff\xfe");
        bytes
    };
    let wheel = "uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any";
    for (file, text) in [
        (
            format!("{wheel}.http"),
            format!("http://h.corp/six/\"x\"authorizationBasic {basic}"),
        ),
        (
            format!("{wheel}.http"),
            format!("authorizationBearer {VALUE}123"),
        ),
        (
            format!("{wheel}.http"),
            format!("https://user:{VALUE}@h.corp/six-1.17.0-py3-none-any.whl"),
        ),
        (
            format!("{wheel}.msgpack"),
            format!("https://h.corp/six.whl?token={VALUE}"),
        ),
        (
            "pkgs/a-1.0-0/info/repodata_record.json".to_owned(),
            format!("{{\"channel\": \"https://h.corp/t/tk-{VALUE}/chan\"}}"),
        ),
        (
            "uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/metadata.msgpack".to_owned(),
            format!("https://u:{VALUE}@h.corp/x"),
        ),
    ] {
        let workdir = Workdir::new();
        workdir
            .sandbox
            .write(Path::new("W/pixi-cache").join(&file), plant(&text));
        let run = workdir.make(&["--secrets", "deny"]);
        run.code(2).says(&file);
        assert!(!run.stderr.contains(VALUE), "{run}");
        assert!(!workdir.sandbox.work().join("W/product").exists());
        workdir.make(&[]).success().says(&file);
        let run = by_the_guide(&workdir);
        run.code(1);
        assert!(run.stdout.contains(&file), "{run}");
        workdir
            .make(&["--secrets", "deny", "--allow-secret", &format!("/{file}")])
            .success();
    }

    // What stays behind is not searched; whole it is.
    let workdir = Workdir::new();
    let page = "W/pixi-cache/uv-cache/simple-v21/pypi/six.rkyv";
    workdir
        .sandbox
        .write(page, plant(&format!("\"x\"authorizationBasic {basic}")));
    workdir.make(&["--secrets", "deny"]).success();
    workdir
        .make(&["--secrets", "deny", "--cache", "full"])
        .code(2)
        .says("six.rkyv: login in a header");
    let workdir = Workdir::new();
    workdir.sandbox.write(
        "W/pixi-cache/uv-cache/git-v0/db/0a1b/.git/config",
        format!("[remote \"o\"]\nurl = https://u:{VALUE}@h.corp/x\n"),
    );
    workdir
        .make(&["--secrets", "deny", "--cache", "full"])
        .code(2)
        .says("git-v0/db/0a1b/.git/config");
}
