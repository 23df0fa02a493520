//! Python packages: which wheel belongs to which package of the lock.

use super::*;
use testbed::sandbox::words;

#[test]
fn a_wheel_is_tied_to_the_lock_by_name_and_sha256() {
    let file = "six-1.17.0-py3-none-any.whl";
    let place = "wheels-v6/pypi/six/1.17.0-py3-none-any.http";
    let workdir = Workdir::new();
    workdir.make(&["--deep"]).success();
    assert_eq!(workdir.counted("wheels_by_name"), 1);
    assert!(
        workdir.page().contains("1 wheel of the list"),
        "{}",
        workdir.page()
    );

    workdir.pointer(place, &pointer("six-id", Some(ARCHIVE_SHA[0]), Some(file)));
    workdir.make(&[]).success();
    assert_eq!(workdir.counted("wheels_by_name"), 0);

    workdir.pointer(place, &pointer("six-id", Some(ARCHIVE_SHA[1]), Some(file)));
    for more in [&["--deep"][..], &[]] {
        workdir
            .make(more)
            .code(1)
            .says("six 1.17.0: the cache holds another file of this name")
            .says(ARCHIVE_SHA[1]);
    }

    // The same version, for another machine.
    for other in [
        "six-1.17.0-cp39-cp39-macosx_11_0_arm64.whl",
        "six-1.17.0-1-py3-none-any.whl",
    ] {
        let workdir = Workdir::new();
        let dir = workdir.cache().join("uv-cache/wheels-v6/pypi/six");
        fs::remove_dir_all(dir).unwrap();
        let key = other
            .strip_prefix("six-")
            .unwrap()
            .strip_suffix(".whl")
            .unwrap();
        let place = format!("wheels-v6/pypi/six/{key}.http");
        workdir.pointer(&place, &pointer("six-id", None, Some(other)));
        workdir.make(&["--deep"]).code(1).says("six 1.17.0: is not in the package cache (uv-cache) as six-1.17.0-py3-none-any.whl; what is there: six-1.17.0-");
    }

    // A source distribution is known by its own sha256.
    let workdir = Workdir::new();
    let revision = "sdists-v9/pypi/docopt/0.6.2/revision.http";
    workdir.pointer(revision, &pointer("rev", Some(ARCHIVE_SHA[1]), None));
    workdir
        .make(&[])
        .code(1)
        .says("docopt 0.6.2: the cache holds another file");
    // And only the revision that uv's pointer names counts.
    workdir.pointer(revision, &pointer("other", None, None));
    workdir
        .make(&[])
        .code(1)
        .says("docopt 0.6.2: the package cache has no pointer to it");
}

#[test]
fn a_wheel_that_was_built_for_another_python_is_not_the_needed_one() {
    let workdir = Workdir::new();
    let built = |tags: &str, id: &str| {
        let link = format!("sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-{tags}");
        workdir.unpacked("docopt", "0.6.2", id, &link);
    };
    let plain = "uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/docopt-0.6.2-py3-none-any";
    fs::remove_file(workdir.cache().join(plain)).unwrap();
    built("cp311-cp311-linux_x86_64", "docopt-id");
    workdir.conda_package("python", ARCHIVE_SHA[2]);
    let python = |minor: u32| {
        format!("\n      - conda: https://conda.example/chan/linux-64/python-3.{minor}.1-0.conda")
    };
    let location = "\n      - conda: https://conda.example/chan/linux-64/a-1.0-0.conda";
    for (minor, code) in [(11, 0), (12, 1)] {
        let workdir_python = format!("W/pixi-cache/pkgs/python-3.{minor}.1-0");
        workdir
            .sandbox
            .write(Path::new(&workdir_python).join("info/index.json"), "{}");
        workdir.sandbox.write(
            Path::new(&workdir_python).join("info/paths.json"),
            "{\"paths\": []}",
        );
        let lock = workdir.sandbox.work().join("W/project/demo/pixi.lock");
        let before = fs::read_to_string(&lock).unwrap();
        let text = before.replacen(location, &format!("{location}{}", python(minor)), 1)
            + &format!("- conda: https://conda.example/chan/linux-64/python-3.{minor}.1-0.conda\n");
        fs::write(&lock, text).unwrap();
        let run = workdir.make(&[]);
        run.code(code);
        if code != 0 {
            run.says("docopt 0.6.2: is not in the package cache");
        }
        fs::write(&lock, before).unwrap();
    }
}

