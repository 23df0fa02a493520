//! What a build left: its lock, the platform that pixi chose for each environment, and the
//! environments that the verification had pixi install besides.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::container::Outcome;
use crate::container::scripts;
use crate::context::Context;
use crate::evidence::{InstalledPlatform, Sha256Digest, WorkdirRecord};
use crate::layout::{self, ProjectPlace, Workdir};
use crate::packages::{Lock, Subdir, subdir_of_image};
use crate::request::EnvironmentName;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};
use crate::workspace::pixi_check;

/// The longest list of installed packages that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// An environment that is installed, as the script in the container lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct InstalledEnvironment {
    /// Its conda packages, `name-version-build`.
    conda_packages: BTreeSet<String>,
    /// The virtual packages of the platform that pixi chose; pixi tells since 0.72.
    virtual_packages: Vec<String>,
}

/// What is installed, by environment.
#[derive(Debug, Default)]
pub(crate) struct InstalledList(BTreeMap<String, InstalledEnvironment>);

impl InstalledList {
    /// Reads the list that the script left in the container's out directory, which is
    /// `below` in `dir`, and removes it. One that cannot be read says nothing.
    pub(crate) fn take(dir: &Path, below: &str) -> InstalledList {
        let Ok(dir) = UntrustedDir::open(dir) else {
            return InstalledList::default();
        };
        let file = Path::new(below).join(scripts::INSTALLED);
        let bytes = dir.read(&file, LONGEST).unwrap_or_default();
        let _ = dir.remove(&file);
        InstalledList(parse(&String::from_utf8_lossy(&bytes)))
    }
}

/// Takes over into the record what a build left in its workdir.
///
/// # Errors
///
/// When the lock cannot be read, or is another one although it was to stay
/// as it is.
pub(crate) fn learn(
    InstalledList(installed): &InstalledList,
    outcome: &Outcome,
    workdir: &Workdir,
    project: &ProjectPlace,
    record: &mut WorkdirRecord,
    context: &Context,
) -> anyhow::Result<()> {
    record.lock.built = lock_digest(workdir, project)?;
    if outcome.phase("install") != Some(0) {
        return Ok(());
    }
    anyhow::ensure!(
        !record.lock.frozen || record.lock.built == record.lock.staged,
        "pixi.lock was changed by the build, although --frozen was given; see what the project's tasks do"
    );
    // What is wrong with it is told when a product is made.
    let file = workdir.project(project).join(layout::LOCK_FILE);
    let Ok(Some(lock)) = context.locks.read(&file) else {
        return Ok(());
    };
    if let Some(version) = record.pixi_version()
        && lock.builds_conda_packages(&record.environments)
    {
        pixi_check::require_new_enough(version)?;
    }
    if outcome.phase("verify") == Some(0) {
        let more = installed_besides(installed, &lock, &record.environments);
        if !more.is_empty() {
            context.report.note(format_args!(
                "the verification made pixi install more environments: {}; the product includes them, too (name them with --environment)",
                more.join(", ")
            ));
            record.environments.extend(more.iter().cloned());
            record.environments_of_verification = more;
        }
    }
    let image = record.image.as_ref();
    let subdir = image.and_then(|image| subdir_of_image(&image.platform));
    record.platforms = chosen_platforms(installed, &lock, &record.environments, subdir);
    Ok(())
}

/// The sha256 of the lock in a project that a container could write; `None` when there
/// is none.
fn lock_digest(workdir: &Workdir, project: &ProjectPlace) -> anyhow::Result<Option<Sha256Digest>> {
    let lock = Path::new(layout::PROJECT)
        .join(project.path())
        .join(layout::LOCK_FILE);
    let digest = UntrustedDir::open(workdir.path())
        .and_then(|dir| dir.digest(&lock, RECORD_LIMIT).map(Some))
        .or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        });
    digest.with_context(|| format!("{} cannot be read", workdir.path().join(lock).display()))
}

