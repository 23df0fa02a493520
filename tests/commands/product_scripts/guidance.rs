//! What the scripts tell the person at the target to do next.

use super::*;

/// The line that the end of an installation says to type.
fn next_line(run: &Run) -> &str {
    let last = run.stderr.lines().last().unwrap_or_default();
    last.strip_prefix("Next: ").expect("a line to type")
}

#[test]
fn the_end_says_what_was_installed_and_its_next_line_can_be_pasted() {
    let tested = ["pixi", "run", "-e", "test", "print", "it's $x"];
    let facts = Facts {
        environments: vec!["default".into(), "test".into()],
        tested: tested.map(Into::into).to_vec(),
        ..facts()
    };
    let (sandbox, product) = product_that_knows("a b/P", &facts);
    let run = bootstrap(&sandbox, &product, &[]);
    run.success().says("OK: installed demo (default, test)\n");
    let project = format!("cwd={}/demo\n", product.display());
    Run::of(sandbox.program("bash").args(["-c", next_line(&run)]))
        .success()
        .prints(&project)
        .prints("words=run -e test print it's $x\n");
    let dash = testbed::ensure_debian_package("dash", "dash").unwrap();
    Run::of(sandbox.program(dash).args(["-c", next_line(&run)]))
        .success()
        .prints(&project);
    // What the build was verified with may need what was not installed now.
    let run = bootstrap(&sandbox, &product, &["-e", "lint"]);
    run.success().says("OK: installed demo (lint)\n");
    Run::of(sandbox.program("bash").args(["-c", next_line(&run)]))
        .success()
        .prints(&project)
        .prints("words=task list\n");
    // A pixi that is not on PATH.
    fs::rename(sandbox.bin().join("pixi"), sandbox.work().join("my pixi")).unwrap();
    let run = bootstrap(&sandbox, &product, &["--pixi", "./my pixi"]);
    Run::of(sandbox.program("bash").args(["-c", next_line(&run)]))
        .success()
        .prints("words=run -e test print it's $x\n");
}

#[test]
fn nothing_is_next_in_the_container_of_a_final_verification() {
    let (mut sandbox, product) = product_that_knows("P", &facts());
    sandbox.set("PIXI_OFFLINE_NEXT", "no");
    bootstrap(&sandbox, &product, &[])
        .success()
        .says("OK: installed demo")
        .says_not("Next: ");
}

#[test]
fn another_shell_than_bash_is_told_how_to_run_the_script() {
    let (sandbox, product) = product_that_knows("P", &facts());
    let dash = testbed::ensure_debian_package("dash", "dash").unwrap();
    let run = Run::of(
        sandbox
            .program(dash)
            .arg(product.join("bootstrap-project.sh")),
    );
    run.code(2);
    assert_eq!(
        run.stderr,
        "ERROR: run it with bash: bash bootstrap-project.sh\n"
    );
}

#[test]
fn nothing_is_called_installed_that_was_not() {
    let (mut sandbox, product) = product_that_knows("P", &facts());
    for args in [&["--", "--help"][..], &["--check"], &["--help"]] {
        let run = bootstrap(&sandbox, &product, args);
        run.success().says_not("OK: ").says_not("Next: ");
    }
    sandbox.set("PIXI_EXIT", "5");
    let run = bootstrap(&sandbox, &product, &[]);
    run.code(5).says_not("OK: ").says_not("Next: ");
}

#[test]
fn the_help_begins_with_the_three_common_uses() {
    let (sandbox, product) = product_that_knows("P", &facts());
    let run = bootstrap(&sandbox, &product, &["--help"]);
    let start = "  ./bootstrap-project.sh";
    let uses: Vec<&str> = run
        .stdout
        .lines()
        .take(8)
        .filter_map(|line| line.strip_prefix(start))
        .map(|line| line.split("  ").next().unwrap_or_default().trim())
        .collect();
    assert_eq!(uses, ["--check", "", "--into DIR"], "{run}");
}

#[test]
fn without_a_pixi_its_version_and_its_place_are_named() {
    let (sandbox, product) = product_that_knows("P", &facts());
    fs::remove_file(sandbox.bin().join("pixi")).unwrap();
    bootstrap(&sandbox, &product, &[])
        .code(127)
        .says("the product was made with pixi 0.77.0 and does not include it")
        .says("one executable file")
        .says("to a directory on PATH")
        .says("--pixi PATH");
}

#[test]
fn envs_sh_that_is_executed_says_that_it_is_to_be_sourced() {
    let (sandbox, product) = product_at("P", &["A=1".into()]);
    for (shell, package) in SHELLS {
        let shell = testbed::ensure_debian_package(shell, package).unwrap();
        for args in [&["envs.sh"][..], &["-c", "./envs.sh"]] {
            let mut command = sandbox.program(&shell);
            Run::of(command.args(args).current_dir(&product))
                .code(2)
                .says("source it")
                .says("envs.sh");
        }
    }
    // The line that it names can be pasted where it was executed.
    let (sandbox, product) = product_at("it's a $P", &["A=1".into()]);
    let beside = product.parent().unwrap();
    for (shell, package) in [("bash", "bash"), ("zsh", "zsh")] {
        let shell = testbed::ensure_debian_package(shell, package).unwrap();
        for (dir, file) in [(&*product, "envs.sh"), (beside, "it's a $P/envs.sh")] {
            let run = Run::of(sandbox.program("bash").arg(file).current_dir(dir));
            let line = run.code(2).stderr.trim_end().split(":  ").last().unwrap();
            let line = format!("{line} && printf '%s' \"$PIXI_CACHE_DIR\"");
            let sourced = Run::of(sandbox.program(&shell).args(["-c", &line]).current_dir(dir));
            let cache = product.join("pkg-cache");
            assert_eq!(sourced.success().stdout, cache.display().to_string());
        }
    }
}

#[test]
fn a_copy_without_links_is_named_as_that_with_the_cure() {
    let (sandbox, product) = product_that_knows("P", &facts());
    for name in ["pkg-cache/a", "res/b"] {
        fs::write(product.join(name), "x").unwrap();
        let file = Path::new(name).file_name().unwrap();
        std::os::unix::fs::symlink(file, product.join(format!("{name}-link"))).unwrap();
    }
    list_again(&product);
    let cure = "carry it as an archive made with tar";
    bootstrap(&sandbox, &product, &[]).success();
    fs::remove_dir_all(product.join("demo/.pixi")).unwrap();
    // Links become what they lead to, or are left out.
    let copy = sandbox.work().join("copy");
    Run::of(sandbox.program("cp").arg("-rL").args([&product, &copy])).success();
    for change in ["replaced", "left out"] {
        if change == "left out" {
            fs::remove_file(copy.join("pkg-cache/a-link")).unwrap();
            fs::remove_file(copy.join("res/b-link")).unwrap();
        }
        bootstrap(&sandbox, &copy, &[])
            .code(2)
            .says("none of the symbolic links of the product is here")
            .says(cure)
            .says("2 entries do not match the manifest");
    }
    // One that is missing is another matter.
    fs::remove_file(product.join("res/b-link")).unwrap();
    bootstrap(&sandbox, &product, &[])
        .code(2)
        .says("ERROR: missing: res/b-link")
        .says("1 entry does not match the manifest")
        .says_not(cure);
}
