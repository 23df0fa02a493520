//! A project with a package that pixi builds from source and that needs another one: the whole
//! way by each engine and transport, out of a running container, and into an image; and the same
//! where the packages are outside of the project.

use std::fs;
use std::path::Path;

use testbed::images::PixiImage;
use testbed::project::lock_project_in;

use crate::kinds::draft::Draft;
use crate::kinds::journey::{Journey, PROJECT};
use crate::kinds::parts::Parts;
use crate::kinds::sources;
use crate::kinds::ways::Ways;
use crate::production_image::parts::Name;

/// The newest pixi of this machine, and the same with its build backends.
fn images(test: &str) -> Option<(&'static PixiImage, PixiImage)> {
    let (parts, test) = (Parts::get(), format!("source_packages::{test}"));
    let image = parts.newest(&test, &semver::Version::new(0, 77, 0))?;
    let here = parts.has_backends(&test, image);
    here.then(|| (image, parts.with_backends(image)))
}

/// The locked project of such a kind in `work/mono`.
fn project<'a>(
    (image, building): &'a (&'static PixiImage, PixiImage),
    draft: fn(&Parts, &Path) -> Draft,
) -> Ways<'a> {
    let journey = Journey {
        build_image: &building.reference,
        ..Journey::new(&image.reference)
    };
    let (root, project) = (journey.path("mono"), journey.path(PROJECT));
    fs::create_dir_all(&project).unwrap();
    let draft = draft(Parts::get(), &project);
    draft.write(&project, image, Parts::get());
    lock_project_in(&building.reference, &root, "apps/demo", "/home/me/mono").unwrap();
    Ways {
        journey,
        in_root: draft.in_root,
        check,
    }
}

/// Fails unless the product has the built packages in its cache and in its lock, and the lock of
/// the project beside it.
fn check(ways: &Ways<'_>, workdir: &str) {
    let product = ways.journey.path(&format!("{workdir}/product"));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let lock = read(&ways.delivered(workdir).join("pixi.lock"));
    assert!(!lock.contains("conda_source"), "{lock}");
    for package in ["root", "lib"] {
        let address = format!("/{package}-1.0.0-");
        assert!(lock.contains(&address), "{package}: {lock}");
    }
    let original = read(&product.join("pixi.lock.original"));
    assert!(original.contains("- conda_source: root"), "{original}");
    let home = ways.journey.path(PROJECT).join("pixi.lock");
    // Where the project was in a container, its directory here is gone.
    if home.exists() {
        assert_eq!(original, read(&home));
    }
    assert!(!product.join("demo/unneeded").exists());
    let left = [".pixi/artifacts-v0", ".pixi/build", ".pixi/envs"];
    for dir in left {
        assert!(!ways.delivered(workdir).join(dir).exists(), "{dir}");
    }
}

#[test]
fn source_packages_go_the_whole_way_mounted_and_carried_and_by_podman() {
    let Some(images) = images("engines") else {
        return;
    };
    project(&images, sources::chain).by_each_engine("source_packages::podman");
}

#[test]
fn source_packages_beside_the_project_go_the_whole_way_by_each_engine() {
    let Some(images) = images("root-engines") else {
        return;
    };
    project(&images, sources::chain_beside).by_each_engine("source_packages::podman");
}

#[test]
fn source_packages_in_a_running_container_go_the_whole_way() {
    let Some(images) = images("running") else {
        return;
    };
    project(&images, sources::chain).out_of_a_running_container();
    project(&images, sources::chain_beside).out_of_a_running_container();
}

#[test]
fn an_image_has_the_packages_that_were_built_from_source() {
    let Some(images) = images("image") else {
        return;
    };
    for (test, draft, place) in [
        (
            "source",
            sources::chain as fn(&Parts, &Path) -> Draft,
            "/app",
        ),
        ("source-root", sources::chain_beside, "/app/apps/demo"),
    ] {
        let ways = project(&images, draft);
        ways.build("W", &[]).success();
        let name = Name::new(test);
        ways.image_with("pixi-offline", &["image"], &name, &[])
            .success();
        name.run(&["sh", "-c", "root; lib; pwd; ls .pixi/envs"])
            .success()
            .prints(&format!("root\nlib\n{place}\ndefault\n"));
        // As the product installs it, without pixi and without what builds packages.
        name.run(&[
            "sh",
            "-c",
            "command -v pixi pixi-build-rattler-build || echo none",
        ])
        .success()
        .prints("none\n");
    }
}
