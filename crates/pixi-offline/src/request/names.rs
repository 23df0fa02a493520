//! Names and single values.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use crate::failure::Failure;
use crate::layout;
use crate::request::utf8_arg;
use crate::text_values;

text_values!(ImageReference, ContainerId, ContainerPath);

/// The name of a project's directory inside a workdir and a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectName(OsString);

impl ProjectName {
    /// Takes a name that is one plain path component and is none of a product's
    /// own entries.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is empty, `.`, `..`, starts with `-`, holds a `/` or
    /// a control character, or would collide with an entry of the product.
    pub fn new(name: &OsStr) -> anyhow::Result<ProjectName> {
        let refuse = |why: &str| {
            Err(Failure::usage(format!(
                "the project name {name:?} {why}; choose another with --project-name"
            )))
        };
        let bytes = name.as_bytes();
        if bytes.is_empty() {
            return refuse("is empty");
        }
        if bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
            return refuse("is not a single directory name");
        }
        if bytes.starts_with(b"-") {
            return refuse("starts with `-` and would be taken for an option");
        }
        // Those beyond ASCII too: U+009B begins terminal escape sequences.
        if name.to_string_lossy().chars().any(char::is_control) {
            return refuse("holds a control character");
        }
        if layout::Product::is_own_entry(name) {
            return refuse("is the name of one of the product's own entries");
        }
        Ok(ProjectName(name.to_owned()))
    }

    /// The last component of a project's path, as a name.
    ///
    /// # Errors
    ///
    /// As [`ProjectName::new`], and when the path has no last component.
    pub fn of_dir(dir: &Path) -> anyhow::Result<ProjectName> {
        match dir.file_name() {
            Some(name) => ProjectName::new(name),
            None => Err(Failure::usage(format!(
                "{} has no last component to name the project after; give --project-name",
                dir.display()
            ))),
        }
    }

    /// The name as a path component.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// The name as it must be for a container.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is not UTF-8.
    pub fn as_utf8(&self) -> anyhow::Result<&str> {
        utf8_arg("the project name", &self.0)
    }
}

impl AsRef<Path> for ProjectName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// The image of the Pixi project, at the version that this version was tried with:
/// what a build takes when no other is named.
pub const OFFICIAL_IMAGE: &str = "ghcr.io/prefix-dev/pixi:0.77.0";

/// A reference to an image, as the engine takes it: name, tag, digest or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference(String);

impl ImageReference {
    /// Takes any text that cannot be mistaken for an option.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is empty, starts with `-` or is not UTF-8.
    pub fn new(text: &OsStr) -> anyhow::Result<ImageReference> {
        let text = utf8_arg("the image reference", text)?;
        if text.is_empty() || text.starts_with('-') {
            return Err(Failure::usage(format!(
                "--image {text:?} is not an image reference; give NAME[:TAG] or an id"
            )));
        }
        Ok(ImageReference(text.to_owned()))
    }
}

/// A container that is there: its name or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes any text that cannot be mistaken for an option.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is empty, starts with `-` or is not UTF-8.
    pub fn new(text: &OsStr) -> anyhow::Result<ContainerId> {
        let text = utf8_arg("the container's id", text)?;
        if text.is_empty() || text.starts_with('-') {
            return Err(Failure::usage(format!(
                "--container-id {text:?} is not a container; give its name or id, as `docker ps` shows it"
            )));
        }
        Ok(ContainerId(text.to_owned()))
    }
}

/// An absolute path inside a container, never `/`, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPath(String);

