//! `workdir.json`: what later commands know of a build.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::container::{EngineVersion, Image};
use crate::layout::Workdir;
use crate::proof::Sha256Digest;
use crate::proof::manifest::EncodedPath;
use crate::request::Verification;

/// The format that this version reads and writes.
const FORMAT: u32 = 1;

/// The name of a record that is being written.
const UNFINISHED: &str = "workdir.json.new";

/// What marks the file as ours.
const KIND: &str = "pixi-offline workdir";

/// How far the build of a workdir came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildState {
    /// The project is staged; nothing is installed, or not to the end.
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
}

/// What git said of the folder that a project was staged from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// The commit that was checked out.
    pub commit: String,
    /// Whether something in the project differed from that commit, files that
    /// git does not know included; `None` when git did not tell.
    pub dirty: Option<bool>,
}

/// What a build made in the project, beside the environments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFiles {
    /// Everything that was not staged, folders before what is in them; `pixi.lock` is not
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

/// A file, link or folder that a build made in the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedEntry {
    /// Its path below the project.
    pub path: EncodedPath,
    /// The sha256 of a file's content, or of a link's target; a folder has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
}

/// What `workdir.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkdirRecord {
    kind: String,
    format: u32,
    /// The version of these commands that wrote it.
    pub tool_version: String,
    /// How far the build came.
    pub state: BuildState,
    /// The project's name.
    pub project: String,
    /// Where the workdir was mounted in the container; links in the package
    /// cache name this path.
    pub container_workdir: String,
    /// The environments that were installed.
    pub environments: Vec<String>,
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
}

impl WorkdirRecord {
    /// The record of a project that is about to be staged.
    pub fn new(
        project: &str,
        container_workdir: &str,
        verification: Verification,
    ) -> WorkdirRecord {
        WorkdirRecord {
            kind: KIND.to_owned(),
            format: FORMAT,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            state: BuildState::Staged,
            project: project.to_owned(),
            container_workdir: container_workdir.to_owned(),
            environments: vec!["default".to_owned()],
            excludes: Vec::new(),
            image: None,
            engine: None,
            pixi: None,
            lock: LockRecord::default(),
            verification,
            source: None,
            overrides: BTreeMap::new(),
            started: None,
            cache_moved: None,
            generated: None,
        }
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
    /// When the file cannot be read, is no record, or one of another format.
    pub fn read(workdir: &Workdir) -> anyhow::Result<Option<WorkdirRecord>> {
        let file = workdir.record();
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", file.display()));
            }
        };
        let marks = Marks::of(&text)
            .with_context(|| format!("{} is no record of a workdir", file.display()))?;
        anyhow::ensure!(
            marks.format == FORMAT,
            "{} has format {}, and this version reads {FORMAT} only; use the version that made the workdir, or make it again",
            file.display(),
            marks.format
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
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
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
            let new = workdir.path().join(UNFINISHED);
            fs::write(&new, text)
                .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(0o644)))
                .and_then(|()| fs::rename(&new, &file))
                .inspect_err(|_| drop(fs::remove_file(&new)))?;
            Ok(())
        };
        write().with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// The part of a record that every format has.
#[derive(Deserialize)]
struct Marks {
    kind: String,
    format: u32,
}

impl Marks {
    fn of(text: &[u8]) -> anyhow::Result<Marks> {
        let marks: Marks = serde_json::from_slice(text)?;
        anyhow::ensure!(marks.kind == KIND, "it says it is a {:?}", marks.kind);
        Ok(marks)
    }
}

/// Whether a folder is a workdir: ours, by its record in whatever format, or by
/// holding nothing but one that a killed run had begun to write; or of the old
/// scripts, by having their folders, their helper and nothing else.
pub fn is_workdir(folder: &Path) -> bool {
    let record = Workdir::new(folder).record();
    if let Ok(text) = fs::read(record) {
        return Marks::of(&text).is_ok();
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let mut names = Vec::new();
    let mut begun = false;
    for entry in entries {
        if entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name() == UNFINISHED)
        {
            begun = true;
            continue;
        }
        let folder = entry
            .ok()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        match folder.and_then(|entry| entry.file_name().into_string().ok()) {
            Some(name) if Workdir::FOLDERS.contains(&name.as_str()) => names.push(name),
            _ => return false,
        }
    }
    if names.is_empty() {
        return begun;
    }
    Workdir::CORE_FOLDERS
        .iter()
        .all(|core| names.iter().any(|name| name == core))
        && Workdir::new(folder).helper_shim().is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_marks_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let workdir = Workdir::new(folder.path());
        assert!(!is_workdir(folder.path()));
        assert_eq!(WorkdirRecord::read(&workdir).unwrap(), None);
        let verification = Verification::Command(vec!["a".into(), String::new()]);
        let record = WorkdirRecord::new("demo", "/workdir", verification);
        record.write(&workdir).unwrap();
        assert_eq!(WorkdirRecord::read(&workdir).unwrap(), Some(record));
        assert!(is_workdir(folder.path()));
    }

    #[test]
    fn another_format_is_named_and_still_ours() {
        let folder = tempfile::tempdir().unwrap();
        let workdir = Workdir::new(folder.path());
        fs::write(
            workdir.record(),
            r#"{"kind":"pixi-offline workdir","format":99}"#,
        )
        .unwrap();
        let error = WorkdirRecord::read(&workdir).unwrap_err().to_string();
        assert!(error.contains("format 99"), "{error}");
        assert!(is_workdir(folder.path()));
        fs::write(workdir.record(), "{}").unwrap();
        assert!(!is_workdir(folder.path()));
    }

    #[test]
    fn the_old_scripts_layout_is_known_by_its_folders_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project", "resources", "pixi-cache", "out", "helpers"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        assert!(
            !is_workdir(folder.path()),
            "folders of these names alone may be anybody's"
        );
        fs::write(Workdir::new(folder.path()).helper_shim(), "").unwrap();
        assert!(is_workdir(folder.path()));
        fs::write(folder.path().join("thesis.txt"), "").unwrap();
        assert!(!is_workdir(folder.path()));
    }
}
