//! What a production image shall be.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use pixi_offline::failure::Failure;
use pixi_offline::request::{
    ContainerPath, EnvironmentName, Gpus, ImageReference, SecretPolicy, utf8_arg,
};
use pixi_offline::text_values;

text_values!(ImageTag, CopiedPath, ExposedPort, ImageUser);

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// The product.
    pub product_dir: PathBuf,
    /// The image with pixi; when `None`, that of the product's build.
    pub build_image: Option<ImageReference>,
    /// The image that the last one is made from.
    pub base_image: ImageReference,
    /// What becomes of it.
    pub purpose: Purpose,
    /// The environment; when `None`, `default` or the only one.
    pub environment: Option<EnvironmentName>,
    /// Where the project is in the image.
    pub app: AppDir,
    /// What of the project goes into the image; empty means everything.
    pub copies: Vec<CopiedPath>,
    /// Where the product's resources go.
    pub resources: Option<AppDir>,
    /// Ports to announce.
    pub ports: Vec<ExposedPort>,
    /// Variables of the image.
    pub variables: Vec<ImageSetting>,
    /// Labels beside the usual.
    pub labels: Vec<ImageSetting>,
    /// The user that it runs as.
    pub user: Option<ImageUser>,
    /// The command of its health check.
    pub healthcheck: Option<String>,
    /// What it runs by itself.
    pub command: Vec<String>,
    /// Whether a product will do that no final verification has passed.
    pub unverified: bool,
    /// The key that product and verification must be signed with.
    pub verify_key: Option<PathBuf>,
    /// What happens to what looks like a secret and goes into the image.
    pub secrets: SecretPolicy,
    /// Whether an image of the same name, or files, may be replaced.
    pub force: bool,
    /// The engine's client, when one was named.
    pub engine: Option<OsString>,
}

/// What becomes of the Dockerfile.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// It is written into this directory, with all that it uses, and nothing is built.
    Emit(PathBuf),
    /// An image is built.
    Build(NewImage),
}

/// The image that is to be built.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// Its name.
    pub tag: ImageTag,
    /// What is run in it before it gets the name.
    pub verify: Option<Vec<OsString>>,
    /// The GPUs that it gets for that.
    pub gpus: Option<Gpus>,
    /// The archive that it is saved to.
    pub save: Option<PathBuf>,
}

/// The name that an image gets: `NAME[:TAG]`, no digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTag(String);

impl ImageTag {
    /// Takes a name as the engine does: lower-case components of letters, digits and
    /// `.`, `_`, `-`, divided by `/`, the first maybe a host with a port; then maybe a
    /// tag (the reference grammar of distribution/reference).
    ///
    /// # Errors
    ///
    /// Exit code 2 for any other text.
    pub fn new(text: &OsStr) -> anyhow::Result<ImageTag> {
        let text = utf8_arg("--tag", text)?;
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (text, None),
        };
        let tag_is_good = tag.is_none_or(|tag| {
            let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            !tag.is_empty()
                && tag.len() <= 128
                && !tag.starts_with(['.', '-'])
                && tag.chars().all(rest)
        });
        let component = |part: &str| {
            let inner = |c: char| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
            };
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            part.starts_with(edge) && part.ends_with(edge) && part.chars().all(inner)
        };
        let host = |part: &str| {
            let (host, port) = part.split_once(':').unwrap_or((part, "0"));
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            !host.is_empty()
                && host.chars().all(allowed)
                && !port.is_empty()
                && port.chars().all(|c| c.is_ascii_digit())
        };
        let mut parts = name.split('/').peekable();
        let first = parts.next().unwrap_or_default();
        let has_more = parts.peek().is_some();
        let name_is_good = (component(first) || (has_more && host(first))) && parts.all(component);
        if name_is_good && tag_is_good {
            return Ok(ImageTag(text.to_owned()));
        }
        Err(Failure::usage(format!(
            "--tag {text:?} is not a name for an image; give NAME[:TAG] in lower case, such as weather:1.0"
        )))
    }
}

/// The project's directory in an image. Its text stands in a Dockerfile and in scripts
/// as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDir(ContainerPath);

