//! The mark that `bootstrap-project.sh` leaves in `.pixi/` of a project before it
//! installs there: whether what lies beside it was installed on this machine, in this
//! very folder.

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The name of the mark.
pub const MARK: &str = "installed-by-bootstrap";

/// What a mark begins with.
const BEGIN: &str = "pixi-offline: what is in this folder was installed by bootstrap-project.sh, in the product that these lines tell";

/// The longest mark that is read.
const LONGEST: u64 = 16384;

/// Whether the mark in this project's `.pixi/` fits the product that it lies in. What
/// cannot be read does not fit.
pub fn was_installed_here(product: &Path, project: &Path) -> bool {
    let environments = project.join(".pixi");
    if !fs::symlink_metadata(&environments).is_ok_and(|found| found.is_dir()) {
        return false;
    }
    let Some(found) = read(&environments.join(MARK)) else {
        return false;
    };
    expected(product).is_some_and(|marks| marks.contains(&found))
}

/// The marks that fit: where the system's `stat` does not tell when the folder was
/// made, the mark has a zero or a question mark there.
fn expected(product: &Path) -> Option<Vec<Vec<u8>>> {
    let path = fs::canonicalize(product).ok()?;
    let found = fs::metadata(&path).ok()?;
    let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .unwrap_or_default();
    let machine = machine.lines().next().unwrap_or_default().trim();
    let born = found
        .created()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs().to_string());
    let births = born.into_iter().chain(["0", "?", "-"].map(str::to_owned));
    let marks = births.map(|birth| {
        let mut mark = format!(
            "{BEGIN}\nmachine={machine}\ndevice={}\ninode={}\nbirth={birth}\npath=",
            found.dev(),
            found.ino()
        )
        .into_bytes();
        mark.extend_from_slice(path.as_os_str().as_bytes());
        mark
    });
    Some(marks.collect())
}

/// The content of a regular file, not through a link and without waiting.
fn read(file: &Path) -> Option<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(file)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content).ok()?;
    Some(content)
}
