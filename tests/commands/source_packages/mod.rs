//! Packages that pixi builds from source, in a workdir laid out as a build leaves it.

mod build;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testbed::sandbox::{Run, Sandbox};

/// `app`, the project itself, depends on `lib`, in a directory of it; `tool` comes from a git
/// repository. `lib` is locked for another platform, too, and `gone` in an environment that
/// is not built.
const LOCK: &str = "version: 7
platforms:
- name: linux-64
- name: osx-arm64
environments:
  default:
    channels:
    - url: https://conda.example/chan/
    packages:
      linux-64:
      - conda: https://conda.example/chan/linux-64/a-1.0-0.conda
      - conda_source: app[aaaaaaaa] @ .
      - conda_source: lib[bbbbbbbb] @ src/lib
      - conda_source: tool[cccccccc] @ git+https://git.example/tool.git?branch=main#0123456789012345678901234567890123456789
      osx-arm64:
      - conda_source: lib[dddddddd] @ src/lib
  other:
    channels:
    - url: https://conda.example/chan/
    packages:
      linux-64:
      - conda_source: gone[eeeeeeee] @ src/gone
packages:
- conda: https://conda.example/chan/linux-64/a-1.0-0.conda
  sha256: aa00000000000000000000000000000000000000000000000000000000000000
- conda: https://conda.example/chan/linux-64/compiler-1.0-0.conda
  sha256: bb00000000000000000000000000000000000000000000000000000000000000
- conda_source: app[aaaaaaaa] @ .
  depends:
  - lib
  build_packages:
  - conda: https://conda.example/chan/linux-64/compiler-1.0-0.conda
- conda_source: gone[eeeeeeee] @ src/gone
- conda_source: lib[bbbbbbbb] @ src/lib
  variants:
    target_platform: linux-64
- conda_source: lib[dddddddd] @ src/lib
  variants:
    target_platform: osx-arm64
- conda_source: tool[cccccccc] @ git+https://git.example/tool.git?branch=main#0123456789012345678901234567890123456789
";

const ARCHIVE_OF_LIB: &str = "the archive of lib";

struct Workdir {
    sandbox: Sandbox,
}

impl Workdir {
    fn new() -> Workdir {
        let workdir = Workdir {
            sandbox: Sandbox::new(),
        };
        let write = |file: &str, content: &str| workdir.sandbox.write(file, content);
        write(
            "W/project/demo/pixi.toml",
            "[workspace]\npreview = [\"pixi-build\"]\n[package.build.backend]\nname = \"pixi-build-cmake\"\n",
        );
        write("W/project/demo/pixi.lock", LOCK);
        write("W/project/demo/src/lib/recipe.yaml", "package: lib\n");
        write("W/project/demo/src/lib/lib.sh", "echo lib\n");
        let record = workdir.record();
        write("W/workdir.json", &record.to_string());
        workdir.unpacked("a-1.0-0", "aa", "");
        workdir.unpacked("compiler-1.0-0", "bb", "");
        for (name, archive) in [
            ("app", "the archive of app"),
            ("lib", ARCHIVE_OF_LIB),
            ("tool", "the archive of tool"),
        ] {
            workdir.built("default", name, archive);
        }
        write(
            "W/pixi-cache/pixi-offline-built/backends",
            "pixi-build-cmake 0.3.1\npixi-build-rattler-build 0.2.0\n",
        );
        write("W/pixi-cache/backends-v0/x/conda-meta/y.json", "{}");
        workdir
    }

    fn record(&self) -> Value {
        json!({
            "kind": "pixi-offline workdir", "format": 1, "tool_version": "0", "state": "built",
            "project": "demo", "container_workdir": "/workdir", "environments": ["default"],
            "excludes": [], "engine": null, "pixi": "pixi 0.77.0",
            "image": {"reference": "i", "id": "sha256:1", "repo_digests": [], "platform": "linux/amd64"},
            "lock": {"staged": null, "built": null}, "verification": "none",
        })
    }

