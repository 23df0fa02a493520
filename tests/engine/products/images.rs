//! Images as people have them.

use std::fs;
use std::process::Command;
use std::time::Instant;

use semver::Version;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use testbed::images::{Change, PixiImage, Variant, derived_image};
use testbed::project::Manifest;
use testbed::sandbox::{Run, names};

use crate::real::{Real, image, images};
use crate::running::SOON;

fn variant(variant: Variant) -> String {
    variant.of(&image().reference).unwrap()
}

fn project_on(image: &str) -> Real {
    let real = Real::with_project(&self::image().reference, &Manifest::usual("demo"));
    Real {
        image: image.to_owned(),
        ..real
    }
}

#[test]
fn an_entry_point_of_the_image_does_not_get_our_script() {
    let real = project_on(&variant(Variant::EchoEntrypoint));
    real.create(&["--verify-task", "where"])
        .success()
        .prints("/workdir/project/demo/.pixi");
    real.make::<&str>(&[]).success();
    real.verify(&["--project-name", "demo", "--verify-task", "where"])
        .success()
        .prints("/product/demo/.pixi");
}

/// Ways in which a shell can take our script, do nothing and end well.
#[derive(Debug, Clone, Copy)]
pub enum Swallowing {
    /// `sh` succeeds at once.
    ShIsTrue,
    /// `sh` prints its arguments, our script and its secret among them.
    ShIsEcho,
    /// `bash` succeeds at once.
    BashIsTrue,
    /// The profile that a login shell reads ends it.
    ProfileExits,
}

impl Swallowing {
    pub const ALL: [Swallowing; 4] = [
        Swallowing::ShIsTrue,
        Swallowing::ShIsEcho,
        Swallowing::BashIsTrue,
        Swallowing::ProfileExits,
    ];

    /// The command that makes it so.
    pub fn command(self) -> &'static str {
        match self {
            Swallowing::ShIsTrue => "cp --remove-destination /bin/true /bin/sh",
            Swallowing::ShIsEcho => "cp --remove-destination /bin/echo /bin/sh",
            Swallowing::BashIsTrue => "cp --remove-destination /bin/true /bin/bash",
            Swallowing::ProfileExits => "echo 'exit 0' >/etc/profile",
        }
    }
}

#[test]
fn an_image_that_swallows_our_script_cannot_end_in_success() {
    let real = project_on(&image().reference);
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    for (number, how) in Swallowing::ALL.into_iter().enumerate() {
        let lines = format!("RUN {}", how.command());
        let swallowing = derived_image(
            &format!("swallowing-{number}:test"),
            &image().reference,
            &[Change::Instructions(&lines)],
        )
        .unwrap();
        let usual = ["--verify-task", "where", "--image", &swallowing];
        let run = real.verify(&[&["--project-name", "demo"], &usual[..]].concat());
        run.code(1).says("did not start in image");
        let run = real.create(&[&["--workdir", "W2"], &usual[..]].concat());
        run.code(1).says("did not start in image");
        real.make(&["--workdir", "W2"]).code(2);
    }
    testbed::ran("an_image_that_swallows_our_script_cannot_end_in_success", 8);
}

#[test]
fn a_pixi_that_only_the_images_path_reaches_is_found() {
    let real = project_on(&variant(Variant::PixiOnlyOnImagePath));
    real.create(&["--verify-task", "where"])
        .success()
        .prints("/workdir/project/demo/.pixi");
    real.make::<&str>(&[]).success();
    real.verify(&["--project-name", "demo", "--verify-task", "where"])
        .success();
}

#[test]
fn no_pixi_is_said_with_127() {
    let real = project_on(&variant(Variant::WithoutPixi));
    real.create(&["--verify-task", "where"])
        .code(127)
        .says("the image has no pixi");
    let real = project_on(&image().reference);
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let real = Real {
        image: variant(Variant::WithoutPixi),
        ..real
    };
    real.verify::<&str>(&[]).code(127).prints("pixi not found");
}

