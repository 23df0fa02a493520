//! The shell scripts that run inside containers, kept as files so that
//! shellcheck reads them.

use std::ffi::OsString;

/// Finds a shell and hands over to the script proper.
const LAUNCH: &str = include_str!("launch.sh");

/// What every script proper begins with.
macro_rules! script {
    ($file:literal) => {
        concat!(include_str!("session.sh"), include_str!($file))
    };
}

/// Installs the staged project online and verifies it.
/// Words: `mounted` when the workdir is the host's (else `inside`), workdir,
/// project name, `pixi install` options, environments (one space between),
/// expected files (one a line), the program of ours to remove when nobody listens
/// any more or nothing, then the words after `pixi` for the verification.
pub const BUILD: &str = script!("build.sh");

/// Installs a product without a network and verifies it.
/// Words: `copy` or `in-place`, project name or nothing, `chosen` when the words
/// for pixi name an environment, expected files (one a line), then the words after `pixi` for the verification.
pub const FINAL_VERIFY: &str = script!("final-verify.sh");

/// Takes a program from its input into a container.
/// Words: the program's name and size in bytes, then the folders to try.
pub const BRING: &str = include_str!("bring.sh");

/// Where [`FINAL_VERIFY`] finds the product when it is not used in place.
pub const PRODUCT_SOURCE: &str = "/pixi-offline/product";

/// The name in the out folder of a program that copies the product, where there is
/// one. [`FINAL_VERIFY`] removes it, and `sweep_files` what a killed run leaves.
pub const COPIER: &str = ".pixi-offline-new-copier";

/// Where [`FINAL_VERIFY`] installs the product.
pub const PRODUCT: &str = "/product";

/// Where [`FINAL_VERIFY`] finds the out folder.
pub const OUT: &str = "/pixi-offline/out";

/// A script with the words it is given.
#[derive(Debug, Clone)]
pub struct Script {
    text: &'static str,
    nonce: String,
    words: Vec<OsString>,
}

impl Script {
    /// A script of ours, the run's nonce, its own words and those for pixi.
    pub fn new<'a, 'b>(
        text: &'static str,
        nonce: &str,
        own: impl IntoIterator<Item = &'a str>,
        pixi: impl IntoIterator<Item = &'b str>,
    ) -> Script {
        let words = own.into_iter().map(OsString::from);
        let words = words.chain(pixi.into_iter().map(OsString::from)).collect();
        Script {
            text,
            nonce: nonce.to_owned(),
            words,
        }
    }

    /// The nonce that its signals carry.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The words after `sh`.
    pub fn shell_arguments(&self) -> Vec<OsString> {
        let fixed = ["-c", LAUNCH, "pixi-offline", self.text, &self.nonce];
        fixed
            .into_iter()
            .map(OsString::from)
            .chain(self.words.iter().cloned())
            .collect()
    }
}
