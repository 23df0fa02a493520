use super::*;
use crate::packages::lock_cache::{is_flat, not_checked_out};
use crate::packages::{Inventory, LocalSources, LockCache, Requirements};
use std::fs;
use std::path::Path;

fn parse(text: String) -> anyhow::Result<Lock> {
    LockCache::default().parse(text)
}

fn read(file: &Path) -> anyhow::Result<Option<Lock>> {
    LockCache::default().read(file)
}

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

/// Version 7: two platforms of one subdir in two environments, a third that needs
/// nothing.
fn v7() -> String {
    let package = |name: &str, digit: char, depends: &str| {
        format!(
            "- conda: https://conda.example/chan/linux-64/{name}-1.0-h0_0.conda\n  sha256: {}\n{depends}",
            digit.to_string().repeat(64)
        )
    };
    let url = "- conda: https://conda.example/chan/linux-64";
    format!(
        "version: 7
platforms:
- name: linux-64
- name: gpu-box
  subdir: linux-64
  virtual-packages:
  - __cuda=12.4
- name: p2
  subdir: linux-64
  virtual-packages:
  - __cuda=11.0
- name: osx-arm64
environments:
  bare:
    channels:
    - url: https://conda.example/chan/
    packages: {{}}
  default:
    channels:
    - url: https://conda.example/chan/
    packages:
      gpu-box:
      {url}/a-1.0-h0_0.conda
      {url}/torch-1.0-h0_0.conda
      linux-64:
      {url}/a-1.0-h0_0.conda
      osx-arm64: []
      p2:
      {url}/a-1.0-h0_0.conda
      {url}/torch-1.0-h0_0.conda
  gpu:
    channels:
    - url: https://conda.example/chan/
    packages:
      gpu-box:
      {url}/a-1.0-h0_0.conda
  mac:
    channels:
    - url: https://conda.example/chan/
    packages:
      osx-arm64:
      {url}/a-1.0-h0_0.conda
packages:
{}{}",
        package("a", 'a', ""),
        package("torch", 'b', "  depends:\n  - __cuda >=11\n"),
    )
}

fn platforms<'a>(lock: &'a Lock, environment: &str) -> Vec<&'a str> {
    let platforms = lock.platforms(environment).unwrap();
    platforms.map(|platform| &*platform.name).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What environments need by a lock.
fn needed_by(
    lock: &Lock,
    environments: &[&str],
    subdir: Subdir,
) -> Result<Requirements, Vec<String>> {
    Requirements::of(lock, &names(environments), subdir, &LocalSources::default())
}

#[test]
fn version_4_with_platforms() {
    let lock = parse(v4()).unwrap();
    assert_eq!(lock.version(), 4);
    assert_eq!(lock.environments().collect::<Vec<_>>(), ["default"]);
    assert!(!lock.names_local_channel());
    let need = needed_by(&lock, &["default"], Subdir::Linux64).unwrap();
    let conda: Vec<_> = need.conda.iter().collect();
    assert_eq!(conda.len(), 1);
    assert_eq!(
        (conda[0].stem.as_str(), conda[0].id.sha256.as_deref()),
        ("a-1.0-h0_0", Some(SHA[0]))
    );
    assert_eq!(need.glibc(), Some((2, 17)));
    let problems = needed_by(&lock, &["default"], Subdir::LinuxAarch64).unwrap_err();
    assert!(
        problems[0].contains("linux-aarch64") && problems[0].contains("osx-arm64"),
        "{problems:?}"
    );
    let problems = needed_by(&lock, &["nope"], Subdir::Linux64).unwrap_err();
    assert!(
        problems[0].contains("nope") && problems[0].contains("default"),
        "{problems:?}"
    );
}

#[test]
fn version_5_tells_wheels_source_distributions_and_dirs_apart() {
    let lock = parse(v5()).unwrap();
    let need = needed_by(&lock, &["default"], Subdir::Linux64).unwrap();
    let kinds: Vec<_> = need
        .python
        .iter()
        .map(|python| (python.id.name.as_str(), python.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("docopt", PythonKind::SourceDistribution),
            ("myself", PythonKind::Dir),
            ("six-x", PythonKind::Wheel),
        ]
    );
    assert_eq!(need.conda.iter().next().unwrap().stem, "b-2.0-0");
}

#[test]
fn version_6_with_what_cannot_work_named() {
    let lock = parse(v6()).unwrap();
    assert!(lock.names_local_channel());
    needed_by(&lock, &["default"], Subdir::Linux64).unwrap();
    let problems = needed_by(&lock, &["default", "test"], Subdir::Linux64)
        .unwrap_err()
        .join("\n");
    assert!(
        problems.contains("path dependency lib is outside the project (../lib)"),
        "{problems}"
    );
    assert!(
        problems.contains("different builds of a-1.0-h0_0 under the same file name"),
        "{problems}"
    );
    assert!(!problems.contains("tool"), "{problems}");
}

