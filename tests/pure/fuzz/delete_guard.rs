//! Replacing a directory that the guard let go loses nothing that must survive,
//! and the guard refuses nothing without a reason.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use pixi_offline::failure::{USAGE, exit_code};
use pixi_offline::host_env::HostEnv;
use pixi_offline::replacement::{DirLock, OverwriteGuard, StagedDir, TargetState};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::fuzz::holds;
use crate::fuzz::snapshot::snapshot;
use testbed::limit::InTime as _;

/// Device and inode.
type Id = (u64, u64);

/// How a path is found in a tree: each number chooses an entry or `..`.
type Way = Vec<u8>;

/// The reason when both answers are right.
const MAY_GO: &str = "it holds what a path goes through and up again";

/// What a path ends in, after what is there.
const ENDS: [&str; 9] = [
    "",
    "",
    "",
    "",
    "new",
    "new/deeper",
    "new/..",
    "..",
    "new/../d1",
];

#[derive(Debug, Clone)]
struct Case {
    /// The directory that each directory is in; those before it, or the top.
    dirs: Vec<u8>,
    /// In which directories there is a file.
    files: Vec<u8>,
    /// Where each link is and leads to, and whether by an absolute path.
    links: Vec<(u8, u8, bool)>,
    /// Which directory is shown at which other.
    binds: Vec<(u8, u8)>,
    /// Project, resources, current and home directory.
    protected: [Way; 4],
    candidate: Way,
    end: usize,
    /// Directories that we made.
    ours: Vec<u8>,
    force: bool,
}

fn cases(mounts: bool) -> impl Strategy<Value = Case> {
    let binds = if mounts { 0..3_usize } else { 0..1 };
    let way = || vec(any::<u8>(), 1..5);
    (
        (
            vec(any::<u8>(), 3..12),
            vec(any::<u8>(), 0..6),
            vec((any::<u8>(), any::<u8>(), any::<bool>()), 0..5),
            vec((any::<u8>(), any::<u8>()), binds),
        ),
        [way(), way(), way(), way()],
        (way(), 0..ENDS.len()),
        (vec(any::<u8>(), 0..6), prop::bool::weighted(0.7)),
    )
        .prop_map(
            |((dirs, files, links, binds), protected, (candidate, end), (ours, force))| Case {
                dirs,
                files,
                links,
                binds,
                protected,
                candidate,
                end,
                ours,
                force,
            },
        )
}

/// A tree of a case; its mounts go before it does.
struct Graph {
    mounted: Vec<PathBuf>,
    /// What the mounts cover.
    covered: BTreeSet<Id>,
    dirs: Vec<PathBuf>,
    place: tempfile::TempDir,
}

impl Graph {
    fn make(case: &Case) -> Graph {
        // In memory: a replacement brings its file system to the disk.
        let place = tempfile::Builder::new()
            .prefix("pixi-offline-guard-")
            .tempdir_in("/dev/shm")
            .expect("a temporary directory");
        let mut dirs = vec![place.path().join("top")];
        fs::create_dir(&dirs[0]).expect("the top");
        for (number, parent) in case.dirs.iter().enumerate() {
            let dir = pick(&dirs, *parent).join(format!("d{number}"));
            fs::create_dir(&dir).expect("a directory");
            dirs.push(dir);
        }
        for (number, dir) in case.files.iter().enumerate() {
            let file = pick(&dirs, *dir).join(format!("f{number}"));
            fs::write(file, "thesis").expect("a file");
        }
        for (number, (at, to, absolute)) in case.links.iter().enumerate() {
            let at = pick(&dirs, *at).join(format!("l{number}"));
            // Every fourth leads to the link before it, which may not be there.
            let to = match to % 4 {
                0 => at.with_file_name(format!("l{}", number.wrapping_sub(1))),
                _ => pick(&dirs, *to).clone(),
            };
            let to = if *absolute { to } else { relative(&at, &to) };
            symlink(to, at).expect("a link");
        }
        let mut graph = Graph {
            mounted: Vec::new(),
            covered: BTreeSet::new(),
            dirs,
            place,
        };
        for (from, at) in &case.binds {
            let (from, at) = (pick(&graph.dirs, *from), pick(&graph.dirs, *at));
            // One that an earlier mount covers is not there.
            let Ok(covered) = fs::symlink_metadata(at) else {
                continue;
            };
            if at == graph.top() || !from.is_dir() {
                continue;
            }
            let status = Command::new("mount")
                .args(["--bind"])
                .arg(from)
                .arg(at)
                .status_in_time();
            assert!(status.expect("mount").success(), "{at:?} cannot be mounted");
            graph.covered.insert((covered.dev(), covered.ino()));
            graph.mounted.push(at.clone());
        }
        graph
    }

