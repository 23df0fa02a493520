//! The names inside a workdir and a product. Scripts in containers get those of a workdir
//! as variables; the scripts of a product spell its names themselves.
//!
//! In: a directory. Out: the paths in it. Nothing here reads or writes files.

mod project_place;

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

pub use project_place::{PathInRoot, ProjectPlace};

use crate::request::{ContainerPath, ProjectName};

/// Where a workdir is made in the caller's container when no place is named.
pub const WORKDIR_IN_CONTAINER: &str = "/tmp/pixi-offline-workdir";

/// The default place of a workdir inside a container that these commands start.
pub const CONTAINER_WORKDIR: &str = "/workdir";

/// Names of the files that say what a directory holds as a Pixi project, in the order in
/// which pixi looks for them.
pub const PROJECT_MANIFESTS: [&str; 3] = ["pixi.toml", PYTHON_MANIFEST, "mojoproject.toml"];

/// The manifest of a Python project, which is pixi's when it has a table `[tool.pixi]`.
pub const PYTHON_MANIFEST: &str = "pyproject.toml";

/// The lock file of a Pixi project.
pub const LOCK_FILE: &str = "pixi.lock";

/// The part of a project's `.pixi/` that people commit.
pub const PROJECT_CONFIG: &str = ".pixi/config.toml";

/// What git keeps a repository in; in a worktree or a submodule a file that names it.
pub const GIT: &str = ".git";

/// What staging and product leave out of a project, as rsync patterns; links of these
/// names stay behind, too.
pub const DEFAULT_EXCLUDES: [&str; 8] = [
    ".git/",
    ".pixi/",
    ".env",
    "__pycache__/",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".venv/",
];

/// The directory below the current one in which build-offline-product has its workdirs, one
/// for each project.
pub const WORKDIRS: &str = ".pixi-offline";

/// What marks it, so that it is never part of a project; it keeps git away from it, too.
pub const WORKDIRS_MARK: &str = ".gitignore";

/// The whole content of [`WORKDIRS_MARK`].
pub const WORKDIRS_MARK_TEXT: &str =
    "# Working directories of build-offline-product: never part of a project.\n*\n";

/// The directory of a workdir with the staged projects.
pub const PROJECT: &str = "project";
/// The resources of a workdir.
pub const RESOURCES: &str = "resources";
/// The package cache of a workdir.
pub const CACHE: &str = "pixi-cache";
const PIXI_OF_BUILD: &str = "pixi-offline-bin";
const BUILT_PACKAGES: &str = "pixi-offline-built";
/// What is ours in a package cache: later products of the workdir are made of it, too.
pub const KEPT_OF_CACHE: [&str; 2] = [PIXI_OF_BUILD, BUILT_PACKAGES];
/// The directory of a workdir with logs and what verifications write.
pub const OUT: &str = "out";
/// The hidden directory in an out directory that a container has as its own.
pub const CONTAINER_OUT: &str = ".pixi-offline-out";
const HELPERS: &str = "helpers";
const PRODUCT: &str = "product";
/// What marks a workdir, and what is known of its build.
pub const RECORD: &str = "workdir.json";
const VERIFICATION: &str = "verification.json";

/// The helper that a workdir carries, as the binary and under its old name.
pub const HELPER: &str = "make-archive-ready-product";

/// What is added to the name of a product, or of the directory with its logs, that has not
/// passed its final verification while an earlier one that has is in its place.
const FAILED: &str = ".failed";

/// The path that leads from a directory to `to`, both absolute or from the same top.
pub fn relative_path(from: &Path, to: &Path) -> PathBuf {
    let from: Vec<_> = from.components().collect();
    let to: Vec<_> = to.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - common);
    up.chain(to[common..].iter().copied()).collect()
}

/// The place beside `directory` of one that has not passed its final verification.
pub fn failed(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(FAILED);
    PathBuf::from(name)
}

