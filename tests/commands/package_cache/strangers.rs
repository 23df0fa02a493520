//! What nobody needs or what holds a login.

use super::*;

/// What earlier builds, of this project and others, leave in a cache.
fn fill_with_strangers(workdir: &Workdir) {
    workdir.built(
        "secretsrc",
        "1.0",
        "secretsrc-id",
        "sdists-v9/pypi/secretsrc/1.0",
    );
    let git = "sdists-v9/git/0a1b2c3d4e5f6789/0123456789abcdef/gp-1.0-py3-none-any";
    workdir.unpacked("gp", "1.0", "gp-id", git);
    for (path, text) in [
        (&*format!("{git}.whl"), "PK"),
        (
            "git-v0/db/0a1b/.git/FETCH_HEAD",
            "0123\t\thttps://h.example/gp\n",
        ),
        ("git-v0/db/0a1b/.git/objects/pack/history", "x"),
        ("git-v0/checkouts/0a1b/0123456/gp.py", "x"),
        ("git-v0/locks/0a1b", ""),
        ("sdists-v9/editable/9c23a73a584df722/revision.rev", "x"),
        ("sdists-v9/pypi/docopt/0.6.2/stale/src/old_secret.py", "x"),
        ("sdists-v9/pypi/docopt/0.6.1/revision.http", "x"),
        ("wheels-v6/pypi/idna/3.19-py3-none-any.msgpack", "x"),
        ("wheels-v5/pypi/old/1.0-py3-none-any.http", "x"),
        ("archive-v0/nobodys/nobody.py", "x"),
        ("flat-index-v2/index/0a1b.msgpack", "x"),
        ("osv-v0/x", "x"),
        ("sdists-v9/.git", ""),
        ("CACHEDIR.TAG", "x"),
    ] {
        workdir.pointer(path, text.as_bytes());
    }
}

#[test]
fn strangers_in_a_cache_stay_behind_or_are_named_with_a_reason() {
    let workdir = Workdir::new();
    workdir.make(&[]).success();
    let clean = workdir.shipped();
    fill_with_strangers(&workdir);
    workdir.make(&[]).success();
    let shipped = workdir.shipped();
    let more: Vec<&String> = shipped
        .iter()
        .filter(|path| !clean.contains(path))
        .collect();
    assert_eq!(more, ["uv-cache/CACHEDIR.TAG", "uv-cache/sdists-v9/.git"]);
    let nothing = "Nothing: every entry of it belongs to a package";
    assert!(workdir.page().contains(nothing));

    // Moving leaves the same.
    workdir.make(&["--cache", "full"]).success();
    let page = workdir.page();
    assert!(
        !page.contains(nothing) && page.contains("has the whole package cache"),
        "{page}"
    );
    for named in [
        "pkgs/c-1.0-0",
        "uv-cache/git-v0",
        "uv-cache/archive-v0/nobodys",
        "repodata",
    ] {
        assert!(page.contains(named), "{named}: {page}");
    }

    // Where something is built, a repository goes along only when the build takes from it.
    for (requires, repository) in [
        ("hatchling", false),
        ("gp @ git+https://u:p@h.example/gp.git@main", true),
    ] {
        let workdir = Workdir::new();
        fill_with_strangers(&workdir);
        let pyproject = format!("[build-system]\nrequires = ['{requires}']\n");
        workdir
            .sandbox
            .write("W/project/demo/pyproject.toml", pyproject);
        workdir.relock(|text| {
            let six = "\n      - pypi: https://files.example/six";
            text.replace(six, &format!("\n      - pypi: ./{six}"))
                + "- pypi: ./\n  name: demo\n  version: 0.1.0\n  editable: true\n"
        });
        workdir.make(&["--secrets", "off"]).success();
        let git = ["git-v0/db/0a1b/.git/objects/pack/history", "gp-id/"];
        let (wanted, unwanted): (&[&str], &[&str]) =
            if repository { (&git, &[]) } else { (&[], &git) };
        workdir.ships(wanted, unwanted);
        workdir.ships(
            &["idna-id", "secretsrc-id", "simple-v21"],
            &["nobodys", "osv-v0", "editable"],
        );
        let page = workdir.page();
        assert!(
            page.contains("a build at the target may need") && page.contains("idna 3.20"),
            "{page}"
        );
        assert_eq!(page.contains("https://h.example/gp"), repository, "{page}");
    }
}

