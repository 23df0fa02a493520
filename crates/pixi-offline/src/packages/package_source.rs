//! Where a package of a lock comes from.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use rattler_lock::{PackageBuildSource, UrlOrPath};
use rattler_redaction::strip_url_for_serialization;

use crate::digest::hexadecimal;
use crate::layout::PathInRoot;

/// Where a package comes from, without the credentials that a lock may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageSource {
    /// Its archive's URL.
    Url(String),
    /// A git repository.
    Git {
        /// Its URL.
        repository: String,
        /// The commit.
        commit: Option<String>,
    },
    /// A path, relative to the project when it is in it.
    Path(String),
}

impl PackageSource {
    /// Whether it is a path that leads out of what is staged with the project at `in_root`;
    /// channels in directories have [`LocalChannel`](super::LocalChannel).
    pub(super) fn leads_out(&self, in_root: &PathInRoot) -> bool {
        let PackageSource::Path(path) = self else {
            return false;
        };
        in_root.resolve(Path::new(path)).is_none()
    }

    /// Whether it is a file or directory of some machine, by an absolute path.
    pub(super) fn is_local(&self) -> bool {
        match self {
            PackageSource::Url(url) => url.starts_with("file:"),
            PackageSource::Path(path) => path.starts_with('/'),
            PackageSource::Git { .. } => false,
        }
    }

    /// Its path, which may be relative to the project.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            PackageSource::Url(url) => local_path(url),
            PackageSource::Path(path) => Some(PathBuf::from(path)),
            PackageSource::Git { .. } => None,
        }
    }

    /// The same where a relative path begins where a package's manifest is.
    pub(super) fn seen_from(self, manifest: &PackageSource) -> PackageSource {
        match (self, manifest) {
            (PackageSource::Path(path), PackageSource::Path(dir)) => {
                let path = Path::new(dir).join(path);
                PackageSource::Path(path.to_string_lossy().into_owned())
            }
            // It is in the same repository or archive.
            (PackageSource::Path(_), other) => other.clone(),
            (own, _) => own,
        }
    }
}

impl From<&PackageBuildSource> for PackageSource {
    fn from(source: &PackageBuildSource) -> PackageSource {
        match source {
            PackageBuildSource::Git { url, rev, .. } => PackageSource::Git {
                repository: strip_url_for_serialization(url).to_string(),
                commit: Some(rev.clone()),
            },
            PackageBuildSource::Url { url, sha256, .. } => {
                let url = strip_url_for_serialization(url);
                PackageSource::Url(format!("{url}#sha256={}", hexadecimal(sha256)))
            }
            PackageBuildSource::Path { path } => PackageSource::Path(path.to_string()),
        }
    }
}

impl From<&UrlOrPath> for PackageSource {
    fn from(location: &UrlOrPath) -> PackageSource {
        let UrlOrPath::Url(url) = location else {
            return PackageSource::Path(location.to_string());
        };
        if url.scheme() == "file" {
            return PackageSource::Url(url.to_string());
        }
        let stripped = strip_url_for_serialization(url).to_string();
        match stripped.strip_prefix("git+") {
            Some(repository) => PackageSource::Git {
                repository: repository.to_owned(),
                commit: url.fragment().map(str::to_owned),
            },
            None => PackageSource::Url(stripped),
        }
    }
}

impl fmt::Display for PackageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackageSource::Url(place) | PackageSource::Path(place) => f.write_str(place),
            PackageSource::Git { repository, commit } => {
                write!(f, "git+{repository}")?;
                commit.iter().try_for_each(|commit| write!(f, "#{commit}"))
            }
        }
    }
}

/// The path of a `file:` URL, without a slash at its end.
pub(super) fn local_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://")?.trim_end_matches('/');
    // An authority other than none is another machine's.
    path.starts_with('/')
        .then(|| PathBuf::from(OsString::from_vec(percent_decode_str(path).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_project_are_told_from_those_that_do_not() {
        let leads_out = |text: &str| {
            let source = match text.starts_with("file:") {
                true => PackageSource::Url(text.to_owned()),
                false => PackageSource::from(&text.parse::<UrlOrPath>().unwrap()),
            };
            source.leads_out(&PathInRoot::default())
        };
        for inside in [
            "./lib",
            "lib/a/../b",
            "https://x/y.whl",
            "git+https://x/../y",
            "file:///p/chan/a.conda",
            ".",
        ] {
            assert!(!leads_out(inside), "{inside}");
        }
        for outside in ["../lib", "./a/../../b", "/opt/lib"] {
            assert!(leads_out(outside), "{outside}");
        }
    }
}