    fn path(&self, place: &str) -> PathBuf {
        self.sandbox.work().join(place)
    }

    /// A package in the cache, as pixi unpacks it.
    fn unpacked(&self, stem: &str, begin_of_sha256: &str, sha256: &str) {
        let dir = PathBuf::from("W/pixi-cache/pkgs").join(stem);
        let content = format!("content of {stem}");
        self.sandbox.write(dir.join("info/index.json"), "{}");
        self.sandbox.write(dir.join("bin/tool"), &content);
        let paths = json!({"paths_version": 1, "paths": [{
            "_path": "bin/tool", "path_type": "hardlink", "size_in_bytes": content.len(),
            "sha256": format!("{:x}", Sha256::digest(&content)),
        }]});
        self.sandbox
            .write(dir.join("info/paths.json"), paths.to_string());
        let sha256 = match sha256 {
            "" => format!("{begin_of_sha256:0<64}"),
            whole => whole.to_owned(),
        };
        let mut mark = vec![0; 8];
        mark.extend(data_encoding::HEXLOWER.decode(sha256.as_bytes()).unwrap());
        self.sandbox
            .write(dir.with_file_name(format!("{stem}.lock")), mark);
    }

    /// What a build leaves of a source package that an environment got.
    fn built(&self, environment: &str, name: &str, archive: &str) {
        let stem = format!("{name}-1.0-h0_0");
        let sha256 = format!("{:x}", Sha256::digest(archive));
        self.unpacked(&stem, "", &sha256);
        let built = Path::new("W/pixi-cache/pixi-offline-built");
        let place = format!("artifacts-v0/{name}/key/{stem}.conda");
        self.sandbox.write(built.join(&place), archive);
        let depends = if name == "app" {
            vec!["lib"]
        } else {
            Vec::new()
        };
        let record = json!({
            "name": name, "version": "1.0", "build": "h0_0", "build_number": 0, "subdir": "linux-64",
            "depends": depends, "license": "MIT", "sha256": sha256, "size": archive.len(),
            "timestamp": 1_700_000_000_000_u64, "fn": format!("{stem}.conda"), "channel": null,
            "url": format!("file:///workdir/project/demo/.pixi/{place}"),
        });
        let kept = built.join("environments").join(environment);
        self.sandbox
            .write(kept.join(format!("{stem}.json")), record.to_string());
        self.sandbox
            .write(kept.join(format!("{stem}.paths.json")), "[]");
    }

    fn make(&self, more: &[&str]) -> Run {
        let args = ["--workdir", "W"].into_iter().chain(more.iter().copied());
        self.sandbox.run("make-archive-ready-product", args)
    }

    fn read(&self, place: &str) -> String {
        fs::read_to_string(self.path("W/product").join(place)).unwrap()
    }

    fn json(&self, place: &str) -> Value {
        serde_json::from_str(&self.read(place)).unwrap()
    }
}

#[test]
fn they_travel_as_what_they_were_built_into_and_both_locks_go_along() {
    let workdir = Workdir::new();
    workdir.make(&["--deep"]).success();
    assert_eq!(workdir.read("pixi.lock.original"), LOCK);
    let lock = workdir.read("demo/pixi.lock");
    for name in ["app", "lib", "tool"] {
        let line =
            format!("- conda: https://built-from-source.invalid/linux-64/{name}-1.0-h0_0.conda");
        assert_eq!(lock.matches(&line).count(), 2, "{lock}");
    }
    // What the product does not install stays as it is in the lock.
    assert!(
        lock.contains("gone[eeeeeeee]") && lock.contains("lib[dddddddd]"),
        "{lock}"
    );
    let cache = workdir.path("W/product/pkg-cache");
    for (place, is_there) in [
        ("pkgs/lib-1.0-h0_0/bin/tool", true),
        ("pkgs/a-1.0-0/bin/tool", true),
        ("pkgs/compiler-1.0-0", false),
        ("pixi-offline-built", false),
        ("backends-v0", false),
    ] {
        assert_eq!(cache.join(place).exists(), is_there, "{place}");
    }
    let sums = workdir.read("SHA256SUMS");
    for (place, text) in [("pixi.lock.original", LOCK), ("demo/pixi.lock", &lock)] {
        let line = format!("{:x}  {place}\n", Sha256::digest(text));
        assert!(sums.contains(&line), "{sums}");
    }
    let manifest = workdir.json("manifest.json");
    let original = &manifest["project"]["lock"]["original"];
    assert_eq!(original["sha256"], format!("{:x}", Sha256::digest(LOCK)));
    assert_eq!(
        manifest["project"]["lock"]["sha256"],
        format!("{:x}", Sha256::digest(&lock))
    );
    assert!(
        original["why"]
            .as_str()
            .unwrap()
            .contains("built from source"),
        "{original}"
    );
}

