//! Mounts as the engine's `--mount` takes them.

use std::path::{Path, PathBuf};

use crate::request::text_for_mount;

/// A directory or file of the host, or a volume of the engine, inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    source: MountSource,
    target: String,
    /// Whether a container can only read it.
    pub(super) read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MountSource {
    Dir(PathBuf),
    Volume(String),
}

impl Mount {
    /// Mounts `source`, an absolute path, at `target`, writable.
    pub fn writable(source: impl Into<PathBuf>, target: impl Into<String>) -> Mount {
        Mount {
            source: MountSource::Dir(source.into()),
            target: target.into(),
            read_only: false,
        }
    }

    /// Mounts a volume that is there, by its name, at `target`, writable.
    pub fn volume(name: impl Into<String>, target: impl Into<String>) -> Mount {
        Mount {
            source: MountSource::Volume(name.into()),
            target: target.into(),
            read_only: false,
        }
    }

    /// Mounts `source`, an absolute path, at `target`, read-only.
    pub fn read_only(source: impl Into<PathBuf>, target: impl Into<String>) -> Mount {
        Mount::writable(source, target).only_read()
    }

    /// The same, read-only.
    pub fn only_read(self) -> Mount {
        Mount {
            read_only: true,
            ..self
        }
    }

    /// Where the directory is on the host, if it is one.
    pub fn source(&self) -> Option<&Path> {
        match &self.source {
            MountSource::Dir(dir) => Some(dir),
            MountSource::Volume(_) => None,
        }
    }

    /// The value of `--mount`: a line of CSV, as docker reads it. `-v` would
    /// break on colons, turn a relative path into a named volume, and make a
    /// missing source as root.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the source is not UTF-8, or a carriage return is before
    /// a newline in it: the client would mount another directory.
    pub fn value(&self) -> anyhow::Result<String> {
        let (kind, source) = match &self.source {
            MountSource::Dir(dir) => (
                "bind",
                text_for_mount("a path that must be mounted", dir.as_os_str())?,
            ),
            MountSource::Volume(name) => ("volume", name.as_str()),
        };
        let target = text_for_mount("the place of a mount", self.target.as_ref())?;
        let mut fields = vec![
            format!("type={kind}"),
            format!("source={source}"),
            format!("target={target}"),
        ];
        if self.read_only {
            // podman 4.3 takes `readonly` of directories only; docker takes both of both.
            let word = match self.source {
                MountSource::Dir(_) => "readonly",
                MountSource::Volume(_) => "ro",
            };
            fields.push(word.to_owned());
        }
        let fields: Vec<String> = fields.iter().map(|field| csv_field(field)).collect();
        Ok(fields.join(","))
    }
}

/// A CSV field (RFC 4180): quoted where it must be, quotes doubled.
fn csv_field(text: &str) -> String {
    let special = |c: char| matches!(c, ',' | '"' | '\n' | '\r') || c.is_whitespace();
    if text.contains(special) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn fields_are_csv() {
        for (source, value) in [
            ("/a/b", "type=bind,source=/a/b,target=/t"),
            ("/a:b", "type=bind,source=/a:b,target=/t"),
            ("/a,b", "type=bind,\"source=/a,b\",target=/t"),
            ("/a \"b\"", "type=bind,\"source=/a \"\"b\"\"\",target=/t"),
            ("/a\nb", "type=bind,\"source=/a\nb\",target=/t"),
        ] {
            assert_eq!(Mount::writable(source, "/t").value().unwrap(), value);
        }
        assert_eq!(
            Mount::read_only("/a", "/t").value().unwrap(),
            "type=bind,source=/a,target=/t,readonly"
        );
        assert_eq!(
            Mount::volume("a", "/t").only_read().value().unwrap(),
            "type=volume,source=a,target=/t,ro"
        );
    }

    #[test]
    fn a_source_that_the_client_would_change_is_refused() {
        for source in [b"/a\xff".as_slice(), b"/a\r\nb"] {
            let source = Path::new(OsStr::from_bytes(source));
            assert!(Mount::writable(source, "/t").value().is_err());
        }
    }
}
