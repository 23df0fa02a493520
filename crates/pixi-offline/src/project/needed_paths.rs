//! What a project needs of the directory that it is in: itself, what its lock and the manifests
//! name by path, and the manifest of a workspace, uv's, pixi's or cargo's, that one of these is a member of.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use toml_edit::{DocumentMut, Item, TableLike, Value};

use crate::failure::Failure;
use crate::layout::{self, PathInRoot};
use crate::packages::{LocalChannel, Lock, normalized, requirement_name};
use crate::project::build_backend;
use crate::project::manifest_text::Manifests;
use crate::project::named_paths::{self, NamedPath};
use crate::project::project_manifest::ProjectManifest;
use crate::quote::pasteable;
use crate::staging::Rules;
use crate::toml::item;

/// Why what a path leads to is not staged.
enum NotStaged {
    /// It is outside of the root.
    Outside,
    /// This link on the way is absolute: its copy leads to this machine's directory.
    Absolute(PathBuf),
}

/// The most links that are followed on the way to one path, as the kernel does it.
const MOST_LINKS: usize = 40;

/// The paths of a source root that are needed, relative to it; of a directory all that is in it.
pub(super) struct NeededPaths<'a> {
    root: &'a Path,
    manifests: Manifests<'a>,
    /// The option that named the root.
    option: &'a str,
    paths: BTreeSet<PathBuf>,
    /// Directories whose manifests are still to be read.
    unread: VecDeque<PathBuf>,
    /// Directories of cargo workspaces that were looked at.
    cargo_workspaces: BTreeSet<PathBuf>,
}