impl AppDir {
    /// Takes an absolute path that is none of an image's own directories.
    ///
    /// # Errors
    ///
    /// Exit code 2 otherwise, and for other characters than letters, digits, `.`, `_`,
    /// `-` and `/`: environments put the path into scripts, where others have a meaning.
    pub fn new(option: &str, text: &OsStr) -> anyhow::Result<AppDir> {
        let path = ContainerPath::new(option, text)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if !path.as_str().chars().all(plain) {
            return Err(Failure::usage(format!(
                "{option} {:?} has other characters than letters, digits, `.`, `_`, `-` and `/`; choose a plain path such as /app",
                path.as_str()
            )));
        }
        if path.is_system_dir() {
            return Err(Failure::usage(format!(
                "{option} {path} is a system directory; choose another one, such as /app"
            )));
        }
        Ok(AppDir(path))
    }

    /// The directory at this path below it; itself where the path is empty.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`AppDir::new`].
    pub fn below(&self, path: &str) -> anyhow::Result<AppDir> {
        match path {
            "" => Ok(self.clone()),
            path => AppDir::new(
                "the project's place in the image,",
                self.join(path).as_ref(),
            ),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The path of an entry below this one.
    pub fn join(&self, entry: &str) -> String {
        self.0.join(entry)
    }
}

/// Something of the project that goes into an image: a relative path, without `.` and slashes at its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedPath(String);

impl CopiedPath {
    /// Takes a path below the project.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is empty, absolute, leads out, is in `.pixi` or holds a
    /// control character.
    pub fn new(text: &OsStr) -> anyhow::Result<CopiedPath> {
        let text = utf8_arg("--copy", text)?;
        let refuse = |why: &str| {
            Err(Failure::usage(format!(
                "--copy {text:?} {why}; give a path in the project, such as src"
            )))
        };
        if text.chars().any(char::is_control) {
            return refuse("holds a control character");
        }
        let mut parts = Vec::new();
        for part in Path::new(text).components() {
            match part {
                Component::Normal(name) => parts.push(name.to_str().unwrap_or_default()),
                Component::CurDir => {}
                _ => return refuse("is absolute or leads out of the project"),
            }
        }
        match parts.first() {
            None => refuse("names no file"),
            Some(&".pixi") => {
                refuse("is pixi's own directory; only the environment is copied from it")
            }
            Some(_) => Ok(CopiedPath(parts.join("/"))),
        }
    }
}

/// A `KEY=VALUE` in an image's configuration: a variable or a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSetting {
    /// The name.
    pub key: String,
    /// The value: one line.
    pub value: String,
}

impl ImageSetting {
    /// A setting of this name.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> ImageSetting {
        ImageSetting {
            key: key.into(),
            value: value.into(),
        }
    }

    /// Takes the variable of an `--env`.
    ///
    /// # Errors
    ///
    /// Exit code 2 when KEY is no shell identifier, or the value has a control
    /// character, which no Dockerfile can say.
    pub fn variable(text: &OsStr) -> anyhow::Result<ImageSetting> {
        let setting = ImageSetting::parse("--env", text)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if setting.key.starts_with(|c: char| c.is_ascii_digit()) || !setting.key.chars().all(plain)
        {
            return Err(Failure::usage(format!(
                "--env {:?}: the KEY must be a shell identifier (letters, digits and _, no digit first)",
                setting.key
            )));
        }
        Ok(setting)
    }

    /// Takes the label of a `--label`.
    ///
    /// # Errors
    ///
    /// As [`ImageSetting::variable`]; the KEY may have `.`, `-` and `/` too.
    pub fn label(text: &OsStr) -> anyhow::Result<ImageSetting> {
        let setting = ImageSetting::parse("--label", text)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
        if !setting.key.chars().all(plain) {
            return Err(Failure::usage(format!(
                "--label {:?}: the KEY may have letters, digits, `.`, `_`, `-` and `/`",
                setting.key
            )));
        }
        Ok(setting)
    }

    fn parse(option: &str, text: &OsStr) -> anyhow::Result<ImageSetting> {
        let text = utf8_arg(option, text)?;
        let (key, value) = text.split_once('=').unwrap_or_default();
        if key.is_empty() {
            return Err(Failure::usage(format!(
                "{option} needs KEY=VALUE with a KEY that is not empty"
            )));
        }
        if value.chars().any(char::is_control) {
            return Err(Failure::usage(format!(
                "{option} {key}: the value holds a control character, which a Dockerfile cannot contain"
            )));
        }
        Ok(ImageSetting::new(key, value))
    }
}

/// A port that an image announces: `8000`, `8000-8010`, `53/udp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedPort(String);

