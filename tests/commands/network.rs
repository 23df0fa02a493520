//! What containers get to reach what a build fetches: certificates, logins, proxies, and
//! GPUs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use testbed::sandbox::{Run, names, words};

use crate::fake::Fake;

/// What looks like a certificate: a sequence of nothing.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

/// What is secret in the login files.
const SECRETS: [&str; 2] = ["Ahf7Oiqu-Kei4vohz", "xo8Aev3u/ohT%9"];

/// Variables that a container may get for the files, in their order.
const VARIABLES: &str = "SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT \
    NODE_EXTRA_CA_CERTS PIXI_TLS_ROOT_CERTS RATTLER_AUTH_FILE NETRC";

/// With a file of each kind beside the small project.
fn with_files() -> Fake {
    let fake = Fake::new();
    fake.sandbox.write("company.pem", CERTIFICATE);
    let json = json!({"h.corp": {"BearerToken": SECRETS[0]}});
    let netrc = format!("machine h.corp login joe password {}\n", SECRETS[1]);
    for (name, text) in [("auth.json", json.to_string()), ("netrc", netrc)] {
        let file = fake.sandbox.write(name, text);
        fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    fake
}

const FILES: [&str; 6] = [
    "--ca-cert",
    "company.pem",
    "--auth-file",
    "netrc",
    "--auth-file",
    "auth.json",
];

/// The containers that were run: their names' beginning, and all arguments before the script.
fn containers(fake: &Fake) -> Vec<(String, Vec<String>)> {
    let calls = fake.calls().into_iter();
    let runs = calls.filter(|call| call[0] == "run" && call[1] == "--interactive");
    runs.map(|mut call| {
        let script = call.iter().position(|arg| arg == "-c").unwrap();
        call.truncate(script);
        (call[3].clone(), call)
    })
    .collect()
}

/// The values of an option, in their order.
fn values<'a>(args: &'a [String], option: &str) -> Vec<&'a str> {
    let pairs = args.windows(2);
    let of_option = pairs.filter(|pair| pair[0] == option);
    of_option.map(|pair| pair[1].as_str()).collect()
}

#[track_caller]
fn shows_no_secret(run: &Run) {
    for secret in SECRETS {
        assert!(
            !run.stdout.contains(secret) && !run.stderr.contains(secret),
            "{run}"
        );
    }
}

#[test]
fn files_are_mounted_read_only_outside_of_the_workdir_for_the_build_alone() {
    let fake = with_files();
    let run = fake.run("build-offline-product", &FILES);
    run.success()
        .says("NOTE: --ca-cert ")
        .says("company.pem: 1 certificate, trusted in the build besides those of the image")
        .says("netrc: a netrc, for package indexes, conda channels and git repositories of h.corp")
        .says("auth.json: a login file of pixi, for conda channels and package indexes of h.corp")
        .says_not("WARNING: other users");
    shows_no_secret(&run);
    let containers = containers(&fake);
    assert_eq!(containers.len(), 2, "{containers:?}");
    let work = fake.sandbox.work();
    let mount = |source: &str, name: &str| {
        format!(
            "type=bind,source={}/{source},target=/run/pixi-offline/{name},readonly",
            work.display()
        )
    };
    let build = values(&containers[0].1, "--mount");
    assert_eq!(
        build[4..],
        [
            mount("company.pem", "ca-1.pem"),
            mount("netrc", "netrc"),
            mount("auth.json", "auth.json"),
            mount(
                "W/out/.pixi-offline-out/.pixi-offline-new-roots",
                "roots.pem"
            ),
        ]
    );
    let verify = containers[1].1.join(" ");
    assert!(!verify.contains("/run/pixi-offline"), "{verify}");

    // What the script is told to do with them.
    let build = fake
        .calls()
        .into_iter()
        .find(|call| call[0] == "run" && call[1] == "--interactive");
    let args = build.unwrap();
    assert!(
        args.last().unwrap().ends_with(&format!(
            "\nnetwork_files='/run/pixi-offline'\nnetwork_variables='{VARIABLES}'\n"
        )),
        "{args:?}"
    );

    // Nowhere on this side, but where they were; nothing is left beside.
    let grep = |text: &str| {
        let args = ["-rlF", "--exclude-dir=helpers", text, "W"];
        let found = Run::of(fake.sandbox.program("grep").args(args));
        assert_eq!((found.code, found.stdout.as_str()), (1, ""), "{found}");
    };
    for text in [
        "company.pem",
        "auth.json",
        "/netrc",
        "BEGIN CERTIFICATE",
        SECRETS[0],
        SECRETS[1],
    ] {
        grep(text);
    }
    assert_eq!(
        names(&work),
        ["W", "auth.json", "company.pem", "demo", "netrc"]
    );
    assert_eq!(
        names(&work.join("W/out")),
        ["pixi-install.log", "verify.log"]
    );
}

