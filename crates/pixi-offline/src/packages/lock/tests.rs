use super::*;
use crate::packages::Need;
use std::fs;

const SHA: [&str; 2] = [
    "ab11111111111111111111111111111111111111111111111111111111111111",
    "cd22222222222222222222222222222222222222222222222222222222222222",
];

/// Version 4: kinds and names beside each package.
fn v4() -> String {
    format!(
        "version: 4
environments:
  default:
    channels:
    - url: https://conda.example/chan/
    packages:
      linux-64:
      - conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
      osx-arm64: []
packages:
- kind: conda
  name: a
  version: '1.0'
  build: h0_0
  subdir: linux-64
  url: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
  sha256: {}
  depends:
  - __glibc >=2.17,<3.0.a0
",
        SHA[0]
    )
}

/// Version 5: a wheel, a source distribution, the project itself.
fn v5() -> String {
    format!(
        "version: 5
environments:
  default:
    channels:
    - url: https://conda.example/chan/
    indexes:
    - https://index.example/simple
    packages:
      linux-64:
      - conda: https://conda.example/chan/noarch/b-2.0-0.tar.bz2
      - pypi: https://files.example/Six_X-1.17.0-py2.py3-none-any.whl
      - pypi: https://files.example/docopt-0.6.2.tar.gz
      - pypi: .
packages:
- kind: conda
  name: b
  version: '2.0'
  build: '0'
  subdir: noarch
  noarch: generic
  url: https://conda.example/chan/noarch/b-2.0-0.tar.bz2
  sha256: {0}
- kind: pypi
  name: six-x
  version: 1.17.0
  url: https://files.example/Six_X-1.17.0-py2.py3-none-any.whl
  sha256: {0}
- kind: pypi
  name: docopt
  version: 0.6.2
  url: https://files.example/docopt-0.6.2.tar.gz
  sha256: {0}
- kind: pypi
  name: myself
  version: 0.1.0
  path: .
  sha256: {0}
  editable: true
",
        SHA[0]
    )
}

