//! Proxies of the engine's configuration, with user and password.

use std::fs;

use testbed::project::Manifest;
use testbed::sandbox::Run;

use crate::real::{Real, channel, image};

const PASSWORD: &str = "Ahf7Oiqu-Kei4vohz";

#[test]
fn credentials_of_the_engines_configuration_reach_neither_logs_nor_product() {
    let mut real = Real::with_project(&image().reference, &Manifest::usual("demo"));
    let dir = real.sandbox.root().join("docker-configuration");
    fs::create_dir(&dir).unwrap();
    let proxy = format!("http://joe:{PASSWORD}@127.0.0.1:9");
    let authority = channel().url.split('/').nth(2).unwrap();
    let channel = authority.split(':').next().unwrap();
    let configuration = serde_json::json!({"proxies": {"default": {
        "httpProxy": proxy, "httpsProxy": proxy, "noProxy": channel,
    }}});
    fs::write(dir.join("config.json"), configuration.to_string()).unwrap();
    real.sandbox.set("DOCKER_CONFIG", &dir);
    let script = "import os; [print(k.upper(), v) for k, v in os.environ.items()]";
    let verification = ["--verify-run", "--", "python", "-c", script];

    let run = real.create(&verification);
    // It was there, and pixi and the program saw it.
    run.success().prints("HTTP_PROXY http://***@127.0.0.1:9\n");
    let made = real.make::<&str>(&[]);
    made.success();
    let mut args = vec!["--project-name", "demo"];
    args.extend(verification);
    let verified = real.verify(&args);
    verified.success();
    assert!(!verified.stdout.contains("_PROXY"), "{verified}");

    for run in [&run, &made, &verified] {
        assert!(
            !run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD),
            "{run}"
        );
    }
    let log = real.read("W/out/verify.log");
    assert!(log.contains("HTTP_PROXY http://***@"), "{log}");
    // Nowhere in the workdir, with its logs, cache and product, or beside.
    let grep = ["-rlF", PASSWORD, "W", "O"];
    let found = Run::of(real.sandbox.program("grep").args(grep));
    assert_eq!((found.code, found.stdout.as_str()), (1, ""), "{found}");
    testbed::ran(
        "credentials_of_the_engines_configuration_reach_neither_logs_nor_product",
        3,
    );
}