#[test]
fn create_workdir_from_host_takes_the_same_files_and_no_proxy_by_itself() {
    let mut fake = with_files();
    fake.sandbox
        .set("HTTPS_PROXY", "http://proxy.corp.net:3128");
    let run = fake.create(&FILES);
    run.success().says_not("proxies of this environment");
    let (args, script) = fake.run_call();
    assert_eq!(values(&args, "--mount").len(), 8, "{args:?}");
    assert_eq!(values(&args, "--env"), [""; 0]);
    let files = format!("network_files='/run/pixi-offline'\nnetwork_variables='{VARIABLES}'\n");
    assert!(script[0].ends_with(&files), "{script:?}");
    assert_eq!(script.len(), 1);
    // Without files the variables are empty.
    let fake = Fake::new();
    fake.create::<&str>(&[]).success();
    let (args, script) = fake.run_call();
    assert_eq!(values(&args, "--mount").len(), 4);
    assert!(script[0].ends_with("\nnetwork_files=''\nnetwork_variables=''\n"));
    assert_eq!(script.len(), 1);
}

#[test]
fn a_variable_of_the_callers_is_left_as_it_is() {
    let fake = with_files();
    let own = words("--container-env SSL_CERT_FILE=/mine.pem --container-env NETRC=/mine");
    fake.create(&[&FILES[..], &own].concat()).success();
    let (_, script) = fake.run_call();
    let left = VARIABLES
        .replace("SSL_CERT_FILE ", "")
        .replace(" NETRC", "");
    assert!(script[0].ends_with(&format!("\nnetwork_variables='{left}'\n")));
    assert_eq!(script.len(), 1);
}

#[test]
fn a_dry_run_shows_the_files_and_no_secret() {
    let mut fake = with_files();
    fake.sandbox.set(
        "https_proxy",
        format!("http://joe:{}@proxy.corp.net:3128", SECRETS[0]),
    );
    for transfer in ["mount", "copy"] {
        let run = fake.run(
            "build-offline-product",
            &[&FILES[..], &["--dry-run", "-v", "--transfer", transfer]].concat(),
        );
        run.success()
            .prints("/run/pixi-offline")
            .prints(" --env https_proxy ");
        shows_no_secret(&run);
        let mounted = run
            .stdout
            .contains("company.pem,target=/run/pixi-offline/ca-1.pem,readonly");
        assert_eq!(mounted, transfer == "mount", "{run}");
        // A volume of its own beside that of the workdir, only read.
        let volume = run.stdout.contains("-1,target=/run/pixi-offline,ro ");
        assert_eq!(volume, transfer == "copy", "{run}");
    }
    assert_eq!(containers(&fake), []);
}

#[test]
fn logins_are_masked_in_stdout_and_log() {
    let basic = "am9lOnhvOEFldjN1L29oVCU5";
    let fake = with_files().with(json!({"phases": [
        ["install", format!("Bearer {} or joe:{}@h or {basic}\n", SECRETS[0], SECRETS[1]), 0],
    ]}));
    let run = fake.create(&FILES);
    run.success().prints("Bearer *** or ***@h or ***\n");
    shows_no_secret(&run);
    let log = fake.read("W/out/pixi-install.log");
    assert_eq!(log, "Bearer *** or ***@h or ***\n");
}

