//! Files that a build made in the project, beside the environments: build trees, what an
//! editable install writes. They are listed when the build has ended, so that a product
//! can be made without them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use memchr::memmem;
use rustix::fs::{FileType, OFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::counted::counted;
use crate::evidence::manifest::EncodedPath;
use crate::evidence::{GeneratedEntry, GeneratedFiles, Sha256Digest, WorkdirRecord};
use crate::failure::Failure;
use crate::layout::{self, ContainerWorkdir, ProjectPlace, Workdir};
use crate::parallel;
use crate::project::ProjectRules;
use crate::request::{ContainerPath, ProductVariable, ProjectName};
use crate::staging::{
    self, Examples, HashPolicy, ListedEntry, ListedKind, Listing, Selection as _,
};
use crate::untrusted_dir::UntrustedDir;

/// How long a list of generated files may be, in bytes of `workdir.json`: what runs in a
/// container may make any number of them, and a record is read up to
/// [`RECORD_LIMIT`](crate::untrusted_dir::RECORD_LIMIT).
const LONGEST_LIST: usize = 48 * 1024 * 1024;

/// What becomes of the files that the build made in the project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Generated {
    /// They are packed, as the script did; those that hold the build's path are named.
    #[default]
    Keep,
    /// They are named and stay behind.
    Drop,
}

/// The paths of a project as they were staged: for each directory what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Dir>", into = "Vec<Dir>")]
pub struct StagedPaths(HashMap<PathBuf, HashSet<OsString>>);

/// A directory and the names in it, as they are sent out of a container.
type Dir = (EncodedPath, Vec<EncodedPath>);

impl From<&Listing> for StagedPaths {
    fn from(listing: &Listing) -> StagedPaths {
        let mut dirs: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        for entry in listing.entries(Path::new("")) {
            let parent = entry.path.parent().unwrap_or(Path::new(""));
            let name = entry.path.file_name().unwrap_or_default().to_owned();
            if let Some(names) = dirs.get_mut(parent) {
                names.insert(name);
            } else {
                dirs.insert(parent.to_owned(), HashSet::from([name]));
            }
        }
        StagedPaths(dirs)
    }
}

impl From<Vec<Dir>> for StagedPaths {
    fn from(dirs: Vec<Dir>) -> StagedPaths {
        let names = |names: Vec<EncodedPath>| {
            let names = names.into_iter();
            names
                .map(|name| name.path().as_os_str().to_owned())
                .collect()
        };
        let dir = |(dir, content): Dir| (dir.path().to_owned(), names(content));
        StagedPaths(dirs.into_iter().map(dir).collect())
    }
}

impl From<StagedPaths> for Vec<Dir> {
    fn from(staged: StagedPaths) -> Vec<Dir> {
        let names = |names: HashSet<OsString>| names.into_iter().map(EncodedPath::new).collect();
        let dir = |(dir, content)| (EncodedPath::new(dir), names(content));
        staged.0.into_iter().map(dir).collect()
    }
}

impl StagedPaths {
    fn has(&self, path: &Path) -> bool {
        let parent = path.parent().unwrap_or(Path::new(""));
        let names = self.0.get(parent).zip(path.file_name());
        names.is_some_and(|(names, name)| names.contains(name))
    }
}

