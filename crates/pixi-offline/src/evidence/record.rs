//! `workdir.json`: what later commands know of a build.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::container::{EngineVersion, Image};
use crate::evidence::Sha256Digest;
use crate::evidence::file_header::{self, FileHeader};
use crate::evidence::manifest::EncodedPath;
use crate::layout::{self, PathInRoot, ProjectPlace, Workdir};
use crate::packages::Subdir;
use crate::request::{ProjectName, Verification};
use crate::untrusted_dir::{DirEntry, RECORD_LIMIT, UntrustedDir};

/// The format that this version reads and writes.
const FORMAT: u32 = 1;

/// The name of a record that is being written.
const UNFINISHED: &str = "workdir.json.new";

/// What marks the file as made by these commands.
const KIND: &str = "pixi-offline workdir";

/// How far the build of a workdir came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildState {
    /// The project is staged; nothing is installed, or not to the end.
    #[default]
    Staged,
    /// `pixi install` went well; the verification was not passed.
    Installed,
    /// All that was asked for went well.
    Built,
}

/// The lock file before and after the build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// The sha256 of the staged lock; `None` when the project had none.
    pub staged: Option<Sha256Digest>,
    /// The sha256 after the build; `None` before it.
    pub built: Option<Sha256Digest>,
    /// Whether `--frozen` had it installed as it is, without a comparison with the
    /// manifest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// The sha256 of the project's own lock, where the staged one has relative paths in the
    /// place of absolute ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Sha256Digest>,
}

/// The platform of the lock that pixi installed an environment for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPlatform {
    /// Its name in the lock, which may have several platforms of one subdir.
    pub name: String,
    /// Its subdir, `linux-64` for example.
    pub subdir: Subdir,
}

/// What git said of the directory that a project was staged from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// The commit that was checked out.
    pub commit: String,
    /// Whether something in the project differed from that commit, files that
    /// git does not know included; `None` when git did not tell.
    pub dirty: Option<bool>,
}

/// A version that the build of a package would take from git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitVersion {
    /// The package's name.
    pub package: String,
    /// What makes its version, `setuptools-scm` for example.
    pub tool: String,
    /// The version.
    pub version: String,
    /// The variable by which builds are told; `None` where the tool reads none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

/// What a build made in the project, beside the environments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFiles {
    /// Everything that was not staged, directories before what is in them; `pixi.lock` is not
    /// among it.
    pub entries: Vec<GeneratedEntry>,
    /// Why this is not known, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl GeneratedFiles {
    /// What the build made is not known.
    pub fn unknown(why: String) -> GeneratedFiles {
        GeneratedFiles {
            entries: Vec::new(),
            unknown: Some(why),
        }
    }
}

/// A file, link or directory that a build made in the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedEntry {
    /// Its path below the project.
    pub path: EncodedPath,
    /// The sha256 of a file's content, or of a link's target; a directory has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
}

impl SourceState {
    /// Whether the commit is a name that git could have given: 40 hexadecimal digits,
    /// or 64 in a repository with sha256. A container may say anything.
    pub fn has_plain_commit(&self) -> bool {
        matches!(self.commit.len(), 40 | 64)
            && self.commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// What `workdir.json` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkdirRecord {
    /// The version of these commands that wrote it.
    pub tool_version: String,
    /// How far the build came.
    pub state: BuildState,
    /// The project's name.
    pub project: String,
    /// Where the project is in the directory of that name; empty when it is that directory.
    #[serde(default, skip_serializing_if = "PathInRoot::is_empty")]
    pub in_root: PathInRoot,
    /// Where the project was: from the workdir, or `container:PATH`. It tells two projects of one
    /// name apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_at: Option<String>,
    /// Where the workdir was mounted in the container; links in the package
    /// cache name this path.
    pub container_workdir: String,
    /// The environments that were installed.
    pub environments: Vec<String>,
    /// Those of them that nobody asked for: the verification had pixi install them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments_of_verification: Vec<String>,
    /// The platform that pixi chose, by environment, where it is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, InstalledPlatform>,
    /// The `--exclude` patterns that were added to the usual ones.
    pub excludes: Vec<String>,
    /// The image, as the engine knows it.
    pub image: Option<Image>,
    /// The engine.
    pub engine: Option<EngineVersion>,
    /// What `pixi --version` printed in the container.
    pub pixi: Option<String>,
    /// The lock file.
    pub lock: LockRecord,
    /// What was verified online.
    pub verification: Verification,
    /// The environment that it ran in; records of older versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_in: Option<String>,
    /// The git commit of the project, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceState>,
    /// Variables of the build that say what the machine is, `CONDA_OVERRIDE_CUDA`
    /// for example.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, String>,
    /// When the build was started, in the form of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// Where the package cache was moved to, when that was asked for; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_moved: Option<String>,
    /// What the build made in the project; `None` before it, and in workdirs of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<GeneratedFiles>,
    /// The versions of the project's packages that come from git.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub git_versions: Vec<GitVersion>,
}

impl WorkdirRecord {
    /// The record of a project that is about to be staged.
    pub fn new(
        project: &str,
        container_workdir: &str,
        verification: Verification,
    ) -> WorkdirRecord {
        WorkdirRecord {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            project: project.to_owned(),
            container_workdir: container_workdir.to_owned(),
            environments: vec!["default".to_owned()],
            verification,
            ..WorkdirRecord::default()
        }
    }