impl ContainerPath {
    /// Takes an absolute path below the root.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is empty, relative, the root, holds a `..` or a
    /// control character, or is not UTF-8; `option` names where it came from.
    pub fn new(option: &str, text: &OsStr) -> anyhow::Result<ContainerPath> {
        let text = utf8_arg(option, text)?;
        let refuse = |why: &str| {
            Err(Failure::usage(format!(
                "{option} {text:?} {why}; give an absolute path such as /workdir"
            )))
        };
        if text.is_empty() {
            return refuse("is empty");
        }
        if !text.starts_with('/') {
            return refuse("is not absolute");
        }
        let path = Path::new(text);
        if path.components().any(|part| part == Component::ParentDir) {
            return refuse("holds `..`");
        }
        if text.chars().any(char::is_control) {
            return refuse("holds a control character");
        }
        // `components` drops doubled and trailing slashes and `.`.
        let normal: String = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => name.to_str().map(|name| format!("/{name}")),
                _ => None,
            })
            .collect();
        if normal.is_empty() {
            return refuse("is the root directory");
        }
        Ok(ContainerPath(normal))
    }

    /// Whether an image's own parts live there: a directory that must not be
    /// replaced, or a place below one where nobody else's files belong.
    pub fn is_system_dir(&self) -> bool {
        /// Directories of the file system hierarchy that hold something, whatever it is.
        const DIRS: &str = "\
            /dev/shm /home /media /mnt /opt /root /run /srv /tmp /usr/local /usr/local/bin \
            /usr/local/lib /usr/src /var /var/cache /var/lib /var/log /var/opt /var/run /var/spool \
            /var/tmp /var/www";
        /// Directories that are the system's with all that is in them.
        const TREES: [&str; 11] = [
            "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc",
            "/sbin", "/sys",
        ];
        let path = Path::new(&self.0);
        let open = ["/dev/shm", "/usr/local", "/usr/src"];
        DIRS.split(' ').any(|dir| dir == self.0)
            || (TREES
                .iter()
                .chain(&["/usr"])
                .any(|tree| path.starts_with(tree))
                && !open.iter().any(|open| path.starts_with(open)))
    }

    /// The path of an entry below this one.
    pub fn join(&self, entry: &str) -> String {
        format!("{}/{entry}", self.0)
    }
}

/// A `KEY=VALUE` for the environment of containers (`--container-env`).
#[derive(Clone, PartialEq, Eq)]
pub struct ContainerVariable(String);

impl ContainerVariable {
    /// Takes `KEY=VALUE` with a non-empty KEY; a KEY alone that the caller has a value of has it
    /// by now ([`crate::commands::take_from_here`]).
    ///
    /// # Errors
    ///
    /// Exit code 2 otherwise, or when it is not UTF-8. The message never shows
    /// the value: it may be a credential.
    pub fn new(text: &OsStr) -> anyhow::Result<ContainerVariable> {
        let text = text.to_str().ok_or_else(|| {
            Failure::usage("a --container-env is not UTF-8 and the engine would change it")
        })?;
        match text.split_once('=') {
            Some((key, _)) if !key.is_empty() => Ok(ContainerVariable(text.to_owned())),
            None if !text.is_empty() => Err(Failure::usage(format!(
                "--container-env {text}: no such variable is set here; give KEY=VALUE, or set and export it"
            ))),
            _ => Err(Failure::usage(
                "--container-env needs KEY=VALUE with a KEY that is not empty",
            )),
        }
    }

    /// The variable's name.
    pub fn key(&self) -> &str {
        self.0.split_once('=').map_or("", |(key, _)| key)
    }

    /// `KEY=VALUE`.
    pub fn assignment(&self) -> &str {
        &self.0
    }
}

/// Shows the key only: values may be credentials.
impl fmt::Debug for ContainerVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.key())
    }
}

/// A `KEY=VALUE` that the product's `envs.sh` exports (`--env`): any bytes in
/// the value, a shell identifier as the key.
#[derive(Clone, PartialEq, Eq)]
pub struct ProductVariable {
    key: String,
    value: OsString,
}

impl ProductVariable {
    /// Takes `KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// Exit code 2 without `=`, or when KEY is no shell identifier.
    pub fn new(text: &OsStr) -> anyhow::Result<ProductVariable> {
        let bytes = text.as_bytes();
        let Some(equals) = bytes.iter().position(|&byte| byte == b'=') else {
            return Err(Failure::usage(format!(
                "--env {} has no `=`; give KEY=VALUE",
                text.display()
            )));
        };
        let (key, value) = (&bytes[..equals], &bytes[equals + 1..]);
        let first = key.first().copied().unwrap_or(b'0');
        let identifier = !first.is_ascii_digit()
            && key
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !identifier {
            return Err(Failure::usage(format!(
                "--env {:?}: the KEY must be a shell identifier (letters, digits and _, no digit first)",
                OsStr::from_bytes(key)
            )));
        }
        /// Variables that bash lets nobody set.
        const READ_ONLY: [&[u8]; 6] = [
            b"BASHOPTS",
            b"BASH_VERSINFO",
            b"EUID",
            b"PPID",
            b"SHELLOPTS",
            b"UID",
        ];
        if key == b"PIXI_OFFLINE_PROJECT" {
            return Err(Failure::usage(
                "--env PIXI_OFFLINE_PROJECT: the product sets this variable; choose another name",
            ));
        }
        if READ_ONLY.contains(&key) {
            return Err(Failure::usage(format!(
                "--env {}: bash lets nobody set this variable; choose another name",
                key.escape_ascii()
            )));
        }
        Ok(ProductVariable {
            key: String::from_utf8_lossy(key).into_owned(),
            value: OsStr::from_bytes(value).to_owned(),
        })
    }

