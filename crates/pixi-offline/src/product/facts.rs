//! What a product records for its own scripts.

use std::collections::BTreeMap;

use super::{MARK, user_packages};
use crate::layout::{Product, ProjectPlace};
use crate::quote::shell_quote;

/// What `bootstrap-project.sh` compares with the place where it runs. Whatever
/// is `None` was not known when the product was made, and is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where the project is, when it is in a directory that was staged with it; `None` when
    /// it was staged alone.
    pub below_root: Option<ProjectPlace>,
    /// The environments that the product was made with, in the order in which
    /// they are installed; none means `default`.
    pub environments: Vec<String>,
    /// The version of the pixi that filled the package cache, such as `0.77.0`.
    pub pixi: Option<String>,
    /// The format of pixi.lock: its `version`.
    pub lock_version: Option<u32>,
    /// Whether pixi.lock is another one than the project's, which pixi cannot compare with
    /// the manifest.
    pub lock_differs: bool,
    /// Whether the cache has Python packages (a uv part), which only some other
    /// versions of pixi see.
    pub has_python_packages: bool,
    /// Whether a dependency is installed with `git`.
    pub needs_git: bool,
    /// The architecture that the packages are for, in the words of `uname -m`:
    /// `x86_64`, `aarch64`.
    pub architecture: Option<String>,
    /// The oldest glibc that the packages run on: major and minor version.
    pub glibc: Option<(u32, u32)>,
    /// Whether it is known what the packages ask of the machine: then what is not
    /// said here is not asked for.
    pub requirements_known: bool,
    /// What the build was verified with, as the arguments of a command; see
    /// [`BuildInfo::tested`](crate::evidence::manifest::BuildInfo::tested).
    pub tested: Vec<String>,
    /// The platform in pixi.lock that was installed: `linux-64`, or the name that
    /// the project gave to one of its own.
    pub platform_name: Option<String>,
    /// What that platform requires of the machine, so that pixi refuses to install it
    /// elsewhere: virtual packages with a conda version range, `__cuda >=12`. A
    /// version that a lock gives to a platform (`__cuda=12.0`) is the least: `__cuda >=12.0`.
    pub virtual_packages: Vec<String>,
    /// The other platforms of pixi.lock for the same kind of machine that pixi takes
    /// first where the machine has what they ask for, in pixi's order: each the name,
    /// then after a line end each what it asks for, in the form of `virtual_packages`.
    pub preferred_platforms: Vec<String>,
    /// Overridden virtual packages of the build, by variable: `CONDA_OVERRIDE_CUDA`.
    pub overrides: BTreeMap<String, String>,
    /// The bytes that installing all environments takes beside the product.
    pub install_bytes: Option<u64>,
    /// The files, directories and links that installing all environments makes.
    pub install_entries: Option<u64>,
    /// Whether the product brings a pixi of its own in `bin/`.
    pub bundled_pixi: bool,
    /// The dynamic linker that the pixi in `bin/` needs; a static one needs none.
    pub pixi_linker: Option<String>,
    /// Whether the product brings a `manifest.json` and a `SHA256SUMS`.
    pub carries_manifest: bool,
}

impl Facts {
    /// The facts as assignments for bash, a line each.
    pub(super) fn assignments(&self) -> Vec<u8> {
        let mut lines = array("environments", &self.environments);
        let in_root = self.below_root.as_ref().map(|place| &place.in_root);
        assign_to(&mut lines, "project_in_root", &text(in_root));
        let yes_or_no = |fact| if fact { "yes" } else { "no" }.to_owned();
        let glibc = self.glibc.map(|(major, minor)| format!("{major}.{minor}"));
        for (name, value) in [
            ("built_by_pixi", text(self.pixi.as_ref())),
            ("lock_version", text(self.lock_version)),
            ("lock_differs", yes_or_no(self.lock_differs)),
            ("has_python_packages", yes_or_no(self.has_python_packages)),
            ("needs_git", yes_or_no(self.needs_git)),
            ("architecture", text(self.architecture.as_ref())),
            ("glibc", text(glibc)),
            ("platform_name", text(self.platform_name.as_ref())),
            ("install_bytes", text(self.install_bytes)),
            ("install_entries", text(self.install_entries)),
            ("bundled_pixi", yes_or_no(self.bundled_pixi)),
            ("carries_manifest", yes_or_no(self.carries_manifest)),
            ("requirements_known", yes_or_no(self.requirements_known)),
        ] {
            assign_to(&mut lines, name, &value);
        }
        lines.extend(array("tested", &self.tested));
        lines.extend(array("virtual_packages", &self.virtual_packages));
        lines.extend(array("preferred_platforms", &self.preferred_platforms));
        let pair = |(name, value): (&str, &str)| format!("{name}={value}");
        let overrides = self
            .overrides
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let overrides: Vec<String> = overrides.map(pair).collect();
        lines.extend(array("overrides", &overrides));
        lines.extend(array("uncovered", &Product::UNCOVERED));
        assign_to(&mut lines, "mark_name", MARK);
        lines.extend(array("user_variables", &user_packages::user_variables()));
        let settings = user_packages::SETTINGS.iter().copied();
        let settings: Vec<String> = settings.map(pair).collect();
        lines.extend(array("user_settings", &settings));
        lines
    }
}

/// An assignment of an array, on a line of its own where no value has a line end.
fn array(name: &str, values: &[impl AsRef<str>]) -> Vec<u8> {
    let values = values
        .iter()
        .map(|value| shell_quote(value.as_ref().as_bytes()));
    let values = values.collect::<Vec<_>>().join(&b' ');
    [format!("{name}=(").as_bytes(), &values, b")\n"].concat()
}

fn assign_to(lines: &mut Vec<u8>, name: &str, value: &str) {
    lines.extend(name.as_bytes());
    lines.push(b'=');
    lines.extend(shell_quote(value.as_bytes()));
    lines.push(b'\n');
}

/// A value that may not be known: then the empty text.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
