//! Who makes an update, and of whose products.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use testbed::sandbox::{Run, names, words};

use super::by_form::{apply, differing, tree};
use super::{delivered, with_manifest};
use crate::archives::as_plain_user;
use crate::package_cache::Workdir;

/// The user that [`as_plain_user`] becomes.
const NOBODY: u32 = 65534;

fn update_as_nobody(workdir: &Workdir, product: &str) -> Run {
    let mut command = as_plain_user(&workdir.sandbox, "make-product-update");
    Run::of(command.args(words(&format!(
        "--from OLD --product-dir {product} --output own/U"
    ))))
}

#[test]
fn whoever_may_read_two_products_makes_an_update() {
    let test = "whoever_may_read_two_products_makes_an_update";
    if rustix::process::geteuid().as_raw() != 0 {
        testbed::skip(test, "only root makes files of two users");
        return;
    }
    let workdir = delivered();
    let own = workdir.path("own");
    fs::create_dir(&own).unwrap();
    // Nothing can be made beside the products, where their locks are.
    update_as_nobody(&workdir, "W/product")
        .code(1)
        .says("/own cannot be written to: Permission denied");
    chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    for product in ["W/product", "NEW"] {
        if product == "NEW" {
            fs::rename(workdir.path("W/product"), workdir.path("NEW")).unwrap();
        }
        let before = names(&workdir.path(""));
        update_as_nobody(&workdir, product).success();
        assert_eq!(fs::metadata(own.join("U")).unwrap().uid(), NOBODY);
        apply(&own.join("U"), &workdir.path("OLD"), &workdir.path("MADE"));
        let (made, new) = (tree(&workdir.path("MADE")), tree(&workdir.path(product)));
        assert!(made == new, "{:?}", differing(&made, &new));
        for dir in [workdir.path("MADE"), own.join("U")] {
            fs::remove_dir_all(dir).unwrap();
        }
        assert_eq!(names(&workdir.path("")), before);
        assert_eq!(names(&own), [""; 0]);
    }
    // What the owner of a product keeps from others is named.
    let secret = workdir.sandbox.write("W/project/demo/secret", "mine");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    workdir.make(&[]).success();
    update_as_nobody(&workdir, "W/product")
        .code(1)
        .says("demo/secret")
        .says("Permission denied");
    assert_eq!(names(&own), [""; 0]);
}

#[test]
fn products_for_two_platforms_are_refused() {
    let workdir = delivered();
    for (product, platform) in [("OLD", "linux-aarch64"), ("W/product", "linux-64")] {
        with_manifest(&workdir.path(product), |manifest| {
            manifest["platform"] = platform.into();
        });
    }
    let before = names(&workdir.path(""));
    workdir
        .update(&super::USUAL)
        .code(2)
        .says("/OLD is a product for linux-aarch64, and ")
        .says("/W/product is one for linux-64")
        .says("deliver the new product whole");
    assert_eq!(names(&workdir.path("")), before);
    // They are compared all the same: the platform is one of the settings.
    workdir
        .sandbox
        .run("compare-products", ["OLD", "W/product"])
        .success()
        .prints("  platform: linux-aarch64 -> linux-64");
}
