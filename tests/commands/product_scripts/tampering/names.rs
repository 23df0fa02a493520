//! Names of every kind: they pass where nothing changed, and are shown in plain characters.

use super::*;

#[test]
fn a_product_without_a_fault_passes_whatever_its_names_are() {
    let (sandbox, product) = product_that_knows("P", &facts());
    for (number, name) in [
        &b"new\nline"[..],
        b"\n",
        b"cr\r",
        b"back\\slash",
        b"\\",
        b"%41",
        b"\\x41",
        b"\\n",
        b"\xff\xfe",
        b"\x1b[31m",
        b"-dash",
        b"--",
        b"*",
        b"[x]",
        b"x\"file\"0644\":5,",
        b"x file 0644 :5,",
        b"' \"$HOME\"`id`",
        "\u{fc}".as_bytes(),
        b" ",
        b"x: FAILED",
        b"\x01",
        b"end of the list",
        b"done",
        b".hidden",
        b"...",
    ]
    .into_iter()
    .enumerate()
    {
        let name = OsStr::from_bytes(name);
        let dir = product.join("demo").join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(name), number.to_string()).unwrap();
        symlink(name, dir.join("link")).unwrap();
        symlink(
            PathBuf::from("//file//0644//:5,"),
            dir.join(format!("{number}")),
        )
        .unwrap();
    }
    list_again(&product);
    fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o1777)).unwrap();
    for user in users() {
        // Who may only read can check it all the same.
        let run = bootstrap_as(user, &sandbox, &product, &["--check"]);
        run.success()
            .prints("ok: every file, directory and link is there as manifest.json lists it\n")
            .prints("ok: the bytes of every file are as SHA256SUMS says\n");
        is_plain(&run);
    }
    let mut posix = sandbox.program(product.join("bootstrap-project.sh"));
    Run::of(posix.env("POSIXLY_CORRECT", "1").arg("--check")).success();
    match std::env::var_os("PIXI_OFFLINE_BASH_4_2") {
        None => testbed::skip(
            "tampering::an_old_bash_checks_as_a_new_one",
            "PIXI_OFFLINE_BASH_4_2 names no bash of 4.2",
        ),
        Some(bash) => {
            let script = product.join("bootstrap-project.sh");
            Run::of(sandbox.program(&bash).arg(&script).arg("--check")).success();
            fs::write(product.join("demo/added"), "").unwrap();
            Run::of(sandbox.program(&bash).arg(&script).arg("--check"))
                .code(2)
                .prints("added: demo/added");
        }
    }
}

#[test]
fn what_nobody_vouches_for_is_shown_in_plain_characters() {
    let (sandbox, product) = product_with_all_kinds();
    let digest = Command::new("sha256sum")
        .arg(product.join("SHA256SUMS"))
        .output_in_time()
        .unwrap();
    let digest = String::from_utf8_lossy(&digest.stdout[..64]).into_owned();
    fs::write(
        product.join("verification.json"),
        format!("{{\n  \"outcome\": \"passed\",\n  \"product_digest\": \"sha256:{digest}\",\n  \"finished\": \"\u{1b}[5A\u{1b}[Jnow\",\n}}\n"),
    )
    .unwrap();
    let run = bootstrap(&sandbox, &product, &["--check"]);
    run.success()
        .prints("note: verification.json reports a pass at");
    is_plain(&run);
    // Nor is the record of a product taken for one that was changed since.
    bootstrap(&sandbox, &product, &[]).success();
    fs::write(product.join("demo/src/file"), "mine").unwrap();
    bootstrap(&sandbox, &product, &["--check"])
        .success()
        .prints("warning: verification.json reports on the product as it was made");
}

#[test]
fn names_of_every_kind_pass_whatever_the_order_of_the_digests() {
    let (sandbox, product) = product_that_knows("P", &facts());
    for name in [
        &b"a b"[..],
        b"a  b",
        b"line\nend",
        b"r\rn",
        b"b\\x41",
        b"\\",
        b"100%41",
        b"-dash",
        b"\"q\"",
        b"\xc3\xbc",
        b"\xff",
        b"\x1b[31m",
        b"\x7f",
        b"~end",
        b"*?[",
        b"manifest.json",
    ] {
        fs::write(
            product.join("pkg-cache").join(OsStr::from_bytes(name)),
            name,
        )
        .unwrap();
    }
    list_again(&product);
    let same = "ok: the bytes of every file are as SHA256SUMS says\n";
    let passes = || {
        let run = bootstrap(&sandbox, &product, &["--check"]);
        run.success().prints(same);
    };
    passes();
    let sums = product.join("SHA256SUMS");
    let text = fs::read(&sums).unwrap();
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    lines.reverse();
    fs::write(&sums, lines.concat()).unwrap();
    passes();
    // A line twice in place of another one, in each way of writing a name.
    for gone in [
        &b"  pkg-cache/a b"[..],
        b"/line\\nend",
        b"/\xff",
        b"/100%41",
    ] {
        let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
        let index = lines
            .iter()
            .position(|line| line.strip_suffix(b"\n").unwrap().ends_with(gone))
            .unwrap();
        lines[index] = lines[0];
        fs::write(&sums, lines.concat()).unwrap();
        bootstrap(&sandbox, &product, &["--check"])
            .code(2)
            .prints("problem: changed: SHA256SUMS and manifest.json do not have the same digests");
    }
}
