//! Opening what is below a directory, by its path there, in one call of the system
//! where there is one for it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens what is at a path below `top` that was listed before: no component of the
/// path is followed that has become a link meanwhile.
///
/// # Errors
///
/// As openat(2), and when a component is a link.
pub fn open_below(top: impl AsFd, relative: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    /// Kernels before 5.6 do not have the call, and filters of engines refuse it.
    static HAS_OPENAT2: AtomicBool = AtomicBool::new(true);
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !relative.contains(&b'/') {
        return rustix::fs::openat(top, relative, flags, Mode::empty());
    }
    if HAS_OPENAT2.load(Ordering::Relaxed) {
        let links = ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&top, relative, flags, Mode::empty(), links) {
            Err(Errno::NOSYS | Errno::PERM) => HAS_OPENAT2.store(false, Ordering::Relaxed),
            result => return result,
        }
    }
    open_step_by_step(top, relative, flags)
}

/// As [`open_below`], with a call for each component.
fn open_step_by_step(top: impl AsFd, relative: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    // Who may enter a directory but not list it has a way through it.
    let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut steps = relative.split(|byte| *byte == b'/').peekable();
    let mut open: Option<OwnedFd> = None;
    while let Some(step) = steps.next() {
        let flags = steps.peek().map_or(flags, |_| on_the_way);
        let from = open.as_ref().map_or(top.as_fd(), AsFd::as_fd);
        let next = rustix::fs::openat(from, step, flags, Mode::empty())?;
        open = Some(next);
    }
    open.ok_or(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    #[test]
    fn what_lies_below_a_directory_is_opened_and_never_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir_all(path("top/a/b/c")).unwrap();
        fs::create_dir_all(path("other/b/c")).unwrap();
        symlink(path("other"), path("top/link")).unwrap();
        symlink("a", path("top/inside")).unwrap();
        symlink(path("other/b"), path("top/a/last")).unwrap();
        fs::write(path("top/a/file"), "").unwrap();
        let top = File::open(path("top")).unwrap();
        type Open = fn(&File, &[u8]) -> Result<OwnedFd, Errno>;
        let ways: [Open; 2] = [
            |top, relative| open_below(top, relative, OFlags::RDONLY),
            |top, relative| open_step_by_step(top, relative, OFlags::RDONLY | OFlags::NOFOLLOW),
        ];
        for open in ways {
            for right in ["a", "a/b", "a/b/c", "a/file"] {
                let found = rustix::fs::fstat(open(&top, right.as_bytes()).unwrap()).unwrap();
                let wanted = rustix::fs::stat(path("top").join(right)).unwrap();
                assert_eq!(found.st_ino, wanted.st_ino, "{right}");
            }
            for wrong in ["link/b", "link/b/c", "inside/b", "a/last", "link", "a/x"] {
                assert!(open(&top, wrong.as_bytes()).is_err(), "{wrong}");
            }
        }
    }
}
