//! The program that pixi builds a source package with, by the package's manifest.

use std::path::Path;

use toml_edit::DocumentMut;

use crate::layout::{self, PathInRoot};
use crate::packages::PackageSource;
use crate::toml::item;
use crate::untrusted_dir::{RECORD_LIMIT, UntrustedDir};

/// What pixi builds packages with that have no manifest of its own.
const BY_FILE: [(&str, &str); 3] = [
    ("recipe.yaml", "pixi-build-rattler-build"),
    ("recipe.yml", "pixi-build-rattler-build"),
    ("package.xml", "pixi-build-ros"),
];

/// The directory of a source package that is named by its manifest, `place` itself for any other.
pub(super) fn package_dir(place: &Path) -> &Path {
    let own = place.file_name().and_then(|name| name.to_str());
    let by_file = BY_FILE.iter().map(|(name, _)| *name);
    let mut manifests = layout::PROJECT_MANIFESTS.into_iter().chain(by_file);
    match place.parent() {
        Some(dir) if manifests.any(|name| own == Some(name)) => dir,
        _ => place,
    }
}

/// The name of the backend of a source package of the project at `in_root` in the directory
/// `top`, which a container could write; `None` where that is not known.
pub(crate) fn of(top: &Path, in_root: &PathInRoot, source: &PackageSource) -> Option<String> {
    let PackageSource::Path(place) = source else {
        return None;
    };
    let place = in_root.resolve(Path::new(place))?;
    let top = UntrustedDir::open(top).ok()?;
    let read = |file: &Path| top.read(file, RECORD_LIMIT).ok();
    for name in layout::PROJECT_MANIFESTS {
        let is_itself = place.file_name().is_some_and(|own| own == name);
        let file = if is_itself {
            place.clone()
        } else {
            place.join(name)
        };
        let Some(text) = read(&file) else {
            continue;
        };
        let manifest: DocumentMut = str::from_utf8(&text).ok()?.parse().ok()?;
        let keys = ["tool", "pixi", "package", "build", "backend"];
        let keys = match name {
            layout::PYTHON_MANIFEST => &keys[..],
            _ => &keys[2..],
        };
        let backend = item(&manifest, keys)
            .and_then(|backend| backend.get("name").unwrap_or(backend).as_str());
        if let Some(backend) = backend {
            return Some(backend.to_owned());
        }
    }
    BY_FILE.iter().find_map(|(name, backend)| {
        let is_there = place.ends_with(name) || read(&place.join(name)).is_some();
        is_there.then(|| (*backend).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest_text::tests::write_files;

    #[test]
    fn a_package_that_is_named_by_its_manifest_is_the_directory_of_that() {
        for (place, dir) in [
            ("libs/a/recipe.yaml", "libs/a"),
            ("libs/a/pixi.toml", "libs/a"),
            ("pyproject.toml", ""),
            ("libs/a", "libs/a"),
            (
                "vendor/a-1.0-py3-none-any.whl",
                "vendor/a-1.0-py3-none-any.whl",
            ),
        ] {
            assert_eq!(package_dir(Path::new(place)), Path::new(dir));
        }
    }

    #[test]
    fn the_backend_stands_in_the_packages_manifest() {
        let project = tempfile::tempdir().unwrap();
        let files = [
            (
                "pixi.toml",
                "[package.build]\nbackend = { name = \"pixi-build-cmake\", version = \"*\" }\n",
            ),
            (
                "py/pyproject.toml",
                "[tool.pixi.package.build.backend]\nname = \"pixi-build-python\"\n",
            ),
            ("rec/recipe.yaml", "package:\n"),
            ("ros/package.xml", "<package/>\n"),
            ("none/pixi.toml", "[workspace]\n"),
        ];
        write_files(project.path(), &files);
        let found = |place: &str| {
            let source = PackageSource::Path(place.to_owned());
            of(project.path(), &PathInRoot::default(), &source)
        };
        for (place, backend) in [
            (".", Some("pixi-build-cmake")),
            ("./py", Some("pixi-build-python")),
            ("py/pyproject.toml", Some("pixi-build-python")),
            ("rec", Some("pixi-build-rattler-build")),
            ("rec/recipe.yaml", Some("pixi-build-rattler-build")),
            ("ros", Some("pixi-build-ros")),
            ("none", None),
            ("nowhere", None),
            ("../x", None),
        ] {
            assert_eq!(found(place).as_deref(), backend, "{place}");
        }
        let in_root = PathInRoot::new(Path::new("apps/foo")).unwrap();
        let beside = PackageSource::Path("../../rec".to_owned());
        let found = of(project.path(), &in_root, &beside);
        assert_eq!(found.as_deref(), Some("pixi-build-rattler-build"));
    }
}
