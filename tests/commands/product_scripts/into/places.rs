//! Which directories `--into` takes, and which it refuses and leaves as they are.

use std::os::unix::ffi::OsStrExt as _;

use pixi_offline::layout::{PathInRoot, ProjectPlace};
use pixi_offline::request::ProjectName;

use super::*;

fn into(sandbox: &Sandbox, product: &Path, dir: impl AsRef<OsStr>) -> Run {
    let mut command = sandbox.program(product.join("bootstrap-project.sh"));
    Run::of(command.arg("--into").arg(dir))
}

#[test]
fn odd_names_are_taken_as_they_are() {
    let (sandbox, product, _) = place_of(None);
    let work = sandbox.work();
    for (name, dir) in [
        ("-x", "-x"),
        ("--check", "--check"),
        ("a b/", "a b"),
        ("$(echo x)*", "$(echo x)*"),
        ("one\ntwo", "one\ntwo"),
        ("end\n", "end\n"),
        ("'\"\\", "'\"\\"),
    ] {
        into(&sandbox, &product, name).success();
        assert!(work.join(dir).join("demo/pixi.toml").is_file(), "{dir:?}");
        into(&sandbox, &product, name).success();
    }
    let bytes = OsStr::from_bytes(b"not\xffutf-8");
    into(&sandbox, &product, bytes).success();
    assert!(work.join(bytes).join("demo/pixi.toml").is_file());
    // A link to a directory is that directory, and an empty one will do.
    fs::create_dir(work.join("real")).unwrap();
    symlink("real", work.join("link")).unwrap();
    into(&sandbox, &product, "link")
        .success()
        .prints(&format!("cwd={}/real/demo\n", work.display()));
    // Once more, in the way that has no second word.
    bootstrap(&sandbox, &product, &["--into=real/"]).success();
}

