//! Every entry of a product, changed in each way: both checks refuse it, with and without the tools of GNU.

use super::*;

/// A change: its name, what is done to the product, and whether only the bytes tell.
struct Change {
    name: String,
    make: Box<dyn Fn(&Path)>,
    only_bytes: bool,
}

fn change(name: impl Into<String>, make: impl Fn(&Path) + 'static) -> Change {
    Change {
        name: name.into(),
        make: Box::new(make),
        only_bytes: false,
    }
}

/// Changes the manifest, and its digest in SHA256SUMS.
fn rewrite_manifest(product: &Path, change: impl Fn(&str) -> String) {
    let lists = Product::new(product);
    let text = change(&fs::read_to_string(lists.manifest()).unwrap());
    fs::write(lists.manifest(), &text).unwrap();
    let sums = fs::read_to_string(lists.sums()).unwrap();
    let mut lines = sums.lines();
    let old = lines
        .find(|line| line.ends_with("  manifest.json"))
        .unwrap();
    let new = format!("{}  manifest.json", hexadecimal(&Sha256::digest(&text)));
    fs::write(lists.sums(), sums.replace(old, &new)).unwrap();
}

/// Every entry kind, place and change.
fn changes() -> Vec<Change> {
    let mut all = Vec::new();
    let mut kinds = vec![
        "file",
        "program",
        "dir",
        "link",
        "dangling link",
        "endless link",
        "fifo",
        "socket",
    ];
    if rustix::process::geteuid().is_root() {
        kinds.push("device");
    }
    for place in [
        "",
        "demo",
        "demo/src/empty",
        "res",
        "pkg-cache",
        "pkg-cache/pkgs/a-1-0",
    ] {
        for kind in &kinds {
            let (kind, name) = (*kind, format!("a {kind} added in {place:?}"));
            all.push(change(name, move |product| {
                put(kind, &product.join(place).join(".added"));
            }));
        }
    }
    for place in ["demo/src", "res/data", "pkg-cache/pkgs/a-1-0"] {
        for entry in ["file", "program", "link", "pipe", "empty"] {
            let at = move |product: &Path| product.join(place).join(entry);
            all.push(change(format!("{place}/{entry} removed"), move |p| {
                remove(&at(p))
            }));
            let was = if entry == "pipe" { "fifo" } else { entry };
            for kind in &kinds {
                let kind = *kind;
                let same = kind == was
                    || (kind, entry) == ("dir", "empty")
                    || (kind, entry) == ("file", "program")
                    || kind == "program"
                    || kind.ends_with("link") && entry == "link";
                if !same {
                    all.push(change(format!("{place}/{entry} is a {kind}"), move |p| {
                        remove(&at(p));
                        put(kind, &at(p));
                    }));
                }
            }
        }
        let at = move |product: &Path, entry| product.join(place).join(entry);
        all.push(change(format!("{place}/link leads elsewhere"), move |p| {
            remove(&at(p, "link"));
            symlink("program", at(p, "link")).unwrap();
        }));
        all.push(change(format!("{place}/file is longer"), move |p| {
            fs::write(at(p, "file"), "0123456789a").unwrap();
        }));
        all.push(Change {
            only_bytes: true,
            ..change(format!("{place}/file has other bytes"), move |p| {
                fs::write(at(p, "file"), "012345678a").unwrap();
            })
        });
        for (entry, add, remove) in [
            ("file", 0o4000, 0),
            ("file", 0o2000, 0),
            ("file", 0o002, 0),
            ("file", 0o020, 0),
            ("file", 0o111, 0),
            ("file", 0o100, 0),
            ("file", 0, 0o400),
            ("program", 0o6000, 0),
            ("program", 0, 0o100),
            ("empty", 0o002, 0),
            ("empty", 0o4000, 0),
            ("empty", 0o2000, 0),
            ("empty", 0, 0o100),
        ] {
            all.push(change(
                format!("{place}/{entry} has {add:o} more and {remove:o} less"),
                move |p| change_mode(&at(p, entry), add, remove),
            ));
        }
        all.push(change(format!("{place} is a link to a copy"), move |p| {
            let copy = p.parent().unwrap().join("copy");
            let _ = fs::remove_dir_all(&copy);
            fs::rename(p.join(place), &copy).unwrap();
            symlink(&copy, p.join(place)).unwrap();
        }));
    }
    all
}

