//! What is in an image, and what its entry point makes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use testbed::images::Variant;
use testbed::project::Manifest;
use testbed::sandbox::words;

use crate::production_image::parts::{
    Name, added, base, docker, make, nothing_is_left, project, verified,
};
use crate::real::{Real, image, images};

/// A time that is in no other file: 2020-01-02 03:04:05 UTC, and a bit.
const SECONDS: u64 = 1_577_934_245;

fn put(real: &Real, name: &str, text: &str, mode: u32) {
    let file = real.sandbox.write(format!("demo/{name}"), text);
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(SECONDS * 1000 + 678);
    fs::File::open(&file).unwrap().set_modified(time).unwrap();
}

/// Several environments, a package with its prefix in text and binary files, activation
/// scripts of a package and of the project, and what else an entry point must stand.
fn awkward(young: bool) -> Manifest {
    let usual = Manifest::usual("demo").lines(
        "[activation]\nscripts = [\"my setup.sh\"]\n\n[feature.extra.dependencies]\nflavour = \"1.0\"\n\n\
         [environments]\nprod = [\"extra\"]\n",
    );
    if !young {
        return usual;
    }
    usual.lines("[feature.extra.activation.env]\nSTAGE = \"it's \\\"prod\\\" in $CONDA_PREFIX\"\n")
}

#[test]
fn an_image_has_one_environment_the_project_and_what_activates_it() {
    for image in images() {
        let young = image.version >= semver::Version::new(0, 74, 0);
        let real = project("contents", &image.reference, &awkward(young));
        put(
            &real,
            "my setup.sh",
            "words=(a b c)\nexport FROM_SCRIPT=\"${words[1]} $PWD\"\n",
            0o644,
        );
        put(
            &real,
            "tools/run it.sh",
            "#!/bin/sh\necho \"ran $0\"\n",
            0o750,
        );
        put(&real, "data/$x.txt", "x", 0o444);
        put(&real, "notes.md", "x", 0o644);
        fs::set_permissions(real.path("demo/data"), fs::Permissions::from_mode(0o751)).unwrap();
        std::os::unix::fs::symlink("tools/run it.sh", real.path("demo/link")).unwrap();
        real.sandbox.write("data/model", "weights");
        verified(
            &real,
            &["-e", "prod", "-e", "default", "--resources-dir", "data"],
        );

        // The whole project.
        let name = Name::new(&format!("contents-{}", image.version));
        let args = [
            "--tag",
            &name.0,
            "-e",
            "prod",
            "--app-dir",
            "/srv/the-app",
            "--env",
            "A=a $b \"c\" \\ 'd'",
            "--resources-dir",
            "/srv/data",
            "--",
            "python",
            "-c",
            "print('by itself')",
        ];
        make(&real, &args).success();
        nothing_is_left(&real);
        name.run(&[]).success().prints("by itself");
        let app = "/srv/the-app";
        name.run(&["prefix-tool"])
            .success()
            .prints(&format!("script: {app}/.pixi/envs/prod\n"))
            .prints(&format!("binary: {app}/.pixi/envs/prod\n"))
            .prints(&format!(
                "activated: {app}/.pixi/envs/prod/share/prefix-tool\n"
            ));
        name.run(&["flavour"]).success().prints("flavour 1.0");
        let run = name.run(&["sh", "-c", "env; cat \"$PRODUCT_RES_DIR/model\"; ./link"]);
        run.success()
            .prints("A=a $b \"c\" \\ 'd'\n")
            .prints(&format!("FROM_SCRIPT=b {app}\n"))
            .prints("weights")
            .prints("ran ./link");
        if young {
            run.prints(&format!("STAGE=it's \"prod\" in {app}/.pixi/envs/prod\n"));
        }
        for gone in words("PIXI_EXE PIXI_CACHE_DIR PIXI_PROMPT PS1= PRODUCT_ROOT pixi-offline") {
            assert!(!run.stdout.contains(gone), "{gone}\n{run}");
        }
        let path = run
            .stdout
            .lines()
            .find(|line| line.starts_with("PATH="))
            .unwrap();
        let of_base = docker(&[
            "run",
            "--rm",
            "--network",
            "none",
            base(),
            "printenv",
            "PATH",
        ]);
        assert_eq!(
            path,
            format!("PATH={app}/.pixi/envs/prod/bin:{}", of_base.stdout.trim())
        );
        name.run(&["sh", "-c", "exit 42"]).code(42);
        past_the_entry_point(&name, &run.stdout, app);
        assert_eq!(run.stdout.contains("PIXI_IN_SHELL=1\n"), young, "{run}");
        modules_of_the_users_own(&name, app);

        let seen = added(&name.0, base());
        let other = "srv/the-app/.pixi/envs/default";
        assert!(!seen.contains_key(other), "another environment is there");
        assert_eq!(seen["srv/the-app/.pixi/entrypoint.sh"].mode & 0o7777, 0o755);
        for (path, mode) in [
            ("my setup.sh", 0o644),
            ("tools/run it.sh", 0o750),
            ("data/$x.txt", 0o444),
            ("notes.md", 0o644),
        ] {
            let there = &seen[&format!("srv/the-app/{path}")];
            assert_eq!(
                (there.mode & 0o7777, there.seconds),
                (mode, SECONDS),
                "{path}"
            );
        }
        assert_eq!(seen["srv/the-app/data"].mode & 0o7777, 0o751);
        assert_eq!(seen["srv/the-app/link"].kind, tar::EntryType::Symlink);
        assert!(!seen.contains_key("srv/the-app/.pixi/config.toml"));
    }
}

