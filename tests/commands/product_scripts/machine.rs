//! What is found out of the machine before anything is installed.

use super::*;

#[test]
fn check_has_a_line_for_each_check_and_installs_nothing() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            environments: vec!["default".into()],
            pixi: Some("0.77.0".into()),
            lock_version: Some(7),
            architecture: Some("x86_64".into()),
            glibc: Some((2, 17)),
            virtual_packages: vec!["__glibc >=2.17,<3.0.a0".into()],
            install_bytes: Some(1),
            install_entries: Some(1),
            ..Facts::default()
        },
    );
    fake(&sandbox, "uname", "echo x86_64");
    fake(&sandbox, "getconf", "echo glibc 2.36");
    fake(&sandbox, "df", "echo header; echo 'fake 100 90 10 90% /'");
    let before = tree(&product);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success();
    let temporary = sandbox.root().display().to_string();
    assert_eq!(
        run.stdout
            .replace(&format!("go into {temporary}\n"), "go into TMPDIR\n"),
        "ok: the product has its project, pixi.lock, pkg-cache and envs.sh\n\
         ok: every file, directory and link is there as manifest.json lists it\n\
         ok: the bytes of every file are as SHA256SUMS says\n\
         note: no final verification is attached to the product\n\
         ok: the product is writable\n\
         ok: pixi 0.77.0 is the one that the product was made with\n\
         ok: architecture x86_64\n\
         ok: glibc 2.36, at least 2.17\n\
         ok: this machine meets the requirements of the packages: __glibc >=2.17,<3.0.a0\n\
         ok: git is not needed\n\
         ok: no colon and no dollar sign in the path\n\
         ok: the paths of the environments have at most 255 characters\n\
         ok: programs may be started below the project\n\
         ok: temporary files go into TMPDIR\n\
         ok: space: 0 MiB left, 1 MiB needed\n\
         ok: inodes: 10 left, 1 needed\n\
         ok: no environment from another path\n\
         ok: no packages of the user's own come before the environment's\n"
    );
    assert_eq!(run.stderr, "");
    assert_eq!(tree(&product), before);
    // What a product does not know is only said there.
    let (sandbox, product) = product_that_knows("P", &facts());
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success();
    for check in [
        "architecture",
        "glibc",
        "what the packages ask of the machine",
        "space",
        "inodes",
    ] {
        run.prints(&format!(
            "not checked: {check}: the product does not record"
        ));
    }
    passed(&sandbox, &product, "ok: ");
}

/// Every file and directory below this one.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn another_architecture_is_refused() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            architecture: Some("aarch64".into()),
            ..facts()
        },
    );
    fake(&sandbox, "uname", "[ \"$1\" = -m ] && echo aarch64");
    passed(&sandbox, &product, "ok: architecture aarch64\n");
    fake(&sandbox, "uname", "[ \"$1\" = -m ] && echo x86_64");
    refused(
        &sandbox,
        &product,
        "this machine is x86_64, and the product is for aarch64",
    );
    fake(&sandbox, "uname", "exit 1");
    not_checked(&sandbox, &product, "not checked: architecture");
}

#[test]
fn an_older_glibc_or_another_c_library_is_refused() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            glibc: Some((2, 28)),
            ..facts()
        },
    );
    fake(
        &sandbox,
        "getconf",
        "[ $1 = GNU_LIBC_VERSION ] && echo glibc 2.28",
    );
    passed(&sandbox, &product, "ok: glibc 2.28, at least 2.28\n");
    fake(&sandbox, "getconf", "echo glibc 2.100");
    passed(&sandbox, &product, "ok: glibc 2.100, at least 2.28\n");
    fake(&sandbox, "getconf", "echo glibc 2.3.6");
    refused(
        &sandbox,
        &product,
        "glibc 2.3.6, and the packages need 2.28",
    );
    fake(&sandbox, "getconf", "echo glibc 2.27");
    refused(&sandbox, &product, "glibc 2.27, and the packages need 2.28");
    // Where getconf does not know, ldd may.
    fake(&sandbox, "getconf", "exit 1");
    fake(
        &sandbox,
        "ldd",
        "echo 'ldd (Debian GLIBC 2.36-9+deb12u10) 2.36'; echo 'Copyright (C) 2022'",
    );
    passed(&sandbox, &product, "ok: glibc 2.36, at least 2.28\n");
    fake(&sandbox, "ldd", "echo 'ldd (GNU libc) 2.17'");
    refused(&sandbox, &product, "glibc 2.17");
    fake(
        &sandbox,
        "ldd",
        "printf 'musl libc (x86_64)\\nVersion 1.2.4\\n' >&2; exit 1",
    );
    refused(&sandbox, &product, "C library is musl");
    fake(&sandbox, "ldd", "exit 1");
    not_checked(
        &sandbox,
        &product,
        "not checked: glibc: neither getconf nor ldd",
    );
}