/// Changes that are none of the table's kinds.
fn other_changes() -> Vec<Change> {
    let mut all = vec![
        change("a pixi is added", |p| {
            write_program(&p.join("bin/pixi"), TRAP)
        }),
        change("a name with control characters", |p| {
            fs::write(p.join("demo/\u{1b}[2Jx\n\r"), "").unwrap();
        }),
        change("50,000 names", |p| {
            for number in 0..50_000 {
                fs::write(
                    p.join(format!("demo/src/an empty file with a name {number}")),
                    "",
                )
                .unwrap();
            }
        }),
        change("a directory that nobody may read", |p| {
            fs::create_dir(p.join("demo/locked")).unwrap();
            fs::write(p.join("demo/locked/x.py"), "").unwrap();
            change_mode(&p.join("demo/locked"), 0, 0o777);
        }),
        change("everybody may write", |p| change_mode(p, 0o002, 0)),
        change("settings of pixi", |p| {
            fs::write(
                p.join("demo/.pixi/config.toml"),
                "run-post-link-scripts = \"insecure\"\n",
            )
            .unwrap();
        }),
        change("settings of pixi are gone", |p| {
            remove(&p.join("demo/.pixi"))
        }),
        change("envs.sh has other bytes", |p| {
            let text = fs::read_to_string(p.join("envs.sh")).unwrap();
            write_program(&p.join("envs.sh"), &text.replace("true", "TRUE"));
        }),
        change("the lock has other bytes", |p| {
            let file = p.join("demo/pixi.lock");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, text.replace("version: 6", "version: 5")).unwrap();
        }),
        change("an environment and a changed project", |p| {
            fs::create_dir_all(p.join("demo/.pixi/envs/default/bin")).unwrap();
            fs::write(p.join("demo/evil.sh"), TRAP).unwrap();
            fs::write(
                p.join("demo/pixi.toml"),
                "[activation]\nscripts = [\"evil.sh\"]\n",
            )
            .unwrap();
        }),
        change("SHA256SUMS names one file twice and another not", |p| {
            let file = p.join("SHA256SUMS");
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let one = lines
                .iter()
                .position(|line| line.ends_with("res/data/file"))
                .unwrap();
            let mut lines = lines.clone();
            lines[one] = lines[one - 1];
            fs::write(file, lines.join("\n") + "\n").unwrap();
            fs::write(p.join("res/data/file"), "012345678a").unwrap();
        }),
        change("the manifest lists a file more than SHA256SUMS", |p| {
            fs::write(p.join("res/data/more"), "added").unwrap();
            fs::set_permissions(p.join("res/data/more"), fs::Permissions::from_mode(0o644))
                .unwrap();
            rewrite_manifest(p, |text| {
                let mut lines = text.lines();
                let line = lines.find(|line| line.contains("res/data/file\"")).unwrap();
                let (path, rest) = line.split_once("file\"").unwrap();
                let rest = rest.replace("\"size\":10,", "\"size\":5,");
                text.replace(line, &format!("{line}\n{path}more\"{rest}"))
            });
        }),
        change("the number of files is none that is calculated with", |p| {
            write_program(&p.join("envs.sh"), TRAP);
            rewrite_manifest(p, |text| {
                let (before, rest) = text.split_once("\"files\": ").unwrap();
                let (_, after) = rest.split_once(',').unwrap();
                format!("{before}\"files\": 08,{after}")
            });
        }),
        change("a mode in the manifest is a command", |p| {
            for file in ["res/data/file", "demo/src/file", "demo/pixi.toml"] {
                change_mode(&p.join(file), 0o002, 0);
            }
            let trap = p.parent().unwrap().join("trap");
            rewrite_manifest(p, |text| {
                let command = format!("0+environments[$(touch {})]", trap.display());
                let entry = format!(
                    "{{\"path\":\"zzz\",\"kind\":\"file\",\"mode\":\"{command}\",\"size\":1,\"sha256\":\"{}\"}}",
                    "0".repeat(64)
                );
                text.replacen(
                    "\"entries\": [\n",
                    &format!("\"entries\": [\n{entry},\n"),
                    1,
                )
            });
        }),
        change("SHA256SUMS names something without an end", |p| {
            let lists = Product::new(p);
            let sums = fs::read_to_string(lists.sums()).unwrap();
            let mut lines = sums.lines();
            let line = lines.find(|line| line.ends_with("res/data/file")).unwrap();
            let endless = format!("{}  /dev/zero", "0".repeat(64));
            fs::write(lists.sums(), sums.replace(line, &endless)).unwrap();
        }),
        change("a place for environments that everybody can write", |p| {
            remove(&p.join("demo/.pixi"));
            list_again(p);
            fs::create_dir(p.join("demo/.pixi")).unwrap();
            fs::set_permissions(p.join("demo/.pixi"), fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for place in ["demo/.pixi"] {
        for kind in ["file", "link", "dangling link", "fifo", "socket"] {
            all.push(change(format!("{place} is a {kind}"), move |p| {
                remove(&p.join(place));
                put(kind, &p.join(place));
            }));
        }
        all.push(change(
            format!("{place} leads out of the product"),
            move |p| {
                let scratch = p.parent().unwrap().join("scratch");
                fs::create_dir_all(&scratch).unwrap();
                fs::write(scratch.join("config.toml"), "# mirrors\n").unwrap();
                remove(&p.join(place));
                symlink(&scratch, p.join(place)).unwrap();
            },
        ));
    }
    for name in Product::UNCOVERED.into_iter().chain([Product::MANIFEST]) {
        for kind in ["dir", "link", "link to a pipe", "fifo"] {
            all.push(change(format!("{name} is a {kind}"), move |p| {
                if p.join(name).exists() {
                    remove(&p.join(name));
                }
                put(kind, &p.join(name));
            }));
        }
        for mode in [0o4755, 0o755, 0o666] {
            all.push(change(format!("{name} has the mode {mode:o}"), move |p| {
                if !p.join(name).exists() {
                    fs::write(p.join(name), TRAP).unwrap();
                }
                fs::set_permissions(p.join(name), fs::Permissions::from_mode(mode)).unwrap();
            }));
        }
    }
    // Named, not run: the only change that --check and a plain call judge differently.
    for change in &mut all {
        if change.name.starts_with("SHA256SUMS names") {
            change.only_bytes = true;
        }
    }
    all
}

/// Both checks refuse each change, and no program of the product is run.
fn each_is_refused(changes: &[Change], user: Option<&str>) {
    let (sandbox, whole) = product_with_all_kinds();
    let product = sandbox.work().join("carried");
    copy(&sandbox, &whole, &product, user);
    let run = bootstrap_as(user, &sandbox, &product, &["--check"]);
    run.success()
        .prints("ok: every file, directory and link is there")
        .prints("ok: the bytes of every file");
    for Change {
        name,
        make,
        only_bytes,
    } in changes
    {
        copy(&sandbox, &whole, &product, user);
        make(&product);
        if let Some(user) = user {
            // The one who unpacked it owns it, and chown takes such bits away.
            let modes = Command::new("find")
                .arg(&product)
                .args(["-printf", "%m %p\\0"])
                .output_in_time()
                .unwrap();
            Run::of(
                sandbox
                    .program("chown")
                    .args(["-hR", &format!("{user}:{user}")])
                    .arg(&product),
            )
            .success();
            for entry in modes
                .stdout
                .split(|&byte| byte == 0)
                .filter(|entry| entry.len() > 4)
            {
                let at = entry.iter().position(|&byte| byte == b' ').unwrap();
                let mode =
                    u32::from_str_radix(std::str::from_utf8(&entry[..at]).unwrap(), 8).unwrap();
                let path = Path::new(OsStr::from_bytes(&entry[at + 1..]));
                if mode & 0o6000 != 0 && !path.is_symlink() {
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
        }
        let checked = bootstrap_as(user, &sandbox, &product, &["--check"]);
        assert_eq!(checked.code, 2, "{name}\n{checked}");
        assert!(checked.stdout.contains("problem: "), "{name}\n{checked}");
        is_plain(&checked);
        let run = bootstrap_as(user, &sandbox, &product, &[]);
        if *only_bytes {
            assert_eq!(run.code, 0, "{name}\n{run}");
        } else {
            assert_eq!(run.code, 2, "{name}\n{run}");
            assert!(!run.stdout.contains("words="), "{name}: pixi ran\n{run}");
            is_plain(&run);
        }
        assert!(
            !sandbox.root().join("trap").exists(),
            "{name}: a program of the product ran"
        );
        if user.is_none() {
            let product = Product::new(&product);
            let checked = check::check(&product, Depth::Full).and_then(|checked| {
                checked
                    .expect("it has lists")
                    .require_as_listed(&product, Installs::Refused)
            });
            assert!(checked.is_err(), "{name}: final-verify-product takes it");
        }
    }
}

#[test]
fn every_change_of_every_entry_is_refused() {
    let changes = changes();
    each_is_refused(&changes, None);
    testbed::ran(
        "every_change_of_every_entry_is_refused",
        changes.len() as u64,
    );
}

#[test]
fn every_change_of_every_entry_is_refused_as_a_plain_user() {
    let changes = changes();
    for user in users().into_iter().flatten() {
        each_is_refused(&changes, Some(user));
    }
    testbed::ran(
        "every_change_of_every_entry_is_refused_as_a_plain_user",
        changes.len() as u64,
    );
}

#[test]
fn other_changes_are_refused() {
    let changes = other_changes();
    each_is_refused(&changes, None);
    testbed::ran("other_changes_are_refused", changes.len() as u64);
}

#[test]
fn other_changes_are_refused_as_a_plain_user() {
    let changes = other_changes();
    for user in users().into_iter().flatten() {
        each_is_refused(&changes, Some(user));
    }
    testbed::ran(
        "other_changes_are_refused_as_a_plain_user",
        changes.len() as u64,
    );
}

#[test]
fn without_the_tools_of_gnu_a_check_never_ends_as_if_all_was_compared() {
    let busybox = testbed::ensure_debian_package("busybox", "busybox-static").unwrap();
    let (sandbox, whole) = product_with_all_kinds();
    let product = sandbox.work().join("Q");
    let bin = sandbox.root().join("busybox");
    fs::create_dir(&bin).unwrap();
    let applets = Command::new(&busybox)
        .arg("--list")
        .output_in_time()
        .unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if !["bash", "sh", "busybox"].contains(&applet) {
            symlink(&busybox, bin.join(applet)).unwrap();
        }
    }
    let bash = testbed::ensure_debian_package("bash", "bash").unwrap();
    symlink(bash, bin.join("bash")).unwrap();
    symlink(sandbox.bin().join("pixi"), bin.join("pixi")).unwrap();
    let check = |args: &[&str]| {
        let mut command = sandbox.program("timeout");
        let script = product.join("bootstrap-project.sh");
        Run::of(
            command
                .arg("300")
                .arg("env")
                .arg(format!("PATH={}", bin.display()))
                .arg(script)
                .args(args),
        )
    };
    copy(&sandbox, &whole, &product, None);
    check(&["--check"])
        .code(3)
        .prints("not checked: the files and directories of the product")
        .prints("ok: the bytes of every file are as SHA256SUMS says");
    check(&[])
        .success()
        .says("WARNING: not checked: the files and directories of the product");
    for Change { name, make, .. } in changes() {
        if name.contains("device") || !name.starts_with("demo/src") {
            continue;
        }
        copy(&sandbox, &whole, &product, None);
        make(&product);
        let run = check(&["--check"]);
        assert_ne!(run.code, 0, "{name}\n{run}");
        let bytes = ["removed", "longer", "other bytes"];
        if name.contains("/file") && bytes.iter().any(|what| name.ends_with(what)) {
            assert_eq!(run.code, 2, "{name}\n{run}");
        }
    }
}
