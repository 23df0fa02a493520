//! What does not become an image.

use super::*;

#[test]
fn what_cannot_become_an_image_is_refused_before_the_build() {
    let no_shell =
        json!({"systems": {"base:1": {"Err": "exec: \"sh\": executable file not found"}}});
    let system = |image: &str, text: &str| json!({"systems": {image: {"Ok": text}}});
    let table: [(serde_json::Value, &[&str], i32, &str); 20] = [
        (
            json!({"images": ["img:1"]}),
            &[],
            125,
            "--base-image base:1 is not on this engine",
        ),
        (
            json!({"images": ["base:1"]}),
            &[],
            125,
            "--build-image img:1 is not on this engine",
        ),
        (no_shell, &[], 2, "base:1 has no shell"),
        (
            json!({"architectures": {"base:1": "arm64"}}),
            &[],
            2,
            "--base-image base:1 is for linux/arm64",
        ),
        (
            json!({"architectures": {"img:1": "arm64"}}),
            &[],
            2,
            "--build-image img:1 is for linux/arm64",
        ),
        (
            system("img:1", "libc glibc 2.36\nuser 0"),
            &[],
            127,
            "has no pixi",
        ),
        (
            system("img:1", "libc glibc 2.36\npixi pixi 0.77.0\nuser 1000"),
            &[],
            2,
            "does not run as root",
        ),
        (
            json!({"no_daemon": "no daemon"}),
            &[],
            125,
            "does not answer",
        ),
        (
            json!({}),
            &["--tag", "old:1"],
            2,
            "image old:1 already exists",
        ),
        (
            json!({}),
            &["-e", "other"],
            2,
            "the product installs test, default",
        ),
        (
            json!({}),
            &["--copy", "nothing"],
            2,
            "--copy nothing: the project in the product has no such",
        ),
        (json!({}), &["--save", "O"], 2, "is a directory"),
        (
            json!({}),
            &["--tag", "Demo"],
            2,
            "--tag \"Demo\" is not a name",
        ),
        (
            json!({}),
            &["--app-dir", "/usr"],
            2,
            "--app-dir /usr is a system directory",
        ),
        (json!({}), &["--env", "A"], 2, "--env needs KEY=VALUE"),
        (json!({}), &["--user", ""], 2, "--user \"\" is not a user"),
        (
            json!({}),
            &["--expose", "http"],
            2,
            "--expose \"http\" is not a port",
        ),
        (
            json!({}),
            &["--emit-dockerfile", "E"],
            2,
            "--emit-dockerfile builds nothing",
        ),
        (json!({}), &["--cmd", "a", "--", "b"], 2, "give one of them"),
        (json!({}), &["--product-dir", "missing"], 2, "missing"),
    ];
    let mut fake = made(json!({}));
    let usual = json!({
        "images": ["img:1", "base:1", "old:1"], "systems": {}, "architectures": {}, "no_daemon": null,
    });
    for (scenario, args, code, says) in table {
        fake = fake.with(usual.clone()).with(scenario);
        let run = make(&fake, &[&["--tag", "demo:1"], args].concat());
        run.code(code).says(says);
        assert!(!acts(&fake).contains(&"build".to_owned()), "{run}");
    }
    let fake = fake.with(usual);
    make(&fake, &[]).code(2).says("nothing to make");
    make(&fake, &["--tag", "old:1", "--force"]).success();
    testbed::ran(
        "what_cannot_become_an_image_is_refused_before_the_build",
        22,
    );
}

#[test]
fn a_product_that_is_not_what_was_verified_is_refused() {
    let fake = made(json!({}));
    let record = fake.path("W/product/verification.json");
    let text = fs::read_to_string(&record).unwrap();
    for (with, says) in [
        (
            text.replace("\"passed\"", "\"failed\""),
            "did not pass its final verification",
        ),
        (
            text.replace("\"sha256:", "\"sha256:0"),
            "of another product",
        ),
    ] {
        assert_ne!(with, text);
        fs::write(&record, with).unwrap();
        make(&fake, &["--tag", "demo:1"])
            .code(2)
            .says(says)
            .says("--unverified");
        make(&fake, &["--tag", "demo:1", "--unverified"])
            .success()
            .says("WARNING: ");
    }
    fs::remove_file(&record).unwrap();
    make(&fake, &["--tag", "demo:1"])
        .code(2)
        .says("has no verification.json");
    fs::write(&record, text).unwrap();
    fs::write(fake.path("W/product/demo/src/main.py"), "print(2)\n").unwrap();
    make(&fake, &["--tag", "demo:1", "--unverified"])
        .code(1)
        .says("changed: demo/src/main.py");
    fs::remove_file(fake.path("W/product/SHA256SUMS")).unwrap();
    make(&fake, &["--tag", "demo:1"])
        .code(1)
        .says("SHA256SUMS is missing");
}

/// Makes a pair of keys, `work/mine.key` and `mine.pub`, and another.
fn keys(fake: &Fake) {
    let minisign = testbed::ensure_debian_package("minisign", "minisign").unwrap();
    for name in ["mine", "other"] {
        let (secret, public) = (format!("{name}.key"), format!("{name}.pub"));
        let mut command = fake.sandbox.program(&minisign);
        Run::of(command.args(["-G", "-W", "-f", "-p", &public, "-s", &secret])).success();
    }
}

