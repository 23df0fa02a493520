//! A project with an editable library and a wheel outside of its directory, the whole way by each
//! engine and transport, out of a running container, and into an image.

use std::fs;

use testbed::images::PixiImage;
use testbed::project::lock_project_in;

use crate::kinds::draft::{Draft, Installed};
use crate::kinds::journey::{Journey, PROJECT};
use crate::kinds::kind::{library_beside, wheel_beside};
use crate::kinds::parts::Parts;
use crate::kinds::ways::Ways;
use crate::production_image::parts::Name;

/// The newest pixi of this machine, which must be one that locks Python packages here.
fn image(test: &str) -> Option<&'static PixiImage> {
    Parts::get().newest(
        &format!("monorepo::{test}"),
        &semver::Version::new(0, 74, 0),
    )
}

/// A locked monorepo in `work/mono`.
fn monorepo(image: &'static PixiImage) -> Ways<'static> {
    let journey = Journey::new(&image.reference);
    let (root, project) = (journey.path("mono"), journey.path(PROJECT));
    fs::create_dir_all(&project).unwrap();
    let library = library_beside(&project, Installed::Beside);
    let wheel = wheel_beside(&project);
    let draft = Draft {
        python: [library.python, wheel.python].concat(),
        proof: library.proof + &wheel.proof,
        ..library
    };
    draft.write(&project, image, Parts::get());
    fs::write(root.join("unneeded"), "x").unwrap();
    lock_project_in(&image.reference, &root, "apps/demo", "/home/me/mono").unwrap();
    Ways {
        journey,
        in_root: true,
        check: |ways, workdir| {
            let product = ways.journey.path(&format!("{workdir}/product"));
            assert!(!product.join("demo/unneeded").exists());
            let manifest = fs::read_to_string(product.join("manifest.json")).unwrap();
            assert!(manifest.contains("\"folder\": \"demo/apps/demo\""));
        },
    }
}

#[test]
fn a_monorepo_goes_the_whole_way_mounted_and_carried_and_by_podman() {
    let Some(image) = image("engines") else {
        return;
    };
    monorepo(image).by_each_engine("monorepo::podman");
}

#[test]
fn a_monorepo_in_a_running_container_goes_the_whole_way() {
    let Some(image) = image("running") else {
        return;
    };
    monorepo(image).out_of_a_running_container();
}

#[test]
fn an_image_has_the_copy_of_the_source_root_with_the_project_in_it() {
    let Some(image) = image("image") else {
        return;
    };
    let ways = monorepo(image);
    ways.build("W", &[]).success();
    let name = Name::new("monorepo");
    ways.image(&name, &[]).success();
    let where_it_is = "import library, os; print(library.__file__, os.getcwd())";
    name.run(&["python", "-c", where_it_is])
        .success()
        .prints("/app/libs/library/")
        .prints(" /app/apps/demo\n");
    name.run(&[
        "sh",
        "-c",
        "ls -A /app /app/apps/demo/.pixi; echo $PIXI_PROJECT_ROOT",
    ])
    .success()
    .prints("/app/apps/demo\n")
    .prints("envs\n");
    // A part of it: the library that is editable must be there.
    ways.image(&name, &["--copy", "apps/demo/.pixi/envs"])
        .code(2);
    let name = Name::new("monorepo-part");
    ways.image(&name, &["--copy", "apps/demo/prove.py"])
        .code(1)
        .prints("add --copy libs/library");
    ways.image(
        &name,
        &["--copy", "libs/library", "--copy", "apps/demo/prove.py"],
    )
    .success();
    name.run(&[
        "sh",
        "-c",
        "ls -A /app/apps/demo; python -c 'import library'",
    ])
    .success()
    .prints(".pixi\nprove.py\n");
}