#[test]
fn of_several_platforms_of_one_subdir_it_is_the_one_that_was_installed() {
    let stems = |stems: &[&str]| {
        stems
            .iter()
            .map(|stem| format!("{stem}-1.0-h0_0"))
            .collect()
    };
    let told = |args: &[&str]| names(args);
    // What a hash map gives differs from one reading to the next.
    for _ in 0..50 {
        let lock = parse(v7()).unwrap();
        assert_eq!(
            platforms(&lock, "default"),
            ["linux-64", "gpu-box", "p2", "osx-arm64"]
        );
        let chosen = |installed: &[&str], args: &[&str]| {
            let found =
                lock.installed_platform("default", Subdir::Linux64, &stems(installed), &told(args));
            found.map(|platform| platform.name.as_str())
        };
        assert_eq!(chosen(&["a"], &[]), Some("linux-64"));
        assert_eq!(
            chosen(&["a", "built-here"], &["__glibc=2.28"]),
            Some("linux-64")
        );
        // Both have the same packages: what pixi tells decides, else the first.
        assert_eq!(chosen(&["a", "torch"], &[]), Some("gpu-box"));
        assert_eq!(chosen(&["a", "torch"], &["__cuda=11.0=0"]), Some("p2"));
        assert_eq!(
            chosen(&["a", "torch"], &["__linux=4.18", "__cuda=12.4"]),
            Some("gpu-box")
        );
        assert_eq!(chosen(&["torch"], &[]), None);
        assert_eq!(
            lock.installed_platform("gpu", Subdir::OsxArm64, &stems(&["a"]), &[]),
            None
        );

        let asked = lock.platform("default", "p2").unwrap().requirements();
        assert_eq!(asked, ["__cuda >=11.0"]);
        let need = |lock: &Lock| {
            let need = needed_by(lock, &["default"], Subdir::Linux64).unwrap();
            need.conda.len()
        };
        assert_eq!(need(&lock), 1, "the one that is named like its subdir");
        let lock = lock.choosing([("default", "gpu-box"), ("gpu", "nothing"), ("x", "p2")]);
        assert_eq!(need(&lock), 2);
        assert_eq!(platforms(&lock, "default"), ["gpu-box", "osx-arm64"]);
        assert_eq!(platforms(&lock, "gpu"), ["gpu-box"]);
        let inventory = |subdir| Inventory::of(&lock, &names(&["default"]), subdir);
        assert_eq!(inventory(Some(Subdir::Linux64)).packages().len(), 2);
        assert_eq!(inventory(Some(Subdir::OsxArm64)).packages().len(), 0);
    }
}

#[test]
fn an_environment_that_needs_nothing_is_for_the_platforms_of_its_lock() {
    let lock = parse(v7()).unwrap();
    let bare = ["bare"];
    for platform in [Subdir::Linux64, Subdir::OsxArm64] {
        needed_by(&lock, &bare, platform).unwrap();
    }
    let problems = needed_by(&lock, &bare, Subdir::LinuxAarch64).unwrap_err();
    assert!(
        problems[0].contains("add linux-aarch64 to the platforms"),
        "{problems:?}"
    );
    // Before format 7 nothing says it.
    let lock = v4().replace("      linux-64:\n      - conda: https://conda.example/chan/linux-64/a-1.0-h0_0.conda\n      osx-arm64: []\n", "").replace("    packages:\n", "    packages: {}\n");
    let lock = parse(lock).unwrap();
    assert_eq!(platforms(&lock, "default"), [""; 0]);
    needed_by(&lock, &["default"], Subdir::Linux64).unwrap();
}

#[test]
fn another_image_is_advised_only_where_one_can_help() {
    let problem = |lock: &str, platform| {
        let lock = parse(lock.to_owned()).unwrap();
        needed_by(&lock, &["default"], platform).unwrap_err()[0].clone()
    };
    let for_linux = problem(&v4(), Subdir::LinuxAarch64);
    assert!(
        for_linux.ends_with("or use an image for linux-64"),
        "{for_linux}"
    );
    let for_mac = problem(
        &v4().replace("      linux-64:", "      osx-64:"),
        Subdir::Linux64,
    );
    assert!(
        !for_mac.contains("image for") && for_mac.contains("add linux-64"),
        "{for_mac}"
    );
}