impl ExposedPort {
    /// Takes a port or a range of them, with or without a protocol.
    ///
    /// # Errors
    ///
    /// Exit code 2 for any other text.
    pub fn new(text: &OsStr) -> anyhow::Result<ExposedPort> {
        let text = utf8_arg("--expose", text)?;
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let number = |text: &str| {
            let number = text.parse::<u16>().ok().filter(|number| *number > 0);
            number.filter(|_| text.chars().all(|c| c.is_ascii_digit()))
        };
        let in_order = number(first)
            .zip(number(last))
            .is_some_and(|(first, last)| first <= last);
        if in_order && ["tcp", "udp", "sctp"].contains(&protocol) {
            return Ok(ExposedPort(text.to_owned()));
        }
        Err(Failure::usage(format!(
            "--expose {text:?} is not a port; give PORT, FIRST-LAST or PORT/udp"
        )))
    }
}

/// The user that an image runs as: `1000`, `1000:1000`, or names that its base knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser(String);

impl ImageUser {
    /// Takes `USER[:GROUP]`, numbers or names.
    ///
    /// # Errors
    ///
    /// Exit code 2 for any other text.
    pub fn new(text: &OsStr) -> anyhow::Result<ImageUser> {
        let text = utf8_arg("--user", text)?;
        let plain = |part: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            !part.is_empty() && !part.starts_with(['-', '.']) && part.chars().all(inner)
        };
        let (user, group) = text.split_once(':').unwrap_or((text, "0"));
        if plain(user) && plain(group) {
            return Ok(ImageUser(text.to_owned()));
        }
        Err(Failure::usage(format!(
            "--user {text:?} is not a user; give UID, UID:GID, or a name that the base image knows"
        )))
    }

    /// Whether it may run in the group of root: a number without a group does, where the
    /// base image does not know the number.
    pub fn may_be_in_roots_group(&self) -> bool {
        match self.0.split_once(':') {
            Some((_, group)) => ["0", "root"].contains(&group),
            None => self.0.chars().all(|c| c.is_ascii_digit()),
        }
    }

    /// Whether it is root, who may read every file.
    pub fn is_root(&self) -> bool {
        ["0", "root"].contains(&self.0.split(':').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T>(make: impl Fn(&OsStr) -> anyhow::Result<T>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(make(OsStr::new(text)).is_ok(), "{text:?}");
        }
        for text in bad {
            let error = make(OsStr::new(text))
                .err()
                .unwrap_or_else(|| panic!("{text:?}"));
            assert_eq!(
                pixi_offline::failure::exit_code(&error),
                pixi_offline::failure::USAGE
            );
        }
    }

    #[test]
    fn tags_are_those_that_the_engine_takes() {
        all(
            ImageTag::new,
            &[
                "a",
                "a:1.0",
                "a/b:x",
                "host.example:5000/a/b",
                "localhost/a",
                "a__b-c.d:_x",
            ],
            &[
                "",
                ":x",
                "A",
                "a:",
                "a b",
                "a@sha256:00",
                "-a",
                "a:-x",
                "a//b",
                "HOST:x/a",
            ],
        );
    }

    #[test]
    fn app_dirs_are_plain_and_nobodys() {
        all(
            |text| AppDir::new("--app-dir", text),
            &["/app", "/srv/app-1.0_x", "/opt/app/"],
            &[
                "",
                "app",
                "/",
                "/usr/lib/x",
                "/opt",
                "/a b",
                "/a$b",
                "/a/../b",
                "/tmp",
            ],
        );
    }

    #[test]
    fn copied_paths_lie_in_the_project() {
        all(
            CopiedPath::new,
            &["src", "a b/c", "./src/", "$x", "x.pixi"],
            &[
                "",
                ".",
                "/etc",
                "../x",
                "a/../../b",
                ".pixi/config.toml",
                "a\nb",
            ],
        );
        assert_eq!(
            CopiedPath::new(OsStr::new("./a//b/")).unwrap().as_str(),
            "a/b"
        );
    }

    #[test]
    fn settings_have_a_key_and_one_line() {
        all(
            ImageSetting::variable,
            &["A=", "A_1=b=c \"$x\""],
            &["A", "=x", "1A=x", "A-B=x", "A=a\nb"],
        );
        all(ImageSetting::label, &["a.b/c-d=e"], &["a b=c", "\"=x", "a"]);
    }

    #[test]
    fn ports_and_users() {
        all(
            ExposedPort::new,
            &["80", "1-65535", "53/udp"],
            &["", "0", "x", "80/http", "9-8", "65536", "+80"],
        );
        all(
            ImageUser::new,
            &["1000", "1000:1000", "www-data", "a.b:c"],
            &["", ":", "1000:", "-x", "a b", "$x"],
        );
        assert!(ImageUser::new(OsStr::new("0:5")).unwrap().is_root());
    }
}
