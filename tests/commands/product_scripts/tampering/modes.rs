//! Modes that a medium changed, told in few lines.

use super::*;

#[test]
fn modes_that_a_medium_changed_alike_are_one_line() {
    let (sandbox, whole) = product_with_all_kinds();
    let product = sandbox.work().join("Q");
    let set = |scripts: &[&str]| {
        copy(&sandbox, &whole, &product, None);
        for script in scripts {
            let mut command = sandbox.program("bash");
            Run::of(command.args(["-c", script, "x"]).current_dir(&product)).success();
        }
    };
    // As a copy under another umask leaves it.
    set(&["chmod -R go-rwx ."]);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success()
        .prints("as a copy made under another umask does")
        .prints("cp -a");
    assert_eq!(run.stdout.matches("warning: ").count(), 2, "{run}");
    assert!(!run.stdout.contains("problem"), "{run}");
    // As vfat leaves it.
    set(&[
        "find . -type f -exec chmod 777 {} +",
        "find . -type d -exec chmod 777 {} +",
    ]);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.code(2)
        .prints("copied without permissions")
        .prints("unpack it from its archive");
    // The other one is of the product's own directory.
    assert_eq!(run.stdout.matches("problem: ").count(), 2, "{run}");
    // As a copy without modes leaves it.
    set(&["find . -type f -exec chmod 666 {} +"]);
    let program = ["bootstrap-project.sh", "--check"];
    let mut command = sandbox.program("bash");
    let run = Run::of(command.args(program).current_dir(&product));
    run.code(2).prints("copied without permissions");
    assert_eq!(run.stdout.matches("problem: ").count(), 1, "{run}");
    // One that is not like the others is no medium's.
    set(&["chmod -R go-rwx .", "chmod 4700 res/data/program"]);
    bootstrap(&sandbox, &product, &["--check"])
        .code(2)
        .prints("changed mode: res/data/program has 04700");
    // A directory gets the bit of the one that it is in.
    set(&["chmod g+s . res res/data"]);
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success()
        .prints("note: 2 directories have the set-group-ID bit");
    let lists = Product::new(&product);
    let checked = check::check(&lists, Depth::Full).unwrap().unwrap();
    checked
        .require_as_listed(&lists, Installs::Refused)
        .unwrap();
}

/// A product with 20,000 more files in ten directories of its project.
fn product_with_many_files() -> (Sandbox, PathBuf) {
    let (sandbox, product) = product_that_knows("P", &facts());
    let script = "for dir in $(seq 10); do mkdir demo/$dir && (cd demo/$dir && seq 2000 | xargs touch); done";
    in_product(&sandbox, &product, script);
    list_again(&product);
    (sandbox, product)
}

fn in_product(sandbox: &Sandbox, product: &Path, script: &str) {
    let mut command = sandbox.program("bash");
    Run::of(command.args(["-c", script]).current_dir(product)).success();
}

/// The lines of a refused check that tell of modes.
#[track_caller]
fn modes_told(sandbox: &Sandbox, product: &Path) -> Vec<String> {
    let run = bootstrap(sandbox, product, &["--check"]);
    run.code(2);
    is_plain(&run);
    let told = |line: &&str| line.starts_with("problem: changed mode");
    run.stdout.lines().filter(told).map(str::to_owned).collect()
}

#[test]
fn many_modes_that_changed_in_few_ways_are_counted() {
    let (sandbox, product) = product_with_many_files();
    in_product(&sandbox, &product, "chmod -R u+s,o+w demo");
    let told = modes_told(&sandbox, &product);
    // The lock and the manifest of the project are among them, and few are named.
    assert_eq!(told.len(), 12, "{told:?}");
    assert_eq!(
        told[0],
        "problem: changed mode of 20002 entries: demo/1/1, for example, has 04646, and 0644 is listed"
    );
    assert_eq!(
        told[1],
        "problem: changed mode: demo has 04757, and 0755 is listed"
    );
    bootstrap(&sandbox, &product, &["--check"])
        .code(2)
        .prints("problem: 20013 entries do not match the manifest of the product");
    // One among many others is named all the same.
    in_product(
        &sandbox,
        &product,
        "chmod -R u-s,o-w demo && chmod -R g-r demo && chmod 4755 demo/7/77",
    );
    assert_eq!(
        modes_told(&sandbox, &product),
        ["problem: changed mode: demo/7/77 has 04755, and 0644 is listed"]
    );
}