impl<'a> NeededPaths<'a> {
    /// Nothing yet of the root at `root`, which has no link in its path.
    pub(super) fn new(root: &'a Path, option: &'a str) -> NeededPaths<'a> {
        NeededPaths {
            root,
            manifests: Manifests::below(root),
            option,
            paths: BTreeSet::new(),
            unread: VecDeque::new(),
            cargo_workspaces: BTreeSet::new(),
        }
    }

    /// Adds a project, what its lock names, and what the manifests of all of these name.
    pub(super) fn add_project(
        &mut self,
        project: &PathInRoot,
        lock: Option<&Lock>,
        channels: &[LocalChannel],
    ) -> anyhow::Result<()> {
        self.add(project.path())?;
        for channel in channels {
            self.add(&channel.in_root)?;
        }
        for path in lock.into_iter().flat_map(Lock::local_paths) {
            // What leads out is told of with the rest of the lock.
            if let Some(place) = self.place_of(project, &path) {
                self.add(build_backend::package_dir(&place))?;
            }
        }
        while let Some(dir) = self.unread.pop_front() {
            self.add_named_by(&dir)?;
        }
        Ok(())
    }

    /// Adds a path, the links on the way to it, and what they lead to.
    ///
    /// # Errors
    ///
    /// Exit code 2 when a link leads out of the root.
    pub(super) fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let lexical: PathBuf = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        let mut found = BTreeSet::from([lexical]);
        let real = self.follow(path, &mut found).map_err(|why| {
            Failure::usage(match why {
                NotStaged::Outside => format!(
                    "{} leads out of {} {} through a link; name a directory that holds both, or put a copy in the place of the link",
                    path.display(),
                    self.option,
                    self.root.display()
                ),
                NotStaged::Absolute(link) => format!(
                    "{} is a link with an absolute target, which its copy does not have at another place; make it relative: {}",
                    self.root.join(&link).display(),
                    self.line_for_relative(&link)
                ),
            })
        })?;
        found.insert(real.clone());
        if self.paths.insert(real.clone()) && self.root.join(&real).is_dir() {
            self.unread.push_back(real);
        }
        self.paths.extend(found);
        Ok(())
    }

    /// What was found.
    pub(super) fn into_paths(self) -> BTreeSet<PathBuf> {
        self.paths
    }

    /// The command that makes a link relative.
    fn line_for_relative(&self, link: &Path) -> String {
        let place = self.root.join(link);
        let target = fs::read_link(&place).unwrap_or_default();
        format!(
            "ln -sfnr {} {}",
            pasteable(target.as_os_str()),
            pasteable(place.as_os_str())
        )
    }

    /// The real place of a path below the root, and in `links` the links on the way.
    fn follow(&self, path: &Path, links: &mut BTreeSet<PathBuf>) -> Result<PathBuf, NotStaged> {
        let parts = |path: &Path| -> Vec<OsString> { path.iter().map(OsString::from).collect() };
        let mut ahead: VecDeque<OsString> = parts(path).into();
        let mut place = PathBuf::new();
        let mut followed = 0;
        while let Some(part) = ahead.pop_front() {
            match part.to_str() {
                Some(".") => continue,
                Some("..") => {
                    if !place.pop() {
                        return Err(NotStaged::Outside);
                    }
                    continue;
                }
                _ => place.push(&part),
            }
            let Ok(target) = fs::read_link(self.root.join(&place)) else {
                continue;
            };
            followed += 1;
            links.insert(place.clone());
            if target.is_absolute() {
                return Err(match target.starts_with(self.root) {
                    true => NotStaged::Absolute(place),
                    false => NotStaged::Outside,
                });
            }
            place.pop();
            for part in parts(&target).into_iter().rev() {
                ahead.push_front(part);
            }
            if followed > MOST_LINKS {
                return Err(NotStaged::Outside);
            }
        }
        Ok(place)
    }

    /// The place below the root of a path that stands in a file of the directory `dir`.
    fn place_of(&self, dir: &PathInRoot, path: &Path) -> Option<PathBuf> {
        match path.is_absolute() {
            true => Some(path.strip_prefix(self.root).ok()?.to_owned()),
            false => dir.resolve(path),
        }
    }

    /// Adds what the manifests in a directory name by path, and what is needed of the workspace
    /// of pixi, uv or cargo that it is a member of.
    fn add_named_by(&mut self, dir: &Path) -> anyhow::Result<()> {
        self.add_named(named_paths::in_dir(&self.manifests, dir))?;
        self.add_pixi_workspace(dir)?;
        self.add_uv_workspace(dir)?;
        self.add_cargo_workspace(dir)
    }

    /// Adds what is there of these paths; where one is that of a manifest, its directory.
    fn add_named(&mut self, named: Vec<NamedPath>) -> anyhow::Result<()> {
        for NamedPath { text, of, is_path } in named {
            let Ok(of) = PathInRoot::new(&of) else {
                continue;
            };
            let Some(place) = self.place_of(&of, Path::new(&text)) else {
                continue;
            };
            let found = self.root.join(&place);
            // Any text may look like a path. What is below the directory is staged with it.
            let is_needed = match is_path {
                true => found.exists(),
                false => !place.starts_with(of.path()) && found.is_file(),
            };
            if is_needed {
                let is_manifest = is_path && found.is_file() && named_paths::is_manifest(&place);
                let dir = place.parent().filter(|_| is_manifest);
                self.add(dir.unwrap_or(&place))?;
            }
        }
        Ok(())
    }

    /// Adds the manifest of the workspace that pixi finds above a package that it builds from
    /// source: without one it does not read the package's own manifest.
    fn add_pixi_workspace(&mut self, dir: &Path) -> anyhow::Result<()> {
        let manifest_of = |dir: &Path| ProjectManifest::find(&self.root.join(dir));
        let needs_one = manifest_of(dir)
            .is_some_and(|manifest| manifest.has_package() && !manifest.has_workspace());
        if !needs_one {
            return Ok(());
        }
        let above = dir.ancestors().skip(1);
        let workspace = above
            .filter_map(|top| Some((top, manifest_of(top)?)))
            .find(|(_, manifest)| manifest.has_workspace());
        match workspace {
            Some((top, manifest)) => self.add(&top.join(manifest.name)),
            None => Ok(()),
        }
    }

    /// Adds of the cargo workspace that a crate is in what cargo reads: the manifest, the lock,
    /// and the members, each of which must be there.
    fn add_cargo_workspace(&mut self, dir: &Path) -> anyhow::Result<()> {
        let manifest_of = |dir: &Path| self.manifests.get(&dir.join(named_paths::CRATE_MANIFEST));
        if manifest_of(dir).is_none() {
            return Ok(());
        }
        let workspace = dir.ancestors().find_map(|top| {
            let manifest = manifest_of(top)?;
            let is_workspace = manifest.contains_key("workspace");
            is_workspace.then(|| (top.to_owned(), manifest))
        });
        let Some((top, manifest)) = workspace else {
            return Ok(());
        };
        if !self.cargo_workspaces.insert(top.clone()) {
            return Ok(());
        }
        let texts = |keys: &[&str]| -> Vec<String> {
            let values = item(&manifest, keys).and_then(Item::as_array);
            let values = values.into_iter().flatten().filter_map(Value::as_str);
            values.map(str::to_owned).collect()
        };
        let excluded = texts(&["workspace", "exclude"]);
        let members: Vec<PathBuf> = texts(&["workspace", "members"])
            .iter()
            .flat_map(|pattern| self.dirs_of(&top, pattern))
            .filter(|member| manifest_of(member).is_some())
            .filter(|member| !excluded.iter().any(|dir| member.starts_with(top.join(dir))))
            .collect();
        let mut files = vec![named_paths::CRATE_MANIFEST, "Cargo.lock", ".cargo"];
        if manifest.contains_key("package") {
            files.extend(["src", "build.rs"]);
        }
        let inherited = ["readme", "license-file"];
        let inherited = inherited.map(|key| item(&manifest, &["workspace", "package", key]));
        files.extend(inherited.into_iter().flatten().filter_map(Item::as_str));
        let files = files.into_iter().map(|name| top.join(name));
        for path in files.chain(members) {
            if self.root.join(&path).exists() {
                self.add(&path)?;
            }
        }
        let mut named = named_paths::in_manifest(&manifest, &top);
        named.retain(|named| named.is_path);
        self.add_named(named)
    }

    fn add_uv_workspace(&mut self, dir: &Path) -> anyhow::Result<()> {
        let manifest_of = |dir: &Path| self.manifests.get(&dir.join(layout::PYTHON_MANIFEST));
        let Some(member) = manifest_of(dir) else {
            return Ok(());
        };
        let workspace = dir.ancestors().find_map(|top| {
            let manifest = manifest_of(top)?;
            let members = item(&manifest, &["tool", "uv", "workspace", "members"])?;
            let members = members.as_array()?.iter().filter_map(Value::as_str);
            let members: Vec<String> = members.map(str::to_owned).collect();
            Some((top.to_owned(), manifest, members))
        });
        let Some((top, manifest, members)) = workspace else {
            return Ok(());
        };
        // The workspace's sources are those of its members, too, for what they require.
        let required: BTreeSet<String> = named_paths::texts(&member)
            .iter()
            .map(|text| requirement_name(text))
            .collect();
        let mut sources = workspace_sources(&manifest);
        sources.retain(|name| required.contains(name));
        sources.extend(workspace_sources(&member));
        let dirs: Vec<PathBuf> = members
            .iter()
            .flat_map(|pattern| self.dirs_of(&top, pattern))
            .filter(|member| {
                let name = manifest_of(member);
                let name = name.as_ref().and_then(|it| item(it, &["project", "name"]));
                name.and_then(Item::as_str)
                    .is_some_and(|name| sources.contains(&normalized(name)))
            })
            .collect();
        self.add(&top.join(layout::PYTHON_MANIFEST))?;
        for member in dirs {
            self.add(&member)?;
        }
        Ok(())
    }

    /// The directories of a workspace that a pattern of its members matches.
    fn dirs_of(&self, top: &Path, pattern: &str) -> Vec<PathBuf> {
        let mut dirs = vec![top.to_owned()];
        for part in Path::new(pattern).components() {
            let Component::Normal(part) = part else {
                continue;
            };
            let part = part.to_string_lossy();
            if !part.contains(['*', '?', '[']) {
                dirs.iter_mut().for_each(|dir| dir.push(&*part));
                continue;
            }
            let mut pattern = Rules::new();
            if pattern.push(part.as_ref().as_ref()).is_err() {
                return Vec::new();
            }
            let matches = |name: &OsString| pattern.excludes(Path::new(name), true);
            let deeper = dirs.iter().flat_map(|dir| {
                let names = fs::read_dir(self.root.join(dir)).into_iter().flatten();
                let names = names.flatten().map(|entry| entry.file_name());
                names.filter(matches).map(|name| dir.join(name))
            });
            dirs = deeper.collect();
        }
        dirs.retain(|dir| self.root.join(dir).is_dir());
        dirs
    }
}

/// The names, normalised, that a manifest takes from the uv workspace: `{ workspace = true }`.
fn workspace_sources(manifest: &DocumentMut) -> BTreeSet<String> {
    let sources = item(manifest, &["tool", "uv", "sources"]).and_then(Item::as_table_like);
    let is_of_workspace =
        |source: &Item| source.get("workspace").and_then(Item::as_bool) == Some(true);
    let of_workspace = sources.into_iter().flat_map(TableLike::iter);
    of_workspace
        .filter(|(_, source)| is_of_workspace(source))
        .map(|(name, _)| normalized(name))
        .collect()
}