    fn top(&self) -> &Path {
        &self.dirs[0]
    }

    /// The path that a way leads, links and `..` as they come, never above the top.
    fn follow(&self, way: &[u8]) -> PathBuf {
        let mut path = self.top().to_owned();
        for choice in way {
            let mut names: Vec<_> = fs::read_dir(&path)
                .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect())
                .unwrap_or_default();
            names.sort();
            let real = path.canonicalize().unwrap_or_default();
            if real != self.top() && real.starts_with(self.top()) {
                names.push("..".into());
            }
            if names.is_empty() {
                break;
            }
            path.push(pick(&names, *choice));
        }
        path
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        for at in self.mounted.drain(..).rev() {
            let status = Command::new("umount")
                .arg("--lazy")
                .arg(&at)
                .status_in_time();
            // Deleting the tree would otherwise delete through the mount.
            assert!(status.expect("umount").success(), "{at:?} is still mounted");
        }
    }
}

fn pick<T>(from: &[T], choice: u8) -> &T {
    &from[usize::from(choice) % from.len()]
}

/// A path from where a link lies.
fn relative(link: &Path, to: &Path) -> PathBuf {
    let from: Vec<_> = link.parent().into_iter().flatten().collect();
    let to: Vec<_> = to.iter().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| *a == *b).count();
    let up = std::iter::repeat_n("..".as_ref(), from.len() - common);
    let here = std::iter::once(".".as_ref());
    here.chain(up).chain(to[common..].iter().copied()).collect()
}

/// Where a path leads, if anywhere.
fn id(path: &Path) -> Option<Id> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// The directories and files that go when `directory` is deleted, itself too, and whether
/// a mount is in the way: what a directory says of an entry's inode is the one below it.
fn entries_in(dir: &Path) -> (BTreeSet<Id>, bool) {
    let (mut all, mut mount) = (BTreeSet::new(), false);
    let mut ahead = vec![dir.to_owned()];
    while let Some(dir) = ahead.pop() {
        all.extend(id(&dir));
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            let metadata = fs::symlink_metadata(entry.path()).expect("an entry");
            if metadata.is_dir() {
                if metadata.ino() != entry.ino() {
                    mount = true;
                } else {
                    ahead.push(entry.path());
                }
            } else if metadata.is_file() {
                all.insert((metadata.dev(), metadata.ino()));
            }
        }
    }
    (all, mount)
}

/// Takes an entry and all in it away as deleting would, one by one: what is shown
/// by another path as well is then missing there too.
fn put_aside(entry: &Path, aside: &Path, moved: &mut Vec<(PathBuf, PathBuf)>) {
    if !entry.is_symlink() && entry.is_dir() {
        for inner in fs::read_dir(entry).expect("a directory").flatten() {
            put_aside(&inner.path(), aside, moved);
        }
    }
    let to = aside.join(moved.len().to_string());
    fs::rename(entry, &to).expect("an entry can be put aside");
    moved.push((entry.to_owned(), to));
}

/// A path without `..`: where each leads from is its real directory.
fn without_up(path: &Path) -> PathBuf {
    path.iter().fold(PathBuf::new(), |path, part| match part {
        part if part == ".." => {
            let real = path.canonicalize().unwrap_or(path);
            real.parent().unwrap_or(&real).to_owned()
        }
        part => path.join(part),
    })
}

