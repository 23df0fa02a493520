//! What is copied of a machine's directories: a project alone, or with it what it needs of a
//! directory around it (`--source-root`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::context::Context;
use crate::counted;
use crate::evidence;
use crate::failure::Failure;
use crate::layout::PathInRoot;
use crate::packages::{LocalChannel, LocalSources, Lock, ProjectOrigin};
use crate::product;
use crate::project::ProjectRules;
use crate::project::dirs;
use crate::project::needed_paths::NeededPaths;
use crate::quote::pasteable;
use crate::request::{SourcePlace, SourceRoot};
use crate::staging::{Selection as _, Size};

/// A project, and the directory that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceTree {
    /// The directory that is copied, or of which a part is.
    dir: PathBuf,
    /// Where the project is in it; empty when it is the project itself.
    in_root: PathInRoot,
    /// The machine that it is on. What comes as an answer is in a container, whatever the
    /// container writes: no path of it leads to a directory of the host.
    #[serde(skip, default = "in_container")]
    place: SourcePlace,
}

fn in_container() -> SourcePlace {
    SourcePlace::Container
}

impl SourceTree {
    /// The project at `project`, an absolute path on `place`, and the root that was asked for
    /// with it.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the root is not a directory above the project, is that of the file system,
    /// or when the project is in a workdir below it.
    pub(crate) fn find(
        place: SourcePlace,
        project: &Path,
        root: Option<&SourceRoot>,
        context: &Context,
    ) -> anyhow::Result<SourceTree> {
        let alone = || SourceTree {
            dir: project.to_owned(),
            in_root: PathInRoot::default(),
            place,
        };
        let Some(root) = root else {
            return Ok(alone());
        };
        let option = place.option();
        let typed = context.host.absolute(&root.dir);
        dirs::require_dir(option, &typed)?;
        // The real paths: `..` in a manifest leads to the real directory above, too.
        let (dir, real_project) = (real(&typed), real(project));
        if dir == Path::new("/") {
            return Err(Failure::usage(format!(
                "{option} / is the root of the file system; name a directory below it that holds the project and what it needs"
            )));
        }
        let Ok(in_root) = real_project.strip_prefix(&dir) else {
            return Err(Failure::usage(format!(
                "{option} {}: the project {} is not in it; name a directory above the project, such as {}",
                typed.display(),
                real_project.display(),
                real_project.parent().unwrap_or(&real_project).display()
            )));
        };
        let mut between = in_root.ancestors().map(|part| dir.join(part));
        let ours = between.find_map(|dir| match () {
            () if evidence::is_workdir(&dir) => Some((dir, "workdir")),
            () if product::is_product(&dir) => Some((dir, "product")),
            () => None,
        });
        if let Some((ours, what)) = ours {
            return Err(Failure::usage(format!(
                "{option} {}: {} is a {what}, which is never staged; name the original project",
                typed.display(),
                ours.display()
            )));
        }
        let in_root =
            PathInRoot::new(in_root).map_err(|error| Failure::usage(error.to_string()))?;
        match in_root.is_empty() {
            true => Ok(alone()),
            false => Ok(SourceTree {
                dir,
                in_root,
                place,
            }),
        }
    }

    /// The directory that is copied.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the project is in it.
    pub(crate) fn in_root(&self) -> &PathInRoot {
        &self.in_root
    }

    /// The project.
    pub(crate) fn project(&self) -> PathBuf {
        self.in_root.below(&self.dir)
    }

    /// The project, where it is on this machine.
    pub(crate) fn project_on_host(&self) -> Option<PathBuf> {
        (self.place == SourcePlace::Host).then(|| self.project())
    }

    /// What of the machine's own directories goes along, by the lock of the project.
    pub(crate) fn local(&self, lock: Option<&Lock>) -> LocalSources {
        let channels =
            lock.map(|lock| LocalChannel::before_staging(lock, &self.dir, &self.in_root));
        let channels = channels.unwrap_or_default().into_iter();
        // Nothing can be mounted into a container that runs: pixi finds a channel where it was
        // locked, or not at all.
        let (channels, moved_channels) = channels
            .partition(|channel| self.place == SourcePlace::Host || channel.locked.exists());
        LocalSources {
            in_root: self.in_root.clone(),
            channels,
            moved_channels,
            origin: Some(ProjectOrigin {
                place: self.place,
                dir: real(&self.project()),
            }),
        }
    }