#[test]
fn what_git_has_not_finished_is_no_lock_and_the_way_out_is_said() {
    let said = |text: String| parse(text).unwrap_err().to_string();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 699009\n";
    assert!(said(pointer.to_owned()).contains("git lfs pull"));
    let sides = |end: &str| {
        v6().replace("packages:\n- conda", &format!("packages:{end}<<<<<<< HEAD{end}- conda: a{end}||||||| base{end}======={end}>>>>>>> theirs{end}- conda"))
    };
    for end in ["\n", "\r\n"] {
        let error = said(sides(end));
        assert!(error.contains("conflict markers, in line 2"), "{error}");
    }
    // A package may be called anything.
    assert!(not_checked_out("a: '<<<<<<< x'\n").is_none());
}

#[test]
fn a_lock_that_is_there_and_cannot_be_read_is_an_error_and_none_at_all_is_none() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    symlink("nowhere", path("dangling")).unwrap();
    symlink("circle", path("circle")).unwrap();
    fs::create_dir(path("dir")).unwrap();
    symlink("dir", path("to-dir")).unwrap();
    fs::write(path("real"), v4()).unwrap();
    symlink("real", path("link")).unwrap();
    for name in ["dangling", "circle", "dir", "to-dir"] {
        let followed = LockCache::default().read_through_links(&path(name));
        for error in [followed.unwrap_err(), read(&path(name)).unwrap_err()] {
            assert_eq!(crate::failure::exit_code(&error), 2, "{name}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    assert_eq!(read(&path("none")).unwrap(), None);
    assert_eq!(
        LockCache::default()
            .read_through_links(&path("none"))
            .unwrap(),
        None
    );
    let lock = LockCache::default()
        .read_through_links(&path("link"))
        .unwrap();
    assert_eq!(read(&path("real")).unwrap(), lock);
    assert!(
        read(&path("link")).is_err(),
        "what a container made may lead anywhere"
    );
}

#[test]
fn a_package_that_would_lie_outside_of_the_cache_is_refused() {
    // A file name that says no build, so that the lock's own counts.
    let lock = v4()
        .replace("build: h0_0", "build: ../../../x")
        .replace("a-1.0-h0_0.conda", "a.conda");
    let error = parse(lock).unwrap_err().to_string();
    assert!(error.contains("a-1.0-../../../x"), "{error}");
}

#[test]
fn what_is_no_lock_is_said() {
    for text in [
        "",
        "not: [a lock",
        "version: 99\nenvironments: {}\npackages: []\n",
    ] {
        assert!(parse(text.to_owned()).is_err(), "{text:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pixi.lock");
    assert_eq!(read(&file).unwrap(), None);
    fs::write(&file, "version: 99\n").unwrap();
    let error = format!("{:#}", read(&file).unwrap_err());
    assert!(
        error.contains("pixi.lock") && error.contains("99"),
        "{error}"
    );
}

/// What cannot be: the words of each reason to refuse a lock.
const CANNOT_BE: [&str; 4] = [
    "no packages of environment",
    "outside of the project",
    "with different content",
    "has it built for",
];

/// Real locks, odd ones, in a directory that `PIXI_LOCK_SAMPLES` names.
#[test]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test asks its surroundings"
)]
fn real_locks() {
    let Some(dir) = std::env::var_os("PIXI_LOCK_SAMPLES") else {
        eprintln!("not checked: PIXI_LOCK_SAMPLES is not set");
        return;
    };
    let mut samples = 0;
    for sample in fs::read_dir(dir).unwrap() {
        let sample = sample.unwrap().path();
        let file = sample.join("pixi.lock");
        if !file.is_file() {
            continue;
        }
        let lock = read(&file).unwrap().unwrap();
        // Nothing depends on the order of a hash map.
        let inventory = |lock: &Lock| {
            let all: Vec<String> = lock.environments().map(str::to_owned).collect();
            Inventory::of(lock, &all, None)
        };
        let described = inventory(&lock);
        for round in 1..50 {
            let again = parse(lock.text().to_owned()).unwrap();
            assert_eq!(again, lock, "{}", file.display());
            // A tenth of them: it takes longer than all the rest.
            if round % 10 == 0 {
                assert_eq!(inventory(&again), described, "{}", file.display());
            }
        }
        let version = format!("v{}-", lock.version());
        let name = sample.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            name.starts_with(&version) || name.starts_with("big"),
            "{name} is {version}"
        );
        for environment in lock.environments() {
            for platform in lock.platforms(environment).unwrap() {
                let (platform, subdir) = (&platform.name, platform.subdir);
                let chosen = lock.choosing([(environment, &**platform)]);
                match needed_by(&chosen, &[environment], subdir) {
                    Ok(need) => eprintln!(
                        "{name} {environment} {platform}: {} conda, {} python",
                        need.conda.len(),
                        need.python.len()
                    ),
                    Err(problems) => {
                        eprintln!("{name} {environment} {platform}: {}", problems.join("; "));
                        let is_known = |problem: &String| {
                            CANNOT_BE.iter().any(|reason| problem.contains(reason))
                        };
                        assert!(problems.iter().all(is_known), "{problems:?}");
                    }
                }
            }
        }
        samples += 1;
    }
    assert!(samples > 0, "no sample");
}

