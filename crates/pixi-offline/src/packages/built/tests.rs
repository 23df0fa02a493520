use std::fs;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::digest::hexadecimal;

/// A lock of two environments: `root` depends on `lib`, and both are built from source.
const LOCK: &str = "version: 7
platforms:
- name: linux-64
- name: osx-arm64
environments:
  default:
    channels: []
    packages:
      linux-64:
      - conda_source: lib[aaaaaaaa] @ src/lib
      - conda_source: root[bbbbbbbb] @ .
      osx-arm64:
      - conda_source: lib[eeeeeeee] @ src/lib
  test:
    channels: []
    packages:
      linux-64:
      - conda_source: lib[cccccccc] @ src/lib
packages:
- conda_source: lib[aaaaaaaa] @ src/lib
- conda_source: lib[cccccccc] @ src/lib
  variants:
    python: 3.12.*
- conda_source: lib[eeeeeeee] @ src/lib
  variants:
    target_platform: osx-arm64
- conda_source: root[bbbbbbbb] @ .
  depends:
  - lib
";

/// What a build leaves, laid out as its script does.
struct BuildOutput(tempfile::TempDir);

impl BuildOutput {
    fn new() -> BuildOutput {
        BuildOutput(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("pixi-offline-built")
    }

    fn write(&self, place: &str, content: &str) {
        let file = self.dir().join(place);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    /// A package that an environment got, of an archive and a list of files.
    fn built(&self, environment: &str, name: &str, archive: &str, files: &str) -> &BuildOutput {
        let stem = format!("{name}-1.0-h0_0");
        let sha256 = hexadecimal(&Sha256::digest(archive));
        let key = &sha256[..8];
        self.write(&format!("artifacts-v0/{name}/{key}/{stem}.conda"), archive);
        self.write(
            &format!("environments/{environment}/{stem}.json"),
            &format!(
                r#"{{"name": "{name}", "version": "1.0", "build": "h0_0", "build_number": 0,
                "subdir": "linux-64", "depends": ["x >=1"], "license": "MIT", "sha256": "{sha256}",
                "timestamp": {}, "size": {}, "fn": "{stem}.conda", "channel": null,
                "url": "file:///workdir/project/p/.pixi/artifacts-v0/{name}/{key}/{stem}.conda",
                "files": [], "paths_data": {{"paths": [], "paths_version": 1}}}}"#,
                1_700_000_000_000_u64 + archive.len() as u64,
                archive.len()
            ),
        );
        self.write(
            &format!("environments/{environment}/{stem}.paths.json"),
            files,
        );
        self
    }

    /// What becomes of the lock for these environments.
    fn deliver(&self, environments: &[&str]) -> Result<Option<DeliveredLock>, Vec<String>> {
        let locks = LockCache::default();
        let lock = locks.parse(LOCK.to_owned()).unwrap();
        let lists = environments
            .iter()
            .map(|name| ((*name).to_owned(), "linux-64".to_owned()));
        let lists: Vec<_> = lists.collect();
        let cache = CondaCache::new(self.0.path());
        let built = BuiltPackages::read(&self.dir()).unwrap();
        match built.deliver(&lock, &lists, Subdir::Linux64, &cache, &locks) {
            Ok(Delivery::AsLocked) => Ok(None),
            Ok(Delivery::Replaced(delivered)) => Ok(Some(delivered)),
            Ok(Delivery::Unusable(problems)) => Err(problems),
            Err(error) => panic!("{error:#}"),
        }
    }
}

#[test]
fn what_was_built_stands_in_the_lock_for_what_it_was_built_from() {
    let left = BuildOutput::new();
    left.built("default", "lib", "archive", "[1]")
        .built("default", "root", "other", "[2]");
    let DeliveredLock { lock, built } = left.deliver(&["default"]).unwrap().unwrap();
    let text = lock.text();
    for package in ["lib", "root"] {
        let line = format!("      - conda: {CHANNEL}linux-64/{package}-1.0-h0_0.conda\n");
        assert_eq!(text.matches(&line).count(), 1, "{text}");
    }
    // What the product does not carry is as it was.
    assert!(
        text.contains("lib[cccccccc]") && text.contains("lib[eeeeeeee]"),
        "{text}"
    );
    assert!(!text.contains("lib[aaaaaaaa]"), "{text}");
    let [lib, root] = &built[..] else {
        panic!("{built:?}");
    };
    assert_eq!(lib.package.id.sha256, Some(lib.sha256.to_string()));
    assert_eq!(lib.sha256, Sha256Digest::from(Sha256::digest("archive")));
    assert_eq!(fs::read(&lib.archive).unwrap(), b"archive");
    assert_eq!(lib.source.id.source.to_string(), "src/lib");
    assert_eq!(root.source.id.source.to_string(), ".");
    assert!(lib.package.is_built_from_source());
    let packages = lock.packages("default", Subdir::Linux64).unwrap();
    assert!(packages.iter().all(|package| package.as_conda().is_some()));
}