    /// Has `rules` take of the root what was asked for.
    ///
    /// # Errors
    ///
    /// Exit code 2 for an argument of `--also` that is not there, and for a path that leads
    /// out of the root through a link.
    pub(crate) fn choose(
        &self,
        rules: &mut ProjectRules,
        root: Option<&SourceRoot>,
        lock: Option<&Lock>,
        channels: &[LocalChannel],
    ) -> anyhow::Result<()> {
        rules.stage_in_root(&self.in_root);
        let mut needed_paths = BTreeSet::from([self.in_root.path().to_owned()]);
        let also = root.map_or(&[][..], |root| root.also.as_slice());
        if let Some(also) = also
            .iter()
            .find(|also| self.dir.join(also).symlink_metadata().is_err())
        {
            return Err(Failure::usage(format!(
                "--also {}: there is nothing of that name in {}; give a path below it",
                also.display(),
                self.dir.display()
            )));
        }
        if let Some(root) = root.filter(|root| !root.whole && !self.in_root.is_empty()) {
            let mut needed = NeededPaths::new(&self.dir, root.option());
            needed.add_project(&self.in_root, lock, channels)?;
            for also in also {
                needed.add(also)?;
            }
            needed_paths.extend(needed.into_paths());
            rules.take_of_root(needed_paths.clone());
        }
        self.require_not_excluded(rules, &needed_paths)
    }

    /// Patterns begin at the root: one that fits there may leave out the project itself.
    fn require_not_excluded(
        &self,
        rules: &ProjectRules,
        needed: &BTreeSet<PathBuf>,
    ) -> anyhow::Result<()> {
        for path in needed.iter().filter(|path| !path.as_os_str().is_empty()) {
            let excluded = path.ancestors().find_map(|part| {
                let is_dir = self.dir.join(part).is_dir();
                let pattern = rules.deciding(part, is_dir)?;
                rules.excludes(part, is_dir).then(|| pattern.to_owned())
            });
            if let Some(pattern) = excluded {
                let what = match path == self.in_root.path() {
                    true => "the project itself",
                    false => "what the project needs",
                };
                return Err(Failure::usage(format!(
                    "the exclude {} leaves out {} in {}, which is {what}; with a source root, patterns begin at the root: write a longer one",
                    pattern.display(),
                    path.display(),
                    self.dir.display()
                )));
            }
        }
        Ok(())
    }

    /// What of the root is left out since the project does not need it, counted in files;
    /// what the excludes leave is not among it. `None` where nothing is chosen.
    pub(crate) fn left(&self, rules: &ProjectRules) -> Option<Size> {
        if !rules.chooses_of_root() {
            return None;
        }
        let mut left = Size::default();
        let mut walk = ignore::WalkBuilder::new(&self.dir);
        walk.standard_filters(false).follow_links(false);
        let (top, without_choice) = (self.dir.clone(), rules.clone().with_whole_root());
        walk.filter_entry(move |entry| {
            let relative = entry.path().strip_prefix(&top).unwrap_or(entry.path());
            let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            relative.as_os_str().is_empty()
                || !(without_choice.excludes(relative, is_dir)
                    || is_dir && without_choice.skips(entry.path()))
        });
        for entry in walk.build().flatten() {
            let relative = entry.path().strip_prefix(&self.dir);
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            if is_file && relative.is_ok_and(|relative| rules.excludes(relative, false)) {
                left.entries += 1;
                left.bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            }
        }
        Some(left)
    }

    /// The line that says how much of the root is left out.
    pub(crate) fn say_left(left: Option<Size>, root: Option<&SourceRoot>) -> Option<String> {
        let (left, root) = left.zip(root)?;
        let (option, dir) = (root.option(), pasteable(root.dir.as_os_str()));
        Some(match left.entries {
            0 => format!("{option} {dir}: all of it is staged"),
            files => format!(
                "{option} {dir}: left out since neither the project nor its path dependencies name it: {} of {}; --also PATH takes a part of it, --whole-root all",
                counted::files(files),
                ByteSize(left.bytes)
            ),
        })
    }
}

/// A directory's path without links.
fn real(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or_else(|_| dir.to_owned())
}
