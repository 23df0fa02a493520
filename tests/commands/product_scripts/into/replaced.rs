//! A product that is replaced, moved or removed after, or while, somebody installs from it.

use super::*;

/// The first twelve hexadecimal digits of a product's digest.
fn short_digest(sandbox: &Sandbox, product: &Path) -> String {
    let mut command = sandbox.program("sha256sum");
    let run = Run::of(command.arg(product.join("SHA256SUMS")));
    run.success();
    run.stdout.trim_start_matches('\\')[..12].to_owned()
}

#[test]
fn a_copy_without_its_link_to_the_product_says_what_is_missing() {
    let (sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    bootstrap(&sandbox, &product, &["--into", dir.to_str().unwrap()]).success();
    fs::remove_file(dir.join(".product")).unwrap();
    let dash = testbed::ensure_debian_package("dash", "dash").unwrap();
    let mut command = sandbox.program(dash);
    let script = "PRODUCT_ROOT=$1; . \"$1/envs.sh\"";
    Run::of(command.args(["-c", script, "x"]).arg(&dir))
        .success()
        .says(&format!("not known: {}/.product is missing", dir.display()));
}

#[test]
fn a_newer_product_takes_the_place_and_what_was_changed_is_moved_aside() {
    let (sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    let args = ["--into", dir.to_str().unwrap()];
    bootstrap(&sandbox, &product, &args).success();
    fs::write(dir.join("demo/src/file"), "changed by me").unwrap();
    fs::write(dir.join("demo/mine"), "mine").unwrap();
    let next = next_version(&sandbox, &product, "next", "new");
    let old = format!("demo.{}", short_digest(&sandbox, &product));
    bootstrap(&sandbox, &next, &args)
        .success()
        .says(&format!(
            "NOTE: the project that was there is now {}/{old}",
            dir.display()
        ))
        .says("rm -rf ");
    assert_eq!(read(dir.join("demo/src/file")), "new");
    assert!(!dir.join("demo/mine").exists());
    assert_eq!(read(dir.join(&old).join("mine")), "mine");
    assert_eq!(read(dir.join(&old).join("src/file")), "changed by me");
    assert_eq!(fs::canonicalize(dir.join("res")).unwrap(), next.join("res"));
    // Back and forth: no name is taken twice.
    bootstrap(&sandbox, &product, &args).success();
    bootstrap(&sandbox, &next, &args).success();
    let mut all = names(&dir);
    all.retain(|name| name.starts_with("demo"));
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(read(dir.join(&old).join("mine")), "mine");
}

#[test]
fn envs_sh_finds_the_product_that_an_update_left_and_says_what_happened() {
    let (sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    bootstrap(&sandbox, &product, &["--into", dir.to_str().unwrap()]).success();
    let next = next_version(&sandbox, &product, "next", "new");
    let kept = format!("{}.{}", product.display(), short_digest(&sandbox, &product));
    let sourced = |says: &str, res: &str| {
        for (shell, package) in SHELLS {
            let shell = testbed::ensure_debian_package(shell, package).unwrap();
            let line = "PRODUCT_ROOT=$1; . \"$1/envs.sh\"; echo \"res=$PRODUCT_RES_DIR\"; set";
            let mut command = sandbox.program(&shell);
            let run = Run::of(command.args(["-euc", line, "x"]).arg(&dir));
            run.success().prints(&format!("res={res}\n"));
            match says {
                "" => assert_eq!(run.stderr, "", "{run}"),
                says => drop(run.says(says)),
            }
            assert!(!run.stdout.contains("_pixi_offline_"), "{run}");
        }
    };
    let own_res = format!("{}/res", dir.display());
    sourced("", &own_res);
    // As an update does it: the old one beside, the new one in its place.
    fs::rename(&product, &kept).unwrap();
    fs::rename(&next, &product).unwrap();
    let newer = "WARNING: there is another version of the product";
    sourced(newer, &format!("{kept}/res"));
    // Without the old one.
    let away = sandbox.work().join("away");
    fs::rename(&kept, &away).unwrap();
    sourced(newer, &own_res);
    fs::remove_dir_all(&product).unwrap();
    sourced("is not there", &own_res);
    // At another place: the same product is found again there.
    bootstrap(&sandbox, &away, &["--into", dir.to_str().unwrap()])
        .success()
        .says_not("NOTE: the project that was there");
    sourced("", &own_res);
    assert_eq!(fs::canonicalize(dir.join("res")).unwrap(), away.join("res"));
}

#[test]
fn a_product_that_is_replaced_while_it_is_copied_or_installed_is_said() {
    let (mut sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    let args = ["--into", dir.to_str().unwrap()];
    let next = next_version(&sandbox, &product, "next", "new");
    let old = sandbox.work().join("old");
    let swap = r#"
if [ ! -e "$OLD" ]; then /usr/bin/mv "$PRODUCT" "$OLD" && /usr/bin/mv "$NEXT" "$PRODUCT"; fi
"#;
    let undo = || {
        fs::rename(&product, &next).unwrap();
        fs::rename(&old, &product).unwrap();
    };
    for (name, path) in [("PRODUCT", &product), ("OLD", &old), ("NEXT", &next)] {
        sandbox.set(name, path);
    }
    fake(&sandbox, "cp", &format!("{swap}exec /usr/bin/cp \"$@\""));
    let run = bootstrap(&sandbox, &product, &args);
    run.code(2).says("replaced meanwhile");
    assert_eq!(names(&own), [] as [String; 0]);
    undo();
    fs::remove_file(sandbox.bin().join("cp")).unwrap();
    let pixi = read(sandbox.bin().join("pixi"));
    let swapping = pixi.replacen("  *)\n", &format!("  *)\n{swap}"), 1);
    assert_ne!(pixi, swapping);
    write_program(&sandbox.bin().join("pixi"), &swapping);
    bootstrap(&sandbox, &product, &args)
        .code(2)
        .says("the product was replaced while this ran")
        .says_not("OK: ");
    // The new one puts it right.
    bootstrap(&sandbox, &product, &args).success();
    assert_eq!(read(dir.join("demo/src/file")), "new");
}

#[test]
fn a_directory_that_was_moved_is_installed_anew() {
    let (sandbox, product, own) = place_of(None);
    bootstrap(
        &sandbox,
        &product,
        &["--into", own.join("it").to_str().unwrap()],
    )
    .success();
    let environment = own.join("it/demo/.pixi/envs/default");
    fs::create_dir_all(&environment).unwrap();
    fs::write(own.join("it/demo/mine"), "mine").unwrap();
    fs::rename(own.join("it"), own.join("moved")).unwrap();
    let args = ["--into", own.join("moved").to_str().unwrap()].map(str::to_owned);
    bootstrap(&sandbox, &product, &[&args[0], &args[1]])
        .success()
        .says("they are deleted");
    assert!(!own.join("moved/demo/.pixi/envs").exists());
    assert_eq!(read(own.join("moved/demo/mine")), "mine");
}
