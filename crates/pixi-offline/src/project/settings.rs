//! What the manifest of a project sets for build-offline-product: `[tool.pixi-offline]`.
//!
//! Whoever clones a project runs it with settings that another person wrote. So a setting names
//! nothing outside of the project and of the source root, and none makes a check weaker.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use toml_edit::{Item, Value};

use crate::context::Context;
use crate::failure::Failure;
use crate::layout;
use crate::project::ProjectRules;
use crate::project::dirs;
use crate::project::git::git;
use crate::project::project_manifest::ProjectManifest;
use crate::request::{
    Contact, EnvironmentName, Environments, Expectations, ProjectName, Verification,
    require_task_name,
};

/// The table's name below `[tool]`.
const TABLE: &str = "pixi-offline";

/// Every key, named as the option is.
const KEYS: &str = "all-environments, also, contact, environment, exclude, expect-file, \
    expect-output, keep-generated, project-name, resources-dir, source-root, verify-environment, \
    verify-run, verify-task, whole-root";

/// The settings of a manifest; each field is the option of that name, as it would be typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are options, which are documented")]
pub struct Settings {
    /// The manifest's name.
    manifest: &'static str,
    pub all_environments: bool,
    pub also: Vec<PathBuf>,
    pub contact: Option<OsString>,
    pub environment: Vec<OsString>,
    pub exclude: Vec<OsString>,
    pub expect_file: Vec<OsString>,
    pub expect_output: Vec<OsString>,
    pub keep_generated: bool,
    pub project_name: Option<OsString>,
    pub resources_dir: Option<PathBuf>,
    pub source_root: Option<PathBuf>,
    pub verify_environment: Option<OsString>,
    pub verify_run: Vec<OsString>,
    pub verify_task: Option<OsString>,
    pub whole_root: bool,
}

impl Settings {
    /// The settings of the project in `dir`; `None` where its manifest has none. `is_option`
    /// tells the options of the command, of which most can only be typed.
    ///
    /// # Errors
    ///
    /// Exit code 2, naming manifest and key, for a key that is no setting, a value of another
    /// type, one that its option would refuse, and for keys that exclude each other; when the
    /// manifest names the table and cannot be read.
    pub fn read(dir: &Path, is_option: impl Fn(&str) -> bool) -> anyhow::Result<Option<Settings>> {
        let Some(manifest) = ProjectManifest::find(dir) else {
            return Ok(None);
        };
        let Some(table) = manifest.tool_table(TABLE)? else {
            return Ok(None);
        };
        let mut settings = Settings {
            manifest: manifest.name,
            ..Settings::default()
        };
        for (key, item) in table.iter() {
            settings
                .set(key, item, &is_option)
                .with_context(|| settings.origin())?;
        }
        settings.check().with_context(|| settings.origin())?;
        Ok(Some(settings))
    }

    /// Where they stand, for people.
    pub fn origin(&self) -> String {
        format!("{} [tool.{TABLE}]", self.manifest)
    }