/// The command of the page about secrets that looks for logins in a product's cache.
fn command_of_the_page() -> String {
    let page = include_str!("../../../docs/how-to/excludes-and-secrets.md");
    let mut lines = page
        .lines()
        .filter(|line| line.starts_with("$ ! ") && line.contains("pkg-cache"));
    lines
        .next()
        .unwrap()
        .strip_prefix("$ ")
        .unwrap()
        .replace("work/product", "W/product")
}

#[test]
fn logins_in_the_cache_are_found_by_us_and_by_the_guides_command() {
    const VALUE: &str = "S3CRETpw";
    let by_the_guide = |workdir: &Workdir| {
        let mut command = workdir.sandbox.program(Path::new("/bin/bash"));
        command.args(["-c", &command_of_the_page()]);
        Run::of(&mut command)
    };
    let clean = Workdir::new();
    clean.sandbox.write(
        "W/pixi-cache/pkgs/a-1.0-0/info/repodata_record.json",
        "{\"url\": \"https://conda.example/chan/linux-64/a-1.0-0.conda\"}",
    );
    let run = clean.make(&["--secrets", "deny"]);
    run.success();
    by_the_guide(&clean).success();

    let basic = data_encoding::BASE64.encode(format!("user:{VALUE}").as_bytes());
    let plant = |text: &str| {
        let mut bytes = pointer("six-id", None, Some("six-1.17.0-py3-none-any.whl"));
        bytes.extend(b"\0\xff\x94");
        bytes.extend(text.as_bytes());
        bytes.extend(b"\0\0\xff\xfe");
        bytes
    };
    let wheel = "uv-cache/wheels-v6/pypi/six/1.17.0-py3-none-any";
    for (file, text) in [
        (
            format!("{wheel}.http"),
            format!("http://h.corp/six/\"x\"authorizationBasic {basic}"),
        ),
        (
            format!("{wheel}.http"),
            format!("authorizationBearer {VALUE}123"),
        ),
        (
            format!("{wheel}.http"),
            format!("https://user:{VALUE}@h.corp/six-1.17.0-py3-none-any.whl"),
        ),
        (
            format!("{wheel}.msgpack"),
            format!("https://h.corp/six.whl?token={VALUE}"),
        ),
        (
            "pkgs/a-1.0-0/info/repodata_record.json".to_owned(),
            format!("{{\"channel\": \"https://h.corp/t/tk-{VALUE}/chan\"}}"),
        ),
        (
            "uv-cache/sdists-v9/pypi/docopt/0.6.2/rev/metadata.msgpack".to_owned(),
            format!("https://u:{VALUE}@h.corp/x"),
        ),
    ] {
        let workdir = Workdir::new();
        workdir
            .sandbox
            .write(Path::new("W/pixi-cache").join(&file), plant(&text));
        let run = workdir.make(&["--secrets", "deny"]);
        run.code(2).says(&file);
        assert!(!run.stderr.contains(VALUE), "{run}");
        assert!(!workdir.sandbox.work().join("W/product").exists());
        workdir.make(&[]).success().says(&file);
        let run = by_the_guide(&workdir);
        run.code(1);
        assert!(run.stdout.contains(&file), "{run}");
        workdir
            .make(&["--secrets", "deny", "--allow-secret", &format!("/{file}")])
            .success();
    }

    // What stays behind is not searched; whole it is.
    let workdir = Workdir::new();
    let page = "W/pixi-cache/uv-cache/simple-v21/pypi/six.rkyv";
    workdir
        .sandbox
        .write(page, plant(&format!("\"x\"authorizationBasic {basic}")));
    workdir.make(&["--secrets", "deny"]).success();
    workdir
        .make(&["--secrets", "deny", "--cache", "full"])
        .code(2)
        .says("six.rkyv: login in a header");
    let workdir = Workdir::new();
    workdir.sandbox.write(
        "W/pixi-cache/uv-cache/git-v0/db/0a1b/.git/config",
        format!("[remote \"o\"]\nurl = https://u:{VALUE}@h.corp/x\n"),
    );
    workdir
        .make(&["--secrets", "deny", "--cache", "full"])
        .code(2)
        .says("git-v0/db/0a1b/.git/config");
}
