//! One project's way from a directory to an environment on another machine.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use testbed::images::PixiImage;
use testbed::project::{lock_project_at, lock_project_in};
use testbed::sandbox::{Run, Sandbox};

use crate::kinds::draft::PROVED;
use crate::kinds::kind::Kind;
use crate::kinds::parts::Parts;
use crate::kinds::table::Expected;
use crate::listing::listing;

/// A step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// pixi writes the lock.
    Lock,
    /// create-workdir-from-host, with a verification.
    Create,
    /// make-archive-ready-product.
    Make,
    /// final-verify-product.
    FinalVerify,
    /// By hand, at the target.
    Target,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Lock => "lock",
            Stage::Create => "create",
            Stage::Make => "make",
            Stage::FinalVerify => "final-verify",
            Stage::Target => "target",
        })
    }
}

/// Where it did not go on.
pub struct Failure {
    pub stage: Stage,
    pub output: String,
}

impl Failure {
    /// The line that the table names, or else the last ones.
    pub fn gist(&self, expected: &Expected) -> String {
        let named = expected.saying().and_then(|saying| {
            let line = self.output.lines().find(|line| line.contains(saying))?;
            Some(line.trim().to_owned())
        });
        named.unwrap_or_else(|| {
            let lines: Vec<&str> = self.output.trim_end().lines().collect();
            lines[lines.len().saturating_sub(3)..].join(" / ")
        })
    }
}

/// What an environment that works at the target showed.
pub struct Proof {
    /// Whether pixi saw a clock two days on; a static program does not load faketime.
    pub later: bool,
}

/// Where the project is, and what it may need around it.
pub const PROJECT: &str = "mono/apps/demo";

/// Takes the kind's project all the way.
pub fn take(kind: &Kind, image: &PixiImage, parts: &Parts) -> Result<Proof, Failure> {
    let with_backends = kind.needs_backends.then(|| parts.with_backends(image));
    let journey = Journey {
        build_image: &with_backends.as_ref().unwrap_or(image).reference,
        ..Journey::new(&image.reference)
    };
    let (root, project) = (journey.path("mono"), journey.path(PROJECT));
    fs::create_dir_all(&project).unwrap();
    let draft = (kind.draft)(parts, &project);
    draft.write(&project, image, parts);
    // As a person locks it: where it is, unless the kind is about that.
    let locked = match (draft.in_root, draft.locked_at) {
        (false, place) => {
            let place = place.map_or(project.as_path(), Path::new).to_str();
            lock_project_at(journey.build_image, &project, place.unwrap())
        }
        (true, _) => {
            let below = project.strip_prefix(&root).unwrap().to_str().unwrap();
            lock_project_in(journey.build_image, &root, below, root.to_str().unwrap())
        }
    };
    at(Stage::Lock, locked.map_err(|error| format!("{error:#}")))?;
    let lock = fs::read(project.join("pixi.lock")).unwrap();
    let require_same_lock = |stage, project: &str| {
        let same = fs::read(journey.path(project).join("pixi.lock")).unwrap() == lock;
        require(stage, same, "pixi.lock was changed")
    };

    let prove = ["--verify-run", "--", "python", "prove.py"];
    let mut args = vec!["--project-dir", PROJECT, "--workdir", "W"];
    args.extend(&draft.create);
    if draft.in_root {
        args.extend(["--source-root", "mono"]);
    }
    journey.dry_run(&args)?;
    args.extend(prove);
    journey.step(Stage::Create, "create-workdir-from-host", &args)?;
    let in_root = if draft.in_root { "/apps/demo" } else { "" };
    if draft.is_absolute {
        let original = fs::read(journey.path("W/pixi.lock.original"));
        let same = original.is_ok_and(|original| original == lock);
        require(Stage::Create, same, "the project's own lock was not kept")?;
    } else {
        require_same_lock(Stage::Create, &format!("W/project/demo{in_root}"))?;
    }
    require_same_lock(Stage::Create, PROJECT)?;

    let args = ["--workdir", "W"];
    journey.step(Stage::Make, "make-archive-ready-product", &args)?;
    if draft.changes_lock() {
        let original = journey.path("W/product/pixi.lock.original");
        let same = fs::read(original).unwrap() == lock;
        require(Stage::Make, same, "pixi.lock.original is not pixi.lock")?;
        let built = fs::read_to_string(journey.path(&format!("W/product/demo{in_root}/pixi.lock")))
            .unwrap();
        for (left, what) in [
            ("conda_source", "a source package"),
            (root.to_str().unwrap(), "an absolute path"),
        ] {
            let what = format!("{what} is left in the product's lock");
            require(Stage::Make, !built.contains(left), &what)?;
        }
    } else {
        require_same_lock(Stage::Make, &format!("W/product/demo{in_root}"))?;
    }
    let product = journey.path("W/product");
    let before = listing(&product);

    let mut args = vec!["--product-dir", "W/product", "--out-dir", "O"];
    args.extend(["--project-name", "demo"]);
    args.extend(prove);
    journey.step(Stage::FinalVerify, "final-verify-product", &args)?;
    let same = listing(&product) == before;
    require(
        Stage::FinalVerify,
        same,
        "the product was changed by being verified",
    )?;

    at(Stage::Target, journey.at_the_target(&product))
}

