//! Staging a project and what goes with it into a workdir.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;
use rustix::io::Errno;

use crate::failure::Failure;
use crate::layout::{self, Workdir};
use crate::proof;
use crate::replacement::{Beside, Claim, make_folder, write_file};
use crate::report::Report;
use crate::staging::{self, How, Outcome, Rules, RulesAndSkip, Size, Survey, Verdict};
use crate::surroundings::Surroundings;
use crate::tools::Program;

/// The rules for a project: the usual ones first, then the caller's.
#[derive(Debug, Clone)]
pub(super) struct ProjectRules {
    all: Rules,
    callers: Rules,
}

impl ProjectRules {
    /// Reads the arguments of `--exclude`.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a pattern that cannot be one.
    pub(super) fn new(excludes: &[OsString]) -> anyhow::Result<ProjectRules> {
        let mut rules = ProjectRules {
            all: Rules::new(),
            callers: Rules::new(),
        };
        rules.all = without_our_traces()?;
        for pattern in layout::DEFAULT_EXCLUDES {
            rules.all.push(OsStr::new(pattern))?;
        }
        for pattern in excludes {
            let usage =
                |error: staging::PatternError| Failure::usage(format!("--exclude: {error}"));
            rules.all.push(pattern).map_err(usage)?;
            rules.callers.push(pattern).map_err(usage)?;
        }
        Ok(rules)
    }

    /// The usual rules and the caller's.
    pub(super) fn all(&self) -> &Rules {
        &self.all
    }
}

/// The rules for any folder: what runs of ours lay beside a workdir while they
/// work is never part of anything.
pub(super) fn without_our_traces() -> anyhow::Result<Rules> {
    let mut rules = Rules::new();
    for pattern in [
        format!(".*{}*/", Beside::MARK),
        format!(".*{}", Claim::ENDING),
    ] {
        rules.push(pattern.as_ref())?;
    }
    Ok(rules)
}

/// Copies a project, workdirs in it left out, its committed Pixi configuration
/// taken along; that is not in the listing, since it may not be left as it is.
pub(super) fn copy_project(
    source: &Path,
    target: &Path,
    rules: &ProjectRules,
    how: &How,
    report: &Report,
) -> anyhow::Result<Outcome> {
    let mut outcome = copy_by(source, target, &rules.all, how, report)?;

    // `.pixi/` stays behind, since it holds installed environments; the
    // configuration in it is part of the project, and people commit it.
    if takes_configuration(source, rules)? {
        let config = Path::new(layout::PROJECT_CONFIG);
        let folder = config.parent().unwrap_or(config);
        let mut config_alone = Rules::new();
        for rule in ["+ /config.toml", "*"] {
            config_alone.push(OsStr::new(rule))?;
        }
        let more = staging::copy_tree(
            &source.join(folder),
            &target.join(folder),
            &config_alone,
            &|_| false,
        )?;
        keep_environments_in_the_project(&target.join(config), report)?;
        let copied = &mut outcome.copied;
        copied.entries += more.entries + 1;
        copied.files += more.files;
        copied.bytes += more.bytes;
        restore_folder_time(source, target)?;
    }
    Ok(outcome)
}

/// Whether the project's committed Pixi configuration is taken along.
///
/// # Errors
///
/// When a disk that breaks keeps it from being seen: it must not stay behind unsaid.
pub(super) fn takes_configuration(source: &Path, rules: &ProjectRules) -> anyhow::Result<bool> {
    let config = Path::new(layout::PROJECT_CONFIG);
    let folder = config.parent().unwrap_or(config);
    // A `.pixi` that is a link was copied as one.
    let (folder, file) = (source.join(folder), source.join(config));
    let is_file = there(&folder, fs::symlink_metadata(&folder))?.is_some_and(|m| m.is_dir())
        && there(&file, fs::metadata(&file))?.is_some_and(|m| m.is_file());
    let unwanted = config.ancestors().any(|path| {
        let is_dir = path != config;
        !path.as_os_str().is_empty() && rules.callers.decide(path, is_dir) == Some(Verdict::Exclude)
    });
    Ok(is_file && !unwanted)
}

/// Whether there is a folder, links followed.
///
/// # Errors
///
/// When that cannot be known.
pub(super) fn is_folder(path: &Path) -> anyhow::Result<bool> {
    Ok(there(path, fs::metadata(path))?.is_some_and(|metadata| metadata.is_dir()))
}

/// What was asked of a path; `None` when nothing of that name can be reached. A disk
/// that breaks is another matter: what it hides must not be left out.
fn there(path: &Path, asked: io::Result<fs::Metadata>) -> anyhow::Result<Option<fs::Metadata>> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match asked {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => {
            Ok(None)
        }
        // A link that leads in a circle leads nowhere.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be looked at", path.display())),
    }
}