#[test]
fn files_that_are_not_what_they_should_be_end_with_2_before_anything_is_touched() {
    let fake = with_files();
    let key = CERTIFICATE.replace("CERTIFICATE", "EC PRIVATE KEY");
    fake.sandbox.write("key.pem", format!("{CERTIFICATE}{key}"));
    fake.sandbox
        .write("other.json", r#"{"auths": {"h": {"auth": "Ahf7Oiqu"}}}"#);
    fake.sandbox.write("words", "joe:Ahf7Oiqu\n");
    fake.sandbox.write("a\r\nb.pem", CERTIFICATE);
    symlink("nowhere", fake.path("dangling")).unwrap();
    for (args, text) in [
        (&["--ca-cert", "key.pem"][..], "has a private key"),
        (&["--ca-cert", "auth.json"], "is not PEM"),
        (&["--ca-cert", "missing.pem"], "cannot be read: "),
        (&["--ca-cert", "demo"], "cannot be read: "),
        (&["--ca-cert", "/dev/zero"], "cannot be read: "),
        (&["--ca-cert", "a\r\nb.pem"], "carriage return"),
        (&["--auth-file", "dangling"], "cannot be read: "),
        (
            &["--auth-file", "other.json"],
            "has no login of pixi for \"auths\"",
        ),
        (&["--auth-file", "words"], "is neither JSON nor a netrc"),
        (
            &["--auth-file", "company.pem"],
            "is neither JSON nor a netrc",
        ),
        (
            &["--auth-file", "netrc", "--auth-file", "./netrc"],
            "are both netrc files",
        ),
        (
            &["--auth-file", "netrc", "--container-workdir-path", "/run"],
            "--container-workdir-path /run and ",
        ),
    ] {
        for command in ["create-workdir-from-host", "build-offline-product"] {
            let run = fake.run(command, args);
            run.code(2).says(text);
            assert!(!run.stderr.contains("Ahf7Oiqu"), "{run}");
        }
    }
    assert!(!fake.path("W").exists());
    assert_eq!(containers(&fake), []);
}

#[test]
fn a_login_file_in_what_is_copied_is_refused_unless_it_is_left_out() {
    let fake = with_files();
    fs::create_dir(fake.path("data")).unwrap();
    for dir in ["demo", "data"] {
        fs::copy(fake.path("netrc"), fake.path(dir).join("my-netrc")).unwrap();
    }
    symlink("demo/my-netrc", fake.path("link")).unwrap();
    let off = ["--secrets", "off", "--auth-file"];
    for (file, args, code) in [
        ("demo/my-netrc", &[][..], 2),
        ("link", &[], 2),
        ("demo/my-netrc", &["--exclude", "my-*"], 0),
        ("data/my-netrc", &[], 0),
        (
            "data/my-netrc",
            &["--resources-dir", "data", "--exclude", "my-*"],
            2,
        ),
    ] {
        let run = fake.create(&[&off[..], &[file], args].concat());
        run.code(code);
        if code == 2 {
            run.says("is in what is copied into the product");
        }
    }
    // Nor does a workdir that is replaced take one along.
    fs::copy(fake.path("netrc"), fake.path("W/netrc")).unwrap();
    fake.create(&[&off[..], &["W/netrc"]].concat())
        .code(2)
        .says("a file of --ca-cert or --auth-file");
    assert!(fake.path("W/netrc").exists());
    // Nor a product that is.
    fake.run("build-offline-product", &["--output", "P"])
        .success();
    fs::copy(fake.path("netrc"), fake.path("P/netrc")).unwrap();
    fake.run(
        "build-offline-product",
        &[&off[..], &["P/netrc", "--output", "P"]].concat(),
    )
    .code(2)
    .says("--output ")
    .says("a file of --ca-cert or --auth-file");
    assert!(fake.path("P/netrc").exists());
}

#[test]
fn a_login_file_that_others_may_read_is_a_warning() {
    let fake = with_files();
    for (mode, warns) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(fake.path("netrc"), PermissionsExt::from_mode(mode)).unwrap();
        let run = fake.create(&["--auth-file", "netrc"]);
        run.success();
        let warned = run
            .stderr
            .contains("WARNING: other users of this machine may read ");
        assert_eq!(warned, warns, "{mode:o}: {run}");
    }
}

#[test]
fn proxies_of_the_environment_go_along_by_their_names_to_the_build_alone() {
    let mut fake = Fake::new();
    fake.sandbox.set(
        "HTTPS_PROXY",
        format!("http://joe:{}@proxy.corp.net:3128", SECRETS[0]),
    );
    fake.sandbox.set("no_proxy", "h.corp,10.0.0.0/8");
    fake.sandbox.set("HTTP_PROXY", "");
    fake.sandbox.set("ALL_PROXY", "socks5://127.0.0.1:1080");
    let fake = fake.with(
        json!({"phases": [["install", format!("{}\n", SECRETS[0]), 0], ["bootstrap", "", 0]]}),
    );
    let run = fake.run("build-offline-product", &["--verbose"]);
    run.success()
        .says("NOTE: the build gets the proxies of this environment: HTTPS_PROXY=http://***@proxy.corp.net:3128, no_proxy=h.corp,10.0.0.0/8; --no-proxies")
        .says("WARNING: ALL_PROXY=socks5://127.0.0.1:1080 is on this machine's loopback address")
        .says("--engine-arg --network=host")
        .prints("***\n");
    shows_no_secret(&run);
    let of_run = containers(&fake);
    assert_eq!(values(&of_run[0].1, "--env"), ["HTTPS_PROXY", "no_proxy"]);
    assert_eq!(values(&of_run[1].1, "--env"), [""; 0]);
    let all: String = fake.calls().concat().join(" ");
    assert!(!all.contains(SECRETS[0]), "{all}");

    for (args, passed) in [
        (&["--no-proxies"][..], &[][..]),
        (
            &["--container-env", "https_proxy=http://q"],
            &["https_proxy=http://q"],
        ),
        (
            &["--engine-arg", "--network=host"],
            &["HTTPS_PROXY", "ALL_PROXY", "no_proxy"],
        ),
    ] {
        let run = fake.run("build-offline-product", args);
        run.success();
        let containers = containers(&fake);
        let build = &containers[containers.len() - 2].1;
        assert_eq!(values(build, "--env"), passed, "{run}");
    }
}

