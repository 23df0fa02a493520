//! Signatures: made with minisign and by us, and refused.

use super::*;
use testbed::sandbox::words;

/// A pair of keys of the real minisign in `work/`, without a password.
fn keys(fake: &Fake, name: &str) {
    let minisign = testbed::ensure_debian_package("minisign", "minisign").unwrap();
    let (secret, public) = (format!("{name}.key"), format!("{name}.pub"));
    let mut command = fake.sandbox.program(minisign);
    Run::of(command.args(["-G", "-W", "-f", "-p", &public, "-s", &secret])).success();
}

#[test]
fn a_signed_product_is_checked_with_minisign_and_by_us() {
    let fake = built();
    keys(&fake, "mine");
    keys(&fake, "other");
    let product = fake.path("W/product");
    make(&fake, &["--sign-key", "mine.key"]).success();
    let minisign = |dir: &str, file: &str, key: &str| {
        let mut command = fake.sandbox.program("minisign");
        command.current_dir(fake.path(dir));
        let key = fake.path(key);
        Run::of(command.args(["-V", "-m", file, "-p", key.to_str().unwrap()]))
    };
    let digest = digest_of(&product.join("SHA256SUMS"));
    for file in ["SHA256SUMS", "provenance.json"] {
        minisign("W/product", file, "mine.pub")
            .success()
            .prints(&format!("file:{file}\tproject:demo\t"))
            .prints(&format!("product:sha256:{digest}"));
    }
    minisign("W/product", "SHA256SUMS", "other.pub").code(1);

    fake.verify(&words("--verify-key mine.pub --attach --sign-key mine.key"))
        .success()
        .says("Signed comment: timestamp:")
        .says(&format!(
            " project:demo platform:linux-64 product:sha256:{digest}"
        ))
        .says_not("not signed");
    for dir in ["O", "W/product"] {
        minisign(dir, "verification.json", "mine.pub")
            .success()
            .prints("file:verification.json\tproject:demo\t")
            .prints(&format!("product:sha256:{digest}"));
    }
    bootstrap(&fake, &["--check"])
        .success()
        .prints("note: the signature of SHA256SUMS names: timestamp:")
        .prints(&format!(
            " project:demo platform:linux-64 product:sha256:{digest} (check it: "
        ))
        .prints("check its signature: minisign -Vm verification.json");

    fake.verify(&["--verify-key", "other.pub"])
        .code(1)
        .says("is not a signature of SHA256SUMS by the key of --verify-key");
    // Without a key of ours, the signature of an earlier record goes.
    fake.verify(&["--attach"]).success().says("not signed");
    assert!(!product.join("verification.json.minisig").exists());
    fs::remove_file(product.join("SHA256SUMS.minisig")).unwrap();
    fake.verify(&["--verify-key", "mine.pub"])
        .code(1)
        .says("the product is not signed")
        .says("SHA256SUMS.minisig is missing");
    let record = json_of(&fake.path("O/verification.json"));
    assert_eq!(record["outcome"], "failed");
}

/// Signs `SHA256SUMS` of the product anew, with a comment of the test's own.
fn sign_with(fake: &Fake, comment: &str) {
    let signature = fake.path("W/product/SHA256SUMS.minisig");
    let _ = fs::remove_file(&signature);
    let mut command = fake.sandbox.program("minisign");
    command.current_dir(fake.path("W/product"));
    let key = fake.path("mine.key");
    let key = key.to_str().unwrap();
    Run::of(command.args(["-S", "-m", "SHA256SUMS", "-s", key, "-t", comment])).success();
}

/// How often the engine was asked to run a container.
fn runs_of(fake: &Fake) -> usize {
    let is_run = |call: &Vec<String>| call[0] == "run";
    fake.calls().into_iter().filter(is_run).count()
}