/// Pixi before this version asks `ldd`, a bash script, which glibc there is, and
/// so installs nothing where there is no bash (seen with 0.15.2 and 0.77.0).
pub const NEEDS_NO_BASH: Version = Version::new(0, 77, 0);

#[test]
fn without_bash_the_build_falls_back_to_sh_and_the_final_verification_says_so() {
    let real = project_on(&variant(Variant::WithoutBash));
    // `pixi run` itself wants bash (0.77.0 does), an install does not.
    let run = real.create::<&str>(&[]);
    if image().version >= NEEDS_NO_BASH {
        run.success();
    } else {
        run.code(1).prints("__glibc").says("pixi install failed");
    }
    let real = project_on(&image().reference);
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let real = Real {
        image: variant(Variant::WithoutBash),
        ..real
    };
    real.verify::<&str>(&[]).code(127).says("no bash");
}

/// A `cp` that leaves a trace when the product is copied with it.
const TRACED_CP: &str = "#!/bin/sh\n: >/pixi-offline/out/cp-was-called\nexec /bin/cp \"$@\"\n";

#[test]
fn our_program_copies_the_product_and_where_it_cannot_start_the_images_cp() {
    let change = Change::Script {
        text: TRACED_CP,
        to: "/usr/local/bin/cp",
    };
    let traced = derived_image("traced-cp", &image().reference, &[change]).unwrap();
    let real = project_on(&traced);
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let args = ["--project-name", "demo", "--verify-task", "where"];
    real.verify(&args).success();
    let (out, trace) = (real.path("O"), "cp-was-called".to_owned());
    assert!(!names(&out).contains(&trace), "{:?}", names(&out));

    // In an image for another processor it cannot be started either.
    let test = "our_program_copies_the_product_and_where_it_cannot_start_the_images_cp";
    if !rustix::process::geteuid().is_root() {
        testbed::skip(test, "only root mounts file systems");
        return;
    }
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "noexec", "tmpfs"]);
    Run::of(mount.arg(&out)).success();
    let run = real.verify(&args);
    let left = names(&out);
    Run::of(Command::new("umount").arg(&out)).success();
    run.success();
    assert!(left.contains(&trace), "{left:?}");
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[test]
fn an_image_that_is_nowhere_is_said() {
    let real = project_on("pixi-offline-test/no-such-image:1");
    real.create::<&str>(&[])
        .code(125)
        .says("image pixi-offline-test/no-such-image:1 is not on this engine")
        .says("could not fetch it");
    assert!(!real.path("W").exists());
    let real = project_on(&image().reference);
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let real = Real {
        image: "pixi-offline-test/no-such-image:1".into(),
        ..real
    };
    real.verify::<&str>(&[])
        .code(125)
        .says("is not on this engine");
}