    /// The variable's name, a shell identifier.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value, any bytes but NUL.
    pub fn value(&self) -> &OsStr {
        &self.value
    }
}

/// Shows the key only: values may be credentials.
impl fmt::Debug for ProductVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(bytes: &[u8]) -> &OsStr {
        OsStr::from_bytes(bytes)
    }

    #[test]
    fn project_names_that_would_escape_or_collide_are_refused() {
        for bad in [
            &b""[..],
            b".",
            b"..",
            b"a/b",
            b"-x",
            b"a\nb",
            b"a\x7fb",
            "a\u{9b}b".as_bytes(),
            b"res",
            b"pkg-cache",
            b"bin",
            b"envs.sh",
            b"bootstrap-project.sh",
            b"manifest.json",
            b"SHA256SUMS",
        ] {
            assert!(ProjectName::new(os(bad)).is_err(), "{:?}", os(bad));
        }
        for good in [
            &b"demo"[..],
            b"my project",
            b"a:b,c",
            "caf\u{e9}".as_bytes(),
            b"\xff",
            b"...",
            b"Res",
        ] {
            assert!(ProjectName::new(os(good)).is_ok(), "{:?}", os(good));
        }
        assert!(ProjectName::new(os(b"\xff")).unwrap().as_utf8().is_err());
    }

    #[test]
    fn container_paths_are_absolute_normal_and_not_the_root() {
        for bad in ["", "/", "//", "/.", "workdir", "./x", "/a/../b", "/a\nb"] {
            assert!(
                ContainerPath::new("--p", OsStr::new(bad)).is_err(),
                "{bad:?}"
            );
        }
        let path = ContainerPath::new("--p", OsStr::new("//tmp/./w d/")).unwrap();
        assert_eq!(path.as_str(), "/tmp/w d");
        assert_eq!(path.join("out"), "/tmp/w d/out");
    }

    #[test]
    fn system_dirs_are_known() {
        let system = |text: &str| {
            ContainerPath::new("--p", OsStr::new(text))
                .unwrap()
                .is_system_dir()
        };
        let paths = "/tmp /usr /usr/lib/x /etc/x /home /dev/shm /dev/x /var/lib /proc/1";
        for path in paths.split(' ') {
            assert!(system(path), "{path}");
        }
        let paths = "/tmp/x /home/me/x /workdir /dev/shm/x /usr/local/x /var/lib/x /etcetera";
        for path in paths.split(' ') {
            assert!(!system(path), "{path}");
        }
    }

    #[test]
    fn product_variables_need_an_identifier_and_take_any_value() {
        for bad in ["", "X", "=v", "1X=v", "A-B=v", "A B=v", "UID=1", "é=v"] {
            assert!(ProductVariable::new(OsStr::new(bad)).is_err(), "{bad:?}");
        }
        let variable = ProductVariable::new(os(b"_A1=\xff=\n'")).unwrap();
        assert_eq!((variable.key(), variable.value()), ("_A1", os(b"\xff=\n'")));
        assert_eq!(format!("{variable:?}"), "_A1=…");
    }

    #[test]
    fn errors_about_container_variables_keep_the_value_to_themselves() {
        let error = ContainerVariable::new(OsStr::new("=hunter2")).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        let variable = ContainerVariable::new(OsStr::new("TOKEN=hunter2")).unwrap();
        assert_eq!(format!("{variable:?}"), "TOKEN=…");
    }
}