    /// Where the project of this name is in the workdir.
    pub fn place_of(&self, name: &ProjectName) -> ProjectPlace {
        let is_recorded = name.as_os_str() == &*self.project;
        ProjectPlace {
            name: name.clone(),
            in_root: match is_recorded {
                true => self.in_root.clone(),
                false => PathInRoot::default(),
            },
        }
    }

    /// The name in the lock of each platform that pixi chose, by environment.
    pub fn platform_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.platforms
            .iter()
            .map(|(environment, platform)| (&**environment, &*platform.name))
    }

    /// The arguments of the command by which the build was verified: `pixi run smoke`; none
    /// when nothing was, or it did not pass.
    pub fn tested(&self) -> Vec<String> {
        let args = self.verification.pixi_args(self.verified_in.as_deref());
        if args.is_empty() || self.state != BuildState::Built {
            return Vec::new();
        }
        let args = std::iter::once("pixi").chain(args);
        args.map(str::to_owned).collect()
    }

    /// The version of the pixi that built it, such as `0.77.0`.
    pub fn pixi_version(&self) -> Option<&str> {
        self.pixi.as_deref()?.split_whitespace().last()
    }

    /// Reads the record of a workdir; `None` when it has none, as the old
    /// scripts' have.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not a record, or one of another format.
    pub fn read(workdir: &Workdir) -> anyhow::Result<Option<WorkdirRecord>> {
        let file = workdir.record();
        let read = UntrustedDir::open(workdir.path())
            .and_then(|dir| dir.read(layout::RECORD, RECORD_LIMIT));
        let text = match read {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", file.display()));
            }
        };
        let header = FileHeader::of(&text, KIND)
            .with_context(|| format!("{} is not a record of a workdir", file.display()))?;
        anyhow::ensure!(
            header.format == FORMAT,
            "{} has format {}, and this version reads {FORMAT} only; use the version that made the workdir, or make it again",
            file.display(),
            header.format
        );
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged; make the workdir again", file.display()))
    }

    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// When the values cannot be written as JSON.
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        file_header::to_json(KIND, FORMAT, self)
    }

    /// Writes the record into the workdir, the old one replaced in one step.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, workdir: &Workdir) -> anyhow::Result<()> {
        let file = workdir.record();
        let write = || -> anyhow::Result<()> {
            let text = self.to_json()?;
            let dir = UntrustedDir::open(workdir.path())?;
            let mut file = dir.create_file(UNFINISHED)?;
            file.write_all(&text)
                .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
                .and_then(|()| dir.rename(UNFINISHED, &dir, layout::RECORD))
                .inspect_err(|_| drop(dir.remove(UNFINISHED)))?;
            Ok(())
        };
        write().with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// Whether a directory is a workdir, by its record in whatever format, or by
/// holding nothing but one that a killed run had begun to write; or of the old
/// scripts, by having their directories, their helper and nothing else.
pub fn is_workdir(dir: &Path) -> bool {
    let Ok(dir) = UntrustedDir::open(dir) else {
        return false;
    };
    match dir.read(layout::RECORD, RECORD_LIMIT) {
        Ok(text) => FileHeader::of(&text, KIND).is_ok(),
        Err(_) => is_begun_or_of_the_scripts(&dir).unwrap_or(false),
    }
}

/// What follows `is not a product` where the product in a workdir was meant, else nothing.
pub fn did_you_mean(dir: &Path) -> String {
    let inside = Workdir::new(dir).product();
    match inside.bootstrap_script().is_file() {
        true => format!("; did you mean {}?", inside.path().display()),
        false => String::new(),
    }
}

/// Whether a directory is never part of a project or its resources: a workdir, or the
/// directory in which build-offline-product has its workdirs.
pub fn is_never_staged(dir: &Path) -> bool {
    is_workdir(dir) || holds_workdirs(dir)
}

/// Whether it is the directory in which build-offline-product has its workdirs.
pub(crate) fn holds_workdirs(dir: &Path) -> bool {
    if dir.file_name() != Some(layout::WORKDIRS.as_ref()) {
        return false;
    }
    let mark =
        UntrustedDir::open(dir).and_then(|dir| dir.read(layout::WORKDIRS_MARK, RECORD_LIMIT));
    mark.is_ok_and(|mark| mark == layout::WORKDIRS_MARK_TEXT.as_bytes())
}