/// Lists in `record` what the build has made in the project of a workdir, and warns of what
/// of it holds the path that the build had. What cannot be listed is said in the record.
pub(crate) fn record(
    workdir: &Workdir,
    place: &ProjectPlace,
    rules: &ProjectRules,
    staged: &StagedPaths,
    record: &mut WorkdirRecord,
    context: &Context,
) {
    let project = workdir.project(place);
    let paths = build_paths(&record.container_workdir, &place.name);
    for manifest in layout::PROJECT_MANIFESTS {
        let file = project.join(manifest);
        let is_file = fs::symlink_metadata(&file).is_ok_and(|found| found.is_file());
        if is_file && examine(&file, &paths).is_ok_and(|content| content.holds_path) {
            context.report.warning(format_args!(
                "{manifest} names a path below {}, which is there in the build's container only; write it relative to the project, or with $PIXI_PROJECT_ROOT",
                record.container_workdir
            ));
        }
    }
    match find(&workdir.staged(&place.name), rules, staged, &paths) {
        Ok((files, holding)) => {
            if holding.count > 0 {
                context.report.warning(format_args!(
                    "{} its path in the container, {}, which does not exist elsewhere: {holding}",
                    counted(
                        holding.count,
                        "file that the build made in the project holds",
                        "files that the build made in the project hold"
                    ),
                    record.container_workdir
                ));
            }
            record.generated = Some(files);
        }
        Err(error) => {
            context.report.warning(format_args!(
                "cannot list the files that the build generated: {error:#}"
            ));
            record.generated = Some(GeneratedFiles::unknown(format!("{error:#}")));
        }
    }
}

/// Warns of variables of a product whose value names a path of the build.
pub(crate) fn warn_of_variables(
    variables: &[ProductVariable],
    name: &ProjectName,
    record: Option<&WorkdirRecord>,
    context: &Context,
) {
    let Some(record) = record else { return };
    let paths = build_paths(&record.container_workdir, name);
    for variable in variables {
        let value = variable.value().as_encoded_bytes();
        if search(value, &paths).is_ok_and(|content| content.holds_path) {
            context.report.warning(format_args!(
                "--env {} names a path below {}, which is there in the build's container only",
                variable.key(),
                record.container_workdir
            ));
        }
    }
}

/// What files of a build may hold that is nowhere else: the paths of its workdir.
fn build_paths(container_workdir: &str, name: &ProjectName) -> Vec<Vec<u8>> {
    let Ok(path) = ContainerPath::new("the recorded path", container_workdir.as_ref()) else {
        return Vec::new();
    };
    let inside = ContainerWorkdir(&path);
    let project = Path::new(&inside.projects()).join(name);
    [
        project.into_os_string().into_encoded_bytes(),
        inside.resources().into_bytes(),
        inside.cache().into_bytes(),
        inside.out().into_bytes(),
    ]
    .into()
}

/// What is in the project and was not staged, and what of it holds one of `paths`.
fn find(
    project: &Path,
    rules: &ProjectRules,
    staged: &StagedPaths,
    paths: &[Vec<u8>],
) -> anyhow::Result<(GeneratedFiles, Examples)> {
    let is_dir = fs::symlink_metadata(project).is_ok_and(|found| found.is_dir());
    anyhow::ensure!(is_dir, "{} is not a directory", project.display());
    let seen = staging::scan_tree(project, rules, &|_, _| HashPolicy::Skip)?;
    let lock = rules.in_root().join(layout::LOCK_FILE);
    let is_new = |path: &Path| path != lock && !staged.has(path);
    let entries = || seen.listing.entries(Path::new(""));
    let new = entries().filter(|entry| is_new(&entry.path));
    // As JSON: the path, each byte of it three at most, the digest and their names.
    let length: usize = new
        .map(|entry| 3 * entry.path.as_os_str().len() + 128)
        .sum();
    if length > LONGEST_LIST {
        return Ok((
            GeneratedFiles::unknown(too_many(entries(), is_new)),
            Examples::default(),
        ));
    }
    let new = entries()
        .filter(|entry| is_new(&entry.path))
        .map(|entry| (entry.path, matches!(entry.kind, ListedKind::Dir)));
    let examined = parallel::par_map(new, |(path, is_dir)| {
        let content = match is_dir {
            true => None,
            false => Some(examine(&project.join(path), paths)?),
        };
        anyhow::Ok((path.clone(), content))
    });
    let mut files = GeneratedFiles::default();
    let mut holding = Examples::default();
    for entry in examined {
        let (path, content) = entry?;
        if content.as_ref().is_some_and(|content| content.holds_path) {
            holding.add(&path.to_string_lossy());
        }
        files.entries.push(GeneratedEntry {
            path: EncodedPath::new(path),
            sha256: content.map(|content| content.sha256),
        });
    }
    Ok((files, holding))
}