#[test]
fn a_directory_that_is_not_for_it_is_refused_and_stays_as_it_is() {
    let (sandbox, product, own) = place_of(None);
    let work = sandbox.work();
    fs::create_dir(own.join("full")).unwrap();
    fs::write(own.join("full/.hidden"), "mine").unwrap();
    fs::write(own.join("file"), "mine").unwrap();
    fs::create_dir(own.join("links")).unwrap();
    symlink("/", own.join("links/demo")).unwrap();
    symlink("no/where", own.join("dangling")).unwrap();
    symlink(&product, own.join("to the product")).unwrap();
    fs::create_dir(own.join("open")).unwrap();
    fs::set_permissions(own.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let before = (entries(&sandbox, &own), entries(&sandbox, &product));
    let own_name = own.display();
    for (dir, message) in [
        ("", "--into needs a directory"),
        ("P", "is the product itself"),
        ("P/demo/x", "is inside of the product"),
        ("P/new", "is inside of the product"),
        (
            &format!("{own_name}/to the product/new"),
            "is inside of the product",
        ),
        (&format!("{own_name}/file"), "is not a directory"),
        (&format!("{own_name}/dangling"), "is not a directory"),
        (&format!("{own_name}/no/where"), "there is no directory"),
        (
            &format!("{own_name}/full"),
            "neither empty nor made by --into (.hidden is in it)",
        ),
        (
            &format!("{own_name}/links"),
            "neither empty nor made by --into (demo is in it)",
        ),
        (&format!("{own_name}/open"), "can be written by everybody"),
        ("/", "neither empty nor made by --into"),
    ] {
        into(&sandbox, &product, dir).code(2).says(message);
        bootstrap(&sandbox, &product, &["--check", "--into", dir])
            .code(2)
            .says(message);
    }
    bootstrap(&sandbox, &product, &["--into"])
        .code(2)
        .says("needs a value");
    assert_eq!(
        (entries(&sandbox, &own), entries(&sandbox, &product)),
        before
    );
    assert!(!work.join("new").exists());
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let (sandbox, product, own) = place_of(None);
    for user in users().into_iter().flatten() {
        // The other user's in both ways: root does not write there either.
        let dir = own.join("theirs");
        fs::create_dir(&dir).unwrap();
        Run::of(sandbox.program("chown").arg(user).arg(&dir)).success();
        into(&sandbox, &product, &dir)
            .code(2)
            .says("belongs to another user");
        into(&sandbox, &product, own.join("mine")).success();
        let args = ["--into", own.join("mine").to_str().unwrap()].map(str::to_owned);
        bootstrap_as(Some(user), &sandbox, &product, &[&args[0], &args[1]])
            .code(2)
            .says("belongs to another user");
        // A place that this user may not write.
        let new = own.join("new").display().to_string();
        bootstrap_as(Some(user), &sandbox, &product, &["--into", &new])
            .code(2)
            .says("name another directory with --into");
        assert_eq!(names(&dir), [] as [String; 0]);
    }
}

#[test]
fn what_a_directory_of_into_has_of_another_project_stays() {
    let (sandbox, product, own) = place_of(None);
    let dir = own.join("it");
    into(&sandbox, &product, &dir).success();
    let other = next_version(&sandbox, &product, "other", "2");
    fs::rename(other.join("demo"), other.join("another")).unwrap();
    list_again(&other);
    let before = entries(&sandbox, &dir);
    into(&sandbox, &other, &dir)
        .code(2)
        .says("holds the project demo, and this product has another");
    // A record that somebody changed.
    let record = dir.join(".pixi-offline-into");
    let text = read(record.clone());
    for (damaged, message) in [
        (text.replacen("placed=", "placed=../../", 1), "is damaged"),
        (text.replacen("aside=", "aside=/../x", 1), "is damaged"),
        (format!("x{text}"), "was not written by this script"),
        (String::new(), "holds the project of another product"),
    ] {
        fs::write(&record, damaged).unwrap();
        into(&sandbox, &product, &dir).code(2).says(message);
    }
    fs::write(&record, text).unwrap();
    let without_times = |entries: &str| {
        entries
            .lines()
            .filter(|line| !line.starts_with(".pixi-offline-into ") && !line.starts_with(" d"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        without_times(&entries(&sandbox, &dir)),
        without_times(&before)
    );
    // What a person put where the pixi of the product would go.
    fs::create_dir(dir.join("bin")).unwrap();
    into(&sandbox, &product, &dir).success();
    assert!(dir.join("bin").is_dir());
}

#[test]
fn a_project_in_a_source_root_and_a_pixi_in_the_product_go_along() {
    let place = ProjectPlace {
        name: ProjectName::new(OsStr::new("mono")).unwrap(),
        in_root: PathInRoot::new(Path::new("tools/demo")).unwrap(),
    };
    let knows = Facts {
        below_root: Some(place),
        bundled_pixi: true,
        ..facts()
    };
    let (sandbox, product) = product_that_knows("P", &knows);
    fs::create_dir_all(product.join("mono/tools")).unwrap();
    fs::create_dir_all(product.join("mono/library")).unwrap();
    fs::create_dir_all(product.join("bin")).unwrap();
    fs::rename(product.join("demo"), product.join("mono/tools/demo")).unwrap();
    fs::write(product.join("mono/library/x.py"), "x").unwrap();
    write_program(&product.join("bin/pixi"), PIXI);
    fs::remove_file(sandbox.bin().join("pixi")).unwrap();
    list_again(&product);
    let run = into(&sandbox, &product, "it");
    let it = sandbox.work().join("it");
    run.success()
        .prints(&format!("cwd={}/mono/tools/demo\n", it.display()));
    assert_eq!(read(it.join("mono/library/x.py")), "x");
    assert!(
        !fs::symlink_metadata(it.join("bin/pixi"))
            .unwrap()
            .is_symlink()
    );
    // The product goes away: what is installed finds its pixi.
    fs::rename(&product, sandbox.work().join("gone")).unwrap();
    let next = run.stderr.lines().last().unwrap();
    let next = next.strip_prefix("Next: ").expect("a line to type");
    Run::of(sandbox.program("bash").args(["-c", next]))
        .success()
        .says("WARNING: the product that this was installed from is not there")
        .prints("words=task list\n");
}