#[test]
fn a_git_dependency_needs_git() {
    let knows = |needs_git| {
        let (sandbox, product) = product_that_knows(
            "P",
            &Facts {
                needs_git,
                ..facts()
            },
        );
        (with_programs_only(sandbox, &words(TOOLS)), product)
    };
    let (sandbox, product) = knows(true);
    refused(&sandbox, &product, "git is missing");
    fake(&sandbox, "git", "");
    passed(&sandbox, &product, "ok: git is there\n");
    let (sandbox, product) = knows(false);
    passed(&sandbox, &product, "ok: git is not needed\n");
}

#[test]
fn missing_tools_are_said_once_each_and_stop_nothing() {
    let (sandbox, product) = product_that_knows(
        "P",
        &Facts {
            architecture: Some("x86_64".into()),
            glibc: Some((2, 17)),
            install_bytes: Some(1),
            install_entries: Some(1),
            ..facts()
        },
    );
    let sandbox = with_programs_only(sandbox, &["bash"]);
    let run = bootstrap(&sandbox, &product, &[]);
    run.success().prints("words=install\n");
    for check in [
        "architecture",
        "glibc",
        "space",
        "inodes",
        "whether programs may be started",
        "the files of the product",
    ] {
        let line = format!("not checked: {check}");
        assert_eq!(run.stderr.matches(&line).count(), 1, "{check}\n{run}");
    }
    run.says("WARNING: not checked: the files of the product: there is no sha256sum");
    assert_eq!(before_the_end(&run).lines().count(), 6, "{run}");
    // Not compared is told from a product that was found to be right.
    bootstrap(&sandbox, &product, &["--check"]).code(3);
}

#[test]
fn a_path_that_does_not_fit_into_the_packages_is_refused() {
    for (length, fits) in [(255, true), (256, false)] {
        // The place is as long as the sandbox's own path leaves room for.
        let (sandbox, product) = product_that_knows("P", &facts());
        let rest = "/demo/.pixi/envs/default".len();
        let stem = sandbox.work().as_os_str().len() + "/".len();
        let long = sandbox.work().join("x".repeat(length - stem - rest));
        fs::rename(product, &long).unwrap();
        if fits {
            passed(
                &sandbox,
                &long,
                "ok: the paths of the environments have at most 255",
            );
        } else {
            refused(&sandbox, &long, "would have 256 characters");
        }
        // The caller's environment counts, not the recorded one.
        let run = bootstrap(&sandbox, &long, &["-e", "ab"]);
        run.success();
        bootstrap(&sandbox, &long, &["-e", "longer-than-default"])
            .code(2)
            .says("the path of environment longer-than-default");
    }
}

#[test]
fn a_colon_and_a_dollar_sign_in_the_path_are_warned_of() {
    for (place, named) in [("a:b/P", "a colon"), ("x$HOME/P", "a dollar sign")] {
        let (sandbox, product) = product_that_knows(place, &facts());
        bootstrap(&sandbox, &product, &[])
            .success()
            .prints("words=install\n")
            .says("WARNING: ")
            .says(named);
        bootstrap(&sandbox, &product, &["--check"])
            .success()
            .prints(&format!("has {named} in its path"));
    }
}

#[test]
fn too_little_space_and_too_few_inodes_are_refused() {
    let (mut sandbox, product) = product_that_knows(
        "P",
        &Facts {
            install_bytes: Some(2 << 20),
            install_entries: Some(100),
            ..facts()
        },
    );
    // As for a share whose name has a space.
    fake(
        &sandbox,
        "df",
        "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'\n\
         case $1 in -Pk) echo \"//server/my share 9999 99 ${KIB:-2048} 1% /mnt/a b\" ;;\n\
         -Pi) echo \"//server/my share ${INODES:-9999 99 100} 1% /mnt/a b\" ;; *) exit 1 ;; esac",
    );
    passed(&sandbox, &product, "ok: inodes: 100 left, 100 needed\n");
    sandbox.set("KIB", "2047");
    refused(
        &sandbox,
        &product,
        "has 1 MiB left, and installing takes 3 MiB",
    );
    sandbox.set("KIB", "-5");
    refused(&sandbox, &product, "and installing takes 3 MiB");
    // Environments that are there already take nothing more.
    fs::create_dir_all(product.join("demo/.pixi/envs/default/conda-meta")).unwrap();
    passed(
        &sandbox,
        &product,
        "ok: space: the environments are there already\n",
    );
    fs::remove_dir_all(product.join("demo/.pixi")).unwrap();
    sandbox.set("KIB", "2048");
    sandbox.set("INODES", "9999 99 99");
    refused(
        &sandbox,
        &product,
        "has 99 inodes left, and installing takes 100",
    );
    // btrfs has no table of inodes.
    sandbox.set("INODES", "0 0 0");
    not_checked(&sandbox, &product, "not checked: inodes");
}