/// Takes `detached-environments` out of a staged configuration: it would put the
/// environments of the product somewhere else, and no variable turns it off.
fn keep_environments_in_the_project(config: &Path, report: &Report) -> anyhow::Result<()> {
    const SETTING: &str = "detached-environments";
    let editing = || {
        format!(
            "{} cannot be read as pixi's configuration",
            config.display()
        )
    };
    // A link is copied as one; where it leads nowhere any more, pixi reads nothing.
    if there(config, fs::metadata(config))?.is_none() {
        return Ok(());
    }
    let text = fs::read_to_string(config).with_context(editing)?;
    let mut document: toml_edit::DocumentMut = text.parse().with_context(editing)?;
    let detached = |item: &toml_edit::Item| item.as_bool() != Some(false);
    if !document.get(SETTING).is_some_and(detached) {
        return Ok(());
    }
    document.remove(SETTING);
    // A new file: a link would lead the writing into somebody's own.
    fs::remove_file(config).with_context(editing)?;
    write_file(config, document.to_string().as_bytes())?;
    report.note(format_args!(
        "{SETTING} was taken out of the copy of {}: the product keeps its environments in the project",
        layout::PROJECT_CONFIG
    ));
    Ok(())
}

/// Making `.pixi/` changed the time of the folder that it lies in.
fn restore_folder_time(source: &Path, target: &Path) -> anyhow::Result<()> {
    let set = || fs::File::open(target)?.set_modified(fs::metadata(source)?.modified()?);
    set().with_context(|| format!("the time of {} cannot be set", target.display()))
}

/// Copies a folder whole, but for workdirs in it: one may lie in the project or
/// in the resources, and would be copied into itself.
pub(super) fn copy_folder(
    source: &Path,
    target: &Path,
    how: &How,
    report: &Report,
) -> anyhow::Result<Outcome> {
    copy_by(source, target, &without_our_traces()?, how, report)
}

fn copy_by(
    source: &Path,
    target: &Path,
    rules: &Rules,
    how: &How,
    report: &Report,
) -> anyhow::Result<Outcome> {
    let selection = RulesAndSkip {
        rules,
        skip: &proof::is_workdir,
    };
    let outcome = staging::copy_tree_as(source, target, &selection, how)?;
    for (path, why) in &outcome.copied.skipped {
        report.note(format_args!("{}: {why}", path.display()));
    }
    Ok(outcome)
}

/// What the copy of a project will do.
pub(super) fn survey_project(source: &Path, rules: &ProjectRules) -> Survey {
    staging::survey(source, &rules.all, proof::is_workdir)
}

/// What the copy of a folder will take.
pub(super) fn size_of_folder(source: &Path) -> Size {
    staging::survey(source, &Rules::new(), proof::is_workdir).size
}

/// Makes the folders of a new workdir that are not copies.
pub(super) fn make_folders(workdir: &Workdir) -> anyhow::Result<()> {
    for folder in [
        workdir.projects(),
        workdir.cache(),
        workdir.out(),
        workdir.helpers(),
        workdir.product().path().to_owned(),
    ] {
        make_folder(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    Ok(())
}

/// The program that a workdir carries, so that the next step can be taken on
/// another machine.
#[derive(Debug, Clone)]
pub(super) struct Helper(PathBuf);

/// The helper under the old script's name.
const HELPER_SHIM: &str = include_str!("../../../../scripts-compat/make-archive-ready-product.sh");

impl Helper {
    /// Finds it beside this program, then on `PATH`.
    ///
    /// # Errors
    ///
    /// Exit code 127 when it is nowhere.
    pub(super) fn find(surroundings: &Surroundings) -> anyhow::Result<Helper> {
        let beside = surroundings.program.with_file_name(layout::HELPER);
        if beside.is_file() {
            return Ok(Helper(beside));
        }
        match Program::find(OsStr::new(layout::HELPER), surroundings) {
            Ok(program) => Ok(Helper(program.path().to_owned())),
            Err(error) => Err(error.context(format!(
                "the workdir carries {} with it, which is neither beside {} nor on PATH; install it there",
                layout::HELPER,
                surroundings.program.display()
            ))),
        }
    }

    /// What it takes in a workdir.
    pub(super) fn size(&self) -> Size {
        Size {
            bytes: fs::metadata(&self.0).map_or(0, |metadata| metadata.len()),
            entries: 2,
        }
    }

    /// Puts it into a workdir's `helpers/`, with its shim.
    pub(super) fn install(&self, workdir: &Workdir) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let executable = |file: &Path| fs::set_permissions(file, fs::Permissions::from_mode(0o755));
        let install = || -> anyhow::Result<()> {
            let binary = workdir.helpers().join(layout::HELPER);
            staging::copy_file(&self.0, &binary)?;
            executable(&binary)?;
            let shim = workdir.helper_shim();
            fs::write(&shim, HELPER_SHIM)?;
            executable(&shim)?;
            Ok(())
        };
        install().with_context(|| format!("{} cannot be filled", workdir.helpers().display()))
    }
}

/// The manifest of the Pixi project in a folder.
///
/// # Errors
///
/// Exit code 2 when it has none.
pub(super) fn require_manifest(project: &Path) -> anyhow::Result<()> {
    if layout::PROJECT_MANIFESTS
        .iter()
        .any(|name| project.join(name).is_file())
    {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} is no Pixi project: it has no {}",
        project.display(),
        layout::PROJECT_MANIFESTS.join(" and no ")
    )))
}

/// A folder that must be there.
///
/// # Errors
///
/// Exit code 2 naming the option when it is missing or no folder.
pub(super) fn require_folder(option: &str, folder: &Path) -> anyhow::Result<()> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Failure::usage(format!(
            "{option} {} is no folder",
            folder.display()
        ))),
        Err(error) => Err(Failure::usage(format!(
            "{option} {} cannot be used: {error}",
            folder.display()
        ))),
    }
}
