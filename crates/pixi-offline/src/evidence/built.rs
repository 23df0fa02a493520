//! What of a product was built from source, as its manifest says it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::evidence::{Sha256Digest, hexadecimal};
use crate::layout::PathInRoot;
use crate::packages::{Backend, BuiltPackage, Package, PackageSource};
use crate::staging::{ListedKind, Listing};

/// A conda package that pixi built from source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltFacts {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its build string.
    pub build: String,
    /// The name of its archive, which is not in the product.
    pub file: String,
    /// The sha256 of its archive.
    pub sha256: Sha256Digest,
    /// The environments that have it.
    pub environments: Vec<String>,
    /// Where its manifest was.
    pub source: SourceFacts,
    /// Where its sources were, where that is not where its manifest was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_source: Option<SourceFacts>,
    /// The digest of the directory of the project that it was built from:
    /// [`digest_of_dir`]. What comes from elsewhere has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_sha256: Option<Sha256Digest>,
    /// The program that pixi built it with, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The version of that program, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_version: Option<String>,
}

/// Where a package that was built from source comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SourceFacts {
    /// A path in the project.
    Path {
        /// The path.
        path: String,
    },
    /// A git repository.
    Git {
        /// Its URL.
        git: String,
        /// The commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
    },
    /// An archive.
    Url {
        /// Its URL.
        url: String,
    },
}

impl From<&PackageSource> for SourceFacts {
    fn from(source: &PackageSource) -> SourceFacts {
        match source.clone() {
            PackageSource::Path(path) => SourceFacts::Path { path },
            PackageSource::Url(url) => SourceFacts::Url { url },
            PackageSource::Git { repository, commit } => SourceFacts::Git {
                git: repository,
                commit,
            },
        }
    }
}

impl BuiltFacts {
    /// The facts of a package that was built with `backend`, out of a project at `in_root` in
    /// what is copied, as `staged` lists it.
    pub fn new(
        built: &BuiltPackage,
        backend: Option<&Backend>,
        staged: &Listing,
        in_root: &PathInRoot,
    ) -> BuiltFacts {
        let package = &built.package;
        let sources = built.source.build_source.as_ref();
        let place = sources.unwrap_or(&built.source.id.source);
        BuiltFacts {
            name: package.id.name.clone(),
            version: package.id.version.clone().unwrap_or_default(),
            build: package.build.clone(),
            file: format!("{}.{}", package.stem, package.archive),
            sha256: built.sha256,
            environments: built.environments.iter().cloned().collect(),
            source: SourceFacts::from(&built.source.id.source),
            build_source: sources.map(SourceFacts::from),
            source_sha256: match place {
                PackageSource::Path(path) => in_root
                    .resolve(Path::new(path))
                    .and_then(|dir| digest_of_dir(staged, &dir)),
                _ => None,
            },
            backend: backend.map(|backend| backend.name.clone()),
            backend_version: backend.and_then(|backend| backend.version.clone()),
        }
    }

    /// Whether these are the facts of a package.
    pub fn is_of(&self, package: &Package) -> bool {
        let Package::Conda(conda) = package else {
            return false;
        };
        conda.is_built_from_source()
            && conda.id.sha256.as_deref() == Some(&*self.sha256.to_string())
            && self.file.starts_with(&*conda.stem)
    }
}

/// The digest of a directory of a project: the sha256 of a line for each regular file in it,
/// sorted by the bytes of the paths, each line as `sha256sum` writes it there. A path that is
/// a file means the directory that it is in. `None` where nothing is there.
pub fn digest_of_dir(project: &Listing, dir: &Path) -> Option<Sha256Digest> {
    let dir: std::path::PathBuf = dir
        .components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect();
    let files = || {
        project
            .entries(Path::new(""))
            .filter_map(|entry| match entry.kind {
                ListedKind::File { sha256, .. } => Some((entry.path, *sha256?)),
                _ => None,
            })
    };
    let is_file = files().any(|(path, _)| path == dir);
    let dir = match is_file {
        true => dir.parent()?,
        false => &dir,
    };
    let mut digest = Sha256::new();
    let mut is_empty = true;
    for (path, sha256) in files() {
        if let Ok(path) = path.strip_prefix(dir) {
            is_empty = false;
            digest.update(hexadecimal(&sha256));
            digest.update(b"  ");
            digest.update(path.as_os_str().as_encoded_bytes());
            digest.update(b"\n");
        }
    }
    (!is_empty).then(|| Sha256Digest::from(digest.finalize()))
}

impl SourceFacts {
    /// It as text: a path, or a URL.
    pub fn shown(&self) -> String {
        match self {
            SourceFacts::Path { path } => path.clone(),
            SourceFacts::Url { url } => url.clone(),
            SourceFacts::Git { git, commit } => match commit {
                Some(commit) => format!("{git} at commit {commit}"),
                None => git.clone(),
            },
        }
    }
}