/// The platform of each environment that pixi chose, found from what it installed.
fn chosen_platforms(
    installed: &BTreeMap<String, InstalledEnvironment>,
    lock: &Lock,
    environments: &[String],
    subdir: Option<Subdir>,
) -> BTreeMap<String, InstalledPlatform> {
    let chosen = |environment: &String| {
        let found = installed.get(environment)?;
        let (packages, virtual_packages) = (&found.conda_packages, &found.virtual_packages);
        let platform = lock.installed_platform(environment, subdir?, packages, virtual_packages)?;
        let platform = InstalledPlatform {
            name: platform.name.clone(),
            subdir: platform.subdir,
        };
        Some((environment.clone(), platform))
    };
    environments.iter().filter_map(chosen).collect()
}

/// The environments of the lock that are installed and that nobody asked for. What ran in
/// the container may have named any.
fn installed_besides(
    installed: &BTreeMap<String, InstalledEnvironment>,
    lock: &Lock,
    asked: &[String],
) -> Vec<String> {
    let listed = installed.keys();
    listed
        .filter(|name| EnvironmentName::new(name.as_ref()).is_ok())
        .filter(|name| lock.platforms(name).is_some() && !asked.contains(name))
        .cloned()
        .collect()
}

fn parse(text: &str) -> BTreeMap<String, InstalledEnvironment> {
    let mut all = BTreeMap::new();
    let mut current: Option<&mut InstalledEnvironment> = None;
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, &mut current) {
            ("environment", _) => current = Some(all.entry(rest.to_owned()).or_default()),
            ("package", Some(environment)) => {
                environment.conda_packages.insert(rest.to_owned());
            }
            ("file", Some(environment)) => environment.virtual_packages = chosen_by(rest),
            _ => {}
        }
    }
    all
}

/// The virtual packages in the file that pixi writes into `conda-meta/`, there as text or
/// as objects.
fn chosen_by(json: &str) -> Vec<String> {
    let file: Value = serde_json::from_str(json).unwrap_or_default();
    let packages = file.pointer("/resolved_platform/virtual_packages");
    let text = |package: &Value| match package.as_str() {
        Some(text) => Some(text.to_owned()),
        None => {
            let version = package.get("version")?.as_str()?;
            Some(format!("{}={version}", package.get("name")?.as_str()?))
        }
    };
    let packages = packages.and_then(Value::as_array).into_iter().flatten();
    packages.filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_list_is_read_once_and_only_when_it_is_a_file() {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join(scripts::INSTALLED);
        let take = || InstalledList::take(out.path(), "").0;
        assert!(take().is_empty());
        fs::write(out.path().join("other"), "environment a\n").unwrap();
        symlink("other", &file).unwrap();
        assert!(take().is_empty());
        assert!(!file.is_symlink());
        fs::write(&file, b"package x\nenvironment default\npackage a-1-0\npackage b\xff\nfile {\nenvironment t\n").unwrap();
        let list = take();
        assert_eq!(list.keys().collect::<Vec<_>>(), ["default", "t"]);
        assert_eq!(list["default"].conda_packages.len(), 2);
        assert!(!file.exists());
    }

    #[test]
    fn pixis_file_tells_the_virtual_packages_in_both_forms() {
        for json in [
            r#"{"a": 1, "resolved_platform": {"virtual_packages": ["__cuda=12.0=0", "__glibc=2.28"]}}"#,
            r#"{"resolved_platform": {"virtual_packages": [{"name": "__cuda", "version": "12.0=0"}, {"name": "__glibc", "version": "2.28"}]}}"#,
        ] {
            assert_eq!(chosen_by(json), ["__cuda=12.0=0", "__glibc=2.28"], "{json}");
        }
        for json in [
            "",
            "[]",
            "{\"resolved_platform\": null}",
            "{\"resolved_platform\": {\"virtual_packages\": [1]}}",
        ] {
            assert_eq!(chosen_by(json), [""; 0], "{json}");
        }
    }
}
