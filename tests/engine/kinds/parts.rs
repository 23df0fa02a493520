//! What all journeys use.

use std::sync::OnceLock;

use testbed::images::{Change, PixiImage, derived_image, ensure_base_image};
use testbed::python::{PythonIndex, ensure_python_index};
use testbed::{Channel, ensure_channel, pixi};

pub struct Parts {
    pub channel: Channel,
    pub index: PythonIndex,
    /// One for each pixi, with git and faketime.
    pub images: Vec<PixiImage>,
}

impl Parts {
    pub fn get() -> &'static Parts {
        static PARTS: OnceLock<Parts> = OnceLock::new();
        PARTS.get_or_init(|| Parts {
            channel: ensure_channel().unwrap(),
            index: ensure_python_index().unwrap(),
            images: images(),
        })
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
