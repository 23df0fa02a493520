//! How good the search for secrets is: what it finds of what it should, and how
//! often it cries wolf.

use std::path::{Path, PathBuf};
use std::process::Command;

use pixi_offline::secret_search::{Finding, Holder, Search};
use pixi_offline::staging::Rules;
use serde::Deserialize;
use testbed::limit::InTime as _;

/// A table of files, each text in pieces that are put together at run time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    file: PathBuf,
    pieces: Vec<String>,
    /// What is to be found; absent for a decoy.
    kind: Option<String>,
    /// Where; absent when the file itself is meant.
    line: Option<u64>,
}

impl Case {
    /// Puts the file alone into a directory, and searches that.
    fn search(&self) -> (tempfile::TempDir, Vec<Finding>) {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(&self.file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, self.pieces.concat()).unwrap();
        let (files, findings) = search(root.path());
        assert_eq!(files, 1);
        (root, findings)
    }
}

fn search(root: &Path) -> (u64, Vec<Finding>) {
    let mut search = Search::new(Rules::new(), secret_scan::scanner().unwrap());
    let files = search.dir(root, &Rules::new(), Holder::File).files;
    (files, search.findings())
}

#[test]
fn all_forty_secrets_are_found_and_at_most_two_decoys() {
    let secrets: Table = toml_edit::de::from_str(include_str!("secrets.toml")).unwrap();
    let decoys: Table = toml_edit::de::from_str(include_str!("decoys.toml")).unwrap();
    assert_eq!((secrets.case.len(), decoys.case.len()), (40, 40));
    for case in &secrets.case {
        let (root, findings) = case.search();
        let file = root.path().join(&case.file);
        let line = case.line.map(|line| format!(":{line}")).unwrap_or_default();
        let kind = case.kind.as_deref().unwrap();
        let wanted = format!("{}{line}: {kind}", file.display());
        let found: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(found, [wanted]);
    }
    let alarms: Vec<_> = decoys
        .case
        .iter()
        .flat_map(|case| case.search().1)
        .map(|finding| finding.to_string())
        .collect();
    assert!(alarms.len() <= 2, "{alarms:#?}");
    testbed::ran("all_forty_secrets_are_found_and_at_most_two_decoys", 80);
}

/// Debian's python library.
fn python_libraries() -> Vec<PathBuf> {
    testbed::ensure_debian_package("python3", "python3").unwrap();
    let library = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name()?.to_str()?.to_owned();
        (name.starts_with("python3") && path.is_dir()).then_some(path)
    };
    let lib = std::fs::read_dir("/usr/lib").unwrap();
    lib.filter_map(library).collect()
}

/// The sources of the packages that we depend on, where cargo has them.
fn sources_of_our_dependencies() -> Vec<PathBuf> {
    // Those of other systems are not there.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output_in_time()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .filter(|package| package["source"].is_string())
        .map(|package| Path::new(package["manifest_path"].as_str().unwrap()))
        .filter_map(|manifest| manifest.parent().map(Path::to_owned))
        .collect()
}

#[test]
fn trees_that_nobody_here_wrote_give_at_most_one_alarm_in_a_thousand_files() {
    let mut all = 0;
    for (what, dirs) in [
        ("Debian's python library", python_libraries()),
        ("our dependencies", sources_of_our_dependencies()),
    ] {
        let mut files = 0;
        let mut alarms = Vec::new();
        for dir in &dirs {
            let (more, findings) = search(dir);
            files += more;
            alarms.extend(findings.iter().map(Finding::to_string));
        }
        eprintln!("{what}: {files} files, alarms: {alarms:#?}");
        assert!(files > 500, "{what} has only {files} files");
        assert!(
            alarms.len() as u64 <= files / 1000,
            "{what}: {alarms:#?} in {files} files"
        );
        all += files;
    }
    testbed::ran(
        "trees_that_nobody_here_wrote_give_at_most_one_alarm_in_a_thousand_files",
        all,
    );
}
