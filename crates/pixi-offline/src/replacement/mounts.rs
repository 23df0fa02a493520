//! Where directories are in their file systems, whatever they are mounted as, from
//! Linux's `/proc/self/mountinfo` (proc(5)).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};

use crate::failure::Failure;

/// Where the kernel shows them.
const TABLE: &str = "/proc/self/mountinfo";

/// The mounts that this process sees.
pub(super) struct Mounts(Vec<MountEntry>);

struct MountEntry {
    id: u64,
    /// The mount that it is mounted on.
    parent: u64,
    device: Vec<u8>,
    /// The directory of the file system that is shown.
    root: PathBuf,
    /// Where it is shown.
    point: PathBuf,
}

/// A directory in its file system. A bind mount shows one at several paths; this
/// is the same for all of them.
pub(super) struct MountPlace {
    device: Vec<u8>,
    path: PathBuf,
}

impl MountPlace {
    /// Whether `other` is this directory or is in it.
    pub(super) fn holds(&self, other: &MountPlace) -> bool {
        self.device == other.device && other.path.starts_with(&self.path)
    }
}

impl Mounts {
    /// Reads the table of this process.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it cannot be read, is empty or has a line that cannot be
    /// understood: then nobody knows what a directory holds.
    pub(super) fn read() -> anyhow::Result<Mounts> {
        Mounts::read_from(Path::new(TABLE))
    }

    fn read_from(table: &Path) -> anyhow::Result<Mounts> {
        let unknown = |why: String| {
            Failure::usage(format!(
                "the table of mounts {} {why}, so it is not known whether a directory that would be deleted holds a mount; mount /proc (mount -t proc proc /proc) and run the command again",
                table.display()
            ))
        };
        let text = fs::read(table).map_err(|error| unknown(format!("cannot be read ({error})")))?;
        match Mounts::parse(&text) {
            Some(mounts) if !mounts.0.is_empty() => Ok(mounts),
            Some(_) => Err(unknown("is empty".to_owned())),
            None => Err(unknown("cannot be understood".to_owned())),
        }
    }

    /// `None` when there is a line that is none of such a table.
    fn parse(table: &[u8]) -> Option<Mounts> {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|&byte| byte == b' ');
            let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
            Some(MountEntry {
                id: number()?,
                parent: number()?,
                device: fields.next()?.to_owned(),
                root: unescape_octal(fields.next()?),
                point: unescape_octal(fields.next()?),
            })
        };
        table
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(mount)
            .collect::<Option<_>>()
            .map(Mounts)
    }

    /// Where the directory of a path without links is; `None` when that cannot be
    /// told (in a change of root, for example).
    pub(super) fn mount_of(&self, real: &Path) -> Option<MountPlace> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let known = rustix::fs::statx(CWD, real, flags, StatxFlags::MNT_ID)
            .ok()
            .filter(|known| known.stx_mask & StatxFlags::MNT_ID.bits() != 0);
        let mount = match known {
            Some(known) => self.0.iter().find(|mount| mount.id == known.stx_mnt_id),
            // Linux before 5.8: the innermost, and of those at one point the last.
            None => self
                .0
                .iter()
                .filter(|mount| real.starts_with(&mount.point))
                .max_by_key(|mount| mount.point.components().count()),
        };
        mount?.mount_of(real)
    }

    /// The first mount point that is `directory`, a path without links, or is in
    /// it, `but` this one. One that is in it only by another path counts too:
    /// the kernel would not let go of the directory under it.
    pub(super) fn point_at_or_below(&self, dir: &Path, but: Option<&Path>) -> Option<&Path> {
        let place = self.mount_of(dir);
        let lies_in = |mount: &MountEntry| {
            mount.point.starts_with(dir)
                || self
                    .below(mount)
                    .is_some_and(|below| place.as_ref().is_some_and(|place| place.holds(&below)))
        };
        self.0
            .iter()
            .filter(|mount| Some(mount.point.as_path()) != but)
            .find(|mount| lies_in(mount))
            .map(|mount| mount.point.as_path())
    }

    /// The directory that a mount covers.
    fn below(&self, mount: &MountEntry) -> Option<MountPlace> {
        let parent = self.0.iter().find(|parent| parent.id == mount.parent)?;
        parent.mount_of(&mount.point)
    }
}

impl MountEntry {
    fn mount_of(&self, path: &Path) -> Option<MountPlace> {
        let inside = path.strip_prefix(&self.point).ok()?;
        Some(MountPlace {
            device: self.device.clone(),
            path: self.root.join(inside),
        })
    }
}

/// `\040` and its like in a field of mountinfo.
fn unescape_octal(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_mountinfo() {
        assert_eq!(unescape_octal(br"/a\040b\134"), Path::new(r"/a b\"));
        assert_eq!(unescape_octal(br"/a\9"), Path::new(r"/a\9"));
    }

    #[test]
    fn a_table_that_tells_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let table = dir.path().join("mountinfo");
        let refused = |why: &str| {
            let error = Mounts::read_from(&table).err().expect(why);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(crate::failure::exit_code(&error), crate::failure::USAGE);
        };
        refused("cannot be read");
        for (text, why) in [
            ("", "is empty"),
            ("\n", "is empty"),
            ("rootfs / rootfs rw 0 0\n", "cannot be understood"),
            (
                "21 1 8:1 / / rw - ext4 a rw\n22 21 8:1 /\n",
                "cannot be understood",
            ),
        ] {
            fs::write(&table, text).unwrap();
            refused(why);
        }
        fs::remove_file(&table).unwrap();
        fs::create_dir(&table).unwrap();
        refused("cannot be read");
        assert!(Mounts::read().is_ok(), "the kernel's own");
    }

    #[test]
    fn a_mount_in_a_dir_is_found_by_the_dirs_other_path() {
        // `/data` is shown at `/mnt` as well, and `/data/x/y` is covered.
        let mounts = Mounts::parse(
            b"21 1 8:1 / / rw - ext4 /dev/a rw\n22 21 8:1 /data /mnt rw - ext4 /dev/a rw\n23 21 0:9 / /data/x/y rw - tmpfs t rw\n",
        )
        .unwrap();
        let [root, data, _] = mounts.0.as_slice() else {
            panic!("three mounts");
        };
        let there = root.mount_of(Path::new("/data/x")).unwrap();
        let here = data.mount_of(Path::new("/mnt/x")).unwrap();
        assert!(there.holds(&here) && here.holds(&there));
        assert!(here.holds(&mounts.below(&mounts.0[2]).unwrap()));
        let beside = data.mount_of(Path::new("/mnt/xy")).unwrap();
        assert!(!here.holds(&beside));
    }
}
