//! The shell scripts that run inside containers, kept as files so that
//! shellcheck reads them.

use std::ffi::OsString;

use crate::container::protocol::Tokens;

/// Finds a shell and hands over to the script proper.
const LAUNCH: &str = include_str!("launch.sh");

/// What every script proper begins with.
macro_rules! script {
    ($file:literal) => {
        concat!(include_str!("session.sh"), include_str!($file))
    };
}

/// A script proper.
#[derive(Debug, Clone, Copy)]
pub struct ScriptText {
    /// Its lines.
    text: &'static str,
    /// Its phases, in their order.
    phases: &'static [&'static str],
}

/// Installs the staged project online and verifies it.
/// Input of all of them: a line of tokens (see [`signal`](super::protocol)), then an empty
/// line for each time that it says it is ready; its end ends the script.
/// Words: `mounted` when the workdir is the host's (else `inside`), workdir,
/// project name, `pixi install` options, environments (one space between),
/// expected files (one a line), the program of ours to remove when nobody listens
/// any more or nothing, then the words after `pixi` for the verification.
pub const BUILD: ScriptText = ScriptText {
    text: script!("build.sh"),
    phases: &["install", "verify"],
};

/// Installs a product without a network and verifies it.
/// Words: `copy` or `in-place`, project name or nothing, `chosen` when the words
/// for pixi name an environment, expected files (one a line), then the words after `pixi` for the verification.
pub const FINAL_VERIFY: ScriptText = ScriptText {
    text: script!("final-verify.sh"),
    phases: &["copy", "bootstrap", "verify"],
};

/// Takes a program from its input into a container.
/// Words: the program's name and size in bytes, then the directories to try.
pub const UPLOAD: &str = include_str!("upload.sh");

/// Asks pixi what it makes of a project's manifest and lock; writes nothing into the
/// project. Words: the project, its manifest's name and sha256 (or nothing), whether the lock
/// is compared and whether git is needed (or nothing).
/// Output: after [`ANSWERS`] `elsewhere`, `unwritable`, `missing PROGRAM`, or `pixi VERSION`
/// and then `manifest CODE` and `lock CODE`, each followed by what pixi said.
pub const CHECK_PROJECT: &str = include_str!("check-project.sh");

/// The line that the answer of [`CHECK_PROJECT`] begins after.
pub const ANSWERS: &str = "pixi-offline answers:";

/// The words after `sh` that have a script run as those of [`Script`] are: in a login shell.
pub(super) fn question(script: &str, words: &[&str]) -> Vec<OsString> {
    ["-c", LAUNCH, "question", script]
        .iter()
        .chain(words)
        .map(OsString::from)
        .collect()
}

/// Where [`FINAL_VERIFY`] finds the product when it is not used in place.
pub const PRODUCT_SOURCE: &str = "/pixi-offline/product";

/// The name in the out directory of a program that copies the product, where there is
/// one. [`FINAL_VERIFY`] removes it, and `sweep_files` what a killed run leaves.
pub const COPY_AGENT: &str = ".pixi-offline-new-copier";

/// The name in the out directory of the list that [`BUILD`] makes of what is installed: lines
/// `environment NAME`, after it `package NAME-VERSION-BUILD` for each conda package, and
/// `file JSON`, what pixi wrote down of it.
pub const INSTALLED: &str = ".pixi-offline-new-environments";

/// Where [`FINAL_VERIFY`] installs the product.
pub const PRODUCT: &str = "/product";

/// Where [`FINAL_VERIFY`] finds the out directory.
pub const OUT: &str = "/pixi-offline/out";

/// A script with the words it is given.
#[derive(Debug, Clone)]
pub struct Script {
    text: ScriptText,
    nonce: String,
    tokens: Tokens,
    words: Vec<OsString>,
}

impl Script {
    /// A script of ours, the run's nonce, its own words and those for pixi. It gets
    /// tokens that no other script has.
    pub fn new<'a, 'b>(
        text: ScriptText,
        nonce: &str,
        own: impl IntoIterator<Item = &'a str>,
        pixi: impl IntoIterator<Item = &'b str>,
    ) -> Script {
        let words = own.into_iter().map(OsString::from);
        let words = words.chain(pixi.into_iter().map(OsString::from)).collect();
        Script {
            text,
            nonce: nonce.to_owned(),
            tokens: Tokens::random(),
            words,
        }
    }

    /// The run's name, which everybody may know: container and nonce file have it in
    /// theirs.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// What its signals carry. It reads them from its input.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Its phases, in their order.
    pub fn phases(&self) -> &'static [&'static str] {
        self.text.phases
    }

    /// The words after `sh`.
    pub fn shell_arguments(&self) -> Vec<OsString> {
        let fixed = ["-c", LAUNCH, "pixi-offline", self.text.text, &self.nonce];
        fixed
            .into_iter()
            .map(OsString::from)
            .chain(self.words.iter().cloned())
            .collect()
    }
}
