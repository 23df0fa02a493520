//! A sandbox whose engine is podman.

use std::ffi::OsStr;

use testbed::project::Manifest;
use testbed::sandbox::Run;
use testbed::{Podman, ensure_podman};

use crate::real::{Real, image};

/// What podman may be told by: how the commands come to it.
#[derive(Debug, Clone, Copy)]
pub enum Called {
    /// `CONTAINER_ENGINE=podman`.
    ByVariable,
    /// A program of the name `docker` that is podman.
    Docker,
    /// Nothing: no docker is on PATH.
    Alone,
}

/// A project whose commands use podman, which has the usual image.
pub struct Place {
    pub real: Real,
    podman: Podman,
}

impl Place {
    /// With the usual project, locked, in `work/demo`; `None` with a printed reason where
    /// there can be no podman of ours.
    pub fn new(test: &str, called: Called) -> Option<Place> {
        Place::with(test, called, &Manifest::usual("demo"))
    }

    pub fn with(test: &str, called: Called, manifest: &Manifest) -> Option<Place> {
        if !rustix::process::geteuid().is_root() {
            testbed::skip(test, "the podman of the tests runs as root");
            return None;
        }
        let podman = ensure_podman().unwrap();
        podman.bring(&image().reference).unwrap();
        let mut real = Real::with_project(&image().reference, manifest);
        for (name, value) in podman.variables() {
            real.sandbox.set(name, value);
        }
        let bin = real.sandbox.bin();
        match called {
            Called::ByVariable => real.sandbox.set("CONTAINER_ENGINE", "podman"),
            Called::Docker => {
                std::os::unix::fs::symlink(podman.program(), bin.join("docker")).unwrap()
            }
            Called::Alone => {
                std::os::unix::fs::symlink(podman.program(), bin.join("podman")).unwrap();
                // What its network needs of PATH.
                for program in ["iptables", "ip6tables"] {
                    let program = testbed::ensure_debian_package(program, "iptables").unwrap();
                    let name = program.file_name().unwrap();
                    std::os::unix::fs::symlink(&program, bin.join(name)).unwrap();
                }
                real.sandbox = real.sandbox.with_own_programs_only();
            }
        }
        Some(Place { real, podman })
    }

    /// Runs podman itself.
    pub fn podman<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        Run::of(self.real.sandbox.program(self.podman.program()).args(args))
    }

    /// Gives podman another image of docker's.
    pub fn bring(&self, image: &str) {
        self.podman.bring(image).unwrap();
    }

    /// The containers of ours that there are, running or not, and have to do with this place.
    pub fn containers(&self) -> Vec<String> {
        let filter = "label=io.github.pixi-offline.command";
        let args = ["ps", "--all", "--filter", filter, "--format"];
        let all = self.podman(&[&args[..], &["{{.Names}} {{.Mounts}}"]].concat());
        let mark = self.real.sandbox.root().display().to_string();
        let mounts = |name: &str| self.podman(&["container", "inspect", name]).stdout;
        all.success()
            .stdout
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| mounts(name).contains(&mark))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}