/// An image for a processor that this machine has not: its `sh` begins as a program of it does.
fn foreign_image() -> String {
    let reference = "pixi-offline-test/foreign:test";
    let mut shell = vec![0; 4096];
    // ELF, 64 bits, most significant byte first, executable, of machine 22: s390x.
    shell[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
    shell[16..20].copy_from_slice(&[0, 2, 0, 22]);
    let add = |archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    let mut layer = tar::Builder::new(Vec::new());
    add(&mut layer, "bin/sh", &shell);
    let layer = layer.into_inner().unwrap();
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&layer));
    let config = json!({
        "architecture": "s390x", "os": "linux", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest =
        json!([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]);
    let mut image = tar::Builder::new(Vec::new());
    add(&mut image, "layer.tar", &layer);
    add(&mut image, "config.json", config.to_string().as_bytes());
    add(&mut image, "manifest.json", manifest.to_string().as_bytes());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.tar");
    fs::write(&file, image.into_inner().unwrap()).unwrap();
    Run::of(Command::new("docker").arg("load").arg("--input").arg(&file)).success();
    reference.to_owned()
}

#[test]
fn an_image_of_another_processor_or_none_is_said_at_once_and_nothing_is_fetched() {
    let real = project_on(&image().reference);
    real.create::<&str>(&[]).success();
    real.make::<&str>(&[]).success();
    let before = fs::read(real.path("W/workdir.json")).unwrap();
    let foreign = foreign_image();
    let both = |run: &Run| {
        run.code(125)
            .says("is for linux/s390x")
            .says("cannot run it");
        let own = Run::of(Command::new("docker").args([
            "version",
            "--format",
            "{{.Server.Os}}/{{.Server.Arch}}",
        ]));
        run.says(own.stdout.trim());
    };
    let timed = |what: &str, run: &dyn Fn() -> Run| {
        let start = Instant::now();
        let run = run();
        let took = start.elapsed();
        eprintln!("{what}: said after {took:?}");
        assert!(took < SOON, "{what}: said after {took:?}");
        run
    };
    both(&timed("create", &|| real.create(&["--image", &foreign])));
    both(&timed("verify", &|| real.verify(&["--image", &foreign])));
    // It was said before anything was staged or made.
    assert_eq!(fs::read(real.path("W/workdir.json")).unwrap(), before);
    assert!(!real.path("O").exists());

    let missing = ["--image", "pixi-offline-test/no-such-image:1"];
    timed("missing", &|| real.verify(&missing))
        .code(125)
        .says("is not on this engine");
    assert!(!real.path("O").exists());
    let images = Run::of(Command::new("docker").args(["image", "inspect", missing[1]]));
    assert_ne!(images.code, 0);
    testbed::ran(
        "an_image_of_another_processor_or_none_is_said_at_once_and_nothing_is_fetched",
        3,
    );
}

/// Words that careless quoting breaks.
const AWKWARD: [&str; 12] = [
    "a b",
    "",
    "it's",
    "\"q\"",
    "$x",
    "`id`",
    "\\",
    "a\nb",
    "--",
    "-h",
    "*",
    "caf\u{e9}",
];

#[test]
fn args_reach_pixi_as_they_were_typed() {
    // It fills no cache, so the project must need nothing.
    let real = Real::with_project(&image().reference, &Manifest::new("demo"));
    let real = Real {
        image: variant(Variant::RecordingPixi),
        ..real
    };
    let args: Vec<&str> = ["--verify-run", "--"].into_iter().chain(AWKWARD).collect();
    let recorded = |file: &str| {
        let bytes = fs::read(real.path(file)).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.split_terminator('\0')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    real.create(&args).success();
    assert_eq!(recorded("W/out/recorded-argv"), AWKWARD);
    real.create(&["--verify-task", "my task's $name"]).success();
    assert_eq!(recorded("W/out/recorded-argv"), ["my task's $name"]);
    real.make::<&str>(&[]).success();
    let args: Vec<&str> = ["--project-name", "demo"].into_iter().chain(args).collect();
    real.verify(&args).success();
    assert_eq!(recorded("O/recorded-argv"), AWKWARD);
}

/// Pixi before this version expands `$x` in the arguments of `pixi run` (seen with 0.15.2; 0.77.0
/// passes them as they are).
const PASSES_ARGS: Version = Version::new(0, 77, 0);

#[test]
fn args_reach_the_program_as_they_were_typed() {
    let able: Vec<&PixiImage> = images()
        .iter()
        .filter(|image| image.version >= PASSES_ARGS)
        .collect();
    if able.is_empty() {
        testbed::skip(
            "images::args_reach_the_program_as_they_were_typed",
            "needs a pixi that passes words as they are, 0.77.0 or later; put one into pixi-bin/ of the cache directory",
        );
    }
    for image in able {
        let real = Real::with_project(&image.reference, &Manifest::usual("demo"));
        real.sandbox
            .write("demo/words.py", "import sys; print(repr(sys.argv[1:]))");
        let args = [
            "--verify-run",
            "--",
            "python",
            "words.py",
            "a b",
            "",
            "it's",
            "$x",
            "a\nb",
            "--",
            "*",
        ];
        let printed = r#"['a b', '', "it's", '$x', 'a\nb', '--', '*']"#;
        real.create(&args).success().prints(printed);
        real.make::<&str>(&[]).success();
        let args: Vec<&str> = ["--project-name", "demo"].into_iter().chain(args).collect();
        real.verify(&args).success().prints(printed);
    }
}
