use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::Mutex;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};
use rustix::io::Errno;

use super::content::{ContentError, FileCopier};
use super::copy_error::{CopyError, takes_no_more};
use super::worker::{CreatedEntry, EntryPlace as Entry, Worker};
use super::*;
use crate::staging::{Rules, RulesAndSkip};

/// A directory with an empty `source` in it, and a target that is not there.
struct CopyFixture {
    dir: tempfile::TempDir,
}

impl CopyFixture {
    fn new() -> CopyFixture {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("source")).expect("a source");
        CopyFixture { dir }
    }

    fn source(&self, relative: &str) -> PathBuf {
        join(&self.dir.path().join("source"), relative)
    }

    fn target(&self, relative: &str) -> PathBuf {
        join(&self.dir.path().join("target"), relative)
    }

    fn file(&self, relative: &str, content: &str) -> PathBuf {
        let path = self.source(relative);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, content).expect("a file");
        path
    }

    fn copy(&self, patterns: &[&str]) -> anyhow::Result<CopyStats> {
        let mut rules = Rules::new();
        for pattern in patterns {
            rules.push(OsStr::new(pattern)).expect("a good pattern");
        }
        copy_but(&self.source(""), &self.target(""), &rules, &|_| false)
    }

    fn copied(&self) -> CopyStats {
        self.copy(&[]).expect("the copy succeeds")
    }

    fn found(&self, relative: &str) -> Metadata {
        fs::symlink_metadata(self.target(relative)).expect(relative)
    }
}

/// Copies what the rules keep, but for the directories that `skip` names.
fn copy_but(
    source: &Path,
    target: &Path,
    rules: &Rules,
    skip: &(dyn Fn(&Path) -> bool + Sync),
) -> anyhow::Result<CopyStats> {
    let selection = RulesAndSkip { rules, skip };
    copy_tree(source, target, &selection, &CopyOptions::default()).map(|outcome| outcome.copied)
}