/// Why a directory must be refused, looked at by brute force; `None` when it may go.
fn reason(
    graph: &Graph,
    case: &Case,
    candidate: &Path,
    protected: &[PathBuf],
) -> Option<&'static str> {
    let Ok(metadata) = fs::symlink_metadata(candidate) else {
        return reason_against_new(candidate);
    };
    if metadata.is_symlink() {
        return Some("a link");
    }
    if !metadata.is_dir() {
        return Some("not a directory");
    }
    if candidate.ends_with("..") {
        return Some("no name of its own");
    }
    // One that leads nowhere cannot be lost.
    let protected: Vec<_> = protected.iter().filter(|path| path.exists()).collect();
    let (gone, holds_mount) = entries_in(candidate);
    if protected
        .iter()
        .filter_map(|path| id(path))
        .any(|id| gone.contains(&id))
    {
        return Some("holds a protected directory");
    }
    let real = candidate.canonicalize().expect("a directory");
    if holds_mount
        || graph.mounted.iter().any(|at| at.starts_with(&real))
        || !gone.is_disjoint(&graph.covered)
    {
        return Some("holds a mount");
    }
    // With an empty directory in its place, does every path still lead where it did?
    let before: Vec<_> = protected.iter().map(|path| id(path)).collect();
    let plain: Vec<_> = protected.iter().map(|path| without_up(path)).collect();
    let aside = real.with_file_name("aside");
    fs::create_dir(&aside).expect("a directory beside it");
    let mut moved = Vec::new();
    put_aside(&real, &aside, &mut moved);
    fs::create_dir(&real).expect("an empty one");
    let after: Vec<_> = protected.iter().map(|path| id(path)).collect();
    let reached = candidate.exists();
    let plain_after: Vec<_> = plain.iter().map(|path| id(path)).collect();
    fs::remove_dir(&real).expect("it is still empty");
    for (from, to) in moved.iter().rev() {
        fs::rename(to, from).expect("it comes back");
    }
    fs::remove_dir(&aside).expect("it is empty again");
    if before != plain_after {
        return Some("holds a link to a protected directory");
    }
    if !reached {
        return Some("leads through itself");
    }
    let empty = fs::read_dir(&real).expect("a directory").next().is_none();
    if !empty && !is_ours(graph, case, &real) && !case.force {
        return Some("somebody's");
    }
    // A path that only goes up from a directory in it leads to nothing that goes.
    let mut way = candidate.ancestors().skip(1).filter_map(id);
    (before != after || way.any(|id| gone.contains(&id))).then_some(MAY_GO)
}

/// Whether making the parents of what is not there would lead to something that
/// is; tried, and undone.
fn reason_against_new(candidate: &Path) -> Option<&'static str> {
    let mut missing: Vec<_> = candidate
        .ancestors()
        .skip(1)
        .filter(|parent| fs::symlink_metadata(parent).is_err() && !parent.ends_with(".."))
        .collect();
    missing.reverse();
    let parent = candidate.parent().expect("an absolute path");
    let made = fs::create_dir_all(parent);
    let leads = fs::symlink_metadata(candidate).is_ok();
    for dir in missing.iter().rev() {
        let _ = fs::remove_dir(dir);
    }
    if made.is_err() {
        Some("its parents cannot be made")
    } else if candidate.ends_with("..") {
        Some("no name of its own")
    } else {
        (leads
            || candidate
                .iter()
                .skip_while(|part| *part != "new")
                .any(|part| part == ".."))
        .then_some("leads up from what is not there")
    }
}

fn is_ours(graph: &Graph, case: &Case, dir: &Path) -> bool {
    let own = case.ours.iter().map(|number| pick(&graph.dirs, *number));
    own.into_iter().any(|own| id(own) == id(dir))
}

#[derive(Default)]
struct Tally {
    accepted: AtomicU64,
    replaced: AtomicU64,
    refused: AtomicU64,
}

