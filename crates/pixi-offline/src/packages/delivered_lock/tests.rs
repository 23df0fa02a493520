use std::env;
use std::fs;

use rattler_lock::UrlOrPath;

use super::*;

/// Format 7: a source that is built with another source, an editable one with packages of its
/// own, and settings.
fn v7() -> String {
    let sha = "ab".repeat(32);
    format!(
        "version: 7
platforms:
- name: linux-64
  virtual-packages:
  - __glibc=2.28
- name: gpu
  subdir: linux-64
  virtual-packages:
  - __cuda=12.0
- name: osx-arm64
environments:
  default:
    channels:
    - url: https://conda.example/chan/
    indexes:
    - https://index.example/simple
    options:
      channel-priority: disabled
    packages:
      gpu: []
      linux-64:
      - conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
      - conda_source: root[aaaaaaaa] @ src/root
      - pypi: ./app
      osx-arm64:
      - conda_source: root[bbbbbbbb] @ src/root
  test:
    channels:
    - url: https://conda.example/chan/
    packages:
      linux-64:
      - conda_source: root[aaaaaaaa] @ src/root
packages:
- conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
  sha256: {sha}
- conda: https://conda.example/chan/linux-64/compiler-1.0-h0_0.conda
  sha256: {sha}
- conda_source: root[aaaaaaaa] @ src/root
  variants:
    target_platform: linux-64
  depends:
  - a
  build_packages:
  - conda: https://conda.example/chan/linux-64/compiler-1.0-h0_0.conda
  host_packages:
  - conda_source: tool[cccccccc] @ src/tool
- conda_source: root[bbbbbbbb] @ src/root
  variants:
    target_platform: osx-arm64
- conda_source: tool[cccccccc] @ src/tool
  build_packages:
  - conda: https://conda.example/chan/linux-64/compiler-1.0-h0_0.conda
- pypi: ./app
  name: app
  build_packages:
  - conda: https://conda.example/chan/linux-64/compiler-1.0-h0_0.conda
"
    )
}

/// A binary package in the place of `root`, but for environments `kept`.
fn built(kept: &'static str) -> impl Fn(ListOfLock<'_>, &LockedPackage) -> Option<LockedPackage> {
    move |list, package| {
        let is_root = package.as_source_conda().is_some() && package.name() == "root";
        if !is_root || list.platform != "linux-64" || list.environment == kept {
            return None;
        }
        let locks = LockCache::default();
        let text = "version: 7\nplatforms:\n- name: linux-64\nenvironments:\n  default:\n    channels: []\n    packages:\n      linux-64:\n      - conda: https://built.invalid/linux-64/root-2.0-h1_0.conda\npackages:\n- conda: https://built.invalid/linux-64/root-2.0-h1_0.conda\n  sha256: cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n  depends:\n  - a >=1\n";
        let lock = locks.parse(text.to_owned()).unwrap();
        Some(locks.file(&lock).unwrap().packages()[0].clone())
    }
}

