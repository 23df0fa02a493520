//! One run at a time on a directory.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::OFlags;

use crate::failure::Failure;
use crate::parallel::locked;
use crate::replacement::require_creatable;

/// The right to work on a directory, there or not, for as long as this exists.
///
/// It is a lock (flock(2)) on a file beside the directory, which the kernel
/// releases when the process ends, however it ends. The file names its holder
/// for the run that has to give way, and goes when the last holder does.
#[derive(Debug)]
pub struct DirLock {
    dir: PathBuf,
    lock: Option<(PathBuf, File)>,
}

/// How often a lock file may go away under us before that is an error.
const ATTEMPTS: usize = 1000;

/// How much of a lock file is read, in bytes: a line that names its holder.
const LONGEST_HOLDER: u64 = 4096;

/// A lock that later steps of this process may take again.
#[derive(Debug)]
pub struct RunLock(DirLock);

/// The directories that a [`RunLock`] of this process holds.
static HELD: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

impl RunLock {
    /// Locks `directory` for `command` until this is dropped.
    pub fn new(dir: &Path, command: &str) -> anyhow::Result<RunLock> {
        let dir_lock = DirLock::exclusive(dir, command)?;
        locked(&HELD).push(dir.to_owned());
        Ok(RunLock(dir_lock))
    }

    /// The lock, for what is replaced by the run itself.
    pub fn lock(&self) -> &DirLock {
        &self.0
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        let mut held = locked(&HELD);
        if let Some(place) = held.iter().position(|dir| *dir == self.0.dir) {
            held.swap_remove(place);
        }
    }
}

/// Whether others may hold the directory at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LockMode {
    Alone,
    WithReaders,
}

impl DirLock {
    /// What the name of a lock's file ends with.
    pub const ENDING: &'static str = ".pixi-offline-lock";

    /// Locks `directory`, an absolute path, for `command` alone; makes the parents
    /// of it that are missing. Where nothing can be made beside it, no other run
    /// can replace it either, and the lock is in it.
    ///
    /// # Errors
    ///
    /// When another run holds it: exit code 1, naming that run. When no lock can
    /// be made at all.
    pub fn exclusive(dir: &Path, command: &str) -> anyhow::Result<DirLock> {
        if let Some(dir_lock) = DirLock::of_this_run(dir) {
            return Ok(dir_lock);
        }
        let making = || format!("{} cannot be locked", dir.display());
        if !dir.is_dir() {
            require_creatable("the directory", dir)?;
        }
        let beside = file_beside(dir)?;
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("{} cannot be made", parent.display()))?;
        }
        let lock = match take(&beside, command, LockMode::Alone, dir) {
            Err(LockError::Io(error)) if is_refusal(&error) && dir.is_dir() => {
                take(&dir.join(DirLock::ENDING), command, LockMode::Alone, dir)
            }
            lock => lock,
        };
        let lock = lock.map_err(|error| match error {
            LockError::Refused(error) => error,
            LockError::Io(error) => anyhow::Error::new(error).context(making()),
        })?;
        Ok(DirLock {
            dir: dir.to_owned(),
            lock: Some(lock),
        })
    }

    /// Locks `directory`, which is there, together with others that only read it.
    /// Where nothing can be made beside it, nobody is kept from changing it.
    ///
    /// # Errors
    ///
    /// When a run that changes it holds it: exit code 1, naming that run.
    pub fn shared(dir: &Path, command: &str) -> anyhow::Result<DirLock> {
        if let Some(dir_lock) = DirLock::of_this_run(dir) {
            return Ok(dir_lock);
        }
        let beside = file_beside(dir)?;
        let lock = match take(&beside, command, LockMode::WithReaders, dir) {
            Ok(lock) => Some(lock),
            Err(LockError::Io(_)) => None,
            Err(LockError::Refused(error)) => return Err(error),
        };
        Ok(DirLock {
            dir: dir.to_owned(),
            lock,
        })
    }

    /// A lock without a file of its own, where the run holds one on the directory.
    fn of_this_run(dir: &Path) -> Option<DirLock> {
        let is_held = locked(&HELD).iter().any(|held| held == dir);
        is_held.then(|| DirLock {
            dir: dir.to_owned(),
            lock: None,
        })
    }

    /// Whether `target` is the locked directory or is in it.
    pub fn covers(&self, target: &Path) -> bool {
        target.starts_with(&self.dir)
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        if let Some((path, file)) = &self.lock
            // Others may still share the lock: the last holder removes the lock file.
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(path);
        }
    }
}