#[test]
fn what_they_were_built_from_is_evidence() {
    let workdir = Workdir::new();
    workdir.make(&[]).success();
    let manifest = workdir.json("manifest.json");
    let built = manifest["built"].as_array().unwrap();
    assert_eq!(built.len(), 3, "{built:?}");
    let lib = built.iter().find(|facts| facts["name"] == "lib").unwrap();
    let archive = format!("{:x}", Sha256::digest(ARCHIVE_OF_LIB));
    let source: String = [("lib.sh", "echo lib\n"), ("recipe.yaml", "package: lib\n")]
        .map(|(file, text)| format!("{:x}  {file}\n", Sha256::digest(text)))
        .concat();
    assert_eq!(
        *lib,
        json!({
            "name": "lib", "version": "1.0", "build": "h0_0", "file": "lib-1.0-h0_0.conda",
            "sha256": archive, "environments": ["default"], "source": {"path": "src/lib"},
            "source_sha256": format!("{:x}", Sha256::digest(source)),
            "backend": "pixi-build-rattler-build", "backend_version": "0.2.0",
        })
    );
    let tool = built.iter().find(|facts| facts["name"] == "tool").unwrap();
    let commit = "0123456789012345678901234567890123456789";
    assert_eq!(tool["source"]["commit"], commit);
    assert_eq!(
        tool.get("backend"),
        None,
        "several, and its manifest is elsewhere"
    );
    let bill = workdir.json("sbom.cdx.json");
    let components = bill["components"].as_array().unwrap();
    let component = |name: &str| components.iter().find(|one| one["name"] == name).unwrap();
    let of_lib = component("lib").to_string();
    for told in [
        "conda package built from source",
        "pkg:generic/lib@1.0",
        "src/lib",
        "pixi-build-rattler-build",
        &*archive,
        "MIT",
    ] {
        assert!(of_lib.contains(told), "no {told:?} in {of_lib}");
    }
    assert!(
        !bill.to_string().contains("built-from-source.invalid"),
        "{bill}"
    );
    assert!(component("tool").to_string().contains(commit));
    assert!(
        !bill.to_string().contains("compiler"),
        "what it was built with stays behind"
    );
    let provenance = workdir.read("provenance.json");
    let page = workdir.read("report.html");
    let original = format!("{:x}", Sha256::digest(LOCK));
    for (text, told) in [
        (&provenance, &original),
        (&provenance, &archive),
        (&provenance, &commit.to_owned()),
        (&page, &original),
        (&page, &"src/lib".to_owned()),
        (&page, &"pixi-build-rattler-build".to_owned()),
    ] {
        assert!(text.contains(told), "no {told:?} in {text}");
    }
}

