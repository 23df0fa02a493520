//! What of a package cache goes into a product, and what is found missing or
//! damaged. The caches have the layout that pixi and uv write.

mod damage;
mod strangers;
mod wheels;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use testbed::sandbox::{Run, Sandbox, words};

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
        for other in words(
            "repodata/x.json http-cache/x uv-cache/simple-v21/pypi/six.rkyv \
             uv-cache/builds-v0/x uv-cache/interpreter-v4/x pixi-offline-bin/pixi",
        ) {
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
        let dir = PathBuf::from(format!("W/pixi-cache/pkgs/{name}-1.0-0"));
        self.sandbox.write(dir.join("info/index.json"), "{}");
        let mut paths = Vec::new();
        for (file, content) in [("bin/tool", "tool"), ("share/data", "")] {
            self.sandbox.write(dir.join(file), content);
            paths.push(serde_json::json!({
                "_path": file, "path_type": "hardlink", "size_in_bytes": content.len(),
                "sha256": format!("{:x}", Sha256::digest(content)),
            }));
        }
        symlink("tool", self.sandbox.work().join(&dir).join("bin/link")).unwrap();
        paths.push(serde_json::json!({
            "_path": "bin/link", "path_type": "softlink", "sha256": format!("{:x}", Sha256::digest("tool")),
        }));
        let paths = serde_json::json!({"paths": paths, "paths_version": 1});
        self.sandbox
            .write(dir.join("info/paths.json"), paths.to_string());
        let mut record = vec![0, 0, 0, 0, 0, 0, 0, 1];
        record
            .extend((0..32).map(|at| u8::from_str_radix(&sha256[2 * at..2 * at + 2], 16).unwrap()));
        self.sandbox
            .write(dir.with_file_name(format!("{name}-1.0-0.lock")), record);
    }

    /// A wheel that uv fetched, with the file name that the lock has.
    fn wheel(&self, name: &str, version: &str, id: &str, link: &str) {
        self.wheel_for("py3", name, version, id, link);
    }

    /// A wheel for a version of Python.
    pub fn wheel_for(&self, python: &str, name: &str, version: &str, id: &str, link: &str) {
        let file = format!("{name}-{version}-{python}-none-any.whl");
        self.unpacked(name, version, id, link);
        self.pointer(&format!("{link}.http"), &pointer(id, None, Some(&file)));
    }

    /// A wheel that uv built of a source distribution, whose directory is `source`.
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
        let mut dirs = vec![top.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    dirs.push(path);
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
        words(
            "pkgs/a-1.0-0.lock pkgs/a-1.0-0/bin/link pkgs/a-1.0-0/bin/tool \
             pkgs/a-1.0-0/info/index.json pkgs/a-1.0-0/info/paths.json pkgs/a-1.0-0/share/data \
             uv-cache/archive-v0/docopt-id/docopt-0.6.2.dist-info/RECORD \
             uv-cache/archive-v0/docopt-id/docopt.py \
             uv-cache/archive-v0/six-id/six-1.17.0.dist-info/RECORD \
             uv-cache/archive-v0/six-id/six.py \
             uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-py3-none-any \
             uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-py3-none-any.whl \
             uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/src/pyproject.toml \
             uv-cache/sdists-v9/pypi/docopt/0.6.2/revision.http \
             uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any \
             uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any.http"
        )
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