#[test]
fn a_place_where_no_program_may_be_started_is_refused() {
    let (sandbox, product) = product_that_knows("P", &facts());
    passed(&sandbox, &product, "ok: programs may be started");
    // To execve, a file that lost its x bit and a noexec mount are the same.
    fake(&sandbox, "chmod", "");
    refused(
        &sandbox,
        &product,
        "cannot be started (is it mounted noexec?)",
    );
    assert_eq!(
        names(&product.join("demo")),
        [".pixi", "pixi.lock", "pixi.toml"]
    );
    let left = product.join("demo/.pixi");
    assert_eq!(names(&left), [pixi_offline::product::MARK]);
}

#[test]
fn a_product_that_cannot_be_written_to_is_refused() {
    for dir in ["pkg-cache", "demo", "demo/.pixi/envs"] {
        let (sandbox, product) = product_that_knows("P", &facts());
        let dir = product.join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
        let setpriv = testbed::ensure_debian_package("setpriv", "util-linux").unwrap();
        // Root without its right to write anywhere is like any other user.
        let run = if rustix::process::geteuid().is_root() {
            Run::of(
                sandbox
                    .program(setpriv)
                    .args(["--bounding-set=-all", "--inh-caps=-all"])
                    .arg(product.join("bootstrap-project.sh")),
            )
        } else {
            bootstrap(&sandbox, &product, &[])
        };
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        run.code(2)
            .says(&format!("{} is not writable", dir.display()));
        assert_eq!(run.stderr.matches("not writable").count(), 1, "{run}");
        assert_eq!(run.stdout, "", "{run}");
    }
}

#[test]
fn what_pixi_would_refuse_of_the_machine_is_said_before_it_runs() {
    // A GPU that the packages ask for, and one that the override stands for.
    let asks = Facts {
        virtual_packages: vec!["__cuda >=12.0".into()],
        ..facts()
    };
    let (mut sandbox, product) = product_that_knows("P", &asks);
    refused(
        &sandbox,
        &product,
        "the packages ask for __cuda >=12.0, and pixi finds no __cuda on this machine",
    );
    sandbox.set("PIXI_FINDS", "__glibc=2.36=0 __cuda=11.8=0");
    refused(&sandbox, &product, "pixi finds __cuda 11.8 on this machine");
    sandbox.set("PIXI_FINDS", "__glibc=2.36=0 __cuda=12.4=0");
    passed(
        &sandbox,
        &product,
        "ok: this machine meets the requirements of the packages: __cuda >=12.0\n",
    );

    // A platform of the lock that pixi takes first where the machine has what it asks for.
    let prefers = Facts {
        preferred_platforms: vec!["gpu\n__cuda >=12.0".into()],
        ..facts()
    };
    let (mut sandbox, product) = product_that_knows("P", &prefers);
    sandbox.set("PIXI_FINDS", "__glibc=2.36=0 __cuda=12.4=0");
    refused(
        &sandbox,
        &product,
        "pixi would install for the platform gpu of pixi.lock here",
    );
    sandbox.set("PIXI_FINDS", "__glibc=2.36=0 __cuda=11.8=0");
    passed(&sandbox, &product, "ok: ");

    let (mut sandbox, product) = product_that_knows("P", &facts());
    sandbox.set("TMPDIR", "/gone");
    refused(
        &sandbox,
        &product,
        "TMPDIR is /gone, and that is not a directory that this user may write into",
    );
}

#[test]
fn what_envs_sh_sets_itself_is_no_news_in_a_shell_that_sourced_it() {
    let (sandbox, product) = product_that_knows("P", &facts());
    let check = |before: &str, after: &str| {
        let bash = testbed::ensure_debian_package("bash", "bash").unwrap();
        let script =
            format!("{before}; . \"$1/envs.sh\"; {after}; \"$1/bootstrap-project.sh\" --check");
        Run::of(
            sandbox
                .program(bash)
                .args(["-c", &script, "x"])
                .arg(&product),
        )
    };
    check(
        "export R_LIBS_USER=/mine",
        "env | grep -q R_LIBS_USER=/dev/null",
    )
    .success()
    .prints("ok: no packages of the user's own come before the environment's\n");
    for (name, value) in [("R_LIBS_USER", "/mine"), ("JULIA_LOAD_PATH", "")] {
        let run = check(":", &format!("export {name}='{value}'"));
        run.success()
            .prints(&format!("note: {name} is set: envs.sh unsets it"));
        assert_eq!(run.stdout.matches("envs.sh unsets it").count(), 1, "{run}");
    }
}