#[test]
fn a_right_signature_of_another_product_is_refused_by_what_it_names() {
    let fake = built();
    fake.sandbox.write(
        "W/project/demo/pixi.toml",
        "[workspace]\nversion = \"1.4 beta\"\n",
    );
    keys(&fake, "mine");
    make(&fake, &["--sign-key", "mine.key"]).success();
    let digest = digest_of(&fake.path("W/product/SHA256SUMS"));
    let check = || fake.verify(&["--verify-key", "mine.pub"]);
    check().success().says(" project:demo version:1.4 beta ");
    let attach = words("--attach --verify-key mine.pub --sign-key mine.key");
    fake.verify(&attach).success();

    let fits = format!("project:demo\tversion:1.4 beta\tproduct:sha256:{digest}");
    for (comment, words) in [
        (
            "project:demo\tversion:1.3",
            "it names the version 1.3, and the product has 1.4 beta",
        ),
        (
            "project:other",
            "it names the project other, and the product has demo",
        ),
        (
            "platform:osx-64",
            "it names the platform osx-64, and the product has linux-64",
        ),
        ("product:sha256:00", "it names the product sha256:00, "),
        (
            &format!("{fits}\tproject:other"),
            "it names the project other",
        ),
        (
            "project:",
            "it names the project , and the product has demo",
        ),
    ] {
        sign_with(&fake, comment);
        let runs = runs_of(&fake);
        check()
            .code(1)
            .says(words)
            .says("get the product that you asked for");
        assert_eq!(runs_of(&fake), runs, "{comment}");
    }
    // By an older version, or by hand: what it does not name is said.
    for comment in ["by hand", "timestamp:1\tfile:SHA256SUMS\thashed"] {
        sign_with(&fake, comment);
        check()
            .success()
            .says("the signature names no project, version and platform");
    }
    sign_with(&fake, &fits);
    check().success().says_not("names no project");

    // The signature of another file of the product is none of this one.
    let place = |name: &str| fake.path("W/product").join(name);
    for from in ["SHA256SUMS", "verification.json"] {
        let kept = ["", ".minisig"].map(|end| {
            let to = place(&format!("provenance.json{end}"));
            let kept = fs::read(&to).unwrap();
            let end = format!("{from}{end}");
            fs::copy(place(&end), to).unwrap();
            kept
        });
        if from == "verification.json" {
            check()
                .code(1)
                .says("provenance.json.minisig was made for another file, verification.json");
        } else {
            // By hand, above: it names no file of ours, and is no statement of this product.
            check().success();
        }
        bootstrap(&fake, &["--check"])
            .prints("warning: provenance.json does not belong to this product");
        fs::write(place("provenance.json"), &kept[0]).unwrap();
        fs::write(place("provenance.json.minisig"), &kept[1]).unwrap();
    }
    let run = bootstrap(&fake, &["--check"]);
    assert!(!run.stdout.contains("provenance.json"), "{run}");
    fs::write(place("provenance.json"), "{}").unwrap();
    check()
        .code(1)
        .says("is not a signature of provenance.json by the key of --verify-key");
    fs::remove_file(place("provenance.json.minisig")).unwrap();
    check().success().says("provenance.json is not signed");

    // The first line of a signature is signed by nobody.
    let signature = fs::read_to_string(place("SHA256SUMS.minisig")).unwrap();
    let (_, rest) = signature.split_once('\n').unwrap();
    let forged = format!("trusted comment: project:evil\n{rest}");
    fs::write(place("SHA256SUMS.minisig"), forged).unwrap();
    let run = bootstrap(&fake, &["--check"]);
    run.prints(" names: project:demo");
    assert!(!run.stdout.contains("evil"), "{run}");

    // What is not known to be signed is shown as plain characters, and compared.
    sign_with(&fake, "product:sha256:00\t\u{1b}[2J\u{202e}x");
    bootstrap(&fake, &["--check"])
        .prints("names: product:sha256:00  [2J   x (check it: ")
        .prints("warning: the signature of SHA256SUMS was made for another product");
}