#[test]
fn many_modes_that_changed_in_many_ways_are_told_in_few_lines() {
    let (sandbox, product) = product_with_many_files();
    // Each file is executable by somebody, in 511 ways of three bits of nine and more.
    let script = "for mode in {1,2,4,7}{1,3,5,7}{1,3,5,7}{0..7}; do printf '%s\\n' $mode; done >../modes && \
        paste -d ' ' <(for times in $(seq 50); do cat ../modes; done | head -n 20000) <(find demo -mindepth 2 -type f | sort) | \
        sort | awk '{ if ($1 != last) { if (NR > 1) print \"\"; printf \"%s\", $1; last = $1 } printf \" %s\", $2 } END { print \"\" }' | \
        while read -r mode files; do chmod $mode $files; done";
    in_product(&sandbox, &product, script);
    let told = modes_told(&sandbox, &product);
    assert_eq!(told.len(), 21, "{told:?}");
    let count = |line: &String| -> u64 {
        let word = line.split(' ').nth(4).unwrap();
        word.parse().unwrap()
    };
    assert_eq!(told.iter().map(count).sum::<u64>(), 20_000, "{told:?}");
    assert!(
        told[20].ends_with("more entries: in other ways"),
        "{told:?}"
    );
}

#[test]
fn a_medium_that_changed_many_modes_alike_is_one_line() {
    let (sandbox, product) = product_with_many_files();
    in_product(&sandbox, &product, "chmod -R 777 .");
    let told = modes_told(&sandbox, &product);
    // The other one is of the product's own directory, which is in no list.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("problem: changed mode of all files and directories"),
        "{told:?}"
    );
    assert!(told[0].contains("copied without permissions"));
    // Two entries that are not like the others: no medium made that.
    in_product(&sandbox, &product, "chmod 644 demo/1/1 demo/2/2");
    let told = modes_told(&sandbox, &product);
    assert!(told.len() <= 41, "{told:?}");
    assert!(
        told[0].starts_with("problem: changed mode of 200"),
        "{told:?}"
    );
    in_product(
        &sandbox,
        &product,
        "find . -type d -exec chmod 700 {} + -o -exec chmod 600 {} +; chmod 700 *.sh",
    );
    bootstrap(&sandbox, &product, &["--check"])
        .success()
        .prints("as a copy made under another umask does");
}

#[test]
fn modes_of_names_of_every_kind_are_told_with_what_else_changed() {
    let (sandbox, product) = product_that_knows("P", &facts());
    let names = [
        &b"line\nend"[..],
        b"a\x01b",
        b"\x01\x02\n",
        b" x",
        b"a b file 0644 c",
        b"\tfile",
        b"\xff",
        b"%0A",
        b"back\\slash",
        b"end of the list",
    ];
    let at = |name: &[u8]| product.join("pkg-cache").join(OsStr::from_bytes(name));
    for name in names {
        fs::write(at(name), "").unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    list_again(&product);
    for name in names {
        change_mode(&at(name), 0o002, 0);
    }
    fs::write(at(b"added\n\x01"), "").unwrap();
    symlink("a b", at(b"added link")).unwrap();
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.code(2)
        .prints("problem: added: pkg-cache/added\\ link")
        .prints("problem: added: $'pkg-cache/added\\n\\001'")
        .prints("problem: changed mode: $'pkg-cache/line\\nend' has 0646, and 0644 is listed")
        .prints("problem: changed mode: $'pkg-cache/\\001\\002\\n' has 0646");
    assert_eq!(
        run.stdout.matches("changed mode: ").count(),
        names.len(),
        "{run}"
    );
    // Control characters that leave none for what a line end stands for.
    let all: Vec<u8> = (1..32).collect();
    fs::write(at(&all), "").unwrap();
    bootstrap(&sandbox, &product, &["--check"])
        .code(2)
        .prints("problem: not all files and directories can be compared");
}