/// Joins without the slash at the end that an empty `relative` would leave.
fn join(dir: &Path, relative: &str) -> PathBuf {
    if relative.is_empty() {
        dir.to_path_buf()
    } else {
        dir.join(relative)
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
}

fn time(found: &Metadata) -> (i64, i64) {
    (found.mtime(), found.mtime_nsec())
}

fn mode(found: &Metadata) -> u32 {
    found.mode() & 0o7777
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn make_node(path: &Path, kind: FileType) {
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, 0).expect("a node");
}

/// Has a worker deal with the entry `name` of `source`, as if it had been listed as
/// something else before.
fn deal<T>(
    source: &Path,
    target: &Path,
    name: &str,
    as_root: bool,
    act: impl FnOnce(&mut Worker<'_>, &Entry<'_>) -> T,
) -> T {
    let (rules, options) = (Rules::new(), CopyOptions::default());
    let open = |path: &Path| OwnedFd::from(File::open(path).expect("a directory"));
    let from = open(source);
    let mut job = Job::new(source, source, from, target, &rules, &options).expect("a job");
    job.maker.as_root = as_root;
    let name = CString::new(name).expect("a name");
    let mut worker = Worker::new(&job);
    worker.path = name.as_bytes().to_vec();
    let entry = Entry {
        from: &open(source),
        to: &open(target),
        inherited_owner: None,
        device: 0,
        name: &name,
    };
    act(&mut worker, &entry)
}

#[test]
fn content_is_copied_and_the_account_is_right() {
    let place = CopyFixture::new();
    place.file("a/b/small", "text");
    place.file("empty", "");
    fs::write(place.source("large"), vec![5; 3_000_000]).expect("a file");
    fs::create_dir(place.source("empty-dir")).expect("a directory");
    let copied = place.copied();
    assert_eq!(
        copied,
        CopyStats {
            entries: 6,
            files: 3,
            bytes: 3_000_004,
            skipped: Vec::new()
        }
    );
    assert_eq!(
        fs::read(place.target("a/b/small")).expect("a copy"),
        b"text"
    );
    assert_eq!(place.found("large").len(), 3_000_000);
    assert!(place.found("empty-dir").is_dir());
}

#[test]
fn modes_are_kept_setuid_and_sticky_too() {
    let place = CopyFixture::new();
    let modes = [0o644, 0o600, 0o444, 0o755, 0o4755, 0o6711, 0o2644, 0o1644];
    for wanted in modes {
        set_mode(&place.file(&format!("{wanted:o}"), "x"), wanted);
    }
    let dirs = [0o755, 0o700, 0o555, 0o500, 0o1777, 0o2775];
    for wanted in dirs {
        let inside = place.file(&format!("dir-{wanted:o}/inside"), "x");
        set_mode(inside.parent().expect("a directory"), wanted);
    }
    place.copied();
    for wanted in modes {
        assert_eq!(mode(&place.found(&format!("{wanted:o}"))), wanted);
    }
    for wanted in dirs {
        let name = format!("dir-{wanted:o}");
        assert_eq!(mode(&place.found(&name)), wanted, "{name}");
        assert!(place.target(&name).join("inside").is_file());
    }
}

#[test]
fn times_are_kept_to_the_nanosecond_of_files_dirs_and_links() {
    let place = CopyFixture::new();
    place.file("dir/file", "x");
    symlink("nowhere", place.source("link")).expect("a link");
    let wanted = [
        ("dir/file", (1_000_000_000, 123_456_789)),
        ("link", (-5, 1)),
        ("dir", (5_000_000_000, 999_999_999)),
        ("", (86_400, 7)),
    ];
    for (path, (seconds, nanoseconds)) in wanted {
        set_time(&place.source(path), seconds, nanoseconds);
    }
    place.copied();
    for (path, wanted) in wanted {
        assert_eq!(time(&place.found(path)), wanted, "{path:?}");
    }
}

#[test]
fn a_time_in_the_present_second_is_kept_too() {
    // rsync leaves these nanoseconds as they come.
    let place = CopyFixture::new();
    place.file("dir/file", "x");
    symlink("file", place.source("dir/link")).expect("a link");
    place.copied();
    for path in ["", "dir", "dir/file", "dir/link"] {
        let original = fs::symlink_metadata(place.source(path)).expect("the original");
        assert_eq!(time(&place.found(path)), time(&original), "{path:?}");
    }
}

#[test]
fn the_top_dir_gets_the_looks_of_the_source_also_when_it_was_there() {
    let place = CopyFixture::new();
    set_mode(&place.source(""), 0o2750);
    set_time(&place.source(""), 12, 34);
    fs::create_dir(place.target("")).expect("an empty target");
    place.copied();
    assert_eq!(mode(&place.found("")), 0o2750);
    assert_eq!(time(&place.found("")), (12, 34));
}

#[test]
fn root_keeps_owner_and_group_of_links_too_and_the_setuid_bit() {
    let place = CopyFixture::new();
    let file = place.file("dir/file", "x");
    symlink("file", place.source("dir/link")).expect("a link");
    let (owner, group) = if is_root() {
        (54_321, 12_345)
    } else {
        let own = fs::metadata(&file).expect("a file");
        (own.uid(), own.gid())
    };
    for path in ["", "dir", "dir/file", "dir/link"] {
        std::os::unix::fs::lchown(place.source(path), Some(owner), Some(group)).expect("an owner");
    }
    set_mode(&file, 0o4755);
    place.copied();
    for path in ["", "dir", "dir/file", "dir/link"] {
        let found = place.found(path);
        assert_eq!((found.uid(), found.gid()), (owner, group), "{path:?}");
    }
    assert_eq!(mode(&place.found("dir/file")), 0o4755);
}

#[test]
fn links_are_copied_as_they_are() {
    let place = CopyFixture::new();
    place.file("dir/file", "x");
    let latin = OsStr::from_bytes(b"caf\xe9/\xff");
    let links = [
        ("relative", OsStr::new("dir/file")),
        ("absolute", OsStr::new("/etc/passwd")),
        ("dangling", OsStr::new("nowhere/at all")),
        ("to-dir", OsStr::new("dir")),
        ("to-itself", OsStr::new("to-itself")),
        ("up", OsStr::new("..")),
        ("latin", latin),
    ];
    for (name, leads_to) in links {
        symlink(leads_to, place.source(name)).expect("a link");
    }
    let copied = place.copied();
    for (name, leads_to) in links {
        let found = fs::read_link(place.target(name)).expect("a link");
        assert_eq!(found.as_os_str(), leads_to);
    }
    assert_eq!(copied.entries, 9);
    assert_eq!(copied.files, 1);
}

#[test]
fn fifos_and_sockets_are_made_again() {
    let place = CopyFixture::new();
    for (name, kind) in [("fifo", FileType::Fifo), ("socket", FileType::Socket)] {
        make_node(&place.source(name), kind);
        set_mode(&place.source(name), 0o1622);
        set_time(&place.source(name), 3, 4);
    }
    assert_eq!(place.copied().entries, 2);
    assert!(place.found("fifo").file_type().is_fifo());
    assert!(place.found("socket").file_type().is_socket());
    for name in ["fifo", "socket"] {
        assert_eq!(mode(&place.found(name)), 0o1622);
        assert_eq!(time(&place.found(name)), (3, 4));
    }
}

#[test]
fn devices_are_made_again_by_root_and_skipped_for_a_plain_user() {
    // A plain user cannot make one to be copied, so looks at the system's.
    let devices = Path::new("/dev");
    let place = CopyFixture::new();
    let target = place.target("");
    fs::create_dir(&target).expect("a target");
    if is_root() {
        let made = deal(devices, &target, "null", true, |worker, entry| {
            worker.other(entry)
        });
        assert_eq!(made.expect("a device"), CreatedEntry::Entry);
        let found = place.found("null");
        assert!(found.file_type().is_char_device());
        let original = fs::metadata("/dev/null").expect("the null device");
        assert_eq!(found.rdev(), original.rdev());
        assert_eq!(mode(&found), mode(&original));
        fs::remove_file(place.target("null")).expect("it goes");
    }
    let skipped = deal(devices, &target, "null", false, |worker, entry| {
        assert_eq!(
            worker.other(entry).expect("no error"),
            CreatedEntry::Nothing
        );
        worker.gathered.copied.skipped.clone()
    });
    assert!(!place.target("null").exists());
    let (path, reason) = &skipped[0];
    assert_eq!(path, Path::new("null"));
    assert!(reason.contains("only root can make"), "{reason}");
}

#[test]
fn hard_links_become_separate_files() {
    let place = CopyFixture::new();
    let one = place.file("one", "same");
    fs::hard_link(one, place.source("two")).expect("a hard link");
    let copied = place.copied();
    assert_eq!((copied.files, copied.bytes), (2, 8));
    assert_eq!(place.found("one").nlink(), 1);
    assert_ne!(place.found("one").ino(), place.found("two").ino());
}

#[test]
fn extended_attributes_stay_behind() {
    let place = CopyFixture::new();
    let file = place.file("file", "x");
    let set = rustix::fs::setxattr(
        &file,
        "user.note",
        b"secret",
        rustix::fs::XattrFlags::empty(),
    );
    if set == Err(Errno::OPNOTSUPP) {
        return; // This file system has none, so none can be copied.
    }
    set.expect("an attribute");
    place.copied();
    let mut value = [0; 16];
    assert_eq!(
        rustix::fs::getxattr(place.target("file"), "user.note", &mut value),
        Err(Errno::NODATA)
    );
}

#[test]
fn a_source_that_is_a_link_is_followed() {
    let place = CopyFixture::new();
    place.file("file", "x");
    set_mode(&place.source(""), 0o711);
    let link = place.dir.path().join("link");
    symlink("source", &link).expect("a link");
    copy_but(&link, &place.target(""), &Rules::new(), &|_| false).expect("a copy");
    assert!(place.found("").is_dir());
    assert_eq!(mode(&place.found("")), 0o711);
    assert!(place.found("file").is_file());
}

#[test]
fn names_need_not_be_utf_8() {
    let place = CopyFixture::new();
    let name = OsStr::from_bytes(b"caf\xe9\n");
    fs::write(place.source("").join(name), "x").expect("a file");
    place.copied();
    assert!(place.target("").join(name).is_file());
}

#[test]
fn files_that_begin_with_a_dot_and_ignore_files_mean_nothing() {
    let place = CopyFixture::new();
    for name in [".gitignore", ".ignore", ".rgignore", ".git/info/exclude"] {
        place.file(name, "*\n");
    }
    place.file(".hidden/file", "x");
    assert_eq!(place.copied().files, 5);
}

#[test]
fn an_excluded_dir_is_not_entered() {
    let place = CopyFixture::new();
    place.file("cache/deep/kept.txt", "x");
    place.file("kept.txt", "x");
    place.file("a/b/cache/x", "x");
    symlink("kept.txt", place.source("link")).expect("a link");
    fs::create_dir(place.source("d")).expect("a directory");
    symlink("d", place.source("d/cache")).expect("a link to a directory");
    place.copy(&["+ *.txt", "cache/"]).expect("a copy");
    assert!(place.target("kept.txt").exists());
    assert!(place.target("a/b").is_dir());
    assert!(!place.target("cache").exists());
    assert!(!place.target("a/b/cache").exists());
    assert!(place.found("d/cache").is_symlink());
}

#[test]
fn the_caller_is_asked_for_kept_dirs_and_can_leave_one_out() {
    let place = CopyFixture::new();
    for path in ["a/x", "work/deep/x", "b/work/x", "no/x", "z"] {
        place.file(path, "x");
    }
    let root = place.source("").canonicalize().expect("the source");
    let asked = Mutex::new(Vec::new());
    let mut rules = Rules::new();
    rules.push(OsStr::new("no")).expect("a pattern");
    let copied = copy_but(&place.source(""), &place.target(""), &rules, &|dir| {
        let relative = dir.strip_prefix(&root).expect("an absolute path");
        asked.lock().expect("a list").push(relative.to_path_buf());
        relative == Path::new("work")
    })
    .expect("a copy");
    let mut asked = asked.into_inner().expect("a list");
    asked.sort();
    assert_eq!(asked, ["a", "b", "b/work", "work"].map(PathBuf::from));
    assert!(!place.target("work").exists());
    assert!(place.target("b/work/x").exists());
    assert_eq!(copied.files, 3);
    assert_eq!(copied.skipped.len(), 1);
    assert_eq!(copied.skipped[0].0, Path::new("work"));
}

#[test]
fn a_target_inside_the_source_is_not_copied_into_itself() {
    let place = CopyFixture::new();
    place.file("sub/file", "x");
    let target = place.source("sub/target");
    let copied =
        copy_but(&place.source(""), &target, &Rules::new(), &|_| false).expect("a copy that ends");
    assert!(target.join("sub/file").exists());
    assert!(!target.join("sub/target").exists());
    assert_eq!(copied.skipped[0].0, Path::new("sub/target"));
}

#[test]
fn sources_and_targets_that_cannot_be_are_refused() {
    let place = CopyFixture::new();
    let file = place.file("file", "x");
    let copy = |source: &Path, target: &Path| {
        let result = copy_but(source, target, &Rules::new(), &|_| false);
        format!("{:#}", result.expect_err("a refusal"))
    };
    let text = copy(&file, &place.target(""));
    assert!(text.contains("is not a directory"), "{text}");
    let text = copy(&place.source("absent"), &place.target(""));
    assert!(text.contains("absent cannot be read"), "{text}");
    assert!(!place.target("").exists());
    let text = copy(&place.source(""), &place.target("no/parent"));
    assert!(text.contains("no/parent cannot be made"), "{text}");
    let text = copy(&place.source(""), &file);
    assert!(text.contains("file cannot be used"), "{text}");
    let text = copy(&place.source(""), place.dir.path());
    assert!(text.contains("is not empty"), "{text}");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_copied() {
    if is_root() {
        return; // Root can read everything; the staging oracle covers it as a plain user.
    }
    let place = CopyFixture::new();
    place.file("a", "x");
    set_mode(&place.file("secret", "x"), 0);
    place.file("closed/x", "x");
    set_mode(&place.source("closed"), 0);
    place.file("z", "x");
    let text = format!("{:#}", place.copy(&[]).expect_err("two errors"));
    set_mode(&place.source("closed"), 0o700);
    assert!(text.starts_with("2 of the entries of "), "{text}");
    assert!(
        text.contains("secret cannot be read: Permission denied"),
        "{text}"
    );
    assert!(
        text.contains("closed cannot be read: Permission denied"),
        "{text}"
    );
    assert!(place.target("a").exists() && place.target("z").exists());
    assert!(!place.target("secret").exists());
    assert_eq!(mode(&place.found("closed")), 0);
    set_mode(&place.target("closed"), 0o700);
}

#[test]
fn what_vanishes_is_counted_and_the_first_few_are_named() {
    let place = CopyFixture::new();
    for number in 0..20 {
        place.file(&format!("{number:02}/file"), "x");
    }
    // When the walk comes to the first directory it has listed them all.
    let first = Mutex::new(None);
    let result = copy_but(
        &place.source(""),
        &place.target(""),
        &Rules::new(),
        &|dir| {
            let mut first = first.lock().expect("a name");
            if first.is_none() {
                *first = dir.file_name().map(OsStr::to_owned);
                for number in 0..20 {
                    let other = place.source(&format!("{number:02}"));
                    if other.file_name() != dir.file_name() {
                        fs::remove_dir_all(other).expect("it goes");
                    }
                }
            }
            false
        },
    );
    let text = format!("{:#}", result.expect_err("19 errors"));
    assert!(text.starts_with("19 of the entries of "), "{text}");
    assert_eq!(
        text.matches("cannot be read: No such file").count(),
        5,
        "{text}"
    );
    assert!(text.ends_with("\n  and 14 more"), "{text}");
    let first = first
        .into_inner()
        .expect("a name")
        .expect("a first directory");
    assert!(place.target("").join(first).join("file").exists());
}

#[test]
fn a_file_that_became_another_kind_is_not_followed_or_waited_for() {
    let place = CopyFixture::new();
    fs::create_dir(place.target("")).expect("a target");
    symlink("/etc/passwd", place.source("link")).expect("a link");
    make_node(&place.source("fifo"), FileType::Fifo);
    let (source, target) = (place.source(""), place.target(""));
    for name in ["link", "fifo"] {
        let result = deal(&source, &target, name, is_root(), |worker, entry| {
            worker.file(entry)
        });
        let error = result.expect_err("an error");
        assert!(!error.stops, "{}", error.text);
        assert!(!place.target(name).exists());
    }
}

#[test]
fn errors_after_which_nothing_fits_stop_the_copy() {
    let path = Path::new("/target/x");
    for code in [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO] {
        assert!(CopyError::writing(path, code.into()).stops, "{code:?}");
        assert!(!CopyError::reading(path, code.into()).stops, "{code:?}");
    }
    for code in [Errno::PERM, Errno::ACCESS, Errno::NAMETOOLONG, Errno::FBIG] {
        assert!(!CopyError::writing(path, code.into()).stops, "{code:?}");
    }
    let text = CopyError::writing(path, Errno::NOSPC.into()).text;
    assert!(text.contains("/target/x"), "{text}");
}

#[test]
fn a_failing_copy_of_content_tells_which_side_failed() {
    let place = CopyFixture::new();
    let large = place.source("large");
    fs::write(&large, vec![5; 1_000_000]).expect("a file");
    let small = place.file("small", "x");
    let open = |write: bool, path: &Path| {
        let mut options = OpenOptions::new();
        let file = options.read(!write).write(write).open(path);
        OwnedFd::from(file.expect("a file"))
    };
    for some in [&small, &large] {
        let length = fs::metadata(some).expect("a file").len();
        for hash in [false, true] {
            let copy = |reader, writer| FileCopier::default().copy(&reader, &writer, length, hash);
            // A file that is open for writing only cannot be read, and the other way round.
            let result = copy(open(true, some), open(true, &place.file("a", "")));
            assert!(matches!(result, Err(ContentError::Reading(_))));
            let result = copy(open(false, some), open(false, &place.file("b", "")));
            assert!(matches!(result, Err(ContentError::Writing(_))));
            let result = copy(open(false, some), open(true, Path::new("/dev/full")));
            assert!(matches!(result, Err(ContentError::Writing(error)) if takes_no_more(&error)));
        }
    }
}

#[test]
fn deep_trees_are_copied() {
    let place = CopyFixture::new();
    let deep = "d/".repeat(500) + "file";
    place.file(&deep, "x");
    assert_eq!(place.copied().entries, 501);
    assert!(place.target(&deep).is_file());
}

/// Copies `source` while directories are swapped for links to somebody else's: by `swap`,
/// once the walk has listed the directory and before it comes to those in it.
fn copied_while(place: &CopyFixture, swap: impl Fn() + Sync) -> anyhow::Result<CopyStats> {
    let swapped = Mutex::new(false);
    copy_but(
        &place.source(""),
        &place.target(""),
        &Rules::new(),
        &|dir| {
            let mut swapped = swapped.lock().expect("a flag");
            if dir.ends_with("dir/inner") && !*swapped {
                *swapped = true;
                swap();
            }
            false
        },
    )
}

#[test]
fn a_dir_that_becomes_a_link_meanwhile_is_not_read_through() {
    let place = CopyFixture::new();
    place.file("dir/inner/deep/own", "ours");
    let other = place.dir.path().join("other");
    fs::create_dir_all(other.join("inner/deep")).expect("directories");
    fs::write(other.join("inner/deep/secret"), "theirs").expect("a file");
    let result = copied_while(&place, || {
        fs::rename(place.source("dir"), place.dir.path().join("away")).expect("a move");
        symlink(&other, place.source("dir")).expect("a link");
    });
    let text = format!("{:#}", result.expect_err("a directory that cannot be read"));
    assert!(text.contains("dir/inner cannot be read"), "{text}");
    assert!(!place.target("dir/inner/deep").exists());
}

#[test]
fn a_dir_of_the_copy_that_becomes_a_link_is_not_written_through() {
    let place = CopyFixture::new();
    place.file("dir/inner/deep/own", "ours");
    set_mode(&place.source("dir/inner"), 0o511);
    let other = place.dir.path().join("other");
    fs::create_dir_all(other.join("inner")).expect("directories");
    set_mode(&other.join("inner"), 0o755);
    let result = copied_while(&place, || {
        fs::rename(place.target("dir"), place.dir.path().join("away")).expect("a move");
        symlink(&other, place.target("dir")).expect("a link");
    });
    let text = format!(
        "{:#}",
        result.expect_err("a directory that cannot be written")
    );
    assert!(text.contains("dir/inner cannot be written"), "{text}");
    assert_eq!(
        fs::read_dir(other.join("inner"))
            .expect("a directory")
            .count(),
        0
    );
    let mode = mode(&fs::metadata(other.join("inner")).expect("a directory"));
    assert_eq!(mode, 0o755);
    set_mode(&place.source("dir/inner"), 0o755);
}

#[test]
fn a_file_that_says_it_is_empty_and_has_no_end_ends() {
    let place = CopyFixture::new();
    let writer = OwnedFd::from(File::create(place.source("writer")).expect("a file"));
    let endless = OwnedFd::from(File::open("/dev/zero").expect("a device"));
    let mut copier = FileCopier::default();
    let error = copier
        .copy(&endless, &writer, 0, false)
        .expect_err("no end");
    assert!(matches!(error, ContentError::Reading(_)));
    let hashed = copier.hash(&endless, 0).expect("nothing to read");
    assert_eq!(hashed.length, 0);
}

#[test]
fn a_source_is_not_reached_through_a_link_below_what_the_caller_trusts() {
    let place = CopyFixture::new();
    place.file("project/demo/own", "ours");
    let other = place.dir.path().join("other");
    fs::create_dir_all(other.join("demo")).expect("directories");
    fs::write(other.join("demo/secret"), "theirs").expect("a file");
    symlink(&other, place.source("link")).expect("a link");
    symlink(other.join("demo"), place.source("project/swapped")).expect("a link");
    let above = place.source("");
    let options = CopyOptions {
        below: Some(&above),
        ..CopyOptions::default()
    };
    let copy = |source: &str| {
        let _ = fs::remove_dir_all(place.target(""));
        let (source, target) = (place.source(source), place.target(""));
        copy_tree(&source, &target, &Rules::new(), &options)
    };
    copy("project/demo").expect("a copy");
    assert!(place.target("own").is_file());
    for wrong in ["link/demo", "link", "project/swapped"] {
        let text = format!("{:#}", copy(wrong).expect_err(wrong));
        assert!(text.contains(wrong), "{text}");
        assert!(!place.target("secret").exists());
    }
}