/// Gives a type for a directory its path, and the paths of entries in it: each with what it is, the method and the
/// name.
macro_rules! paths {
    ($dir:ident: $($(#[$doc:meta])+ $method:ident => $name:expr;)+) => {
        impl $dir {
            /// The one at this path, there or not.
            pub fn new(dir: impl Into<PathBuf>) -> $dir {
                $dir(dir.into())
            }

            /// Its path.
            pub fn path(&self) -> &Path {
                &self.0
            }

            $(
                $(#[$doc])+
                pub fn $method(&self) -> PathBuf {
                    self.0.join($name)
                }
            )+
        }
    };
}

/// A workdir: inputs and outputs of one build, side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workdir(PathBuf);

paths! { Workdir:
    /// The project's own lock, where the staged one is another.
    own_lock => Product::ORIGINAL_LOCK;
    /// The directory of staged projects.
    projects => PROJECT;
    /// The resources that travel with the project.
    resources => RESOURCES;
    /// The package cache that the build filled.
    cache => CACHE;
    /// The channel of what pixi built from source, where it was to be kept.
    built_channel => "built-packages";
    /// Logs, and what verifications write.
    out => OUT;
    /// The programs that go on from here.
    helpers => HELPERS;
    /// Where `build-offline-product` keeps the logs of the final verification.
    verification_logs => "proof";
    /// What later commands know of the build; also the mark that a directory is a
    /// workdir of ours.
    record => RECORD;
}

impl Workdir {
    /// The entries of a workdir as the old scripts made it.
    pub const DIRS: [&str; 6] = [PROJECT, RESOURCES, CACHE, OUT, HELPERS, PRODUCT];

    /// Those that every workdir of the old scripts has.
    pub const CORE_DIRS: [&str; 4] = [PROJECT, CACHE, OUT, HELPERS];

    /// What a workdir has that comes out of a container, with the kind of each.
    pub const FROM_CONTAINER: [(&str, EntryType); 5] = [
        (PROJECT, EntryType::Directory),
        (RESOURCES, EntryType::Directory),
        (CACHE, EntryType::Directory),
        (OUT, EntryType::Directory),
        (RECORD, EntryType::Regular),
    ];

    /// The default place of the workdir of a project in build-offline-product.
    pub fn of_project(dir: &Path, name: &ProjectName) -> Workdir {
        Workdir(dir.join(WORKDIRS).join(name))
    }

    /// The default place of a new workdir.
    pub fn default_in(root: &Path, unix_seconds: u64) -> Workdir {
        Workdir(root.join("tmp").join(format!("workdir-{unix_seconds}")))
    }

    /// What was staged of one: the project, or a directory that it is in.
    pub fn staged(&self, name: &ProjectName) -> PathBuf {
        self.projects().join(name)
    }

    /// One staged project.
    pub fn project(&self, place: &ProjectPlace) -> PathBuf {
        self.projects().join(place.path())
    }

    /// The pixi that filled the cache, taken along by the build.
    pub fn pixi(&self) -> PathBuf {
        self.cache().join(PIXI_OF_BUILD).join("pixi")
    }

    /// What pixi built from source, taken along by the build.
    pub fn built_packages(&self) -> PathBuf {
        self.cache().join(BUILT_PACKAGES)
    }

    /// Where a path in the package cache is that stays when the cache is moved away.
    pub fn beside_cache(&self, in_cache: &Path) -> Option<PathBuf> {
        let name = in_cache.strip_prefix(self.cache()).ok()?;
        Some(self.0.join(name))
    }

    /// The container's out directory, while one runs.
    pub fn container_out(&self) -> PathBuf {
        self.out().join(CONTAINER_OUT)
    }

    /// The log of the online `pixi install`.
    pub fn install_log(&self) -> PathBuf {
        self.out().join("pixi-install.log")
    }

    /// The log of the online verification.
    pub fn verify_log(&self) -> PathBuf {
        self.out().join("verify.log")
    }

    /// The deliverable.
    pub fn product(&self) -> Product {
        Product(self.0.join(PRODUCT))
    }

    /// The helper under the old script's name: the old scripts put it there too.
    pub fn helper_shim(&self) -> PathBuf {
        self.helpers().join(format!("{HELPER}.sh"))
    }
}

/// A workdir as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerWorkdir<'a>(pub &'a ContainerPath);

impl ContainerWorkdir<'_> {
    /// Where the staged projects are mounted.
    pub fn projects(&self) -> String {
        self.0.join(PROJECT)
    }

    /// Where the resources are mounted.
    pub fn resources(&self) -> String {
        self.0.join(RESOURCES)
    }

    /// Where the package cache is mounted.
    pub fn cache(&self) -> String {
        self.0.join(CACHE)
    }

    /// Where the out directory is mounted.
    pub fn out(&self) -> String {
        self.0.join(OUT)
    }

    /// Where the package cache of a recorded workdir was.
    pub fn cache_of(recorded: &str) -> PathBuf {
        Path::new(recorded).join(CACHE)
    }
}

/// A product: the directory that is carried to the place without a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product(PathBuf);

paths! { Product:
    /// The project's own lock, where the product has another one.
    original_lock => Product::ORIGINAL_LOCK;
    /// The resources.
    resources => Product::RESOURCES;
    /// The package cache.
    cache => Product::CACHE;
    /// The pixi that it brings, if any.
    pixi => "bin/pixi";
    /// What a person sources before running pixi by hand.
    environment_script => "envs.sh";
    /// What installs the project.
    bootstrap_script => "bootstrap-project.sh";
    /// What tells the person at the target how to install it.
    readme => "README.txt";
    /// The list of everything in it, and where it comes from.
    manifest => Product::MANIFEST;
    /// The digests of its files.
    sums => "SHA256SUMS";
    /// How it was made, as an in-toto statement.
    provenance => "provenance.json";
    /// The bill of materials.
    sbom => Product::SBOM;
    /// The page for the person who must approve its transfer.
    report => "report.html";
    /// What changed since the product that was delivered before, when that was named.
    changes => "changes.json";
    /// What its final verification found, when that was attached.
    verification => VERIFICATION;
}

impl Product {
    /// What a product has besides the project and [`Product::UNCOVERED`], or may have.
    const COVERED: [&str; 9] = [
        Product::RESOURCES,
        Product::CACHE,
        "bin",
        "envs.sh",
        "bootstrap-project.sh",
        "README.txt",
        Product::MANIFEST,
        Product::ORIGINAL_LOCK,
        Product::SBOM,
    ];

    /// The resources.
    pub const RESOURCES: &str = "res";

    /// The package cache.
    pub const CACHE: &str = "pkg-cache";

    /// The bill of materials.
    pub const SBOM: &str = "sbom.cdx.json";

    /// What lists everything in a product.
    pub const MANIFEST: &str = "manifest.json";

    /// The lock of the project, where the one in the project's directory is another.
    pub const ORIGINAL_LOCK: &str = "pixi.lock.original";

    /// The files of a product that `SHA256SUMS` does not cover, since they are
    /// written after it: all name its digest.
    pub const UNCOVERED: [&str; 9] = [
        "SHA256SUMS",
        "SHA256SUMS.minisig",
        "provenance.json",
        "provenance.json.minisig",
        VERIFICATION,
        "verification.json.minisig",
        "changes.json",
        "changes.json.minisig",
        "report.html",
    ];

    /// Whether a project of this name would collide with the product's own.
    pub fn is_own_entry(name: &OsStr) -> bool {
        let mut own = Product::COVERED.iter().chain(&Product::UNCOVERED);
        own.any(|own| name == *own)
    }

    /// What was staged: the project, or a directory that it is in.
    pub fn staged(&self, name: &ProjectName) -> PathBuf {
        self.0.join(name)
    }

    /// The project in it.
    pub fn project(&self, place: &ProjectPlace) -> PathBuf {
        self.0.join(place.path())
    }

    /// Where the signature of one of its files lies.
    pub fn signature_of(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".minisig");
        PathBuf::from(name)
    }
}

/// The logs that the final verification writes into its out directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineLogs(PathBuf);

paths! { OfflineLogs:
    /// The container's out directory, while one runs.
    container_out => CONTAINER_OUT;
    /// The log of `bootstrap-project.sh`.
    bootstrap => "bootstrap.offline.log";
    /// The log of the verification.
    verify => "verify.offline.log";
    /// What was found, for programs.
    verification => VERIFICATION;
}

impl OfflineLogs {
    /// The files that only this machine writes.
    pub fn files(&self) -> [PathBuf; 4] {
        [
            self.bootstrap(),
            self.verify(),
            self.verification(),
            Product::signature_of(&self.verification()),
        ]
    }
}
