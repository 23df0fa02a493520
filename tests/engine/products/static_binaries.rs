//! What is copied by hand to other machines must need nothing there.

use std::fs;

use testbed::sandbox::{Run, Sandbox, binary, words};

#[test]
fn each_binary_runs_in_an_empty_root_file_system() {
    if rustix::process::geteuid().as_raw() != 0 {
        testbed::skip(
            "static_binaries::each_binary_runs_in_an_empty_root_file_system",
            "chroot needs root",
        );
        return;
    }
    for name in words(
        "create-workdir-from-host make-archive-ready-product final-verify-product \
         make-production-image compare-products make-product-update pack-product pixi-offline",
    ) {
        let sandbox = Sandbox::new();
        let root = sandbox.work().join("root");
        fs::create_dir(&root).unwrap();
        fs::copy(binary(name), root.join(name)).unwrap();
        let run = Run::of(
            sandbox
                .program("chroot")
                .arg(&root)
                .args([&format!("/{name}"), "--help"]),
        );
        run.success().prints("Usage:");
    }
}