#[test]
fn the_same_workdir_gives_the_same_product() {
    let workdir = Workdir::new();
    workdir.make(&[]).success();
    let first = workdir.read("SHA256SUMS");
    let page = workdir.read("report.html");
    workdir
        .sandbox
        .write("W/pixi-cache/pixi-offline-bin/pixi", "pixi");
    workdir.make(&[]).success();
    assert_eq!(workdir.read("SHA256SUMS"), first);
    workdir.make(&["--move-cache"]).success();
    assert_eq!(workdir.read("SHA256SUMS"), first);
    assert!(
        !workdir
            .path("W/product/pkg-cache/pixi-offline-built")
            .exists()
    );
    // What the build left stays with the workdir, and the cache may come back.
    for _ in 0..2 {
        fs::rename(
            workdir.path("W/product/pkg-cache"),
            workdir.path("W/pixi-cache"),
        )
        .unwrap();
        workdir.make(&["--bundle-pixi"]).success();
        assert_ne!(workdir.read("SHA256SUMS"), first);
        workdir.make(&["--move-cache"]).success();
        assert_eq!(workdir.read("SHA256SUMS"), first);
        assert_eq!(workdir.read("report.html"), page);
    }
}

#[test]
fn what_the_build_did_not_leave_is_named_and_the_old_product_stays() {
    for (place, said) in [
        (
            "pixi-offline-built",
            "lib (src/lib), and the build produced no package from it",
        ),
        (
            "pixi-offline-built/environments/default/lib-1.0-h0_0.json",
            "lib (src/lib), and the build produced no package from it",
        ),
        (
            "pixi-offline-built/artifacts-v0/lib",
            "no archive lib-1.0-h0_0.conda",
        ),
        ("pkgs/lib-1.0-h0_0", "lib-1.0-h0_0"),
    ] {
        let workdir = Workdir::new();
        workdir.make(&[]).success();
        let sums = workdir.read("SHA256SUMS");
        let path = workdir.path("W/pixi-cache").join(place);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        workdir.make(&[]).code(1).says(said);
        assert_eq!(workdir.read("SHA256SUMS"), sums);
    }
}

#[test]
fn a_link_that_a_container_left_is_not_followed() {
    for place in [
        "pixi-offline-built",
        "pixi-offline-built/environments/default/lib-1.0-h0_0.json",
        "pixi-offline-built/artifacts-v0/lib/key/lib-1.0-h0_0.conda",
    ] {
        let workdir = Workdir::new();
        let path = workdir.path("W/pixi-cache").join(place);
        let elsewhere = workdir.path("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        workdir.make(&[]).code(1).says("pixi-offline-built");
        assert!(!workdir.path("W/product").join("manifest.json").exists());
    }
}

#[test]
fn damage_in_them_is_found_deep_and_another_archive_at_once() {
    let workdir = Workdir::new();
    workdir
        .sandbox
        .write("W/pixi-cache/pkgs/lib-1.0-h0_0/bin/tool", "damaged, quite");
    workdir.make(&["--deep"]).code(1).says("lib-1.0-h0_0");
    let workdir = Workdir::new();
    workdir.unpacked("lib-1.0-h0_0", "ee", "");
    workdir
        .make(&[])
        .code(1)
        .says("lib-1.0-h0_0: the cache holds another archive");
}

#[test]
fn bootstrap_refuses_to_compare_its_lock_with_the_manifest() {
    let workdir = Workdir::new();
    workdir.make(&[]).success();
    let pixi = workdir.sandbox.write("bin/pixi", "#!/bin/sh\n[ \"$1\" != --version ] || { echo pixi 0.77.0; exit 0; }\necho \"installed $*\"\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&pixi, mode).unwrap();
    let script = workdir.path("W/product/bootstrap-project.sh");
    let bootstrap = |args: &[&str]| {
        let mut command = workdir.sandbox.program(&script);
        command.args(["--any-pixi", "--pixi"]).arg(&pixi).args(args);
        Run::of(&mut command)
    };
    bootstrap(&["--", "--locked"])
        .code(2)
        .says("--locked: this product's pixi.lock is not the project's own")
        .says("pixi.lock.original");
    bootstrap(&[]).success().prints("installed install");
}

#[test]
fn a_project_of_the_name_of_the_original_lock_is_refused() {
    let workdir = Workdir::new();
    fs::rename(
        workdir.path("W/project/demo"),
        workdir.path("W/project/pixi.lock.original"),
    )
    .unwrap();
    workdir.make(&[]).code(2).says("pixi.lock.original");
}