#[test]
fn with_a_key_only_a_product_and_a_verification_that_it_signed_become_an_image() {
    let fake = made(json!({}));
    keys(&fake);
    let image = |more: &[&str]| {
        let args = ["--tag", "demo:1", "--force", "--verify-key", "mine.pub"];
        make(&fake, &[&args, more].concat())
    };
    let product = |signed: &[&str]| {
        let args = ["--workdir", "W", "--cache", "full"];
        let args = args.iter().chain(signed);
        fake.sandbox
            .run("make-archive-ready-product", args)
            .success();
    };
    let verify = |signed: &[&str]| {
        let args = "--image img:1 --product-dir W/product --out-dir O --attach";
        let args = args.split(' ').chain(signed.iter().copied());
        fake.sandbox.run("final-verify-product", args).success();
    };
    let (mine, other) = (["--sign-key", "mine.key"], ["--sign-key", "other.key"]);
    image(&[]).code(1).says("SHA256SUMS.minisig is missing");
    product(&other);
    image(&[])
        .code(1)
        .says("is not a signature of SHA256SUMS by the key of --verify-key");
    product(&mine);
    image(&[]).code(1).says("verification.json is missing");
    image(&["--unverified"])
        .success()
        .says("WARNING: ")
        .says("has no verification.json");
    verify(&[]);
    image(&[])
        .code(1)
        .says("verification.json.minisig is missing");
    verify(&other);
    image(&[])
        .code(1)
        .says("is not a signature of verification.json by the key of --verify-key");
    verify(&mine);
    image(&[])
        .success()
        .says("Signed comment: ")
        .says(" file:SHA256SUMS project:demo ")
        .says(" file:verification.json project:demo ");

    // A right signature of the same person's, for a product of another day.
    let record = fake.path("W/product/verification.json");
    let signature = fake.path("W/product/verification.json.minisig");
    let kept = [&record, &signature].map(|file| fs::read(file).unwrap());
    fs::write(fake.path("W/project/demo/src/main.py"), "print(3)\n").unwrap();
    product(&mine);
    for (file, content) in [&record, &signature].iter().zip(kept) {
        fs::write(file, content).unwrap();
    }
    image(&[])
        .code(1)
        .says("was made for another product: it names the product sha256:");

    // What the signature does not cover.
    verify(&mine);
    fake.sandbox
        .write("W/product/demo/.pixi/envs/default/bin/python", "x");
    image(&[]).code(1).says("added: demo/.pixi/envs");
}

#[test]
fn what_looks_like_a_secret_is_said_or_refused_before_a_build() {
    const VALUE: &str = "Ahf7Oiqu";
    let login = format!("https://joe:{VALUE}@h.corp.net/x");
    let fake = made(json!({}));
    // Beside a package of the product's cache, as pixi keeps it, and a channel's token in
    // the lock: both end up in the image's conda-meta.
    let record = format!("{{\"url\": \"https://h.corp.net/t/tk-{VALUE}/c/a-1-0.conda\"}}");
    let cases: [(&[&str], &str); 6] = [
        (
            &["--label", &format!("org.corp.source={login}")],
            "label org.corp.source",
        ),
        (
            &["--env", &format!("DB_PASSWORD={VALUE}")],
            "--env DB_PASSWORD",
        ),
        (
            &["--healthcheck", &format!("curl -f {login}")],
            "--healthcheck, argument 1",
        ),
        (
            &["--cmd", "serve", "--cmd", &format!("--password={VALUE}")],
            "the image's command, argument 2",
        ),
        (
            &[],
            "repodata_record.json: token in the URL of a conda channel",
        ),
        (&[], "demo/pixi.lock:5: token in the URL of a conda channel"),
    ];
    for (options, place) in cases {
        let fake = if options.is_empty() {
            planted(place, &record, VALUE)
        } else {
            made(json!({}))
        };
        let run = make(
            &fake,
            &[&["--tag", "demo:1", "--secrets", "deny"], options].concat(),
        );
        run.code(2).says(place).says("--allow-secret");
        assert!(!run.stderr.contains(VALUE), "{run}");
        assert_eq!(acts(&fake), [""; 0]);
        let run = make(&fake, &[&["--tag", "demo:1"], options].concat());
        run.success()
            .says("WARNING: looks like a secret: ")
            .says(place);
        assert!(!run.stderr.contains(VALUE), "{run}");
        make(
            &fake,
            &[&["--tag", "demo:1", "--force", "--secrets", "off"], options].concat(),
        )
        .success()
        .says_not("looks like a secret");
    }
    make(
        &fake,
        &["--tag", "demo:1", "--secrets", "deny", "--label", "a=b"],
    )
    .success();
}

/// A product whose cache or lock tells of a token.
fn planted(place: &str, record: &str, value: &str) -> Fake {
    let fake = Fake::new();
    if place.contains("pixi.lock") {
        let lock = LOCK.replacen("/chan/", &format!("/t/tk-{value}/chan/"), 1);
        fake.sandbox.write("demo/pixi.lock", lock);
    }
    fake.create::<&str>(&[]).success();
    if place.contains("repodata_record") {
        fake.sandbox.write(
            "W/pixi-cache/pkgs/other-1-0/info/repodata_record.json",
            record,
        );
    }
    verified(fake)
}