#[test]
fn archives_of_one_name_are_one_package_where_their_files_are_the_same() {
    let left = BuildOutput::new();
    left.built("default", "lib", "archive", "[1]")
        .built("default", "root", "other", "[2]");
    left.built("test", "lib", "archive built again", "[1]");
    // The cache has the second one.
    let again = Sha256Digest::from(Sha256::digest("archive built again"));
    let mut mark = vec![0; 8];
    mark.extend(Sha256::digest("archive built again"));
    fs::create_dir(left.0.path().join("pkgs")).unwrap();
    fs::write(left.0.path().join("pkgs/lib-1.0-h0_0.lock"), mark).unwrap();
    let DeliveredLock { lock, built } = left.deliver(&["default", "test"]).unwrap().unwrap();
    assert_eq!(built[0].sha256, again);
    assert_eq!(built[0].environments.len(), 2);
    assert_eq!(lock.text().matches("lib-1.0-h0_0.conda").count(), 3);
    left.built("test", "lib", "archive built again", "[other files]");
    let problems = left.deliver(&["default", "test"]).unwrap_err();
    let [problem] = &problems[..] else {
        panic!("{problems:?}");
    };
    for words in ["default", "test", "lib-1.0-h0_0", "--environment"] {
        assert!(problem.contains(words), "{problem}");
    }
}

#[test]
fn what_the_build_did_not_leave_is_named() {
    let left = BuildOutput::new();
    let problems = left.deliver(&["default", "test"]).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("lib (src/lib)"), "{problems:?}");
    left.built("default", "lib", "archive", "[1]")
        .built("default", "root", "other", "[2]");
    assert!(left.deliver(&["default"]).is_ok());
    for (place, content, said) in [
        ("artifacts-v0/lib", "", "no archive lib-1.0-h0_0.conda"),
        (
            "environments/default/lib-1.0-h0_0.json",
            r#""subdir": "osx-arm64""#,
            "for osx-arm64",
        ),
        (
            "environments/default/lib-1.0-h0_0.json",
            r#""build": "h9_9""#,
            "of another name",
        ),
        (
            "environments/default/lib-1.0-h0_0.json",
            r#""fn": "../lib-1.0-h0_0.conda""#,
            "of another name",
        ),
    ] {
        let left = BuildOutput::new();
        left.built("default", "lib", "archive", "[1]")
            .built("default", "root", "other", "[2]");
        let path = left.dir().join(place);
        match content.split_once(": ") {
            None => {
                fs::remove_dir_all(&path).unwrap();
                left.write("artifacts-v0/lib/k/lib-1.0-h0_0.conda", "another archive");
            }
            Some((key, _)) => {
                let text = fs::read_to_string(&path).unwrap();
                let from = text.find(key).unwrap();
                let to = from + text[from..].find(',').unwrap();
                fs::write(&path, format!("{}{content}{}", &text[..from], &text[to..])).unwrap();
            }
        }
        let said_of_it = left.deliver(&["default"]).unwrap_err().join("\n");
        assert!(said_of_it.contains(said), "{said_of_it}");
    }
}

#[test]
fn what_a_build_does_not_leave_is_not_used() {
    let read = |prepare: &dyn Fn(&BuildOutput)| {
        let left = BuildOutput::new();
        left.built("default", "lib", "archive", "[1]");
        prepare(&left);
        format!("{:#}", BuiltPackages::read(&left.dir()).unwrap_err())
    };
    let link = |place: &'static str| {
        move |left: &BuildOutput| {
            let path = left.dir().join(place);
            let _ = fs::remove_file(&path);
            let _ = fs::remove_dir_all(&path);
            std::os::unix::fs::symlink("/etc/passwd", path).unwrap();
        }
    };
    read(&link("environments"));
    read(&link("environments/default/lib-1.0-h0_0.json"));
    read(&link("environments/default/lib-1.0-h0_0.paths.json"));
    read(&link("artifacts-v0/lib"));
    read(&link("backends"));
    read(&|left| left.write("environments/default/x-1-0.json", "{}"));
    read(&|left| left.write("environments/default/notes", ""));
    let error = read(&|left| {
        fs::remove_file(
            left.dir()
                .join("environments/default/lib-1.0-h0_0.paths.json"),
        )
        .unwrap();
    });
    assert!(error.contains("list of files of lib-1.0-h0_0"), "{error}");
    let error = read(&|left| {
        let file = left.dir().join("environments/default/lib-1.0-h0_0.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replace("h0_0", "h/../../../tmp/x")).unwrap();
    });
    assert!(error.contains("invalid version or build string"), "{error}");
    let nothing = BuiltPackages::read(Path::new("/nonexistent")).unwrap();
    assert!(nothing.archives.is_empty());
}

#[test]
fn backends_are_names_and_versions() {
    let left = BuildOutput::new();
    left.write(
        "backends",
        "pixi-build-python 0.4.1\npixi-build-cmake\n\nbad<name> 1\npixi-build-python 0.4.1\nx 1;2\n",
    );
    let built = BuiltPackages::read(&left.dir()).unwrap();
    let shown: Vec<_> = built
        .backends()
        .iter()
        .map(|one| (&*one.name, one.version.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            ("pixi-build-cmake", None),
            ("pixi-build-python", Some("0.4.1")),
            ("x", None)
        ]
    );
}
