//! The same Dockerfile with each builder, and what hadolint says of it.

use testbed::project::Manifest;
use testbed::sandbox::Run;

use crate::production_image::parts::{
    Name, added, base, buildkit_client, make, nothing_is_left, project, prune, verified,
};
use crate::real::image;

/// What the image shall be.
const IMAGE: [&str; 12] = [
    "--user",
    "1000",
    "--expose",
    "8000-8001/tcp",
    "--env",
    "A=$b \\ \"c\"",
    "--label",
    "org.opencontainers.image.source=https://git.example/$x",
    "--healthcheck",
    "prefix-tool",
    "--",
    "prefix-tool",
];

#[test]
fn both_builders_make_the_same_image_of_the_emitted_dockerfile() {
    let real = project("builders", &image().reference, &Manifest::usual("demo"));
    verified(&real, &[]);
    let args = [&["--emit-dockerfile", "W"], &IMAGE[..]].concat();
    let run = make(&real, &args);
    run.success()
        .says("OK: Dockerfile written to: ")
        .says("Next: docker build --network none --tag localhost/demo ")
        .says_not("cp -a");
    make(&real, &args).code(2).says("already exists");

    let hadolint = testbed::ensure_hadolint().unwrap();
    let run = Run::of(
        real.sandbox
            .program(hadolint)
            .arg(real.path("W/Dockerfile")),
    );
    run.success();
    assert_eq!(run.stdout, "");

    // What an install in the product leaves is kept from the builder.
    real.sandbox
        .write("W/product/demo/.pixi/envs/default/stale", "x");
    let build = |client: &str, name: &Name, variable: &str| {
        let args = [
            "build",
            "--network",
            "none",
            "--force-rm",
            "--tag",
            &name.0,
            "W",
        ];
        let mut command = real.sandbox.program(client);
        Run::of(command.env("DOCKER_BUILDKIT", variable).args(args)).success();
        name.run(&[])
            .success()
            .prints("activated: /app/.pixi/envs/default/share/prefix-tool");
    };
    let classic = Name::new("by-hand-classic");
    build("docker", &classic, "0");
    // People who build by hand tidy up by hand.
    prune(&real.path("W/product"));
    let Some(client) = buildkit_client(&real.sandbox) else {
        testbed::skip(
            "builders::both_builders_make_the_same_image_of_the_emitted_dockerfile",
            "no client here builds with BuildKit",
        );
        return;
    };
    let buildkit = Name::new("by-hand-buildkit");
    build(&client, &buildkit, "1");

    // And through the command itself.
    let ours = Name::new("ours-buildkit");
    let args = ["--engine", &client, "--tag", &ours.0];
    make(&real, &[&args, &IMAGE[..]].concat()).success();
    nothing_is_left(&real);

    let normal = |name: &Name| {
        let config = name.inspect(
            "{{json .Config.Labels}}{{json .Config.Env}}{{json .Config.Entrypoint}}{{json .Config.Cmd}}\
             {{json .Config.User}}{{json .Config.ExposedPorts}}{{json .Config.Healthcheck}}{{json .Config.WorkingDir}}",
        );
        let files: Vec<(String, u32)> = added(&name.0, base())
            .into_iter()
            .map(|(path, seen)| (path, seen.mode))
            .collect();
        (config, files)
    };
    let first = normal(&classic);
    assert!(first.0.contains(r#""A=$b \\ \"c\"""#), "{}", first.0);
    assert!(first.0.contains("https://git.example/$x"), "{}", first.0);
    assert!(!first.1.iter().any(|(path, _)| path.ends_with("stale")));
    assert_eq!(first, normal(&buildkit));
    assert_eq!(first, normal(&ours));
}