#[test]
fn nested_brackets_end_in_an_error_at_once() {
    for bracket in ["[", "{a: ", "\n["] {
        let text = format!("version: 6\nx: {}", bracket.repeat(300_000));
        let since = std::time::Instant::now();
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("brackets"), "{error}");
        assert!(since.elapsed().as_secs() < 5, "{:?}", since.elapsed());
    }
    let closed = v4().replace("a-1.0", "a-1.0[x]");
    assert!(is_flat(&closed.repeat(2000)));
}

#[test]
fn each_content_is_parsed_once_in_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pixi.lock");
    fs::write(&file, v6()).unwrap();
    let run = LockCache::default();
    let first = run.read(&file).unwrap().unwrap();
    let is_first = |lock: &Lock| Arc::ptr_eq(&lock.text, &first.text);
    // Another step, and another project of the same content.
    assert!(is_first(&run.read_through_links(&file).unwrap().unwrap()));
    assert!(is_first(&run.clone().parse(v6()).unwrap()));
    assert!(is_first(&first.choosing([("default", "linux-64")])));
    // A build wrote a new one, once.
    fs::write(&file, v5()).unwrap();
    let new = run.read(&file).unwrap().unwrap();
    assert!(!is_first(&new) && new.version() == 5);
    assert!(Arc::ptr_eq(&new.text, &run.parse(v5()).unwrap().text));
    assert!(is_first(&run.parse(v6()).unwrap()));
}

/// Two environments, each with one package of these addresses and lines of its own.
fn one_each(packages: &[(&str, &str); 2]) -> Lock {
    let environment = |name: &str, url: &str| {
        format!(
            "  {name}:\n    channels:\n    - url: https://conda.example/chan/\n    packages:\n      linux-64:\n      - conda: {url}\n"
        )
    };
    let [(one, of_one), (other, of_other)] = packages;
    let text = format!(
        "version: 6\nenvironments:\n{}{}packages:\n- conda: {one}\n{of_one}- conda: {other}\n{of_other}",
        environment("default", one),
        environment("other", other),
    );
    parse(text).unwrap()
}

#[test]
fn two_archives_that_share_a_place_in_the_cache_are_refused_by_their_addresses() {
    let both = |packages: &[(&str, &str); 2]| {
        needed_by(&one_each(packages), &["default", "other"], Subdir::Linux64)
            .map_err(|p| p.join("\n"))
    };
    let sha256 = |digit: &str| format!("  sha256: {}\n", digit.repeat(64));
    let md5 = |digit: &str| format!("  md5: {}\n", digit.repeat(32));
    let new = "https://conda.example/chan/linux-64/a-1.0-0.conda";
    let old = "https://conda.example/chan/linux-64/a-1.0-0.tar.bz2";
    let elsewhere = "https://conda.example/label/linux-64/a-1.0-0.conda";
    for (other, advice) in [
        (old, "`pixi update a`"),
        (elsewhere, "build one product per environment"),
    ] {
        for (one, two) in [
            (sha256("a"), sha256("b")),
            (md5("a"), sha256("b") + &md5("b")),
            (md5("a"), sha256("b")),
            (String::new(), String::new()),
        ] {
            let said = both(&[(new, &one), (other, &two)]).unwrap_err();
            let is_named = [new, other, advice].iter().all(|arg| said.contains(arg));
            assert!(is_named, "{said}");
        }
        // A mirror has the same archive at another address.
        both(&[(new, &sha256("a")), (other, &sha256("a"))]).unwrap();
        both(&[(new, &(sha256("a") + &md5("a"))), (other, &md5("a"))]).unwrap();
    }
}

#[test]
fn the_place_in_the_cache_is_that_of_the_record() {
    let capital = "https://conda.example/chan/linux-64/MyTool-1.0-H0.conda";
    let plain = "https://conda.example/chan/linux-64/b-2.0+local-0.tar.bz2";
    let lock = one_each(&[(capital, "  name: mytool\n"), (plain, "")]);
    let need = needed_by(&lock, &["default", "other"], Subdir::Linux64).unwrap();
    let stems: Vec<&str> = need.conda.iter().map(|conda| &*conda.stem).collect();
    assert_eq!(stems, ["b-2.0+local-0", "mytool-1.0-H0"]);
}
