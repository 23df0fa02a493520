//! Which pixi is used, and which is refused.

use super::*;

#[test]
fn the_pixi_is_the_callers_else_the_products_else_the_one_on_the_path() {
    let bundled = Facts {
        bundled_pixi: true,
        lock_version: Some(7),
        ..facts()
    };
    let (mut sandbox, product) = product_that_knows("a b/P", &bundled);
    let pixi = |name: &str| {
        format!(
            "#!/bin/bash\n[ \"$1\" = --version ] && echo pixi 0.77.0 || echo {name} \"$PATH\"\n"
        )
    };
    let own = product.join("bin/pixi");
    write_program(&own, &pixi("bundled"));
    list_again(&product);
    write_program(&sandbox.work().join("mine"), &pixi("mine"));
    let on_path = format!("bundled {}:", product.join("bin").display());
    // The one that is looked at is the one that is run.
    sandbox.set("PIXI_VERSION", "0.15.2");
    let run = bootstrap(&sandbox, &product, &[]);
    run.success().prints(&on_path);
    assert_eq!(before_the_end(&run), "", "{run}");
    bootstrap(&sandbox, &product, &["--pixi", "./mine"])
        .success()
        .prints("mine ");
    // By hand the product's own comes first as well, once however often.
    for (shell, package) in SHELLS {
        let shell = testbed::ensure_debian_package(shell, package).unwrap();
        let script = "set -u; PRODUCT_ROOT=$1; . \"$1/envs.sh\"; . \"$1/envs.sh\"; pixi run";
        let run = Run::of(
            sandbox
                .program(&shell)
                .args(["-c", script, "x"])
                .arg(&product),
        );
        run.success().prints(&on_path);
        let bin = product.join("bin").display().to_string();
        assert_eq!(run.stdout.matches(&bin).count(), 1, "{run}");
    }
    // One that cannot be started is not chosen.
    fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
    bootstrap(&sandbox, &product, &["--any-pixi"])
        .code(2)
        .says("changed mode: bin/pixi has 0644, and 0755 is listed");
    let run = bootstrap(&sandbox, &product, &["--any-pixi", "--any-files"]);
    run.success()
        .prints("words=install\n")
        .says("WARNING: the product was made with a pixi of its own");
    let (sandbox, product) = product_that_knows("P", &facts());
    let run = bootstrap(&sandbox, &product, &[]);
    assert_eq!(before_the_end(&run), "", "{run}");
}

#[test]
fn a_pixi_that_cannot_be_started_is_a_problem_before_anything_is_changed() {
    for bundled_pixi in [true, false] {
        let facts = Facts {
            bundled_pixi,
            lock_version: Some(7),
            ..facts()
        };
        let (sandbox, product) = product_that_knows("P", &facts);
        let pixi = match bundled_pixi {
            true => product.join("bin/pixi"),
            false => sandbox.bin().join("pixi"),
        };
        // As the kernel ends where the dynamic linker of a program is not there.
        let _ = fs::remove_file(&pixi);
        write_program(&pixi, "#!/no/such/linker\n");
        list_again(&product);
        let named = format!("{} cannot be started on this machine", pixi.display());
        refused(&sandbox, &product, &named);
        refused(
            &sandbox,
            &product,
            "name a pixi 0.77.0 that runs here with --pixi PATH",
        );
    }
}

