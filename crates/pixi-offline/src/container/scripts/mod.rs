//! The shell scripts that run inside containers, kept as files so that
//! shellcheck reads them.

use std::ffi::OsString;

use crate::container::protocol::Tokens;
use crate::quote::quoted;

/// Finds a shell and hands over to the script proper.
const LAUNCH: &str = include_str!("launch.sh");

/// What every script proper begins with.
macro_rules! script {
    ($($file:literal),+) => {
        concat!(include_str!("session.sh"), $(include_str!($file)),+)
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

/// Installs the staged project online and verifies it. Each script names its variables at
/// its top. Input of all of them: a line of tokens (see [`protocol`](super::protocol)), then an
/// empty line for each time that it is ready; its end ends the script.
pub const BUILD: ScriptText = ScriptText {
    text: script!("network.sh", "build.sh"),
    phases: &["install", "verify"],
};

/// Installs a product without a network and verifies it.
pub const FINAL_VERIFY: ScriptText = ScriptText {
    text: script!("final-verify.sh"),
    phases: &["copy", "bootstrap", "verify"],
};

/// Takes a program from its input into a container.
/// Arguments: the program's name and size in bytes, then the directories to try.
pub const UPLOAD: &str = include_str!("upload.sh");

/// Asks pixi whether it accepts a project's manifest and lock; writes nothing into the
/// project. Arguments: its variables as [`assignments`], then paths that the lock names.
/// Output: after [`ANSWERS`] `elsewhere`, `unwritable`, `missing PROGRAM`, or `pixi VERSION`
/// and then `manifest CODE` and `lock CODE`, each followed by what pixi said.
pub const CHECK_PROJECT: &str = include_str!("check-project.sh");

/// The line that the answer of [`CHECK_PROJECT`] begins after.
pub const ANSWERS: &str = "pixi-offline answers:";

/// The arguments after `sh` that have a script run as those of [`Script`] are: in a login shell.
pub(super) fn question(script: &str, args: &[&str]) -> Vec<OsString> {
    ["-c", LAUNCH, "question", script]
        .iter()
        .chain(args)
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

/// Shell assignments, one a line: `name='value'`.
pub fn assignments(variables: &[(&str, &str)]) -> String {
    let lines = variables.iter();
    let lines = lines.map(|(name, value)| format!("{name}={}\n", quoted(value.as_ref())));
    lines.collect()
}

/// A script with its variables and arguments.
#[derive(Debug, Clone)]
pub struct Script {
    text: ScriptText,
    nonce: String,
    tokens: Tokens,
    args: Vec<OsString>,
}

impl Script {
    /// A script, the run's nonce, its variables and the arguments for pixi. It gets
    /// tokens that no other script has.
    pub fn new<'a>(
        text: ScriptText,
        nonce: &str,
        variables: &[(&str, &str)],
        pixi: impl IntoIterator<Item = &'a str>,
    ) -> Script {
        // Apart from the text: each argument has a limit of 128 KiB.
        let variables = assignments(variables);
        let args = std::iter::once(variables.into()).chain(pixi.into_iter().map(OsString::from));
        Script {
            text,
            nonce: nonce.to_owned(),
            tokens: Tokens::random(),
            args: args.collect(),
        }
    }

    /// The run's name, which everybody may know: container and nonce file have it in
    /// theirs.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The tokens of its events. It reads them from its input.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Its phases, in their order.
    pub fn phases(&self) -> &'static [&'static str] {
        self.text.phases
    }

    /// The arguments after `sh`.
    pub fn shell_arguments(&self) -> Vec<OsString> {
        let fixed = ["-c", LAUNCH, "pixi-offline", self.text.text, &self.nonce];
        fixed
            .into_iter()
            .map(OsString::from)
            .chain(self.args.iter().cloned())
            .collect()
    }
}
