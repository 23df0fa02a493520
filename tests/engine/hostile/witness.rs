//! A directory of the person's beside the workdir, which no run may read or change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What the files of the witness hold: it must turn up nowhere else.
pub const SECRET: &str = "the-person's-own-words-4c1d";

/// A directory with a file, a directory of files, and their state when they were made.
pub struct Witness {
    dir: PathBuf,
    before: BTreeMap<PathBuf, State>,
}

/// What may not change of an entry: inode, mode, owner, size, times and bytes.
type State = (u64, u32, u32, u64, (i64, i64, i64, i64), Vec<u8>);

impl Witness {
    /// Makes it in `parent`.
    pub fn new(parent: &Path) -> Witness {
        let dir = parent.join("witness");
        fs::create_dir_all(dir.join("dir/sub")).unwrap();
        for name in ["file", "dir/id_ed25519", "dir/sub/verify.log", "dir/pixi"] {
            fs::write(dir.join(name), format!("{SECRET} {name}\n")).unwrap();
        }
        fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
        let before = states(&dir);
        Witness { dir, before }
    }

    /// Its path, for those who plant links to it.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Requires that all of it is as it was, to the inode and the byte, and that nothing
    /// was added.
    #[track_caller]
    pub fn require_untouched(&self, what: &str) {
        assert_eq!(
            states(&self.dir),
            self.before,
            "{what}: the witness changed"
        );
    }
}

fn states(dir: &Path) -> BTreeMap<PathBuf, State> {
    entries(dir)
        .into_iter()
        .map(|path| {
            let found = fs::symlink_metadata(&path).unwrap();
            let bytes = if found.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            let times = (
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            );
            let state = (
                found.ino(),
                found.mode(),
                found.uid(),
                found.size(),
                times,
                bytes,
            );
            (path, state)
        })
        .collect()
}

/// All entries of a tree and the tree itself, no link followed.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            let names = fs::read_dir(&path).unwrap();
            found.extend(names.map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// Requires that there is no device in a tree: one that a container made through a mount
/// would open the hardware of this machine to all its users.
#[track_caller]
pub fn require_no_device_in(dir: &Path, what: &str) {
    for path in entries(dir) {
        let found = fs::symlink_metadata(&path).unwrap().file_type();
        let is_device = found.is_block_device() || found.is_char_device();
        assert!(!is_device, "{what}: {} is a device", path.display());
    }
}

/// Requires that no file of a tree holds the witness's words.
#[track_caller]
pub fn require_none_of_it_in(dir: &Path, what: &str) {
    for path in entries(dir) {
        let is_small = |metadata: fs::Metadata| metadata.is_file() && metadata.len() < 64 << 20;
        if !fs::symlink_metadata(&path).is_ok_and(is_small) {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        assert!(
            !found,
            "{what}: {} holds the person's words",
            path.display()
        );
    }
}