#[test]
fn a_signature_that_is_no_small_regular_file_is_refused_at_once() {
    let fake = built();
    keys(&fake, "mine");
    make(&fake, &["--sign-key", "mine.key"]).success();
    let signature = fake.path("W/product/SHA256SUMS.minisig");
    let kept = fake.path("kept");
    fs::rename(&signature, &kept).unwrap();
    let cases: [(&str, &dyn Fn()); 4] = [
        ("is not a regular file", &|| {
            std::os::unix::fs::symlink(&kept, &signature).unwrap()
        }),
        ("is not a regular file", &|| {
            let made = Command::new("mkfifo")
                .arg(&signature)
                .status_in_time()
                .unwrap();
            assert!(made.success());
        }),
        ("is larger than the limit", &|| {
            fs::File::create(&signature)
                .unwrap()
                .set_len(10 << 30)
                .unwrap();
        }),
        ("is not a signature of SHA256SUMS", &|| {
            fs::write(&signature, [0xff; 300]).unwrap()
        }),
    ];
    for (words, plant) in cases {
        plant();
        fake.verify(&["--verify-key", "mine.pub"])
            .code(1)
            .says("SHA256SUMS.minisig")
            .says(words);
        fs::remove_file(&signature).unwrap();
    }
    fs::rename(&kept, &signature).unwrap();
    fake.verify(&["--verify-key", "mine.pub"]).success();
}

#[test]
fn keys_that_cannot_be_used_are_said_before_anything_is_touched() {
    let fake = made(&[]);
    keys(&fake, "mine");
    fake.sandbox.write("no.key", "hello\n");
    let before = fs::read(fake.path("W/product/manifest.json")).unwrap();
    fake.sandbox.write("W/product/mark", "old");
    for (words, message) in [
        (&["--sign-key", "missing.key"][..], "missing.key"),
        (&["--sign-key", "no.key"], "not a secret key of minisign"),
        (&["--sign-key", "mine.pub"], "not a secret key of minisign"),
        (&["--sign-password-file", "no.key"], "give --sign-key"),
    ] {
        make(&fake, words).code(2).says(message);
        fake.verify(words).code(2).says(message);
    }
    fake.verify(&["--verify-key", "mine.key"])
        .code(2)
        .says("not a public key of minisign");
    assert!(fake.path("W/product/mark").exists());
    assert_eq!(
        fs::read(fake.path("W/product/manifest.json")).unwrap(),
        before
    );
    assert!(!fake.path("O").exists());
}

/// A key with the password `secret`, which takes little to derive.
const WITH_PASSWORD: &str = "untrusted comment: minisign encrypted secret key
RWRTY0IyAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AgAAAAAAAAAAAEAAAAAAAqmnnWCKK2ijHaV+HM9q0d8hYBB0eomXhQv9hRC7vkR/BmaBuvSPlR00o7FB5QhV5tXnTnzPsOiLNLAOnTG+0yaVGY8WnROzqH0SCtt7R5YPvOG8RwrYlJPe41ZrcwW/6uf0G2mL/T2g=
";

#[test]
fn a_run_asks_for_the_password_of_its_key_once_and_a_dry_run_never() {
    testbed::ensure_debian_package("script", "bsdutils").unwrap();
    let fake = Fake::new();
    fake.sandbox.write("key", WITH_PASSWORD);
    fake.sandbox.write("answer", "secret\n");
    let program = testbed::sandbox::binary("build-offline-product");
    let options = "--image img:1 --project-dir demo --workdir W --sign-key key --archive demo.tar";
    let line = format!("{} {options}", program.display());
    // `script` gives its command a terminal, at which the password is typed once.
    let on_a_terminal = |more: &str| {
        let mut script = fake.sandbox.program("script");
        script.stdin(fs::File::open(fake.path("answer")).unwrap());
        Run::of(script.args(["-qec", &format!("{line}{more}"), "/dev/null"]))
    };
    let dry = on_a_terminal(" --dry-run");
    assert_eq!(
        dry.success().stdout.matches("Password of").count(),
        0,
        "{dry}"
    );
    let run = on_a_terminal("");
    assert_eq!(
        run.success().stdout.matches("Password of").count(),
        1,
        "{run}"
    );
    for file in ["W/product/SHA256SUMS.minisig", "demo.tar.sha256.minisig"] {
        assert!(fake.path(file).exists(), "{file}");
    }
    // Where nobody can be asked, both are refused at once.
    let mut alone = fake.sandbox.program("setsid");
    let args = ["--wait", "sh", "-c"];
    for more in ["", " --dry-run"] {
        let refused = Run::of(alone.args(args).arg(format!("{line} --force{more}")));
        refused.code(2).says("there is no terminal to ask for it");
        alone = fake.sandbox.program("setsid");
    }
}