fn at<T>(stage: Stage, result: Result<T, String>) -> Result<T, Failure> {
    result.map_err(|output| Failure { stage, output })
}

fn require(stage: Stage, holds: bool, otherwise: &str) -> Result<(), Failure> {
    at(
        stage,
        holds.then_some(()).ok_or_else(|| otherwise.to_owned()),
    )
}

/// Runs at the target; the product is at /carried/it and stays as it is.
const TARGET: &str = include_str!("target.sh");

/// The least by which the clock at the target must be later.
const NEARLY_TWO_DAYS: u64 = 47 * 60 * 60;

pub struct Journey<'a> {
    pub sandbox: Sandbox,
    pub image: &'a str,
    /// The one that it is built in.
    pub build_image: &'a str,
}

impl Journey<'_> {
    pub fn new(image: &str) -> Journey<'_> {
        let mut sandbox = Sandbox::new();
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
            if let Some(value) = std::env::var_os(name) {
                sandbox.set(name, value);
            }
        }
        Journey {
            sandbox,
            image,
            build_image: image,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.work().join(name)
    }

    fn step(&self, stage: Stage, command: &str, args: &[&str]) -> Result<(), Failure> {
        let runs_a_container = stage != Stage::Make;
        let image = match stage {
            Stage::Create => self.build_image,
            _ => self.image,
        };
        let image = ["--image", image];
        let image = image.iter().filter(|_| runs_a_container);
        let run = self.sandbox.run(command, image.chain(args));
        let well = run.code == 0 && (!runs_a_container || run.stdout.contains(PROVED));
        require(stage, well, &run.to_string())
    }

    /// Requires that a dry run takes what the run takes.
    fn dry_run(&self, args: &[&str]) -> Result<(), Failure> {
        let image = ["--image", self.build_image, "--dry-run"];
        let args = image.iter().chain(args);
        let run = self.sandbox.run("build-offline-product", args);
        require(Stage::Create, run.code == 0, &run.to_string())
    }

    /// Another path, another user, an empty home, no network, two days later.
    pub fn at_the_target(&self, product: &Path) -> Result<Proof, String> {
        let mount = format!(
            "type=bind,source={},target=/carried/it,readonly",
            product.display()
        );
        let mut docker = Command::new("docker");
        docker
            .args(["run", "--rm", "--init", "--network", "none"])
            .args(["--user", "4242:4242", "--mount", &mount])
            .args(["--tmpfs", "/elsewhere:exec,mode=0777"])
            .args(["--entrypoint", "bash", self.image, "-euc", TARGET]);
        let run = Run::of(&mut docker);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let word_after = |name: &str| {
            let mut words = run
                .stdout
                .lines()
                .filter_map(|line| line.strip_prefix(name));
            words.next().unwrap_or_default().trim()
        };
        let attempts = word_after("attempts to reach the network:");
        let clock = word_after("clock:").parse().unwrap_or(0);
        let faketime = word_after("faketime in pixi:");
        if run.code != 0 || !run.stdout.contains(PROVED) {
            Err(run.to_string())
        } else if attempts != "0" {
            Err(format!("something tried to reach the network\n{run}"))
        } else if clock < now.as_secs() + NEARLY_TWO_DAYS || faketime == "absent" {
            Err(format!("the clock was not two days on\n{run}"))
        } else {
            Ok(Proof {
                later: faketime == "loaded",
            })
        }
    }
}