    fn set(
        &mut self,
        key: &str,
        item: &Item,
        is_option: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        match key {
            "all-environments" => self.all_environments = is_set(key, item)?,
            "also" => self.also = texts(key, item)?.into_iter().map(PathBuf::from).collect(),
            "contact" => self.contact = Some(text(key, item)?),
            "environment" => self.environment = texts(key, item)?,
            "exclude" => self.exclude = texts(key, item)?,
            "expect-file" => self.expect_file = texts(key, item)?,
            "expect-output" => self.expect_output = texts(key, item)?,
            "keep-generated" => self.keep_generated = is_set(key, item)?,
            "project-name" => self.project_name = Some(text(key, item)?),
            "resources-dir" => self.resources_dir = Some(text(key, item)?.into()),
            "source-root" => self.source_root = Some(text(key, item)?.into()),
            "verify-environment" => self.verify_environment = Some(text(key, item)?),
            "verify-run" => self.verify_run = args(key, item)?,
            "verify-task" => self.verify_task = Some(text(key, item)?),
            "whole-root" => self.whole_root = is_set(key, item)?,
            _ if is_option(key) => {
                return Err(Failure::usage(format!(
                    "{key} cannot be set in a manifest; give --{key} on the command line"
                )));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "{key:?} is not a setting; the settings are {KEYS}"
                )));
            }
        }
        Ok(())
    }

    /// Requires that each value is one of its option, and that they fit together.
    fn check(&self) -> anyhow::Result<()> {
        ProjectRules::new(&self.exclude)?;
        self.project_name
            .as_deref()
            .map(ProjectName::new)
            .transpose()?;
        self.contact.as_deref().map(Contact::new).transpose()?;
        Environments::new(&self.environment, self.all_environments)?;
        let run = (!self.verify_run.is_empty()).then_some(&*self.verify_run);
        let verification = Verification::new(self.verify_task.as_deref(), run)?;
        self.verify_task
            .as_deref()
            .map_or(Ok(()), require_task_name)?;
        Expectations::new(&self.expect_output, &self.expect_file, &verification)?;
        if let Some(name) = &self.verify_environment {
            EnvironmentName::new(name)?;
            if !verification.is_requested() {
                return Err(Failure::usage(
                    "verify-environment requires verify-task or verify-run",
                ));
            }
        }
        if self.whole_root && !self.also.is_empty() {
            return Err(Failure::usage("pick one of also and whole-root"));
        }
        if self.source_root.is_none() && (self.whole_root || !self.also.is_empty()) {
            return Err(Failure::usage("also and whole-root require source-root"));
        }
        Ok(())
    }

    /// Makes the paths those that are meant, once it is certain that they are where a manifest
    /// may lead: the source root in the git repository that tracks the manifest, the resources
    /// below the project, or below the source root in that repository. `given_root` is the source
    /// root of the command line, which takes the place of the settings' own.
    ///
    /// # Errors
    ///
    /// Exit code 2, naming manifest, key and the option to give instead.
    pub fn resolve(
        &mut self,
        project: &Path,
        given_root: Option<&Path>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let origin = self.origin();
        let project = project
            .canonicalize()
            .map_err(|error| Failure::usage(format!("{}: {error}", project.display())))?;
        if self.source_root.is_none() && self.resources_dir.is_none() {
            return Ok(());
        }
        let repository = Repository::of(&project, self.manifest, context);
        if let Some(root) = &mut self.source_root {
            *root =
                self::source_root(root, &project, &repository).with_context(|| origin.clone())?;
        }
        let root = match given_root {
            Some(root) => root.canonicalize().ok(),
            None => self.source_root.clone(),
        };
        if let Some(dir) = &mut self.resources_dir {
            *dir = resources(dir, &project, root.as_deref(), &repository).context(origin)?;
        }
        Ok(())
    }
}

/// The git repository of a project.
#[derive(Debug)]
enum Repository {
    /// There is none.
    Missing,
    /// It does not track the manifest: the project of another person may have been unpacked into a
    /// repository of the person's own.
    Foreign(PathBuf),
    /// It tracks the manifest, and has this top.
    Own(PathBuf),
}

impl Repository {
    /// The nearest one. Its configuration has no say in where its top is: it may be hostile, too.
    fn of(project: &Path, manifest: &str, context: &Context) -> Repository {
        let mut dirs = project.ancestors();
        let Some(top) = dirs.find(|dir| dir.join(".git").exists()) else {
            return Repository::Missing;
        };
        let tracked = git(project, context)
            .and_then(|git| git(&["ls-files", "--error-unmatch", "--", manifest]));
        match tracked {
            Some(_) => Repository::Own(top.to_owned()),
            None => Repository::Foreign(top.to_owned()),
        }
    }

