//! What a product is made of: whether the workdir has it, and in itself.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::FileType;

use crate::context::Context;
use crate::evidence::{BuildState, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::{self, Product, ProjectPlace, Workdir};
use crate::project::dirs;
use crate::project::project_manifest::ProjectManifest;
use crate::request::ProjectName;
use crate::untrusted_dir::{UntrustedDir, name_of};

/// Opens a workdir.
///
/// # Errors
///
/// Exit code 2 when it has no projects.
pub(super) fn open(workdir: &Workdir) -> anyhow::Result<UntrustedDir> {
    dirs::require_dir("--workdir", workdir.path())?;
    let dir = UntrustedDir::open(workdir.path())
        .with_context(|| format!("{} cannot be read", workdir.path().display()))?;
    require_own(&dir, Path::new(layout::PROJECT))?;
    if dir.kind(layout::PROJECT)?.is_none() {
        return Err(Failure::usage(format!(
            "{} has no directory project/; create the workdir with create-workdir-from-host or create-workdir-from-container first",
            workdir.path().display()
        )));
    }
    Ok(dir)
}

/// Requires that the build of a workdir came to its end, as far as that is known.
///
/// # Errors
///
/// Exit code 2 when it did not.
pub(super) fn require_built(
    workdir: &Workdir,
    record: Option<&WorkdirRecord>,
    context: &Context,
) -> anyhow::Result<()> {
    match record.map(|record| record.state) {
        Some(BuildState::Built) => {}
        Some(BuildState::Installed) => {
            context.report.warning("the verification of this workdir failed; the product is made anyway");
        }
        Some(BuildState::Staged) => {
            return Err(Failure::usage(format!(
                "the build of {} did not finish, so its package cache is incomplete; see {} and create the workdir again",
                workdir.path().display(),
                workdir.install_log().display()
            )));
        }
        None => context.report.note("the workdir has no workdir.json (the old scripts made it): image, pixi version and state of the build are not known"),
    }
    Ok(())
}

/// Requires that project, resources and package cache are there, and in the workdir itself.
///
/// # Errors
///
/// Exit code 2 when one of them is not.
pub(super) fn require_whole(
    dir: &UntrustedDir,
    workdir: &Workdir,
    place: &ProjectPlace,
    record: Option<&WorkdirRecord>,
) -> anyhow::Result<()> {
    let in_projects = place.path();
    let on_the_way = in_projects
        .ancestors()
        .filter(|part| !part.as_os_str().is_empty());
    let on_the_way = on_the_way.map(|part| Path::new(layout::PROJECT).join(part));
    let others = [layout::RESOURCES, layout::CACHE].map(PathBuf::from);
    for source in on_the_way.chain(others) {
        require_own(dir, &source)?;
    }
    let project = workdir.project(place);
    dirs::require_dir("the staged project", &project)?;
    ProjectManifest::require(&project)?;
    let cache = workdir.cache();
    if cache.is_dir() {
        return Ok(());
    }
    let moved = record.and_then(|record| record.cache_moved.as_ref());
    Err(Failure::usage(match moved {
        Some(moved) => format!(
            "the package cache was moved into the product by --move-cache; to make the product again, take it back with `mv {moved} {}`, or create the workdir again",
            cache.display(),
        ),
        None => format!(
            "{} has no directory pixi-cache/, so nothing could be installed offline; build the workdir again",
            workdir.path().display()
        ),
    }))
}

/// Requires that the cache can be renamed into the product, and that the workdir
/// can say so.
pub(super) fn require_movable(
    workdir: &Workdir,
    target: &Product,
    record: Option<&WorkdirRecord>,
) -> anyhow::Result<()> {
    require_one_device(&workdir.cache(), target.path())?;
    if record.is_none() {
        return Err(Failure::usage(format!(
            "--move-cache: {} has no workdir.json that could say where the package cache is; leave --move-cache out",
            workdir.path().display()
        )));
    }
    Ok(())
}

/// Requires that `cache` can be renamed into a product in this place, by the directories that
/// are there: a directory on the way that is missing is made on the same file system.
///
/// # Errors
///
/// Exit code 2 when they are on two file systems.
pub(crate) fn require_one_device(cache: &Path, product: &Path) -> anyhow::Result<()> {
    let device = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        found.is_dir().then(|| found.dev())
    };
    let of_cache = cache.ancestors().find_map(device);
    // What is in the product's own place is replaced.
    let of_product = product.ancestors().skip(1).find_map(device);
    if of_cache.is_some() && of_cache == of_product {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--move-cache: {} is on another file system than the product {}; leave --move-cache out",
        cache.display(),
        product.display()
    )))
}

/// Requires that a source of the product is a directory in the workdir itself, if it is
/// there: a container may have put a link in its place, and the product would hold what
/// that leads to.
fn require_own(workdir: &UntrustedDir, source: &Path) -> anyhow::Result<()> {
    let path = workdir.path().join(source);
    let kind = workdir
        .kind(source)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    match kind {
        None | Some(FileType::Directory) => Ok(()),
        Some(FileType::Symlink) => Err(Failure::usage(format!(
            "{0} is a symbolic link, and a product is made only of what is in the workdir; if you made the link yourself, put a copy of the directory in its place (`cp -aL {0} {0}.copy && rm {0} && mv {0}.copy {0}`), else create the workdir again",
            path.display()
        ))),
        Some(kind) => Err(Failure::usage(format!(
            "{} is {} and must be a directory; create the workdir again",
            path.display(),
            name_of(kind)
        ))),
    }
}

/// The only directory below `project/`.
pub(super) fn only_project(workdir: &UntrustedDir) -> anyhow::Result<ProjectName> {
    let projects = workdir.path().join(layout::PROJECT);
    let mut names: Vec<OsString> = Vec::new();
    workdir
        .open_dir(layout::PROJECT)
        .and_then(|dir| {
            dir.for_each_entry(|entry| {
                if matches!(entry.kind, FileType::Directory | FileType::Symlink) {
                    names.push(entry.name);
                }
                Ok(())
            })
        })
        .with_context(|| format!("{} cannot be read", projects.display()))?;
    names.sort();
    match names.as_slice() {
        [name] => ProjectName::new(name),
        [] => Err(Failure::usage(format!(
            "{} holds no project",
            projects.display()
        ))),
        several => Err(Failure::usage(format!(
            "{} holds several projects: {}; name one with --project-name",
            projects.display(),
            several
                .iter()
                .map(|name| name.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}