fn file_beside(dir: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = dir.file_name() else {
        anyhow::bail!("{} has no name of its own", dir.display());
    };
    let mut file = OsString::from(".");
    file.push(name);
    file.push(DirLock::ENDING);
    Ok(dir.with_file_name(file))
}

/// Why there is no lock of a directory.
#[derive(Debug)]
enum LockError {
    /// Another run holds it, or what is in the place of the lock file is not one.
    Refused(anyhow::Error),
    /// The file cannot be made or locked.
    Io(io::Error),
}

impl From<anyhow::Error> for LockError {
    fn from(error: anyhow::Error) -> LockError {
        LockError::Refused(error)
    }
}

/// Locks the file at `path` for a directory.
fn take(
    path: &Path,
    command: &str,
    sharing: LockMode,
    dir: &Path,
) -> Result<(PathBuf, File), LockError> {
    for _ in 0..ATTEMPTS {
        require_lock_file(path)?;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                // Something else may have been put there since it was looked at.
                require_lock_file(path)?;
                return Err(LockError::Io(error));
            }
        };
        let locked = match sharing {
            LockMode::Alone => file.try_lock(),
            LockMode::WithReaders => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, dir).into()),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // Its holder may have removed it between our opening and our locking.
        let is_same = |ours: fs::Metadata| {
            fs::symlink_metadata(path)
                .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
        };
        if file.metadata().is_ok_and(is_same) {
            require_lock_file(path)?;
            let holder = format!("{command}, process {}\n", std::process::id());
            // On a full disk the lock holds without a name in it.
            let _ = file
                .set_len(0)
                .and_then(|()| file.write_all(holder.as_bytes()));
            return Ok((path.to_owned(), file));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(Failure::general(format!(
        "{} is replaced again and again by other processes, so {} could not be locked; wait until these have ended",
        path.display(),
        dir.display()
    ))
    .into())
}

/// Refuses what is in a lock file's place and is not one of ours: it is neither
/// followed nor waited for nor written to.
fn require_lock_file(path: &Path) -> anyhow::Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let what = match there.file_type() {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "a directory",
        kind if !kind.is_file() => "no regular file",
        _ if there.nlink() > 1 => "a file that has other names too (hard links)",
        _ => return Ok(()),
    };
    Err(Failure::general(format!(
        "{} is {what}, and a lock file of these commands belongs in its place; look at it, remove it, and run the command again",
        path.display()
    )))
}

/// The error for a directory that another run holds.
fn held(file: &mut File, dir: &Path) -> anyhow::Error {
    let mut holder = String::new();
    for _ in 0..5 {
        holder.clear();
        let read = file
            .rewind()
            .and_then(|()| Read::take(&*file, LONGEST_HOLDER).read_to_string(&mut holder));
        if read.is_ok() && holder.ends_with('\n') {
            break;
        }
        // It has the lock and is about to write its name.
        thread::sleep(Duration::from_millis(20));
    }
    let holder = match holder.trim_end() {
        "" => "another run of these commands",
        name => name,
    };
    Failure::general(format!(
        "{} is in use by {holder}; wait until that has ended, or choose another place",
        dir.display()
    ))
}