    /// Requires that a directory is in it.
    fn require(&self, dir: &Path) -> Result<(), String> {
        match self {
            Repository::Own(top) | Repository::Foreign(top) if !dir.starts_with(top) => {
                Err(format!("leads out of the git repository {}", top.display()))
            }
            Repository::Own(_) => Ok(()),
            Repository::Foreign(top) => Err(format!(
                "is accepted only where the git repository {} tracks the manifest",
                top.display()
            )),
            Repository::Missing => Err(
                "needs a git repository that holds it and the project, and there is none".into(),
            ),
        }
    }
}

/// The real directory of `source-root`.
fn source_root(root: &Path, project: &Path, repository: &Repository) -> anyhow::Result<PathBuf> {
    let refuse = |why| refused("source-root", root, why);
    let real = real_dir("source-root", root, project)?;
    if !project.starts_with(&real) {
        return Err(refuse(format!(
            "does not hold the project {}",
            project.display()
        )));
    }
    repository.require(&real).map_err(refuse)?;
    Ok(real)
}

/// The real directory of `resources-dir`.
fn resources(
    dir: &Path,
    project: &Path,
    root: Option<&Path>,
    repository: &Repository,
) -> anyhow::Result<PathBuf> {
    let refuse = |why| refused("resources-dir", dir, why);
    let real = real_dir("resources-dir", dir, project)?;
    let below = match (real.strip_prefix(project), root) {
        (Ok(below), _) => below,
        (Err(_), root) => {
            let top = root.unwrap_or(project);
            let Ok(below) = real.strip_prefix(top) else {
                return Err(refuse(format!("leads out of {}", top.display())));
            };
            // A source root that was typed may be the home: of it only what is needed is staged.
            repository.require(&real).map_err(refuse)?;
            below
        }
    };
    // Resources are copied whole, with what is never staged of a project.
    if project.starts_with(&real) {
        return Err(refuse("is the project, or holds it".into()));
    }
    let never = layout::DEFAULT_EXCLUDES.map(|name| name.trim_end_matches('/'));
    let is_never = |part: Component<'_>| never.iter().any(|name| part.as_os_str() == *name);
    if below.components().any(is_never) {
        return Err(refuse("is in a directory that is never staged".into()));
    }
    Ok(real)
}

/// The directory at a path relative to the project, without links.
fn real_dir(key: &str, path: &Path, project: &Path) -> anyhow::Result<PathBuf> {
    if path.is_absolute() || path.as_os_str().is_empty() {
        return Err(Failure::usage(format!(
            "{key} {path:?} must be a path relative to the manifest; give --{key} on the command line for another one"
        )));
    }
    let dir = project.join(path);
    dirs::require_dir(key, &dir)?;
    dir.canonicalize()
        .map_err(|error| Failure::usage(format!("{key} {path:?}: {error}")))
}

/// A path that a manifest may not name.
fn refused(key: &str, path: &Path, why: String) -> anyhow::Error {
    Failure::usage(format!(
        "{key} {path:?} {why}; give --{key} on the command line if that is what you want"
    ))
}

fn wrong(key: &str, wanted: &str) -> anyhow::Error {
    Failure::usage(format!("{key} must be {wanted}"))
}

fn text(key: &str, item: &Item) -> anyhow::Result<OsString> {
    item.as_str()
        .map(OsString::from)
        .ok_or_else(|| wrong(key, "a string"))
}

fn is_set(key: &str, item: &Item) -> anyhow::Result<bool> {
    item.as_bool().ok_or_else(|| wrong(key, "true or false"))
}

fn texts(key: &str, item: &Item) -> anyhow::Result<Vec<OsString>> {
    let list = item.as_array().and_then(|list| {
        let text = |value: &Value| value.as_str().map(OsString::from);
        list.iter().map(text).collect()
    });
    list.ok_or_else(|| wrong(key, "a list of strings"))
}

/// Arguments that are started as they stand, by no shell.
fn args(key: &str, item: &Item) -> anyhow::Result<Vec<OsString>> {
    match texts(key, item) {
        Ok(args) if !args.is_empty() => Ok(args),
        _ => Err(wrong(
            key,
            r#"a command and its arguments in a list: ["python", "-m", "app"]"#,
        )),
    }
}