/// Version 6: two environments, git, a path outside.
fn v6() -> String {
    format!(
        "version: 6
environments:
  default:
    channels:
    - url: https://conda.example/chan/
    packages:
      linux-64:
      - conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
  test:
    channels:
    - url: https://other.example/chan/
    - url: file:///home/me/project/chan/
    indexes:
    - https://index.example/simple
    packages:
      linux-64:
      - conda: https://other.example/chan/linux-64/a-1.0-h0_0.conda
      - pypi: git+https://git.example/tool.git?rev=abc#0123456789012345678901234567890123456789
      - pypi: ../lib
packages:
- conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda
  sha256: {}
- conda: https://other.example/chan/linux-64/a-1.0-h0_0.conda
  sha256: {}
- pypi: git+https://git.example/tool.git?rev=abc#0123456789012345678901234567890123456789
  name: tool
  version: 1.0.0
- pypi: ../lib
  name: lib
  version: 0.1.0
  sha256: {}
",
        SHA[0], SHA[1], SHA[0]
    )
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn version_4_with_platforms() {
    let lock = Lock::parse(v4()).unwrap();
    assert_eq!(lock.version(), 4);
    assert_eq!(lock.environments().collect::<Vec<_>>(), ["default"]);
    assert!(!lock.names_local_channel());
    let need = Need::of(&lock, &names(&["default"]), "linux-64", &[]).unwrap();
    let conda: Vec<_> = need.conda.iter().collect();
    assert_eq!(conda.len(), 1);
    assert_eq!(
        (conda[0].stem.as_str(), conda[0].sha256.as_deref()),
        ("a-1.0-h0_0", Some(SHA[0]))
    );
    assert_eq!(need.glibc(), Some((2, 17)));
    let problems = Need::of(&lock, &names(&["default"]), "linux-aarch64", &[]).unwrap_err();
    assert!(
        problems[0].contains("linux-aarch64") && problems[0].contains("osx-arm64"),
        "{problems:?}"
    );
    let problems = Need::of(&lock, &names(&["nope"]), "linux-64", &[]).unwrap_err();
    assert!(
        problems[0].contains("nope") && problems[0].contains("default"),
        "{problems:?}"
    );
}

#[test]
fn version_5_tells_wheels_source_distributions_and_folders_apart() {
    let lock = Lock::parse(v5()).unwrap();
    let need = Need::of(&lock, &names(&["default"]), "linux-64", &[]).unwrap();
    let kinds: Vec<_> = need
        .python
        .iter()
        .map(|python| (python.name.as_str(), python.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("docopt", PythonKind::SourceDistribution),
            ("myself", PythonKind::Folder),
            ("six-x", PythonKind::Wheel),
        ]
    );
    assert_eq!(need.conda.iter().next().unwrap().stem, "b-2.0-0");
}

#[test]
fn version_6_with_what_cannot_work_named() {
    let lock = Lock::parse(v6()).unwrap();
    assert!(lock.names_local_channel());
    Need::of(&lock, &names(&["default"]), "linux-64", &[]).unwrap();
    let problems = Need::of(&lock, &names(&["default", "test"]), "linux-64", &[])
        .unwrap_err()
        .join("\n");
    assert!(
        problems.contains("lib is a dependency by a path outside of the project (../lib)"),
        "{problems}"
    );
    assert!(
        problems.contains("a-1.0-h0_0 with different content"),
        "{problems}"
    );
    assert!(!problems.contains("tool"), "{problems}");
}

#[test]
fn a_package_that_would_lie_outside_of_the_cache_is_refused() {
    // A file name that says no build, so that the lock's own counts.
    let lock = v4()
        .replace("build: h0_0", "build: ../../../x")
        .replace("a-1.0-h0_0.conda", "a.conda");
    let error = Lock::parse(lock).unwrap_err().to_string();
    assert!(error.contains("a-1.0-../../../x"), "{error}");
}

#[test]
fn what_is_no_lock_is_said() {
    for text in [
        "",
        "not: [a lock",
        "version: 99\nenvironments: {}\npackages: []\n",
    ] {
        assert!(Lock::parse(text.to_owned()).is_err(), "{text:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pixi.lock");
    assert_eq!(Lock::read(&file).unwrap(), None);
    fs::write(&file, "version: 99\n").unwrap();
    let error = format!("{:#}", Lock::read(&file).unwrap_err());
    assert!(
        error.contains("pixi.lock") && error.contains("99"),
        "{error}"
    );
}

/// Real locks, odd ones, in a folder that `PIXI_LOCK_SAMPLES` names.
#[test]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test asks its surroundings"
)]
fn real_locks() {
    let Some(folder) = std::env::var_os("PIXI_LOCK_SAMPLES") else {
        eprintln!("not checked: PIXI_LOCK_SAMPLES is not set");
        return;
    };
    let mut read = 0;
    for sample in fs::read_dir(folder).unwrap() {
        let sample = sample.unwrap().path();
        let file = sample.join("pixi.lock");
        if !file.is_file() {
            continue;
        }
        let lock = Lock::read(&file).unwrap().unwrap();
        let version = format!("v{}-", lock.version());
        let name = sample.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            name.starts_with(&version) || name.starts_with("big"),
            "{name} is {version}"
        );
        for environment in lock.environments() {
            for platform in lock.platforms(environment).unwrap() {
                match Need::of(&lock, &names(&[environment]), platform, &[]) {
                    Ok(need) => eprintln!(
                        "{name} {environment} {platform}: {} conda, {} python",
                        need.conda.len(),
                        need.python.len()
                    ),
                    Err(problems) => {
                        eprintln!("{name} {environment} {platform}: {}", problems.join("; "))
                    }
                }
            }
        }
        read += 1;
    }
    assert!(read > 0, "no sample");
}