#[test]
fn a_running_container_has_settings_of_its_own() {
    let mut fake = with_files();
    fake.sandbox
        .set("HTTPS_PROXY", "http://proxy.corp.net:3128");
    let args = ["--container-id", "box", "--project-path-in-container", "/p"];
    for option in [["--ca-cert", "company.pem"], ["--auth-file", "netrc"]] {
        fake.sandbox
            .run("build-offline-product", args.iter().chain(&option))
            .code(2)
            .says("docker cp auth.json box:/auth.json")
            .says("--container-env RATTLER_AUTH_FILE=/auth.json");
        fake.sandbox
            .run("create-workdir-from-container", args.iter().chain(&option))
            .code(2)
            .says("unexpected argument");
    }
    assert_eq!(fake.calls(), Vec::<Vec<String>>::new());
}

#[test]
fn what_keeps_a_build_out_names_the_option() {
    let rustls = "Error:   \u{d7} failed\n  \u{2570}\u{2500}\u{25b6} invalid peer certificate: UnknownIssuer\n";
    let login = "Error:   \u{d7} HTTP status client error (401 Unauthorized)\n";
    let proxy = "Error:   \u{d7} tunnel error: proxy authorization required\n";
    for (said, args, text) in [
        (rustls, &[][..], "give your company's with --ca-cert FILE"),
        (
            rustls,
            &["--ca-cert", "company.pem"],
            "that --ca-cert does not have",
        ),
        (login, &[], "give --auth-file FILE"),
        (
            login,
            &["--auth-file", "netrc"],
            "--auth-file has no login for it",
        ),
        (proxy, &[], "the proxy requires a login: set HTTPS_PROXY="),
    ] {
        let fake = with_files().with(json!({"phases": [["install", said, 1]]}));
        for command in ["create-workdir-from-host", "build-offline-product"] {
            fake.run(command, args)
                .code(1)
                .says(text)
                .says("; pixi says:");
        }
    }
}

#[test]
fn a_file_that_the_container_cannot_read_is_named() {
    let fake = with_files().with(json!({"signals": ["unreadable-file netrc", "finished 1"]}));
    let run = fake.create(&FILES);
    run.code(1)
        .says(&format!(
            "the container cannot read {}",
            fake.path("netrc").display()
        ))
        .says("--transfer copy");
}

#[test]
fn gpus_go_to_the_build_and_to_the_final_verification() {
    for (podman, gpus, args) in [
        (false, "all", "--gpus all "),
        (false, "device=0,1", "--gpus \"device=0,1\" "),
        (true, "all", "--device nvidia.com/gpu=all "),
        (
            true,
            "device=0,1",
            "--device nvidia.com/gpu=0 --device nvidia.com/gpu=1 ",
        ),
    ] {
        let fake = Fake::new().with(json!({"is_podman": podman}));
        let run = fake.run("build-offline-product", &["--gpus", gpus]);
        run.success();
        let of_run = containers(&fake);
        assert_eq!(of_run.len(), 2);
        for (_, call) in of_run {
            assert!(call.join(" ").contains(args), "{gpus}: {call:?}");
        }
        fake.verify(&["--gpus", gpus]).success();
        let last = containers(&fake).pop().unwrap();
        assert!(last.1.join(" ").contains(args), "{gpus}: {last:?}");
        fake.run("build-offline-product", &["--gpus", gpus, "--dry-run"])
            .success();
    }
    let fake = Fake::new().with(json!({"is_podman": true}));
    fake.create(&["--gpus", "2"])
        .code(2)
        .says("podman does not choose GPUs");
    assert!(!fake.path("W").exists());
    fake.create(&["--gpus", "some"])
        .code(2)
        .says("--gpus \"some\" names no GPUs");
}

#[test]
fn a_gpu_that_is_handed_over_needs_no_variable() {
    let fake = Fake::new();
    let lock = crate::fake::LOCK.replace(
        "linux-64: []",
        "linux-64:\n      - conda: http://conda.example/chan/linux-64/a-1-0.conda",
    );
    let package = "packages:\n- conda: http://conda.example/chan/linux-64/a-1-0.conda\n  sha256: 0000000000000000000000000000000000000000000000000000000000000000\n  depends:\n  - __cuda >=12.0\n";
    fake.sandbox
        .write("demo/pixi.lock", lock.replace("packages: []\n", package));
    let warning = "give --container-env CONDA_OVERRIDE_CUDA=12.0";
    fake.create::<&str>(&[]).success().says(warning);
    fake.create(&["--gpus", "all"]).success().says_not(warning);
}
