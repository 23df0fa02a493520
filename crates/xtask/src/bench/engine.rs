//! What takes a container engine: what a build adds to a plain run, and a tree out of
//! a container.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use duct::cmd;
use pixi_offline::replacement::remove_folder;
use testbed::images::{Change, derived_image};

use super::page::Single;
use super::place::Place;
use super::race::{Runner, race};
use super::rows::{Limit, Measured, Programs, Row, STREAM, tree, words};

/// What create-workdir-from-host may add to a run, in milliseconds.
const ADDED: f64 = 200.0;

/// An image whose pixi does nothing at once.
fn image() -> anyhow::Result<String> {
    let parts = testbed::ensure_all()?;
    derived_image(
        "bench",
        &parts.image.reference,
        &[Change::Script {
            text: "#!/bin/sh\n[ \"$1\" != --version ] || echo pixi 0.77.0\n",
            to: "/usr/local/bin/pixi",
        }],
    )
}

/// What create-workdir-from-host adds to a plain run of the same.
pub fn added(programs: &Programs, rounds: usize) -> anyhow::Result<Single> {
    let image = image()?;
    let folder = tempfile::tempdir()?;
    let (source, workdir) = (folder.path().join("source"), folder.path().join("W"));
    let make = programs.part(&[&"make", &source, &"1", &"--files=tiny"]);
    cmd(&make[0], &make[1..]).stdout_null().run()?;
    let project = source.join("project/demo");
    let program = programs.0.join("create-workdir-from-host");
    let create = words([
        &program,
        &"--image",
        &image,
        &"--project-dir",
        &project,
        &"--workdir",
        &workdir,
    ]);
    let ours = Runner::new(
        "create-workdir-from-host",
        || Ok(remove_folder(&workdir)?),
        create.clone(),
    );
    let script = "pixi --version && pixi install --locked";
    let plain = words([
        &"docker",
        &"run",
        &"--rm",
        &"--entrypoint",
        &"bash",
        &image,
        &"-lc",
        &script,
    ]);
    let peer = Runner::new("docker run --rm", || Ok(()), plain);
    // A question to the engine that is answered at once.
    let asked = words([&"docker", &"image", &"inspect", &image]);
    let question = Runner::new("docker image inspect", || Ok(()), asked);
    let taken = race(&[&ours, &peer, &question], rounds)?;
    let added = (taken[0].as_secs_f64() - taken[1].as_secs_f64()) * 1e3;
    remove_folder(&workdir)?;
    Ok(Single {
        what: format!(
            "what create-workdir-from-host adds to a `docker run --rm` of the same ({:.0} ms), with {} calls of the engine's client where that has 1 (a question takes {:.0} ms)",
            taken[1].as_secs_f64() * 1e3,
            engine_calls(&create, folder.path())?,
            taken[2].as_secs_f64() * 1e3,
        ),
        found: format!("{added:.0} ms"),
        target: format!("under {ADDED} ms"),
        met: added < ADDED,
    })
}

/// How often a command starts the engine's client.
fn engine_calls(command: &[std::ffi::OsString], folder: &Path) -> anyhow::Result<usize> {
    let strace = testbed::ensure_debian_package("strace", "strace")?;
    let log = folder.join("trace");
    let mut traced = words([&"-f", &"-qq", &"-e", &"trace=execve", &"-o", &log]);
    traced.extend_from_slice(command);
    cmd(strace, traced).stdout_null().stderr_null().run()?;
    let text = fs::read_to_string(log)?;
    let is_start = |line: &&str| line.contains("/docker\"") && line.ends_with("= 0");
    Ok(text.lines().filter(is_start).count())
}

/// A container, removed when it is dropped.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        let removed = cmd!("docker", "rm", "--force", "--volumes", &self.0)
            .stdout_null()
            .run();
        if let Err(error) = removed {
            eprintln!("container {} is left: {error}", self.0);
        }
    }
}

/// A tree of `files` files out of a container onto `place`.
pub fn out_of_a_container(
    programs: &Programs,
    place: &Place,
    files: u64,
    rounds: usize,
) -> anyhow::Result<Measured> {
    let image = image()?;
    let (source, target) = (place.folder.join("W"), place.folder.join("out"));
    let packages = (files / super::tree::FILES_IN_PACKAGE).to_string();
    let make = programs.part(&[&"make", &source, &packages]);
    cmd(&make[0], &make[1..]).stdout_null().run()?;
    let mount = |from: &Path, to: &str| {
        let from = from.display();
        format!("type=bind,source={from},target={to},readonly")
    };
    let id = cmd!(
        "docker",
        "run",
        "--detach",
        "--init",
        "--mount",
        mount(&source, "/source"),
        "--mount",
        mount(&programs.0, "/programs"),
        "--entrypoint",
        "sleep",
        &image,
        "infinity"
    )
    .read()
    .context("the container cannot be started")?;
    let container = Container(id);
    cmd!(
        "docker",
        "exec",
        &container.0,
        "cp",
        "-a",
        "/source",
        "/data"
    )
    .run()?;
    let clean = || Ok(remove_folder(&target)?);
    let script = "docker exec \"$1\" /programs/xtask bench-part send /data | \"$2\" bench-part receive \"$3\"";
    let own: PathBuf = programs.0.join("xtask");
    let stream = words([&"sh", &"-c", &script, &"sh", &container.0, &own, &target]);
    let ours = Runner::new("our stream", clean, stream);
    let copy = words([&"docker", &"cp", &format!("{}:/data", container.0), &target]);
    let peer = Runner::new("docker cp", clean, copy);
    let script = "docker exec \"$1\" cat /one-file >/dev/null";
    cmd!(
        "docker",
        "exec",
        &container.0,
        "sh",
        "-c",
        "find /data -type f -print0 | xargs -0 cat >/one-file"
    )
    .run()?;
    let bytes = words([&"sh", &"-c", &script, &"sh", &container.0]);
    let bytes = Runner::new("its bytes alone", || Ok(()), bytes);
    let taken = race(&[&ours, &peer, &bytes], rounds)?;
    let tree = tree(&source)?;
    clean()?;
    let row = Row {
        work: "a tree out of a container".to_owned(),
        against: peer.name,
        ours: taken[0],
        peer: taken[1],
        target: 0.5,
        bound: Some(STREAM),
    };
    let limit = Limit {
        what: STREAM,
        taken: taken[2],
    };
    Ok(Measured {
        place: "tmpfs, from a container".to_owned(),
        tree,
        rows: vec![row],
        limits: vec![limit],
    })
}
