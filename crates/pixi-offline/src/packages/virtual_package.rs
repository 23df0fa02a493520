//! What a machine has, as conda packages and platforms ask for it.

use rattler_conda_types::Subdir;

/// A virtual package: something that a machine has, such as `__cuda=12.4`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtualPackage {
    name: String,
    /// Without zeros at its end: `12` is `12.0`.
    version: String,
    build: String,
}

impl VirtualPackage {
    /// Reads `NAME=VERSION` or `NAME=VERSION=BUILD`.
    pub fn parse(text: &str) -> Option<VirtualPackage> {
        let mut parts = text.splitn(3, '=').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
        let version = parts.next()?;
        let build = parts.next().unwrap_or_default().to_owned();
        let mut numbers: Vec<&str> = version.split('.').collect();
        while numbers.len() > 1 && numbers.last() == Some(&"0") {
            numbers.pop();
        }
        Some(VirtualPackage {
            name,
            version: numbers.join("."),
            build,
        })
    }

    /// Whether pixi (0.77) takes every machine of a subdir to have it, and so asks none for
    /// it.
    pub fn is_of_every_machine(&self, subdir: Subdir) -> bool {
        let processor = subdir.arch().filter(|_| subdir.is_linux());
        let processor = processor.map_or("", |processor| processor.as_str());
        match (
            self.name.as_str(),
            self.version.as_str(),
            self.build.as_str(),
        ) {
            ("__unix", "0", _) | ("__linux", "4.18", "") | ("__glibc", "2.28", "") => true,
            ("__archspec", "0", build) => build == processor,
            _ => false,
        }
    }
}

/// Name and version of a virtual package such as `__cuda=12.0` or `__unix=0=0`.
pub(super) fn virtual_package(text: &str) -> (&str, &str) {
    let mut parts = text.split('=').map(str::trim);
    let name = parts.next().unwrap_or_default();
    (name, parts.find(|part| !part.is_empty()).unwrap_or("0"))
}