/// What is in the home of the container's user, and what `PYTHONPATH` names, come before the
/// environment's own only where they are kept.
fn modules_of_the_users_own(name: &Name, app: &str) {
    // The root file system is read-only.
    let inside = "import colorsys; print(colorsys.__file__)";
    let script = format!(
        "export HOME=/dev/shm/home; own=$HOME/.local/lib/python3.11/site-packages; mkdir -p \"$own\" /dev/shm/wrong
echo 'print(\"WRONG HOME\")' >\"$own\"/usercustomize.py
echo 'print(\"WRONG PATH\")' >/dev/shm/wrong/colorsys.py
export PYTHONPATH=/dev/shm/wrong; unset PYTHONNOUSERSITE
entry={app}/.pixi/entrypoint.sh
echo 1: $(\"$entry\" python -c '{inside}')
echo 2: $(PIXI_OFFLINE_USER_PACKAGES=keep \"$entry\" python -c '{inside}')"
    );
    name.run(&["sh", "-ec", &script])
        .success()
        .prints(&format!(
            "1: {app}/.pixi/envs/prod/lib/python3.11/colorsys.py\n"
        ))
        .prints("2: WRONG HOME WRONG PATH /dev/shm/wrong/colorsys.py\n");
}

/// What is started without the entry point finds the environment, and each variable that it
/// has is what the entry point gives.
fn past_the_entry_point(name: &Name, through: &str, app: &str) {
    let prefix = format!("{app}/.pixi/envs/prod");
    let start = |program: &str, args: &[&str]| {
        let engine = ["run", "--rm", "--network", "none", "--entrypoint", program];
        docker(&[&engine[..], &[&name.0], args].concat())
    };
    let past = start("env", &[]);
    past.success()
        .prints(&format!("PATH={prefix}/bin:"))
        .prints(&format!("CONDA_PREFIX={prefix}\n"))
        .prints("CONDA_DEFAULT_ENV=demo:prod\n")
        .prints("PIXI_ENVIRONMENT_PLATFORMS=linux-64\n")
        .prints("PIXI_PROJECT_VERSION=1.0.0\n")
        .prints(&format!("PIXI_PROJECT_ROOT={app}\n"));
    for line in past.stdout.lines() {
        let own = ["HOSTNAME=", "HOME="]
            .iter()
            .any(|name| line.starts_with(name));
        assert!(
            own || through.lines().any(|one| one == line),
            "{line}\n{through}"
        );
    }
    if through.contains("STAGE=") {
        past.prints(&format!("STAGE=it's \"prod\" in {prefix}\n"));
    }
    start("python", &["-c", "import sys; print(sys.prefix)"])
        .success()
        .prints(&prefix);
    start("flavour", &[]).success().prints("flavour 1.0");

    // docker exec, in a container whose process went through the entry point or not.
    let container = docker(&[
        "run",
        "--detach",
        "--network",
        "none",
        &name.0,
        "sleep",
        "60",
    ]);
    let container = container.success().stdout.trim().to_owned();
    let inside = docker(&[
        "exec",
        &container,
        "python",
        "-c",
        "import sys; print(sys.prefix)",
    ]);
    docker(&["rm", "--force", &container]).success();
    inside.success().prints(&prefix);
}

#[test]
fn copy_takes_what_it_names_and_says_what_the_activation_lacks() {
    let real = project("copy", &image().reference, &awkward(false));
    put(&real, "my setup.sh", "export FROM_SCRIPT=yes\n", 0o644);
    put(&real, "src/deep/er/main.py", "print('main')\n", 0o640);
    put(&real, "src/deep/other.py", "", 0o644);
    put(&real, "secret.txt", "x", 0o644);
    fs::set_permissions(
        real.path("demo/src/deep"),
        fs::Permissions::from_mode(0o711),
    )
    .unwrap();
    verified(&real, &["-e", "prod"]);
    let name = Name::new("copy");

    make(&real, &["--tag", &name.0, "--copy", "src/deep/er"])
        .code(1)
        .says("the image was not built")
        .prints("add --copy my setup.sh");
    assert!(!name.exists());
    nothing_is_left(&real);

    // Verified before it has a name: the code is the command's, and there is no image.
    let copies = [
        "--tag",
        &name.0,
        "--copy",
        "src/deep/er",
        "--copy",
        "./my setup.sh",
    ];
    let verify = [
        "--verify-run",
        "--",
        "sh",
        "-c",
        "touch /srv/x && exit 1; exit 7",
    ];
    make(&real, &[&copies[..], &verify].concat())
        .code(7)
        .says("--verify-run failed with exit code 7");
    assert!(!name.exists());
    nothing_is_left(&real);

    let verify =
        words("--cmd python --cmd src/deep/er/main.py --verify-run -- printenv FROM_SCRIPT");
    make(
        &real,
        &[&copies[..], &["--user", "1000:1000"], &verify].concat(),
    )
    .success()
    .prints("\nyes\n")
    .says("WARNING: 1 file or directory of the project")
    .says("demo/src/deep/er/main.py");
    name.run(&[]).code(2);
    docker(&["run", "--rm", "--network", "none", "--user", "0", &name.0])
        .success()
        .prints("main");
    let seen = added(&name.0, base());
    let of_project: Vec<&str> = seen
        .keys()
        .filter_map(|path| path.strip_prefix("app/"))
        .filter(|path| !path.starts_with(".pixi"))
        .collect();
    assert_eq!(
        of_project,
        [
            "my setup.sh",
            "src",
            "src/deep",
            "src/deep/er",
            "src/deep/er/main.py"
        ]
    );
    assert_eq!(seen["app/src/deep"].mode & 0o7777, 0o711);
}

#[test]
fn a_base_without_bash_activates_with_its_sh() {
    let real = project("without-bash", &image().reference, &Manifest::usual("demo"));
    verified(&real, &[]);
    let bare = Variant::WithoutBash.of(base()).unwrap();
    let name = Name::new("without-bash");
    make(&real, &["--tag", &name.0, "--base-image", &bare])
        .success()
        .says("has no bash");
    name.run(&["prefix-tool"])
        .success()
        .prints("activated: /app/.pixi/envs/default/share/prefix-tool");
    name.run(&[]).code(2).says("no command");
}
