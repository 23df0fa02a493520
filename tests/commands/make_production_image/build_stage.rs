//! The build stage takes the product that the Dockerfile names and no other.

use std::path::PathBuf;
use std::process::Command;

use super::*;

/// The part of the build stage's script that compares the product, to be run on this
/// machine with `root` in the place of the stage's directory.
fn comparison(fake: &Fake, root: &str) -> PathBuf {
    make(fake, &["--emit-dockerfile", "E", "--force"]).success();
    let script = fake.read("E/build.sh");
    let (compares, _) = script
        .split_once("# ---- The project at its place.")
        .unwrap();
    let file = fake.path("compare.sh");
    fs::write(
        &file,
        compares.replace("/pixi-offline/", &format!("{root}/")),
    )
    .unwrap();
    file
}

/// The product's digest, as the Dockerfile has it.
fn digest_in_dockerfile(fake: &Fake) -> String {
    let text = fake.read("E/Dockerfile");
    let line = text.lines().find(|line| line.starts_with("RUN ")).unwrap();
    let args: Vec<String> = serde_json::from_str(&line[4..]).unwrap();
    args[5].clone()
}

/// What is done to a product, as a script of sh that runs in it.
type Change = (&'static str, &'static str);

/// Each is refused.
const TAMPERED: [Change; 22] = [
    ("added file", "echo x >demo/sitecustomize.py"),
    ("added program", "mkdir bin && echo x >bin/pixi"),
    ("added at the top", "echo x >x"),
    ("added below res", "echo x >res/x"),
    ("added directory", "mkdir pkg-cache/x"),
    ("added link", "ln -s x demo/x"),
    ("added pipe", "mkfifo demo/x"),
    (
        "added with a newline",
        r#"echo x >"$(printf 'demo/a\nb"file"')""#,
    ),
    ("environment", "mkdir -p demo/.pixi/envs/default/bin"),
    ("link for .pixi", "ln -s /tmp demo/.pixi"),
    ("changed bytes", "echo x >demo/src/main.py"),
    ("changed script", "echo x >envs.sh"),
    ("missing", "rm demo/src/main.py"),
    ("changed link", "ln -sfn two demo/empty/link"),
    (
        "link for a file of the same bytes",
        "rm demo/empty/one && ln -s two demo/empty/one",
    ),
    (
        "one link for another",
        "rm demo/empty/link && ln -s one demo/empty/other",
    ),
    (
        "directory for a directory",
        "rmdir 'demo/odd/a b.dir' && mkdir demo/odd/other.dir",
    ),
    ("lists of its own", "sed -i 1d SHA256SUMS"),
    (
        "changed manifest",
        "sed -i s,demo/odd,demo/0dd, manifest.json",
    ),
    ("no manifest", "rm manifest.json"),
    ("no lists", "rm SHA256SUMS"),
    (
        "a directory of an uncovered name",
        "rm -f report.html && mkdir report.html",
    ),
];

/// Each is the product still. The last one is a copy under another umask.
const SAME: [Change; 4] = [
    ("as it was made", "true"),
    ("no resources", "rm -r res"),
    ("a directory for environments", "mkdir demo/.pixi"),
    (
        "closed to others",
        "chmod 600 demo/src/main.py && chmod 700 demo/src",
    ),
];

/// Modes that are refused.
const MODES: [(&str, u32); 8] = [
    ("bootstrap-project.sh", 0o644),
    ("demo/src/main.py", 0o755),
    ("demo/src/main.py", 0o645),
    ("demo/src/main.py", 0o664),
    ("demo/src/main.py", 0o4644),
    ("demo/src/main.py", 0o044),
    ("demo/odd/new\nline", 0o666),
    ("demo/src", 0o777),
];

/// The programs that the script may use, of busybox.
const APPLETS: [&str; 17] = [
    "sh",
    "sed",
    "cut",
    "sort",
    "uniq",
    "head",
    "find",
    "grep",
    "sha256sum",
    "od",
    "awk",
    "tr",
    "rm",
    "rmdir",
    "readlink",
    "cat",
    "stat",
];