fn is_begun_or_of_the_scripts(dir: &UntrustedDir) -> io::Result<bool> {
    let mut names = Vec::new();
    let mut begun = false;
    let foreign = |entry: DirEntry| io::Error::other(format!("{:?} is not ours", entry.name));
    dir.for_each_entry(|entry| {
        match entry.name.to_str() {
            Some(UNFINISHED) => begun = true,
            Some(name) if entry.kind == FileType::Directory && Workdir::DIRS.contains(&name) => {
                names.push(name.to_owned());
            }
            _ => return Err(foreign(entry)),
        }
        Ok(())
    })?;
    if names.is_empty() {
        return Ok(begun);
    }
    let core = Workdir::CORE_DIRS
        .iter()
        .all(|core| names.iter().any(|name| name == core));
    let shim = Workdir::new("").helper_shim();
    Ok(core && dir.kind(shim)? == Some(FileType::RegularFile))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_commit_out_of_a_container_is_a_name_that_git_gives_or_none() {
        let is_plain = |commit: String| {
            let state = SourceState {
                commit,
                dirty: None,
            };
            state.has_plain_commit()
        };
        for plain in ["0a".repeat(20), "f9".repeat(32)] {
            assert!(is_plain(plain));
        }
        let long = "a".repeat(38);
        for other in [
            String::new(),
            "a".repeat(39),
            "a".repeat(41),
            format!("{long}g0"),
            format!("{long}0\n"),
            format!("{long}\u{e4}"),
            "main\nLABEL x=y".to_owned(),
        ] {
            assert!(!is_plain(other.clone()), "{other:?}");
        }
    }

    #[test]
    fn a_record_is_read_back_and_marks_the_dir() {
        let dir = tempfile::tempdir().unwrap();
        let workdir = Workdir::new(dir.path());
        assert!(!is_workdir(dir.path()));
        assert_eq!(WorkdirRecord::read(&workdir).unwrap(), None);
        let verification = Verification::Command(vec!["a".into(), String::new()]);
        let record = WorkdirRecord::new("demo", "/workdir", verification);
        record.write(&workdir).unwrap();
        assert_eq!(WorkdirRecord::read(&workdir).unwrap(), Some(record));
        assert!(is_workdir(dir.path()));
    }

    #[test]
    fn another_format_is_named_and_still_ours() {
        let dir = tempfile::tempdir().unwrap();
        let workdir = Workdir::new(dir.path());
        fs::write(
            workdir.record(),
            r#"{"kind":"pixi-offline workdir","format":99}"#,
        )
        .unwrap();
        let error = WorkdirRecord::read(&workdir).unwrap_err().to_string();
        assert!(error.contains("format 99"), "{error}");
        assert!(is_workdir(dir.path()));
        fs::write(workdir.record(), "{}").unwrap();
        assert!(!is_workdir(dir.path()));
    }

    #[test]
    fn the_old_scripts_layout_is_known_by_its_dirs_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["project", "resources", "pixi-cache", "out", "helpers"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert!(
            !is_workdir(dir.path()),
            "directories of these names alone may be anybody's"
        );
        fs::write(Workdir::new(dir.path()).helper_shim(), "").unwrap();
        assert!(is_workdir(dir.path()));
        fs::write(dir.path().join("thesis.txt"), "").unwrap();
        assert!(!is_workdir(dir.path()));
    }

    #[test]
    fn a_link_in_the_place_of_the_record_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let victim = root.path().join("victim");
        let dir = root.path().join("W");
        fs::create_dir(&dir).unwrap();
        let workdir = Workdir::new(&dir);
        let record = WorkdirRecord::new("demo", "/workdir", Verification::None);
        record.write(&workdir).unwrap();
        fs::rename(workdir.record(), &victim).unwrap();
        let before = fs::read(&victim).unwrap();
        for name in [UNFINISHED, "workdir.json"] {
            symlink(&victim, dir.join(name)).unwrap();
        }
        // Neither read through the link nor taken for a workdir because of it.
        let error = format!("{:#}", WorkdirRecord::read(&workdir).unwrap_err());
        assert!(
            error.contains("workdir.json cannot be read: it is a symbolic link"),
            "{error}"
        );
        assert!(!is_workdir(&dir));
        record.write(&workdir).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), before);
        assert_eq!(WorkdirRecord::read(&workdir).unwrap(), Some(record));
        assert!(fs::symlink_metadata(workdir.record()).unwrap().is_file());
        assert!(fs::symlink_metadata(dir.join(UNFINISHED)).is_err());
    }
}