#[test]
fn a_pixi_that_does_not_fit_is_refused_before_it_installs() {
    /// What bootstrap does with a pixi.
    enum Verdict {
        Silent,
        Says(&'static [&'static str]),
        Refused(&'static [&'static str]),
    }
    use Verdict::{Refused, Says, Silent};
    const LOCK: &str = "cannot read the project's pixi.lock";
    const WHEELS: &str = "does not see the Python packages";
    const HASHES: &str = "without hashes";
    const OFFLINE: &str = "does not know PIXI_OFFLINE";
    const OTHER: &str = "WARNING: this is pixi";
    let fix: &[&str] = &["--bundle-pixi", "--any-pixi"];
    let cases = [
        // Built by, format of the lock, Python packages; the pixi here.
        ("0.77.0", Some(7), true, "0.77.0", Silent),
        ("0.77.0", Some(7), false, "0.77.0", Silent),
        (
            "0.77.0",
            Some(7),
            true,
            "0.77.1",
            Says(&[OTHER, "0.77.0", "0.77.1"]),
        ),
        (
            "0.77.0",
            Some(7),
            true,
            "0.78.0-rc.1",
            Says(&[OTHER, "0.78.0-rc.1"]),
        ),
        ("0.77.0", Some(7), false, "1.0.0", Says(&[OTHER])),
        // Formats of the lock, each with the last pixi too old and the first that will do.
        (
            "0.77.0",
            Some(7),
            false,
            "0.67.2",
            Refused(&[LOCK, "0.67.2", "format 7", "0.77.0"]),
        ),
        ("0.77.0", Some(7), false, "0.68.0", Says(&[OTHER])),
        (
            "0.45.0",
            Some(6),
            false,
            "0.38.0",
            Refused(&[LOCK, "format 6"]),
        ),
        ("0.45.0", Some(6), false, "0.39.0", Says(&[OTHER])),
        (
            "0.25.0",
            Some(5),
            false,
            "0.21.1",
            Refused(&[LOCK, "format 5"]),
        ),
        ("0.25.0", Some(5), false, "0.22.0", Says(&[OTHER])),
        (
            "0.15.2",
            Some(4),
            false,
            "0.13.0",
            Refused(&[LOCK, "format 4"]),
        ),
        ("0.15.2", Some(4), false, "0.14.0", Says(&[OTHER])),
        (
            "",
            Some(7),
            false,
            "0.67.0",
            Refused(&[LOCK, "0.68 or later"]),
        ),
        (
            "0.90.0",
            Some(8),
            false,
            "0.90.0",
            Says(&["not checked: ", "8, is newer"]),
        ),
        // Groups of wheel caches, on both sides of each border.
        ("0.34.0", Some(5), true, "0.33.0", Says(&[OTHER, OFFLINE])),
        (
            "0.34.0",
            Some(5),
            true,
            "0.35.0",
            Refused(&[WHEELS, "0.34.0", "0.35.0"]),
        ),
        ("0.35.0", Some(5), true, "0.39.0", Says(&[OTHER])),
        ("0.39.0", Some(6), true, "0.40.0", Refused(&[WHEELS])),
        ("0.40.0", Some(6), true, "0.41.0", Says(&[OTHER])),
        ("0.41.0", Some(6), true, "0.42.0", Refused(&[WHEELS])),
        ("0.42.0", Some(6), true, "0.43.0", Says(&[OTHER])),
        ("0.43.0", Some(6), true, "0.44.0", Refused(&[WHEELS])),
        ("0.44.0", Some(6), true, "0.68.0", Says(&[OTHER])),
        ("0.68.0", Some(7), true, "0.69.0", Refused(&[WHEELS])),
        ("0.77.0", Some(6), true, "0.68.0", Refused(&[WHEELS])),
        ("0.68.0", Some(7), false, "0.77.0", Says(&[OTHER])),
        // Hashes of wheels, stored since 0.71.
        ("0.69.0", Some(7), true, "0.70.1", Says(&[OTHER])),
        (
            "0.70.0",
            Some(7),
            true,
            "0.71.0",
            Refused(&[HASHES, "0.70.0", "0.71.0"]),
        ),
        ("0.70.0", Some(7), false, "0.71.0", Says(&[OTHER])),
        ("0.71.0", Some(7), true, "0.70.0", Says(&[OTHER])),
        // PIXI_OFFLINE, known since 0.74.
        ("0.73.0", Some(7), true, "0.73.0", Says(&[OFFLINE])),
        ("0.73.0", Some(7), false, "0.73.0", Silent),
        ("0.74.0", Some(7), true, "0.74.0", Silent),
        // Nothing to compare with.
        (
            "",
            Some(7),
            true,
            "0.77.0",
            Says(&["not checked: ", "does not record which pixi"]),
        ),
        (
            "0.77.0",
            Some(7),
            true,
            "(unknown)",
            Says(&["not checked: ", "names no version"]),
        ),
    ];
    for (built, lock_version, has_python_packages, here, verdict) in cases {
        let case = format!("{built}, lock {lock_version:?}, {has_python_packages}, here {here}");
        let (mut sandbox, product) = product_that_knows(
            "P",
            &Facts {
                pixi: Some(built.to_owned()).filter(|version| !version.is_empty()),
                lock_version,
                has_python_packages,
                ..Facts::default()
            },
        );
        sandbox.set("PIXI_VERSION", here);
        let run = bootstrap(&sandbox, &product, &[]);
        match verdict {
            Silent => {
                run.success().prints("words=install");
                assert_eq!(before_the_end(&run), "", "{case}\n{run}");
            }
            Says(texts) => {
                run.success().prints("words=install").says_not("ERROR");
                assert_eq!(
                    run.stderr.matches(OTHER).count(),
                    usize::from(texts.contains(&OTHER)),
                    "{case}\n{run}"
                );
                for text in texts {
                    assert!(run.stderr.contains(text), "{case}: no {text:?}\n{run}");
                }
            }
            Refused(texts) => {
                for text in texts.iter().chain(fix) {
                    assert!(run.stderr.contains(text), "{case}: no {text:?}\n{run}");
                }
                run.code(2);
                assert_eq!(run.stdout, "", "{case}\n{run}");
                bootstrap(&sandbox, &product, &["--any-pixi", "-v"])
                    .success()
                    .prints("words=install -v\n")
                    .says("WARNING: ")
                    .says(texts[0])
                    .says_not("ERROR");
            }
        }
    }
}

#[test]
fn all_problems_are_reported_together_and_pixi_does_not_run() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            architecture: Some("riscv64".into()),
            glibc: Some((99, 0)),
            lock_version: Some(7),
            ..facts()
        },
    );
    fs::remove_file(product.join("demo/pixi.lock")).unwrap();
    list_again(&product);
    let mut sandbox = sandbox;
    sandbox.set("PIXI_VERSION", "0.15.2");
    for args in [&[][..], &["--check"]] {
        let run = bootstrap(&sandbox, &product, args);
        run.code(2);
        let text = format!("{}{}", run.stdout, run.stderr);
        for problem in ["no pixi.lock", "0.15.2", "riscv64", "99.0"] {
            assert!(text.contains(problem), "no {problem:?}\n{run}");
        }
        assert!(!text.contains("words="), "{run}");
    }
    // Without any pixi the code says so, whatever else there is.
    bootstrap(&sandbox, &product, &["--pixi", "no-such-pixi"])
        .code(127)
        .says("no-such-pixi")
        .says("riscv64");
    bootstrap(&sandbox, &product, &["--check", "--pixi", "no-such-pixi"]).code(2);
}