/// A verified product with odd names, and what compares copies of it.
struct Stage {
    fake: Fake,
    script: PathBuf,
    digest: String,
    applets: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let fake = Fake::new();
        for name in [
            "a b",
            "c%d",
            "q\"uote",
            "back\\slash",
            "new\nline",
            "grün",
            "-dash",
            "\x1b[2J",
        ] {
            fake.sandbox.write(format!("demo/odd/{name}"), name);
            symlink(name, fake.path("demo/odd").join(format!("{name}.link"))).unwrap();
            fs::create_dir(fake.path("demo/odd").join(format!("{name}.dir"))).unwrap();
        }
        fs::remove_dir_all(fake.path("demo/.pixi")).unwrap();
        fake.sandbox.write("demo/empty/one", "");
        fake.sandbox.write("demo/empty/two", "");
        symlink("one", fake.path("demo/empty/link")).unwrap();
        fake.sandbox.write("res/model.bin", "model");
        fake.create(&["--resources-dir", "res"]).success();
        for (command, args) in [
            ("make-archive-ready-product", "--workdir W --cache full"),
            (
                "final-verify-product",
                "--image img:1 --product-dir W/product --out-dir O --attach",
            ),
        ] {
            fake.sandbox.run(command, args.split(' ')).success();
        }
        let script = comparison(&fake, fake.path("stage").to_str().unwrap());
        let digest = digest_in_dockerfile(&fake);
        let busybox = testbed::ensure_debian_package("busybox", "busybox").unwrap();
        let applets = fake.path("applets");
        fs::create_dir(&applets).unwrap();
        for name in APPLETS {
            symlink(&busybox, applets.join(name)).unwrap();
        }
        Stage {
            fake,
            script,
            digest,
            applets,
        }
    }

    /// Runs the comparison over a copy of the product, after a change to it.
    fn run(&self, command: &mut Command, change: &str) -> Run {
        let root = self.fake.path("stage");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        let change = format!("cp -a W/product stage && cd stage/product && {change}");
        Run::of(self.shell("sh").args(["-c", &change])).success();
        let args = ["demo", "default", "/app", &self.digest];
        Run::of(command.arg(&self.script).args(args))
    }

    fn shell(&self, name: &str) -> Command {
        self.fake.sandbox.program(name)
    }

    fn busybox(&self) -> Command {
        let mut command = self.fake.sandbox.program(self.applets.join("sh"));
        command.env("PATH", &self.applets);
        command
    }
}

#[test]
fn the_build_stage_takes_the_product_that_the_dockerfile_names_and_no_other() {
    let test = "the_build_stage_takes_the_product_that_the_dockerfile_names_and_no_other";
    let stage = Stage::new();
    for (what, change) in SAME {
        for shell in ["sh", "bash"] {
            let run = stage.run(&mut stage.shell(shell), change);
            assert_eq!(run.code, 0, "{what}: {run}");
        }
    }
    // The sha256sum of busybox knows no escaped names.
    stage
        .run(&mut stage.busybox(), "true")
        .code(1)
        .says("ERROR: ");
    for (path, mode) in MODES {
        let change = format!("chmod {mode:o} '{path}'");
        stage
            .run(&mut stage.shell("sh"), &change)
            .code(1)
            .says("these have other modes than manifest.json lists: ")
            .says(path.split('\n').next().unwrap())
            .says(&format!("({mode:04o}, "));
    }
    for (what, change) in TAMPERED {
        for command in [&mut stage.shell("sh"), &mut stage.busybox()] {
            let run = stage.run(command, change);
            assert_eq!(run.code, 1, "{what}: {run}");
            run.says("the product beside the Dockerfile is not the one");
        }
    }
    testbed::ran(test, 2 * TAMPERED.len() as u64);
}
