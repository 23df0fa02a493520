//! What all journeys use.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use semver::Version;
use testbed::images::{Change, PixiImage, derived_image, ensure_base_image};
use testbed::python::{PythonIndex, ensure_python_index};
use testbed::{Channel, ensure_channel, pixi};

pub struct Parts {
    pub channel: Channel,
    pub index: PythonIndex,
    /// One for each pixi, with git and faketime.
    pub images: Vec<PixiImage>,
    /// Where the programs are that pixi builds packages with.
    backends: Option<PathBuf>,
}

impl Parts {
    pub fn get() -> &'static Parts {
        static PARTS: OnceLock<Parts> = OnceLock::new();
        PARTS.get_or_init(|| Parts {
            channel: ensure_channel().unwrap(),
            index: ensure_python_index().unwrap(),
            images: images(),
            backends: pixi::build_backends().unwrap(),
        })
    }

    /// The newest pixi of this machine, which must be of this version or later; a skip of this
    /// test else.
    pub fn newest(&self, test: &str, least: &Version) -> Option<&PixiImage> {
        let newest = self.images.iter().max_by_key(|image| &image.version);
        let newest = newest.filter(|image| image.version >= *least);
        if newest.is_none() {
            testbed::skip(test, &format!("needs a pixi >={least}"));
        }
        newest
    }

    /// Whether this machine has what source packages are built with; a skip of this test else.
    pub fn has_backends(&self, test: &str, image: &PixiImage) -> bool {
        if self.backends.is_none() {
            let reason = format!("needs the build backends of pixi {}", image.version);
            testbed::skip(test, &reason);
        }
        self.backends.is_some()
    }

    /// An image that has the backends beside its pixi, which takes them from there.
    pub fn with_backends(&self, image: &PixiImage) -> PixiImage {
        let dir = self.backends.as_ref().unwrap();
        let mut programs: Vec<PathBuf> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        programs.sort();
        let places: Vec<String> = programs
            .iter()
            .map(|program| format!("/usr/local/bin/{}", program.file_name().unwrap().display()))
            .collect();
        let mut changes = vec![Change::Instructions(
            "ENV PIXI_BUILD_BACKEND_OVERRIDE_ALL=1",
        )];
        changes.extend(
            programs
                .iter()
                .zip(&places)
                .map(|(from, to)| Change::Program { from, to }),
        );
        let name = format!("kinds:backends-{}", image.version);
        PixiImage {
            reference: derived_image(&name, &image.reference, &changes).unwrap(),
            version: image.version.clone(),
        }
    }
}

fn images() -> Vec<PixiImage> {
    let changes = [
        Change::Packages(&["faketime", "git"]),
        // What pixi asks beyond the channel and the index, it asks over https: nobody answers,
        // so that all ends the same on a machine with the whole internet and on one without.
        Change::Instructions("ENV https_proxy=http://127.0.0.1:9"),
    ];
    let base = ensure_base_image().unwrap();
    let base = derived_image("kinds:tools", base, &changes).unwrap();
    let with_pixi = |pixi: pixi::Pixi| {
        let program = Change::Program {
            from: &pixi.path,
            to: "/usr/local/bin/pixi",
        };
        let name = format!("kinds:{}", pixi.version);
        PixiImage {
            reference: derived_image(&name, &base, &[program]).unwrap(),
            version: pixi.version,
        }
    };
    pixi::pixis().unwrap().into_iter().map(with_pixi).collect()
}