fn try_one(case: &Case, tally: &Tally) -> TestCaseResult {
    let graph = Graph::make(case);
    let ways = case.protected.each_ref().map(|way| graph.follow(way));
    let [project, resources, mut current, home] = ways;
    // What getcwd(2) says is a directory, without links.
    current = current
        .canonicalize()
        .unwrap_or_else(|_| graph.top().to_owned());
    if !current.is_dir() {
        current.pop();
    }
    let protected = [project, resources, current, home];
    let candidate = graph.follow(&case.candidate).join(ENDS[case.end]);
    let mut host = HostEnv::read().expect("the surroundings");
    host.current_dir = protected[2].clone();
    host.home = Some(protected[3].clone());
    let candidate = host.absolute(&candidate);
    let mut guard = OverwriteGuard::new(&host);
    guard.protect(&protected[0], "the project");
    guard.protect(&protected[1], "the resources");

    let reason = reason(&graph, case, &candidate, &protected);
    let before = snapshot(graph.place.path(), None);
    let ours = |dir: &Path| is_ours(&graph, case, dir);
    let answer = guard.check("--workdir", &candidate, ours, case.force);
    prop_assert_eq!(
        &before,
        &snapshot(graph.place.path(), None),
        "looking changed it"
    );
    match answer {
        Err(error) => {
            prop_assert!(reason.is_some(), "{candidate:?} was refused: {error:#}");
            prop_assert_eq!(exit_code(&error), USAGE, "{:#}", error);
            tally.refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(standing) => {
            prop_assert!(
                reason.is_none_or(|reason| reason == MAY_GO),
                "{candidate:?} was let go, but: {reason:?}"
            );
            let was_there = candidate.exists();
            let there = protected.iter().filter(|path| path.exists());
            let protected: Vec<_> = there.map(|path| without_up(path)).collect();
            let ids: Vec<_> = protected.iter().map(|path| id(path)).collect();
            // What may go, by whatever path it is seen.
            let gone: BTreeSet<Id> = if was_there {
                let real = candidate.canonicalize().expect("a directory");
                let entries = snapshot(&real, None).into_values();
                entries.map(|entry| (entry.0, entry.1)).collect()
            } else {
                BTreeSet::new()
            };
            let mut before = snapshot(graph.top(), None);
            before.retain(|_, entry| !gone.contains(&(entry.0, entry.1)));
            let dir_lock = DirLock::exclusive(&candidate, "fuzz").expect("nobody holds it");
            let beside = StagedDir::new(&dir_lock, &candidate).expect("a place beside it");
            fs::write(beside.path().join("new"), "new").expect("a file in it");
            beside.commit().expect("it takes the place");
            drop(dir_lock);
            prop_assert_eq!(fs::read(candidate.join("new")).ok(), Some(b"new".to_vec()));
            let after: Vec<_> = protected.iter().map(|path| id(path)).collect();
            prop_assert_eq!(ids, after, "a protected directory is gone");
            let after = snapshot(graph.top(), None);
            for (path, entry) in &before {
                prop_assert_eq!(after.get(path), Some(entry), "{:?} changed", path);
            }
            if was_there && standing != TargetState::Vacant {
                tally.replaced.fetch_add(1, Ordering::Relaxed);
            }
            tally.accepted.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[test]
fn the_guard_never_lets_a_protected_dir_go() {
    let name = "the_guard_never_lets_a_protected_dir_go";
    let may_mount = rustix::process::geteuid().is_root() && {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).arg(dir.path());
            command
                .status_in_time()
                .is_ok_and(|status| status.success())
        };
        run("mount", &["-t", "tmpfs", "tmpfs"]) && run("umount", &[])
    };
    if !may_mount {
        testbed::skip(
            &format!("fuzz::{name}_with_mounts"),
            "needs root and a machine where it may mount",
        );
    }
    let tally = Tally::default();
    let number = testbed::cases(1000, 20_000);
    holds(name, number, &cases(may_mount), |case| {
        try_one(&case, &tally)
    });
    let (accepted, replaced, refused) = (
        tally.accepted.into_inner(),
        tally.replaced.into_inner(),
        tally.refused.into_inner(),
    );
    testbed::ran(name, number);
    println!("{accepted} let go, {replaced} of them not empty, {refused} refused");
    assert!(
        accepted * 10 > number && refused * 10 > number && replaced * 100 > number,
        "little was tried: {accepted} let go, {replaced} of them not empty, {refused} refused"
    );
}