/// Whether a file cannot be made because this user may not, or nobody may.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        let names = fs::read_dir(dir).unwrap();
        names.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn one_alone_keeps_all_others_out_and_is_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("deep/W");
        let first = DirLock::exclusive(&dir, "first-command").unwrap();
        for other in [DirLock::exclusive, DirLock::shared] {
            let error = other(&dir, "second-command").unwrap_err().to_string();
            assert!(error.contains("first-command, process "), "{error}");
            assert!(error.contains("deep/W"), "{error}");
        }
        drop(first);
        assert!(names(dir.parent().unwrap()).is_empty());
        DirLock::exclusive(&dir, "second-command").unwrap();
    }

    #[test]
    fn readers_share_and_the_last_takes_the_file_along() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("W");
        let first = DirLock::shared(&dir, "reader").unwrap();
        let second = DirLock::shared(&dir, "reader").unwrap();
        drop(first);
        DirLock::exclusive(&dir, "writer").unwrap_err();
        drop(second);
        assert!(names(root.path()).is_empty());
        DirLock::exclusive(&dir, "writer").unwrap();
    }

    #[test]
    fn what_is_no_lock_file_is_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("W");
        let lock = file_beside(&dir).unwrap();
        let precious = root.path().join("precious");
        fs::write(&precious, "precious\n").unwrap();
        let remove = || match fs::symlink_metadata(&lock).unwrap().is_dir() {
            true => fs::remove_dir(&lock).unwrap(),
            false => fs::remove_file(&lock).unwrap(),
        };
        let node = |kind| {
            use rustix::fs::{CWD, Mode, mknodat};
            mknodat(CWD, &lock, kind, Mode::from_raw_mode(0o666), 0).unwrap();
        };
        let socket = || {
            std::os::unix::net::UnixListener::bind(&lock).unwrap();
        };
        let make: [(&str, &dyn Fn()); 7] = [
            ("link", &|| {
                std::os::unix::fs::symlink(&precious, &lock).unwrap()
            }),
            ("link", &|| {
                std::os::unix::fs::symlink("missing", &lock).unwrap()
            }),
            ("link", &|| {
                std::os::unix::fs::symlink(&lock, &lock).unwrap()
            }),
            ("hard links", &|| fs::hard_link(&precious, &lock).unwrap()),
            ("dir", &|| fs::create_dir(&lock).unwrap()),
            ("no regular file", &|| node(rustix::fs::FileType::Fifo)),
            ("no regular file", &socket),
        ];
        for (what, make) in make {
            make();
            for lock in [DirLock::exclusive, DirLock::shared] {
                let error = lock(&dir, "test").unwrap_err().to_string();
                assert!(error.contains(what), "{what}: {error}");
                assert!(error.contains(".W.pixi-offline-lock"), "{error}");
            }
            remove();
            assert_eq!(fs::read(&precious).unwrap(), b"precious\n", "{what}");
        }
        assert!(!root.path().join("missing").exists());
        drop(DirLock::exclusive(&dir, "test").unwrap());
        assert_eq!(names(root.path()), ["precious"]);
    }

    #[test]
    fn the_steps_of_a_run_get_what_the_run_holds_until_it_ends() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("W");
        let run = RunLock::new(&dir, "run").unwrap();
        // Another process would not get it: the lock is the run's alone.
        let other = take(
            &file_beside(&dir).unwrap(),
            "x",
            LockMode::WithReaders,
            &dir,
        );
        let Err(LockError::Refused(held)) = other else {
            panic!("{other:?}");
        };
        assert!(held.to_string().contains("run, process "));
        for step in [DirLock::exclusive, DirLock::shared] {
            let (one, two) = (step(&dir, "step"), step(&dir, "step"));
            assert!(one.unwrap().covers(&dir) && two.is_ok());
        }
        assert!(run.lock().covers(&dir.join("product")));
        drop(run);
        assert!(names(root.path()).is_empty());
        let _first = DirLock::exclusive(&dir, "first").unwrap();
        DirLock::exclusive(&dir, "second").unwrap_err();
    }

    #[test]
    fn what_a_killed_run_left_holds_nobody_up() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("W");
        fs::write(file_beside(&dir).unwrap(), "dead, process 1\n").unwrap();
        drop(DirLock::exclusive(&dir, "living").unwrap());
        assert!(names(root.path()).is_empty());
    }
}