/// Says that a list would be too long, and which entry of the project's top holds most of it.
fn too_many<'a>(
    entries: impl Iterator<Item = ListedEntry<'a>>,
    is_new: impl Fn(&Path) -> bool,
) -> String {
    let mut counts: HashMap<OsString, u64> = HashMap::new();
    for entry in entries.filter(|entry| is_new(&entry.path)) {
        let top = entry.path.iter().next().unwrap_or_default();
        *counts.entry(top.to_owned()).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    let (top, count) = most.unwrap_or_default();
    format!(
        "it is more than can be listed ({count} entries in {} alone)",
        top.display()
    )
}

/// What is in a file, or where a link leads.
struct FileContent {
    sha256: Sha256Digest,
    /// Whether one of the build's paths is in it.
    holds_path: bool,
}

/// Reads a file or a link. Anything else counts as empty.
fn examine(path: &Path, paths: &[Vec<u8>]) -> anyhow::Result<FileContent> {
    let reading = || format!("{} cannot be read", path.display());
    let metadata = fs::symlink_metadata(path).with_context(reading)?;
    if metadata.is_symlink() {
        let target = fs::read_link(path).with_context(reading)?;
        return search(target.as_os_str().as_bytes(), paths).with_context(reading);
    }
    if !metadata.is_file() {
        return search(io::empty(), paths).with_context(reading);
    }
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
        .with_context(reading)?;
    search(file, paths).with_context(reading)
}

/// Digests what is read, and looks for the paths in it.
fn search(mut from: impl Read, paths: &[Vec<u8>]) -> io::Result<FileContent> {
    let longest = paths.iter().map(Vec::len).max().unwrap_or(0);
    let mut digest = Sha256::new();
    let mut holds_path = false;
    let mut buffer = vec![0; longest + 256 * 1024];
    // What may be the start of a path, from the piece before.
    let mut kept = 0;
    loop {
        let read = match from.read(&mut buffer[kept..]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digest.update(&buffer[kept..kept + read]);
        let piece = kept + read;
        holds_path |= paths
            .iter()
            .any(|path| memmem::find(&buffer[..piece], path).is_some());
        kept = piece.min(longest.saturating_sub(1));
        buffer.copy_within(piece - kept..piece, 0);
    }
    Ok(FileContent {
        sha256: digest.finalize().into(),
        holds_path,
    })
}

/// Says what of the files that the build made is in the project as the build left it, and
/// adds it to what the rules leave out, when that is wanted. What was changed since is the
/// person's.
///
/// # Errors
///
/// Exit code 2 when they are to stay behind and are not known.
pub(crate) fn apply(
    wanted: Generated,
    project: &Path,
    name: &ProjectName,
    record: Option<&WorkdirRecord>,
    rules: &mut ProjectRules,
    context: &Context,
) -> anyhow::Result<()> {
    let known = record.and_then(|record| Some((record, record.generated.as_ref()?)));
    let Some((record, files)) = known.filter(|(_, files)| files.unknown.is_none()) else {
        if wanted == Generated::Keep {
            return Ok(());
        }
        let why = known.and_then(|(_, files)| files.unknown.as_deref());
        return Err(Failure::usage(format!(
            "the files that the build generated cannot be left out: {}; leave it out with --exclude when the workdir is made, or pack it (build-offline-product --keep-generated; make-archive-ready-product without --drop-generated)",
            why.unwrap_or("workdir.json does not list it")
        )));
    };
    let paths = build_paths(&record.container_workdir, name);
    let found = parallel::par_map(&files.entries, |entry| {
        let path = entry.path.path();
        let is_plain = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let content = entry.sha256.filter(|_| is_plain).and_then(|sha256| {
            let content = examine(&project.join(path), &paths).ok()?;
            (content.sha256 == sha256).then_some(content)
        });
        (path.to_owned(), content)
    });
    let mut unchanged = Examples::default();
    let mut holding = Examples::default();
    let mut left = BTreeSet::new();
    for (path, content) in found {
        let Some(content) = content else { continue };
        // One that the rules leave is not worth a word.
        let is_kept = !path
            .ancestors()
            .any(|part| rules.excludes(part, part != path));
        if is_kept {
            unchanged.add(&path.to_string_lossy());
            if content.holds_path {
                holding.add(&path.to_string_lossy());
            }
        }
        left.insert(path);
    }
    match wanted {
        Generated::Keep if holding.count > 0 => context.report.warning(format_args!(
            "{} its path in the container, {}, which does not exist elsewhere: {holding}; --drop-generated leaves out what the build made",
            counted(
                holding.count,
                "file that the build made in the project is packed and holds",
                "files that the build made in the project are packed and hold"
            ),
            record.container_workdir
        )),
        Generated::Keep => {}
        Generated::Drop => {
            if unchanged.count > 0 {
                context.report.note(format_args!(
                    "{} left out: {unchanged}; --keep-generated packs what the build made",
                    counted(
                        unchanged.count,
                        "file that the build made in the project is",
                        "files that the build made in the project are"
                    )
                ));
            }
            leave_empty_dirs(project, files, rules, &mut left);
            rules.leave_generated(left);
        }
    }
    Ok(())
}

/// Adds the directories that the build made and in which nothing is kept.
fn leave_empty_dirs(
    project: &Path,
    files: &GeneratedFiles,
    rules: &ProjectRules,
    left: &mut BTreeSet<PathBuf>,
) {
    // The deepest first: what is in a directory comes after it in the list.
    let dirs = files
        .entries
        .iter()
        .rev()
        .filter(|entry| entry.sha256.is_none());
    for parent in dirs.map(|entry| entry.path.path()) {
        let mut is_left = true;
        let listed = UntrustedDir::open(project)
            .and_then(|project| project.open_dir(parent))
            .and_then(|dir| {
                dir.for_each_entry(|entry| {
                    let path = parent.join(&entry.name);
                    let is_dir = entry.kind == FileType::Directory;
                    is_left &= left.contains(&path) || rules.excludes(&path, is_dir);
                    Ok(())
                })
            });
        if listed.is_ok() && is_left {
            left.insert(parent.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_wherever_the_reads_cut_it() {
        struct SlowReader<'a>(&'a [u8], usize);
        impl Read for SlowReader<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = self.1.min(self.0.len()).min(buffer.len());
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let paths = [b"/workdir/project/demo".to_vec(), b"/w/out".to_vec()];
        let text = b"x=/workdir/project/demo/build\n";
        for step in 1..=text.len() {
            let found = search(SlowReader(text, step), &paths).unwrap();
            assert!(found.holds_path, "{step}");
            assert_eq!(found.sha256, Sha256::digest(text).into());
            let other = search(SlowReader(b"/workdir/project/dem", step), &paths).unwrap();
            assert!(!other.holds_path, "{step}");
        }
        assert!(search(&b"/w/out"[..], &paths).unwrap().holds_path);
        assert!(!search(&b"/w/out"[..], &[]).unwrap().holds_path);
    }

    #[test]
    fn staged_paths_come_back_from_json_whatever_their_bytes() {
        let odd = std::ffi::OsStr::from_bytes(b"caf\xe9\n\"%");
        let staged = StagedPaths(HashMap::from([
            (PathBuf::new(), HashSet::from(["a".into(), odd.to_owned()])),
            (PathBuf::from(odd), HashSet::from(["b".into()])),
        ]));
        let text = serde_json::to_string(&staged).unwrap();
        let back: StagedPaths = serde_json::from_str(&text).unwrap();
        assert_eq!(back, staged);
        assert!(back.has(&Path::new(odd).join("b")));
        assert!(!back.has(Path::new("b")));
    }
}
