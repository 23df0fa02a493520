//! Whether a folder may be replaced.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Failure;
use crate::surroundings::Surroundings;

/// What a folder is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not there, or empty.
    Free,
    /// Made by us or by the old scripts.
    Ours,
    /// Somebody's.
    Foreign,
}

/// What must survive, whatever is replaced.
#[derive(Debug, Clone)]
pub struct Guard {
    protected: Vec<(PathBuf, String)>,
    user_id: u32,
    may_be_mount_point: bool,
}

impl Guard {
    /// Protects the root, the home and the current folder.
    pub fn new(surroundings: &Surroundings) -> Guard {
        let mut guard = Guard {
            protected: Vec::new(),
            user_id: surroundings.user_id,
            may_be_mount_point: false,
        };
        guard.protect(Path::new("/"), "the root folder");
        if let Some(home) = &surroundings.home {
            guard.protect(home, "your home folder");
        }
        guard.protect(&surroundings.current_dir, "the current folder");
        guard
    }

    /// Protects a folder, and so each folder that it lies in.
    pub fn protect(&mut self, folder: &Path, what: &str) {
        // One that cannot be resolved is not there, and cannot be lost.
        if let Ok(real) = folder.canonicalize() {
            self.protected.push((real, what.to_owned()));
        }
    }

    /// Lets the folder itself be a mount point: its content is replaced then,
    /// with [`clear_folder`](crate::replacement::clear_folder).
    pub fn allow_mount_point(&mut self) {
        self.may_be_mount_point = true;
    }

    /// Checks that `folder` may be deleted to make room for a new one, and
    /// touches nothing. `ours` tells whether an existing folder was made by us;
    /// `force` lets a foreign one go too, but never a protected one.
    ///
    /// # Errors
    ///
    /// Exit code 2, naming the folder and the reason: a protected folder or one
    /// that holds it, a link, no folder at all, a mount point or one that holds
    /// a mount, a foreign folder without `force`, entries that this user cannot
    /// delete.
    pub fn check(
        &self,
        option: &str,
        folder: &Path,
        ours: impl FnOnce(&Path) -> bool,
        force: bool,
    ) -> anyhow::Result<Standing> {
        let refuse = |why: String| {
            Err(Failure::usage(format!(
                "{option} {} {why}",
                folder.display()
            )))
        };
        let metadata = match fs::symlink_metadata(folder) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Free),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} cannot be looked at", folder.display()));
            }
        };
        if metadata.is_symlink() {
            return refuse(
                "is a symbolic link and will not be followed; name the folder itself".into(),
            );
        }
        if !metadata.is_dir() {
            return refuse("is there and is no folder; choose another place".into());
        }
        let real = folder
            .canonicalize()
            .with_context(|| format!("{} cannot be resolved", folder.display()))?;
        let identity = (metadata.dev(), metadata.ino());
        for (protected, what) in &self.protected {
            // By name and by inode: a bind mount shows one folder at two places.
            let holds = protected.ancestors().any(|ancestor| {
                ancestor == real
                    || fs::metadata(ancestor).is_ok_and(|m| (m.dev(), m.ino()) == identity)
            });
            if holds {
                return refuse(if *protected == real {
                    format!("is {what} and will not be overwritten; choose another place")
                } else {
                    format!(
                        "holds {what} ({}) and will not be overwritten; choose another place",
                        protected.display()
                    )
                });
            }
        }
        let own = self.may_be_mount_point.then_some(real.as_path());
        if let Some(mount) = mount_at_or_below(&real, own)? {
            return refuse(format!(
                "holds the mount point {}; unmount it or choose another place",
                mount.display()
            ));
        }
        let empty = fs::read_dir(&real)
            .with_context(|| format!("{} cannot be read", folder.display()))?
            .next()
            .is_none();
        let standing = if empty {
            Standing::Free
        } else if ours(&real) {
            Standing::Ours
        } else {
            Standing::Foreign
        };
        if standing == Standing::Foreign && !force {
            return refuse("holds something that was not made by these commands; choose another place, or give --force to overwrite it".into());
        }
        if self.user_id != 0
            && let Some(entry) = self.not_deletable(&real)
        {
            return refuse(format!(
                "holds {} which is another user's; remove it with: sudo rm -rf -- '{}'",
                entry.display(),
                real.display().to_string().replace('\'', r"'\''"),
            ));
        }
        Ok(standing)
    }

    /// An entry of `folder` in a folder of another user, whose entries only
    /// that user can delete.
    fn not_deletable(&self, folder: &Path) -> Option<PathBuf> {
        let mut walk = ignore::WalkBuilder::new(folder);
        walk.standard_filters(false).follow_links(false);
        walk.build()
            .flatten()
            .map(ignore::DirEntry::into_path)
            .find(|path| {
                fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() != self.user_id)
            })
    }
}

/// The first mount point that is `folder` or lies in it, `but` this one, from
/// Linux's `/proc/self/mountinfo` (proc(5): field 5, with octal escapes).
fn mount_at_or_below(folder: &Path, but: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let table = match fs::read("/proc/self/mountinfo") {
        Ok(table) => table,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("/proc/self/mountinfo cannot be read"),
    };
    Ok(table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(unescape_octal)
        .find(|mount| mount.starts_with(folder) && Some(mount.as_path()) != but))
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
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::failure::{self, exit_code};

    fn guard(protected: &[&Path]) -> Guard {
        let mut guard = Guard {
            protected: Vec::new(),
            user_id: 0,
            may_be_mount_point: false,
        };
        for folder in protected {
            guard.protect(folder, "precious");
        }
        guard
    }

    #[test]
    fn a_protected_folder_and_what_holds_it_are_refused_even_with_force() {
        let root = tempfile::tempdir().unwrap();
        let precious = root.path().join("a/b");
        fs::create_dir_all(&precious).unwrap();
        let guard = guard(&[&precious]);
        for folder in [
            precious.clone(),
            root.path().join("a"),
            precious.join("../../a/b"),
        ] {
            let error = guard
                .check("--workdir", &folder, |_| true, true)
                .unwrap_err();
            assert_eq!(exit_code(&error), failure::USAGE);
            assert!(error.to_string().contains("precious"), "{error}");
        }
        // One that lies inside it is nobody's loss.
        fs::create_dir(precious.join("c")).unwrap();
        assert_eq!(
            guard
                .check("--workdir", &precious.join("c"), |_| false, false)
                .unwrap(),
            Standing::Free
        );
    }

    #[test]
    fn a_foreign_folder_needs_force_and_ours_does_not() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.txt"), "x").unwrap();
        let guard = guard(&[]);
        let error = guard
            .check("--workdir", root.path(), |_| false, false)
            .unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(
            guard
                .check("--workdir", root.path(), |_| false, true)
                .unwrap(),
            Standing::Foreign
        );
        assert_eq!(
            guard
                .check("--workdir", root.path(), |_| true, false)
                .unwrap(),
            Standing::Ours
        );
    }

    #[test]
    fn links_files_and_mount_points_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        symlink(root.path(), &link).unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        let guard = guard(&[]);
        for (folder, part) in [
            (link.as_path(), "symbolic link"),
            (&file, "no folder"),
            (Path::new("/proc"), "mount point"),
        ] {
            let error = guard
                .check("--workdir", folder, |_| true, true)
                .unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn escapes_of_mountinfo() {
        assert_eq!(unescape_octal(br"/a\040b\134"), Path::new(r"/a b\"));
        assert_eq!(unescape_octal(br"/a\9"), Path::new(r"/a\9"));
    }
}
