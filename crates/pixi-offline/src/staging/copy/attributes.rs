//! Owner, mode and time of an entry.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::path::Arg;

/// The bits of a mode that `chmod` sets.
const MODE_BITS: u32 = 0o7777;

/// What a copy takes over from its original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    mode: u32,
    owner: u32,
    group: u32,
    modified: Timespec,
}

impl From<&Stat> for Attributes {
    fn from(stat: &Stat) -> Attributes {
        Attributes {
            mode: stat.st_mode & MODE_BITS,
            owner: stat.st_uid,
            group: stat.st_gid,
            modified: Timespec {
                tv_sec: stat.st_mtime,
                tv_nsec: stat.st_mtime_nsec as _,
            },
        }
    }
}

impl Attributes {
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }

    /// Sets another mode, and gives the old one.
    pub(super) fn set_mode(&mut self, mode: u32) -> u32 {
        std::mem::replace(&mut self.mode, mode)
    }

    fn times(&self) -> Timestamps {
        Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: self.modified,
        }
    }
}

/// Effective user, group and umask; skips calls that change nothing: each call
/// for a small file costs a noticeable part of the time.
pub(super) struct MetadataWriter {
    pub(super) as_root: bool,
    user: u32,
    group: u32,
    /// The bits that creating takes away; all when it is not known.
    umask: u32,
    /// Whether a mode that the umask lets through is got at creation.
    exact_modes: AtomicBool,
}

/// Owner of a directory that the copy created.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct InheritedOwner {
    owner: u32,
    group: u32,
}

impl MetadataWriter {
    /// `target` is the directory that everything is made in.
    pub(super) fn new(target: impl AsFd) -> MetadataWriter {
        let user = rustix::process::geteuid();
        // With a default ACL the umask plays no part; directories in it inherit it.
        let has_default_acl =
            rustix::fs::fgetxattr(target, c"system.posix_acl_default", &mut [0u8; 0][..]).is_ok();
        MetadataWriter {
            as_root: user.is_root(),
            user: user.as_raw(),
            group: rustix::process::getegid().as_raw(),
            umask: umask().unwrap_or(MODE_BITS),
            exact_modes: AtomicBool::new(!has_default_acl),
        }
    }

    /// What a file is made with, so that its mode need not be set after.
    pub(super) fn mode_at_creation(&self, wanted: &Attributes) -> Option<Mode> {
        let mode = wanted.mode;
        let given = mode & !0o777 == 0 && mode & self.umask == 0;
        (given && self.exact_modes.load(Ordering::Relaxed)).then(|| Mode::from_raw_mode(mode))
    }

    /// Takes note of the mode that a file got which was made with one; says
    /// whether it is the right one.
    pub(super) fn learn(&self, asked: Mode, made: &Stat) -> bool {
        let right = made.st_mode & MODE_BITS == asked.as_raw_mode();
        if !right {
            self.exact_modes.store(false, Ordering::Relaxed);
        }
        right
    }

    /// Whether mode and times of a directory can be changed.
    pub(super) fn may_change(&self, dir: &Stat) -> bool {
        self.as_root || dir.st_uid == self.user
    }

    /// Owner of a directory that the copy created.
    pub(super) fn owner_of(&self, made: &Stat) -> Option<InheritedOwner> {
        Some(InheritedOwner {
            owner: made.st_uid,
            group: made.st_gid,
        })
    }

    /// Owner of entries in a directory that the copy created, when that is known.
    pub(super) fn inherited_owner(&self, dir: &Stat) -> Option<InheritedOwner> {
        // Which group it is depends on the mount and the directory's setgid bit, but it
        // is one of these two.
        (dir.st_uid == self.user && dir.st_gid == self.group).then_some(InheritedOwner {
            owner: self.user,
            group: self.group,
        })
    }

    /// The owner and group to ask for, or `None` when they are so already. A plain
    /// user cannot give files away, but can give them to another group that they are in.
    fn to_ask(
        &self,
        wanted: &Attributes,
        inherited_owner: Option<InheritedOwner>,
    ) -> Option<(Option<Uid>, Gid)> {
        let same = inherited_owner.is_some_and(|made| {
            made.group == wanted.group && (made.owner == wanted.owner || !self.as_root)
        });
        (!same).then(|| {
            let owner = self.as_root.then(|| Uid::from_raw(wanted.owner));
            (owner, Gid::from_raw(wanted.group))
        })
    }

    /// Gives an open file or directory its owner, mode and time. `mode_is_set` spares
    /// the mode, if the owner need not be changed.
    pub(super) fn apply_metadata(
        &self,
        file: impl AsFd,
        wanted: &Attributes,
        inherited_owner: Option<InheritedOwner>,
        mode_is_set: bool,
    ) -> io::Result<()> {
        let file = file.as_fd();
        let mut mode_is_set = mode_is_set;
        if let Some((owner, group)) = self.to_ask(wanted, inherited_owner) {
            self.complete(
                rustix::fs::fchown(file, owner, Some(group)),
                || rustix::fs::fstat(file),
                wanted,
            )?;
            mode_is_set = false;
        }
        // Only now: a change of owner takes the setuid bit away.
        if !mode_is_set {
            rustix::fs::fchmod(file, Mode::from_raw_mode(wanted.mode))?;
        }
        rustix::fs::futimens(file, &wanted.times())?;
        Ok(())
    }

    /// The same for an entry that is not to be opened; a link itself is meant.
    pub(super) fn apply_metadata_at(
        &self,
        dir: impl AsFd,
        name: impl Arg + Copy,
        wanted: &Attributes,
        inherited_owner: Option<InheritedOwner>,
        is_link: bool,
    ) -> io::Result<()> {
        let dir = dir.as_fd();
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((owner, group)) = self.to_ask(wanted, inherited_owner) {
            self.complete(
                rustix::fs::chownat(dir, name, owner, Some(group), itself),
                || rustix::fs::statat(dir, name, itself),
                wanted,
            )?;
        }
        // Linux has no modes of links.
        if !is_link {
            let mode = Mode::from_raw_mode(wanted.mode);
            rustix::fs::chmodat(dir, name, mode, AtFlags::empty())?;
        }
        rustix::fs::utimensat(dir, name, &wanted.times(), itself)?;
        Ok(())
    }

    /// Forgives a change of owner that failed where nothing was to be changed,
    /// and a plain user's that failed at all.
    fn complete(
        &self,
        change: rustix::io::Result<()>,
        current: impl FnOnce() -> rustix::io::Result<Stat>,
        wanted: &Attributes,
    ) -> io::Result<()> {
        let Err(error) = change else { return Ok(()) };
        if !self.as_root {
            return Ok(());
        }
        let current = current()?;
        if (current.st_uid, current.st_gid) == (wanted.owner, wanted.group) {
            return Ok(());
        }
        Err(error.into())
    }
}

/// The process's umask, which no call reads without changing it (proc(5), since
/// Linux 4.7).
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}