#[test]
fn names_that_differ_from_the_lock_are_found_by_uvs_pointers() {
    let workdir = Workdir::new();
    let wheel = |name: &str, inside: &str, file: &str, id: &str| {
        let key = file
            .split_once('-')
            .unwrap()
            .1
            .strip_suffix(".whl")
            .unwrap();
        let link = format!("wheels-v6/index/0123456789abcdef/{name}/{key}");
        workdir.unpacked(name, inside, id, &link);
        workdir.pointer(&format!("{link}.http"), &pointer(id, None, Some(file)));
    };
    wheel(
        "calver",
        "2025.05.09",
        "calver-2025.5.9-py3-none-any.whl",
        "calver-id",
    );
    wheel(
        "lockloc",
        "0.2",
        "lockloc-0.2-py3-none-any.whl",
        "lockloc-id",
    );
    wheel("zeros", "1.0.0", "zeros-1.0.0-py3-none-any.whl", "zeros-id");
    wheel(
        "plus",
        "0.2+cu130",
        "plus-0.2+cu130-py3-none-any.whl",
        "plus-id",
    );
    let source = "sdists-v9/index/0123456789abcdef/flash-attn/2.5.8";
    let link = format!("{source}/rev/flash_attn-2.5.8+cu122torch2.3-py3-none-any");
    workdir.unpacked("flash_attn", "2.5.8+cu122torch2.3", "flash-id", &link);
    workdir.pointer(&format!("{source}/rev/src/setup.py"), b"");
    // The file that the build made, beside the link to what was in it.
    workdir.pointer(&format!("{link}.whl"), b"zip");
    workdir.pointer(
        &format!("{source}/revision.http"),
        &pointer("rev", None, None),
    );
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let link = format!(
        "sdists-v9/git/0a1b2c3d4e5f6789/{}/fromgit-1.0-py3-none-any",
        &commit[..16]
    );
    workdir.unpacked("fromgit", "1.0", "fromgit-id", &link);
    workdir.relock(|text| {
        let more = [
            (
                "https://files.example/calver-2025.5.9-py3-none-any.whl",
                "calver",
                "2025.5.9",
            ),
            (
                "https://files.example/lockloc-0.2-py3-none-any.whl",
                "lockloc",
                "0.2+local",
            ),
            (
                "https://files.example/zeros-1.0.0-py3-none-any.whl",
                "zeros",
                "1.0",
            ),
            (
                "https://files.example/plus-0.2%2Bcu130-py3-none-any.whl",
                "plus",
                "0.2+cu130",
            ),
            (
                "https://files.example/flash_attn-2.5.8.tar.gz",
                "flash-attn",
                "2.5.8",
            ),
            (
                &format!("git+https://h.example/f.git?rev=main#{commit}"),
                "fromgit",
                "1.0",
            ),
        ];
        more.iter().fold(text, |text, (url, name, version)| {
            let six = "\n      - pypi: https://files.example/six";
            text.replace(six, &format!("\n      - pypi: {url}{six}"))
                + &format!("- pypi: {url}\n  name: {name}\n  version: '{version}'\n")
        })
    });
    workdir.make(&["--deep"]).success();
    workdir.ships(
        &words("calver-id/ lockloc-id/ zeros-id/ plus-id/ flash-id/ fromgit-id/ rev/src/setup.py"),
        &["torch2.3-py3-none-any.whl"],
    );
    // uv builds it again where it is installed, and the build may ask for more.
    assert!(workdir.page().contains("idna 3.20"), "{}", workdir.page());
    // Another commit is another package.
    workdir.relock(|text| text.replace(commit, &commit.replace('0', "f")));
    workdir
        .make(&[])
        .code(1)
        .says("fromgit 1.0: is not in the package cache");
}

#[test]
fn a_wheel_that_only_another_environment_needs_stays_behind_also_where_something_is_built() {
    let workdir = Workdir::new();
    workdir.relock(|text| {
        let six = "\n      - pypi: https://files.example/six";
        let idna = "\n      - pypi: https://files.example/idna-3.20-py3-none-any.whl";
        let (default, test) = text.split_once("\n  test:").unwrap();
        let default = default.replace(six, &format!("\n      - pypi: ./{six}"));
        let test = test.replacen(six, &format!("{idna}{six}"), 1);
        format!("{default}\n  test:{test}")
            + "- pypi: ./\n  name: demo\n  version: 0.1.0\n  editable: true\n- pypi: https://files.example/idna-3.20-py3-none-any.whl\n  name: idna\n  version: '3.20'\n"
    });
    workdir.make(&[]).success();
    workdir.ships(&["six-id", "simple-v21"], &["idna"]);
}
