//! A small project, taken the whole way, each command shown.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use duct::cmd;
use pixi_offline::quote::pasteable_line;
use pixi_offline::staging::{HashPolicy, Rules, scan_tree};
use serde_json::Value;
use testbed::published::{Place, Published};

use crate::build;

/// Where the demo looks for an image and a channel before it makes some.
#[derive(Debug, Args)]
pub struct Options {
    /// An image with pixi, used where it is on the engine or can be pulled
    #[arg(long, value_name = "IMAGE", default_value_t = Published::default().image)]
    image: String,
    /// A conda channel with python 3.11, used where a container reaches it
    #[arg(long, value_name = "CHANNEL", default_value_t = Published::default().channel)]
    channel: String,
}

/// Runs the demo.
///
/// # Errors
/// When a part cannot be set up or a step fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let published = Published {
        image: options.image.clone(),
        channel: options.channel.clone(),
    };
    let mut times = StepTimes::default();
    let place = times.measure("set up engine, image and channel", || {
        published.or_made_here()
    })?;
    println!("{}", place.told);
    let binaries = times.measure("build the commands", || build::release(&[]))?;
    let dir = tempfile::Builder::new()
        .prefix("pixi-offline-demo-")
        .tempdir()?;
    let here = dir.path();
    times.measure("write and lock the project", || {
        project(&place, &here.join("demo"))
    })?;
    fs::create_dir(here.join("data"))?;
    fs::write(here.join("data/model.bin"), "weights of a model\n")?;

    let image = place.image.reference.as_str();
    let shell = DemoShell {
        here,
        binaries: &binaries,
    };
    times.measure("build-offline-product", || {
        shell.run(
            "build-offline-product",
            &[
                "--image",
                image,
                "--project-dir",
                "demo",
                "--resources-dir",
                "data",
                "--workdir",
                "workdir",
                "--env",
                "GREETING=hello from the product",
                "--expect-output",
                "report: ok",
                "--verify-task",
                "report",
            ],
        )
    })?;
    times.measure("install by hand at another path, network off", || {
        let product = here.join("workdir/product");
        let mount = format!("type=bind,source={},target=/mnt/carried,readonly", product.display());
        let script = "cp -a /mnt/carried '/srv/from the usb stick' && cd '/srv/from the usb stick' \
                      && ./bootstrap-project.sh && . ./envs.sh && cd demo && export VERIFY_OUT_DIR=/tmp \
                      && pixi run report && echo \"$GREETING\"";
        shell.run("docker", &[
            "run", "--rm", "--network", "none", "--mount", &mount, "--entrypoint", "bash", image, "-c", script,
        ])
    })?;

    println!("\n== the product");
    tree(&here.join("workdir/product"))?;
    println!("\n== what the final verification printed (workdir/proof/verify.offline.log)");
    print!(
        "{}",
        fs::read_to_string(here.join("workdir/proof/verify.offline.log"))?
    );
    println!("\n== what the product's evidence records (manifest.json, verification.json)");
    tell_evidence(&here.join("workdir/product"))?;
    println!("\n== how long each step took");
    times.print();
    Ok(())
}

/// Prints what the person who approves the product asks first.
fn tell_evidence(product: &Path) -> anyhow::Result<()> {
    let read = |name: &str| -> anyhow::Result<Value> {
        let file = product.join(name);
        let text = fs::read(&file).with_context(|| format!("{} is missing", file.display()))?;
        Ok(serde_json::from_slice(&text)?)
    };
    let (manifest, verification) = (read("manifest.json")?, read("verification.json")?);
    for (what, value) in [
        ("product", &verification["product_digest"]),
        ("lock", &manifest["project"]["lock"]["sha256"]),
        ("environments", &manifest["environments"]),
        ("platform", &manifest["platform"]),
        ("pixi", &manifest["build"]["pixi"]),
        ("image", &manifest["build"]["image"]["id"]),
        ("conda packages", &manifest["packages"]["conda"]),
        ("verification", &verification["outcome"]),
        ("network", &verification["network"]["mode"]),
        ("finished", &verification["finished"]),
    ] {
        anyhow::ensure!(!value.is_null(), "the product does not say its {what}");
        println!("{what:>15}: {}", value.to_string().replace('"', ""));
    }
    for ran in verification["ran"].as_array().into_iter().flatten() {
        println!(
            "{:>15}: {} ended with {}",
            "ran", ran["command"], ran["exit_code"]
        );
    }
    Ok(())
}

/// Writes the demo's project and locks it: the channel's address is not known
/// before it is served.
fn project(place: &Place, dir: &Path) -> anyhow::Result<()> {
    let source = build::workspace().join("tests/demo-project");
    fs::create_dir_all(dir.join("src"))?;
    let manifest = fs::read_to_string(source.join("pixi.toml"))?
        .replace("CHANNEL", &place.channel)
        .replace("PLATFORM", place.subdir);
    fs::write(dir.join("pixi.toml"), manifest)?;
    fs::copy(source.join("src/report.py"), dir.join("src/report.py"))?;
    testbed::project::lock_project(&place.image.reference, dir)
}

/// Runs commands in the demo's directory and shows them.
struct DemoShell<'a> {
    here: &'a Path,
    binaries: &'a Path,
}

impl DemoShell<'_> {
    fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<()> {
        let all = std::iter::once(&program).chain(args);
        println!("\n$ {}", pasteable_line(all));
        let own = self.binaries.join(program);
        // As text: a path without a directory is one of the current directory's to duct.
        let file: OsString = match own.is_file() {
            true => own.into(),
            false => program.into(),
        };
        cmd(file, args)
            .dir(self.here)
            .run()
            .with_context(|| format!("{program} failed"))?;
        Ok(())
    }
}

/// Prints a directory, and of each directory in it the names, with how much is below these.
fn tree(dir: &Path) -> anyhow::Result<()> {
    for (name, is_dir) in entries(dir)? {
        println!("{name}{}", if is_dir { "/" } else { "" });
        let inner = dir.join(&name);
        for (name, is_dir) in if is_dir { entries(&inner)? } else { Vec::new() } {
            if is_dir {
                let below = inner.join(&name);
                let count = scan_tree(&below, &Rules::new(), &|_, _| HashPolicy::Skip)?
                    .kept
                    .entries;
                println!("  {name}/  ({count} entries)");
            } else {
                println!("  {name}");
            }
        }
    }
    Ok(())
}

/// What is in a directory, by name, and whether each is a directory.
fn entries(dir: &Path) -> anyhow::Result<Vec<(String, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().display().to_string();
        entries.push((name, entry.file_type()?.is_dir()));
    }
    entries.sort();
    Ok(entries)
}

/// How long the steps took.
#[derive(Default)]
struct StepTimes(Vec<(String, Duration)>);

impl StepTimes {
    fn measure<T>(
        &mut self,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        let done = step()?;
        self.0.push((what.to_owned(), start.elapsed()));
        Ok(done)
    }

    fn print(&self) {
        for (what, time) in &self.0 {
            println!("{:>8.2} s  {what}", time.as_secs_f64());
        }
    }
}