#[test]
fn a_source_becomes_a_binary_package_and_all_else_stays() {
    let locks = LockCache::default();
    let original = locks.parse(v7()).unwrap();
    let delivered = deliver(&original, &locks, &built("")).unwrap().unwrap();
    assert_eq!(delivered.version(), 7);
    let text = delivered.text();
    assert!(!text.contains("root[aaaaaaaa]"), "{text}");
    // Neither needed any more; what the editable package is built with is.
    assert!(!text.contains("tool[cccccccc]"), "{text}");
    assert_eq!(text.matches("compiler-1.0").count(), 2, "{text}");
    for kept in [
        "root[bbbbbbbb]",
        "- name: gpu",
        "channel-priority: disabled",
        "gpu: []",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    let line = "      - conda: https://built.invalid/linux-64/root-2.0-h1_0.conda\n";
    assert_eq!(text.matches(line).count(), 2, "{text}");
    // Where one environment keeps it, so do the packages that it is built with.
    let delivered = deliver(&original, &locks, &built("test"));
    let text = delivered.unwrap().unwrap().text().to_owned();
    assert_eq!(text.matches(line).count(), 1, "{text}");
    for kept in ["root[aaaaaaaa]", "tool[cccccccc]"] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert_eq!(text.matches("compiler-1.0").count(), 4, "{text}");
}

#[test]
fn a_lock_in_which_nothing_is_replaced_is_delivered_as_it_is() {
    let locks = LockCache::default();
    let original = locks.parse(v7()).unwrap();
    assert_eq!(deliver(&original, &locks, &|_, _| None).unwrap(), None);
}

#[test]
fn a_path_of_an_older_format_is_replaced_too() {
    let text = v6();
    let locks = LockCache::default();
    let original = locks.parse(text).unwrap();
    let relative = |_: ListOfLock<'_>, package: &LockedPackage| {
        let mut package = package.clone();
        let LockedPackage::Pypi(PypiPackageData::Source(source)) = &mut package else {
            return None;
        };
        source.location = UrlOrPath::Path("./lib".into()).into();
        Some(package)
    };
    let delivered = deliver(&original, &locks, &relative).unwrap().unwrap();
    assert!(
        delivered.text().contains("- pypi: ./lib\n"),
        "{}",
        delivered.text()
    );
    assert_eq!(original.version(), 6);
    assert_eq!(delivered.version(), 7);
}

/// Format 6, with a package at an absolute path.
fn v6() -> String {
    let sha = "ab".repeat(32);
    format!(
        "version: 6
environments:
  default:
    channels:
    - url: https://conda.example/chan/
    indexes:
    - https://index.example/simple
    packages:
      linux-64:
      - conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
      - pypi: https://files.example/six-1.17.0-py2.py3-none-any.whl
      - pypi: /abs/lib
packages:
- conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
  sha256: {sha}
  depends:
  - __glibc >=2.17
- pypi: https://files.example/six-1.17.0-py2.py3-none-any.whl
  name: six
  version: 1.17.0
  sha256: {sha}
- pypi: /abs/lib
  name: lib
  version: 0.1.0
  sha256: {sha}
  editable: true
"
    )
}

#[test]
fn what_was_not_asked_for_is_found() {
    let locks = LockCache::default();
    let original = locks.parse(v7()).unwrap();
    let file = locks.file(&original).unwrap();
    for (from, to) in [
        ("h0_0", "h9_9"),
        ("channel-priority: disabled", "channel-priority: strict"),
        ("https://index.example", "https://other.example"),
        ("  - __cuda=12.0", "  - __cuda=13.0"),
        ("      - pypi: ./app\n", ""),
        ("  depends:\n  - a\n", ""),
        ("target_platform: osx-arm64", "target_platform: osx-64"),
        (
            "  host_packages:\n  - conda_source: tool[cccccccc] @ src/tool\n",
            "",
        ),
        ("  test:", "  other:"),
    ] {
        let changed = locks.parse(v7().replace(from, to)).unwrap();
        let changed = locks.file(&changed).unwrap();
        require_same(&file, &changed, &|_, _| None).expect_err(from);
    }
    require_same(&file, &file, &|_, _| None).unwrap();
}

/// Real locks of every format, where the machine has them: writing them anew changes nothing.
#[test]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test asks its surroundings"
)]
fn real_locks_are_the_same_when_they_are_written_anew() {
    let Some(samples) = env::var_os("PIXI_LOCK_SAMPLES") else {
        eprintln!("not checked: PIXI_LOCK_SAMPLES is not set");
        return;
    };
    for dir in fs::read_dir(samples).unwrap() {
        let file = dir.unwrap().path().join("pixi.lock");
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let locks = LockCache::default();
        let original = locks.parse(text).unwrap();
        let base = in_format_7(&original, &locks.file(&original).unwrap(), &locks)
            .unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
        let written = build(&base, &|_, _| None).unwrap();
        let written = locks.parse(written.render_to_string().unwrap()).unwrap();
        require_same(&base, &locks.file(&written).unwrap(), &|_, _| None)
            .unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
    }
}
