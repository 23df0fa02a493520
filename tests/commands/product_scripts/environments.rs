//! Environments that were installed elsewhere.

use super::*;

/// An environment as pixi leaves it, that says it was installed for `prefix`.
fn environment(product: &Path, name: &str, record: &str, prefix: &Path) -> PathBuf {
    let dir = product.join("demo/.pixi").join(name);
    let file = dir.join(record);
    fs::create_dir_all(dir.join("conda-meta")).unwrap();
    fs::create_dir_all(dir.join("lib")).unwrap();
    let mut text = prefix.as_os_str().to_owned();
    if record.starts_with("conda-meta") {
        text.push("/conda-meta");
    }
    fs::write(file, text.as_bytes()).unwrap();
    dir
}

/// What pixi 0.77 writes, and what 0.15.2 does.
const RECORDS: [&str; 2] = ["conda-meta/pixi_env_prefix", "prefix"];

#[test]
fn an_environment_from_another_path_is_removed_and_said_so() {
    for record in RECORDS {
        for name in ["envs/default", "solve-group-envs/default"] {
            let (sandbox, product) = product_that_knows("a b/P\n", &facts());
            // What is beside the mark of an install here was installed here.
            bootstrap(&sandbox, &product, &[]).success();
            let old = environment(
                &product,
                name,
                record,
                Path::new("/old/demo/.pixi/envs/default"),
            );
            let here = product.join("demo/.pixi/envs/test");
            environment(&product, "envs/test", record, &here);
            let run = bootstrap(&sandbox, &product, &["--check"]);
            run.success()
                .prints("was installed for /old/demo/.pixi/envs/default");
            assert!(old.is_dir(), "--check removes nothing");
            let run = bootstrap(&sandbox, &product, &["--pixi", "no-such-pixi"]);
            run.code(127);
            assert!(
                old.is_dir(),
                "nothing is removed when nothing will be installed"
            );
            bootstrap(&sandbox, &product, &[])
                .success()
                .says("was installed for /old/demo/.pixi/envs/default")
                .says("removes it");
            assert!(!old.exists());
            assert!(here.is_dir());
            passed(&sandbox, &product, "ok: no environment from another path\n");
        }
    }
}

#[test]
fn an_environment_that_is_where_it_was_installed_stays() {
    for record in RECORDS {
        let (sandbox, product) = product_that_knows("P", &facts());
        // By another name of the same directory: it was installed through a link.
        let link = sandbox.work().join("link");
        std::os::unix::fs::symlink(&product, &link).unwrap();
        let through_link = link.join("demo/.pixi/envs/default");
        bootstrap(&sandbox, &product, &[]).success();
        let dir = environment(&product, "envs/default", record, &through_link);
        passed(&sandbox, &product, "ok: no environment from another path\n");
        assert!(dir.is_dir());
    }
    // A package's own file that is called as pixi 0.15's.
    let (sandbox, product) = product_that_knows("P", &facts());
    bootstrap(&sandbox, &product, &[]).success();
    let dir = environment(&product, "envs/default", "prefix", Path::new("/usr/local"));
    passed(&sandbox, &product, "ok: no environment from another path\n");
    assert!(dir.is_dir());
}

#[test]
fn an_old_environment_behind_a_link_is_left_to_the_user() {
    let (sandbox, product) = product_that_knows("P", &facts());
    bootstrap(&sandbox, &product, &[]).success();
    let old = Path::new("/old/envs/default");
    let dir = environment(&product, "envs/default", RECORDS[0], old);
    let elsewhere = sandbox.work().join("detached");
    fs::rename(dir.parent().unwrap(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.parent().unwrap()).unwrap();
    refused(&sandbox, &product, "is behind a symbolic link");
    assert!(elsewhere.join("default/lib").is_dir());
}
